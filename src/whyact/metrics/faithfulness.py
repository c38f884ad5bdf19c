"""Faithfulness: do the tokens named as evidence carry the answer? All on scores; the model runs elsewhere.

A score is the probability of the predicted class. *Removed* tokens are masked from attention, not set to
zero. Every measure needs its control: the same numbers for tokens removed in random order
(:func:`over_control`), for a curve alone says little.

Sources: comprehensiveness and sufficiency, DeYoung et al. 2020 (ERASER); deletion and insertion,
Petsiuk et al. 2018 (RISE); random controls, Hooker et al. 2019 (ROAR).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whyact.arrays import Float64

SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)
"""Shares of the valid tokens that comprehensiveness and sufficiency are averaged over (ERASER)."""


def tokens_at(shares: ArrayLike, tokens: ArrayLike) -> NDArray[np.int64]:
    """Count how many tokens each share of a clip means: rounded up, so at least one of a clip that has any.

    Args:
        shares: Shares in 0..1 (S,).
        tokens: Valid tokens of each clip (N,).

    Returns:
        Counts (N,S); 0 only for share 0 or a clip without tokens.
    """
    share, count = np.asarray(shares, dtype=np.float64), np.asarray(tokens, dtype=np.int64)
    if not np.all((share >= 0) & (share <= 1)):
        raise ValueError(f"shares {share}; expected 0..1")
    # 0.07 * 100 is a little over 7 in binary; without the slack it would round up to 8.
    return np.ceil(count[..., None] * share - 1e-9).astype(np.int64)


def comprehensiveness(full: ArrayLike, removed: ArrayLike) -> Float64:
    """Compute p(full) - p(input without the top tokens), averaged over the shares; higher is better.

    Args:
        full: Score of the whole input (N,).
        removed: Score without the top tokens, one column a share (N,S).

    Returns:
        One value a clip (N,), -1..1.
    """
    return _mean_drop(full, removed)


def sufficiency(full: ArrayLike, only: ArrayLike) -> Float64:
    """Compute p(full) - p(only the top tokens), averaged over the shares; lower is better.

    Args:
        full: Score of the whole input (N,).
        only: Score of the top tokens alone, one column a share (N,S).

    Returns:
        One value a clip (N,), -1..1.
    """
    return _mean_drop(full, only)


def deletion_auc(scores: ArrayLike, removed: ArrayLike | None = None) -> Float64:
    """Compute the area under the score as tokens are removed, most important first; lower is better.

    Args:
        scores: Score after each step (..., S), from the whole input to the empty one.
        removed: Share of tokens removed at each step (S,) or (..., S), rising from 0 to 1; even steps by default.

    Returns:
        Area by the trapezoid rule (...), within the range of the scores.
    """
    return _area(scores, removed)


def insertion_auc(scores: ArrayLike, added: ArrayLike | None = None) -> Float64:
    """Compute the area under the score as tokens are added to an empty input, most important first; higher is better.

    Args:
        scores: Score after each step (..., S), from the empty input to the whole one.
        added: Share of tokens added at each step (S,) or (..., S), rising from 0 to 1; even steps by default.

    Returns:
        Area by the trapezoid rule (...), within the range of the scores.
    """
    return _area(scores, added)


def over_control(values: ArrayLike, control: ArrayLike) -> Float64:
    """Subtract a control from a measure, clip by clip.

    Args:
        values: The measure with the explanation's order (N,).
        control: The same measure with another order: (N,), or (N,R) for R random draws, which are averaged.

    Returns:
        Differences (N,), ready for a bootstrap interval. For comprehensiveness and insertion a faithful
        explanation is above 0, for sufficiency and deletion below.
    """
    ours, theirs = np.asarray(values, dtype=np.float64), np.asarray(control, dtype=np.float64)
    if ours.ndim != 1 or theirs.ndim not in (1, 2) or theirs.shape[:1] != ours.shape:
        raise ValueError(f"values {ours.shape} and control {theirs.shape}: expected (N,) and (N,) or (N,R)")
    return ours - (theirs if theirs.ndim == 1 else theirs.mean(axis=1))


def over_predicted(values: ArrayLike, predicted: ArrayLike) -> Float64:
    """Average a per-class measure over the classes that each clip was predicted to show (multi-label).

    Args:
        values: The measure (N,C).
        predicted: Predicted-positive classes (N,C).

    Returns:
        One value a clip (N,); NaN for a clip without a predicted class.
    """
    x, mask = np.asarray(values, dtype=np.float64), np.asarray(predicted, dtype=bool)
    if x.ndim != 2 or x.shape != mask.shape:
        raise ValueError(f"values {x.shape} and predicted {mask.shape} must both be (N,C)")
    count = mask.sum(axis=1)
    return np.divide(np.where(mask, x, 0.0).sum(axis=1), count, out=np.full(len(x), np.nan), where=count > 0)


def _mean_drop(full: ArrayLike, reduced: ArrayLike) -> Float64:
    whole, part = np.asarray(full, dtype=np.float64), np.asarray(reduced, dtype=np.float64)
    if whole.ndim != 1 or part.ndim != 2 or part.shape[0] != len(whole) or not part.shape[1]:
        raise ValueError(f"full {whole.shape} and reduced {part.shape}: expected (N,) and (N,S) with S > 0")
    return (whole[:, None] - part).mean(axis=1)


def _area(scores: ArrayLike, shares: ArrayLike | None) -> Float64:
    y = np.asarray(scores, dtype=np.float64)
    if not y.ndim or y.shape[-1] < 2:
        raise ValueError(f"scores {y.shape}: a curve needs at least its two ends")
    x = np.linspace(0.0, 1.0, y.shape[-1]) if shares is None else np.asarray(shares, dtype=np.float64)
    if x.shape not in (y.shape, y.shape[-1:]):
        raise ValueError(f"shares {x.shape}; expected {y.shape} or {y.shape[-1:]}")
    steps = np.diff(x, axis=-1)
    if not np.all(steps >= 0) or not np.allclose(x[..., 0], 0.0) or not np.allclose(x[..., -1], 1.0):
        raise ValueError("shares must rise from 0 to 1")
    return np.asarray(((y[..., 1:] + y[..., :-1]) / 2 * steps).sum(axis=-1))
