"""Broken annotation files: some hundred a run of the tests; ``python -m robustness fuzz`` gives 100,000."""

from __future__ import annotations

import numpy as np
import pytest

from robustness import fuzz
from robustness.fuzz import TARGETS, attack
from robustness.fuzz_inputs import Target, damaged
from whyact.data.io.pickles import dump_plain

READERS = sorted(TARGETS.keys() - {"video"})


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_read_or_refused_in_words(name: str) -> None:
    assert attack(name, 10**6, 40).wrong == []


@pytest.mark.parametrize("name", READERS)
def test_the_sound_files_are_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "damaged", lambda name, data, rng: data)
    target = TARGETS[name]()
    fuzz._target.cache_clear()
    counted: list[object] = []
    whole = Target(target.sound, lambda root: counted.append(target.read(root)), target.damage, target.alone)
    monkeypatch.setitem(TARGETS, name, lambda: whole)
    inputs = len(target.sound) if target.alone else 1
    assert attack(name, 0, inputs).wrong == []
    fuzz._target.cache_clear()
    assert len(counted) == inputs  # read, not refused


def test_an_error_of_another_kind_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(root: object) -> None:
        raise KeyError("bbox")

    monkeypatch.setitem(TARGETS, "careless", lambda: Target({"a.txt": b"1 2 3"}, careless))
    wrong = attack("careless", 0, 2).wrong
    assert len(wrong) == 2
    assert wrong[0].startswith("careless input 0, a.txt: KeyError: 'bbox' (test_fuzz_readers.py:")


def test_damage_is_the_same_in_every_run_and_nearly_always_damage() -> None:
    text, values = b'{"a": [1, 2, 3], "b": "word"}', dump_plain({"a": [1, {"b": 2}], "c": "d"})
    for name, data in (("a.txt", text), ("a.json", text), ("a.pkl", values)):
        made = [damaged(name, data, np.random.default_rng(n)) for n in range(200)]
        assert made == [damaged(name, data, np.random.default_rng(n)) for n in range(200)]
        assert len(set(made)) > 100
        assert sum(one == data for one in made) < 20
