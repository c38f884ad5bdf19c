"""Temperature and threshold come from clips of groups that the model answering them never saw."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hand_clips import VOCABULARY, clip
from laiar_samples import CONFIG
from whyact.laiar import task


def by_hand(logits: np.ndarray, target: np.ndarray, risk: float) -> tuple[float, float]:
    """Return the best temperature of a fine grid, and the lowest threshold whose answers are wrong rarely enough."""

    def p(t: float) -> np.ndarray:
        e = np.exp((logits - logits.max(1, keepdims=True)) / t)
        return e / e.sum(1, keepdims=True)

    grid = np.exp(np.linspace(np.log(0.05), np.log(20), 4000))
    loss = [-np.log(p(t)[np.arange(len(target)), target]).mean() for t in grid]
    best = p(float(grid[int(np.argmin(loss))]))
    sure, right = best.max(1), best.argmax(1) == target
    fine = [x for x in sorted(sure) if 1 - right[sure >= x].mean() <= risk]
    return float(grid[int(np.argmin(loss))]), float(fine[0]) if fine else 1.0


@pytest.mark.parametrize("seed", range(4))
def test_temperature_and_threshold_by_a_grid(seed: int) -> None:
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 4, 120)
    logits = 3 * rng.standard_normal((120, 4)) + 4 * np.eye(4)[target]
    temperature, threshold = task.choose(logits, target)
    wanted, least = by_hand(logits, target, task.TARGET_RISK)
    assert temperature == pytest.approx(wanted, rel=0.01)
    assert threshold == pytest.approx(least, abs=0.005)


def test_no_answer_is_sure_where_all_are_wrong() -> None:
    target = np.array([0, 1, 2, 0])
    assert task.choose(10 * np.eye(4)[(target + 1) % 4], target)[1] == 1.0


def test_each_group_is_answered_by_a_model_that_never_saw_it(monkeypatch: pytest.MonkeyPatch) -> None:
    people = ["Ada", "Ben", "Cid", "Dan", "Eve"]
    clips = [clip("ffhh", action="pick", group=name, id=f"{name}-{i}") for name in people for i in range(2)]
    trained: list[set[str]] = []
    answered: list[str] = []

    def train_run(inner: Any, *_: Any, **__: Any) -> Any:
        trained.append({c.group for c in inner})
        return SimpleNamespace()

    def answer_clips(run: Any, held: Any, **_: Any) -> Any:
        assert not trained[-1] & {c.group for c in held}
        answered.extend(c.group for c in held)
        logits = np.zeros(len(VOCABULARY.actions))
        logits[held[0].target] = 1.0
        return [SimpleNamespace(logits=logits) for _ in held]

    monkeypatch.setattr(task, "train_run", train_run)
    monkeypatch.setattr(task, "answer_clips", answer_clips)
    temperature, threshold, how = task.calibrate(clips, VOCABULARY, CONFIG, seed=0)
    assert trained == [set(people) - {name} for name in people[:3]]
    assert answered == ["Ada", "Ada", "Ben", "Ben", "Cid", "Cid"]
    assert temperature < 1  # always right: surer than the logits say
    assert threshold <= 1
    assert how == "on 3 held-out training groups"


def test_one_group_cannot_be_held_out() -> None:
    clips = [clip("ffhh", action="pick", group="Ada", id=str(i)) for i in range(3)]
    assert task.calibrate(clips, VOCABULARY, CONFIG, seed=0)[:2] == (1.0, 0.0)
