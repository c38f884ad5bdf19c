"""PVLR for the verbs: train, evaluate and predict on feature sequences."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from whyact.data.datasets import load_features, load_videos
from whyact.data.relations.clip_folder import data_folder
from whyact.data.types import FeatureSequence
from whyact.data.untrimmed.activitynet import Scored, write_predictions
from whyact.devices import device_of, resolve_device
from whyact.errors import PartialFailure, UserError, for_each
from whyact.prediction import Evidence, LabelScore, Prediction, Provenance, Segment, VideoFacts
from whyact.pvlr.config import PRESETS, Config, PredictOptions, of_run
from whyact.pvlr.evidence import segment_evidence
from whyact.pvlr.inference import class_scores, curves, localise, scores_map
from whyact.pvlr.inputs import Inputs, blocks
from whyact.pvlr.learner import label_matrix, learn
from whyact.pvlr.model import PVLR, FixedText
from whyact.pvlr.parts import Parts, refuse_trained_videos, video_sum
from whyact.pvlr.sets import build_model, resolve
from whyact.pvlr.timeline import SHOWN, choose_level, draw_curves, segments_of, timeline
from whyact.report.exports import unique_names
from whyact.report.webvtt import write_webvtt
from whyact.training.checkpoint import (
    BestWeights,
    check_run_folder,
    load_checkpoint,
    refuse_other_data,
    save_checkpoint,
    trained_on,
    unreadable,
    versions,
)
from whyact.training.evaluation import inputs_sum, score_all
from whyact.training.experiment import experiment
from whyact.training.fit import Validation
from whyact.training.numerics import seed_everything
from whyact.training.options import DEFAULTS, TrainOptions

__all__ = ["PRESETS", "Config", "PredictOptions", "Run", "evaluate", "load", "open_evaluation", "predict", "train"]

DEFAULT_OPTIONS = PredictOptions()
TEXTS = "class_texts"  # the tensor that makes a saved model independent of any text tower
EXPLAINED = (10, 100_000)  # segments with evidence at most; and snippets a removal reruns, over all segments
LEVEL_VIDEOS = 200  # training videos at most that choose the level of a timeline


@dataclass(frozen=True)
class Run:
    """A trained model with everything that inference needs."""

    model: PVLR
    text: Tensor
    classes: tuple[str, ...]
    config: Config
    card: dict[str, Any]
    sha256: str
    folder: str


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
    """Train on video-level labels, save the run, and return its card.

    Args:
        data: A name out of :data:`whyact.data.datasets.DATASETS`.
        root: The folder that holds it.
        out: The run folder to write.
        config: Settings; what they leave to the data is filled in.
        fold: Number of the generated world or composition.
        seed: Of everything random.
        progress: Show a bar.
        options: Where to compute, and what to measure on the way.

    Raises:
        UserError: On bad data, settings or folders.
    """
    check_run_folder(out)
    split = load_features(data, root, fold)
    config = resolve(config, split)
    seed_everything(seed)
    model = build_model(config, split.prompts)
    if config.start:
        start_from(model, Path(config.start))
    config = replace(config, model=model.cfg)
    videos, held_out = options.hold_out(split.train, lambda video: video.id, split.test)
    validation = None
    if options.eval_every:
        validation = Validation(options.eval_every, lambda: measure(model, held_out, config), "classification_mAP")
    with experiment(out, options, config=asdict(config), progress=progress) as fit_options:
        result = learn(model, videos, len(split.classes), config, seed=seed, validation=validation, **fit_options)
        log = fit_options["history"]
    with torch.no_grad():
        text = model.text().cpu()
    metrics: dict[str, Any] = {}
    if any(video.segments for video in split.test):
        metrics = score_all(Parts(model.cpu(), text, split, config, {}))
    elif split.test:  # without times of the test videos their labels can be measured, and nothing else
        metrics = measure(model, split.test, config)
    card = {
        "method": "pvlr",
        "data": data,
        "split_sha256": split.sha256,
        "licence": "",
        "seed": seed,
        "metrics": {name: value for name, value in metrics.items() if isinstance(value, float)},
        "versions": versions(),
        "extra": {
            "classes": list(split.classes),
            "prompts": list(split.prompts),
            "fold": fold,
            "note": split.note,
            "train_videos": len(videos),
            "train_videos_sums": " ".join(sorted(map(video_sum, videos))),
            "segment_level": _level(model, text, videos, len(split.classes), config),
            "seconds": round(result.seconds, 1),
            "snippet_seconds": 1.0 / split.train[0].rate,
            "recipe": msgspec.to_builtins(split.recipe) if split.recipe else None,
            **options.about,
        },
    }
    best = None
    if result.best is not None:
        chosen = deepcopy(model)
        chosen.load_state_dict(result.best.weights)
        with torch.no_grad():
            tensors = {**chosen.state_dict(), TEXTS: chosen.text()}
        best = BestWeights(tensors, options.best_card(card, result.best))
    save_checkpoint(
        Path(out),
        {**model.state_dict(), TEXTS: text},
        msgspec.to_builtins(config),
        card,
        history=log.text() if log else "",
        best=best,
    )
    return card


def _level(model: PVLR, text: Tensor, videos: Sequence[FeatureSequence], classes: int, config: Config) -> float:
    """Return the level of a timeline, chosen on training videos spread evenly over all."""
    chosen = videos[:: max(1, -(-len(videos) // LEVEL_VIDEOS))]
    cfg = config.inference
    found = [localise(curves(model, video.features, text, cfg.chunk), cfg) for video in chosen]
    return round(choose_level(found, label_matrix(chosen, classes), cfg), 4)


@torch.no_grad()
def measure(model: PVLR, videos: Sequence[FeatureSequence], config: Config) -> dict[str, float]:
    """Return the classification mAP of videos: all that their video-level labels can tell."""
    text = model.text()
    scores = [class_scores(curves(model, video.features, text, config.inference.chunk)) for video in videos]
    return {"classification_mAP": scores_map(scores, videos)}


def start_from(model: PVLR, folder: Path) -> None:
    """Load a run's weights into a model that is about to be trained.

    Raises:
        UserError: When the folder is no run, or one of other sizes or another source of class texts.
    """
    tensors = {name: value for name, value in load_checkpoint(folder).tensors.items() if name != TEXTS}
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        found = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise UserError(f"--start {folder}", found, "a run of the same sizes, text source and classes") from error


def load(folder: Path) -> Run:
    """Load a run for inference; no text tower is needed.

    Raises:
        UserError: When the folder is not a whole run of this method.
    """
    saved = load_checkpoint(folder)
    if saved.card["method"] != "pvlr":
        raise UserError(folder, f"a run of {saved.card['method']}", "a run of pvlr")
    try:
        config = of_run(saved.config)
        text = saved.tensors[TEXTS]
        model = PVLR(config.model, FixedText(text))
        own = {k: v for k, v in saved.tensors.items() if k != TEXTS and not k.startswith("text.")}
        model.load_state_dict({**own, "text.features": text})
    except (msgspec.ValidationError, KeyError, RuntimeError) as error:
        raise unreadable(folder, error) from error
    classes = tuple(saved.card["extra"]["classes"])
    return Run(model.eval(), text, classes, config, saved.card, saved.sha256, str(folder))


def evaluate(
    run: Path, data: str, root: Path | None, *, fold: int | None = None, progress: bool = True
) -> dict[str, Any]:
    """Measure a run on the test part of a data set: detection mAP in both protocols, classification mAP.

    Raises:
        UserError: When the data's classes are not the run's, the test part has no segments, or the run was trained on
            some of it.
    """
    return score_all(open_evaluation((run, data, root, fold)))


def open_evaluation(
    settings: tuple[Path, str, Path | None, int | None], *, progress: bool = False, device: str = "cpu"
) -> Parts:
    """Open a run's evaluation on a data set, in parts; settings are run, data, root and fold.

    Raises:
        UserError: As :func:`evaluate`.
    """
    run, data, root, fold = settings
    loaded = load(run)
    loaded.model.to(resolve_device(device))
    fold = fold if fold is not None else int(loaded.card["extra"]["fold"])
    beside = data_folder(run)
    is_own = root is None and data == loaded.card["data"] == "folder" and beside.is_dir()
    split = load_features(data, beside if is_own else root, fold)  # own videos, encoded there by the training
    if is_own:
        refuse_other_data(loaded.card, fold, split.sha256, beside)
    if split.classes != loaded.classes:
        unseen = sorted(set(split.classes) - set(loaded.classes))
        raise UserError(data, ", ".join(unseen[:5]) or "other order", "the classes that the run was trained on")
    if not any(video.segments for video in split.test):
        raise UserError(data, "no segments in the test part", "test videos with annotated segments")
    own = partial(load_features, data, root) if data == loaded.card["data"] else None
    refuse_trained_videos(run, loaded.card, split, fold, own)
    identity = {
        "run": loaded.sha256,
        "data": data,
        "fold": fold,
        "split": split.sha256,
        "inputs": inputs_sum(rows for video in split.test for rows in blocks(video.features)),
        "versions": versions(),
    }
    answer = partial(predict_sequence, loaded)
    return Parts(loaded.model, loaded.text, split, loaded.config, identity, answer)


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
    """Say when which action happens in each input, with evidence for every segment.

    Args:
        run: A loaded run.
        inputs: Videos, ``.npy`` files of snippet features (T,D), or names of videos of ``data``.
        data: The data set to look names up in.
        root: The folder that holds it.
        options: What else to write, and where encoders come from.
        progress: Without effect.
        only: The positions of the inputs to answer; all by default. Answers are named as among all.

    Raises:
        UserError: On a missing input, or features of another width.
        PartialFailure: When only some of several inputs are at fault.
    """
    options.check(inputs, named=data is not None)
    known: dict[str, FeatureSequence] = {}
    if data is not None:
        fold = int(run.card["extra"]["fold"])
        known = {video.id: video for video in load_videos(data, root, fold, set(inputs))}
    scored: dict[str, list[Scored]] = {}
    files = [name for name in inputs if name not in known]
    identity = dict(zip(files, unique_names(files), strict=True))  # base names repeat from folder to folder
    with tempfile.TemporaryDirectory(prefix="whyact-") as scratch:
        reader = Inputs(run.card, known, options.weights, device_of(run.model))

        def answer(name: str) -> list[Prediction]:
            video, facts = reader.read(name, Path(scratch))
            prediction, rows = _predict(run, replace(video, id=identity.get(name, video.id)), facts, options.all)
            scored[prediction.id] = rows
            return [prediction]

        failure: PartialFailure | None = None
        try:
            predictions = for_each(inputs, answer, only)
        except PartialFailure as some:  # what the others gave is written all the same
            predictions, failure = some.done, some
    if options.activitynet is not None:
        write_predictions(options.activitynet, scored)
    if options.vtt is not None:
        for prediction in predictions:
            write_webvtt(prediction, options.vtt / f"{prediction.id}.vtt")
    if failure is not None:
        raise failure
    return predictions


def predict_sequence(run: Run, video: FeatureSequence, facts: VideoFacts | None = None) -> Prediction:
    """Return the prediction about one feature sequence.

    Raises:
        UserError: When the features have another width than the model was built for.
    """
    return _predict(run, video, facts)[0]


def _predict(
    run: Run, video: FeatureSequence, facts: VideoFacts | None, ranked: bool = False
) -> tuple[Prediction, list[Scored]]:
    cfg = run.config
    width = cfg.model.rgb_width + cfg.model.flow_width
    if video.features.shape[1] != width:
        raise UserError(
            video.id, f"features of width {video.features.shape[1]}", f"width {width}, as the run was trained on"
        )
    found = curves(run.model, video.features, run.text, cfg.inference.chunk)
    detections = localise(found, cfg.inference)
    order = np.argsort(-detections.probability, kind="stable")
    labels = [LabelScore(label=run.classes[c], score=float(detections.probability[c])) for c in order]
    facts = facts or VideoFacts(path=video.id, duration=len(video.features) / video.rate)
    extra = run.card["extra"]
    level = float(extra.get("segment_level", 0.0))
    clean = timeline(detections, cfg.inference, level)
    rows_shown = np.argsort(-detections.score, kind="stable").tolist() if ranked else clean[:SHOWN]
    segments = segments_of(found, detections, rows_shown, run.classes, video.rate, cfg.inference)
    explained = max(1, min(EXPLAINED[0], EXPLAINED[1] // len(video.features)))
    evidence = segment_evidence(
        run.model, video.features, run.text, found, segments[:explained], run.classes, video.rate, cfg.inference
    )
    spans: list[Segment | Evidence] = [*segments, *evidence]
    for span in spans:  # the last snippet may reach past the end of a video: it is cut, and some of it stays
        span.end = min(span.end, max(facts.duration, span.end - 1 / video.rate + 1e-3))
    notes = [f"About the training: {extra['note']}."] if extra.get("note") else []
    if explained < min(EXPLAINED[0], len(segments)):
        notes.append(f"The video is long: there is evidence for the {explained} best of {len(segments)} segments only.")
    if not segments:
        notes.append("No segment was found: no action stands out in any stretch of this video.")
    if not ranked and len(detections) > len(segments):
        floor = f" and {level:.2f}, a level chosen on training videos" if level else ""
        notes.append(
            "No two segments of one action overlap, and each scores at least half of the best of that action"
            f"{floor}. All {len(detections)} proposals: --all."
        )
        if len(clean) > len(segments):
            notes.append(f"Of {len(clean)} such segments the {len(segments)} with the highest scores are listed.")
    shown = {run.classes.index(segment.label) for segment in segments}
    prediction = Prediction(
        id=video.id,
        video=facts,
        labels=labels,
        segments=segments,
        annotated=[
            Segment(start=a, end=b, label=run.classes[c], score=1.0)
            for a, b, c in video.segments
            if c < len(run.classes)
        ],
        evidence=evidence,
        curves=draw_curves(found, video, run.classes, shown or {int(order[0])}),
        target="; ".join(run.classes[c] for c in video.target if c < len(run.classes)),
        unsure=bool(detections.probability.max() < cfg.inference.class_threshold),
        threshold=cfg.inference.class_threshold,
        notes=notes,
        provenance=Provenance(
            method="pvlr",
            checkpoint=os.path.basename(run.folder.rstrip("/")),
            checkpoint_sha256=run.sha256,
            trained_on=trained_on(run.card),
            split_sha256=run.card["split_sha256"],
            prompt=f"{cfg.model.prefix} learned + class name + {cfg.model.postfix} learned, {cfg.text}"
            if cfg.text != "sentence"
            else "class name, sentence encoder, learned projection",
            sampler="every snippet",
            seed=run.card["seed"],
            versions=run.card["versions"],
        ),
    )
    columns = (detections.start / video.rate, detections.end / video.rate, detections.label, detections.score)
    rows = [(float(s), float(e), run.classes[c], float(score)) for s, e, c, score in zip(*columns, strict=True)]
    return prediction, rows
