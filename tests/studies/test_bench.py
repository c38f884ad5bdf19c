"""A speed row is a ratio, and the better side is the higher number."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from whyact.cli import main
from whyact.studies import bench, bench_laiar, results


def test_ratio_is_above_one_when_the_first_is_faster() -> None:
    row = bench.ratio("t", "fast", "slow", (lambda: time.sleep(0.002), lambda: time.sleep(0.02)), 3, "note")
    assert (row.row, row.metric, row.n, row.note) == ("fast / slow", "speed_ratio", 3, "note")
    assert 3 < row.mean < 15


def test_the_verb_prints_or_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    repeats: list[int] = []

    def toy(n: int) -> list[results.Row]:
        repeats.append(n)
        return [results.row("toy", "a / b", "speed_ratio", [2.0] * n)]

    monkeypatch.setitem(bench.BENCHES, "toy", toy)
    assert main(["bench", "toy", "--quick", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["rows"][0]["mean"] == 2.0
    assert document["header"]["command"] == "whyact bench toy --quick"
    assert list(tmp_path.iterdir()) == []
    assert main(["bench", "toy", "--out", "here"]) == 0
    assert "| a / b | 2.000" in capsys.readouterr().out
    assert sorted(p.name for p in (tmp_path / "here").iterdir()) == ["bench.json", "bench.md"]
    assert repeats[0] < repeats[1]
    assert main(["bench", "tooy"]) == 2
    assert "did you mean 'toy'" in capsys.readouterr().err


def test_the_training_bench_measures_two_real_trainings() -> None:
    (row,) = bench.training(1)
    assert row.row == "fit / plain-loop"
    assert 0.05 < row.mean < 2


def test_the_gather_bench_compares_equal_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("B", 2), ("T", 5), ("K", 4)):
        monkeypatch.setattr(bench_laiar, name, size)
    rows = bench_laiar.gather(1)
    assert [row.row.split(" / ")[1] for row in rows] == ["masked", "masked", "answer, masked"]
    for row in rows[:2]:
        assert float(row.note.rsplit(" ", 1)[1]) < 1e-5
