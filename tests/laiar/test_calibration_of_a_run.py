"""Temperature and threshold come from clips of groups that the model answering them never saw."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hand_clips import ONE_OF_EACH, VOCABULARY, clip
from laiar_samples import CONFIG, SMALL
from whyact.laiar import calibration, task
from whyact.laiar.answers import answer_clips
from whyact.laiar.config import EvidenceConfig, OptimConfig


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
    temperature, threshold = calibration.choose(logits, target)
    wanted, least = by_hand(logits, target, calibration.TARGET_RISK)
    assert temperature == pytest.approx(wanted, rel=0.01)
    assert threshold == pytest.approx(least, abs=0.005)


def test_no_answer_is_sure_where_all_are_wrong() -> None:
    target = np.array([0, 1, 2, 0])
    assert calibration.choose(10 * np.eye(4)[(target + 1) % 4], target)[1] == 1.0


def test_a_toss_up_is_never_sure_however_seldom_the_model_is_wrong() -> None:
    """With 95 of 100 right, the lowest score alone would do as a threshold: 0.42 of 3 actions was said as a fact."""
    target = np.arange(99) % 3
    logits = 12.0 * np.eye(3)[target]
    logits[:5] = 0.1 * np.eye(3)[(target[:5] + 1) % 3]
    assert by_hand(logits, target, calibration.TARGET_RISK)[1] < 0.5
    assert calibration.choose(logits, target)[1] == 0.5


def test_whole_groups_near_a_third_of_the_clips_are_held_out() -> None:
    def people(**counts: int) -> set[str]:
        return task.held_out_groups([clip("ff", group=g, id=f"{g}{i}") for g, n in counts.items() for i in range(n)])

    assert people(Ada=2, Ben=2, Cid=2, Dan=2, Eve=2) == {"Ada", "Ben"}
    assert people(Ada=10, Ben=5, Cid=1) == {"Ben"}
    assert people(Ada=9, Ben=1) == {"Ben"}
    assert people(Ada=5) == set()


def test_calibration_answers_people_that_its_model_never_saw(monkeypatch: pytest.MonkeyPatch) -> None:
    people = ["Ada", "Ben", "Cid", "Dan", "Eve"]
    clips = [
        clip("ffhh", action=action, group=name, id=f"{name}-{action}") for name in people for action in ("pick", "null")
    ]
    trained: list[set[str]] = []
    answered: list[str] = []

    def train_run(inner: Any, *_: Any, **__: Any) -> Any:
        trained.append({c.group for c in inner})
        return SimpleNamespace(model=SimpleNamespace(naming=None, terms={}), vocabulary=VOCABULARY)

    def answer_clips(run: Any, held: Any, **_: Any) -> Any:
        assert not trained[-1] & {c.group for c in held}
        answered.extend(c.group for c in held)
        return [SimpleNamespace(logits=np.eye(len(VOCABULARY.actions))[c.target], clip=c) for c in held]

    monkeypatch.setattr(task, "train_run", train_run)
    monkeypatch.setattr(calibration, "answer_clips", answer_clips)
    made = task.calibrate(clips, VOCABULARY, CONFIG, seed=0)
    assert made is not None
    assert trained == [{"Cid", "Dan", "Eve"}]
    assert answered == ["Ada", "Ada", "Ben", "Ben"]
    assert made.temperature < 1  # always right: surer than the logits say
    assert made.threshold <= 1
    assert made.text == "on 2 held-out training groups"
    assert made.naming == {}  # a model that names token by token


def test_of_one_group_a_third_of_the_clips_is_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = [clip("ffhh", action=("pick", "null")[i % 2], group="Ada", id=str(i)) for i in range(60)]
    held: list[Any] = []

    def answer_clips(run: Any, some: Any, **_: Any) -> Any:
        held.extend(some)
        return [SimpleNamespace(logits=np.eye(len(VOCABULARY.actions))[c.target], clip=c) for c in some]

    run = SimpleNamespace(model=SimpleNamespace(naming=None, terms={}), vocabulary=VOCABULARY)
    monkeypatch.setattr(task, "train_run", lambda *_, **__: run)
    monkeypatch.setattr(calibration, "answer_clips", answer_clips)
    made = task.calibrate(clips, VOCABULARY, CONFIG, seed=0)
    assert made is not None
    assert made.text == "on held-out training clips"
    assert 10 <= len(held) <= 30


def test_a_single_clip_calibrates_nothing() -> None:
    assert task.calibrate([clip("ffhh", action="pick", group="Ada")], VOCABULARY, CONFIG, seed=0) is None


def test_names_are_calibrated_where_they_are_stated_at_the_chosen_temperature() -> None:
    """A cooler or hotter score moves more or less when a pair is removed: other claims are those that decide."""
    clips = ONE_OF_EACH[:5]  # without the null action
    config = replace(CONFIG, model=replace(SMALL, naming="chain"), optim=OptimConfig(lr=1e-2, batch=5, epochs=20))
    run = task.train_run(clips, VOCABULARY, config, seed=0)
    wrong = [
        replace(one, target=(answer.predicted + 1) % len(VOCABULARY.actions))
        for one, answer in zip(clips, answer_clips(run, clips, explain=False), strict=True)
    ]
    most = max(float(a.contribution.max()) for a in answer_clips(run, wrong))
    run = replace(run, config=replace(run.config, evidence=EvidenceConfig(least=most / 2)))
    assert any(a.decisive.any() for a in answer_clips(run, wrong)), "some claims decide at a temperature of 1"
    found = calibration.calibration_of(run, wrong, "on these")
    assert found.temperature == 20, "every answer is wrong"
    assert run.temperature == 1.0, "the run that answered stays as it was"
    stating = replace(run, temperature=found.temperature)
    assert not any(a.decisive.any() for a in answer_clips(stating, wrong))
    assert set(found.naming) == {"transition", "state"}
    for fit in found.naming.values():
        assert (fit.bonus, fit.turn) == (0.0, 0.0), "nothing decides, so nothing is known of what does"
