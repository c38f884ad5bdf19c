"""Mean average precision of temporal detections: ActivityNet's script and the THUMOS'14 toolkit.

ActivityNet's matching is exact and vectorised: predictions of a video and class take ground truths greedily in score
order, which is the one stable matching when every ground truth prefers the higher score. It is found by rounds of
proposals over all videos, classes and predictions at once, in place of a loop over predictions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whyact.arrays import Float64, Index
from whyact.errors import UserError


@dataclass(frozen=True)
class Spans:
    """Labelled spans, columns of (N,): video and label indices, start, end, and a score where they are predictions."""

    video: Index
    label: Index
    start: Float64
    end: Float64
    score: Float64 | None = None

    def __post_init__(self) -> None:
        columns = [self.video, self.label, self.start, self.end] + ([] if self.score is None else [self.score])
        if len({len(column) for column in columns}) > 1:
            raise UserError("spans", [len(column) for column in columns], "columns of the same length")

    def __len__(self) -> int:
        return len(self.video)

    def at(self, keep: NDArray[np.bool_] | Index) -> Spans:
        """Return the selected spans."""
        score = None if self.score is None else self.score[keep]
        return Spans(self.video[keep], self.label[keep], self.start[keep], self.end[keep], score)


def spans(rows: Sequence[Sequence[float]]) -> Spans:
    """Build spans from rows (video, label, start, end[, score])."""
    table = np.asarray(rows, dtype=np.float64) if len(rows) else np.zeros((0, 5))
    video, label, *columns = table.T
    return Spans(video.astype(np.intp), label.astype(np.intp), *columns)


def detection_ap(
    predictions: Spans,
    truth: Spans,
    thresholds: Sequence[float],
    classes: int,
    ignored: NDArray[np.bool_] | None = None,
) -> Float64:
    """Return average precision in 0..1, (len(thresholds), classes); NaN for a class without ground truth.

    This is what ActivityNet's evaluation script computes, to the last bit. A prediction looks at the ground truths of
    its video and class by falling tIoU and takes the first free one at or above the threshold; a second detection of
    the same ground truth is a false positive. AP is the area under the precision envelope at recall changes. Ties are
    the script's too, which sorts rising and reads backwards: of equal scores, and of equal tIoU, the one of the higher
    index comes first.

    Args:
        predictions: With scores.
        truth: Ground truth.
        thresholds: Of tIoU.
        classes: How many classes.
        ignored: Predictions (N,) that count as neither where they match no ground truth, see :func:`overlapping`.

    Raises:
        UserError: When predictions have no scores.
    """
    positives = np.bincount(truth.label, minlength=classes)[:classes]
    order = _by_class_and_score(predictions)
    ranked = predictions.at(order)
    skipped = np.zeros(len(ranked), dtype=bool) if ignored is None else ignored[order]
    first = np.searchsorted(ranked.label, np.arange(classes + 1))
    ap = np.full((len(thresholds), classes), np.nan)
    ap[:, positives > 0] = 0.0
    for row, hits in _hits(ranked, truth, thresholds):
        misses = skipped.copy()
        misses[hits] = False
        before = np.append(0, np.cumsum(misses))  # ignored false positives ahead of a place
        begin = np.searchsorted(hits, first)
        for c in np.nonzero(np.diff(begin))[0]:
            own = hits[begin[c] : begin[c + 1]]
            rank = own - first[c] - (before[own] - before[first[c]])
            ap[row, c] = _area(rank, int(positives[c]))
    return ap


def true_positives(predictions: Spans, truth: Spans, thresholds: Sequence[float]) -> NDArray[np.bool_]:
    """Return which predictions (len(thresholds), N) :func:`detection_ap` counts as true positives.

    Raises:
        UserError: When predictions have no scores.
    """
    order = _by_class_and_score(predictions)
    found = np.zeros((len(thresholds), len(predictions)), dtype=bool)
    for row, hits in _hits(predictions.at(order), truth, thresholds):
        found[row, order[hits]] = True
    return found


def _by_class_and_score(predictions: Spans) -> Index:
    """Return the order of predictions by class, then by falling score."""
    if predictions.score is None:
        raise UserError("predictions", None, "a score for every prediction")
    by_score = np.argsort(predictions.score, kind="stable")[::-1]
    return by_score[np.argsort(predictions.label[by_score], kind="stable")]


def _hits(ranked: Spans, truth: Spans, thresholds: Sequence[float]) -> Iterator[tuple[int, Index]]:
    """Yield the row of each threshold, and the places of ranked predictions that match a ground truth, rising."""
    prediction, gt, iou = _candidates(ranked, truth, min(thresholds))
    for row in np.argsort(thresholds):
        keep = iou >= thresholds[row]
        prediction, gt, iou = prediction[keep], gt[keep], iou[keep]
        yield int(row), np.sort(_match(prediction, gt, len(ranked), len(truth)))


def _area(rank: Index, positives: int) -> float:
    """Return the area under the precision envelope of hits at these ranks (from 0), summed as the script sums it."""
    hit = np.arange(1, len(rank) + 1)
    precision, recall = hit / (rank + 1), hit / positives
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    step = recall - np.append(0.0, recall[:-1])
    if recall[-1] != 1.0:  # the script's last point, at recall 1 with precision 0: it is in the sum
        step, envelope = np.append(step, 1.0 - recall[-1]), np.append(envelope, 0.0)
    return float(np.sum(step * envelope))


def thumos_ap(predictions: Spans, truth: Spans, ambiguous: Spans, thresholds: Sequence[float], classes: int) -> Float64:
    """Return average precision as the THUMOS'14 toolkit computes it, (len(thresholds), classes) in 0..1.

    Ground truths choose here: each in turn takes the free prediction of its video and class that overlaps it most, if
    by *more* than the threshold. What is left over and overlaps an ambiguous span of the video at all is dropped; a
    true positive that does stays one. AP is the mean of the precisions at the true positives, over all ground truths,
    without an envelope. Equal scores keep their order, true positives first; of equal overlaps the first counts.

    Args:
        predictions: With scores, in seconds.
        truth: Ground truth.
        ambiguous: Spans that count neither way; their labels are without effect.
        thresholds: Of the overlap.
        classes: How many classes.

    Raises:
        UserError: When predictions have no scores.
    """
    if predictions.score is None:
        raise UserError("predictions", None, "a score for every prediction")
    ignored = overlapping(predictions, ambiguous)
    ap = np.full((len(thresholds), classes), np.nan)
    for c in range(classes):
        gt = truth.at(truth.label == c)
        if not len(gt):
            continue
        own = np.nonzero(predictions.label == c)[0]
        found, skipped = predictions.at(own), ignored[own]
        assert found.score is not None
        for row, threshold in enumerate(thresholds):
            hit = np.zeros(len(found), dtype=bool)
            for video in np.unique(gt.video):
                rows = np.nonzero(found.video == video)[0]
                rows = rows[np.argsort(-found.score[rows], kind="stable")]
                for g in np.nonzero(gt.video == video)[0]:
                    free = rows[~hit[rows]]
                    if not len(free):
                        break
                    overlap = _overlap(found, free, gt.start[g], gt.end[g])
                    if overlap.max() > threshold:
                        hit[free[overlap.argmax()]] = True
            kept = np.nonzero(hit | ~skipped)[0]
            order = kept[np.lexsort((found.video[kept], ~hit[kept], -found.score[kept]))]
            ranked = hit[order]
            precision = np.cumsum(ranked) / np.arange(1, len(ranked) + 1)
            ap[row, c] = np.cumsum(np.append(0.0, precision[ranked]))[-1] / len(gt)  # added one by one
    return ap


def _overlap(found: Spans, rows: Index, start: float, end: float) -> Float64:
    """Return the overlap of predictions with a span over the length of both together, 0 where they do not meet."""
    shared = np.minimum(found.end[rows], end) - np.maximum(found.start[rows], start)
    whole = np.maximum(found.end[rows], end) - np.minimum(found.start[rows], start)
    return np.divide(shared, whole, out=np.zeros(len(rows)), where=shared > 0)


def mean_ap(ap: Float64) -> Float64:
    """Return mAP in 0..100 of every threshold: the mean over classes that have ground truth (0 if none has)."""
    seen = ~np.isnan(ap).all(axis=0)
    return 100 * np.ascontiguousarray(ap[:, seen]).mean(axis=1) if seen.any() else np.zeros(len(ap))


def overlapping(predictions: Spans, spans: Spans) -> NDArray[np.bool_]:
    """Return which predictions (N,) overlap one of the spans of their video, by however little."""
    hit = np.zeros(len(predictions), dtype=bool)
    for video in np.unique(spans.video):
        rows, own = np.nonzero(predictions.video == video)[0], spans.at(spans.video == video)
        start = np.maximum(predictions.start[rows, None], own.start)
        hit[rows] = (np.minimum(predictions.end[rows, None], own.end) > start).any(axis=1)
    return hit


def drop_overlapping_on_grid(predictions: Spans, ambiguous: Spans) -> Spans:
    """Drop every prediction that overlaps an ambiguous span, right or wrong, as PVLR's public evaluator does.

    Both are in snippets, and both ends of each are rounded before they are compared.
    """
    grid = (
        Spans(one.video, one.label, np.rint(one.start), np.rint(one.end), one.score) for one in (predictions, ambiguous)
    )
    return predictions.at(~overlapping(*grid))


def _candidates(ranked: Spans, truth: Spans, lowest: float) -> tuple[Index, Index, Float64]:
    """Return pairs (prediction, ground truth, tIoU >= lowest), by prediction, falling tIoU, falling ground truth."""
    videos = int(max(ranked.video.max(initial=0), truth.video.max(initial=0))) + 1
    groups, of_truth = np.unique(truth.label * videos + truth.video, return_inverse=True)
    key = ranked.label * videos + ranked.video
    of_found = np.minimum(np.searchsorted(groups, key), len(groups) - 1)
    known = np.nonzero(groups[of_found] == key)[0] if len(groups) else np.zeros(0, dtype=np.intp)
    prediction, gt = _overlapping(ranked.at(known), of_found[known], truth, of_truth)
    prediction = known[prediction]
    start, end = ranked.start[prediction], ranked.end[prediction]
    gt_start, gt_end = truth.start[gt], truth.end[gt]
    overlap = np.minimum(end, gt_end) - np.maximum(start, gt_start)
    with np.errstate(divide="ignore", invalid="ignore"):
        iou = overlap / ((end - start) + (gt_end - gt_start) - overlap)
    keep = (overlap > 0) & (iou >= lowest)
    prediction, gt, iou = prediction[keep], gt[keep], iou[keep]
    same = prediction[1:] == prediction[:-1]
    several = np.nonzero(np.append(same, False) | np.append(False, same))[0]  # only these need an order
    order = several[np.lexsort((-gt[several], -iou[several], prediction[several]))]
    gt[several], iou[several] = gt[order], iou[order]
    return prediction, gt, iou


def _overlapping(found: Spans, of_found: Index, truth: Spans, of_truth: Index) -> tuple[Index, Index]:
    """Return pairs of one group that may overlap: all that do, and few others.

    Groups are laid out one after another on a single line, where two binary searches bound the candidates of a
    prediction: ground truths that start before its end, from the first that nobody before outlasts.
    """
    if not len(found) or not len(truth):
        return np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp)
    low = min(found.start.min(), truth.start.min())
    pitch = 2 * (max(found.end.max(), truth.end.max()) - low) + 1
    slack = 1e-9 * pitch * (of_truth.max() + 1)  # rounding on the long line; exact overlaps are checked later
    starts = of_truth * pitch + (truth.start - low)
    by_start = np.argsort(starts, kind="stable")
    reached = np.maximum.accumulate((of_truth * pitch + (truth.end - low))[by_start])
    begin = np.searchsorted(reached, of_found * pitch + (found.start - low) - slack)
    stop = np.searchsorted(starts[by_start], of_found * pitch + (found.end - low) + slack)
    count = np.maximum(stop - begin, 0)
    pair = np.repeat(np.arange(len(found)), count)
    offset = np.arange(len(pair)) - np.repeat(np.cumsum(count) - count, count)
    gt = by_start[np.repeat(begin, count) + offset]
    inside = of_truth[gt] == of_found[pair]
    return pair[inside], gt[inside]


def _match(prediction: Index, gt: Index, predictions: int, truths: int) -> Index:
    """Return the predictions that are matched. Pairs come sorted by prediction, best choice first.

    Every free prediction proposes to its next choice; a ground truth keeps the lowest (best ranked) proposer
    and frees the other, until nobody has a choice left.
    """
    if not len(prediction):
        return np.zeros(0, dtype=np.intp)
    last = np.append(prediction[1:] != prediction[:-1], True)
    holder = np.full(truths, predictions, dtype=np.intp)
    choice = np.zeros(predictions, dtype=np.intp)  # the pair a prediction proposes with
    at = np.nonzero(np.append(True, last[:-1]))[0]
    choice[prediction[at]] = at
    while len(at):
        who, where = prediction[at], gt[at]
        before = holder[where]
        np.minimum.at(holder, where, who)
        kept = holder[where]
        displaced = before[(before < predictions) & (kept != before)]
        freed = np.concatenate([who[kept != who], np.unique(displaced)])
        at = choice[freed]
        at = at[~last[at]] + 1
        choice[prediction[at]] = at
    return holder[holder < predictions]
