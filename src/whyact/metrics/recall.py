"""Mean average recall (mAR) of CAD-120: how many clips of each class are found, averaged over classes.

Source: the CAD-120 re-annotation's own evaluation, where a clip is recalled if its true action is
found. A classifier gives one answer a clip, so mAR is the macro mean of per-class recall.

A class without a clip in the fold has no recall: it is skipped in every mean and counted in ``absent``.
A prediction outside ``0..classes - 1`` (say -1 for "no answer") is a miss.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class MeanRecall:
    """The three means that a paper may call mAR, with what they were made from.

    ``with_null`` and ``without_null`` are macro means over classes; ``weighted`` is the mean over clips.
    ``per_class`` (C,) is NaN and ``absent`` lists the class where the fold has no clip of it. All in 0..1.
    """

    with_null: float
    without_null: float
    weighted: float
    per_class: NDArray[np.float64]
    absent: tuple[int, ...]


def class_recall(target: ArrayLike, predicted: ArrayLike, classes: int) -> NDArray[np.float64]:
    """Compute the recall of each class, (C,) in 0..1, NaN for a class without a clip.

    Args:
        target: True class indices (N,).
        predicted: Answered class indices (N,).
        classes: Number of classes C.

    Raises:
        ValueError: If the shapes differ or a target lies outside ``0..classes - 1``.
    """
    truth, answer = _indices(target, predicted, classes)
    clips = np.bincount(truth, minlength=classes)
    hits = np.bincount(truth[truth == answer], minlength=classes)
    return np.divide(hits, clips, out=np.full(classes, np.nan), where=clips > 0)


def macro_recall(target: ArrayLike, predicted: ArrayLike, classes: int, exclude: Collection[int] = ()) -> float:
    """Average the recall over the classes that have a clip and are not excluded.

    An excluded class drops out of the mean, but its clips stay in the test: answering it for another
    class's clip is still a miss.

    Args:
        target: True class indices (N,).
        predicted: Answered class indices (N,).
        classes: Number of classes C.
        exclude: Class indices excluded from the mean (CAD-120: the null class).

    Returns:
        Mean recall in 0..1; NaN if no class is left.
    """
    recall = class_recall(target, predicted, classes)
    counted = ~np.isnan(recall)
    counted[list(exclude)] = False
    return float(recall[counted].mean()) if counted.any() else float("nan")


def mean_recall(target: ArrayLike, predicted: ArrayLike, classes: int, null: int | None = None) -> MeanRecall:
    """Compute all three variants of mAR for one fold.

    Args:
        target: True class indices (N,).
        predicted: Answered class indices (N,).
        classes: Number of classes C.
        null: Index of the class that stands for "none of the actions", or ``None``.
    """
    truth, answer = _indices(target, predicted, classes)
    recall = class_recall(truth, answer, classes)
    return MeanRecall(
        with_null=macro_recall(truth, answer, classes),
        without_null=macro_recall(truth, answer, classes, exclude=() if null is None else (null,)),
        weighted=float((truth == answer).mean()) if truth.size else float("nan"),
        per_class=recall,
        absent=tuple(int(c) for c in np.flatnonzero(np.isnan(recall))),
    )


def _indices(target: ArrayLike, predicted: ArrayLike, classes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    truth, answer = np.asarray(target, dtype=np.int64), np.asarray(predicted, dtype=np.int64)
    if truth.ndim != 1 or truth.shape != answer.shape:
        raise ValueError(f"target {truth.shape} and predicted {answer.shape} must both be (N,)")
    if truth.size and (truth.min() < 0 or truth.max() >= classes):
        raise ValueError(f"targets reach from {truth.min()} to {truth.max()}; expected 0..{classes - 1}")
    return truth, answer
