"""Intervals and counts: bootstrap, mean and deviation, signs of paired gaps."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whyact.metrics import intervals
from whyact.metrics.intervals import bootstrap_difference, bootstrap_mean, sign_count, spread, t_difference, t_mean

values = st.lists(st.floats(-10, 10), min_size=1, max_size=20)


def rng(seed=0):
    return np.random.default_rng(seed)


@given(values)
@settings(max_examples=30)
def test_interval_lies_within_the_values(xs):
    interval = bootstrap_mean(xs, rng(), resamples=50)
    assert min(xs) - 1e-9 <= interval.low <= interval.high <= max(xs) + 1e-9
    assert interval.mean == pytest.approx(np.mean(xs), abs=1e-9)
    assert interval.n == len(xs)


@given(values, st.floats(0.1, 5), st.floats(-5, 5))
@settings(max_examples=30)
def test_interval_moves_and_scales_with_the_values(xs, scale, shift):
    before = bootstrap_mean(xs, rng(), resamples=50)
    after = bootstrap_mean(np.array(xs) * scale + shift, rng(), resamples=50)
    assert after.low == pytest.approx(before.low * scale + shift, abs=1e-6)
    assert after.high == pytest.approx(before.high * scale + shift, abs=1e-6)


def test_interval_of_few_values_agrees_with_all_resamples():
    """Three values have 27 resamples: their quantiles are known without chance."""
    xs = [0.0, 3.0, 9.0]
    means = [np.mean(draw) for draw in product(xs, repeat=3)]
    interval = bootstrap_mean(xs, rng(), level=0.8, resamples=20_000)
    assert interval.low == pytest.approx(np.quantile(means, 0.1), abs=0.51)
    assert interval.high == pytest.approx(np.quantile(means, 0.9), abs=0.51)


def test_interval_covers_the_true_mean_about_as_often_as_it_says():
    generator = rng(1)
    hits = 0
    for _ in range(200):
        interval = bootstrap_mean(generator.normal(size=40), generator, level=0.9, resamples=300)
        hits += interval.low <= 0 <= interval.high
    assert 0.82 <= hits / 200 <= 0.96


def test_same_seed_same_interval_and_wider_level_wider_interval():
    xs = rng(3).normal(size=30)
    assert bootstrap_mean(xs, rng(5)) == bootstrap_mean(xs, rng(5))
    assert bootstrap_mean(xs, rng(5)) != bootstrap_mean(xs, rng(6))
    narrow, wide = bootstrap_mean(xs, rng(5), level=0.5), bootstrap_mean(xs, rng(5), level=0.99)
    assert wide.low < narrow.low < narrow.mean < narrow.high < wide.high


def test_resampling_in_pieces_changes_nothing(monkeypatch):
    xs = rng(3).normal(size=30)
    whole = bootstrap_mean(xs, rng(5), resamples=100)
    monkeypatch.setattr(intervals, "_CHUNK", 70)  # two resamples at a time
    assert bootstrap_mean(xs, rng(5), resamples=100) == whole


def test_paired_interval_sees_a_small_gap_that_separate_ones_hide():
    theirs = rng(0).normal(size=50) * 10
    ours = theirs + 1 + rng(1).normal(size=50) * 0.1
    paired = bootstrap_difference(ours, theirs, rng(2))
    assert 0.9 < paired.low < paired.high < 1.1
    assert bootstrap_mean(ours, rng(2)).low < bootstrap_mean(theirs, rng(2)).high


@given(values)
@settings(max_examples=20)
def test_a_constant_gap_has_no_width(xs):
    interval = bootstrap_difference(np.array(xs) + 2, xs, rng(), resamples=20)
    np.testing.assert_allclose([interval.mean, interval.low, interval.high], 2)


def test_spread_of_seeds():
    result = spread([1.0, 2.0, 3.0, 4.0])
    assert (result.mean, result.n) == (2.5, 4)
    assert result.sd == pytest.approx(math.sqrt(5 / 3))
    assert str(result) == "2.500 ± 1.291 (n=4)"
    assert math.isnan(spread([0.5]).sd)


@given(st.lists(st.integers(-2, 2), min_size=1, max_size=10))
def test_signs_agree_with_all_coin_flips(gaps):
    result = sign_count(gaps, [0] * len(gaps))
    assert (result.up, result.down) == (sum(g > 0 for g in gaps), sum(g < 0 for g in gaps))
    assert result.up + result.down + result.ties == len(gaps)
    n, distance = result.up + result.down, abs(result.up - result.down)
    flips = [abs(2 * sum(flip) - n) >= distance for flip in product((0, 1), repeat=n)]
    assert result.p == pytest.approx(sum(flips) / len(flips))
    swapped = sign_count([0] * len(gaps), gaps)
    assert (swapped.up, swapped.down, swapped.p) == (result.down, result.up, result.p)


def test_ten_of_ten_is_rare_and_only_ties_say_nothing():
    assert sign_count(range(1, 11), [0] * 10).p == pytest.approx(2 / 1024)
    assert sign_count([1, 1], [1, 1]).p == 1.0


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="N > 0"):
        bootstrap_mean([], rng())
    with pytest.raises(ValueError, match="no NaN"):
        spread([1.0, math.nan])
    with pytest.raises(ValueError, match="pairs"):
        bootstrap_difference([1.0], [1.0, 2.0], rng())
    with pytest.raises(ValueError, match="level"):
        bootstrap_mean([1.0], rng(), level=1.0)
    with pytest.raises(ValueError, match="resamples"):
        bootstrap_mean([1.0], rng(), resamples=0)


def test_t_interval_is_the_textbook_one():
    bound = t_mean([1, 2, 3, 4, 5])
    half = 2.7764451 * math.sqrt(2.5) / math.sqrt(5)
    assert (bound.mean, bound.low, bound.high) == pytest.approx((3, 3 - half, 3 + half))
    assert t_difference([2, 3, 4], [1, 1, 1]).mean == pytest.approx(2)
    for wrong in ({"values": [1.0]}, {"values": [1.0, 2.0], "level": 1.0}, {"values": [1.0, float("nan")]}):
        with pytest.raises(ValueError, match="values"):
            t_mean(**wrong)


def test_t_interval_holds_the_mean_as_often_as_it_says():
    draws = rng(3).normal(size=(400, 5))
    held = np.mean([bound.low <= 0 <= bound.high for bound in map(t_mean, draws)])
    assert 0.92 < held < 0.98


def test_draws_of_a_mean_are_those_of_its_bootstrap_and_pair_up() -> None:
    values = np.random.default_rng(0).normal(size=50)
    draws = intervals.bootstrap_draws(lambda i: float(values[i].mean()), 50, seed=3, resamples=2000)
    whole = intervals.bootstrap_mean(values, np.random.default_rng(1))
    assert np.quantile(draws, [0.025, 0.975]) == pytest.approx([whole.low, whole.high], abs=0.03)
    other = intervals.bootstrap_draws(lambda i: float(values[i].mean()) + 1, 50, seed=3, resamples=2000)
    np.testing.assert_allclose(other - draws, 1.0)
    assert intervals.bootstrap_draws(lambda i: 0.0, 0).shape == (0,)


def test_draws_by_group_are_draws_of_whole_groups() -> None:
    """Every draw takes as many groups as there are, each with all of its items: no draw tells items of one apart."""
    groups = ["b", "a", "b", "c", "a", "b"]
    whole = {"a": (1, 4), "b": (0, 2, 5), "c": (3,)}
    drawn: list[np.ndarray] = []
    intervals.bootstrap_draws(lambda i: drawn.append(i) or 0.0, 6, resamples=300, groups=groups)
    taken = set()
    for items in drawn:
        count = np.bincount(items, minlength=6)
        assert all(len({int(count[i]) for i in members}) == 1 for members in whole.values())
        times = {name: int(count[members[0]]) for name, members in whole.items()}
        assert sum(times.values()) == 3
        taken.add(tuple(times.values()))
    assert len(taken) == 10, "all ways to draw three of three"


def test_alike_clips_of_a_film_count_once_in_an_interval() -> None:
    """20 copies of each film bound a mean as the films themselves do."""
    films = np.random.default_rng(0).normal(size=12)
    clips, film = np.repeat(films, 20), np.repeat(np.arange(12), 20)
    draws = intervals.bootstrap_draws(lambda i: float(clips[i].mean()), 240, resamples=4000, groups=film)
    by_film = intervals.bootstrap_draws(lambda i: float(films[i].mean()), 12, seed=1, resamples=4000)
    by_clip = intervals.bootstrap_draws(lambda i: float(clips[i].mean()), 240, resamples=4000)
    assert np.std(draws) == pytest.approx(np.std(by_film), rel=0.1)
    assert np.std(draws) > 3 * np.std(by_clip)
