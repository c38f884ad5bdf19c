"""The tables of ``laiar-homeworld`` from made-up results, by hand."""

from __future__ import annotations

import statistics
from collections import defaultdict
from typing import Any

import pytest

from whyact.reproduce import laiar_homeworld as module
from whyact.reproduce.homeworld_cells import TRAINED, settings
from whyact.reproduce.results import Row

WORLDS = 3
ROWS = list(
    dict.fromkeys([*module.MAIN, *module.ONCE, *module.KEEP_ALL, *module.TABLE1, *module.TABLE2, *module.ABLATED])
)


def value(row: str, boxes: str, world: int, seed: int) -> float:
    """Return a made-up recall: rows, boxes, worlds and seeds all matter."""
    return 0.3 + 0.02 * ROWS.index(row) - 0.1 * (boxes == "detected") + 0.03 * world + 0.01 * seed


@pytest.fixture
def results() -> module.Results:
    out: module.Results = defaultdict(dict)
    for row in ROWS:
        for boxes in ("oracle", "detected"):
            for world in range(WORLDS):
                for seed in range(2 if row in module.MAIN else 1):
                    base = value(row, boxes, world, seed)
                    cell: dict[str, Any] = dict.fromkeys(TRAINED, base / 2)
                    cell |= {"mAR": base, "keep_ratio": 0.35, "num": 20.0 + world, "two_stage_mAR": base - 0.05}
                    out[row, boxes][world, seed] = cell
    return out


def by_name(rows: list[Row], metric: str = "mAR") -> dict[str, Row]:
    return {row.row: row for row in rows if row.metric == metric}


def test_main_table(results: module.Results) -> None:
    found = by_name(module._main(results))
    every = [value("full", "detected", w, s) for w in range(WORLDS) for s in range(2)]
    assert found["full-detected"].mean == pytest.approx(statistics.fmean(every))
    assert found["full-detected"].sd == pytest.approx(statistics.stdev(every))
    assert found["full-detected"].n == 6
    assert found["language"].n == 3
    assert found["two-stage"].mean == pytest.approx(found["language"].mean - 0.05)
    assert {"objects-only", "objects-only-detected", "two-stage-detected", "no-scheme", "keep-all"} <= set(found)


def test_gains_are_paired_by_world_and_initialisation(results: module.Results) -> None:
    rows = {row.row: row for row in module._gains(results) if row.metric == "mAR difference"}
    difference = value("full", "oracle", 0, 0) - value("no-scheme", "oracle", 0, 0)
    scheme = rows["scheme, oracle boxes"]
    assert scheme.mean == pytest.approx(difference)
    assert scheme.sd == pytest.approx(0, abs=1e-12)  # the very same in every pair
    assert scheme.n == 6
    assert "in 0 of 6 pairs" in scheme.note if difference < 0 else "in 6 of 6 pairs" in scheme.note
    two_stage = rows["video model over two-stage, oracle boxes"]
    assert two_stage.n == 3  # the language model is there once a world
    expected = value("full", "oracle", 0, 0) - (value("language", "oracle", 0, 0) - 0.05)
    assert two_stage.mean == pytest.approx(expected)


def test_a_cell_that_is_missing_costs_its_pair_only(results: module.Results) -> None:
    del results["no-scheme", "oracle"][1, 1]
    rows = {row.row: row for row in module._gains(results)}
    assert rows["scheme, oracle boxes"].n == 5


def test_table_3_is_over_folds_in_points(results: module.Results) -> None:
    rows = module._table3(results)
    folds = [100 * statistics.fmean(value("full", "oracle", w, s) for s in range(2)) for w in range(WORLDS)]
    full = by_name(rows, "mAR over folds")["full"]
    assert full.mean == pytest.approx(statistics.fmean(folds))
    assert (full.n, full.paper) == (WORLDS, 57.2)
    spread = by_name(rows, "variance over folds")["full"]
    assert spread.mean == pytest.approx(statistics.pvariance(folds))
    assert spread.paper == 0.11
    assert by_name(rows, "mAR over folds")["two-stage"].paper is None


@pytest.mark.parametrize("table", ["_table1", "_table2", "_table4", "_table5"])
def test_the_papers_figures_stand_in_a_column_of_their_own(results: module.Results, table: str) -> None:
    rows = getattr(module, table)(results)
    assert all(row.note.startswith(module.CHARADES) for row in rows)
    assert all(row.paper is not None for row in rows if row.metric == "mAR")
    assert all(row.mean != row.paper for row in rows)


def test_ablations_read_the_first_initialisation(results: module.Results) -> None:
    row = by_name(module._table2(results))["none"]
    assert row.mean == pytest.approx(statistics.fmean(value("no-scheme", "oracle", w, 0) for w in range(WORLDS)))
    assert row.n == WORLDS


def test_values_that_are_not_there_do_not_count(results: module.Results) -> None:
    results["full", "oracle"][0, 0]["naming"] = None
    assert {row.n for row in module._evidence(results) if (row.row, row.metric) == ("full", "naming")} == {5}


def test_settings_are_those_chosen_elsewhere_but_for_what_a_row_is_about() -> None:
    full = settings("full", 3)
    assert full.optim.epochs == 3
    assert settings("strict-sim", 3).loss.sim_mode == "strict"
    assert settings("strict-sim", 3).optim == full.optim
    assert settings("predicted-relations", 3).data.relations == "prediction"
    assert settings("no-pixels", 3) == full
    assert settings("no-scheme", None).loss.guidance is False
    assert settings("keep-all", None).select.temporal is False
