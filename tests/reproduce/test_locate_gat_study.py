"""The study's document from ready-made cells: rows, units, spread; and what it asks of its data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from whyact.errors import UserError
from whyact.reproduce import grid
from whyact.reproduce import locate_gat as study
from whyact.reproduce.study import Study


def measured(cells: list[dict[str, Any]], *_: object, **__: object) -> list[dict[str, Any]]:
    metrics = {"zsl_top1": 50.0, "gzsl_h": 40.0, "zsl_per_class": 45.0, "gzsl_seen": 60.0, "gzsl_unseen": 30.0}
    found = []
    for cell in cells:
        if cell["table"] == "synthetic-ablation":
            found.append({"rows": {cell["row"]: {"zsl_top1": 40.0 + cell["seed"]}}, "split_sha256": "x"})
            continue
        if cell.get("row") == study.CHOSEN:
            chosen = {name: dict(metrics) for name in study.CHOSEN_ROWS}
            chosen[study.CHOSEN_ROWS[0]]["zsl_top1"] -= cell["fold"] % 2
            found.append({"rows": chosen, "split_sha256": "x"})
            continue
        rows: dict[str, dict[str, float]] = {name: dict(metrics) for name in study.ROWS}
        rows["locate"]["zsl_top1"] += cell["seed"] + cell.get("fold", 0)
        rows["locate+gat"]["mix"] = 0.2
        found.append({"rows": rows, "split_sha256": json.dumps(cell, sort_keys=True)})
    return found


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "run_cells", measured)
    monkeypatch.setattr(study, "_check_gym", lambda root: None)


def document(capsys: pytest.CaptureFixture[str], **options: Any) -> dict[str, Any]:
    study.run(Study(**{"as_json": True} | options))
    return json.loads(capsys.readouterr().out)


def test_tables_rows_and_spread(ready: None, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = document(capsys, root=tmp_path, out=tmp_path / "results")
    rows = {(r["table"], r["row"], r["metric"]): r for r in found["rows"]}
    for table in ("synthetic", "gym"):
        for name in ("mean-pool", "locate", "locate+gat", "text-only"):
            assert {(table, name, "zsl_top1"), (table, name, "gzsl_h")} <= set(rows)
    seeds, folds = rows["synthetic", "locate", "zsl_top1"], rows["gym", "locate", "zsl_top1"]
    assert (seeds["mean"], seeds["sd"], seeds["n"]) == (51.0, 1.0, 3)
    assert (folds["mean"], folds["n"]) == (55.5, 10)
    assert rows["gym", "locate+gat", "mix"]["unit"] == "share"
    assert found["header"]["folds"] == list(range(1, 11))
    assert str(tmp_path) not in json.dumps(found["header"])
    assert {path.name for path in (tmp_path / "results").iterdir()} == {"locate-gat.json", "locate-gat.md"}


def test_gaps_are_bounded_and_only_what_the_interval_shows_is_called_higher(
    ready: None, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = {
        (r["row"], r["metric"]): r for r in document(capsys, root=tmp_path)["rows"] if r["table"] == "gym-intervals"
    }
    gap = rows["locate - mean-pool", "zsl_top1"]  # 1, 2, ... 10 over the ten splits
    assert (gap["mean"], gap["n"], gap["note"]) == (5.5, 10, "higher")
    half = 2.2621572 * 3.0276504 / 10**0.5  # t of 9 degrees of freedom, sd of 1..10
    assert rows["locate - mean-pool", "zsl_top1_low"]["mean"] == pytest.approx(5.5 - half)
    assert rows["locate - mean-pool", "zsl_top1_high"]["mean"] == pytest.approx(5.5 + half)
    assert rows["locate+gat - locate", "zsl_top1"]["note"] == "lower"
    assert rows["locate+gat - mean-pool", "gzsl_h"]["note"] == "no difference shown"
    ours = study.CHOSEN_ROWS[0]  # 1 or 0 below mean-pool; locate is 1, 2, ... 10 above it
    assert (rows[f"{ours} - mean-pool", "zsl_top1"]["mean"], rows[f"{ours} - mean-pool", "zsl_top1"]["n"]) == (-0.5, 10)
    assert rows[f"{ours} - locate", "zsl_top1"]["mean"] == -6


def test_ablations_stand_in_a_table_of_their_own(ready: None, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [r for r in document(capsys)["rows"] if r["table"] == "synthetic-ablation"]
    assert [r["row"] for r in rows] == list(study.ABLATIONS)
    assert {(r["mean"], r["n"]) for r in rows} == {(41.0, 3)}


def test_cells_carry_their_settings_so_that_changed_ones_are_measured_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(grid, "run_cells", lambda cells, *_, **__: asked.extend(cells) or measured(cells))
    study.run(Study(seeds=1, as_json=True))
    by_row = {cell.get("row", cell["table"]): cell["config"] for cell in asked}
    assert by_row["mse"]["loss"] == "mse"
    assert by_row["attention-over-batch"]["attention"] == "batch"
    assert by_row["synthetic"]["loss"] == "cosine-softmax"
    assert study.settings("gym").start == "random", "the published start, whatever the preset has"
    assert study.settings("gym", study.CHOSEN).start == "choose"


def test_a_cell_measures_every_row_and_its_invariances() -> None:
    from dataclasses import replace

    import msgspec

    small = replace(
        study.settings("synthetic"), epochs=1, gat_steps=2, gat_hidden=8, mixer="none", mix=0.2, calibration=0.1
    )
    found = study.cell({"table": "synthetic", "seed": 0, "config": msgspec.to_builtins(small)})["rows"]
    assert set(found) == {*study.ROWS, *study.BASELINES}
    assert found["locate"]["batch_gap"] <= 1e-6
    assert found["locate+gat"]["graph_effect_at_mix_0"] == 0
    assert found["locate+gat"]["graph_effect_at_mix_0.3"] > 1e-3
    assert found["mean-pool"]["zsl_top1"] <= 55


def test_quick_writes_nothing_and_measures_one_seed(
    ready: None, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found = document(capsys, root=tmp_path, quick=True)
    assert {r["n"] for r in found["rows"] if r["table"] == "synthetic"} == {1}
    assert {r["n"] for r in found["rows"] if r["table"] == "gym"} == {2}
    assert not list(tmp_path.iterdir())


def test_without_data_the_gym_table_is_left_out_and_said(ready: None, capsys: pytest.CaptureFixture[str]) -> None:
    study.run(Study(quick=True, as_json=True))
    printed = capsys.readouterr()
    assert "gym" in printed.err
    assert {r["table"] for r in json.loads(printed.out)["rows"]} == {"synthetic", "synthetic-appearance"}


def test_a_root_without_the_data_is_an_error_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="gym-i3d"):
        study.run(Study(root=tmp_path, quick=True, seeds=1, as_json=True))


def test_the_tables_of_a_study_that_was_stopped_hold_the_splits_it_finished(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of nine splits with the published start, three have the chosen one, too: differences are of those three."""

    def stored(cells: list[dict[str, Any]], *_: object) -> list[dict[str, Any] | None]:
        limit = {study.CHOSEN: 3}
        done = [cell.get("fold", 0) <= limit.get(cell.get("row", ""), 9) for cell in cells]
        return [one if kept else None for one, kept in zip(measured(cells), done, strict=True)]

    monkeypatch.setattr(grid, "stored_cells", stored)
    monkeypatch.setattr(study, "_check_gym", lambda root: None)
    found = document(capsys, root=tmp_path, stored=True)["rows"]
    rows = {(r["row"], r["metric"]): r for r in found if "gym" in r["table"]}
    assert rows["locate - mean-pool", "zsl_top1"]["n"] == 9
    assert rows[f"{study.CHOSEN_ROWS[0]} - mean-pool", "zsl_top1"]["n"] == 3
    assert rows[f"{study.CHOSEN_ROWS[0]} - mean-pool", "zsl_top1"]["mean"] == pytest.approx(-2 / 3)
