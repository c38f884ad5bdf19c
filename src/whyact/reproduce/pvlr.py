"""``whyact reproduce pvlr``: generated worlds and composed gym sequences, and what the authors' log says.

Both tables compare the whole method with parts of it taken away, with a network that never trained, with labels
shuffled, with an oracle sent through the same pipeline, and with a snippet classifier that sees all times. A third
trains far longer and measures on the way, so that no row looks good or bad for having stopped early.
Settings were chosen on worlds and compositions from 100 upwards, which no table uses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from whyact.arrays import Float64
from whyact.data.datasets import load_features
from whyact.data.untrimmed.feature_split import FeatureSplit
from whyact.errors import UserError
from whyact.files import canonical_json, sha256
from whyact.metrics.intervals import sign_count, t_difference
from whyact.pvlr.config import PRESETS, Config, small
from whyact.pvlr.inference import Curves, classification_map, curves, detection_map, localise
from whyact.pvlr.learner import EPOCH, label_matrix, learn
from whyact.pvlr.model import PVLR
from whyact.pvlr.sets import build_model, resolve
from whyact.reproduce import results
from whyact.reproduce.pvlr_references import oracle_curves, snippet_curves
from whyact.reproduce.study import CPU, Study
from whyact.training.fit import Validation
from whyact.training.numerics import numerics, seed_everything

CELLS = Path("runs/reproduce-pvlr")
SEEDS = {"synthetic": 3, "gym": 10}
FEWER = 5  # compositions of the rows that the gain over MIL alone does not need, at most
#: Row -> the weights that are 0 in it.
TERMS: dict[str, tuple[str, ...]] = {
    "no-sparsity": ("sparsity",),
    "no-guide": ("guide",),
    "no-co-activity": ("co_activity",),
    "no-distillation": ("distillation",),
    "no-intra": ("intra_action", "intra_background"),
    "no-inter": ("inter",),
    "no-orthogonality": ("orthogonality",),
}
MIL_ONLY = {name: 0.0 for names in TERMS.values() for name in names}
ROWS = {
    "synthetic": (
        "full", "official", "mil-only", *TERMS, "no-sampling", "untrained", "negative-control",
        "shuffled-with-distillation", "oracle", "per-snippet-labels",
    ),
    "gym": (
        "full", "official", "mil-only", *(row for row in TERMS if row != "no-distillation"), "untrained",
        "negative-control", "oracle", "per-snippet-labels",
    ),
}  # fmt: skip
QUICK = ("full", "mil-only", "untrained", "negative-control", "oracle")
GAIN = "avg_mAP difference"
PLATEAU_NOTE = "measured on the test side on the way, which decides nothing"
METRICS = ("avg_mAP", "mAP_50", "classification_mAP")  # mean over tIoU .1:.1:.7, at .5, of whole videos
NOTES = {
    "full": "the preset `default`, after its last iteration",
    "official": "the preset `official`: what the public code does, at the same small size",
    "mil-only": "weights of all terms but the two top-k MIL terms are 0",
    "negative-control": "video labels shuffled and no distillation: nothing to learn",
    "shuffled-with-distillation": "video labels shuffled; image-language rows and class texts still teach",
    "oracle": "true times in place of the network's curves: what the pipeline itself can lose",
    "per-snippet-labels": "upper reference: a snippet classifier of the network's reach (4), taught all times",
}
TABLE_NOTES = {
    "synthetic": "generated feature sequences",
    "gym": "composed sequences of real I3D snippets; class words from an offline sentence encoder in place of CLIP,"
    " through a learned layer; no CLIP distillation",
}
#: Rows of the table of long trainings, their seeds and iterations, and how often they are measured.
PLATEAU, PLATEAU_SEEDS, PLATEAU_ITERATIONS, PLATEAU_EVERY = ("full", "official", "mil-only"), 5, 600, 100
#: (row, average mAP .1:.7, sd, n) from the authors' training log on THUMOS'14.
PUBLISHED = (
    ("best", 50.27, None, 1, "highest of 70 evaluations on the test set: an upper bound, not an estimate"),
    ("last", 48.47, None, 1, "last evaluation"),
    ("mean-of-last-20", 48.60, 0.63, 20, "mean over the last 20 evaluations"),
)


def run(study: Study) -> None:
    """Compute all cells, print the document, and write it where that is asked for.

    Args:
        study: ``root`` is the folder that holds ``gym-i3d/``; the quick study needs none; ``quick`` means one
            generated world, the five rows that matter.

    Raises:
        UserError: When the study needs a root and has none, or nothing is stored.
    """
    if study.root is None and not study.quick:
        raise UserError(
            "--root", None, "the folder that holds gym-i3d/", "whyact reproduce pvlr --root DIR (or --quick)"
        )
    asked = _cells(study.root, study.quick, study.seeds)
    cells, found = study.cells(asked, cell, CELLS)
    rows, lacking = _rows(cells, found), len(asked) - len(cells)
    if not study.quick:
        asked = _long_cells(study.root, study.seeds)
        long, curve = study.cells(asked, long_cell, CELLS, optional=True)
        rows, lacking = rows + _long_rows(long, curve), lacking + len(asked) - len(long)
    rows += _published()
    splits = sorted({f"{c['table']} {c['seed']} {r['split']}" for c, r in zip(cells, found, strict=True)})
    head = results.header(
        "pvlr",
        study.command("pvlr", study.seeds),
        seeds=sorted({c["seed"] for c in cells}),
        data=", ".join(dict.fromkeys(TABLE_NOTES[c["table"]] for c in cells)) + missing(lacking),
        split_sha256=sha256(canonical_json(splits)),
    )
    study.publish("pvlr", head, rows)


def missing(count: int) -> str:
    """Say how many cells a document lacks."""
    return f"; {count} cells of the study are not done: what they belong to is left out, or has fewer splits" * (
        count > 0
    )


@numerics()
def cell(params: dict[str, Any]) -> dict[str, Any]:
    """Compute one row of one table for one seed, which fixes data, initialisation and training."""
    root = Path(params["root"]) if params["root"] else None
    split = load_features(params["table"], root, params["seed"])
    config = msgspec.convert(params["config"], Config)
    return measure(split, params["row"], config, params["seed"], params.get("device", CPU))


def measure(split: FeatureSplit, name: str, config: Config, seed: int, device: str = CPU) -> dict[str, Any]:
    """Train one row on a split, and return its metrics on the test side."""
    found = _curves(name, split, config, seed, device)
    ap = _average_precision(found, split, config)
    at_half = config.inference.detection.index(0.5)
    return {
        "avg_mAP": float(ap.mean()),
        "mAP_50": float(ap[at_half]),
        "classification_mAP": classification_map(found, split.test),
        "split": split.sha256,
    }


def _average_precision(found: Sequence[Curves], split: FeatureSplit, config: Config) -> Float64:
    """Return the mAP of a test side's curves at each tIoU, in percent."""
    detections = [localise(c, config.inference) for c in found]
    return detection_map(detections, split.test, len(split.classes), config.inference.detection)


@numerics()
def long_cell(params: dict[str, Any]) -> dict[str, Any]:
    """Train one row for long on a generated world or a composition: one ``avg_mAP`` every so many iterations."""
    root = Path(params["root"]) if "root" in params else None
    split = load_features("synthetic" if root is None else "gym", root, params["seed"])
    return train_and_measure(
        split, msgspec.convert(params["config"], Config), params["seed"], params.get("device", CPU)
    )


def train_and_measure(split: FeatureSplit, config: Config, seed: int, device: str = CPU) -> dict[str, Any]:
    """Train on a split, and return the ``avg_mAP`` of its test side after every so many iterations."""
    config = resolve(config, split)
    seed_everything(seed)
    model = build_model(config, split.prompts)

    def measured() -> dict[str, float]:
        with torch.no_grad():
            text = model.text()
        found = [curves(model, video.features, text, config.inference.chunk) for video in split.test]
        return {"avg_mAP": float(_average_precision(found, split, config).mean())}

    validation = Validation(PLATEAU_EVERY // EPOCH, measured, "avg_mAP")
    result = learn(model, split.train, len(split.classes), config, seed=seed, device=device, validation=validation)
    return {"avg_mAP": [row["val_avg_mAP"] for row in result.history if row.get("val_avg_mAP") is not None]}


def settings(row: str) -> Config:
    """Return the settings of a row at the small size, every number filled in, for a cell is known by them."""
    config = PRESETS["official" if row == "official" else "default"]
    without = dict.fromkeys(TERMS.get(row, ()), 0.0)
    if row == "mil-only":
        without = MIL_ONLY
    elif row == "negative-control":
        without = {"distillation": 0.0}
    loss = replace(config.loss, **without)  # type: ignore[arg-type]
    model = replace(config.model, noise=0.0) if row == "no-sampling" else config.model
    return small(replace(config, loss=loss, model=model))


def _cells(root: Path | None, quick: bool, seeds: int | None) -> list[dict[str, Any]]:
    cells = []
    for table in ("synthetic",) if quick else ROWS:
        for row in QUICK if quick else ROWS[table]:
            # The settings are part of the cell: a change of them is another cell, never an old number.
            config = msgspec.to_builtins(settings(row))
            where = str(root) if table == "gym" else None
            count = seeds or (1 if quick else SEEDS[table])
            count = min(count, FEWER) if row in ("official", "negative-control", *TERMS) else count
            cells += [{"table": table, "row": row, "seed": s, "root": where, "config": config} for s in range(count)]
    return cells


def _rows(cells: list[dict[str, Any]], found: list[dict[str, Any]]) -> list[results.Row]:
    grouped: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    for c, result in zip(cells, found, strict=True):
        grouped.setdefault((c["table"], c["row"]), {})[c["seed"]] = result
    rows = []
    for (table, name), values in grouped.items():
        for metric in METRICS:
            note = f"{TABLE_NOTES[table]}; {NOTES[name]}" if name in NOTES else TABLE_NOTES[table]
            found_values = [value[metric] for value in values.values()]
            rows.append(results.row(table, name, metric, found_values, unit="0..100", note=note))
    for table in dict.fromkeys(table for table, _ in grouped):
        for rival in (name for of, name in grouped if of == table and name in ("mil-only", "official", *TERMS)):
            rows += paired(table, rival, grouped.get((table, "full"), {}), grouped[table, rival])
    return rows


def paired(
    table: str, rival: str, full: Mapping[int, Mapping[str, Any]], theirs: Mapping[int, Mapping[str, Any]]
) -> list[results.Row]:
    """Return the row of the gains of ``full`` over another row on the splits, by seed, of both; none of one alone."""
    seeds = sorted(full.keys() & theirs.keys())
    if len(seeds) < 2:
        return []
    a, b = (np.array([of[seed]["avg_mAP"] for seed in seeds]) for of in (full, theirs))
    bound, signs = t_difference(a, b), sign_count(a, b)
    note = f"95 % interval {bound.low:+.1f} to {bound.high:+.1f} (Student's t); better in {signs.up} of {len(a)}"
    return [results.row("paired gains", f"{table}, full over {rival}", GAIN, (a - b).tolist(), note=note)]


def _published() -> list[results.Row]:
    return [
        results.Row(
            table="published-thumos14",
            row=name,
            metric="avg_mAP",
            mean=value,
            sd=sd,
            n=n,
            paper=value,
            unit="0..100",
            note=f"from the authors' log, not measured here: {note}",
        )
        for name, value, sd, n, note in PUBLISHED
    ]


def _long_cells(root: Path | None, seeds: int | None) -> list[dict[str, Any]]:
    return [
        {"row": r, "seed": s, "config": long_settings(r), **where}
        for where in ({}, {"root": str(root)})  # generated worlds, compositions
        for r in PLATEAU
        for s in range(min(seeds or PLATEAU_SEEDS, PLATEAU_SEEDS))
    ]


def long_settings(row: str) -> dict[str, Any]:
    """Return the settings of a row in the table of long trainings, as a cell holds them."""
    config = settings(row)
    return msgspec.to_builtins(replace(config, train=replace(config.train, iterations=PLATEAU_ITERATIONS)))


def _long_rows(cells: list[dict[str, Any]], found: list[dict[str, Any]]) -> list[results.Row]:
    curve: dict[tuple[str, str], list[list[float]]] = {}
    for one, result in zip(cells, found, strict=True):
        curve.setdefault(("gym" if "root" in one else "synthetic", one["row"]), []).append(result["avg_mAP"])
    return plateau_rows(curve, TABLE_NOTES)


def plateau_rows(
    curve: Mapping[tuple[str, str], Sequence[Sequence[float]]], notes: Mapping[str, str]
) -> list[results.Row]:
    """Return the rows of long trainings: (table, row) -> one list of values on the way for each split."""
    rows = []
    for (table, name), of_seeds in curve.items():
        for at, values in enumerate(zip(*of_seeds, strict=True), 1):
            metric, note = f"avg_mAP after {at * PLATEAU_EVERY}", f"{notes[table]}; {PLATEAU_NOTE}"
            rows.append(results.row(f"plateau, {table}", name, metric, values, unit="0..100", note=note))
    return rows


def _curves(row: str, split: FeatureSplit, config: Config, seed: int, device: str) -> list[Curves]:
    if row == "oracle":
        return oracle_curves(split)
    if row == "per-snippet-labels":
        return snippet_curves(split, seed)
    model = _model(row, split, resolve(config, split), seed, device)
    with torch.no_grad():
        text = model.text()
    return [curves(model, video.features, text, config.inference.chunk) for video in split.test]


def _model(row: str, split: FeatureSplit, config: Config, seed: int, device: str) -> PVLR:
    seed_everything(seed)
    model = build_model(config, split.prompts)
    if row == "untrained":
        return model
    labels = label_matrix(split.train, len(split.classes))
    if row in ("negative-control", "shuffled-with-distillation"):
        labels = labels[np.random.default_rng([0x5F, seed]).permutation(len(labels))]
    learn(model, split.train, len(split.classes), config, seed=seed, device=device, labels=labels)
    return model
