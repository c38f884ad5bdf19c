"""Selective prediction: answer where the model is sure, and know the error of those answers.

Coverage is the share of clips that are answered, risk the share of wrong answers among them. A clip is
answered when its confidence is at least the threshold, so clips of equal confidence go together.

Source: El-Yaniv and Wiener 2010; AURC as in Geifman et al. 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from whyact.arrays import Bool, Float64


@dataclass(frozen=True)
class RiskCoverage:
    """One point for each distinct confidence (P,), from the strictest threshold to full coverage."""

    threshold: Float64
    coverage: Float64
    risk: Float64


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold with its coverage and risk. ``risk`` is NaN where nothing is answered."""

    threshold: float
    coverage: float
    risk: float


def risk_coverage(confidence: ArrayLike, correct: ArrayLike) -> RiskCoverage:
    """Compute coverage and risk at every threshold that changes them.

    Args:
        confidence: Confidence of the answer (N,), any monotone score.
        correct: Whether the answer was right (N,).

    Raises:
        ValueError: If the shapes differ, there is no clip or a confidence is NaN.
    """
    c, ok = _checked(confidence, correct)
    threshold, place, group = np.unique(-c, return_inverse=True, return_counts=True)
    answered = np.cumsum(group)
    wrong = np.cumsum(np.bincount(place, ~ok))
    return RiskCoverage(-threshold, answered / len(c), wrong / answered)


def aurc(confidence: ArrayLike, correct: ArrayLike) -> float:
    """Compute the area under the risk-coverage curve: the mean risk of the k surest clips over k = 1..N.

    Clips of equal confidence share their errors evenly (the mean over all their orders), so the value
    does not depend on the order of the rows. 0 is best; constant confidence gives the error rate.

    Args:
        confidence: Confidence of the answer (N,).
        correct: Whether the answer was right (N,).
    """
    c, ok = _checked(confidence, correct)
    _, place, group = np.unique(-c, return_inverse=True, return_counts=True)
    error = np.bincount(place, ~ok) / group
    wrong = np.cumsum(np.repeat(error, group))
    return float((wrong / np.arange(1, len(c) + 1)).mean())


def choose_threshold(confidence: ArrayLike, correct: ArrayLike, target_risk: float) -> OperatingPoint:
    """Choose the threshold of largest coverage whose risk stays within the target, on held-out clips.

    The risk is the one observed on these clips; on new clips it is met on average, not guaranteed.

    Args:
        confidence: Confidence of the answer (N,) on clips that neither training nor the test uses.
        correct: Whether the answer was right (N,).
        target_risk: Largest share of wrong answers allowed, 0..1.

    Returns:
        The point chosen; threshold infinity and coverage 0 when no threshold meets the target.

    Raises:
        ValueError: If ``target_risk`` lies outside 0..1 or the arrays do not fit.
    """
    if not 0 <= target_risk <= 1:
        raise ValueError(f"target risk {target_risk}; expected 0..1")
    curve = risk_coverage(confidence, correct)
    allowed = np.flatnonzero(curve.risk <= target_risk)
    if not len(allowed):
        return OperatingPoint(float("inf"), 0.0, float("nan"))
    best = allowed[-1]
    return OperatingPoint(float(curve.threshold[best]), float(curve.coverage[best]), float(curve.risk[best]))


def at_threshold(confidence: ArrayLike, correct: ArrayLike, threshold: float) -> OperatingPoint:
    """Measure coverage and risk of answering the clips with at least this confidence.

    Args:
        confidence: Confidence of the answer (N,).
        correct: Whether the answer was right (N,).
        threshold: Least confidence that is answered.
    """
    c, ok = _checked(confidence, correct)
    answered = c >= threshold
    risk = float((~ok[answered]).mean()) if answered.any() else float("nan")
    return OperatingPoint(threshold, float(answered.mean()), risk)


def _checked(confidence: ArrayLike, correct: ArrayLike) -> tuple[Float64, Bool]:
    c, ok = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=bool)
    if c.ndim != 1 or c.shape != ok.shape or not len(c):
        raise ValueError(f"confidence {c.shape} and correct {ok.shape} must both be (N,) with N > 0")
    if np.isnan(c).any():
        raise ValueError(f"{int(np.isnan(c).sum())} confidences are NaN")
    return c, ok
