"""Accuracies of zero-shot recognition, conventional and generalised. Pure functions; everything in 0..100.

Axes: N videos, C candidate classes. Scores are higher for better; NaN among them ranks nothing and is refused with a
``UserError``. An accuracy without a video to measure it on is NaN, and so is what is made of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyact.errors import UserError

Scores = NDArray[np.floating]
Index = NDArray[np.integer]
Mask = NDArray[np.bool_]


def top_k(scores: Scores, target: Index, k: int = 1) -> float:
    """Return the percentage of videos whose class is among the ``k`` best of ``scores`` (N,C).

    A class that ties with the target counts against it, so constant scores earn nothing for free.
    """
    if len(target) == 0:
        return float("nan")
    _refuse_nan(scores)
    own = scores[np.arange(len(target)), target]
    better = (scores >= own[:, None]).sum(1) - 1
    return float(100 * (better < k).mean())


def per_class(predicted: Index, target: Index, classes: int) -> NDArray[np.float64]:
    """Return the accuracy of every class (C,), NaN for a class without videos."""
    total = np.bincount(target, minlength=classes).astype(np.float64)
    right = np.bincount(target[predicted == target], minlength=classes)
    return np.divide(100.0 * right, total, out=np.full(classes, np.nan), where=total > 0)


def mean_per_class(predicted: Index, target: Index, classes: int) -> float:
    """Return the mean over classes that have videos of their accuracies, NaN when none has."""
    values = per_class(predicted, target, classes)
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def harmonic_mean(seen: float, unseen: float) -> float:
    """Return 2su/(s+u), 0 where both are 0, and NaN where one of them is."""
    return 0.0 if seen + unseen == 0 else 2 * seen * unseen / (seen + unseen)


@dataclass(frozen=True)
class Generalised:
    """Per-class accuracies over seen and unseen classes, and their harmonic mean."""

    seen: float
    unseen: float
    harmonic: float


def generalised(scores: Scores, target: Index, seen: Mask, calibration: float = 0.0) -> Generalised:
    """Return generalised zero-shot accuracies when every class is a candidate.

    Calibrated stacking takes ``calibration`` off the score of every seen class (C,) before the best is taken.
    """
    _refuse_nan(scores)
    predicted = (scores - calibration * seen).argmax(1)
    accuracy = per_class(predicted, target, scores.shape[1])
    s, u = _mean(accuracy[seen]), _mean(accuracy[~seen])
    return Generalised(s, u, harmonic_mean(s, u))


def tune_calibration(scores: Scores, target: Index, seen: Mask) -> float:
    """Return the handicap of seen classes that maximises the harmonic mean on these videos.

    Only ever call it on seen classes, some of them playing the unseen. The harmonic mean is a step function of
    the handicap with steps where a video's best seen class meets its best unseen one; every step is tried, and
    the middle of the best one is returned (the smallest such handicap in size, on a tie).
    """
    margin, s, u = _steps(scores, target, seen)
    h = np.divide(2 * s * u, s + u, out=np.zeros_like(s), where=s + u > 0)
    places = np.concatenate([[margin[0] - 1], (margin[:-1] + margin[1:]) / 2, [margin[-1] + 1]])
    h = np.where(_possible(margin), h, -1.0)
    best = np.flatnonzero(h >= h.max() - 1e-9)
    return float(min(places[best], key=abs))


def seen_unseen_curve(scores: Scores, target: Index, seen: Mask) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean per-class accuracies of seen (P,) and unseen classes (P,) at every handicap that changes them.

    Source: Chao et al. 2016, "An empirical study and analysis of generalized zero-shot learning". The handicap rises.
    """
    margin, s, u = _steps(scores, target, seen)
    possible = _possible(margin)
    return s[possible], u[possible]


def _steps(scores: Scores, target: Index, seen: Mask) -> tuple[NDArray[np.floating], Any, Any]:
    """Return rising margins (N,) and accuracies of seen and unseen classes (N+1,): place i has passed i margins."""
    _refuse_nan(scores)
    best_seen, best_unseen = _best(scores, seen), _best(scores, ~seen)
    rows = np.arange(len(target))
    margin = scores[rows, best_seen] - scores[rows, best_unseen]  # predicted seen while handicap < margin
    order = np.argsort(margin, kind="stable")
    count = np.bincount(target, minlength=scores.shape[1])
    weight = 1.0 / count[target]
    present_seen, present_unseen = max((count[seen] > 0).sum(), 1), max((count[~seen] > 0).sum(), 1)
    right_seen = ((best_seen == target) * weight)[order]
    right_unseen = ((best_unseen == target) * weight)[order]
    # step i: the i smallest margins have flipped to unseen
    s = 100 * (right_seen.sum() - np.concatenate([[0], np.cumsum(right_seen)])) / present_seen
    u = 100 * np.concatenate([[0], np.cumsum(right_unseen)]) / present_unseen
    return margin[order], s, u


def _possible(margin: NDArray[np.floating]) -> Mask:
    """Return which places (N+1,) between rising margins a handicap can be at: not between equal ones."""
    return np.concatenate([[True], margin[1:] > margin[:-1], [True]])


def _refuse_nan(scores: Scores) -> None:
    if wrong := int(np.isnan(scores).any(axis=1).sum()):
        raise UserError("scores", f"NaN for {wrong} of {len(scores)} videos", "a number for every class")


def _best(scores: Scores, allowed: Mask) -> Index:
    return np.where(allowed, scores, -np.inf).argmax(1)


def _mean(values: NDArray[np.float64]) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
