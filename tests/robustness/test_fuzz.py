"""The fuzzer finds what a reader does wrong, and the video reader does nothing wrong."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from robustness import fuzz
from robustness.__main__ import main
from robustness.fuzz_inputs import damaged
from whyact.errors import UserError


def test_damaged_videos_are_read_or_refused() -> None:
    found = fuzz.attack("video", 0, 60)
    assert (found.tried, found.wrong, found.slow) == (60, [], [])


def test_an_unexpected_error_is_found_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(path: Path) -> None:
        data = path.read_bytes()
        if not data.startswith(b"good"):
            raise UserError(path, data[:4], "a good file")
        if b"\0\0\0\0" in data:
            raise ZeroDivisionError("four zeros")

    target = fuzz.Target({"a.x": b"good" + bytes(range(1, 200))}, read, alone=True)
    monkeypatch.setitem(fuzz.TARGETS, "toy-error", lambda: target)
    wrong = fuzz.attack("toy-error", 0, 100).wrong
    assert 5 < len(wrong) < 60
    assert all("ZeroDivisionError: four zeros (test_fuzz.py:" in line for line in wrong)
    assert fuzz.attack("toy-error", 0, 100).wrong == wrong


def test_a_slow_input_is_found_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def read(path: Path) -> None:
        clock[0] += fuzz.HANG + 1

    monkeypatch.setattr(fuzz, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    target = fuzz.Target({"a.x": b"abc"}, read, alone=True)
    monkeypatch.setitem(fuzz.TARGETS, "toy-slow", lambda: target)
    found = fuzz.attack("toy-slow", 3, 2)
    assert [line.split(":")[0] for line in found.slow] == ["toy-slow input 3, a.x", "toy-slow input 4, a.x"]
    assert found.longest == fuzz.HANG + 1


@pytest.mark.parametrize("total", [2_000, 10_000, 100_000])
def test_every_reader_gets_its_share_and_all_inputs_are_given(total: int) -> None:
    given = fuzz.shares(total)
    assert given.keys() == fuzz.TARGETS.keys()
    assert sum(given.values()) == total
    assert min(given.values()) >= total // 50


def test_the_study_counts_writes_and_fails_on_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = fuzz.Attack(10, ["toy input 3, a.x: KeyError: 1 (a.py:1)"], [], 0.5)
    good = fuzz.Attack(20, [], [], 0.25)
    monkeypatch.setattr(fuzz, "attack_all", lambda total, jobs: {"one": good, "two": good})
    arguments = ["fuzz", "--seeds", "1", "--out", str(tmp_path)]
    assert main(arguments) == 0
    page = (tmp_path / "fuzz.md").read_text()
    assert "| all readers | 40.0 (1) | 0.000 (1) | 0.000 (1) | 0.250 (1) |" in page
    monkeypatch.setattr(fuzz, "attack_all", lambda total, jobs: {"one": good, "two": bad})
    assert main(arguments) == 1
    assert "toy input 3, a.x: KeyError" in capsys.readouterr().err
    assert "| two | 10.0 (1) | 1.000 (1) [1] |" in (tmp_path / "fuzz.md").read_text()


def test_damage_is_of_every_kind_and_the_same_again() -> None:
    data = bytes(range(256)) * 4
    made = [damaged("a.bin", data, np.random.default_rng(i)) for i in range(200)]
    assert made == [damaged("a.bin", data, np.random.default_rng(i)) for i in range(200)]
    lengths = [len(m) for m in made]
    assert min(lengths) < 100 < len(data) < max(lengths)
    assert sum(m == data for m in made) < 10
    assert damaged("a.bin", b"", np.random.default_rng(6)) == b""
