"""Runs and outer-inner scores against loops straight from the definition."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from whyact.pvlr.proposals import min_max, outer_inner, runs

masks = hnp.arrays(bool, st.tuples(st.integers(1, 4), st.integers(1, 20)))


def runs_by_hand(mask):
    found = []
    for row in range(len(mask)):
        t = 0
        while t < mask.shape[1]:
            if mask[row, t]:
                start = t
                while t < mask.shape[1] and mask[row, t]:
                    t += 1
                found.append((row, start, t))
            else:
                t += 1
    return found


def score_by_hand(curve, start, end, window):
    length = end - start
    left = range(max(0, math.trunc(start - window * length)), start)
    right = range(end, min(len(curve) - 1, math.trunc(end - 1 + window * length)) + 1)
    outer = [curve[i] for i in [*left, *right]]
    return np.mean(curve[start:end]) - (np.mean(outer) if outer else 0.0)


@given(masks)
def test_runs_equal_the_scan(mask):
    assert list(zip(*(a.tolist() for a in runs(mask)), strict=True)) == runs_by_hand(mask)


@given(masks, st.sampled_from([0.1, 0.2, 0.25, 0.4, 1.0]), st.integers(0, 99))
def test_scores_equal_the_loop(mask, window, seed):
    curve = np.random.default_rng(seed).normal(size=mask.shape)
    rows, start, end = runs(mask)
    by_hand = [score_by_hand(curve[r], s, e, window) for r, s, e in runs_by_hand(mask)]
    np.testing.assert_allclose(outer_inner(curve, rows, start, end, window), by_hand, atol=1e-12)


def test_a_short_run_looks_one_snippet_to_the_left_and_none_to_the_right():
    curve = np.array([[0.0, 0.5, 1.0, 9.0]])
    index = [np.array([i]) for i in (0, 2, 3)]
    assert outer_inner(curve, *index, window=0.1)[0] == 0.5


def test_a_run_over_everything_has_an_empty_outside():
    assert outer_inner(np.full((1, 5), 0.7), np.array([0]), np.array([0]), np.array([5]), 0.5)[0] == 0.7


def test_min_max_turns_a_constant_row_into_zeros():
    scaled = min_max(np.array([[3.0, 3.0], [1.0, 5.0]]))
    assert scaled.tolist() == [[0.0, 0.0], [0.0, 1.0]]
