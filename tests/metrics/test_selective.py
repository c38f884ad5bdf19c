"""Selective prediction: the risk-coverage curve, its area, and a threshold chosen on held-out clips."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyact.metrics.selective import at_threshold, aurc, choose_threshold, risk_coverage

few = st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.5, 0.9]), st.booleans()), min_size=1, max_size=6)
many = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


def aurc_by_definition(pairs):
    """Average over every order of the clips that does not contradict the confidences."""
    areas = []
    for order in itertools.permutations(pairs):
        if all(a[0] >= b[0] for a, b in itertools.pairwise(order)):
            risks = [sum(not ok for _, ok in order[:k]) / k for k in range(1, len(order) + 1)]
            areas.append(sum(risks) / len(risks))
    return sum(areas) / len(areas)


def test_hand_computed_curve():
    curve = risk_coverage([0.9, 0.8, 0.8, 0.1], [True, False, True, False])
    assert curve.threshold.tolist() == [0.9, 0.8, 0.1]
    assert curve.coverage.tolist() == [0.25, 0.75, 1.0]
    np.testing.assert_allclose(curve.risk, [0, 1 / 3, 1 / 2])


@given(many)
def test_every_point_is_what_answering_at_its_threshold_gives(pairs):
    confidence, correct = zip(*pairs, strict=True)
    curve = risk_coverage(confidence, correct)
    for threshold, coverage, risk in zip(curve.threshold, curve.coverage, curve.risk, strict=True):
        answered = [ok for c, ok in pairs if c >= threshold]
        assert coverage == pytest.approx(len(answered) / len(pairs))
        assert risk == pytest.approx(sum(not ok for ok in answered) / len(answered))
        point = at_threshold(confidence, correct, threshold)
        assert (point.coverage, point.risk) == (pytest.approx(coverage), pytest.approx(risk))
    assert (np.diff(curve.coverage) > 0).all()
    assert curve.coverage[-1] == 1


@given(few)
def test_aurc_agrees_with_the_mean_over_all_orders_of_ties(pairs):
    assert aurc(*zip(*pairs, strict=True)) == pytest.approx(aurc_by_definition(pairs))


@given(many, st.randoms())
def test_aurc_ignores_order_and_rising_maps_and_is_bounded(pairs, random):
    before = aurc(*zip(*pairs, strict=True))
    random.shuffle(pairs)
    # A map that keeps equal what is equal and apart what is apart: the rank.
    levels = sorted({c for c, _ in pairs})
    confidence, correct = [10 * levels.index(c) for c, _ in pairs], [ok for _, ok in pairs]
    assert aurc(confidence, correct) == pytest.approx(before)
    assert 0 <= before <= 1


@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_aurc_of_a_constant_is_the_error_rate_and_right_first_is_best(correct):
    n, error = len(correct), 1 - np.mean(correct)
    assert aurc(np.full(n, 0.3), correct) == pytest.approx(error)
    best = aurc(np.array(correct) + 0.0, correct)
    worst = aurc(1.0 - np.array(correct), correct)
    assert best <= error + 1e-12 <= worst + 2e-12
    assert aurc(np.arange(n), np.ones(n)) == 0


@given(many, st.floats(0, 1))
def test_chosen_threshold_meets_the_target_with_the_largest_coverage(pairs, target):
    confidence, correct = zip(*pairs, strict=True)
    chosen = choose_threshold(confidence, correct, target)
    options = [at_threshold(confidence, correct, t) for t in set(confidence)]
    allowed = [o.coverage for o in options if o.risk <= target]
    assert chosen.coverage == pytest.approx(max(allowed, default=0.0))
    if allowed:
        assert chosen.risk <= target
        again = at_threshold(confidence, correct, chosen.threshold)
        assert (again.coverage, again.risk) == (pytest.approx(chosen.coverage), pytest.approx(chosen.risk))


@given(many, st.floats(0, 1), st.floats(0, 1))
def test_a_looser_target_never_covers_less(pairs, a, b):
    confidence, correct = zip(*pairs, strict=True)
    strict, loose = (choose_threshold(confidence, correct, t) for t in sorted((a, b)))
    assert strict.coverage <= loose.coverage


def test_a_target_out_of_reach_answers_nothing():
    point = choose_threshold([0.9, 0.2], [False, False], 0.1)
    assert (point.threshold, point.coverage) == (math.inf, 0.0)
    assert math.isnan(point.risk)
    assert at_threshold([0.9, 0.2], [True, True], point.threshold).coverage == 0


def test_coverage_may_pass_through_a_riskier_stretch():
    """Risk is not monotone in coverage: the widest allowed point counts, not the first crossing."""
    point = choose_threshold([0.9, 0.8, 0.7, 0.6], [False, True, True, True], 0.25)
    assert (point.threshold, point.coverage, point.risk) == (0.6, 1.0, 0.25)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"expected 0\.\.1"):
        choose_threshold([0.5], [True], 1.5)
    with pytest.raises(ValueError, match="N > 0"):
        aurc([], [])
    with pytest.raises(ValueError, match="NaN"):
        risk_coverage([math.nan], [True])
    with pytest.raises(ValueError, match="must both"):
        aurc([0.5], [True, False])
