"""Which snippets decided: each removed from the input, the video run again, the drop of the score reported."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from whyact.prediction import Evidence, Segment
from whyact.pvlr.config import InferenceConfig
from whyact.pvlr.inference import Curves, Rows, curves, softmax, suppressed, video_logits
from whyact.pvlr.model import PVLR


def segment_evidence(
    model: PVLR,
    features: NDArray[np.floating],
    text: Tensor,
    found: Curves,
    segments: Sequence[Segment],
    classes: Sequence[str],
    rate: float,
    cfg: InferenceConfig,
    snippets: int = 3,
) -> list[Evidence]:
    """Return evidence for every segment: the whole span, then its strongest snippets, each by exact removal.

    Removal cuts the rows out of the feature sequence and scores what is left as a video of its own.
    ``contribution`` is the drop of the probability of the segment's label; ``rank`` is the segment's place, from 1.
    The text adds the raw score (the activation) behind the probability, which goes on telling snippets apart where
    the probability saturates.

    Args:
        model: In eval mode.
        features: (T,D).
        text: (C+1,D) class texts.
        found: The curves of the whole video.
        segments: In seconds, whole snippets long: the end of the video cuts none of them yet.
        classes: Names of the C classes.
        rate: Snippets a second.
        cfg: As for the prediction itself.
        snippets: How many single snippets a segment.
    """
    activation = suppressed(found, cfg)
    logits = video_logits(activation, cfg)
    probability = softmax(logits)
    evidence: list[Evidence] = []
    cache: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}

    def without(start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        if (start, end) not in cache:
            cache[start, end] = scores_of(model, Removed(features, start, end), text, cfg)
        return cache[start, end]

    for rank, segment in enumerate(segments, start=1):
        c = classes.index(segment.label)
        start, end = round(segment.start * rate), max(round(segment.start * rate) + 1, round(segment.end * rate))
        end = min(end, len(features))
        inside = np.arange(start, end)
        strongest = inside[np.argsort(-activation[start:end, c], kind="stable")[:snippets]]
        spans = [(start, end), *((int(t), int(t) + 1) for t in strongest if end - start > 1)]
        for low, high in spans:
            p, z = without(low, high)
            what = "all snippets of the segment" if (low, high) == (start, end) else "one snippet"
            evidence.append(
                Evidence(
                    kind="snippet",
                    text=f"{what}; without it the raw score {logits[c]:.2f} becomes {z[c]:.2f}",
                    start=low / rate,
                    end=high / rate,
                    contribution=float(probability[c] - p[c]),
                    label=segment.label,
                    rank=rank,
                    action=segment.label,
                )
            )
    return evidence


def scores_of(
    model: PVLR, features: Rows, text: Tensor, cfg: InferenceConfig
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a video's probabilities and logits (C+1,) of the classes and the background, from features (T,D).

    Where nothing is left to see, no class is more likely than another.
    """
    if len(features) == 0:
        return np.full(len(text), 1 / len(text)), np.zeros(len(text))
    logits = video_logits(suppressed(curves(model, features, text, cfg.chunk), cfg), cfg)
    return softmax(logits), logits


class Removed:
    """Features (T,D) without rows start..end-1, cut out as they are read: a mapped file stays on disk."""

    def __init__(self, features: NDArray[np.floating], start: int, end: int) -> None:
        self.features, self.start, self.end = features, start, end
        self.shape = (len(features) - (end - start), features.shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> NDArray[np.floating]:
        low, high, _ = rows.indices(len(self))
        gap = self.end - self.start
        before = self.features[min(low, self.start) : min(high, self.start)]
        after = self.features[max(low, self.start) + gap : max(high, self.start) + gap]
        return np.concatenate([before, after])


def boundary_deviation(found: Curves, label: int, start: int, end: int) -> tuple[float, float]:
    """Return the standard deviation (snippets) of a segment's start and end under the Gaussian.

    To first order a boundary moves by (deviation of the activation) / (slope of the activation across it);
    half a snippet of the grid's own uncertainty, 1/sqrt(12), is added in quadrature, and no boundary is
    less certain than the segment is long. At the edge of the video only the grid remains.
    """
    result = []
    for edge in (start, end):
        if edge in (0, len(found.cas)):
            result.append(12**-0.5)
            continue
        slope = abs(found.cas[edge, label] - found.cas[edge - 1, label])
        deviation = 0.5 * (found.std[edge, label] + found.std[edge - 1, label])
        moved = deviation / slope if slope > 0 else np.inf
        result.append(float(min(end - start, np.hypot(moved, 12**-0.5))))
    return result[0], result[1]
