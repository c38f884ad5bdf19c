"""LoCATe-GAT for the verbs: train a run, measure it, answer about a video, with the evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from whyact.data.datasets import load_zero_shot
from whyact.data.types import FeatureSequence, Int
from whyact.data.zero_shot.sets import backbone_parameters
from whyact.data.zero_shot.types import ClassSplit, ZeroShotData, partition
from whyact.devices import device_of, resolve_device
from whyact.errors import UserError, for_each
from whyact.files import sha256
from whyact.locate_gat import answers
from whyact.locate_gat.config import PRESETS, Config, PredictOptions
from whyact.locate_gat.parts import Parts
from whyact.locate_gat.runs import Loaded, Run, load, parameters
from whyact.locate_gat.scores import ScoreParts, Tensors
from whyact.locate_gat.stages import fit_split
from whyact.metrics.zero_shot import generalised, mean_per_class, top_k
from whyact.prediction import Prediction, VideoFacts
from whyact.training.checkpoint import BestWeights, check_run_folder, load_checkpoint, save_checkpoint, versions
from whyact.training.evaluation import inputs_sum, score_all
from whyact.training.experiment import experiment
from whyact.training.options import DEFAULTS, TrainOptions

__all__ = ["PRESETS", "Config", "PredictOptions", "evaluate", "load", "open_evaluation", "predict", "train"]

DEFAULT_OPTIONS = PredictOptions()


def train(
    data: str,
    root: Path | None,
    out: Path,
    *,
    config: Config,
    fold: int = 1,
    seed: int = 0,
    progress: bool = True,
    options: TrainOptions = DEFAULTS,
) -> dict[str, Any]:
    """Train both stages on one split, save the run, and return its card.

    A training that was killed goes on where its last finished epoch left it, when it is started again alike.

    Raises:
        UserError: For an unknown data set, a fold that it lacks, or settings that do not fit its features.
    """
    check_run_folder(out)
    found, split = _load(data, root, fold, config, progress, options.device)
    if found.text.shape[1] != config.width:
        fitting = [name for name, preset in PRESETS.items() if preset.width == found.text.shape[1]]
        step = f"--preset {fitting[0]}" if fitting else "set width, grid, branches and heads"
        raise UserError("width", config.width, f"the text width of {data}, {found.text.shape[1]}", step)
    with experiment(out, options, config=asdict(config), progress=progress) as fit_options:
        fitted, tensors = fit_split(found, split, config, seed=seed, watch=options, **fit_options)
        log = fit_options["history"]
    metrics = measures(fitted.scores(tensors), fitted.choice.mix, fitted.choice.calibration)
    run = Run(
        settings=fitted.model.config,
        video_width=found.width,
        data=data,
        fold=fold,
        seen=list(split.seen),
        unseen=list(split.unseen),
        auxiliary=list(found.auxiliary),
        prompt=found.prompt,
        semantics=found.semantics,
        pixels=found.pixels,
        said=found.said,
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
            **({"rehearsed_accuracy_by_start": fitted.choice.starts} if fitted.choice.starts else {}),
            "parameters": parameters(fitted.model) | _backbone(found.pixels, run.weight_places(out)),
            "frame_seconds": answers.frame_seconds_of(found),
            "held_out_sums": " ".join(sorted(_id_sum(found, i) for i in fitted.part.seen_test)),
            "missing_videos": len(found.missing),
            "first_missing": list(found.missing[:20]),
            **options.about,
        },
    }
    others, best = tensors.text[torch.from_numpy(fitted.unseen)], None
    if fitted.best is not None:
        model, epoch = fitted.best
        best = BestWeights({**model.state_dict(), "others": others}, options.best_card(card, epoch))
    save_checkpoint(
        out,
        {**fitted.model.state_dict(), "others": others},
        msgspec.to_builtins(run),
        card,
        history=log.text() if log else "",
        best=best,
    )
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


def evaluate(
    run: Path, data: str, root: Path | None, *, fold: int | None = None, progress: bool = True
) -> dict[str, Any]:
    """Measure a run on its own split: all accuracies with and without the graph, and the names that changed rank.

    Raises:
        UserError: When the split is not the one that the run was trained on.
    """
    return score_all(open_evaluation((run, data, root, fold), progress=progress))


def open_evaluation(
    settings: tuple[Path, str, Path | None, int | None], *, progress: bool = False, device: str = "cpu"
) -> Parts:
    """Open a run's evaluation on its own split, in parts; settings are run, data, root and fold.

    Raises:
        UserError: As :func:`evaluate`.
    """
    run, data, root, fold = settings
    loaded = load(run)
    loaded.model.to(resolve_device(device))
    known, model, card = loaded.known, loaded.model, loaded.card
    config, places = known.settings, known.weight_places(run)
    if known.pixels.startswith("CLIP "):
        weights = answers.WeightFile(places).find(known.pixels.split(" ", 2)[2])
        config = replace(config, backbone_weights=weights)
    fold = known.fold if fold is None else fold
    found, split = _load(data, root, fold, config, progress, device)
    if found.width != known.video_width:
        raise UserError(f"data {found.name}", f"features of width {found.width}", f"width {known.video_width}")
    if split.sha256 != card["split_sha256"]:
        value = f"{split.name} with SHA-256 {split.sha256[:12]}"
        expected = f"the split it was trained on, {card['split_sha256'][:12]}: others may hold classes it has seen"
        raise UserError(run, value, expected, f"whyact eval {run} --fold {known.fold}")
    facts = {"parameters": parameters(model) | _backbone(found.pixels, places), "missing_videos": len(found.missing)}
    videos, changes = _test_videos(found, split, config, card, data)
    facts |= changes
    tensors = Tensors.of(found, config.frames)
    identity = {
        "run": loaded.sha256,
        "data": data,
        "fold": fold,
        "split": split.sha256,
        "inputs": inputs_sum([split.seen, split.unseen, tensors.text.numpy(), *tensors.frames.numpy()[videos]]),
        "versions": versions(),
    }
    candidates = answers.candidates_of(known, model, loaded.others, None)
    provenance = answers.provenance_of(known, Path(run), card, loaded.sha256, candidates, data)

    def answer(video: FeatureSequence) -> Prediction:
        facts = VideoFacts(path=video.id, frames_decoded=len(video.times))
        target = found.classes[video.target[0]]
        return answers.answer(video, facts, target, known, model, candidates, provenance, answers.SHOWN)

    return Parts(model, found, split, tensors, videos, measures, facts, identity, answer)


def _test_videos(
    found: ZeroShotData, split: ClassSplit, config: Config, card: dict[str, Any], data: str
) -> tuple[Int, dict[str, Any]]:
    """Return the videos of seen classes that the run held out, then those of unseen classes, and what changed since.

    Which ones are held out depends on all videos of a class. So the card of a run lists its own: drawn again from a
    folder with more or fewer videos, some that it was trained on would be among them.
    """
    part = partition(found, split, config.holdout, card["seed"])
    listed = card["extra"].get("held_out_sums") if data == card["data"] else None
    changes: dict[str, Any] = {}
    if listed is None:
        drawn = card["metrics"].get("seen_videos")
        if data == card["data"] and drawn not in (None, len(part.seen_test)):
            changes["warning"] = "the videos changed since the training: some of seen classes may have been trained on"
        return np.concatenate([part.seen_test, part.unseen_test]), changes
    sums = set(listed.split())
    seen = np.sort(np.concatenate([part.train, part.seen_test]))
    own = seen[[_id_sum(found, i) in sums for i in seen]]
    if len(own) < len(sums):
        changes["held_out_missing"] = len(sums) - len(own)
    return np.concatenate([own, part.unseen_test]), changes


def _id_sum(found: ZeroShotData, video: int) -> str:
    return sha256(found.videos[video].id)[:12]


def predict(
    run: Loaded,
    inputs: Sequence[str],
    *,
    data: str | None = None,
    root: Path | None = None,
    options: PredictOptions = DEFAULT_OPTIONS,
    progress: bool = True,
    only: Sequence[int] | None = None,
) -> list[Prediction]:
    """Answer about videos, clips of a data set (``data``, in the folder ``root``) or ``.npy`` feature files (T,D).

    ``only`` are the positions of the inputs to answer; all by default.

    Raises:
        UserError: For an unknown input or label, a duplicate one, or features of the wrong width.
        PartialFailure: When only some of several inputs are at fault.
    """
    known, model = run.known, run.model
    weights = answers.WeightFile(known.weight_places(Path(run.folder)), options.clip_weights)
    candidates = answers.candidates_of(known, model, run.others, options.labels, weights)
    provenance = answers.provenance_of(known, Path(run.folder), run.card, run.sha256, candidates, data or "")
    seconds = run.card["extra"].get("frame_seconds")
    read = answers.reader(known, data, root, progress, device_of(model), weights, seconds)
    top = options.evidence
    return for_each(inputs, lambda name: [answers.answer(*read(name), known, model, candidates, provenance, top)], only)


def _load(
    data: str, root: Path | None, fold: int, config: Config, progress: bool, device: str
) -> tuple[ZeroShotData, ClassSplit]:
    return load_zero_shot(data, root, fold, replace(config.data_options, progress=progress, device=device))


def _backbone(pixels: str, places: tuple[Path, ...]) -> dict[str, int]:
    """Return the frozen backbone's parameters beside the trained ones, where the run reads pixels."""
    frozen = backbone_parameters(pixels, places)
    return {} if frozen is None else {"frozen_backbone": frozen}
