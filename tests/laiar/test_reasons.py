"""What is stated, held against the annotation: by hand, and by the definition."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whyact.laiar.evidence import Change
from whyact.laiar.reasons import (
    Claims,
    claims_of,
    fit_claims,
    reason_scores,
    transition_scores_of,
    with_calibration,
)
from whyact.metrics.calibration import ClaimFit, calibrated, fit_calibration
from whyact.metrics.transitions import confirms_state, confirms_transition, label_changes

SEEDS = st.integers(0, 10_000)


def claims(rows: list[tuple[int, bool, float, bool, bool, bool]], right: list[bool]) -> Claims:
    clip, state, chance, decisive, known, true = (np.array(column) for column in zip(*rows, strict=True))
    return Claims(clip, state, chance, decisive, known, true, np.array(right))


HAND = claims(
    [  # clip, state, chance, decisive, known, true
        (0, False, 0.95, True, True, True),
        (0, True, 0.99, False, True, True),  # likely, but the answer does not need it
        (1, False, 0.92, True, True, False),  # stated and wrong
        (1, False, 0.50, True, True, True),  # needed, but not likely enough
        (2, True, 0.91, True, True, True),  # of a wrong answer
        (3, False, 0.97, True, False, False),  # the annotation says nothing of this pair
    ],
    right=[True, True, False, True, True],
)


def test_claims_of_unknown_chance_survive_json() -> None:
    back = Claims.from_lists(json.loads(json.dumps(replace(HAND, chance=np.full(6, np.nan)).to_lists())))
    assert np.isnan(back.chance).all()
    assert back.decisive.tolist() == HAND.decisive.tolist()
    assert reason_scores(back, 0.0)["reasons"] == 5  # a run that knows no chances states what passes the control


def test_precision_and_coverage_by_hand() -> None:
    scores = reason_scores(HAND, 0.9)
    assert scores["reasons"] == 4
    assert scores["reason_precision"] == pytest.approx(2 / 3)
    assert scores["reason_coverage"] == pytest.approx(3 / 4)  # of the right answers 0, 1, 3 and 4, all but the last
    assert scores["reason_decisive"] == pytest.approx(3 / 4)
    assert reason_scores(HAND, 0.96)["reason_decisive"] == pytest.approx(3 / 4)  # whatever the level
    assert scores["reason_curve"][0] == (0.5, pytest.approx(3 / 4), pytest.approx(3 / 4))


def test_nothing_stated_has_no_precision_and_no_coverage() -> None:
    scores = reason_scores(HAND, 0.999)
    assert np.isnan(scores["reason_precision"])
    assert scores["reason_coverage"] == scores["reasons"] == 0


@settings(max_examples=20)
@given(SEEDS)
def test_a_higher_level_never_states_more(seed: int) -> None:
    g = np.random.default_rng(seed)
    n = 30
    flags = g.random((4, n)) < 0.5
    some = Claims(g.integers(0, 6, n), flags[0], g.random(n), flags[1], flags[2], flags[3], g.random(6) < 0.7)
    counts = [reason_scores(some, level)["reasons"] for level in (0.2, 0.5, 0.8)]
    assert counts == sorted(counts, reverse=True)
    back = Claims.from_lists(some.to_lists())
    one, two = reason_scores(back, 0.5), reason_scores(some, 0.5)
    for name in ("reason_precision", "reason_coverage", "reasons", "reason_ece"):
        assert one[name] == pytest.approx(two[name], nan_ok=True, abs=1e-4)


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_calibration_finds_what_claims_are_worth(seed: int) -> None:
    g = np.random.default_rng(seed)
    n = 4000
    p, decisive = g.uniform(0.02, 0.98, n), g.random(n) < 0.5
    told = ClaimFit(0.8, -0.5, 1.0, -0.5)
    worth = calibrated(p, decisive, told)
    found = fit_calibration(p, decisive, g.random(n) < worth)
    assert found == (*(pytest.approx(v, abs=0.3) for v in told[:2]), *(pytest.approx(v, abs=0.4) for v in told[2:]))


def test_what_decides_has_a_line_of_its_own() -> None:
    """Where nineteen in twenty of the decisive claims are true whatever their chance, that is what each is worth."""
    g = np.random.default_rng(0)
    p, decisive = g.uniform(0.6, 0.99, 2000), g.random(2000) < 0.3
    true = np.where(decisive, g.random(2000) < 0.95, g.random(2000) < p)
    worth = calibrated(p, decisive, fit_calibration(p, decisive, true))
    assert worth[decisive] == pytest.approx(0.95, abs=0.06)
    assert np.abs(worth - p)[~decisive].max() < 0.08


def test_few_claims_change_little_and_none_nothing() -> None:
    nothing = np.zeros(0)
    assert fit_calibration(nothing, nothing, nothing) == ClaimFit()
    assert calibrated([0.9], [1.0], fit_calibration([0.9], [1.0], [True]))[0] == pytest.approx(0.9, abs=0.05)


def test_a_chance_that_says_nothing_cannot_be_turned_around() -> None:
    g = np.random.default_rng(0)
    p = g.uniform(0.05, 0.95, 500)
    assert fit_calibration(p, np.zeros(500), g.random(500) > p).slope == 0.0
    turned = fit_calibration(p, np.ones(500), g.random(500) > p)
    assert turned.slope + turned.turn == 0.0


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_no_fit_without_a_negative_slope_is_likelier(seed: int) -> None:
    """Where the surest claims are the worst, too: a slope held at 0 must not leave the offsets of another fit."""
    g = np.random.default_rng(seed)
    n = int(g.integers(0, 120))
    p, decisive = g.uniform(0.5, 0.9999, n), g.random(n) < 0.6
    true = g.random(n) < np.where(p < 0.9, 0.95, g.choice([0.5, 0.72, 0.99]))

    def loss(fit: ClaimFit) -> float:
        """Return the likelihood loss and the prior: about one claim holds slope 1 and the others 0."""
        worth = calibrated(p, decisive, fit)
        prior = (fit.slope - 1) ** 2 + fit.offset**2 + fit.bonus**2 + fit.turn**2
        return float(-np.log(np.where(true, worth, 1 - worth)).sum() + prior / 2)

    found = fit_calibration(p, decisive, true)
    assert found.slope >= 0
    assert found.slope + found.turn >= 0
    for _ in range(40):
        other = ClaimFit(*(np.array(found) + g.normal(scale=10 ** g.uniform(-3, 0), size=4) * (g.random(4) < 0.6)))
        turn = max(other.turn, -max(other.slope, 0.0))
        allowed = ClaimFit(max(other.slope, 0.0), other.offset, other.bonus, turn)
        assert loss(found) <= loss(allowed) + 1e-9


def test_claims_whose_chance_is_upside_down_come_true_as_often_as_is_said() -> None:
    g = np.random.default_rng(0)
    p = g.uniform(0.6, 0.99, 200)
    true = g.random(200) < 1.3 - p
    worth = calibrated(p, np.ones(200), fit_calibration(p, np.ones(200), true))
    assert worth == pytest.approx(true.mean(), abs=0.01)


def test_kinds_are_calibrated_apart() -> None:
    fits = fit_claims(HAND)
    assert set(fits) == {"transition", "state"}
    fits = {"transition": ClaimFit(offset=-3.0), "state": ClaimFit()}
    after = with_calibration(HAND, fits)
    assert (after.chance[~HAND.state] < HAND.chance[~HAND.state]).all()
    assert after.chance[HAND.state] == pytest.approx(HAND.chance[HAND.state])


def test_claims_of_answers_by_hand() -> None:
    """A pair that changes once, named right in one answer and not at all in the other."""
    relations = np.zeros((4, 1, 2), bool)
    relations[:2, 0, 0] = relations[2:, 0, 1] = True
    valid, times = np.ones((4, 1), bool), np.arange(4) / 10
    shown = SimpleNamespace(relations=relations, valid=valid, times=times, id="x", targets=None, target=1)
    one = {"clip": shown, "valid": valid, "positions": np.arange(4), "predicted": 1}
    named = [Change(0, 0, 1, 1, 2, (0, 1, 2, 3))]
    first = SimpleNamespace(**one, changes=named, chance=np.array([0.9]), decisive=np.array([True]))
    second = SimpleNamespace(**one | {"predicted": 0}, changes=[], chance=np.zeros(0), decisive=np.zeros(0, bool))
    run: Any = SimpleNamespace(vocabulary=SimpleNamespace(naming=(0, 1), measured=False, has_no_relations=False))
    answers: Any = [first, second]
    found = claims_of(run, answers)
    assert (found.clip.tolist(), found.true.tolist(), found.known.tolist()) == ([0], [True], [True])
    assert found.right.tolist() == [True, False]
    assert transition_scores_of(run, answers) == {"transition_precision": 1.0, "transition_recall": 0.5}
    nobody: Any = [second]
    assert len(claims_of(run, nobody).clip) == 0


TIMES = np.arange(10) / 10
LABELS = np.array([2, 2, -1, 2, 5, 5, 5, 2, 2, 2])


def test_changes_pass_over_frames_of_which_nothing_is_said() -> None:
    assert label_changes(LABELS) == [(2, 5, 3, 4), (5, 2, 6, 7)]
    assert label_changes(np.array([-1, -1])) == []


def test_a_transition_is_confirmed_by_direction_and_time() -> None:
    true = label_changes(LABELS)
    assert confirms_transition(true, TIMES, (2, 5), (0.3, 0.4), 0.0)
    assert not confirms_transition(true, TIMES, (5, 2), (0.3, 0.4), 0.1)
    assert confirms_transition(true, TIMES, (2, 5), (0.8, 0.9), 0.45)
    assert not confirms_transition(true, TIMES, (2, 5), (0.8, 0.9), 0.35)


def test_a_state_is_confirmed_when_it_holds_in_every_annotated_frame() -> None:
    assert confirms_state(LABELS, TIMES, 2, (0.0, 0.3))  # a frame without a word does not contradict
    assert not confirms_state(LABELS, TIMES, 2, (0.0, 0.4))
    assert not confirms_state(LABELS, TIMES, 2, (0.2, 0.2))  # nobody says so either
