"""Question an answer: what the model says when frames are left out, or known classes are cut off the graph.

Every number comes from the model itself, by the removals of :mod:`whyact.locate_gat.evidence`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whyact import wording
from whyact.ablation.protocol import TIME_TOLERANCE, OnProgress, Removal, RemovalCount
from whyact.data.types import Int
from whyact.data.zero_shot.types import at_rate
from whyact.errors import UserError
from whyact.files import write_atomic
from whyact.locate_gat import answers
from whyact.locate_gat import evidence as why
from whyact.locate_gat.model import LoCATeGAT
from whyact.locate_gat.runs import load
from whyact.prediction import Prediction

AT_ONCE = 32  # videos embedded together


class Ablation:
    """An answered video, kept ready to be asked again.

    Args:
        model: What answered.
        known: Names (S,) of the classes that it was trained on.
        candidates: What it chose from.
        frames: The frames (1,T,Dv) that it saw.
        source: The row (T,) of the video that each is from; short videos repeat some.
        times: Seconds (T,) of each.
        near: The known classes that the answer lists.
    """

    def __init__(
        self,
        model: LoCATeGAT,
        known: Sequence[str],
        candidates: why.Candidates,
        frames: Tensor,
        source: Int,
        times: NDArray[np.float64],
        near: Iterable[str],
    ) -> None:
        self.model, self.candidates, self.frames = model, candidates, frames
        self.source, self.times, self.near = source, times, tuple(near)
        self.node = {name: row for row, name in enumerate(known)}
        self.labels = candidates.names
        self.max_evaluations = 2000
        self._videos: dict[bytes, Tensor] = {}
        self._classifiers: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}

    @torch.no_grad()
    def scores(self, removals: Sequence[Sequence[Removal]]) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """Answer once for each set of removals: probabilities (M,C) and the best candidate (M,) each time.

        Without a single frame left, no candidate is more likely than another.

        Raises:
            UserError: For a frame that was not seen, a class that is not in the graph, or another kind of removal.
        """
        masks = [self.mask(chosen) for chosen in removals]
        cut = [self.nodes(chosen) for chosen in removals]
        self._embed([mask for mask in masks if not mask.all()])
        found = np.full((len(masks), len(self.labels)), 1 / len(self.labels), np.float32)
        for nodes in dict.fromkeys(cut):
            rows = [m for m, mask in enumerate(masks) if cut[m] == nodes and not mask.all()]
            if rows:
                videos = torch.stack([self._videos[masks[m].tobytes()] for m in rows])
                made = self._classifier(nodes)
                found[rows] = why.probabilities(self.model, videos, self.candidates, classifier=made).numpy()
        return found, found.argmax(1)

    def mask(self, removals: Sequence[Removal]) -> NDArray[np.bool_]:
        """Return which of the frames (T,) these removals leave out: a frame in every place where it was sampled."""
        gone = np.zeros(len(self.source), dtype=bool)
        for r in removals:
            if r.kind == "span":
                gone |= (self.times >= r.start - TIME_TOLERANCE) & (self.times <= r.end + TIME_TOLERANCE)
            elif r.kind == "frame":
                own = np.abs(self.times - r.start) <= TIME_TOLERANCE
                if not own.any():
                    raise UserError("frame", f"at {r.start:g} s", "a frame that the model looked at")
                gone |= own
            elif r.kind != "neighbour":
                raise UserError("removal", r.kind, "a span, frame or neighbour: this is an answer of locate-gat")
        return gone

    def nodes(self, removals: Sequence[Removal]) -> tuple[int, ...]:
        """Return the graph's nodes of the known classes that these removals cut off."""
        names = [r.label for r in removals if r.kind == "neighbour"]
        unknown = next((name for name in names if name not in self.node), None)
        if unknown is not None or (names and (self.model.gat is None or self.model.mix == 0)):
            raise UserError(
                "neighbour", unknown or names[0], "a known action, where the graph has a share in the score"
            )
        return tuple(sorted({self.node[name] for name in names}))

    def count_removed(self, removals: Sequence[Removal]) -> list[RemovalCount]:
        """Count the frames that are left out, and the known classes that are cut off, where there are any."""
        rows = np.unique(self.source)
        frames = RemovalCount("frame", len(np.unique(self.source[self.mask(removals)])), len(rows))
        nodes = self.nodes(removals)
        return [frames, RemovalCount("known action", len(nodes), len(self.node))] if nodes else [frames]

    def list_removals(self) -> dict[Removal, str]:
        """Return every frame that the model looked at, and the known classes that the answer lists."""
        frames = {
            Removal("frame", start=float(t)): f"the frame at {wording.format_time(t)}" for t in np.unique(self.times)
        }
        if len(frames) < 2:
            frames = {}  # a video of one frame has nothing to leave out
        return frames | {
            Removal("neighbour", label=name): f"the known action {wording.format_label(name)}" for name in self.near
        }

    def _classifier(self, nodes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Return the classes' rows with these nodes cut off; the graph is run once for each set of them."""
        if nodes not in self._classifiers:
            self._classifiers[nodes] = self.model.classifier(self.candidates.others, without=nodes)
        return self._classifiers[nodes]

    def _embed(self, masks: Sequence[NDArray[np.bool_]]) -> None:
        """Embed the video without these frames, where that is not done yet."""
        new = list({mask.tobytes(): mask for mask in masks if mask.tobytes() not in self._videos}.values())
        for first in range(0, len(new), AT_ONCE):
            part = new[first : first + AT_ONCE]
            valid = torch.from_numpy(~np.stack(part))
            for mask, video in zip(part, self.model.embed(self.frames.expand(len(part), -1, -1), valid), strict=True):
                whole = not mask.any()  # as the answer itself was computed, to the last bit
                self._videos[mask.tobytes()] = self.model.embed(self.frames)[0] if whole else video


class Session:
    """A loaded run that answers video files and can be asked again about each: what the studio needs of this method.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: Path) -> None:
        run = load(folder)
        self.known, self.model = run.known, run.model
        weights = answers.WeightFile(self.known.weight_places(folder))
        self.candidates = answers.candidates_of(self.known, self.model, run.others, None, weights)
        self.provenance = answers.provenance_of(self.known, folder, run.card, run.sha256, self.candidates)
        seconds = run.card["extra"].get("frame_seconds")
        self._read = answers.reader(self.known, None, None, False, weights=weights, frame_seconds=seconds)

    def answer(self, video: Path, kept: Path, on_progress: OnProgress) -> Prediction:
        """Answer a video file, and keep the vectors of its frames."""
        from safetensors.torch import save

        on_progress("Looking at frames", 0.0)
        sequence, facts, target = self._read(str(video))
        on_progress("Asking the model", 0.0)
        prediction = answers.answer(
            sequence, facts, target, self.known, self.model, self.candidates, self.provenance, answers.SHOWN
        )
        rows, source = at_rate(sequence.features, self.known.settings.frames)
        tensors = {
            "frames": torch.from_numpy(rows)[None],
            "source": torch.from_numpy(source),
            "times": torch.from_numpy(np.asarray(sequence.times, np.float64)[source]),
        }
        near = [e.label for e in prediction.evidence if e.kind == "neighbour"]
        write_atomic(kept, save(tensors, metadata={"near": json.dumps(near)}))
        return prediction

    def load_ablation(self, kept: Path) -> Ablation:
        """Read what :meth:`answer` kept."""
        from safetensors import safe_open

        with safe_open(kept, framework="pt") as file:
            near = json.loads(file.metadata()["near"])
            frames, source, times = (file.get_tensor(name) for name in ("frames", "source", "times"))
        return Ablation(self.model, self.known.seen, self.candidates, frames, source.numpy(), times.numpy(), near)
