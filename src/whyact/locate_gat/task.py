"""LoCATe-GAT for the verbs: train a run, measure it, answer about a video, with the evidence."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from whyact.data import zero_shot_sets
from whyact.data.types import FeatureSequence
from whyact.data.zero_shot import ZeroShotData, at_rate, partition
from whyact.errors import UserError
from whyact.locate_gat import evidence as why
from whyact.locate_gat.config import PRESETS, Config
from whyact.locate_gat.model import LocateGat
from whyact.locate_gat.stages import ScoreParts, Tensors, fit_split, score_parts
from whyact.metrics.zero_shot import generalised, mean_per_class, top_k
from whyact.prediction import Curve, LabelScore, Prediction, Provenance, VideoFacts
from whyact.training.checkpoint import load_checkpoint, save_checkpoint, versions

__all__ = ["OPTIONS", "PRESETS", "Config", "evaluate", "predict", "train"]

OPTIONS = {
    "labels": "candidate actions, comma-separated, or a text file with one a line (default: the run's unseen classes)",
    "evidence": "how many frames and how many known classes to show (default: 5)",
}


class Run(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What ``config.yaml`` of a run holds: the settings, and the words that the tensors are about."""

    settings: Config
    video_width: int
    data: str
    fold: int
    seen: list[str]
    unseen: list[str]
    auxiliary: list[str]
    prompt: str
    semantics: str


def train(
    data: str, root: Path | None, out: Path, *, config: Config, fold: int = 1, seed: int = 0, progress: bool = True
) -> dict[str, Any]:
    """Train both stages on one split, save the run, and return its card.

    Raises:
        UserError: For an unknown data set, a fold that it lacks, or settings that do not fit its features.
    """
    found, split = zero_shot_sets.load(data, root, fold, config.backbone, config.backbone_weights, progress)
    if found.text.shape[1] != config.width:
        fitting = [name for name, preset in PRESETS.items() if preset.width == found.text.shape[1]]
        step = f"--preset {fitting[0]}" if fitting else "set width, grid, branches and heads"
        raise UserError("width", config.width, f"the text width of {data}, {found.text.shape[1]}", step)
    fitted, tensors = fit_split(found, split, config, seed=seed, progress=progress)
    metrics = measures(fitted.scores(tensors), fitted.choice.mix, fitted.choice.calibration)
    run = Run(
        settings=config,
        video_width=found.width,
        data=data,
        fold=fold,
        seen=list(split.seen),
        unseen=list(split.unseen),
        auxiliary=list(found.auxiliary),
        prompt=found.prompt,
        semantics=found.semantics,
    )
    card = {
        "method": "locate-gat",
        "data": data,
        "split_sha256": split.sha256,
        "licence": "of the data it was trained on",
        "seed": seed,
        "metrics": {name: value if np.isfinite(value) else None for name, value in metrics.items()},
        "extra": {
            "mix": fitted.choice.mix,
            "calibration": fitted.choice.calibration,
            "rehearsed_accuracy_by_mix": {str(mix): value for mix, value in fitted.choice.rehearsed.items()},
            "parameters": parameters(fitted.model),
            "frozen_backbone_parameters": zero_shot_sets.backbone_parameters(found.semantics),
            "missing_videos": len(found.missing),
            "first_missing": list(found.missing[:20]),
            "history": fitted.history,
        },
    }
    others = tensors.text[torch.from_numpy(fitted.unseen)]
    save_checkpoint(out, {**fitted.model.state_dict(), "others": others}, msgspec.to_builtins(run), card)
    return load_checkpoint(out).card


def measures(parts: ScoreParts, mix: float, calibration: float) -> dict[str, float]:
    """Return conventional and generalised zero-shot accuracies in 0..100, and how many videos they rest on.

    ``zsl_top1`` and ``zsl_top5`` count videos, ``zsl_per_class`` and the generalised ones average over classes.
    """
    scores, unseen = parts.at(mix), parts.unseen_videos()
    narrow, target = scores[unseen][:, ~parts.seen], parts.target[unseen] - int(parts.seen.sum())
    both = generalised(scores, parts.target, parts.seen, calibration)
    return {
        "zsl_top1": top_k(narrow, target),
        "zsl_top5": top_k(narrow, target, 5),
        "zsl_per_class": mean_per_class(narrow.argmax(1), target, narrow.shape[1]),
        "gzsl_seen": both.seen,
        "gzsl_unseen": both.unseen,
        "gzsl_h": both.harmonic,
        "unseen_videos": float(unseen.sum()),
        "seen_videos": float((~unseen).sum()),
    }


def parameters(model: LocateGat) -> dict[str, int]:
    """Return the trainable parameters of each stage; a frozen backbone is counted apart."""
    return {
        "locate": sum(p.numel() for p in model.encoder.parameters()),
        "gat": sum(p.numel() for p in model.gat.parameters()) if model.gat is not None else 0,
    }


def load_run(folder: Path) -> tuple[Run, LocateGat, Tensor, dict[str, Any], str]:
    """Read a run: its words, the model in evaluation mode, the unseen texts (U,D), the card and the tensors' SHA-256.

    Raises:
        UserError: When the folder is no run, is damaged, or is a run of another method.
    """
    checkpoint = load_checkpoint(folder)
    if checkpoint.card["method"] != "locate-gat":
        raise UserError(folder, f"a run of {checkpoint.card['method']}", "a run of locate-gat")
    try:
        run = msgspec.convert(checkpoint.config, Run)
    except msgspec.ValidationError as error:
        raise UserError(folder / "config.yaml", str(error), "the settings of a locate-gat run") from error
    tensors = dict(checkpoint.tensors)
    others = tensors.pop("others", torch.zeros(0, run.settings.width))
    model = LocateGat(run.settings, run.video_width, tensors["seen"], tensors["auxiliary"])
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise UserError(folder, str(error).splitlines()[-1].strip(), "weights of this model") from error
    return run, model.eval(), others, checkpoint.card, checkpoint.sha256


def evaluate(
    run: Path, data: str, root: Path | None, *, fold: int | None = None, progress: bool = True
) -> dict[str, Any]:
    """Measure a run on its own split: all accuracies with and without the graph, and the names that changed rank.

    Raises:
        UserError: When the split is not the one that the run was trained on.
    """
    known, model, _, card, _ = load_run(run)
    settings = known.settings
    fold = known.fold if fold is None else fold
    found, split = zero_shot_sets.load(data, root, fold, settings.backbone, settings.backbone_weights, progress)
    _check_width(found, known)
    if split.sha256 != card["split_sha256"]:
        value = f"{split.name} with SHA-256 {split.sha256[:12]}"
        expected = f"the split it was trained on, {card['split_sha256'][:12]}: others may hold classes it has seen"
        raise UserError(run, value, expected, f"whyact eval {run} --fold {known.fold}")
    part = partition(found, split, settings.holdout, card["seed"])
    tensors = Tensors.of(found, settings.frames)
    videos = np.concatenate([part.seen_test, part.unseen_test])
    parts = score_parts(model, tensors, found.index(split.seen), found.index(split.unseen), videos)
    names = tuple(found.classes[c] for c in parts.classes)
    mine, first = parts.unseen_videos(), int(parts.seen.sum())
    changes = why.rank_changes(
        parts.text[mine][:, first:], parts.at(model.mix)[mine][:, first:], parts.target[mine] - first, names[first:]
    )
    return {
        **measures(parts, model.mix, model.calibration),
        "mix": model.mix,
        "without_graph": measures(parts, 0.0, model.calibration),
        "rank_changes": [asdict(change) for change in changes],
        "parameters": parameters(model),
        "missing_videos": len(found.missing),
    }


def predict(
    inputs: Sequence[str], run: Path | None, *, options: dict[str, Any] | None = None, progress: bool = True
) -> list[Prediction]:
    """Answer about videos, clips of a data set (option ``data``) or ``.npy`` feature files (T,D).

    Raises:
        UserError: For an unknown input or label, a duplicate one, or features of the wrong width.
    """
    options = options or {}
    if run is None:
        raise UserError("--model", None, "a run of locate-gat", "whyact train locate-gat --data synthetic --out RUN")
    known, model, others, card, digest = load_run(run)
    top = _count(options.get("evidence", "5"))
    candidates = _candidates(known, model, others, options.get("labels"))
    provenance = Provenance(
        method="locate-gat",
        checkpoint=str(run),
        checkpoint_sha256=digest,
        trained_on=f"{known.data}, fold {known.fold}",
        data=str(options.get("data", "")),
        split_sha256=card["split_sha256"],
        prompt=known.prompt,
        sampler=f"{known.settings.frames} frames, evenly spaced",
        seed=card["seed"],
        versions=versions(),
    )
    clips = _clips(inputs, known, options, progress)
    return [_answer(video, facts, target, known, model, candidates, provenance, top) for video, facts, target in clips]


def _answer(
    video: FeatureSequence,
    facts: VideoFacts,
    target: str,
    known: Run,
    model: LocateGat,
    candidates: why.Candidates,
    provenance: Provenance,
    top: int,
) -> Prediction:
    if video.features.shape[1] != known.video_width:
        raise UserError(video.id, f"features of width {video.features.shape[1]}", f"width {known.video_width}")
    rows, source = at_rate(video.features, known.settings.frames)
    found = why.answer(model, torch.from_numpy(rows)[None], source, candidates)
    order = found.probabilities.argsort(descending=True).tolist()
    contributions = why.frame_contributions(model, found)
    notes = [f"Class names read by {known.semantics}."]
    if known.semantics.endswith("random weights"):
        notes.append("CLIP had random weights: this shows that the parts work together, the answer means nothing.")
    lead = why.shares(model, found)
    if lead is not None:
        notes.append(
            f"Lead over {lead.runner_up!r}: {lead.text:+.2f} from the name's text, {lead.graph:+.2f} from the graph "
            f"(mix {model.mix:.1f})."
        )
        seen = candidates.seen(model)
        if seen.any() and not seen.all():
            notes.append(f"Known classes answer with a handicap of {model.calibration:.2f}, chosen on known classes.")
        alone = why.probabilities(model, model.embed(found.frames), candidates, mix=0.0)[0]
        before = 1 + int((alone > alone[found.best]).sum())
        if before > 1:
            notes.append(f"The graph moved {candidates.names[found.best]!r} from rank {before} to 1.")
    if not contributions:
        notes.append("The video has one frame or snippet: there is none to leave out.")
    shown = sorted(contributions)
    return Prediction(
        video=facts,
        labels=[LabelScore(label=candidates.names[i], score=float(found.probabilities[i])) for i in order],
        provenance=provenance,
        evidence=[
            *why.frame_evidence(model, found, video.times, video.rate, top),
            *why.neighbour_evidence(model, found, tuple(known.seen), top),
        ],
        curves=[
            Curve(
                name="contribution",
                times=[float(video.times[i]) for i in shown],
                values=[contributions[i] for i in shown],
            )
        ]
        if shown
        else [],
        id=video.id,
        target=target,
        notes=notes,
    )


def _candidates(known: Run, model: LocateGat, others: Tensor, labels: str | None) -> why.Candidates:
    """Return the classes to choose from: the given labels, or the run's unseen classes."""
    names = tuple(known.unseen) if labels is None else _labels(labels)
    first = len(model.seen)
    position = {name: i for i, name in enumerate([*known.seen, *known.unseen])}
    new = [name for name in names if name not in position]
    if new:
        others = torch.cat([others, zero_shot_sets.encode_names(new, known.prompt, known.semantics)])
        position |= {name: first + len(known.unseen) + i for i, name in enumerate(new)}
    # Only the candidates enter the graph: what else could have been asked must not change an answer.
    used = [position[name] for name in names if position[name] >= first]
    place = {row: first + i for i, row in enumerate(used)}
    rows = torch.tensor([place.get(position[name], position[name]) for name in names])
    return why.Candidates(names, rows, others[torch.tensor([row - first for row in used], dtype=torch.long)])


def _labels(labels: str) -> tuple[str, ...]:
    path = Path(labels)
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else labels.replace(",", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(path, str(error), "a text file with one label a line") from error
    names = tuple(name for name in (line.strip() for line in text.splitlines()) if name)
    if not names:
        raise UserError("--labels", labels, "at least one action name")
    folded: set[str] = set()
    for name in names:
        if name.casefold() in folded:
            raise UserError("--labels", name, "every label once")
        folded.add(name.casefold())
    return names


def _clips(
    inputs: Sequence[str], known: Run, options: dict[str, Any], progress: bool
) -> list[tuple[FeatureSequence, VideoFacts, str]]:
    settings = known.settings
    if "data" in options:
        root = Path(options["root"]) if "root" in options else None
        found, _ = zero_shot_sets.load(
            options["data"], root, known.fold, settings.backbone, settings.backbone_weights, progress
        )
        by_id = {video.id: video for video in found.videos}
        for name in inputs:
            if name not in by_id:
                raise UserError(f"--data {options['data']}", name, f"a clip's name, such as {found.videos[0].id!r}")
        return [
            (by_id[name], VideoFacts(path=name, frames_decoded=len(by_id[name].times)), _target(found, by_id[name]))
            for name in inputs
        ]
    return [(*_file(Path(name), known), "") for name in inputs]


def _file(path: Path, known: Run) -> tuple[FeatureSequence, VideoFacts]:
    if path.suffix == ".npy":
        try:
            features = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise UserError(path, str(error), "a NumPy file of features (T,D)") from error
        if features.ndim != 2 or len(features) == 0 or not np.isfinite(features).all():
            raise UserError(path, f"an array of shape {features.shape}", "finite features (T,D)")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        sequence = FeatureSequence(
            id=path.name, features=features.astype(np.float32), times=np.arange(len(features), dtype=float), rate=1.0
        )
        return sequence, VideoFacts(path=str(path), sha256=digest, frames_decoded=len(features))
    return zero_shot_sets.encode_video(path, known.semantics)


def _target(found: ZeroShotData, video: FeatureSequence) -> str:
    return found.classes[video.target[0]]


def _check_width(found: ZeroShotData, known: Run) -> None:
    if found.width != known.video_width:
        raise UserError(f"data {found.name}", f"features of width {found.width}", f"width {known.video_width}")


def _count(value: str) -> int:
    if not str(value).isdigit():
        raise UserError("--evidence", value, "a whole number")
    return int(value)
