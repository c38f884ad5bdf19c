"""``whyact reproduce laiar-subactivities``: CAD-120's official sub-activities, each person left out in turn.

These actions follow no rule, so that no clip is reversed or cropped: what the other study gains by rules is missing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyact.data.io.archive import sha256_text
from whyact.data.relations.own import read
from whyact.data.relations.relation_data import RelationData
from whyact.errors import UserError
from whyact.laiar.answers import answer_clips
from whyact.laiar.baselines import BASELINES, RIVALS
from whyact.laiar.config import PRESETS, Config
from whyact.laiar.scoring import score_answers
from whyact.laiar.task import calibrate, train_run
from whyact.metrics.recall import mean_recall
from whyact.reproduce.laiar_cells import REASONS, SHARE
from whyact.reproduce.results import Row, header, paired_row, row
from whyact.reproduce.study import CPU, Study

NAME = "laiar-subactivities"
RUNS = Path("runs") / NAME
SEEDS, QUICK_EPOCHS = 3, 6
LAIAR = "video-boxes"
ALONE = f"{LAIAR}-network-alone"
NOTES = {
    LAIAR: "box geometry and object classes; calibrated on one of the two training people, the forest's weight too",
    ALONE: "the same trained networks without the forest's term",
    f"{LAIAR}-no-guidance": "the video model learned alone; the forest's term at its default weight",
}
METRICS = ("accuracy", "mAR")
EVIDENCE = (
    *REASONS,
    "transition_precision",
    "transition_recall",
    "naming",
    "naming_ece",
    "keep_ratio",
)


def run(study: Study) -> None:
    """Run the study: people x seeds x rows, resumable, and write its tables.

    Args:
        study: ``root`` is the folder that holds ``whyact.json``; ``quick`` means one seed, short training; nothing
            is written under ``docs/``.

    Raises:
        UserError: When the data is missing or damaged, or nothing is stored.
    """
    if study.root is None:
        raise UserError("--root", None, "the folder that holds the sub-activities' whyact.json")
    found = read(study.root, slots=PRESETS["default"].data.slots)
    folds, numbers = sorted(found.folds), list(range(1 if study.quick else study.seeds or SEEDS))
    common: dict[str, Any] = {"root": str(study.root.resolve()), "epochs": QUICK_EPOCHS if study.quick else None}
    cells = [{"row": r, "fold": f, "seed": 0, **common} for r in RIVALS for f in folds]
    ours = (LAIAR,) if study.quick else tuple(name for name in NOTES if name != ALONE)
    cells += [{"row": r, "fold": f, "seed": s, **common} for s in numbers for r in ours for f in folds]
    asked = len(cells)
    cells, done = study.cells(cells, cell, RUNS)
    results: dict[str, dict[tuple[int, int], dict[str, Any]]] = defaultdict(dict)
    for params, result in zip(cells, done, strict=True):
        results[params["row"]][params["fold"], params["seed"]] = result
        if "alone" in result:
            results[ALONE][params["fold"], params["seed"]] = result["alone"]
    rows = _tables(results, {f: found.fold(f)[1][0].group for f in folds})
    head = header(
        NAME,
        study.command(NAME, len(numbers)),
        seeds=numbers,
        folds=folds,
        data=f"CAD-120's official sub-activities: {len(found.clips)} clips of {len(folds)} people, each left out"
        + f"; {len(done)} of {asked} cells are done, rows without one are left out" * (len(done) < asked),
        split_sha256=sha256_text(*(found.split_sha256(f) for f in folds)),
    )
    study.publish(NAME, head, rows)


def settings(row_name: str, epochs: int | None) -> Config:
    """Return the settings of one of our rows."""
    config = PRESETS["default"]
    if epochs is not None:
        config = replace(config, optim=replace(config.optim, epochs=epochs))
    return config if row_name == LAIAR else replace(config, loss=replace(config.loss, guidance=False))


@lru_cache(maxsize=1)
def _read(root: str) -> RelationData:
    """Read the data once a worker."""
    return read(Path(root), slots=PRESETS["default"].data.slots)


def cell(params: dict[str, Any]) -> dict[str, Any]:
    """Train and measure one cell: ``row``, ``fold``, ``seed``, ``root``, ``epochs`` (``None``: the preset's)."""
    name, seed = params["row"], params["seed"]
    found = _read(params["root"])
    train, test = found.fold(params["fold"])
    actions, target = found.vocabulary.actions, np.array([c.target for c in test])
    if name in BASELINES:
        predicted, scores = BASELINES[name].predict(train, test, found.vocabulary, seed), {}
    else:
        config = settings(name, params["epochs"])
        where = params.get("device", CPU)
        trained = train_run(train, found.vocabulary, config, seed=seed, device=where)
        guided = config.loss.guidance
        calibration = calibrate(train, found.vocabulary, config, seed=seed, device=where) if guided else None
        if calibration is not None:
            calibration.give_to(trained)
        answers = list(answer_clips(trained, test))
        predicted = np.array([a.predicted for a in answers])
        scores = score_answers(trained, answers)
        scores = {key: scores[key] for key in (*EVIDENCE, "reason_curve")}
        if name == LAIAR and trained.model.forest is not None:
            scores[SHARE] = float(trained.model.forest.share)
            trained.model.forest = None
            alone = np.array([a.predicted for a in answer_clips(trained, test, explain=False)])
            scores["alone"] = _accuracy(target, alone, len(actions))
    return {**_accuracy(target, predicted, len(actions)), **scores}


def _accuracy(target: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> dict[str, float]:
    recall = mean_recall(target, predicted, classes)
    return {"accuracy": recall.weighted, "mAR": recall.with_null}


def _tables(results: dict[str, dict[tuple[int, int], dict[str, Any]]], people: dict[int, str]) -> list[Row]:
    rows: list[Row] = []
    results = defaultdict(dict, results)  # a row without a cell

    def add(table: str, name: str, metric: str, values: Sequence[float | None], **more: Any) -> None:
        if there := [value for value in values if value is not None]:
            rows.append(row(table, name, metric, there, unit="times" if metric == SHARE else "0..1", **more))

    for name in (*RIVALS, *NOTES):
        note = NOTES.get(name) or BASELINES[name].note
        for metric in METRICS:
            add("main", name, metric, [c[metric] for _, c in sorted(results[name].items())], note=note)
    for fold, person in people.items():
        for name in ("box-forest", ALONE, LAIAR):
            for metric in METRICS:
                values = [c[metric] for (f, _), c in sorted(results[name].items()) if f == fold]
                add("people", f"{name}, {person} left out", metric, values)
    for metric in METRICS:
        keys = [key for key in sorted(results[LAIAR]) if (key[0], 0) in results["box-forest"]]
        if keys:
            ours = [results[LAIAR][key][metric] for key in keys]
            theirs = [results["box-forest"][key[0], 0][metric] for key in keys]
            rows.append(paired_row("paired gains", "video-boxes over box-forest", f"{metric} difference", ours, theirs))
    for metric in (SHARE, *EVIDENCE):
        add("reasons", LAIAR, metric, [c.get(metric) for _, c in sorted(results[LAIAR].items())])
    return rows
