"""The cells of ``laiar-homeworld``: film a world once; train and measure one row on it."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from whyact.data.types import RelationClip
from whyact.laiar.answers import answer_clips
from whyact.laiar.baselines import BASELINES
from whyact.laiar.config import Config
from whyact.laiar.relation_network import train_network, with_predictions
from whyact.laiar.scoring import faithfulness, language_recall, score_answers
from whyact.laiar.task import calibrate, train_run
from whyact.metrics.recall import mean_recall
from whyact.reproduce.homeworld_clips import World, fold_detector, fold_metrics, world
from whyact.reproduce.laiar_cells import JOINED, REASONS, SHARE
from whyact.reproduce.laiar_cells import settings as boxes_settings
from whyact.reproduce.study import CPU

LANGUAGE_LR, LANGUAGE_EPOCHS = 5e-4, 48  # chosen on world 21, which no table uses
SELECTED = "selected"
NETWORKS = ("strict-sim", "predicted-relations", "no-pixels", SELECTED)  # as the network alone, but for one thing
EVIDENCE = (  # measures of the evidence
    *REASONS,
    "transition_precision",
    "transition_recall",
    "naming_ece",
    "naming",
    "naming_kept",
    "transition_accuracy",
    "transition_accuracy_top3",
    "keep_changing",
    "keep_unchanging",
    "comprehensiveness",
    "comprehensiveness_random",
    "sufficiency",
    "sufficiency_random",
)


def settings(row: str, epochs: int | None) -> Config:
    """Return the settings of a row; a row's name says what it switches.

    ``full`` is the preset ``default``, calibrated, with the forest beside the network; the others are networks alone.
    ``selected`` has both selectors, and so has every row whose name begins like that; what follows is as
    :func:`whyact.reproduce.laiar_cells.settings` takes it. The language model alone learns next to nothing at their
    learning rate here; its own was chosen on another world.
    """
    if row == "full":
        return boxes_settings(JOINED, epochs)
    if row == "language":
        config = boxes_settings(row, epochs)
        return replace(config, optim=replace(config.optim, lr=LANGUAGE_LR))
    name = "video-boxes" if row in NETWORKS else f"video-boxes-{row.removeprefix(f'{SELECTED}-')}"
    config = boxes_settings(name, epochs, selectors=row.startswith(SELECTED))
    if row == "strict-sim":
        return replace(config, loss=replace(config.loss, sim_mode="strict"))
    if row == "predicted-relations":
        return replace(config, data=replace(config.data, relations="prediction"))
    return config


@lru_cache(maxsize=1)
def _world(folder: str, seed: int, boxes: str) -> World:
    return world(Path(folder), seed, boxes)


def detector_cell(params: dict[str, Any]) -> dict[str, Any]:
    """Train the detector of one fold."""
    detector = fold_detector(Path(params["folder"]), params["fold"])
    return {"sha256": detector.sha256, **fold_metrics(Path(params["folder"]), params["fold"])}


def prepare_cell(params: dict[str, Any]) -> dict[str, Any]:
    """Film one world; the clips are kept on disk, with both kinds of boxes."""
    made = world(Path(params["folder"]), params["world"], "oracle")
    return {"train": len(made.train), "test": len(made.test)}


def cell(params: dict[str, Any]) -> dict[str, Any]:
    """Train and measure one cell.

    Args:
        params: ``row``, ``boxes`` (oracle, detected), ``world``, ``seed``, ``folder`` of the filmed worlds, and
            ``config`` of a row that is no baseline: a change of settings is another cell.
    """
    made = _world(params["folder"], params["world"], params["boxes"])
    row, seed, words = params["row"], params["seed"], made.vocabulary
    train, test = made.train, made.test
    if row in BASELINES or row == "no-pixels":
        train, test = [replace(c, pixels=None) for c in train], [replace(c, pixels=None) for c in test]
    if row in BASELINES:
        return {"mAR": _recall(test, BASELINES[row].predict(train, test, words, seed), made)}
    config, where = msgspec.convert(params["config"], Config), params.get("device", CPU)
    run = train_run(train, words, config, seed=seed, device=where)
    if row == "language":
        with torch.no_grad():
            true = language_recall(run, test)
        network = train_network(train, words, config, seed=seed)
        return {"mAR": true, "two_stage_mAR": language_recall(run, with_predictions(network, test, words, config))}
    if row == "full":
        calibration = calibrate(train, words, config, seed=seed, device=where)
        if calibration is not None:
            calibration.give_to(run)
    answers = list(answer_clips(run, test))
    scores: dict[str, Any] = score_answers(run, answers)
    shown, unseen = scores["transition_clips"], scores["transition_unseen"]
    if shown + unseen:  # what no track makes cannot be named: it counts as wrong
        for metric in ("transition_accuracy", "transition_accuracy_top3"):
            scores[metric] = (scores[metric] or 0.0) * shown / (shown + unseen)
    if row == "full":
        scores |= faithfulness(run, answers, seed=seed)
        if run.model.forest is not None:
            scores[SHARE] = float(run.model.forest.share)
            run.model.forest = None
            alone = np.array([a.predicted for a in answer_clips(run, test, explain=False)])
            scores["alone"] = {"mAR": _recall(test, alone, made)}
    return {name: value for name, value in scores.items() if name not in ("risk_coverage", "recall")}


def _recall(clips: list[RelationClip], predicted: NDArray[np.int64], made: World) -> float:
    target = np.array([c.target for c in clips])
    return mean_recall(target, predicted, len(made.vocabulary.actions)).with_null
