"""Soft-NMS against the loop of its definition."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyact.pvlr import soft_nms as module
from whyact.pvlr.soft_nms import soft_nms

boxes = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 20), st.floats(-1, 1, allow_subnormal=False)), min_size=0, max_size=25
)


def by_hand(rows, sigma, pixel):
    left = [[s, s + length, score, i] for i, (s, length, score) in enumerate(rows)]
    result = [0.0] * len(rows)
    while left:
        best = max(left, key=lambda row: (row[2], -row[3]))
        left.remove(best)
        result[best[3]] = best[2]
        for row in left:
            overlap = max(0, min(best[1], row[1]) - max(best[0], row[0]) + pixel)
            union = (best[1] - best[0] + pixel) + (row[1] - row[0] + pixel) - overlap
            row[2] *= math.exp(-((overlap / union) ** 2) / sigma)
    return result


def columns(rows):
    table = np.array(rows, dtype=float).reshape(-1, 3)
    return table[:, 0], table[:, 0] + table[:, 1], table[:, 2]


@given(boxes, st.sampled_from([0.2, 0.5]), st.booleans())
def test_equals_the_loop(rows, sigma, pixel):
    np.testing.assert_allclose(soft_nms(*columns(rows), sigma, pixel), by_hand(rows, sigma, int(pixel)), atol=1e-12)


def test_rows_computed_one_by_one_give_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    start = rng.integers(0, 100, 60).astype(float)
    args = (start, start + rng.integers(1, 30, 60), rng.normal(size=60), 0.3)
    whole = soft_nms(*args)
    monkeypatch.setattr(module, "_MATRIX_LIMIT", 10)
    np.testing.assert_array_equal(soft_nms(*args), whole)


@given(boxes, st.booleans())
def test_pairs_that_overlap_alone_give_the_same_bits(rows, pixel):
    sets = [
        np.concatenate([column, column + shift]) for column, shift in zip(columns(rows), (500, 500, 0), strict=True)
    ]
    answers = []
    for few in (0.0, 1.0):  # of all pairs: 0 lists none of them, 1 always does
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "_FEW", few)
            answers.append(soft_nms(*sets, 0.3, pixel))
    np.testing.assert_array_equal(*answers)


def test_apart_nothing_decays_and_nothing_is_removed():
    scores = np.array([0.2, -0.4, 0.9])
    assert soft_nms(np.array([0.0, 10, 20]), np.array([5.0, 15, 25]), scores, 0.2).tolist() == scores.tolist()


def test_a_decayed_negative_score_rises():
    low = soft_nms(np.zeros(2), np.full(2, 5.0), np.array([0.5, -0.5]), 0.2)
    assert low[1] == pytest.approx(-0.5 * math.exp(-5))
