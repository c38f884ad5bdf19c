"""Average precision (AP): plain multi-label AP, and mAP by the rules of the official Charades script.

All values are in 0..1. The two differ only in what they do with equal scores and with videos that the
official script ranks last:

====================== ============================================ =================================
case                   ``mean_average_precision``                   ``charades_map``
====================== ============================================ =================================
equal scores           one threshold: all or none are retrieved     kept in the order of the rows
video without scores   an error (NaN)                               scored minus infinity
video without actions  its scores count                             scored minus infinity
class without positive NaN, skipped in the mean, listed as absent   the same
====================== ============================================ =================================
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from whyact.arrays import Bool, Float64


@dataclass(frozen=True)
class MeanAP:
    """Average precision of each class and the two means over classes.

    ``mean`` weighs every class with a positive alike (mAP); ``weighted`` weighs it by its number of
    positives (wAP). ``per_class`` (C,) is NaN for the classes in ``absent``, which have no positive.
    """

    mean: float
    weighted: float
    per_class: Float64
    absent: tuple[int, ...]


def mean_average_precision(scores: ArrayLike, target: ArrayLike) -> MeanAP:
    """Compute AP for each class, independent of the order of the rows.

    AP is the sum over falling thresholds of (gain in recall) x precision, with equal scores retrieved
    together.

    Args:
        scores: Scores (N,C), higher is more certain.
        target: Multi-hot truth (N,C).

    Raises:
        ValueError: If the shapes differ or a score is NaN.
    """
    score, truth = _checked(scores, target)
    ranked, positive = _ranked(score, truth)
    last_of_tie = np.ones_like(positive)
    last_of_tie[:-1] = ranked[:-1] != ranked[1:]
    # Every row takes the precision at the end of its group of equal scores: the next group end below it.
    ends = np.where(last_of_tie, np.arange(len(ranked))[:, None], len(ranked))
    ends = np.minimum.accumulate(ends[::-1], axis=0)[::-1]
    precision = np.take_along_axis(_precision(positive), ends, axis=0)
    return _summary(precision, positive)


def charades_map(scores: ArrayLike, target: ArrayLike, submitted: ArrayLike | None = None) -> MeanAP:
    """Compute mAP and weighted AP as the official Charades script does.

    Per class: sort the videos by score (stable), average the precision at each positive, divide by the
    number of positives. A video that was not submitted, and every video whose list of actions is empty,
    takes the score minus infinity for all classes (the script leaves the id of an empty video unset).

    Args:
        scores: Scores (N,C), rows in the order of the ground-truth file; rows not submitted may hold anything.
        target: Multi-hot truth (N,C), rows of all test videos.
        submitted: Which rows have scores (N,); all of them by default.

    Raises:
        ValueError: If the shapes differ or the score of a ranked video is NaN.
    """
    truth = np.asarray(target, dtype=bool)
    score = np.array(scores, dtype=np.float64)
    given = np.ones(len(truth), bool) if submitted is None else np.asarray(submitted, dtype=bool)
    if truth.ndim != 2 or score.shape != truth.shape or given.shape != truth.shape[:1]:
        raise ValueError(f"scores {score.shape}, target {truth.shape}, submitted {given.shape}: not (N,C), (N,C), (N,)")
    score[~given | ~truth.any(axis=1)] = -np.inf
    _, positive = _ranked(*_checked(score, truth))
    return _summary(_precision(positive), positive)


def _checked(scores: ArrayLike, target: ArrayLike) -> tuple[Float64, Bool]:
    score, truth = np.asarray(scores, dtype=np.float64), np.asarray(target, dtype=bool)
    if score.ndim != 2 or score.shape != truth.shape:
        raise ValueError(f"scores {score.shape} and target {truth.shape} must both be (N,C)")
    if np.isnan(score).any():
        raise ValueError(f"scores of {int(np.isnan(score).any(axis=1).sum())} videos hold NaN")
    return score, truth


def _ranked(score: Float64, truth: Bool) -> tuple[Float64, Bool]:
    """Sort every class by falling score, equal scores in the order of the rows."""
    order = np.argsort(-score, axis=0, kind="stable")
    return np.take_along_axis(score, order, axis=0), np.take_along_axis(truth, order, axis=0)


def _precision(positive: Bool) -> Float64:
    return np.cumsum(positive, axis=0) / np.arange(1, len(positive) + 1)[:, None]


def _summary(precision: Float64, positive: Bool) -> MeanAP:
    count = positive.sum(axis=0)
    total = np.where(positive, precision, 0.0).sum(axis=0)
    ap = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
    counted = count > 0
    if not counted.any():
        return MeanAP(float("nan"), float("nan"), ap, tuple(range(len(count))))
    return MeanAP(
        mean=float(ap[counted].mean()),
        weighted=float(np.average(ap[counted], weights=count[counted])),
        per_class=ap,
        absent=tuple(int(c) for c in np.flatnonzero(~counted)),
    )
