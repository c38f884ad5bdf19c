"""The cells of the LaIAR studies: one row of a table, trained on one fold with one seed, and measured."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from whyact.data.relations.cad120 import read
from whyact.data.relations.packed import PackedClips
from whyact.data.relations.relation_data import RelationData
from whyact.data.types import RelationClip
from whyact.homeworld.write import write_world
from whyact.laiar.answers import answer_clips
from whyact.laiar.baselines import BASELINES
from whyact.laiar.batches import evaluation_batches
from whyact.laiar.config import PRESETS, Config
from whyact.laiar.reasons import claims_of
from whyact.laiar.runs import Run
from whyact.laiar.scoring import faithfulness, language_recall, score_answers
from whyact.laiar.task import calibrate, train_run
from whyact.laiar.two_stage import relation_prior
from whyact.metrics.recall import mean_recall
from whyact.reproduce.study import CPU

RGB = "video-boxes+rgb-relations"
LITERAL = f"{RGB}-paper-literal"
JOINED = "video-boxes-with-forest"  # what users get; the other rows are the networks alone
COMPARED = {  # one thing changed in `video-boxes`
    "video-boxes-numbers-none": "numbers through one linear layer, as in the paper",
    "video-boxes-numbers-piecewise": "numbers embedded piecewise linearly, not by periodic features",
    "video-boxes-longer": "twice the epochs",
    "video-boxes-averaged": "an exponential average of the weights, decay 0.99 a step",
    "video-boxes-resampled": "the same training; an answer is the mean of eight samplings of a clip's frames",
    "video-boxes-pretrained": "weights start from two generated worlds of homeworld (states, no pixels)",
}
PRETRAINED, RESAMPLED = "video-boxes-pretrained", "video-boxes-resampled"
SAMPLINGS = 7  # of a clip's frames, moved as in training, beside the even one
SHARE = "forest_share"  # how often the forest's log-probabilities are counted beside the logits
REASONS = ("reason_precision", "reason_coverage", "reason_decisive", "reason_ece")
PRETRAINING = (900, 901)  # seeds of those worlds, which no table uses


def settings(row: str, epochs: int | None, *, selectors: bool | None = None) -> Config:
    """Return the settings of a row; a row's name says what it switches.

    ``language`` trains the language model alone; ``-no-scheme`` trains the video model alone. Rows with RGB scores (or
    all rows, with ``selectors``) have both selectors, with ``-keep-all`` none, with ``-temporal-only`` and
    ``-spatial-only`` one; other rows have none. ``-only-sim``, ``-only-tss``, ``-only-xm`` and ``-only-sim-xm`` switch
    on only those losses of the guidance (without L_tss the selectors learn from their own model's attention);
    ``-paper-literal`` is that preset.
    """
    config = PRESETS["paper-literal" if row == LITERAL else "default"]
    if epochs is not None:
        config = replace(config, optim=replace(config.optim, epochs=epochs))
    config = replace(config, data=replace(config.data, rgb_relations=row.startswith(RGB) or row == "language"))
    if row in (LITERAL, JOINED):
        return config
    config = replace(config, model=replace(config.model, box_forest=False))
    loss = config.loss
    if row in COMPARED:
        return _compared(row, config)
    everything = replace(config.select, temporal=False, spatial=False)
    has_selectors = row.startswith(RGB) if selectors is None else selectors
    select = replace(config.select, temporal=True, spatial=True) if has_selectors else everything
    suffix = row.removeprefix(RGB).removeprefix("video-boxes")
    if row == "language":
        select, loss = everything, replace(loss, video=False)
    elif suffix.startswith("-no-scheme"):
        loss = replace(loss, guidance=False)
        select = {
            "": select,
            "-keep-all": everything,
            "-temporal-only": replace(select, spatial=False),
            "-spatial-only": replace(select, temporal=False),
        }[suffix.removeprefix("-no-scheme")]
    elif suffix == "-keep-all":
        select = everything
    elif suffix:
        on = set(suffix.removeprefix("-only-").split("-"))
        loss = replace(
            loss,
            sim=loss.sim if "sim" in on else 0.0,
            tss=loss.tss if "tss" in on else 0.0,
            xm=loss.xm if "xm" in on else 0.0,
        )
    return replace(config, select=select, loss=loss)


def _compared(row: str, config: Config) -> Config:
    """Return settings with the one thing changed that a row of :data:`COMPARED` says."""
    if row == "video-boxes-longer":
        return replace(config, optim=replace(config.optim, epochs=2 * config.optim.epochs))
    if row == "video-boxes-averaged":
        return replace(config, optim=replace(config.optim, average=0.99))
    if row == "video-boxes-numbers-none":
        return replace(config, model=replace(config.model, numbers="none"))
    if row == "video-boxes-numbers-piecewise":
        return replace(config, model=replace(config.model, numbers="piecewise"))
    return config


@lru_cache(maxsize=1)
def _pretrained(epochs: int | None, device: str) -> dict[str, torch.Tensor]:
    """Return the weights of a model of generated worlds, trained once a worker."""
    found = []
    for seed in PRETRAINING:
        with tempfile.TemporaryDirectory() as folder:
            found.append(read(write_world(Path(folder) / "world", seed=seed)))
    clips = [clip for world in found for clip in world.clips]
    run = train_run(clips, found[0].vocabulary, settings(PRETRAINED, epochs), seed=0, device=device)
    return run.model.state_dict()


@lru_cache(maxsize=1)
def _read(root: str, rgb_relations: bool) -> RelationData:
    """Read the data once a worker."""
    return read(Path(root), rgb_relations=rgb_relations)


def cell(params: dict[str, Any]) -> dict[str, Any]:
    """Train and measure one cell.

    Args:
        params: ``row``, ``fold``, ``seed``, ``root``, ``rgb`` (whether the scores are there), ``epochs`` (or ``None``
            for the preset's), ``device`` (where it trains); ``without`` trains without
            these two people and answers them instead.
    """
    found = _read(params["root"], params["rgb"])
    if params.get("without"):
        return _held_out(found, params)
    row, fold, seed = params["row"], params["fold"], params["seed"]
    train, test = found.fold(fold)
    if row in BASELINES:
        predicted = BASELINES[row].predict(train, test, found.vocabulary, seed)
        return {"target": [c.target for c in test], "predicted": [int(p) for p in predicted]}
    config = settings(row, params["epochs"])
    if not config.data.rgb_relations:
        train, test = [replace(c, appearance=None) for c in train], [replace(c, appearance=None) for c in test]
    where = params.get("device", CPU)
    start = _pretrained(params["epochs"], where) if row == PRETRAINED else None
    run = train_run(train, found.vocabulary, config, seed=seed, start=start, device=where)
    target = [c.target for c in test]
    if row == RESAMPLED:
        scored = mean_recall(
            np.array(target), predict_over_samplings(run, test, seed=seed), len(found.vocabulary.actions)
        )
        return {"target": target, "mAR": scored.with_null}
    if row == "language":
        scores: dict[str, Any] = {"mAR": language_recall(run, test), "target": target}
        if params["rgb"]:
            scores["two_stage_mAR"] = language_recall(run, test, relation_prior(train, found.vocabulary))
        return scores
    if row == JOINED:
        calibration = calibrate(train, found.vocabulary, config, seed=seed, device=where)
        if calibration is not None:
            calibration.give_to(run)
    answers = list(answer_clips(run, test))
    scores = {"target": target, "logits": np.stack([a.logits for a in answers]).round(4).tolist()}
    scores["claims"] = claims_of(run, answers).to_lists()
    scores |= score_answers(run, answers)
    if run.model.forest is not None:
        scores[SHARE] = float(run.model.forest.share)
    if row in (RGB, "video-boxes"):
        scores |= faithfulness(run, answers, seed=seed)
    scores["kept"] = [[int(i) for i in np.flatnonzero(a.keep)] for a in answers]
    scores["valid"] = [list(a.valid.shape) for a in answers]
    return scores


@torch.no_grad()
def predict_over_samplings(run: Run, clips: Sequence[RelationClip], *, seed: int) -> np.ndarray:
    """Return the action of each clip (N,) by its mean probability over several samplings of the clip's frames."""
    config, random = run.config.data, np.random.default_rng(seed)
    packed = PackedClips([clip.without_relations() for clip in clips], slots=config.slots, window=config.window)
    out = torch.zeros(len(clips), len(run.vocabulary.actions))
    for index, even in evaluation_batches(packed, config.frames):
        moved = [packed.jittered_positions(index, config.frames, config.time_jitter, random) for _ in range(SAMPLINGS)]
        for batch in (even, *(packed.batch(index, positions) for positions in moved)):
            out[index] += (run.model.video(batch).logits / run.temperature).softmax(-1)
    return out.argmax(-1).numpy()


def _held_out(found: RelationData, params: dict[str, Any]) -> dict[str, Any]:
    """Train without two people and answer each of them: one is the other's held-out training person."""
    config, out = settings(params["row"], params["epochs"]), set(params["without"])
    clips = list(found.clips)
    if not config.data.rgb_relations:
        clips = [replace(c, appearance=None) for c in clips]
    training = [c for c in clips if c.group not in out]
    run = train_run(training, found.vocabulary, config, seed=params["seed"], device=params.get("device", CPU))
    held = {}
    for group in sorted(out):
        answers = list(answer_clips(run, [c for c in clips if c.group == group]))
        held[group] = {
            "logits": np.stack([a.logits for a in answers]).round(4).tolist(),
            "target": [a.clip.target for a in answers],
            "claims": claims_of(run, answers).to_lists(),
        }
    return {"held": held}
