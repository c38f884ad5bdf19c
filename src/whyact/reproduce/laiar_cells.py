"""The cells of the LaIAR studies: one row of a table, trained on one fold with one seed, and measured."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from whyact.data.relations.cad120 import read
from whyact.data.relations.relation_data import RelationData
from whyact.laiar.answers import answer_clips
from whyact.laiar.baselines import BASELINES
from whyact.laiar.config import PRESETS, Config
from whyact.laiar.scoring import faithfulness, language_recall, score_answers
from whyact.laiar.task import train_run
from whyact.laiar.two_stage import relation_prior

RGB = "video-boxes+rgb-relations"
LITERAL = f"{RGB}-paper-literal"


def settings(row: str, epochs: int | None) -> Config:
    """Return the settings of a row; a row's name says what it switches.

    ``language`` trains the language model alone; ``-no-scheme`` trains the video model alone; ``-keep-all`` has no
    selectors, ``-temporal-only`` and ``-spatial-only`` one; ``-only-sim``, ``-only-tss``, ``-only-xm`` and
    ``-only-sim-xm`` switch on only those losses of the scheme (without L_tss the selectors learn from their own
    model's attention); ``-paper-literal`` is that preset.
    """
    config = PRESETS["paper-literal" if row == LITERAL else "default"]
    if epochs is not None:
        config = replace(config, optim=replace(config.optim, epochs=epochs))
    config = replace(config, data=replace(config.data, rgb_relations=row.startswith(RGB) or row == "language"))
    if row == LITERAL:
        return config
    select, loss = config.select, config.loss
    everything = replace(select, temporal=False, spatial=False)
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


@lru_cache(maxsize=1)
def _read(root: str, rgb_relations: bool) -> RelationData:
    """Read the data once a worker."""
    return read(Path(root), rgb_relations=rgb_relations)


def cell(params: dict[str, Any]) -> dict[str, Any]:
    """Train and measure one cell.

    Args:
        params: ``row``, ``fold``, ``seed``, ``root``, ``rgb`` (whether the scores are there), ``epochs`` (or ``None``
            for the preset's); ``held_out`` trains on the other training subjects and answers that one instead.
    """
    row, fold, seed = params["row"], params["fold"], params["seed"]
    found = _read(params["root"], params["rgb"])
    train, test = found.fold(fold)
    if params.get("held_out"):
        test = [c for c in train if c.group == params["held_out"]]
        train = [c for c in train if c.group != params["held_out"]]
    if row in BASELINES:
        predicted = BASELINES[row].predict(train, test, found.vocabulary, seed)
        return {"target": [c.target for c in test], "predicted": [int(p) for p in predicted]}
    config = settings(row, params["epochs"])
    if not config.data.rgb_relations:
        train, test = [replace(c, appearance=None) for c in train], [replace(c, appearance=None) for c in test]
    run = train_run(train, found.vocabulary, config, seed=seed)
    target = [c.target for c in test]
    if row == "language":
        scores: dict[str, Any] = {"mAR": language_recall(run, test), "target": target}
        if params["rgb"]:
            scores["two_stage_mAR"] = language_recall(run, test, relation_prior(train, found.vocabulary))
        return scores
    answers = list(answer_clips(run, test, explain=not params.get("held_out")))
    scores = {"target": target, "logits": np.stack([a.logits for a in answers]).round(4).tolist()}
    if params.get("held_out"):
        return scores
    scores |= score_answers(run, answers)
    if row in (RGB, "video-boxes"):
        scores |= faithfulness(run, answers, seed=seed)
    scores["kept"] = [[int(i) for i in np.flatnonzero(a.keep)] for a in answers]
    scores["valid"] = [list(a.valid.shape) for a in answers]
    return scores
