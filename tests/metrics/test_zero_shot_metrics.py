"""Zero-shot metrics against loops written from the definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from whyact.errors import UserError
from whyact.metrics.zero_shot import (
    generalised,
    harmonic_mean,
    mean_per_class,
    per_class,
    seen_unseen_curve,
    top_k,
    tune_calibration,
)


def test_top_k_counts_ties_against_the_video() -> None:
    scores = np.array([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [1.0, 1.0, 1.0]])
    target = np.array([0, 1, 2])
    assert top_k(scores, target) == pytest.approx(100 / 3)
    assert top_k(scores, target, 2) == pytest.approx(200 / 3)
    assert top_k(scores, target, 3) == pytest.approx(100)
    assert np.isnan(top_k(scores[:0], target[:0]))


def test_classes_without_videos_do_not_count() -> None:
    target, predicted = np.array([0, 0, 0, 2]), np.array([0, 0, 1, 1])
    np.testing.assert_allclose(per_class(predicted, target, 4), [200 / 3, np.nan, 0, np.nan])
    assert mean_per_class(predicted, target, 4) == pytest.approx(100 / 3)


def test_harmonic_mean_at_its_corners() -> None:
    assert harmonic_mean(0, 0) == 0
    assert harmonic_mean(50, 50) == 50
    assert harmonic_mean(100, 0) == 0


def test_a_mean_of_what_was_not_measured_is_not_measured() -> None:
    """Without a video of a seen class there is no accuracy of seen classes, and no harmonic mean with it."""
    for pair in ((np.nan, 100.0), (0.0, np.nan), (np.nan, np.nan)):
        assert np.isnan(harmonic_mean(*pair))
    scores, unseen_alone = np.eye(4)[[2, 3, 2]], np.array([2, 3, 2])
    both = generalised(scores, unseen_alone, np.array([True, True, False, False]))
    assert (both.unseen, np.isnan(both.seen), np.isnan(both.harmonic)) == (100.0, True, True)


@pytest.mark.parametrize("nans", [[(1, 0)], [(1, 2)], [(i, c) for i in range(3) for c in range(4)]], ids=len)
def test_scores_that_are_no_numbers_are_refused(nans: list[tuple[int, int]]) -> None:
    scores, target, seen = np.eye(4)[[0, 2, 3]], np.array([0, 2, 3]), np.array([True, True, False, False])
    for place in nans:
        scores[place] = np.nan
    for measure in (
        lambda: top_k(scores, target),
        lambda: generalised(scores, target, seen),
        lambda: tune_calibration(scores, target, seen),
        lambda: seen_unseen_curve(scores, target, seen),
    ):
        with pytest.raises(UserError, match=r"NaN for \d of 3 videos"):
            measure()


def reference_harmonic(scores: np.ndarray, target: np.ndarray, seen: np.ndarray, handicap: float) -> float:
    accuracies = []
    for side in (True, False):
        rates = []
        for c in np.flatnonzero(seen == side):
            mine = [i for i in range(len(target)) if target[i] == c]
            if mine:
                hits = [max(range(len(seen)), key=lambda k, i=i: (scores[i, k] - handicap * seen[k], -k)) for i in mine]
                rates.append(100 * sum(hit == c for hit in hits) / len(mine))
        accuracies.append(sum(rates) / len(rates))
    s, u = accuracies
    return 2 * s * u / (s + u) if s + u else 0.0


SEEN = np.array([True, True, False, False])


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float64, (12, 4), elements=st.integers(-8, 8).map(float), unique=False),
    arrays(np.int64, 8, elements=st.integers(0, 3)),
)
def test_calibration_is_the_best_handicap_there_is(scores: np.ndarray, some: np.ndarray) -> None:
    target = np.concatenate([[0, 1, 2, 3], some])
    found = tune_calibration(scores, target, SEEN)
    reached = reference_harmonic(scores, target, SEEN, found)
    assert generalised(scores, target, SEEN, found).harmonic == pytest.approx(reached)
    # scores are whole numbers, so halves visit every step of the harmonic mean
    tried = [reference_harmonic(scores, target, SEEN, handicap) for handicap in np.arange(-17.25, 17.5, 0.5)]
    assert reached >= max(tried) - 1e-9


def test_a_handicap_moves_answers_from_seen_to_unseen_only() -> None:
    rng = np.random.default_rng(0)
    scores, target = rng.standard_normal((200, 4)), rng.integers(4, size=200)
    results = [generalised(scores, target, SEEN, handicap) for handicap in (-10.0, 0.0, 10.0)]
    assert results[0].unseen == results[2].seen == 0
    assert results[0].seen >= results[1].seen >= results[2].seen
    assert results[0].unseen <= results[1].unseen <= results[2].unseen


def test_the_curve_of_seen_against_unseen_is_what_every_handicap_gives() -> None:
    rng = np.random.default_rng(1)
    scores, target = rng.integers(-16, 16, (30, 6)) / 8, rng.integers(0, 6, 30)
    seen = np.arange(6) < 3
    s, u = seen_unseen_curve(scores, target, seen)
    handicaps = np.arange(-40, 41) / 8 + 1 / 16  # between all margins, which are eighths
    found = {(round(g.seen, 6), round(g.unseen, 6)) for g in (generalised(scores, target, seen, h) for h in handicaps)}
    assert found == set(zip(s.round(6).tolist(), u.round(6).tolist(), strict=True))
    assert (np.diff(s) <= 1e-9).all()
    assert (np.diff(u) >= -1e-9).all()
