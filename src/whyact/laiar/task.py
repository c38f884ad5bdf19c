"""LaIAR as the verbs use it: train, evaluate, predict."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from torch import Tensor

from whyact.data.relations.clip_folder import data_folder
from whyact.data.relations.packed import PackedClips
from whyact.data.types import RelationClip, Vocabulary
from whyact.devices import resolve_device
from whyact.errors import UserError, for_each
from whyact.files import sha256
from whyact.laiar.answers import Answer, answer_clips
from whyact.laiar.baselines import compare_rivals, measure_rivals
from whyact.laiar.batches import evaluation_batches
from whyact.laiar.calibration import Calibration, calibration_of
from whyact.laiar.config import PRESETS, Config, PredictOptions
from whyact.laiar.datasets import read_relations
from whyact.laiar.domain import fit_box_domain
from whyact.laiar.evidence import LabelBank, build_bank
from whyact.laiar.explain import explain
from whyact.laiar.extraction import ClipSettings, extract_clips
from whyact.laiar.label_scores import class_prior, score_labels
from whyact.laiar.learner import learn, nameable_relations, sized_for
from whyact.laiar.model import LaIAR
from whyact.laiar.own_clips import FILE
from whyact.laiar.parts import Parts, clip_sum, refuse_trained_clips
from whyact.laiar.perceive import (
    check_data_config,
    clip_settings,
    describe_perception,
    keep_detector,
    open_perception,
    run_perception,
)
from whyact.laiar.predict_videos import DEFAULT_OPTIONS, predict_videos
from whyact.laiar.relation_network import out_of_fold
from whyact.laiar.runs import Run, load_run, save_run
from whyact.laiar.scoring import language_recall, score_answers
from whyact.laiar.two_stage import relation_prior
from whyact.prediction import Prediction
from whyact.training.checkpoint import BEST, check_run_folder, refuse_other_data, versions
from whyact.training.evaluation import inputs_sum, score_all
from whyact.training.experiment import experiment
from whyact.training.fit import FitOptions
from whyact.training.numerics import numerics
from whyact.training.options import DEFAULTS, TrainOptions

__all__ = ["PRESETS", "Config", "PredictOptions", "evaluate", "open_evaluation", "predict", "train"]

# What a card shows.
SHOWN: tuple[str, ...] = ("mAR", "mAP", "wAP", "mAP_annotated", "keep_ratio", "transition_accuracy", "naming", "ece")
SHOWN += ("reason_precision", "reason_coverage", "transition_precision", "transition_recall")


@numerics()
def train_run(
    clips: Sequence[RelationClip],
    vocabulary: Vocabulary,
    config: Config,
    *,
    seed: int,
    held_out: Sequence[RelationClip] = (),
    eval_every: int = 0,
    start: Mapping[str, Tensor] | None = None,
    **options: Unpack[FitOptions],
) -> Run:
    """Train a model and build its label bank; ``held_out``, ``eval_every`` and ``start`` as :func:`learn` takes them.

    Raises:
        UserError: When a clip has no relations or no target, or every class but one is missing.
    """
    several = vocabulary.multi_label
    for clip in clips:
        if clip.relations is None or (clip.targets if several else clip.target) is None:
            raise UserError(f"clip {clip.id}", None, "relations and an action, which training needs")
    prior = class_prior(clips, len(vocabulary.actions)) if several else []
    if several:  # a clip without a single token teaches nothing but the prior
        clips = [clip for clip in clips if clip.valid.any()]
        if not clips:
            raise UserError("training clips", "no pair of tracked objects in any", "at least one clip with one")
    if len(vocabulary.relations) < 2:  # one relation says nothing: the video model learns alone
        config = replace(config, loss=replace(config.loss, guidance=False))
    taught = config.loss.guidance and config.loss.video and config.loss.naming and not vocabulary.only_measured
    if not taught:  # nothing teaches a chain of names, or names are measured from the boxes
        config = replace(config, model=replace(config.model, naming="nearest"))
    if len(vocabulary.relations) > 1 and config.data.relations == "prediction":
        clips = out_of_fold(clips, vocabulary, config, seed=seed)
    model, result = learn(
        clips, vocabulary, config, seed=seed, held_out=held_out, eval_every=eval_every, start=start, **options
    )
    config = sized_for(config, clips)
    if model.forest is not None:
        config = replace(config, model=replace(config.model, forest_size=(*model.forest.size,)))
    packed = PackedClips(clips, slots=config.data.slots, window=config.data.window)

    def bank_of(model: LaIAR) -> LabelBank:
        batches = (batch for _, batch in evaluation_batches(packed, config.data.frames))
        return build_bank(model, batches, vocabulary.naming, nameable_relations(vocabulary))

    run = Run(model, vocabulary, config, bank_of(model), prior, history=result.history)
    if result.best is not None:
        best = deepcopy(model)
        best.load_state_dict(result.best.weights)
        run.best, run.best_bank = result.best, bank_of(best)
    run.clip_seconds = float(np.median([c.times[-1] - c.times[0] for c in clips if len(c.times)] or [0.0]))
    if several:
        run.calibrated = "not calibrated: a clip shows any number of actions"
    share = float(np.mean([a.keep.sum() / max(1, a.valid.sum()) for a in answer_clips(run, clips[:64], explain=False)]))
    if share < 0.1:
        print(
            f"warning: the token selectors keep {share:.0%} of the tokens; they have collapsed. Next: raise "
            "--select.share, or use --preset default",
            file=sys.stderr,
        )
    return run


def held_out_groups(clips: Sequence[RelationClip]) -> set[str]:
    """Return the groups (people) that calibration holds out: as near to a third of the clips as whole groups come."""
    counts = Counter(clip.group for clip in clips)
    out: set[str] = set()
    for group, count in sorted(counts.items(), key=lambda item: (abs(item[1] - len(clips) / 3), item[0])):
        size = sum(counts[g] for g in out)
        if len(out) + 1 < len(counts) and abs(size + count - len(clips) / 3) < abs(size - len(clips) / 3):
            out.add(group)
    return out


def calibrate(
    clips: Sequence[RelationClip], vocabulary: Vocabulary, config: Config, *, seed: int, **options: Unpack[FitOptions]
) -> Calibration | None:
    """Choose temperature, threshold and the calibration of names on training groups that a second model never saw.

    Of clips of a single group, about a third is held out. ``options`` say how the second model trains.

    Returns:
        ``None`` where those left over cannot be learned from.
    """
    out = held_out_groups(clips)
    apart = [clip.group in out if out else int(sha256(clip.id)[:8], 16) % 3 == 0 for clip in clips]
    held, inner = ([c for c, own in zip(clips, apart, strict=True) if own is side] for side in (True, False))
    if not held or not inner or (not vocabulary.multi_label and len({c.target for c in inner}) < 2):
        return None
    try:
        run = train_run(inner, vocabulary, config, seed=seed, **options)
    except UserError:  # such as no pair with a relation: too little is left over
        return None
    groups = f"{len(out)} held-out training group{'s' if len(out) > 1 else ''}"
    return calibration_of(run, held, f"on {groups if out else 'held-out training clips'}")


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
    """Train on the training side of a fold, measure on its test side, and save the run.

    Raises:
        UserError: For bad data, an unknown fold or a folder that is not a run's.
    """
    check_run_folder(out)
    config = replace(config, data=check_data_config(config.data))
    found = read_relations(data, root, config.data)
    train_clips, test_clips = found.fold(fold)
    sums = sorted(map(clip_sum, train_clips))
    perception = open_perception(config.data, found.vocabulary)
    domain, box_domain = None, None
    if perception is not None:
        perception.to(resolve_device(options.device))
        how = clip_settings(config.data, config.model.mask_size, out.absolute().parent / "features", labelled_only=True)
        extracted = extract_clips(perception, found, train_clips, how, progress=progress)
        train_clips, domain = extracted.clips, extracted.domain()
        no_frames = perception.encoder is None or domain is None
        if config.data.boxes == "detected" and no_frames:  # annotated pairs are not those that a detector finds
            box_domain = fit_box_domain(train_clips, len(found.vocabulary.objects))
        how = replace(how, labelled_only=False)
        test_clips = extract_clips(perception, found, test_clips, how, progress=progress).clips
    train_clips, held_out = options.hold_out(train_clips, lambda clip: clip.group, test_clips)
    with experiment(out, options, config=asdict(config), progress=progress) as fit_options:
        run = train_run(
            train_clips,
            found.vocabulary,
            config,
            seed=seed,
            held_out=held_out,
            eval_every=options.eval_every,
            **fit_options,
        )
        log = fit_options["history"]
    run.domain, run.box_domain = domain, box_domain
    if config.optim.calibrate:
        calibration = calibrate(
            train_clips,
            found.vocabulary,
            config,
            seed=seed,
            progress=progress,
            device=options.device,
            precision=options.precision,
        )
        if calibration is not None:
            calibration.give_to(run)
    scores = _scores(run, list(answer_clips(run, test_clips)))
    trained_on = f"{len(train_clips)} clips of {_people(train_clips)}"
    card: dict[str, Any] = {
        "data": data,
        "split_sha256": found.split_sha256(fold),
        "licence": "Apache-2.0",
        "seed": seed,
        "metrics": {k: scores[k] for k in SHOWN if k in scores},
        "extra": {"fold": fold, "trained_on": trained_on, "train_clips_sums": sums, **options.about},
    }
    if terms := run.model.terms:
        card["extra"]["shares"] = {name: float(term.share) for name, term in terms.items()}
    if perception is not None:
        card["extra"]["perception"] = describe_perception(perception, config.data)
    rivals: dict[str, float] = {}
    if not found.vocabulary.multi_label:
        rivals = measure_rivals(train_clips, test_clips, found.vocabulary)
        if run.config.model.app_width and run.config.loss.guidance:
            rivals["two-stage"] = language_recall(run, test_clips, relation_prior(train_clips, found.vocabulary))
        card["metrics"] |= {f"mAR of {name}": value for name, value in rivals.items()}
    best = None if run.best is None else options.best_card(card, run.best)
    save_run(run, out, card, history=log.text() if log else "", best=best)
    if perception is not None:
        keep_detector(perception, config.data, out)
        if best is not None:
            keep_detector(perception, config.data, out / BEST)
    if rivals:
        print(compare_rivals(scores["mAR"], rivals, annotated=not found.vocabulary.only_measured), file=sys.stderr)
    return card


def evaluate(
    run: Path, data: str, root: Path | None, *, fold: int | None = None, progress: bool = True
) -> dict[str, Any]:
    """Measure a run on the test side of a fold (its own by default): accuracy, explanation, calibration.

    Raises:
        UserError: For a damaged run, bad data or another vocabulary than the run's, or where the run was trained on
            some of the test clips.
    """
    return score_all(open_evaluation((run, data, root, fold), progress=progress))


def open_evaluation(
    settings: tuple[Path, str, Path | None, int | None], *, progress: bool = False, device: str = "cpu"
) -> Parts:
    """Open a run's evaluation on the test side of a fold, in parts; settings are run, data, root and fold.

    Raises:
        UserError: As :func:`evaluate`.
    """
    run, data, root, fold = settings
    loaded = load_run(run)
    loaded.model.to(resolve_device(device))
    fold = (loaded.card or {}).get("extra", {}).get("fold", 1) if fold is None else fold
    place = _place(loaded, data, root)
    found = _read(loaded, data, place)
    train_clips, test_clips = found.fold(fold)
    split = found.split_sha256(fold)
    if place != root:
        refuse_other_data(loaded.card or {}, fold, split, place)
    refuse_trained_clips(loaded, data, found, fold)
    perception = run_perception(loaded, found.vocabulary)
    if perception is not None:
        how = _clip_settings(loaded)
        test_clips = extract_clips(perception, found, test_clips, how, progress=progress).clips
        if how.detect:  # baselines learn from what the model learned from
            how = replace(how, labelled_only=True)
            train_clips = extract_clips(perception, found, train_clips, how, progress=progress).clips
    identity = {
        "run": loaded.sha256,
        "data": data,
        "fold": fold,
        "split": split,
        "inputs": inputs_sum(test_clips),
        "versions": versions(),
    }
    return Parts(loaded, train_clips, test_clips, found.facts, identity)


def _clip_settings(run: Run) -> ClipSettings:
    return clip_settings(run.config.data, run.config.model.mask_size, Path(run.path).parent / "features")


@numerics()
def predict(
    run: Run,
    inputs: Sequence[str],
    *,
    data: str | None = None,
    root: Path | None = None,
    options: PredictOptions = DEFAULT_OPTIONS,
    progress: bool = True,
    only: Sequence[int] | None = None,
) -> list[Prediction]:
    """Answer video files, or annotated clips by name.

    Args:
        run: A loaded run.
        inputs: Video files; with ``data`` clip names such as ``SUBJECT/ACTIVITY/VIDEO/START-END``.
        data: The data set to look names up in.
        root: The folder that holds it.
        options: How to answer video files.
        progress: Show a bar for each video.
        only: The positions of the inputs to answer; all by default.

    Raises:
        UserError: For an unknown clip, a bad video or bad data.
        PartialFailure: When only some of several inputs are at fault.
    """
    if data is None and (root is None or all(Path(name).is_file() for name in inputs)):
        if root is not None:
            expected = "an annotated clip as INPUT, not a video file"
            raise UserError("--root", root, expected, "leave --root out, or give --data NAME")
        return predict_videos(run, inputs, options, progress=progress, only=only)
    for item in fields(options):
        value, option = getattr(options, item.name), f"--{item.name.replace('_', '-')}"
        if value not in (None, False):
            expected = "a video file as INPUT; an annotated clip brings its own boxes and length"
            raise UserError(option, value, expected, f"leave {option} out")
    name = data or str((run.card or {}).get("data"))

    def answer(clip: str) -> list[Prediction]:
        found = _read(run, name, root, only=clip)
        clips, perception = list(found.clips), run_perception(run, found.vocabulary)
        if perception is not None:
            clips = extract_clips(perception, found, clips, _clip_settings(run), progress=progress).clips
        return [explain(run, a, source=clip, data=name) for a in answer_clips(run, clips)]

    return for_each(inputs, answer, only)


def _scores(run: Run, answers: list[Answer]) -> dict[str, Any]:
    return score_labels(run, answers) if run.vocabulary.multi_label else score_answers(run, answers)


def _people(clips: Sequence[RelationClip]) -> str:
    groups = sorted({clip.group for clip in clips} - {""})
    return ", ".join(groups) if len(groups) <= 8 else f"{len(groups)} groups"


def _place(run: Run, data: str, root: Path | None) -> Path | None:
    """Return the folder of the data: beside the run for own clips, which the training wrote there."""
    beside = data_folder(Path(run.path))
    is_own = root is None and data == (run.card or {}).get("data") and (beside / FILE).is_file()
    return beside if is_own else root


def _read(run: Run, data: str, root: Path | None, only: str | None = None) -> Any:
    found = read_relations(data, _place(run, data, root), run.config.data, only=only)
    ours, theirs = run.vocabulary, found.vocabulary
    if (ours.objects, ours.relations, ours.actions) != (theirs.objects, theirs.relations, theirs.actions):
        raise UserError(
            "--data", data, f"the words that {run.path} was trained on", "give the --root it was trained on"
        )
    return found


def with_modality(config: Config, rgb_relations: bool) -> Config:
    """Return the settings reading RGB relation scores or not."""
    return replace(config, data=replace(config.data, rgb_relations=rgb_relations))
