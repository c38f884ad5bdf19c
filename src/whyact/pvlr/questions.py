"""Question an answer: what the model says when snippets are cut out of its input.

Every number comes from the model itself, by the removal of :mod:`whyact.pvlr.evidence`: the rows of the snippets are
cut out of the feature sequence, and what is left is scored as a video of its own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import ceil, floor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from whyact import wording
from whyact.ablation.protocol import TIME_TOLERANCE, OnProgress, Removal, RemovalCount, removal_of
from whyact.errors import UserError
from whyact.files import write_atomic
from whyact.prediction import Prediction
from whyact.pvlr.evidence import scores_of
from whyact.pvlr.inputs import Inputs
from whyact.pvlr.task import Run, load, predict_sequence

SEARCHED = 20_000  # snippets that a search for the fewest reruns: some ten seconds on a core, published widths
REMEMBERED = 4096  # sets of snippets whose scores are kept: the search for the fewest asks about many twice


class Ablation:
    """An answered video, kept ready to be asked again.

    Args:
        run: The model that answered.
        features: What it saw (T,D).
        rate: Snippets a second.
        listed: The pieces of evidence, with words for each.
    """

    def __init__(self, run: Run, features: NDArray[np.floating], rate: float, listed: dict[Removal, str]) -> None:
        self.run, self.features, self.rate, self.listed = run, features, rate, listed
        self.labels = run.classes
        self.max_evaluations = max(20, SEARCHED // max(1, len(features)))
        self._known: dict[bytes, NDArray[np.float32]] = {}

    @classmethod
    def of(cls, run: Run, features: NDArray[np.floating], rate: float, prediction: Prediction) -> Ablation:
        """Keep what an answer needs to be asked again; its listed evidence is what is searched for the fewest."""
        listed: dict[Removal, str] = {}
        for e in prediction.evidence:
            rows = snippet_rows(removal_of(e), rate, len(features))
            what = "all of" if rows.stop - rows.start > 1 else "one snippet of"
            listed.setdefault(removal_of(e), f"{what} {wording.format_label(e.label)}")
        return cls(run, features, rate, listed)

    def scores(self, removals: Sequence[Sequence[Removal]]) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """Answer once for each set of removals: probabilities (M,C) and the best class (M,) each time.

        Raises:
            UserError: For a removal that is no span and no snippet.
        """
        found = np.stack([self._without(self.mask(chosen)) for chosen in removals])
        return found, found.argmax(1)

    def mask(self, removals: Sequence[Removal]) -> NDArray[np.bool_]:
        """Return which snippets (T,) these removals take away: all that saw some of a span."""
        gone = np.zeros(len(self.features), dtype=bool)
        for r in removals:
            if r.kind not in ("span", "snippet"):
                raise UserError("removal", r.kind, "a span or a snippet: this is an answer of pvlr")
            gone[snippet_rows(r, self.rate, len(gone))] = True
        return gone

    def count_removed(self, removals: Sequence[Removal]) -> list[RemovalCount]:
        """Count the snippets that these removals take away."""
        mask = self.mask(removals)
        return [RemovalCount("snippet", int(mask.sum()), len(mask))]

    def list_removals(self) -> dict[Removal, str]:
        """Return the listed evidence: segments as a whole and their strongest snippets."""
        return self.listed

    def _without(self, gone: NDArray[np.bool_]) -> NDArray[np.float32]:
        key = np.packbits(gone).tobytes()
        if key not in self._known:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            left = self.features[~gone] if gone.any() else self.features
            found, _ = scores_of(self.run.model, left, self.run.text, self.run.config.inference)
            self._known[key] = found[:-1].astype(np.float32)
        return self._known[key]


def snippet_rows(removal: Removal, rate: float, length: int) -> slice:
    """Return the rows of all snippets, out of ``length``, that saw some of a span, and one of them at least."""
    low = floor(max(removal.start, 0.0) * rate + TIME_TOLERANCE)
    high = ceil(min(removal.end * rate, length) - TIME_TOLERANCE)
    return slice(low, max(high, low + 1))


class Session:
    """A loaded run that answers video files and can be asked again about each: what the studio needs of this method.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.run = load(folder)
        self._inputs = Inputs(self.run.card, {})

    def answer(self, video: Path, kept: Path, on_progress: OnProgress) -> Prediction:
        """Answer a video file, and keep the features of its snippets."""
        from safetensors.numpy import save

        on_progress("Reading snippet after snippet", 0.0)
        with TemporaryDirectory(dir=kept.parent, ignore_cleanup_errors=True) as scratch:
            sequence, facts = self._inputs.read(str(video), Path(scratch))
            on_progress("Asking the model", 0.0)
            prediction = predict_sequence(self.run, sequence, facts)
            listed = Ablation.of(self.run, sequence.features, sequence.rate, prediction).listed
            about = {"rate": sequence.rate, "listed": [[r.kind, r.start, r.end, told] for r, told in listed.items()]}
            rows = np.ascontiguousarray(sequence.features)
            write_atomic(kept, save({"features": rows}, metadata={"about": json.dumps(about)}))
        return prediction

    def load_ablation(self, kept: Path) -> Ablation:
        """Read what :meth:`answer` kept."""
        from safetensors import safe_open

        with safe_open(kept, framework="np") as file:
            about = json.loads(file.metadata()["about"])
            features = file.get_tensor("features")
        listed = {Removal(kind, start=start, end=end): told for kind, start, end, told in about["listed"]}
        return Ablation(self.run, features, about["rate"], listed)
