"""``whyact reproduce locate-gat``: generated worlds whose answer is known, and 21 real gym exercises.

One cell trains one model and yields every row, so that ``locate`` and ``locate+gat`` are the same LoCATe. All
that is chosen (mix, calibration) is chosen on held-out seen classes; the settings are the presets'.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whyact.studies import results
from whyact.studies.grid import run_cells

if TYPE_CHECKING:
    from torch import Tensor

    from whyact.locate_gat.stages import Fitted, ScoreParts, Tensors

NAME = "locate-gat"
ROWS = ("mean-pool", "locate", "locate+gat", "text-only")
UNITS = {"polysemy_names": "names", "mix": "share"}
FOLDS = 10
SEEDS = 3

NOTES = {
    ("synthetic", "mean-pool"): "mean over frames, nothing trained; two of each pair of classes look alike on average",
    ("gym", "mean-pool"): "mean over snippets, ridge regression to text",
    ("synthetic", "text-only"): "ConSE: seen-class posterior of mean-pooled frames times text similarity",
    ("gym", "text-only"): "ConSE: seen-class posterior of mean-pooled snippets times text similarity",
}


def run(root: Path | None, quick: bool, seeds: int | None, jobs: int, out: Path | None, as_json: bool) -> int:
    """Run the study; print the document, and write it under ``out`` unless that is ``None``.

    ``--quick`` measures one seed of the synthetic tables and, where ``root`` is given, two gym splits.

    Raises:
        UserError: When the gym data is asked for and not there.
        CellsFailed: When a cell failed twice.
    """
    count = 1 if quick else seeds or SEEDS
    folds = (2 if quick else FOLDS) if root is not None else 0
    cells: list[dict[str, Any]] = [
        {"table": table, "seed": seed} for table in ("synthetic", "synthetic-appearance") for seed in range(count)
    ]
    cells += [{"table": "gym", "fold": fold, "seed": 0, "root": str(root)} for fold in range(1, folds + 1)]
    if root is None:
        print("no --root: the gym table is left out", file=sys.stderr)
    else:
        _check_gym(root)
    folder = Path("runs") / "studies" / NAME
    measured = run_cells(cells, cell, folder, jobs=jobs, progress=not as_json)
    rows = _rows(cells, measured)
    head = results.header(
        NAME,
        _command(root, quick, seeds),
        seeds=list(range(count)),
        folds=list(range(1, folds + 1)),
        data="generated worlds" + ("; gym-i3d, 21 exercises, 505 clips" if folds else ""),
        split_sha256=_splits_sha256(measured),
    )
    if out is not None:
        results.write_results(NAME, head, rows, out)
    print(results.to_json(head, rows) if as_json else results.to_markdown(head, rows))
    return 0


def cell(asked: dict[str, Any]) -> dict[str, Any]:
    """Train on one split and measure every row: ``{"rows": {row: {metric: value}}, "split_sha256": ...}``."""
    from whyact.data import zero_shot_sets
    from whyact.locate_gat.config import PRESETS
    from whyact.locate_gat.stages import fit_split

    table, seed = asked["table"], asked["seed"]
    config = PRESETS["gym" if table == "gym" else "synthetic"]
    root = Path(asked["root"]) if "root" in asked else None
    fold = asked.get("fold", seed + 1)
    data, split = zero_shot_sets.load(table, root, fold, config.backbone, config.backbone_weights, False)
    fitted, tensors = fit_split(data, split, config, seed=seed)
    parts = fitted.scores(tensors)
    rows = _trained_rows(fitted, parts, tuple(data.classes[c] for c in parts.classes))
    rows |= _baseline_rows(fitted, tensors, parts, config.ridge, trained=table == "gym")
    if table != "gym":
        rows["locate"]["reversed_top1"] = _reversed_top1(fitted, tensors)
    return {"rows": rows, "split_sha256": split.sha256}


def _trained_rows(fitted: Fitted, parts: ScoreParts, names: tuple[str, ...]) -> dict[str, dict[str, float]]:
    from whyact.locate_gat.evidence import rank_changes
    from whyact.locate_gat.task import measures

    choice = fitted.choice
    rows = {
        "locate": _kept(measures(parts, 0.0, choice.calibration_text)),
        "locate+gat": _kept(measures(parts, choice.mix, choice.calibration)) | {"mix": choice.mix},
    }
    mine, first = parts.unseen_videos(), int(parts.seen.sum())
    text, mixed = parts.text[mine][:, first:], parts.at(choice.mix)[mine][:, first:]
    changed = rank_changes(text, mixed, parts.target[mine] - first, names[first:])
    rows["locate+gat"]["polysemy_names"] = float(len(changed))
    return rows


def _baseline_rows(
    fitted: Fitted, tensors: Tensors, parts: ScoreParts, strength: float, trained: bool
) -> dict[str, dict[str, float]]:
    """Measure both baselines on the same videos; their handicap is tuned as the model's is, on seen classes."""
    import numpy as np
    import torch

    from whyact.locate_gat.baselines import conse, ridge
    from whyact.locate_gat.losses import cosine
    from whyact.locate_gat.stages import ScoreParts, inner_split
    from whyact.locate_gat.task import measures
    from whyact.metrics.zero_shot import tune_calibration

    pooled = tensors.frames.mean(1)

    def pool(train: Tensor, videos: Tensor, seen: Tensor) -> Tensor:
        if not trained:
            return pooled[videos]
        weight, bias = ridge(pooled[train], tensors.text[tensors.target[train]], strength)
        return pooled[videos] @ weight.T + bias

    def mixture(train: Tensor, videos: Tensor, seen: Tensor) -> Tensor:
        local = torch.full((len(tensors.text),), -1)
        local[seen] = torch.arange(len(seen))
        return conse(pooled[train], local[tensors.target[train]], pooled[videos], tensors.text[seen])

    def scored(method: Any, seen: Any, unseen: Any, train: Any, videos: Any) -> ScoreParts:
        classes = np.concatenate([seen, unseen])
        vectors = method(*(torch.from_numpy(a) for a in (train, videos, seen)))
        position = np.full(len(tensors.text), -1)
        position[classes] = np.arange(len(classes))
        text = cosine(vectors, tensors.text[torch.from_numpy(classes)]).numpy()
        target = position[tensors.target.numpy()[videos]]
        return ScoreParts(text, text, target, np.arange(len(classes)) < len(seen), classes)

    found = {}
    for name, method in (("mean-pool", pool), ("text-only", mixture)):
        handicaps = []
        for inner in inner_split(
            tensors, fitted.seen, fitted.part.train, fitted.model.config, fitted.names, fitted.seed
        ):
            rehearsed = scored(method, inner.seen, inner.unseen, inner.train, inner.test)
            handicaps.append(tune_calibration(rehearsed.text, rehearsed.target, rehearsed.seen))
        videos = np.concatenate([fitted.part.seen_test, fitted.part.unseen_test])
        whole = scored(method, fitted.seen, fitted.unseen, fitted.part.train, videos)
        found[name] = _kept(measures(whole, 0.0, float(np.mean(handicaps))))
    return found


def _reversed_top1(fitted: Fitted, tensors: Tensors) -> float:
    from dataclasses import replace

    from whyact.locate_gat.task import measures

    backwards = replace(tensors, frames=tensors.frames.flip(1))
    return measures(fitted.scores(backwards), 0.0, 0.0)["zsl_top1"]


def _kept(measured: Mapping[str, float]) -> dict[str, float]:
    return {key: value for key, value in measured.items() if not key.endswith("_videos")}


def _rows(cells: Sequence[Mapping[str, Any]], measured: Sequence[Mapping[str, Any]]) -> list[results.Row]:
    rows = []
    for table in dict.fromkeys(cell["table"] for cell in cells):
        mine = [one["rows"] for cell, one in zip(cells, measured, strict=True) if cell["table"] == table]
        for name in ROWS:
            for metric in mine[0][name]:
                rows.append(
                    results.row(
                        table,
                        name,
                        metric,
                        [one[name][metric] for one in mine],
                        unit=UNITS.get(metric, "%"),
                        note=NOTES.get((table.removesuffix("-appearance"), name), ""),
                    )
                )
    return rows


def _splits_sha256(measured: Sequence[Mapping[str, Any]]) -> str:
    from whyact.files import canonical_json, sha256

    return sha256(canonical_json([one["split_sha256"] for one in measured]))


def _check_gym(root: Path) -> None:
    from whyact.data.gym import load

    load(root)


def _command(root: Path | None, quick: bool, seeds: int | None) -> str:
    words = ["whyact reproduce", NAME]
    words += ["--root DIR"] if root is not None else []
    words += ["--quick"] if quick else []
    words += [f"--seeds {seeds}"] if seeds else []
    return " ".join(words)
