"""The fuzzer finds what a reader does wrong, and the video reader does nothing wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from whyact.errors import UserError
from whyact.studies import fuzz


def test_damaged_videos_are_read_or_refused() -> None:
    assert fuzz.attack("video", 0, 80) == []


def test_an_unexpected_error_is_found_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(path: Path) -> None:
        data = path.read_bytes()
        if not data.startswith(b"good"):
            raise UserError(path, data[:4], "a good file")
        if b"\0\0\0\0" in data:
            raise ZeroDivisionError("four zeros")

    target = fuzz.Target({".x": b"good" + bytes(range(1, 200))}, read)
    monkeypatch.setitem(fuzz.TARGETS, "toy", lambda: target)
    wrong = fuzz.attack("toy", 0, 100)
    assert 5 < len(wrong) < 60
    assert all("ZeroDivisionError: four zeros (test_fuzz.py:" in line for line in wrong)
    assert fuzz.attack("toy", 0, 100) == wrong


def test_damage_is_of_every_kind_and_the_same_again() -> None:
    data = bytes(range(256)) * 4
    made = [fuzz.damaged(data, np.random.default_rng(i)) for i in range(200)]
    assert made == [fuzz.damaged(data, np.random.default_rng(i)) for i in range(200)]
    lengths = [len(m) for m in made]
    assert min(lengths) < 100 < len(data) < max(lengths)
    assert sum(m == data for m in made) < 10
    assert fuzz.damaged(b"", np.random.default_rng(6)) == b""
