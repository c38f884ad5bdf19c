"""Boxes: overlap, and average precision of detections at an overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whyact.arrays import Float64

Found = tuple[ArrayLike, ArrayLike, ArrayLike]  # boxes (N,4), scores (N,), classes (N,) of a frame
Truth = tuple[ArrayLike, ArrayLike, ArrayLike]  # boxes (M,4), classes (M,), which count (M,)


def iou(a: ArrayLike, b: ArrayLike) -> Float64:
    """Return intersection over union (N,M) of boxes (N,4) and (M,4), xyxy; 0 where both are empty."""
    one, two = (np.asarray(x, dtype=np.float64).reshape(-1, 4) for x in (a, b))
    side = np.minimum(one[:, None, 2:], two[None, :, 2:]) - np.maximum(one[:, None, :2], two[None, :, :2])
    shared = np.clip(side, 0, None).prod(axis=-1)
    union = area(one)[:, None] + area(two)[None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def paired_iou(a: ArrayLike, b: ArrayLike) -> Float64:
    """Return intersection over union (N,) of boxes (N,4) and (N,4), row by row; 0 where both are empty."""
    one, two = (np.asarray(x, dtype=np.float64).reshape(-1, 4) for x in (a, b))
    side = np.minimum(one[:, 2:], two[:, 2:]) - np.maximum(one[:, :2], two[:, :2])
    shared = np.clip(side, 0, None).prod(axis=-1)
    union = area(one) + area(two) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def area(boxes: ArrayLike) -> Float64:
    """Return the area (N,) of boxes (N,4), 0 for those turned inside out."""
    box = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    return np.clip(box[:, 2:] - box[:, :2], 0, None).prod(axis=-1)


def clip_to_image(boxes: ArrayLike, image_size: tuple[int, int]) -> Float64:
    """Return boxes (...,4), xyxy pixels, with what lies outside an image of (width, height) cut off."""
    return np.clip(np.asarray(boxes, dtype=np.float64), 0.0, np.array(image_size * 2, dtype=np.float64))


def guess_unit(boxes: ArrayLike, image_size: tuple[int, int]) -> str:
    """Return the unit that boxes (N,4) look like where it is another than xyxy pixels, else an empty text.

    Shares end at 1. Boxes of x, y, width and height have corners in the wrong order, which make boxes inside the image
    the other way. A file of few, tiny or odd boxes is never guessed about: one doubtful sign is not enough.
    """
    box = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    width, height = image_size
    if not len(box) or not np.isfinite(box).all() or min(width, height) < 16:
        return ""
    if (box >= -0.05).all() and (box <= 1.05).all() and box.max() > 0:
        return "shares of the image, 0 to 1"
    turned = (box[:, 2:] <= box[:, :2]).any(axis=1)
    if turned.sum() < 2 or turned.mean() < 0.2:  # a slip of a pen in one box is no unit
        return ""
    corners = np.concatenate([box[:, :2], box[:, :2] + box[:, 2:]], axis=1)
    inside = (box[:, 2:] > 0).all() and (corners >= -1).all() and (corners <= np.array([width, height] * 2) + 1).all()
    return "[x, y, width, height]" if inside else ""


def look_like_percent(boxes: ArrayLike, image_size: tuple[int, int]) -> bool:
    """Return whether all boxes (N,4) of a large image lie in its first 100 by 100 pixels, as percent would."""
    box = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    return len(box) > 0 and min(image_size) >= 240 and bool((box >= -1).all() and (box <= 101).all())


@dataclass(frozen=True)
class BoxAP:
    """Average precision of each class (C,), NaN for a class without a box, and the mean of the others."""

    per_class: Float64
    mean: float


def box_average_precision(found: Sequence[Found], truth: Sequence[Truth], *, classes: int, iou: float = 0.5) -> BoxAP:
    """Compute the average precision of boxes, class by class, over all frames.

    In the order of falling score a box is right when the box of the truth that it overlaps most, of those of its
    class and frame that are still free, is overlapped by at least ``iou``. AP is the area under the precision,
    made to fall, over recall (all points). A found box on one of the truth that does not count is ignored.

    Args:
        found: Of each frame, boxes (N,4), scores (N,), classes (N,).
        truth: Of each frame, boxes (M,4), classes (M,), which count (M,).
        classes: How many classes.
        iou: Least overlap.

    Raises:
        ValueError: When there are not equally many frames.
    """
    if len(found) != len(truth):
        raise ValueError(f"boxes of {len(found)} frames, truth of {len(truth)}")
    ap = np.array([_class_ap(found, truth, number, iou) for number in range(classes)])
    there = ap[~np.isnan(ap)]
    return BoxAP(ap, float(there.mean()) if len(there) else float("nan"))


def _class_ap(found: Sequence[Found], truth: Sequence[Truth], number: int, least: float) -> float:
    scores: list[float] = []
    right: list[bool] = []
    total = 0
    for one, two in zip(found, truth, strict=True):
        mine = np.asarray(one[2]) == number
        there = np.asarray(two[1]) == number
        counts = np.asarray(two[2], dtype=bool)[there]
        total += int(counts.sum())
        rank = np.argsort(-np.asarray(one[1], dtype=np.float64)[mine], kind="stable")
        overlap = iou(np.asarray(one[0])[mine], np.asarray(two[0])[there])[rank]
        for score, verdict in zip(np.asarray(one[1])[mine][rank], _verdicts(overlap, counts, least), strict=True):
            if verdict is not None:
                scores.append(float(score))
                right.append(verdict)
    if total == 0:
        return float("nan")
    hits = np.array(right, dtype=bool)[np.argsort(-np.array(scores), kind="stable")]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    return float(falling[hits].sum() / total)


def _verdicts(overlap: Float64, counts: NDArray[np.bool_], least: float) -> list[bool | None]:
    """Judge the boxes of one class and frame, best first: right, wrong, or None where it does not count."""
    free = counts.copy()
    out: list[bool | None] = []
    for row in overlap:
        mine = np.where(free, row, -1.0)
        best = int(mine.argmax()) if len(mine) else -1
        if best >= 0 and mine[best] >= least:
            free[best] = False
            out.append(True)
        else:
            out.append(None if (row[~counts] >= least).any() else False)
    return out
