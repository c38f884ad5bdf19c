"""``whyact reproduce laiar-homeworld``: the paper's Tables 1 to 5 from pixels, on scenes that training never saw."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from whyact.homeworld.film_set import FOLDS
from whyact.laiar.baselines import BASELINES, RIVALS
from whyact.reproduce.homeworld_cells import (
    EVIDENCE,
    LANGUAGE_EPOCHS,
    cell,
    detector_cell,
    prepare_cell,
    settings,
)
from whyact.reproduce.homeworld_clips import FRAMES, KINDS, RHO, SIZE
from whyact.reproduce.laiar_cells import SHARE
from whyact.reproduce.results import Row, header, paired_row, row, row_if_any
from whyact.reproduce.study import Study

NAME = "laiar-homeworld"
RUNS = Path("runs") / NAME
WORLDS = 5
EPOCHS, QUICK_EPOCHS = 12, 8  # half of the preset's: the whole study fits in an afternoon on two cores
MAIN = ("full", "no-scheme", "language", *RIVALS)  # with both kinds of boxes; language also yields two-stage
ALONE = "network-alone"  # of `full`, the same trained network without the forest's term
TABLE1 = {  # our row -> (name in the table, the paper's mAP on Charades, its kept tokens)
    "no-scheme": ("no selector", 0.614, 36.6),
    "selected-no-scheme-temporal-only": ("temporal", 0.612, 31.1),
    "selected-no-scheme-spatial-only": ("spatial", 0.612, 30.7),
    "selected-no-scheme": ("both", 0.611, 26.0),
}
TABLE2 = {
    "selected-no-scheme": ("none", 0.611),
    "selected-only-sim": ("sim", 0.622),
    "selected-only-tss": ("tss", 0.617),
    "selected-only-xm": ("xm", 0.629),
    "selected-only-sim-xm": ("sim+xm", 0.634),
    "selected": ("sim+tss+xm", 0.636),
}
ABLATED = ("strict-sim", "predicted-relations", "no-pixels")  # with annotated boxes, as the two tables
CHARADES = "the paper's figure is mAP on Charades / 100, ours mAR on homeworld: directions compare, levels do not"
NOTES = {
    "language": "the language model alone, fed the true relations of the test clip",
    "two-stage": "relations named by a network first, then read by the language model",
    "full": "the preset `default`, which users get: the guidance, every token, and a forest on box measures; calibrated"
    " on training scenes held out",
    ALONE: "the same trained network without the forest's term",
    "no-scheme": "the video model learned alone, without a forest",
    "selected": "the network with both selectors: 35 % of the tokens",
    "no-pixels": "the network on boxes and classes, without looking into the boxes",
    "strict-sim": "the network with the strict form of L_sim in place of the multi-positive one",
    "predicted-relations": "the language model is taught relations that a network named, out of fold",
}
Results = dict[tuple[str, str], dict[int, dict[str, Any]]]  # (row, boxes) -> world -> what was measured


def run(study: Study) -> None:
    """Run the study: worlds x rows, resumable, and write its tables.

    Args:
        study: ``root`` is not needed; the worlds are generated; ``quick`` means one world, short training, table
            ``main``; nothing is written under ``docs/``.

    Raises:
        UserError: When nothing is stored.
    """
    count = 1 if study.quick else study.seeds or WORLDS
    worlds = list(range(count))
    folder, epochs = str(RUNS / "worlds"), QUICK_EPOCHS if study.quick else EPOCHS

    def grid(rows: Sequence[str], boxes: Sequence[str]) -> list[dict[str, Any]]:
        return [_cell(r, b, w, folder, epochs) for w in worlds for b in boxes for r in rows]

    cells = grid(MAIN, KINDS)
    if not study.quick:
        cells += grid(list(dict.fromkeys(r for r in (*TABLE1, *TABLE2, *ABLATED) if r not in MAIN)), ["oracle"])
    folds = sorted({w % FOLDS + 1 for w in worlds})
    detecting = [{"row": "detector", "fold": fold, "folder": folder} for fold in folds]
    _, detectors = study.cells(detecting, detector_cell, RUNS, optional=True)
    filming = [{"row": "prepare", "world": w, "folder": folder} for w in worlds]
    study.cells(filming, prepare_cell, RUNS, optional=True)
    asked = len(cells)
    cells, done = study.cells(cells, cell, RUNS)
    results: Results = defaultdict(dict)
    for params, result in zip(cells, done, strict=True):
        results[params["row"], params["boxes"]][params["world"]] = result
        if "alone" in result:
            results[ALONE, params["boxes"]][params["world"]] = {**result, **result["alone"]}

    rows = _main(results)
    found = [d["mAP50"] for d in detectors]
    rows += row_if_any("main", "detector", "mAP50", found, unit="0..1", note="frames of unseen worlds and scenes")
    if not study.quick:
        rows += _gains(results) + _table1(results) + _table2(results) + _table3(results) + _table4(results)
        rows += _table5(results) + _evidence(results)
    worlds = sorted({c["world"] for c in cells})
    head = header(
        NAME,
        study.command(NAME, count),
        seeds=worlds,
        folds=[w % FOLDS + 1 for w in worlds],
        data=f"homeworld, generated: films of {SIZE[0]} x {SIZE[1]}, {FRAMES} frames a clip; a world trains on eight "
        f"scenes (going with the action with probability {RHO}) and tests other people in its fold's two unseen ones, "
        "unseen by its detector too; one initialisation; settings are those chosen on "
        f"CAD-120's training subjects, with {epochs} epochs; those of the language model alone, on another world"
        + f"; {len(done)} of {asked} cells are done, a row has the worlds whose cells are done"
        * (len(done) < asked),
    )
    study.publish(NAME, head, rows)


def _cell(name: str, boxes: str, world: int, folder: str, epochs: int) -> dict[str, Any]:
    """Return a cell's parameters; the settings are among them, so that a change of them is never an old number."""
    cell: dict[str, Any] = {"row": name, "boxes": boxes, "world": world, "seed": 0, "folder": folder}
    if name not in RIVALS:
        many = LANGUAGE_EPOCHS if name == "language" and epochs == EPOCHS else epochs
        cell["config"] = msgspec.to_builtins(settings(name, many))
    return cell


def _values(results: Results, name: str, boxes: str, metric: str) -> list[float]:
    cells = sorted(results[name, boxes].items())
    return [c[metric] for _, c in cells if c.get(metric) is not None]


def _same_worlds(results: Results, names: Sequence[str]) -> Results:
    """Return the cells with annotated boxes of some rows, in those worlds alone that all of the rows have."""
    common = set.intersection(*(set(results[name, "oracle"]) for name in names))
    return defaultdict(
        dict, {(name, "oracle"): {w: results[name, "oracle"][w] for w in sorted(common)} for name in names}
    )


def _label(name: str, boxes: str) -> str:
    return name if boxes == "oracle" else f"{name}-detected"


def _main(results: Results) -> list[Row]:
    rows: list[Row] = []
    for boxes in KINDS:
        for name in RIVALS:
            values = _values(results, name, boxes, "mAR")
            rows += row_if_any("main", _label(name, boxes), "mAR", values, unit="0..1", note=BASELINES[name].note)
        for name, of, metric in (("language", "language", "mAR"), ("two-stage", "language", "two_stage_mAR")):
            values = _values(results, of, boxes, metric)
            rows += row_if_any("main", _label(name, boxes), "mAR", values, unit="0..1", note=NOTES[name])
        for name in ("no-scheme", ALONE, "full", "selected"):
            values = _values(results, name, boxes, "mAR")
            rows += row_if_any("main", _label(name, boxes), "mAR", values, unit="0..1", note=NOTES[name])
            for metric in ("transition_accuracy", "keep_ratio") if name in ("full", "selected") else ():
                values = _values(results, name, boxes, metric)
                rows += row_if_any("main", _label(name, boxes), metric, values, unit="0..1", note=NOTES[name])
        rows += row_if_any("main", _label("full", boxes), SHARE, _values(results, "full", boxes, SHARE), unit="times")
    return rows


def _gains(results: Results) -> list[Row]:
    """Paired differences over the worlds that both rows have; none of one alone."""
    pairs: list[tuple[str, str, str, str, str]] = []
    for boxes in KINDS:
        pairs += [
            (f"guidance, {boxes} boxes", ALONE, "no-scheme", boxes, "mAR"),
            (f"whole over box-forest, {boxes} boxes", "full", "box-forest", boxes, "mAR"),
            (f"network over two-stage, {boxes} boxes", ALONE, "language", boxes, "two_stage_mAR"),
            (f"with the forest over without, {boxes} boxes", "full", ALONE, boxes, "mAR"),
        ]
    pairs += [
        ("selection over keeping all", "selected", ALONE, "oracle", "mAR"),
        ("multi-positive over strict L_sim", ALONE, "strict-sim", "oracle", "mAR"),
        ("multi-positive over strict L_sim", ALONE, "strict-sim", "oracle", "naming"),
        ("pixels over boxes alone", ALONE, "no-pixels", "oracle", "mAR"),
        ("label over prediction", ALONE, "predicted-relations", "oracle", "mAR"),
    ]
    rows: list[Row] = []
    for name, ours, theirs, boxes, metric in pairs:
        mine, other = results[ours, boxes], results[theirs, boxes]
        measure = "naming" if metric == "naming" else "mAR"
        if len(common := sorted(mine.keys() & other.keys())) > 1:
            a, b = [mine[w][measure] for w in common], [other[w][metric] for w in common]
            rows.append(paired_row("paired gains", name, f"{measure} difference", a, b))
    return rows


def _table1(results: Results) -> list[Row]:
    results = _same_worlds(results, list(TABLE1))
    rows: list[Row] = []
    for key, (name, paper, num) in TABLE1.items():
        for metric, figure, unit in (("mAR", paper, "0..1"), ("num", num, "tokens"), ("keep_ratio", None, "0..1")):
            values = _values(results, key, "oracle", metric)
            rows += row_if_any("paper table 1", name, metric, values, unit=unit, paper=figure, note=CHARADES)
    return rows


def _table2(results: Results) -> list[Row]:
    return _beside_paper(results, "paper table 2", {name: (key, paper) for key, (name, paper) in TABLE2.items()})


def _table3(results: Results) -> list[Row]:
    """Mean and population variance over the folds by scene, in percentage points as the paper prints them."""
    rows: list[Row] = []
    papers = {"no-scheme": (54.1, 0.30), ALONE: (57.2, 0.11)}
    for name in ("object-classes", "box-forest", "two-stage", "no-scheme", ALONE):
        key, metric = ("language", "two_stage_mAR") if name == "two-stage" else (name, "mAR")
        folds = [100 * value for value in _values(results, key, "oracle", metric)]
        if not folds:
            continue
        paper, variance = papers.get(name, (None, None))
        note = NOTES[name] if name in NOTES else BASELINES[name].note
        if name == "no-scheme":
            note = "the paper has STIGPN in the place of no-scheme, on Charades"
        rows.append(row("paper table 3", name, "mAR over folds", folds, unit="0..100", paper=paper, note=note))
        if len(folds) > 1:
            spread = [float(np.var(folds))]
            rows.append(row("paper table 3", name, "variance over folds", spread, unit="points^2", paper=variance))
    return rows


def _table4(results: Results) -> list[Row]:
    named = {"base": ("no-scheme", 0.611), "prediction": ("predicted-relations", 0.624), "label": (ALONE, 0.636)}
    return _beside_paper(results, "paper table 4", named)


def _beside_paper(results: Results, table: str, named: dict[str, tuple[str, float]]) -> list[Row]:
    """Return the recall of rows, by name: (our row, the paper's figure), over the worlds that all of them have."""
    same = _same_worlds(results, [key for key, _ in named.values()])
    rows: list[Row] = []
    for name, (key, paper) in named.items():
        values = _values(same, key, "oracle", "mAR")
        rows += row_if_any(table, name, "mAR", values, unit="0..1", paper=paper, note=CHARADES)
    return rows


def _table5(results: Results) -> list[Row]:
    note = f"{CHARADES}; the paper's row from detected boxes also reads a clip feature, which ours does not"
    rows: list[Row] = []
    for boxes, paper in {"oracle": 0.636, "detected": 0.451}.items():
        values = _values(results, ALONE, boxes, "mAR")
        rows += row_if_any("paper table 5", f"{boxes} boxes", "mAR", values, unit="0..1", paper=paper, note=note)
    return rows


def _evidence(results: Results) -> list[Row]:
    named = ("naming", "transition_accuracy")  # what a row without calibrated reasons is worth
    rows: list[Row] = []
    for boxes in KINDS:
        for name, metrics in (("full", EVIDENCE), ("no-scheme", named), ("strict-sim", named)):
            for metric in metrics:
                values = _values(results, name, boxes, metric)
                rows += row_if_any("evidence", _label(name, boxes), metric, values, unit="0..1")
    return rows
