"""The tables of ``laiar-homeworld`` from made-up results, by hand."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from whyact.errors import UserError
from whyact.files import canonical_json, write_atomic
from whyact.laiar.baselines import RIVALS
from whyact.reproduce import laiar_homeworld as module
from whyact.reproduce.grid import cell_path
from whyact.reproduce.homeworld_cells import EVIDENCE, settings
from whyact.reproduce.results import Row, from_json
from whyact.reproduce.study import Study

WORLDS = 3
ROWS = list(dict.fromkeys([*module.MAIN, module.ALONE, *module.TABLE1, *module.TABLE2, *module.ABLATED]))


def value(row: str, boxes: str, world: int) -> float:
    """Return a made-up recall: rows, boxes and worlds all matter."""
    return 0.3 + 0.02 * ROWS.index(row) - 0.1 * (boxes == "detected") + 0.03 * world


@pytest.fixture
def results() -> module.Results:
    out: module.Results = defaultdict(dict)
    for row in ROWS:
        for boxes in ("oracle", "detected"):
            for world in range(WORLDS):
                base = value(row, boxes, world)
                cell: dict[str, Any] = dict.fromkeys(EVIDENCE, base / 2)
                cell |= {"mAR": base, "keep_ratio": 0.35, "num": 20.0 + world, "two_stage_mAR": base - 0.05}
                out[row, boxes][world] = cell
    return out


def by_name(rows: Sequence[Row], metric: str = "mAR") -> dict[str, Row]:
    return {row.row: row for row in rows if row.metric == metric}


def test_main_table(results: module.Results) -> None:
    found = by_name(module._main(results))
    every = [value("full", "detected", w) for w in range(WORLDS)]
    assert found["full-detected"].mean == pytest.approx(statistics.fmean(every))
    assert found["full-detected"].sd == pytest.approx(statistics.stdev(every))
    assert found["full-detected"].n == WORLDS
    assert found["two-stage"].mean == pytest.approx(found["language"].mean - 0.05)
    assert {*RIVALS, "box-forest-detected", "two-stage-detected", "no-scheme", module.ALONE, "selected"} <= set(found)


def test_gains_are_paired_by_world(results: module.Results) -> None:
    rows = {row.row: row for row in module._gains(results) if row.metric == "mAR difference"}
    scheme = rows["guidance, oracle boxes"]
    assert scheme.mean == pytest.approx(value(module.ALONE, "oracle", 0) - value("no-scheme", "oracle", 0))
    assert scheme.sd == pytest.approx(0, abs=1e-12)  # the very same in every pair
    assert scheme.n == WORLDS
    assert f"in {WORLDS} of {WORLDS} pairs" in scheme.note
    expected = value(module.ALONE, "oracle", 0) - (value("language", "oracle", 0) - 0.05)
    assert rows["network over two-stage, oracle boxes"].mean == pytest.approx(expected)
    named = [row for row in module._gains(results) if row.metric == "naming difference"]
    expected = (value(module.ALONE, "oracle", 0) - value("strict-sim", "oracle", 0)) / 2
    assert [row.mean for row in named] == [pytest.approx(expected)]


def test_a_cell_that_is_missing_costs_its_pair_only(results: module.Results) -> None:
    del results["no-scheme", "oracle"][1]
    rows = {row.row: row for row in module._gains(results)}
    assert rows["guidance, oracle boxes"].n == WORLDS - 1
    assert rows["guidance, detected boxes"].n == WORLDS


def test_rows_without_a_cell_are_left_out(results: module.Results) -> None:
    del results["selected-only-xm", "oracle"]
    del results["full", "detected"]
    rows = [*module._main(results), *module._gains(results), *module._evidence(results), *module._table2(results)]
    assert rows
    assert all(row.n for row in rows)
    assert not any(row.row == "full-detected" for row in rows)


def test_table_3_is_over_folds_in_points(results: module.Results) -> None:
    rows = module._table3(results)
    folds = [100 * value(module.ALONE, "oracle", w) for w in range(WORLDS)]
    alone = by_name(rows, "mAR over folds")[module.ALONE]
    assert alone.mean == pytest.approx(statistics.fmean(folds))
    assert (alone.n, alone.paper) == (WORLDS, 57.2)
    spread = by_name(rows, "variance over folds")[module.ALONE]
    assert spread.mean == pytest.approx(statistics.pvariance(folds))
    assert spread.paper == 0.11
    assert by_name(rows, "mAR over folds")["two-stage"].paper is None


@pytest.mark.parametrize("table", ["_table1", "_table2", "_table4", "_table5"])
def test_the_papers_figures_stand_in_a_column_of_their_own(results: module.Results, table: str) -> None:
    rows = getattr(module, table)(results)
    assert all(row.note.startswith(module.CHARADES) for row in rows)
    assert all(row.paper is not None for row in rows if row.metric == "mAR")
    assert all(row.mean != row.paper for row in rows)


def test_tables_of_parts_compare_the_worlds_that_all_rows_have(results: module.Results) -> None:
    del results["selected-only-sim", "oracle"][0]
    row = by_name(module._table2(results))["none"]
    assert row.mean == pytest.approx(statistics.fmean(value("selected-no-scheme", "oracle", w) for w in (1, 2)))


def test_values_that_are_not_there_do_not_count(results: module.Results) -> None:
    results["full", "oracle"][0]["naming"] = None
    assert {row.n for row in module._evidence(results) if (row.row, row.metric) == ("full", "naming")} == {2}


def test_settings_are_the_defaults_but_for_what_a_row_is_about() -> None:
    full, alone = settings("full", 3), replace(settings("full", 3).model, box_forest=False)
    assert (full.optim.epochs, full.model.box_forest, full.select.temporal) == (3, True, False)
    assert settings("strict-sim", 3).loss.sim_mode == "strict"
    assert settings("strict-sim", 3).optim == full.optim
    assert settings("strict-sim", 3).model == alone
    assert settings("predicted-relations", 3).data.relations == "prediction"
    assert settings("no-pixels", 3) == replace(full, model=alone)
    assert settings("no-scheme", 3).loss == replace(full.loss, guidance=False)
    assert settings("no-scheme", 3).select == full.select
    chosen = settings("selected", 3)
    assert chosen.select.temporal
    assert chosen.select.spatial
    assert chosen.loss == full.loss
    assert settings("selected-no-scheme-temporal-only", 3).select == replace(chosen.select, spatial=False)
    assert settings("selected-no-scheme", 3).loss.guidance is False
    assert (settings("selected-only-xm", 3).loss.sim, settings("selected-only-xm", 3).loss.xm) == (0, full.loss.xm)


def test_a_change_of_settings_is_another_cell() -> None:
    one, other = (module._cell("full", "oracle", 0, "worlds", epochs) for epochs in (8, 12))
    assert one != other
    assert "config" not in module._cell("box-forest", "oracle", 0, "worlds", 12)


def test_what_is_done_is_published_and_what_is_missing_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for world, recall in ((0, 0.5), (3, 0.75)):
        asked = module._cell("full", "oracle", world, str(module.RUNS / "worlds"), module.EPOCHS)
        done = {"result": {"mAR": recall, "alone": {"mAR": recall - 0.25}}}
        write_atomic(cell_path(module.RUNS, "whyact.reproduce.homeworld_cells:cell", asked), canonical_json(done))
    module.run(Study(stored=True, as_json=True))
    document = from_json(capsys.readouterr().out)
    found = by_name(document.rows)
    assert (found["full"].mean, found["full"].n) == (0.625, 2)
    assert found[module.ALONE].mean == 0.375
    assert "2 of 115 cells are done" in document.header.data
    assert (list(document.header.seeds), list(document.header.folds)) == ([0, 3], [1, 4])


def test_an_empty_store_is_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="stored"):
        module.run(Study(stored=True))
    assert not list(tmp_path.iterdir())
