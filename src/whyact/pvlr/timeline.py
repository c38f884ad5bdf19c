"""From scored proposals to a timeline that can be read: per class no two segments overlap, and faint ones stay out.

The benchmarks want every proposal in rank order; a reader wants to know when. Both come from the same detections.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from whyact.arrays import Float64
from whyact.data.types import FeatureSequence
from whyact.prediction import Curve, Segment
from whyact.pvlr.config import InferenceConfig
from whyact.pvlr.evidence import boundary_deviation
from whyact.pvlr.inference import Curves, Detections, softmax

SHARE = 0.5  # of the best segment of its class in the video: what scores less is not on the timeline
SHOWN = 50  # segments of a timeline that an answer lists at most
ROOM = 1e-6  # of the scale 0..1, for the order of proposals that score below nothing


def scaled_scores(detections: Detections, cfg: InferenceConfig) -> Float64:
    """Return scores (N,) over their largest possible value (inside 1, outside 0, class certain), at most 1."""
    largest = 1.0 if cfg.scoring == "product" else 1 + max(cfg.cas_gamma, cfg.attention_gamma)
    scaled: Float64 = np.minimum(1.0, detections.score / largest)
    return scaled


def choose_level(found: Sequence[Detections], labels: NDArray[np.float32], cfg: InferenceConfig) -> float:
    """Return the score from which a segment counts, chosen on training videos by their labels alone.

    A class is answered in a video if its best segment reaches the level; the level with the highest F1 against the
    labels wins, in the middle between the scores beside it. No time annotation takes part.

    Args:
        found: Detections of training videos.
        labels: (N,C) multi-hot.
        cfg: As for the prediction itself.
    """
    best = np.zeros(labels.shape)
    for row, detections in zip(best, found, strict=True):
        np.maximum.at(row, detections.label, np.maximum(scaled_scores(detections, cfg), 0))
    score, true = best[best > 0], labels[best > 0] > 0
    if not true.any():
        return 0.0
    order = np.argsort(-score, kind="stable")
    score, hits = score[order], true[order].cumsum()
    f1 = 2 * hits / (np.arange(1, len(score) + 1) + (labels > 0).sum())
    last = np.append(score[1:] < score[:-1], True)  # equal scores are kept or dropped together
    at = int(np.where(last, f1, -1.0).argmax())
    return float((score[at] + (score[at + 1] if at + 1 < len(score) else 0.0)) / 2)


def timeline(detections: Detections, cfg: InferenceConfig, level: float = 0.0) -> list[int]:
    """Return the detections of a clean timeline, best first, all of them: a page shows :data:`SHOWN`.

    Args:
        detections: Of one video.
        cfg: As for the prediction itself.
        level: The score from which a segment counts; besides, it must reach :data:`SHARE` of the best of its class.
    """
    scores, kept = scaled_scores(detections, cfg), list[int]()
    floors: dict[int, float] = {}
    spans: dict[int, list[tuple[float, float]]] = {}  # of each class those kept: apart, so in the order of both ends
    columns = (detections.label.tolist(), detections.start.tolist(), detections.end.tolist(), scores.tolist())
    rows = list(zip(*columns, strict=True))
    for i in np.argsort(-scores, kind="stable").tolist():
        c, start, end, score = rows[i]
        if score <= 0:
            break
        own = spans.setdefault(c, [])
        if score < floors.get(c, level):
            continue
        at = bisect_left(own, (start, end))
        if (at == 0 or own[at - 1][1] <= start) and (at == len(own) or own[at][0] >= end):
            own.insert(at, (start, end))
            floors.setdefault(c, max(level, SHARE * score))
            kept.append(i)
    return kept


def segments_of(
    found: Curves,
    detections: Detections,
    rows: Sequence[int],
    classes: Sequence[str],
    rate: float,
    cfg: InferenceConfig,
) -> list[Segment]:
    """Return detections as segments in seconds, each with the deviation of both ends.

    Args:
        found: The curves of the video.
        detections: In snippets.
        rows: Which of them.
        classes: Names of the C classes.
        rate: Snippets a second.
        cfg: As for the prediction itself.
    """
    scores, result = scaled_scores(detections, cfg), []
    for i in rows:
        c, start, end = int(detections.label[i]), int(detections.start[i]), int(detections.end[i])
        deviation = boundary_deviation(found, c, start, end)
        interval = (deviation[0] / rate, deviation[1] / rate)
        # A file of all proposals keeps their order, also of those with less inside than beside them.
        score = float(ROOM + (1 - ROOM) * scores[i] if scores[i] > 0 else ROOM * (1 + max(-1.0, scores[i])))
        result.append(Segment(start=start / rate, end=end / rate, label=classes[c], score=score, interval=interval))
    return result


def draw_curves(found: Curves, video: FeatureSequence, classes: tuple[str, ...], shown: set[int]) -> list[Curve]:
    """Return attention and, for each shown class, its probability with one standard deviation to each side."""
    times = video.times.tolist()
    drawn = [Curve(name="attention", times=times, values=found.attention.tolist())]
    level = softmax(found.cas)
    for c in sorted(shown):
        # Softmax moves with its own logit at the rate p(1-p): the deviation to first order.
        deviation = found.std[:, c] * level[:, c] * (1 - level[:, c])
        low, high = np.clip(level[:, c] - deviation, 0, 1), np.clip(level[:, c] + deviation, 0, 1)
        drawn.append(
            Curve(name=classes[c], times=times, values=level[:, c].tolist(), lower=low.tolist(), upper=high.tolist())
        )
    return drawn
