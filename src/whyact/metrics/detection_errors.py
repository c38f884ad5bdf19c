"""What is wrong with temporal detections: their errors by kind, precision against recall, recall by length.

Source of the kinds: DETAD (Alwassel et al. 2018). Times are in any unit, the same for predictions and ground truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whyact.arrays import Bool, Float64, Index
from whyact.metrics.localisation import Spans, true_positives

KINDS = ("true", "double", "wrong label", "bad extent", "wrong label and extent", "background")
LEAST = 0.1  # tIoU under which a prediction has nothing to do with a ground truth
RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Matches:
    """Predictions by class and falling score, with what ActivityNet's matching makes of each.

    ``hits`` (T,N) are true positives at each of ``thresholds``; ``ignored`` (N,) count neither way where they are none.
    ``positives`` (V,C) counts the ground truths of each video and class.
    """

    predictions: Spans
    thresholds: tuple[float, ...]
    hits: Bool
    ignored: Bool
    positives: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        predictions: Spans,
        truth: Spans,
        thresholds: Sequence[float],
        videos: int,
        classes: int,
        ignored: Bool | None = None,
    ) -> Matches:
        """Match predictions to ground truths.

        Raises:
            UserError: When predictions have no scores.
        """
        hits = true_positives(predictions, truth, thresholds)
        assert predictions.score is not None
        order = np.lexsort((-np.arange(len(predictions)), -predictions.score, predictions.label))
        positives = np.zeros((videos, classes), dtype=np.int64)
        np.add.at(positives, (truth.video, truth.label), 1)
        skipped = np.zeros(len(predictions), dtype=bool) if ignored is None else ignored
        return cls(predictions.at(order), tuple(thresholds), hits[:, order], skipped[order], positives)

    def average_precision(self, weight: Float64 | None = None, keep: Bool | None = None) -> Float64:
        """Return average precision in 0..1, (T,C), where each video counts ``weight`` (V,) times.

        With neither argument it is that of :func:`whyact.metrics.localisation.detection_ap`, but for rounding.

        Args:
            weight: How often each video counts, as a bootstrap draws it.
            keep: Predictions (N,) in the order of ``predictions`` that are there at all.
        """
        weight = np.ones(len(self.positives)) if weight is None else weight
        positives = weight @ self.positives
        ap = np.full((len(self.thresholds), len(positives)), np.nan)
        for c in np.flatnonzero(positives):
            recall, envelope = self._curve(int(c), weight, positives[c], keep)
            step = np.diff(recall, axis=1, prepend=0.0)
            ap[:, c] = (step * envelope).sum(1)
        return ap

    def precision_recall(self) -> Float64:
        """Return precision (T,101) at recalls 0, 0.01, ..., 1: the mean over classes that have a ground truth."""
        weight = np.ones(len(self.positives))
        positives = weight @ self.positives
        rows = []
        for c in np.flatnonzero(positives):
            recall, envelope = self._curve(int(c), weight, positives[c], None)
            padded = np.pad(envelope, ((0, 0), (0, 1)))
            rows.append([p[np.searchsorted(r, RECALLS - 1e-12)] for r, p in zip(recall, padded, strict=True)])
        return np.mean(rows, axis=0) if rows else np.zeros((len(self.thresholds), len(RECALLS)))

    def _curve(self, c: int, weight: Float64, positives: float, keep: Bool | None) -> tuple[Float64, Float64]:
        """Return recall (T,N) and the best precision at that recall or a higher one (T,N), of one class."""
        own = slice(*np.searchsorted(self.predictions.label, [c, c + 1]))
        hits, ignored = self.hits[:, own], self.ignored[own]
        counts = weight[self.predictions.video[own]] * (1.0 if keep is None else keep[own])
        right = np.cumsum(counts * hits, axis=1)
        shown = right + np.cumsum(counts * (~hits & ~ignored), axis=1)
        precision = np.divide(right, shown, out=np.zeros_like(right), where=shown > 0)
        return right / positives, np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]

    def top(self, times: int) -> Bool:
        """Return which predictions (N,) are among each class's best, ``times`` as many as it has ground truths."""
        first = np.searchsorted(self.predictions.label, self.predictions.label, side="left")
        return np.arange(len(self.predictions)) - first < times * self.positives.sum(0)[self.predictions.label]


def error_kinds(hits: Bool, same: Float64, other: Float64, threshold: float) -> Index:
    """Return the kind of each prediction (N,), a position in :data:`KINDS`.

    What is no true positive is, by the first that holds: ``double``, where a ground truth of its class overlaps it by
    the threshold; ``wrong label``, where one of another class does; ``bad extent``, where one of its class overlaps it
    by :data:`LEAST`; ``wrong label and extent``, where one of another class does; else ``background``.

    Args:
        hits: The true positives (N,) at the threshold.
        same: The highest tIoU (N,) with a ground truth of its class, by :func:`best_overlap`.
        other: The same with one of another class.
        threshold: Of the tIoU.
    """
    tests = [hits, same >= threshold, other >= threshold, same >= LEAST, other >= LEAST]
    return np.select(tests, range(len(tests)), len(tests)).astype(np.intp)


def best_overlap(spans: Spans, others: Spans, *, same: bool | None = None) -> Float64:
    """Return the highest tIoU (N,) of each span with one of the others in its video, 0 where there is none.

    Args:
        spans: Whose overlap is asked for.
        others: With what.
        same: Only with those of its own class, or only with those of other classes.
    """
    best = np.zeros(len(spans))
    for video in np.intersect1d(spans.video, others.video):
        rows = np.flatnonzero(spans.video == video)
        own = others.at(others.video == video)
        iou = overlaps(spans.at(rows), own)
        if same is not None:
            iou = np.where((spans.label[rows, None] == own.label) == same, iou, 0.0)
        best[rows] = iou.max(1)
    return best


def overlaps(a: Spans, b: Spans) -> Float64:
    """Return the tIoU (N,M) of spans with spans, whatever their videos."""
    shared = np.minimum(a.end[:, None], b.end) - np.maximum(a.start[:, None], b.start)
    whole = np.maximum(a.end[:, None], b.end) - np.minimum(a.start[:, None], b.start)
    return np.divide(shared, whole, out=np.zeros(shared.shape), where=shared > 0)


def length_groups(truth: Spans, groups: int = 5) -> Index:
    """Return the group (N,) of each span by its length, 0 the shortest; equal lengths are in one group."""
    length = truth.end - truth.start
    edges = np.quantile(length, np.arange(1, groups) / groups) if len(length) else np.zeros(0)
    return np.searchsorted(edges, length, side="left")
