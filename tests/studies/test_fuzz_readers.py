"""Broken annotation files: some hundred a run of the tests; ``whyact bench fuzz-readers`` gives 14,700."""

from __future__ import annotations

import numpy as np
import pytest

from whyact.data.pickles import dump_plain
from whyact.studies import fuzz_readers
from whyact.studies.fuzz_readers import TARGETS, Target, attack, damaged


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_damaged_files_are_read_or_refused_in_words(name: str) -> None:
    assert attack(name, 10**6, 60) == []


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_the_sound_files_are_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_readers, "damaged", lambda name, data, rng: data)
    target = TARGETS[name]()
    counted: list[object] = []
    whole = Target(target.sound, lambda root: counted.append(target.read(root)), target.damage)
    monkeypatch.setitem(TARGETS, name, lambda: whole)
    assert attack(name, 0, 1) == []
    assert len(counted) == 1  # read, not refused


def test_an_error_of_another_kind_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(root: object) -> None:
        raise KeyError("bbox")

    monkeypatch.setitem(TARGETS, "careless", lambda: Target({"a.txt": b"1 2 3"}, careless))
    wrong = attack("careless", 0, 2)
    assert len(wrong) == 2
    assert wrong[0].startswith("careless input 0, a.txt: KeyError: 'bbox' (test_fuzz_readers.py:")


def test_damage_is_the_same_in_every_run_and_nearly_always_damage() -> None:
    text, values = b'{"a": [1, 2, 3], "b": "word"}', dump_plain({"a": [1, {"b": 2}], "c": "d"})
    for name, data in (("a.txt", text), ("a.json", text), ("a.pkl", values)):
        made = [damaged(name, data, np.random.default_rng(n)) for n in range(200)]
        assert made == [damaged(name, data, np.random.default_rng(n)) for n in range(200)]
        assert len(set(made)) > 100
        assert sum(one == data for one in made) < 20
