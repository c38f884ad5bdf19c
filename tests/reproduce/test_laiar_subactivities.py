"""The sub-activities' tables, of cells as they are stored."""

from __future__ import annotations

from typing import Any

import pytest

from whyact.reproduce.laiar_subactivities import LAIAR, _tables

PEOPLE = {1: "Ada", 2: "Ben"}


def results() -> dict[str, dict[tuple[int, int], dict[str, Any]]]:
    forest = {(f, 0): {"accuracy": 0.7 + f / 10, "mAR": 0.6} for f in PEOPLE}
    ours = {
        (f, s): {"accuracy": 0.75 + f / 10, "mAR": 0.65 + s / 10, "reason_precision": None, "naming": 0.9}
        for f in PEOPLE
        for s in range(2)
    }
    empty: dict[tuple[int, int], dict[str, Any]] = {}
    reasons = dict.fromkeys(
        ("reason_coverage", "reason_decisive", "reason_ece", "transition_precision", "transition_recall"), 0.5
    )
    for one in ours.values():
        one |= reasons | {"naming_ece": 0.1, "keep_ratio": 1.0}
    return {
        "majority": empty,
        "object-classes": empty,
        "box-forest": forest,
        LAIAR: ours,
        f"{LAIAR}-no-guidance": empty,
    }


def test_rows_that_have_no_cell_are_left_out_and_gains_are_paired() -> None:
    rows = {(r.table, r.row, r.metric): r for r in _tables(results(), PEOPLE)}
    assert rows["main", LAIAR, "mAR"].n == 4
    assert rows["main", LAIAR, "mAR"].mean == pytest.approx(0.7)
    assert not any(name == "majority" for _, name, _ in rows)
    assert rows["people", f"{LAIAR}, Ben left out", "accuracy"].mean == pytest.approx(0.95)
    gain = rows["paired gains", "video-boxes over box-forest", "accuracy difference"]
    assert (gain.n, gain.mean) == (4, pytest.approx(0.05))
    assert "better in 4 of 4 pairs" in gain.note
    assert ("reasons", LAIAR, "reason_precision") not in rows  # nothing was stated
