"""Calibration: does a probability of 0.8 come true eight times in ten?

Sources: Guo et al. 2017 (expected calibration error with equal-width bins on the top label; temperature
scaling), Brier 1950 (squared error summed over classes, 0..2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whyact.arrays import Float64

Bool = NDArray[np.bool_]


@dataclass(frozen=True)
class ReliabilityTable:
    """One row a bin (M,): its edges, how many clips fall in it, their mean confidence and accuracy.

    A bin is ``(lower, upper]``, the first one includes 0. Empty bins have count 0 and NaN means.
    """

    lower: Float64
    upper: Float64
    count: NDArray[np.int64]
    confidence: Float64
    accuracy: Float64


def top_label(probabilities: ArrayLike, target: ArrayLike) -> tuple[Float64, Bool]:
    """Return the confidence (N,) of the best class and whether it is right (N,).

    Args:
        probabilities: Class probabilities (N,C); the first class wins a tie.
        target: True class indices (N,).
    """
    p, y = _with_target(probabilities, target)
    return p.max(axis=1), p.argmax(axis=1) == y


def reliability(confidence: ArrayLike, correct: ArrayLike, bins: int = 15) -> ReliabilityTable:
    """Tabulate accuracy against confidence in equal-width bins over 0..1.

    Args:
        confidence: Probability given to the answer (N,).
        correct: Whether the answer was right (N,).
        bins: Number of bins M.

    Raises:
        ValueError: If the shapes differ, a confidence lies outside 0..1 or ``bins`` < 1.
    """
    p, ok = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=bool)
    if p.ndim != 1 or p.shape != ok.shape:
        raise ValueError(f"confidence {p.shape} and correct {ok.shape} must both be (N,)")
    if bins < 1 or not np.all((p >= 0) & (p <= 1)):
        raise ValueError("expected at least one bin and every confidence in 0..1")
    edges = np.linspace(0.0, 1.0, bins + 1)
    place = np.clip(np.searchsorted(edges, p, side="left") - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    means = [
        np.divide(np.bincount(place, values, bins), count, out=np.full(bins, np.nan), where=count > 0)
        for values in (p, ok.astype(np.float64))
    ]
    return ReliabilityTable(edges[:-1], edges[1:], count, means[0], means[1])


def expected_calibration_error(confidence: ArrayLike, correct: ArrayLike, bins: int = 15) -> float:
    """Compute ECE: the mean over clips of |accuracy - confidence| of their bin, 0..1, NaN without clips.

    Args:
        confidence: Probability given to the answer (N,), as :func:`top_label` returns it.
        correct: Whether the answer was right (N,).
        bins: Number of equal-width bins.
    """
    table = reliability(confidence, correct, bins)
    used = table.count > 0
    if not used.any():
        return float("nan")
    gap = np.abs(table.accuracy[used] - table.confidence[used])
    return float(np.average(gap, weights=table.count[used]))


def brier_score(probabilities: ArrayLike, target: ArrayLike) -> float:
    """Compute the mean over clips of the squared error summed over classes, 0 (best) to 2.

    Args:
        probabilities: Class probabilities (N,C).
        target: True class indices (N,).
    """
    p, y = _with_target(probabilities, target)
    return float(((p - np.eye(p.shape[1])[y]) ** 2).sum(axis=1).mean())


def negative_log_likelihood(logits: ArrayLike, target: ArrayLike, temperature: float = 1.0) -> float:
    """Compute the mean of -log softmax(logits / temperature) at the true class, in nats.

    Args:
        logits: Class logits (N,C).
        target: True class indices (N,).
        temperature: Positive divisor of the logits.
    """
    z, y = _with_target(logits, target)
    z = z / temperature
    top = z.max(axis=1, keepdims=True)
    norm = np.log(np.exp(z - top).sum(axis=1)) + top[:, 0]
    return float((norm - z[np.arange(len(z)), y]).mean())


def fit_temperature(logits: ArrayLike, target: ArrayLike, low: float = 0.05, high: float = 20.0) -> float:
    """Find the temperature T that minimises the likelihood loss of softmax(logits / T) on held-out clips.

    The loss is convex in 1/T, so its derivative is bisected: no step size, no local minimum. Where the
    best T lies outside ``low..high`` (every clip right, or worse than chance) the nearer end is returned;
    logits that tell no classes apart leave T at 1.

    Args:
        logits: Class logits (N,C) of clips that the model was not trained on.
        target: True class indices (N,).
        low: Smallest temperature tried.
        high: Largest temperature tried.

    Raises:
        ValueError: If there is no clip, a logit is not finite, or not ``0 < low < high``.
    """
    z, y = _with_target(logits, target)
    if not np.isfinite(z).all() or not 0 < low < high:
        raise ValueError("expected finite logits and 0 < low < high")
    z = z - z.max(axis=1, keepdims=True)
    if not z.any():
        return 1.0
    true = z[np.arange(len(z)), y].mean()

    def slope(beta: float) -> float:
        e = np.exp(beta * z)
        return float(((e * z).sum(axis=1) / e.sum(axis=1)).mean() - true)

    left, right = 1.0 / high, 1.0 / low
    if slope(left) >= 0:
        return high
    if slope(right) <= 0:
        return low
    for _ in range(60):
        middle = (left + right) / 2
        left, right = (middle, right) if slope(middle) < 0 else (left, middle)
    return 2.0 / (left + right)


def _with_target(values: ArrayLike, target: ArrayLike) -> tuple[Float64, NDArray[np.int64]]:
    x, y = np.asarray(values, dtype=np.float64), np.asarray(target, dtype=np.int64)
    if x.ndim != 2 or y.shape != x.shape[:1] or not len(x):
        raise ValueError(f"values {x.shape} and target {y.shape}: expected (N,C) and (N,) with N > 0")
    if y.min() < 0 or y.max() >= x.shape[1]:
        raise ValueError(f"targets reach from {y.min()} to {y.max()}; expected 0..{x.shape[1] - 1}")
    return x, y


class ClaimFit(NamedTuple):
    """What claims are worth: a line over log odds, and what is added to it for those that an answer depends on.

    Claims that an answer depends on come true more often, and how often hangs less on their probability: one line with
    an offset for them calls nine in ten what is nineteen in twenty.
    """

    slope: float = 1.0
    offset: float = 0.0
    bonus: float = 0.0
    turn: float = 0.0


def fit_calibration(probability: ArrayLike, decisive: ArrayLike, correct: ArrayLike) -> ClaimFit:
    """Fit P(correct) = sigmoid((slope + turn * decisive) * logit(p) + offset + bonus * decisive) (after Platt 1999).

    A prior worth about one claim holds slope 1 and the others 0: few claims leave a probability near what it was.

    Args:
        probability: Uncalibrated probabilities (N,).
        decisive: Whether the answer depends on what is claimed (N,).
        correct: Whether each claim came true (N,).

    Returns:
        The likeliest fit of those with slopes of at least 0: a likelier claim is never worth less.
    """
    x, y, own = logit(probability), np.asarray(correct, dtype=np.float64), np.asarray(decisive, dtype=np.float64)
    rows = np.stack([x * (1 - own), x * own, np.ones_like(x), own], 1)  # a slope of each kind, offset, bonus
    # The loss is convex. So where a best slope is negative, the best fit allowed is the best with slopes fixed at 0.
    fits = [_fit_line(rows, y, list(slopes)) for slopes in ((0, 1), (0,), (1,), ())]
    _, w = min((fit for fit in fits if min(fit[1][:2]) >= 0), key=lambda fit: fit[0])
    return ClaimFit(slope=w[0], offset=w[2], bonus=w[3], turn=w[1] - w[0])


def _fit_line(rows: Float64, y: Float64, slopes: list[int]) -> tuple[float, list[float]]:
    """Return the least loss and its weights (4,) by Newton's method, all slopes but these two fixed at 0."""
    free = [*slopes, 2, 3]
    # What the prior holds at 1, 0, 0, 0: the slope, what the decisive one has more, offset and bonus.
    spread = np.array([[1.0, 0, 0, 0], [-1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])[:, free]
    rows, prior, w = rows[:, free], np.array([1.0, 0, 0, 0]), np.array([1.0] * len(slopes) + [0.0, 0.0])
    for _ in range(50):
        p = 1 / (1 + np.exp(-rows @ w))
        gradient = rows.T @ (p - y) + spread.T @ (spread @ w - prior)
        step = np.linalg.solve((rows * (p * (1 - p))[:, None]).T @ rows + spread.T @ spread, gradient)
        w = w - step / max(1.0, float(np.abs(step).max()))
    z = rows @ w
    loss = float((np.logaddexp(0.0, z) - y * z).sum() + ((spread @ w - prior) ** 2).sum() / 2)
    whole = np.zeros(4)
    whole[free] = w
    return loss, whole.tolist()


def calibrated(probability: ArrayLike, decisive: ArrayLike, fit: ClaimFit) -> Float64:
    """Return what claims of a probability (N,) are worth by :func:`fit_calibration`."""
    own = np.asarray(decisive, dtype=np.float64)
    z = (fit.slope + fit.turn * own) * logit(probability) + fit.offset + fit.bonus * own
    return np.asarray(1 / (1 + np.exp(-z)), dtype=np.float64)


def logit(probability: ArrayLike) -> Float64:
    """Return log odds (N,) of probabilities, kept away from 0 and 1."""
    p = np.clip(np.asarray(probability, dtype=np.float64), 1e-4, 1 - 1e-4)
    return np.asarray(np.log(p / (1 - p)), dtype=np.float64)
