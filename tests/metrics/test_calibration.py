"""Calibration: reliability table, ECE, Brier score, temperature."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from whyact.metrics.calibration import (
    brier_score,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    reliability,
    top_label,
)

answers = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


def ece_by_definition(pairs, bins):
    total = 0.0
    for b in range(bins):
        low, high = np.linspace(0, 1, bins + 1)[[b, b + 1]]
        inside = [(c, ok) for c, ok in pairs if low < c <= high or (b == 0 and c == 0)]
        if inside:
            confidence = sum(c for c, _ in inside) / len(inside)
            accuracy = sum(ok for _, ok in inside) / len(inside)
            total += len(inside) / len(pairs) * abs(confidence - accuracy)
    return total


def logits_of(seed, n=200, classes=4, scale=1.0):
    """Draw logits and targets that follow softmax(logits) exactly in law; then scale the logits."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, classes)) * 2
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    y = np.array([rng.choice(classes, p=row) for row in p])
    return z * scale, y


@given(answers, st.integers(1, 20))
def test_ece_agrees_with_the_definition(pairs, bins):
    confidence, correct = zip(*pairs, strict=True)
    assert expected_calibration_error(confidence, correct, bins) == pytest.approx(ece_by_definition(pairs, bins))


@given(answers, st.randoms())
def test_ece_is_bounded_and_ignores_order(pairs, random):
    before = expected_calibration_error(*zip(*pairs, strict=True))
    random.shuffle(pairs)
    after = expected_calibration_error(*zip(*pairs, strict=True))
    assert after == pytest.approx(before)
    assert 0 <= after <= 1


@given(answers)
def test_one_bin_gives_the_gap_of_the_means(pairs):
    confidence, correct = (np.array(x, dtype=float) for x in zip(*pairs, strict=True))
    expected = abs(confidence.mean() - correct.mean())
    assert expected_calibration_error(confidence, correct, 1) == pytest.approx(expected, abs=1e-12)


def test_sure_and_right_is_calibrated_sure_and_wrong_is_not():
    assert expected_calibration_error([1, 1, 0], [True, True, False]) == 0
    assert expected_calibration_error([1, 1, 1], [False, False, False]) == 1


def test_edges_belong_to_the_lower_bin():
    table = reliability([0.0, 0.5, 0.5000001, 1.0], [0, 1, 0, 1], bins=2)
    assert table.count.tolist() == [2, 2]
    assert table.accuracy.tolist() == [0.5, 0.5]
    assert table.lower.tolist() == [0, 0.5]
    assert table.upper.tolist() == [0.5, 1]


def test_empty_bins_show_no_number():
    table = reliability([0.95], [True], bins=10)
    assert table.count.tolist() == [0] * 9 + [1]
    assert np.isnan(table.accuracy[:9]).all()
    assert np.isnan(table.confidence[:9]).all()
    assert math.isnan(expected_calibration_error([], []))


def test_top_label_takes_the_best_class():
    confidence, correct = top_label([[0.2, 0.7, 0.1], [0.4, 0.4, 0.2]], [1, 1])
    assert confidence.tolist() == [0.7, 0.4]
    assert correct.tolist() == [True, False]


def test_brier_of_certain_uniform_and_wrong_answers():
    assert brier_score([[1, 0], [0, 1]], [0, 1]) == 0
    assert brier_score([[0, 1]], [0]) == 2
    assert brier_score([[0.25] * 4], [2]) == pytest.approx(0.75**2 + 3 * 0.25**2)


@given(st.floats(0.01, 0.99))
def test_brier_is_least_in_the_mean_at_the_true_probability(truth):
    def risk(p):
        return truth * brier_score([[p, 1 - p]], [0]) + (1 - truth) * brier_score([[p, 1 - p]], [1])

    assert all(risk(truth) <= risk(p) + 1e-12 for p in np.linspace(0, 1, 21))


@given(st.integers(0, 50), st.floats(0.3, 5))
@settings(max_examples=20)
def test_likelihood_agrees_with_scikit_learn(seed, temperature):
    z, y = logits_of(seed, n=30)
    e = np.exp(z / temperature)
    expected = log_loss(y, e / e.sum(axis=1, keepdims=True), labels=range(4))
    assert negative_log_likelihood(z, y, temperature) == pytest.approx(expected)


def test_likelihood_survives_huge_logits():
    assert negative_log_likelihood([[1e4, 0.0]], [0]) == 0
    assert negative_log_likelihood([[1e4, 0.0]], [1]) == pytest.approx(1e4)


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_temperature_undoes_a_known_scale(scale):
    z, y = logits_of(0, n=4000, scale=scale)
    assert fit_temperature(z, y) == pytest.approx(scale, rel=0.1)


@given(st.integers(0, 1000), st.floats(0.2, 4))
@settings(max_examples=25)
def test_temperature_is_the_minimum_on_a_fine_grid(seed, scale):
    z, y = logits_of(seed, n=40, scale=scale)
    best = fit_temperature(z, y)
    grid = np.geomspace(0.05, 20, 400)
    losses = [negative_log_likelihood(z, y, t) for t in grid]
    assert negative_log_likelihood(z, y, best) <= min(losses) + 1e-9
    assert 0.05 <= best <= 20


@given(st.integers(0, 1000))
@settings(max_examples=20)
def test_temperature_is_covariant_and_ignores_shifts(seed):
    z, y = logits_of(seed, n=60)
    best = fit_temperature(z, y, 0.01, 100)
    shift = np.random.default_rng(seed).normal(size=(len(z), 1))
    assert fit_temperature(z * 2 + shift, y, 0.01, 100) == pytest.approx(2 * best, rel=1e-6)


def test_temperature_at_its_ends_and_without_information():
    z = np.eye(3) * 4
    assert fit_temperature(z, [0, 1, 2]) == 0.05  # every clip right: colder is always better
    assert fit_temperature(z, [1, 2, 0]) == 20.0  # every clip wrong: hotter is always better
    assert fit_temperature(np.ones((3, 3)), [0, 1, 2]) == 1.0


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="every confidence in 0"):
        reliability([1.2], [True])
    with pytest.raises(ValueError, match="at least one bin"):
        reliability([0.2], [True], bins=0)
    with pytest.raises(ValueError, match="must both"):
        reliability([0.2], [True, False])
    with pytest.raises(ValueError, match="N > 0"):
        brier_score(np.zeros((0, 3)), [])
    with pytest.raises(ValueError, match="targets reach"):
        fit_temperature([[0.0, 1.0]], [2])
    with pytest.raises(ValueError, match="finite"):
        fit_temperature([[math.inf, 1.0]], [0])
