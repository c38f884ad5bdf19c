"""A speed row is a ratio, and the better side is the higher number."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import laiar as bench_laiar
from benchmarks import long as bench_long
from benchmarks import memory
from benchmarks import run as bench
from benchmarks.__main__ import main
from benchmarks.compare import regressions
from benchmarks.video import write_video
from whyact.reproduce import results
from whyact.video.decode import decode


def test_ratio_is_above_one_when_the_first_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def work(seconds: float) -> None:
        clock[0] += seconds

    monkeypatch.setattr(bench, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    row = bench.ratio("t", "fast", "slow", (lambda: work(0.002), lambda: work(0.02)), 3, "note")
    assert (row.row, row.metric, row.n, row.note) == ("fast / slow", "speed_ratio", 3, "note")
    assert row.mean == pytest.approx(10)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[float]:
    """Make one benchmark the only one; it returns these ratios, one a call, the last of them for ever."""
    monkeypatch.chdir(tmp_path)
    ratios = [2.0]

    def run(repeats: int) -> list[results.Row]:
        value = ratios.pop(0) if len(ratios) > 1 else ratios[0]
        return [results.row("toy", "a / b", "speed_ratio", [value] * repeats, unit="x")]

    monkeypatch.setattr(bench, "BENCHES", {"toy": run})
    return ratios


def test_all_of_them_write_and_some_only_print(
    toy: list[float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["toy", "--quick", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["rows"][0]["mean"] == 2.0
    assert document["rows"][0]["n"] == bench.QUICK
    assert document["header"]["command"] == "python -m benchmarks --quick"
    assert main(["toy"]) == 0
    assert list(tmp_path.iterdir()) == []
    assert main([]) == 0
    assert "| a / b | 2.000" in capsys.readouterr().out
    assert sorted(p.name for p in (tmp_path / "docs/results").iterdir()) == ["bench.json", "bench.md"]
    assert main(["--out", "here"]) == 0
    stored = results.from_json((tmp_path / "here/bench.json").read_bytes())
    assert stored.rows[0].n == bench.REPEATS
    assert stored.header.machine
    assert main(["tooy"]) == 2
    assert "Did you mean 'toy'" in capsys.readouterr().err


def test_an_update_replaces_the_rows_of_what_is_named_and_keeps_the_others(
    toy: list[float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = [results.row("other", "c / d", "speed_ratio", [5.0], unit="x")]
    monkeypatch.setattr(bench, "BENCHES", {"other": lambda repeats: list(other), **bench.BENCHES})
    monkeypatch.setattr(bench, "can_measure", lambda: False)
    assert main([]) == 0
    toy[:] = [2.5]
    other.clear()
    assert main(["toy", "--update"]) == 0
    stored = results.from_json((tmp_path / "docs/results/bench.json").read_bytes())
    assert [(row.table, row.mean) for row in stored.rows] == [("other", 5.0), ("toy", 2.5)]
    assert "measured on this day: toy" in stored.header.data
    other.append(results.row("other", "c / d", "speed_ratio", [6.0], unit="x"))
    assert main(["other", "--update"]) == 0
    stored = results.from_json((tmp_path / "docs/results/bench.json").read_bytes())
    assert "measured on this day: other, toy;" in stored.header.data


def test_one_that_fails_is_named_and_takes_no_other_with_it(
    toy: list[float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(repeats: int) -> list[results.Row]:
        raise ZeroDivisionError("no clip")

    monkeypatch.setattr(bench, "BENCHES", {"broken": broken, **bench.BENCHES})
    monkeypatch.setattr(bench, "can_measure", lambda: False)
    assert main([]) == 2
    told = capsys.readouterr().err
    assert "no clip" in told
    assert "broken" in told.splitlines()[-1]
    assert results.from_json((tmp_path / "docs/results/bench.json").read_bytes()).rows[0].table == "toy"


@pytest.mark.parametrize(("now", "code"), [(1.34, 0), (1.32, 1), (20.0, 0)])
def test_a_ratio_one_and_a_half_times_below_the_stored_one_fails(
    toy: list[float], tmp_path: Path, capsys: pytest.CaptureFixture[str], now: float, code: int
) -> None:
    assert main([]) == 0
    page = tmp_path / "docs/results/bench.json"
    before = page.read_bytes()
    toy[:] = [now]
    capsys.readouterr()
    assert main([]) == code
    err = capsys.readouterr().err
    assert ("toy, a / b: speed_ratio 1.32, stored 2: 1.5 times worse" in err) == bool(code)
    assert (page.read_bytes() == before) == bool(code)
    assert main(["--accept"]) == 0
    assert results.from_json(page.read_bytes()).rows[0].mean == now


def test_one_bad_run_is_given_a_second(toy: list[float], tmp_path: Path) -> None:
    assert main([]) == 0
    toy[:] = [0.5, 1.9]
    assert main([]) == 0
    assert results.from_json((tmp_path / "docs/results/bench.json").read_bytes()).rows[0].mean == 1.9


def test_only_ratios_of_the_same_row_are_compared() -> None:
    def made(row: str, mean: float, unit: str = "x") -> results.Row:
        return results.row("t", row, "m", [mean], unit=unit)

    stored = [made("a", 10.0), made("b", 1.0), made("gone", 5.0), made("time", 1.0, "s")]
    new = [made("a", 5.0), made("b", 0.9), made("new", 0.1), made("time", 100.0, "s")]
    (fell,) = regressions(new, stored)
    assert (fell.row, fell.stored, fell.new) == ("a", 10.0, 5.0)
    assert regressions(stored, []) == []


def test_a_damaged_stored_document_is_named(
    toy: list[float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs/results").mkdir(parents=True)
    (tmp_path / "docs/results/bench.json").write_text("[]")
    assert main([]) == 2
    assert "bench.json" in capsys.readouterr().err


@pytest.mark.skipif(not memory.can_measure(), reason="only Linux counts a process's peak anew")
def test_each_benchmark_has_its_own_memory_peak(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def large(repeats: int) -> list[results.Row]:
        return [results.row("t", "large", "sum", [float(np.ones(2**24).sum())])]

    monkeypatch.setattr(
        bench, "BENCHES", {"large": large, "small": lambda repeats: [results.row("t", "small", "one", [1.0])]}
    )
    monkeypatch.chdir(tmp_path)
    assert main(["--out", "."]) == 0
    rows = results.from_json((tmp_path / "bench.json").read_bytes()).rows
    peaks = {row.row: row.mean for row in rows if row.table == "memory"}
    assert 100 < peaks["large"] - peaks["small"] < 200  # 128 MiB of ones
    assert 120 < memory.added_mib(lambda: np.ones(2**24)) < 140


def test_all_the_claims_have_a_row() -> None:
    wanted = {"start", "laiar-gather", "action-genome", "video-decoding", "video-extraction", "video-long"}
    wanted |= {"pvlr-detection", "pvlr-proposals", "pvlr-activation", "pvlr-evaluation"}
    wanted |= {"locate-gat-epoch", "locate-gat-lca", "locate-gat-scoring", "training", "own-clips"}
    assert wanted <= set(bench.BENCHES)


def test_hours_of_video_are_the_same_seconds_again(tmp_path: Path) -> None:
    part = write_video(tmp_path / "part.mp4", 25, 10, (64, 48))
    for kind in bench_long.KINDS:
        long = bench_long.repeated(part, tmp_path / f"long{kind}", 4)
        assert bench_long.index(long) == 100
        video = decode(long, 8)
        np.testing.assert_array_equal(video.frames[:2], video.frames[2:4])
        assert video.facts.duration == pytest.approx(4.0, abs=0.1)
        assert not video.facts.degraded


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
