"""One number for a test set: arrays or plain lists in, a float in 0..1 out. Classes and videos may have any names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from whyact.errors import UserError
from whyact.metrics import average_precision, localisation, recall

Name: TypeAlias = str | int
Row: TypeAlias = Sequence[Name | float]
TIOU = (0.3, 0.4, 0.5, 0.6, 0.7)


def mean_recall(target: Sequence[Name] | ArrayLike, predicted: Sequence[Name] | ArrayLike) -> float:
    """Return the recall of each class, averaged over the classes that occur in ``target``.

    Args:
        target: True class of each clip (N,): names or numbers.
        predicted: Answered class (N,); one that never occurs in ``target`` is a miss.

    Returns:
        A number in 0..1; NaN without a clip.

    Raises:
        ValueError: When there are not as many answers as clips.
    """
    truth, answer = np.asarray(target), np.asarray(predicted)
    if truth.ndim != 1 or truth.shape != answer.shape:
        raise UserError("predicted", f"shape {answer.shape}", f"one class for each of target's {truth.shape}")
    names = {name: number for number, name in enumerate(dict.fromkeys(truth.tolist()))}
    numbers = [names[name] for name in truth.tolist()]
    answers = [names.get(name, -1) for name in answer.tolist()]
    return recall.macro_recall(numbers, answers, len(names))


def charades_map(
    scores: Mapping[Name, ArrayLike] | ArrayLike,
    target: Mapping[Name, ArrayLike] | ArrayLike,
) -> float:
    """Return mean average precision as the official Charades script computes it.

    Args:
        scores: (N,C), higher is more certain; or video -> (C,). A video of ``target`` that it lacks ranks last.
        target: Multi-hot truth (N,C) in the order of the ground-truth file; or video -> (C,).

    Returns:
        A number in 0..1: the mean over classes with a positive; NaN without one.

    Raises:
        ValueError: When shapes differ, a score is NaN, or only one of both is a mapping.
    """
    if isinstance(target, Mapping) and isinstance(scores, Mapping):
        if unknown := [name for name in scores if name not in target]:
            raise UserError("scores", unknown[0], "a video of target")
        truth = np.array([np.asarray(row, dtype=bool) for row in target.values()])
        rows = np.zeros(truth.shape)
        for number, name in enumerate(target):
            if name in scores:
                rows[number] = np.asarray(scores[name], dtype=np.float64)
        given = np.array([name in scores for name in target], dtype=bool)
        return average_precision.charades_map(rows, truth, given).mean
    if isinstance(target, Mapping) or isinstance(scores, Mapping):
        raise UserError("scores", type(scores).__name__, f"a {type(target).__name__} as target is")
    return average_precision.charades_map(scores, target).mean


def temporal_map(predictions: Sequence[Row], truth: Sequence[Row], *, thresholds: Sequence[float] = TIOU) -> float:
    """Return mean average precision of temporal detections by ActivityNet's protocol, averaged over ``thresholds``.

    Args:
        predictions: Rows (video, label, start, end, score); videos and labels are names or numbers.
        truth: Rows (video, label, start, end).
        thresholds: Of temporal intersection over union.

    Returns:
        A number in 0..1: the mean over classes with a segment in ``truth``; 0 without one.

    Raises:
        ValueError: For a row of another length, times or scores that are no finite numbers, or a segment that ends
            before it starts.
    """
    for name, rows, width in (("predictions", predictions, 5), ("truth", truth, 4)):
        for number, row in enumerate(rows):
            if len(row) != width:
                columns = "video, label, start, end" + (", score" if width == 5 else "")
                raise UserError(f"{name}[{number}]", f"{len(row)} values", f"({columns})")
            numbers = tuple(map(float, row[2:]))
            if not all(map(math.isfinite, numbers)):
                what = "start, end and score" if width == 5 else "start and end"
                raise UserError(f"{name}[{number}]", ", ".join(f"{x:g}" for x in numbers), f"finite numbers for {what}")
            if not numbers[0] <= numbers[1]:
                raise UserError(f"{name}[{number}]", f"{row[2]} to {row[3]}", "a segment that ends after it starts")
    videos = {name: number for number, name in enumerate(dict.fromkeys(row[0] for row in (*truth, *predictions)))}
    labels = {name: number for number, name in enumerate(dict.fromkeys(row[1] for row in (*truth, *predictions)))}

    def numbered(rows: Sequence[Row]) -> localisation.Spans:
        return localisation.spans([(videos[r[0]], labels[r[1]], *map(float, r[2:])) for r in rows])

    ap = localisation.detection_ap(numbered(predictions), numbered(truth), thresholds, len(labels))
    return float(localisation.mean_ap(ap).mean() / 100)
