"""Spread of a mean: bootstrap intervals over clips, mean and deviation over seeds, signs of paired gaps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

_CHUNK = 1_000_000  # resampled values held at once: 8 MB


@dataclass(frozen=True)
class Interval:
    """A mean with the interval that holds it at the stated level. ``n`` counts the values."""

    mean: float
    low: float
    high: float
    n: int
    level: float


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation (n - 1) of n runs. ``sd`` is NaN for a single run."""

    mean: float
    sd: float
    n: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self.sd:.3f} (n={self.n})"


@dataclass(frozen=True)
class Signs:
    """How many pairs rose, fell or stayed equal, and the two-sided sign-test probability of such a split.

    ``p`` is the chance of a split at least as uneven if rise and fall were equally likely; ties do not count.
    """

    up: int
    down: int
    ties: int
    p: float


def bootstrap_mean(values: ArrayLike, rng: np.random.Generator, level: float = 0.95, resamples: int = 2000) -> Interval:
    """Bound a mean by the percentile bootstrap (Efron 1979).

    Args:
        values: One value a clip (N,).
        rng: Seeded generator; the same seed gives the same interval.
        level: Share of resampled means inside, 0..1.
        resamples: Number of resamples.

    Raises:
        ValueError: If there is no value, one is NaN, or ``level`` or ``resamples`` is out of range.
    """
    x = _vector(values)
    if not 0 < level < 1 or resamples < 1:
        raise ValueError(f"level {level} and resamples {resamples}; expected 0 < level < 1 and resamples > 0")
    means = np.empty(resamples)
    step = max(1, _CHUNK // len(x))
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        means[start : start + rows] = x[rng.integers(0, len(x), (rows, len(x)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(x.mean()), float(low), float(high), len(x), level)


def bootstrap_draws(
    measure: Callable[[NDArray[np.intp]], float],
    n: int,
    seed: int = 0,
    resamples: int = 1000,
    groups: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Return a measure of resampled items, for measures that are no means: macro recall, mAP (Efron 1979).

    Draw i of the same seed, ``n`` and ``groups`` takes the same items, so two models' draws on the same items differ
    pair by pair. Items of one group are alike, so whole groups are drawn where there are any.

    Args:
        measure: From positions of items, drawn with replacement, to a number; NaN where it has none.
        n: How many items there are.
        seed: Of the drawing.
        resamples: Number of draws.
        groups: The group of each item (n,), names or numbers; by default each item is its own.
    """
    rng = np.random.default_rng(seed)
    if groups is None:
        return np.array([measure(rng.integers(0, n, n)) for _ in range(resamples if n else 0)], dtype=np.float64)
    _, of = np.unique(np.asarray(groups), return_inverse=True)
    members, count = np.argsort(of, kind="stable"), np.bincount(of)
    first = np.cumsum(count) - count

    def draw() -> NDArray[np.intp]:
        chosen = rng.integers(0, len(count), len(count))
        length = count[chosen]
        inside = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
        return members[np.repeat(first[chosen], length) + inside]

    return np.array([measure(draw()) for _ in range(resamples if n else 0)], dtype=np.float64)


def bootstrap_difference(
    ours: ArrayLike, theirs: ArrayLike, rng: np.random.Generator, level: float = 0.95, resamples: int = 2000
) -> Interval:
    """Bound the mean of ``ours - theirs`` over pairs: a pair is resampled as one.

    Args:
        ours: One value a pair (N,).
        theirs: The value it is compared with (N,), same clip or same seed.
        rng: Seeded generator.
        level: Share of resampled means inside.
        resamples: Number of resamples.
    """
    return bootstrap_mean(_gaps(ours, theirs), rng, level, resamples)


def t_mean(values: ArrayLike, level: float = 0.95) -> Interval:
    """Bound a mean by Student's t: for a handful of folds, where the bootstrap's interval is too narrow.

    Args:
        values: One value a fold (N,), N at least 2, taken as independent; folds that share classes are less than that.
        level: Share of such intervals that hold the mean.

    Raises:
        ValueError: If there are fewer than two values, one is NaN, or ``level`` is out of range.
    """
    from scipy.stats import t

    x = _vector(values)
    if len(x) < 2 or not 0 < level < 1:
        raise ValueError(f"{len(x)} values at level {level}; expected at least 2, and 0 < level < 1")
    half = float(t.ppf((1 + level) / 2, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x)))
    return Interval(float(x.mean()), float(x.mean()) - half, float(x.mean()) + half, len(x), level)


def t_difference(ours: ArrayLike, theirs: ArrayLike, level: float = 0.95) -> Interval:
    """Bound the mean of ``ours - theirs`` over pairs (N,) by Student's t, see :func:`t_mean`."""
    return t_mean(_gaps(ours, theirs), level)


def spread(values: ArrayLike) -> Spread:
    """Compute mean and sample standard deviation of the values of several seeds or folds (N,)."""
    x = _vector(values)
    return Spread(float(x.mean()), float(x.std(ddof=1)) if len(x) > 1 else float("nan"), len(x))


def sign_count(ours: ArrayLike, theirs: ArrayLike) -> Signs:
    """Count in how many pairs ``ours`` is higher: a comparison that assumes no distribution.

    Args:
        ours: One value a pair (N,).
        theirs: The value it is compared with (N,).
    """
    gap = _gaps(ours, theirs)
    up, down = int((gap > 0).sum()), int((gap < 0).sum())
    return Signs(up, down, len(gap) - up - down, _sign_test(up, down))


def _sign_test(up: int, down: int) -> float:
    n = up + down
    tail = sum(comb(n, k) for k in range(min(up, down) + 1))
    return min(1.0, 2 * tail / 2**n)


def _gaps(ours: ArrayLike, theirs: ArrayLike) -> NDArray[np.float64]:
    a, b = _vector(ours), _vector(theirs)
    if a.shape != b.shape:
        raise ValueError(f"{len(a)} values against {len(b)}; pairs need as many on both sides")
    return a - b


def _vector(values: ArrayLike) -> NDArray[np.float64]:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not len(x) or np.isnan(x).any():
        raise ValueError(f"values {x.shape}: expected (N,) with N > 0 and no NaN")
    return x
