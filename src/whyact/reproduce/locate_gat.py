"""``whyact reproduce locate-gat``: generated worlds whose answer is known, and 21 real gym exercises.

One cell trains one model and yields every row, so that ``locate`` and ``locate+gat`` are the same LoCATe. All
that is chosen (mix, calibration) is chosen on held-out seen classes; the settings are the presets'.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from whyact.metrics.intervals import t_difference, t_mean
from whyact.reproduce import results
from whyact.reproduce.locate_gat_cells import ABLATIONS, CHOSEN, cell, settings
from whyact.reproduce.study import Study

NAME = "locate-gat"
ROWS = ("mean-pool", "locate", "locate+gat", "text-only")
CHOSEN_ROWS = (f"locate, {CHOSEN}", f"locate+gat, {CHOSEN}")
BASELINES = ("ridge", "eszsl", "sae", "prototypes")  # whyact.locate_gat.baselines has them all
BOUNDED = ("zsl_top1", "zsl_per_class", "gzsl_seen", "gzsl_unseen", "gzsl_h")
DIFFERENCES = (
    ("locate", "mean-pool"),
    ("locate", "text-only"),
    ("locate+gat", "locate"),
    ("locate+gat", "mean-pool"),
    ("locate+gat", "text-only"),
    (CHOSEN_ROWS[0], "mean-pool"),
    (CHOSEN_ROWS[0], "locate"),
    (CHOSEN_ROWS[1], "mean-pool"),
)
UNITS = {
    "polysemy_names": "names",
    "mix": "share",
    "start_is_mean": "share",
    "batch_gap": "probability",
    "graph_effect_at_mix_0": "score",
    "graph_effect_at_mix_0.3": "score",
}
FOLDS = 10
SEEDS = 3

_TABLES = ("synthetic", "synthetic-appearance", "synthetic-ablation", "gym", "gym-intervals")
NOTES = {
    ("synthetic-ablation", "no-positions"): "without them attention over time cannot know the order",
    ("synthetic-ablation", "attention-over-batch"): "the public code's axis: no temporal modelling",
    ("synthetic-ablation", "shuffled-names"): "control: trained with the names of seen classes shuffled",
    ("synthetic", "mean-pool"): "mean over frames, nothing trained; two of each pair of classes look alike on average",
    ("gym", "mean-pool"): "mean over snippets, ridge regression to text",
    ("synthetic", "text-only"): "ConSE: seen-class posterior of mean-pooled frames times text similarity",
    ("synthetic", "ridge"): "ridge regression of mean-pooled frames to text",
    **{
        (table, name): note
        for table in ("synthetic", "gym")
        for name, note in (
            ("eszsl", "ESZSL: a bilinear score in closed form"),
            ("sae", "SAE: a tied encoder of pooled features into text that also decodes"),
            ("prototypes", "class means; an unseen class mixes those of the nearest seen names"),
        )
    },
    **{("gym", row): "preset gym: the block's start is chosen on held-out seen classes" for row in CHOSEN_ROWS},
    ("gym", "text-only"): "ConSE: seen-class posterior of mean-pooled snippets times text similarity",
}


def run(study: Study) -> None:
    """Run the study; print the document, and write it under ``out`` unless that is ``None``.

    ``--quick`` measures one seed of the synthetic tables and, where ``root`` is given, two gym splits.

    Raises:
        UserError: When the gym data is asked for and not there.
        CellsFailed: When a cell failed twice.
    """
    count = 1 if study.quick else study.seeds or SEEDS
    folds = (2 if study.quick else FOLDS) if study.root is not None else 0
    cells: list[dict[str, Any]] = [
        {"table": table, "seed": seed} for table in ("synthetic", "synthetic-appearance") for seed in range(count)
    ]
    if not study.quick:
        cells += [
            {"table": "synthetic-ablation", "row": row, "seed": seed} for row in ABLATIONS for seed in range(count)
        ]
    gym = [{"table": "gym", "fold": fold, "seed": 0, "root": str(study.root)} for fold in range(1, folds + 1)]
    cells += [*gym, *({**one, "row": CHOSEN} for one in gym)]
    for one in cells:  # a change of settings is another cell, never an old number
        one["config"] = msgspec.to_builtins(settings(one["table"], one.get("row", "locate")))
    if study.root is None:
        print("no --root: the gym table is left out", file=sys.stderr)
    else:
        _check_gym(study.root)
    folder = Path("runs") / "studies" / NAME
    cells, measured = study.cells(cells, cell, folder)
    rows = _rows(cells, measured)
    head = results.header(
        NAME,
        study.command(NAME, study.seeds),
        seeds=list(range(count)),
        folds=list(range(1, folds + 1)),
        data="generated worlds" + ("; gym-i3d, 21 exercises, 505 clips" if folds else ""),
        split_sha256=_splits_sha256(cells, measured),
    )
    study.publish(NAME, head, rows)


def _rows(cells: Sequence[Mapping[str, Any]], measured: Sequence[Mapping[str, Any]]) -> list[results.Row]:
    rows: list[results.Row] = []
    for table in dict.fromkeys(asked["table"] for asked in cells):
        splits: dict[tuple[int, int], dict[str, dict[str, float]]] = {}
        for asked, one in zip(cells, measured, strict=True):
            if asked["table"] == table:
                splits.setdefault((asked["seed"], asked.get("fold", 0)), {}).update(one["rows"])
        mine = list(splits.values())
        for name in dict.fromkeys(name for one in mine for name in one):
            having = [one[name] for one in mine if name in one]
            for metric in having[0]:
                values = [one[metric] for one in having]
                note = NOTES.get((table.removesuffix("-appearance"), name), "")
                rows.append(results.row(table, name, metric, values, unit=UNITS.get(metric, "%"), note=note))
        if table == "gym" and len(mine) > 1:
            rows += _intervals(mine)
    order = (*ROWS, *CHOSEN_ROWS, *BASELINES, *ABLATIONS)
    return sorted(rows, key=lambda row: (_TABLES.index(row.table), order.index(row.row) if row.row in order else 99))


def _intervals(mine: Sequence[Mapping[str, Mapping[str, float]]]) -> list[results.Row]:
    """Bound each mean over the splits, and each paired difference: what an interval leaves open is not claimed."""
    bounds = {}
    for name in (*ROWS, *CHOSEN_ROWS, *BASELINES):
        having = [one[name] for one in mine if name in one]
        if len(having) > 1:
            bounds[name] = {m: t_mean([one[m] for one in having]) for m in BOUNDED}
    for ours, theirs in DIFFERENCES:
        pairs = [(one[ours], one[theirs]) for one in mine if ours in one and theirs in one]
        if len(pairs) > 1:
            bounds[f"{ours} - {theirs}"] = {
                m: t_difference([a[m] for a, _ in pairs], [b[m] for _, b in pairs]) for m in BOUNDED
            }
    rows = []
    for name, found in bounds.items():
        for metric, bound in found.items():
            verdict = ""
            if " - " in name:
                verdict = "higher" if bound.low > 0 else "lower" if bound.high < 0 else "no difference shown"
            for side, value in (("", bound.mean), ("_low", bound.low), ("_high", bound.high)):
                rows.append(
                    results.Row(
                        table="gym-intervals",
                        row=name,
                        metric=metric + side,
                        mean=value,
                        n=bound.n,
                        unit="%",
                        note=verdict,
                    )
                )
    return rows


def _splits_sha256(cells: Sequence[Mapping[str, Any]], measured: Sequence[Mapping[str, Any]]) -> str:
    from whyact.files import canonical_json, sha256

    pairs = zip(cells, measured, strict=True)  # a chosen start is measured on splits that stand in the list already
    return sha256(canonical_json([one["split_sha256"] for asked, one in pairs if asked.get("row") != CHOSEN]))


def _check_gym(root: Path) -> None:
    from whyact.data.untrimmed.gym import load

    load(root)


def _command(root: Path | None, quick: bool, seeds: int | None) -> str:
    words = ["whyact reproduce", NAME]
    words += ["--root DIR"] if root is not None else []
    words += ["--quick"] if quick else []
    words += [f"--seeds {seeds}"] if seeds else []
    return " ".join(words)
