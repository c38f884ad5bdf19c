"""Sampling rules on numbers alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyact.errors import UserError
from whyact.video.sampling import segment, spans, uniform


def test_moments_are_the_middles_of_equal_shares() -> None:
    np.testing.assert_allclose(uniform(2, 6, 4), [2.5, 3.5, 4.5, 5.5])


def test_both_ends_are_the_first_and_the_last_frame() -> None:
    # 100 frames of 0.04 s, each on screen from 0.04 n: moments lie in the middle of frames 0 and 99
    np.testing.assert_allclose(uniform(0, 4, 4, step=0.04, ends=True), [0.02, 1.34, 2.66, 3.98])
    np.testing.assert_allclose(uniform(0, 4, 1, step=0.04, ends=True), [2.0])


@given(st.floats(0, 1e4), st.floats(0, 1e4), st.integers(1, 64), st.booleans(), st.floats(0, 1))
def test_moments_rise_and_stay_inside(start: float, length: float, count: int, ends: bool, step: float) -> None:
    moments = uniform(start, start + length, count, step=step, ends=ends)
    assert len(moments) == count
    assert (np.diff(moments) >= -1e-9).all()
    assert (moments >= start - 1e-9).all()
    assert (moments <= start + length + 1e-9).all()


@given(st.integers(1, 200), st.integers(1, 64), st.none() | st.integers(0, 9))
def test_each_part_gives_one_of_its_own(available: int, count: int, seed: int | None) -> None:
    taken = segment(available, count, None if seed is None else np.random.default_rng(seed))
    low, high = np.arange(count) * available / count, (np.arange(count) + 1) * available / count
    assert (np.diff(taken) >= 0).all()
    assert ((taken >= np.floor(low)) & (taken < np.ceil(high))).all()
    if available >= count and seed is None:
        assert len(set(taken.tolist())) == count


def test_evaluation_takes_the_middle_and_training_varies() -> None:
    assert segment(10, 5).tolist() == [1, 3, 5, 7, 9]
    assert segment(2, 4).tolist() == [0, 0, 1, 1]
    drawn = {tuple(segment(20, 5, np.random.default_rng(i)).tolist()) for i in range(8)}
    assert len(drawn) > 4


@given(st.floats(0, 500), st.floats(0.5, 60), st.floats(0.05, 1))
def test_windows_cover_the_video(length: float, window: float, share: float) -> None:
    parts = spans(length, window, window * share)
    assert parts[0][0] == 0
    assert parts[-1][1] == pytest.approx(length)
    for (a, b), (c, d) in itertools.pairwise(parts):
        assert a < c <= b + 1e-9
        assert b < d + 1e-9
        assert b - a == pytest.approx(window)


def test_the_last_window_ends_with_the_video() -> None:
    assert spans(10, 4, 2) == [(0, 4), (2, 6), (4, 8), (6, 10)]
    assert spans(9, 4, 4) == [(0, 4), (4, 8), (5, 9)]
    assert spans(3, 4, 4) == [(0, 3)]


@pytest.mark.parametrize("bad", [(0, 1), (4, 0), (4, 5), (float("nan"), 1)], ids=["window", "stride", "gaps", "nan"])
def test_windows_that_make_no_sense_are_refused(bad: tuple[float, float]) -> None:
    with pytest.raises(UserError, match=r"^(window|stride): "):
        spans(10, *bad)
    with pytest.raises(UserError, match="at least one"):
        uniform(0, 1, 0)
