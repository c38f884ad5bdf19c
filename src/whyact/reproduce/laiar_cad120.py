"""``whyact reproduce laiar-cad120``: the paper's Tables 1, 2 and 6 on the CAD-120 re-annotation, and the evidence's."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from whyact.data.io.archive import sha256_text
from whyact.data.relations.cad120 import SCORES, read
from whyact.errors import UserError
from whyact.laiar.baselines import BASELINES
from whyact.laiar.calibration import choose
from whyact.laiar.config import EvidenceConfig
from whyact.laiar.reasons import Claims, fit_claims, reason_scores, with_calibration
from whyact.metrics.calibration import expected_calibration_error, top_label
from whyact.metrics.recall import mean_recall
from whyact.metrics.selective import at_threshold, aurc
from whyact.reproduce.laiar_cells import COMPARED, JOINED, REASONS, RGB, SHARE, cell
from whyact.reproduce.results import Row, header, paired_row, row, row_if_any
from whyact.reproduce.study import Study

NAME = "laiar-cad120"
RUNS = Path("runs") / NAME
SEEDS, QUICK_EPOCHS = 3, 8
ABLATION_SEEDS = (0,)  # of the rows that only the paper's Tables 1 and 2 need
KEEP_ALL = f"{RGB}-keep-all"
CLAIMING = ("video-boxes", KEEP_ALL)  # rows whose reasons are judged
LEVEL = EvidenceConfig().level
MAIN = ("video-boxes", KEEP_ALL, "video-boxes-no-scheme", RGB, "language", f"{RGB}-no-scheme")
TABLE1 = {  # our row -> (name in the table, the paper's mAR, the paper's kept tokens)
    f"{RGB}-no-scheme-keep-all": ("no selector", 0.73, 49.8),
    f"{RGB}-no-scheme-temporal-only": ("temporal", 0.72, 17.4),
    f"{RGB}-no-scheme-spatial-only": ("spatial", 0.74, 16.7),
    f"{RGB}-no-scheme": ("both", 0.75, 14.2),
}
TABLE2 = {
    f"{RGB}-no-scheme": ("none", 0.75),
    f"{RGB}-only-sim": ("sim", 0.79),
    f"{RGB}-only-tss": ("tss", 0.79),
    f"{RGB}-only-xm": ("xm", 0.81),
    f"{RGB}-only-sim-xm": ("sim+xm", 0.83),
    RGB: ("sim+tss+xm", 0.85),
}
TABLE6 = {"Temporal Segment RGB": 0.42, "Flow": 0.71, "RGB+Flow": 0.77, "Explainable AAR-RAR": 0.80, "VideoMLN": 0.83}
EXPLANATION = (
    "transition_precision",
    "transition_recall",
    "naming_ece",
    "naming",
    "naming_macro",
    "naming_kept",
    "transition_accuracy",
    "transition_accuracy_classes",
    "transition_accuracy_top3",
    "keep_changing",
    "keep_unchanging",
    "comprehensiveness",
    "comprehensiveness_random",
    "sufficiency",
    "sufficiency_random",
    "deletion",
    "deletion_random",
    "insertion",
    "insertion_random",
)
NOTES = {
    "language": "true relations of the test clip; no selectors",
    "two-stage": "the language model, fed with the likeliest relation by the RGB scores",
    "video-boxes": "box geometry and object classes; no token dropped",
    JOINED: "the preset `default`: boxes, classes, and a forest on box measures, weighed on training people held out",
    "video-boxes-no-scheme": "the video model alone",
    RGB: "35 % of the tokens; and relation scores predicted from RGB, those of training clips by networks that saw the "
    "test subject",
    f"{RGB}-no-scheme": "the video model alone",
    KEEP_ALL: "the same, no token dropped",
}


def run(study: Study) -> None:
    """Run the study: folds x seeds x rows, resumable, and write its tables.

    Args:
        study: ``root`` is the folder with the two archives; ``quick`` means one seed, short training, table
            ``main``; nothing is written under ``docs/``.

    Raises:
        UserError: When the data is missing or damaged, or nothing is stored.
    """
    if study.root is None:
        raise UserError("--root", None, f"the folder that holds annotations.zip and {SCORES}.zip")
    found = read(study.root, rgb_relations=True)
    numbers = list(range(1 if study.quick else study.seeds or SEEDS))
    folds = sorted(found.folds)
    common: dict[str, Any] = {
        "root": str(study.root.resolve()),
        "rgb": True,
        "epochs": QUICK_EPOCHS if study.quick else None,
    }
    if study.quick:
        study = replace(study, jobs=max(study.jobs, min(2, os.cpu_count() or 1)))

    def grid(rows: Sequence[str], seeds: Sequence[int] = numbers) -> list[dict[str, Any]]:
        return [{"row": r, "fold": f, "seed": s, **common} for s in seeds for r in rows for f in folds]

    cells = grid(MAIN)
    if not study.quick:
        cells += grid(list(BASELINES), [0])
        person = {f: found.fold(f)[1][0].group for f in folds}
        pairs = [sorted((person[a], person[b])) for a, b in zip(folds[::2], folds[1::2], strict=False)]
        cells += [{"row": r, "without": p, "seed": 0, **common} for p in pairs for r in CLAIMING]
        cells += grid([JOINED])
        cells += grid([r for r in (*TABLE2, *TABLE1, *COMPARED) if r not in MAIN], ABLATION_SEEDS)
    asked = len(cells)
    cells, done = study.cells(cells, cell, RUNS)
    results: dict[str, dict[tuple[int, int], dict[str, Any]]] = defaultdict(dict)
    held: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for params, result in zip(cells, done, strict=True):
        if params.get("without"):
            first, second = params["without"]
            for fold in folds:  # a fold's calibration: the other person of its pair
                if person[fold] in (first, second):
                    other = second if person[fold] == first else first
                    held[params["row"]][fold] = result["held"][other]
        else:
            if params["row"] in BASELINES:
                target, predicted = np.array(result["target"]), np.array(result["predicted"])
                result["mAR"] = mean_recall(target, predicted, len(found.vocabulary.actions)).with_null
            results[params["row"]][params["fold"], params["seed"]] = result

    rows = _main(results)
    if not study.quick:
        rows += _gains(results) + _table1(results) + _table2(results) + _table6(results)
        rows += _compared(results) + _baselines(results) + _explanation(results)
        rows += _honesty(results, held) + _unsure(results, held)
    head = header(
        NAME,
        study.command(NAME, len(numbers)),
        seeds=numbers,
        folds=folds,
        data="CAD-120, EVAR re-annotation: 551 clips, leave one subject out; settings compared on people left out of "
        "other trainings, who are test people of other folds"
        + f"; {len(done)} of {asked} cells are done, rows without one are left out"
        * (len(done) < asked),
        split_sha256=sha256_text(*(found.split_sha256(f) for f in folds)),
    )
    study.publish(NAME, head, rows)


Cells = dict[tuple[int, int], dict[str, Any]]  # (fold, seed) -> what was measured
Results = dict[str, Cells]


def _values(cells: Cells, metric: str) -> list[float]:
    return [c[metric] for _, c in sorted(cells.items()) if c.get(metric) is not None]


def _main(results: Results) -> list[Row]:
    rows = row_if_any(
        "main", "language", "mAR", _values(results["language"], "mAR"), unit="0..1", note=NOTES["language"]
    )
    two_stage = _values(results["language"], "two_stage_mAR")
    rows += row_if_any("main", "two-stage", "mAR", two_stage, unit="0..1", note=NOTES["two-stage"])
    for name in (JOINED, *(name for name in MAIN if name != "language")):
        for metric in ("mAR", "keep_ratio", "transition_accuracy"):
            paper = {"mAR": 0.85, "keep_ratio": 14.2 / 49.8}.get(metric) if name == RGB else None
            values = _values(results[name], metric)
            rows += row_if_any("main", name, metric, values, unit="0..1", paper=paper, note=NOTES.get(name, ""))
    rows += row_if_any("main", JOINED, SHARE, _values(results[JOINED], SHARE), unit="times")
    for name in (RGB, KEEP_ALL, "video-boxes"):
        for metric in ("mAR_without_null", "mAR_weighted"):
            rows += row_if_any("main", name, metric, _values(results[name], metric), unit="0..1")
    for name in CLAIMING:
        for fold in sorted({f for f, _ in results[name]}):
            values = [c["mAR"] for (f, _), c in results[name].items() if f == fold]
            rows += row_if_any("folds", f"{name}, fold {fold}", "mAR", values, unit="0..1")
    return rows


def _gains(results: Results) -> list[Row]:
    """Paired differences over the same folds and seeds."""
    pairs = {
        "guidance, boxes": ("video-boxes", "video-boxes-no-scheme", "mAR"),
        "guidance, boxes+rgb-relations": (RGB, f"{RGB}-no-scheme", "mAR"),
        "guidance, boxes+rgb-relations, keep-all": (KEEP_ALL, f"{RGB}-no-scheme-keep-all", "mAR"),
        "video-boxes over box-forest": ("video-boxes", "box-forest", "mAR"),
        "with the forest over without": (JOINED, "video-boxes", "mAR"),
        "video model over two-stage": (RGB, "language", "two_stage_mAR"),
        "selection over keeping all": (RGB, f"{RGB}-keep-all", "mAR"),
    }
    rows: list[Row] = []
    for name, (ours, theirs, metric) in pairs.items():
        rows += _paired("paired gains", name, results[ours], results[theirs], metric)
    return rows


def _paired(table: str, name: str, ours: Cells, theirs: Cells, metric: str = "mAR") -> list[Row]:
    """Return our mAR less another's measure over the folds and seeds that both have, or nothing without any."""
    keys = sorted(ours.keys() & theirs.keys())
    if not keys:
        return []
    ours_at, theirs_at = [ours[k]["mAR"] for k in keys], [theirs[k][metric] for k in keys]
    return [paired_row(table, name, "mAR difference", ours_at, theirs_at)]


def _compared(results: Results) -> list[Row]:
    """What else a small-data practitioner would try: one thing changed, less ``video-boxes`` on the same folds."""
    results = _ablated(results)
    rows: list[Row] = []
    for name, note in {"video-boxes": NOTES["video-boxes"], **COMPARED}.items():
        for metric in ("mAR", "transition_accuracy"):
            rows += row_if_any(
                "one thing changed", name, metric, _values(results[name], metric), unit="0..1", note=note
            )
        if name in COMPARED:
            rows += _paired("one thing changed", name, results[name], results["video-boxes"])
    return rows


def _ablated(results: Results) -> Results:
    """Return the cells of the seeds that every row of the paper's Tables 1 and 2 has."""
    out: Results = defaultdict(dict)
    for name, cells in results.items():
        out[name] = {(f, s): c for (f, s), c in cells.items() if s in ABLATION_SEEDS}
    return out


def _table1(results: Results) -> list[Row]:
    rows: list[Row] = []
    results = _ablated(results)
    for key, (name, paper, num) in TABLE1.items():
        rows += row_if_any("paper table 1", name, "mAR", _values(results[key], "mAR"), unit="0..1", paper=paper)
        rows += row_if_any("paper table 1", name, "num", _values(results[key], "num"), unit="tokens", paper=num)
        rows += row_if_any("paper table 1", name, "keep_ratio", _values(results[key], "keep_ratio"), unit="0..1")
    return rows


def _table2(results: Results) -> list[Row]:
    rows: list[Row] = []
    results = _ablated(results)
    for key, (name, paper) in TABLE2.items():
        rows += row_if_any("paper table 2", name, "mAR", _values(results[key], "mAR"), unit="0..1", paper=paper)
    return rows


def _table6(results: Results) -> list[Row]:
    note = "published rivals: " + ", ".join(f"{name} {value:.2f}" for name, value in TABLE6.items())
    rows: list[Row] = []
    for name, key, paper in (
        ("LaIAR", RGB, 0.85),
        ("LaIAR, nothing dropped", KEEP_ALL, 0.85),
        ("LaIAR, boxes only", "video-boxes", None),
    ):
        values = _values(results[key], "mAR")
        rows += row_if_any("paper table 6", name, "mAR", values, unit="0..1", paper=paper, note=note)
    return rows


def _baselines(results: Results) -> list[Row]:
    rows = []
    for name, baseline in BASELINES.items():
        rows += row_if_any("baselines", name, "mAR", _values(results[name], "mAR"), unit="0..1", note=baseline.note)
    return rows


def _explanation(results: Results) -> list[Row]:
    rows: list[Row] = []
    for name in (RGB, JOINED, *CLAIMING):
        for metric in EXPLANATION:
            rows += row_if_any("explanation", name, metric, _values(results[name], metric), unit="0..1")
    return rows


def _honesty(results: Results, held: dict[str, dict[int, dict[str, Any]]]) -> list[Row]:
    """What is stated as a reason: calibrated on one held-out training person a fold, judged on the test person."""
    rows: list[Row] = []
    for name in CLAIMING:
        found: dict[str, list[float]] = defaultdict(list)
        curve: dict[float, list[tuple[float, float]]] = defaultdict(list)
        for (fold, _), result in sorted(results[name].items()):
            if fold not in held[name]:
                continue
            fits = fit_claims(Claims.from_lists(held[name][fold]["claims"]))
            scores = reason_scores(with_calibration(Claims.from_lists(result["claims"]), fits), LEVEL)
            for metric in REASONS:
                if np.isfinite(scores[metric]):
                    found[metric].append(scores[metric])
            for level, precision, coverage in scores["reason_curve"]:
                if np.isfinite(precision):
                    curve[level].append((precision, coverage))
        for metric in REASONS:
            note = f"stated at a probability of {LEVEL:g}" if metric != "reason_ece" else ""
            rows += row_if_any("reasons", name, metric, found[metric], unit="0..1", note=note)
        for level, points in sorted(curve.items()):
            for i, metric in enumerate(("precision", "coverage")):
                rows += row_if_any(
                    "reasons by level", f"{name}, {level:g}", metric, [p[i] for p in points], unit="0..1"
                )
    for metric in REASONS:
        rows += row_if_any("reasons", JOINED, metric, _values(results[JOINED], metric), unit="0..1")
    return rows


def _unsure(results: Results, held: dict[str, dict[int, dict[str, Any]]]) -> list[Row]:
    """Calibration and abstention, temperature and threshold chosen on a held-out training person of each fold."""
    found: dict[str, list[float]] = defaultdict(list)
    for (fold, _), result in sorted(results[KEEP_ALL].items()):
        if fold not in held[KEEP_ALL]:
            continue
        apart = held[KEEP_ALL][fold]
        temperature, threshold = choose(np.array(apart["logits"]), np.array(apart["target"]))
        logits, target = np.array(result["logits"]), np.array(result["target"])
        for name, t in (("as trained", 1.0), ("temperature", temperature)):
            p = np.exp(logits / t - (logits / t).max(1, keepdims=True))
            confidence, correct = top_label(p / p.sum(1, keepdims=True), target)
            found[f"ECE, {name}"].append(expected_calibration_error(confidence, correct))
        point = at_threshold(confidence, correct, threshold)
        found["risk when everything is answered"].append(1 - float(correct.mean()))
        found["coverage at the threshold"].append(point.coverage)
        if np.isfinite(point.risk):
            found["risk at the threshold"].append(point.risk)
        found["area under risk-coverage"].append(aurc(confidence, correct))
        order = np.argsort(-confidence, kind="stable")
        for share in (0.25, 0.5, 0.75):
            n = max(1, round(share * len(order)))
            found[f"risk at {share:.0%} coverage"].append(1 - float(correct[order[:n]].mean()))
    note = "threshold for a risk of 0.1 on a held-out training person"
    return [row("unsure", KEEP_ALL, name, values, unit="0..1", note=note) for name, values in found.items()]
