"""The fault study counts what it should: it recovers sound victims, and it notices the unsound."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from robustness import faults
from robustness.fault_victims import Victim
from whyact.errors import UserError
from whyact.files import write_atomic


def counts(material: Path, out: Path) -> None:
    """Write five numbered files, whole or not at all."""
    import time

    for i in range(5):
        path = out / f"{i}.txt"
        if not path.exists():
            time.sleep(0.01)
            write_atomic(path, f"{i} " * 40)


def careless(material: Path, out: Path) -> None:
    """Write in place and take for done whatever is there."""
    import time

    out.mkdir(exist_ok=True)
    for i in range(5):
        path = out / f"{i}.txt"
        if not path.exists():
            with open(path, "w") as stream:
                for _ in range(40):
                    stream.write(f"{i} ")
                    stream.flush()
                    time.sleep(0.001)


def check(out: Path) -> list[str]:
    found = []
    for path in out.iterdir():
        if path.read_bytes() != (f"{path.stem} " * 40).encode():
            found.append(f"{path.name}: other bytes")
    return found


def blind(out: Path) -> list[str]:
    if any(not path.read_bytes().startswith(b"0") for path in out.glob("0.txt")):
        raise UserError("a file", "bytes", "others")
    return []


def names(out: Path) -> set[str]:
    return {path.name for path in out.glob("[0-9].txt")} if out.is_dir() else set()


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "make_material", lambda path: path)
    monkeypatch.setattr(faults, "preload", lambda: None)


def test_a_sound_victim_recovers_from_everything(tmp_path: Path) -> None:
    rows = faults.study(tmp_path, 6, 3, 20, 20, (Victim("sound", counts, check, names),))
    found = {(row.row, row.metric): row.mean for row in rows}
    kinds = ["kill -9, sound", "full disk", "flipped bits", "truncated files"]
    assert [found[kind, "faults"] for kind in kinds] == [6, 3, 20, 20]
    assert [found[kind, "recovered"] for kind in kinds] == [100] * 4
    assert [found[kind, metric] for kind in kinds for metric in ("records_lost", "wrong_answers")] == [0] * 8


def test_an_unsound_victim_is_noticed(tmp_path: Path) -> None:
    rows = faults.study(tmp_path, 8, 0, 20, 0, (Victim("careless", careless, blind, names),))
    found = {(row.row, row.metric): row for row in rows}
    assert found["kill -9, careless", "wrong_answers"].mean > 0
    assert found["kill -9, careless", "recovered"].mean < 100
    assert found["flipped bits", "recovered"].mean < 100
    assert "was not named" in found["flipped bits", "wrong_answers"].note


def test_harm_changes_what_it_says() -> None:
    data, chance = bytes(range(50)), random.Random(1)
    for _ in range(30):
        flipped = faults.flip(data, chance)
        assert sum(bin(a ^ b).count("1") for a, b in zip(data, flipped, strict=True)) == 1
        assert data.startswith(cut := faults.truncate(data, chance))
        assert len(cut) < len(data)


def test_a_victim_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setattr(faults, "PATIENCE", 0.05)
    child = faults.begin(Victim("idle", lambda a, b: time.sleep(60), check, names), tmp_path, tmp_path / "x")
    assert faults.finish(child) < 0
