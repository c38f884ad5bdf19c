"""From inputs and labels to answers: what is asked, what is shown, and what a reader must know beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from whyact.data.datasets import load_zero_shot
from whyact.data.io.tables import label_names
from whyact.data.types import FeatureSequence
from whyact.data.untrimmed.feature_files import snippet_seconds_of
from whyact.data.zero_shot.sets import encode_names, encode_video
from whyact.data.zero_shot.types import ZeroShotData, at_rate
from whyact.errors import UserError
from whyact.locate_gat import evidence as why
from whyact.locate_gat.model import LoCATeGAT
from whyact.locate_gat.runs import Run
from whyact.prediction import Curve, LabelScore, Prediction, Provenance, Table, VideoFacts
from whyact.training.checkpoint import trained_on, versions

CPU = torch.device("cpu")


@dataclass(frozen=True)
class WeightFile:
    """Where CLIP's weight file may lie, and where the user says it lies."""

    places: tuple[Path, ...] = ()
    given: Path | None = None

    def find(self, named: str) -> str:
        """Return the weights that a run names, as :func:`whyact.features.clip_weights.find_weights`."""
        from whyact.features.clip_weights import find_weights

        return find_weights(named, self.places, self.given)


NOWHERE = WeightFile()
SHOWN = 5  # frames, and known classes, that an answer lists by itself


def answer(
    video: FeatureSequence,
    facts: VideoFacts,
    target: str,
    known: Run,
    model: LoCATeGAT,
    candidates: why.Candidates,
    provenance: Provenance,
    top: int,
) -> Prediction:
    """Answer about one video with its evidence: frames, known classes, text against graph, changed ranks.

    Raises:
        UserError: When the video's features have another width than the run's.
    """
    if video.features.shape[1] != known.video_width:
        raise UserError(video.id, f"features of width {video.features.shape[1]}", f"width {known.video_width}")
    rows, source = at_rate(video.features, known.settings.frames)
    found = why.answer(model, torch.from_numpy(rows)[None], source, candidates)
    order = found.probabilities.argsort(descending=True).tolist()
    contributions = why.frame_contributions(model, found)
    shown = sorted(contributions)
    frames = why.frame_evidence(model, found, video.times, video.rate, top)
    classes = why.neighbour_evidence(model, found, tuple(known.seen), top)
    for rank, one in enumerate([*frames, *classes], start=1):
        one.rank = rank
    curve = Curve(
        name="contribution",
        times=[float(video.times[i]) for i in shown],
        values=[contributions[i] for i in shown],
    )
    return Prediction(
        video=facts,
        labels=[LabelScore(label=candidates.names[i], score=float(found.probabilities[i])) for i in order],
        provenance=provenance,
        evidence=[*frames, *classes],
        curves=[curve] if shown else [],
        tables=_tables(model, found, order[:top]),
        id=video.id,
        target=target,
        notes=_notes(known, model, found, bool(shown), video.timed),
    )


def provenance_of(
    known: Run, folder: Path, card: dict[str, Any], digest: str, candidates: why.Candidates, data: str = ""
) -> Provenance:
    """Return where answers of a run come from: its folder's name, its checksums, the sentences of the candidates."""
    return Provenance(
        method="locate-gat",
        checkpoint=folder.resolve().name,
        checkpoint_sha256=digest,
        trained_on=f"{trained_on(card)}, fold {known.fold}",
        data=data,
        split_sha256=card["split_sha256"],
        prompt=known.prompt,
        prompts=dict(zip(candidates.names, candidates.sentences, strict=True)),
        sampler=f"{known.settings.frames} frames, evenly spaced",
        seed=card["seed"],
        versions=versions(),
    )


def _notes(known: Run, model: LoCATeGAT, found: why.Answer, several: bool, timed: bool) -> list[str]:
    """Say what encoded names and frames, how text and graph shared the lead, and what could not be done."""
    if known.pixels == known.semantics:
        notes = [f"Frames and class names read by {known.semantics}."]
    else:
        frames = f"frames read by {known.pixels}" if known.pixels else "frames given as features"
        notes = [f"Class names read by {known.semantics}; {frames}."]
    if "random weights" in known.semantics + known.pixels:
        warning = "CLIP had random weights: this shows that the parts work together, the answer means nothing."
        notes.insert(0, warning)
    if not timed:
        notes.append(
            "Times are row numbers of the feature file, not seconds: neither a features.json beside it nor the run "
            "says how far apart its rows are."
        )
    lead = why.shares(model, found)
    if lead is not None:
        behind = f"{_signed(lead.graph)} from the graph of related actions, whose share is {model.mix:.1f}."
        if model.mix == 0:
            behind = "nothing from the graph of related actions, which this model's scores leave out."
        notes.append(f"Lead over “{lead.runner_up}”: {_signed(lead.text)} from the meaning of the name, {behind}")
        seen = found.candidates.seen(model)
        if seen.any() and not seen.all():
            how = "chosen on known classes" if known.settings.calibration is None else "as the settings say"
            what = "a handicap" if model.calibration >= 0 else "an advantage"
            amount = f"{abs(model.calibration):.2f} standard deviations"
            notes.append(f"Known classes, those of the training, answer with {what} of {amount}, {how}.")
    else:
        notes.append("There is one label to choose from: its score is 1 whatever the video shows.")
    if not several:
        notes.append("The video has one frame or snippet: there is none to leave out.")
    return notes


def _signed(value: float) -> str:
    return f"{round(value, 2) + 0.0:+.2f}".replace("-", "−")  # adding 0 turns -0.00 into +0.00


def _tables(model: LoCATeGAT, found: why.Answer, best: list[int]) -> list[Table]:
    """Return text against graph for the best labels, and the names whose rank the graph changes."""
    names = found.candidates.names
    text, graph = why.part_scores(model, found)
    shares = Table(
        title="Text against graph",
        columns=["label", "text", "graph", "score"],
        rows=[[names[i], round(text[i], 3), round(graph[i], 3), round(text[i] + graph[i], 3)] for i in best],
        text="How well each label fits this video, from two sides: the meaning of its name (text), and what related "
        f"known actions say (graph, with a share of {model.mix:.1f}). Their sum ranks the labels. It is counted in "
        "standard deviations over videos of known actions: 0 is usual, 2 is much. Handicaps are left out.",
    )
    if model.gat is None or model.mix == 0:
        return [shares]
    changes = why.rank_moves(model, found)
    moved = Table(
        title="Names whose rank changes with the graph",
        columns=["label", "rank by its name alone", "rank with the graph"],
        rows=[[names[i], before, after] for i, before, after in changes],
        text="A name with several meanings can lie near the wrong actions. Its neighbours in the graph "
        "may move it up or down: 1 is the best rank."
        if changes
        else "No label changes its rank.",
    )
    return [shares, moved]


def candidates_of(
    known: Run,
    model: LoCATeGAT,
    others: Tensor,
    labels: str | tuple[str, ...] | None,
    weights: WeightFile = NOWHERE,
) -> why.Candidates:
    """Return the classes to choose from: the given labels, or the run's unseen classes.

    A label may be a class of the run by its name or by the words that its prompt used, whatever their case.
    ``weights`` says where the CLIP is found that reads new labels.

    Raises:
        UserError: When two labels stand for the same sentence, or a new one cannot be encoded.
    """
    names = tuple(known.unseen) if labels is None else label_names("--labels", labels)
    first = len(model.seen)
    classes = [*known.seen, *known.unseen]
    by_words = {known.said.get(name, name).casefold(): i for i, name in enumerate(classes)}
    by_name = {name: i for i, name in enumerate(classes)}
    position = {name: by_name.get(name, by_words.get(name.casefold(), -1)) for name in names}
    new = [name for name in names if position[name] < 0]
    if new:
        others = torch.cat([others, encode_names(new, known.prompt, known.semantics, weights.places, weights.given)])
        position |= {name: first + len(known.unseen) + i for i, name in enumerate(new)}
    asked: dict[int, str] = {}
    for name in names:
        if position[name] in asked:
            raise UserError("--labels", name, f"every class once: {asked[position[name]]!r} is the same")
        asked[position[name]] = name
    # Only the candidates enter the graph: what else could have been asked must not change an answer.
    used = [position[name] for name in names if position[name] >= first]
    place = {row: first + i for i, row in enumerate(used)}
    rows = torch.tensor([place.get(position[name], position[name]) for name in names])
    kept = torch.tensor([row - first for row in used], dtype=torch.long)
    sentences = tuple(
        known.sentence(classes[i]) if (i := position[n]) < len(classes) else known.sentence(n) for n in names
    )
    return why.Candidates(names, rows, others[kept], sentences)


def reader(
    known: Run,
    data: str | None,
    root: Path | None,
    progress: bool,
    device: torch.device = CPU,
    weights: WeightFile = NOWHERE,
    frame_seconds: float | None = None,
) -> Callable[[str], tuple[FeatureSequence, VideoFacts, str]]:
    """Return what gives an input's features, facts and known class: a clip of a data set, a feature file or a video.

    ``frame_seconds`` are between the rows of the features that the run was trained on, where they all are as far apart:
    those of a feature file without a ``features.json`` are taken to be too. It raises ``UserError`` for an input that
    is not there or cannot be read.

    Raises:
        UserError: When the data set itself cannot be read.
    """
    if data is not None:
        settings = known.settings.data_options
        if known.pixels.startswith("CLIP "):
            _, backbone, named = known.pixels.split(" ", 2)
            settings = replace(settings, backbone=backbone, weights=weights.find(named))
        settings = replace(settings, progress=progress, device=str(device))
        found, _ = load_zero_shot(data, root, known.fold, settings)
        by_id = {video.id: video for video in found.videos}

        def clip(name: str) -> tuple[FeatureSequence, VideoFacts, str]:
            if name not in by_id:
                raise UserError(f"--data {data}", name, f"a clip's name, such as {found.videos[0].id!r}")
            video = by_id[name]
            return video, VideoFacts(path=name, frames_decoded=len(video.times)), _target(found, video)

        return clip
    return lambda name: (*_file(Path(name), known, device, weights, frame_seconds), "")


def frame_seconds_of(data: ZeroShotData) -> float | None:
    """Return the seconds between the rows of given features, ``None`` where they differ or frames were sampled."""
    rates = {video.rate for video in data.videos if video.timed}
    return 1 / rates.pop() if len(rates) == 1 and not data.pixels else None


def _file(
    path: Path, known: Run, device: torch.device, weights: WeightFile, frame_seconds: float | None = None
) -> tuple[FeatureSequence, VideoFacts]:
    if path.suffix == ".npy":
        try:
            features = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(path, reason, "a NumPy file of features (T,D)", "check the file") from error
        if features.ndim != 2 or len(features) == 0 or not np.isfinite(features).all():
            raise UserError(path, f"an array of shape {features.shape}", "finite features (T,D)")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        known_seconds = snippet_seconds_of(path) or frame_seconds
        seconds = known_seconds or 1.0
        sequence = FeatureSequence(
            id=str(path),
            features=features.astype(np.float32),
            times=np.arange(len(features), dtype=np.float64) * seconds,
            rate=1 / seconds,
            timed=known_seconds is not None,
        )
        duration = len(features) * known_seconds if known_seconds else 0.0
        facts = VideoFacts(path=str(path), sha256=digest, duration=duration, frames_decoded=len(features))
        return sequence, facts
    return encode_video(path, known.pixels, known.settings.patch_side, device, weights.places, weights.given)


def _target(found: ZeroShotData, video: FeatureSequence) -> str:
    return found.classes[video.target[0]]
