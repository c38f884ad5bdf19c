"""The results document says what was measured, on what, and over how many."""

from __future__ import annotations

import getpass
import json
import platform
import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyact.errors import UserError
from whyact.reproduce.results import Row, from_json, header, machine, row, to_json, to_markdown, write_results

ROWS = [
    row("main", "language", "mAR", [0.9, 0.8], paper=0.85),
    row("main", "language", "keep_ratio", [0.3]),
    row("main", "two-stage", "mAR", [0.5, 0.5, 0.5], note="small sizes"),
    row("main", "two-stage", "keep_ratio", [1.0], note="small sizes"),
    row("gym", "full", "avg_mAP", [31.25], unit="%", note="other"),
]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9))
def test_row_is_mean_sample_deviation_and_count(values: list[float]) -> None:
    made = row("t", "r", "m", values)
    mean = sum(values) / len(values)
    assert made.mean == pytest.approx(mean, abs=1e-6)
    assert made.n == len(values)
    if len(values) == 1:
        assert made.sd is None
    else:
        assert made.sd == pytest.approx((sum((v - mean) ** 2 for v in values) / (len(values) - 1)) ** 0.5, abs=1e-5)


@pytest.mark.parametrize("values", [[], [float("nan")], [1.0, float("inf")]])
def test_a_row_without_a_finite_mean_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        row("t", "r", "m", values)


def test_both_files_are_written_and_json_reads_back(tmp_path: Path) -> None:
    head = header("laiar-cad120", "whyact reproduce laiar-cad120", seeds=[0, 1], folds=[1], data="cad120")
    paths = write_results("laiar-cad120", head, ROWS, tmp_path / "docs" / "results")
    assert [path.name for path in paths] == ["laiar-cad120.json", "laiar-cad120.md"]
    document = from_json(paths[0].read_text())
    assert (document.header, document.rows) == (head, ROWS)
    plain = json.loads(paths[0].read_text())
    keys = {"name", "command", "date", "version", "machine", "seeds", "folds", "data", "split_sha256"}
    assert set(plain["header"]) == keys
    assert set(plain["rows"][0]) == {"table", "row", "metric", "paper", "mean", "sd", "n", "unit", "note"}
    assert plain["rows"][1]["paper"] is None
    assert plain["rows"][1]["sd"] is None


def test_markdown_has_a_table_each_and_the_papers_column_only_where_it_has_one() -> None:
    text = to_markdown(header("x", "whyact reproduce x --seeds 2", seeds=[0, 1]), ROWS)
    main, gym = text.partition("## gym")[::2]
    assert "whyact reproduce x --seeds 2" in main
    assert "| row | mAR | mAR, paper | keep_ratio |" in main
    assert f"| language | 0.850 ± {statistics.stdev([0.9, 0.8]):.3f} (2) | 0.850 | 0.300 (1) |" in main
    assert "| two-stage | 0.500 ± 0.000 (3) [1] |  | 1.000 (1) [1] |" in main
    assert main.count("small sizes") == 1
    assert "| row | avg_mAP (%) |" in gym
    assert "| full | 31.2 (1) [1] |" in gym
    assert "1. other" in gym
    for line in (line for line in text.splitlines() if line.startswith("|")):
        assert line.count("|") in (3, 5)


def test_a_bar_in_a_name_does_not_break_the_table() -> None:
    text = to_markdown(header("x", "c"), [Row(table="t", row="a|b", metric="m", mean=1.0)])
    assert "| a\\|b | 1.000 (1) |" in text


def test_machine_names_nobody() -> None:
    said = machine().lower()
    assert "cores" in said
    assert platform.node().lower() not in said or len(platform.node()) < 3
    assert getpass.getuser().lower() not in said
    assert str(Path.home()).lower() not in said or str(Path.home()) == "/"


def test_unknown_keys_are_refused_and_a_bad_folder_is_named(tmp_path: Path) -> None:
    text = to_json(header("x", "c"), ROWS)
    for part in ('"header"', '"name"', '"table"'):
        with pytest.raises(ValueError, match="colour"):
            from_json(text.replace(part, f'"colour": 1, {part}', 1))
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"):
        write_results("x", header("x", "c"), ROWS, tmp_path / "file")
