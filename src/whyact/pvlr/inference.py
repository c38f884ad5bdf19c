"""From a video's features to curves, from curves to segments, from segments to mAP.

Segments are in snippets here; :mod:`whyact.pvlr.task` turns them into seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whyact.arrays import Float64
from whyact.data.types import FeatureSequence
from whyact.devices import device_of
from whyact.errors import UserError
from whyact.metrics.average_precision import mean_average_precision
from whyact.metrics.localisation import Spans, detection_ap, drop_overlapping_on_grid, mean_ap, overlapping, spans
from whyact.pvlr.config import InferenceConfig
from whyact.pvlr.model import PVLR
from whyact.pvlr.proposals import min_max, outer_inner, runs
from whyact.pvlr.soft_nms import soft_nms

Comparison = Literal["seconds", "pvlr"]


class Rows(Protocol):
    """Features (T,D) of which pieces can be read: an array, mapped or not, or a view of one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (T,D)."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Any: ...


class Annotated(Protocol):
    """A video with a name and ground truth."""

    @property
    def id(self) -> str:
        """Return its name."""

    @property
    def segments(self) -> tuple[tuple[float, float, int], ...]:
        """Return (start s, end s, class)."""


@dataclass(frozen=True)
class Curves:
    """One video over time: ``cas`` (T,C+1), its standard deviation ``std`` (T,C+1), ``attention`` (T,)."""

    cas: Float64
    std: Float64
    attention: Float64


@dataclass(frozen=True)
class Detections:
    """Scored segments of one video: ``label``, ``start``, ``end`` (snippets, half-open), ``score``; all (N,).

    ``probability`` (C,) is the video's class distribution, background left out.
    """

    label: NDArray[np.intp]
    start: Float64
    end: Float64
    score: Float64
    probability: Float64

    def __len__(self) -> int:
        return len(self.label)


@torch.no_grad()
def curves(model: PVLR, features: Rows, text: Tensor, chunk: int = 2048) -> Curves:
    """Run the network over a video of any length, ``chunk`` snippets at a time.

    The pieces overlap by the network's reach and share the time mean of the whole video, so the result does
    not depend on ``chunk``; with memory-mapped features, memory holds one piece and the curves.

    Args:
        model: In eval mode.
        features: (T,D).
        text: (C+1,D) class texts, computed once an evaluation.
        chunk: Snippets per piece.

    Raises:
        UserError: When there is no snippet.
    """
    device = device_of(model)
    text = text.to(device)
    length = len(features)
    if length == 0:
        raise UserError("features", "no snippet", "at least one snippet")
    total = np.zeros(features.shape[1])
    for start in range(0, length, chunk):
        total += np.asarray(features[start : start + chunk], dtype=np.float64).sum(axis=0)
    time_mean = torch.as_tensor(total / length, dtype=torch.float32, device=device)[None]
    pieces: list[tuple[Float64, Float64, Float64]] = []
    for start in range(0, length, chunk):
        low, high = max(0, start - model.reach), min(length, start + chunk + model.reach)
        piece = torch.from_numpy(np.array(features[low:high], dtype=np.float32)).to(device)[None]
        out = model(piece, text=text, time_mean=time_mean)
        keep = slice(start - low, min(start + chunk, length) - low)
        values = (out.cas[0, keep], model.activation_std(out)[0, keep], out.attention[0, keep])
        pieces.append(tuple(value.double().cpu().numpy() for value in values))  # type: ignore[arg-type]
    cas, std, attention = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    return Curves(cas, std, attention)


def suppressed(found: Curves, cfg: InferenceConfig) -> Float64:
    """Return the class activation (T,C+1) damped by attention."""
    cas = found.cas if cfg.suppression == "product" else np.maximum(found.cas, 0)
    return cas * found.attention[:, None]


def video_logits(activation: Float64, cfg: InferenceConfig) -> Float64:
    """Return the mean (C+1,) of each class's T/top_k highest snippets of (T,C+1)."""
    return _top_mean(activation, max(1, len(activation) // cfg.top_k))


def softmax(x: Float64) -> Float64:
    """Return the softmax over the last axis."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def localise(found: Curves, cfg: InferenceConfig) -> Detections:
    """Turn a video's curves into scored segments: proposals of two families, then soft-NMS per class."""
    activation = suppressed(found, cfg)
    logits = video_logits(activation, cfg)
    probability = softmax(logits)[:-1]
    product = cfg.scoring == "product"
    weight = softmax(logits / cfg.softness)[:-1] if product else probability
    kept = np.nonzero(weight >= (cfg.class_floor if product else cfg.class_threshold))[0]
    if not len(kept):
        kept = np.array([weight.argmax()])
    z = np.ascontiguousarray(activation[:, kept].T)  # (K,T)
    q = min_max(z)
    low, high, steps = cfg.cas_thresholds
    mask = (q[:, None] > np.linspace(low, high, steps)[None, :, None]).reshape(-1, q.shape[1])
    rows, start, end = _runs(mask, cfg)
    k = rows // steps
    score = outer_inner(q, k, start, end, cfg.cas_window)
    score = score * weight[kept[k]] if product else score + cfg.cas_gamma * weight[kept[k]]
    low, high, steps = cfg.attention_thresholds
    _, a_start, a_end = _runs(found.attention > np.linspace(low, high, steps)[:, None], cfg)
    a_k = np.repeat(np.arange(len(kept)), len(a_start))
    a_start, a_end = np.tile(a_start, len(kept)), np.tile(a_end, len(kept))
    a_score = outer_inner(q if cfg.normalise_attention else z, a_k, a_start, a_end, cfg.attention_window)
    a_score = a_score * weight[kept[a_k]] if product else a_score + cfg.attention_gamma * weight[kept[a_k]]
    label = kept[np.concatenate([k, a_k])]
    starts = np.concatenate([start, a_start]).astype(np.float64)
    ends = np.concatenate([end, a_end]).astype(np.float64)
    scores = np.concatenate([score, a_score])
    for c in kept:
        at = label == c
        scores[at] = soft_nms(starts[at], ends[at], scores[at], cfg.sigma, cfg.pixel_iou)
    return Detections(label, starts, ends, scores, probability)


def _runs(mask: NDArray[np.bool_], cfg: InferenceConfig) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    rows, start, end = runs(mask)
    if cfg.drop_lone_first:
        lone = (mask.sum(axis=1) == 1) & mask[:, 0]
        keep = ~lone[rows]
        rows, start, end = rows[keep], start[keep], end[keep]
    return rows, start, end


def detection_map(
    detections: Sequence[Detections],
    videos: Sequence[FeatureSequence],
    classes: int,
    thresholds: Sequence[float],
    protocol: Comparison = "seconds",
    ambiguous: dict[str, tuple[tuple[float, float], ...]] | None = None,
) -> Float64:
    """Return mAP in 0..100 of every tIoU threshold.

    Args:
        detections: One per video, in snippets.
        videos: With ground-truth segments in seconds.
        classes: C.
        thresholds: Of tIoU.
        protocol: ``seconds`` keeps the ground truth as annotated; ``pvlr`` rounds it to the snippet grid, as the
            authors' public evaluator does.
        ambiguous: Spans in seconds. A *false* positive that overlaps one is dropped; ``pvlr`` drops true ones too.
    """
    rates = [video.rate for video in videos]
    return spans_map(join_detections(detections), videos, rates, classes, thresholds, protocol, ambiguous)


def join_detections(detections: Sequence[Detections]) -> Spans:
    """Return the detections of all videos as spans, in snippets."""
    video = np.repeat(np.arange(len(detections)), [len(d) for d in detections])
    return Spans(
        video,
        *(np.concatenate([getattr(d, name) for d in detections]) for name in ("label", "start", "end", "score")),
    )


def spans_map(
    found: Spans,
    videos: Sequence[Annotated],
    rates: Sequence[float],
    classes: int,
    thresholds: Sequence[float],
    protocol: Comparison = "seconds",
    ambiguous: dict[str, tuple[tuple[float, float], ...]] | None = None,
) -> Float64:
    """Return mAP as :func:`detection_map` does, for spans in snippets; ``rates`` are snippets a second."""
    compare = compared(found, videos, rates, protocol, ambiguous)
    return mean_ap(detection_ap(compare[0], compare[1], thresholds, classes, compare[2]))


def compared(
    found: Spans,
    videos: Sequence[Annotated],
    rates: Sequence[float],
    protocol: Comparison,
    ambiguous: dict[str, tuple[tuple[float, float], ...]] | None,
) -> tuple[Spans, Spans, NDArray[np.bool_]]:
    """Return predictions and ground truth as a protocol compares them, and which predictions (N,) it ignores if wrong.

    tIoU has no unit: both protocols compare in snippets, where a boundary on the grid is a whole number.
    """
    rate = np.asarray(rates)
    truth = _scale(spans([(i, c, s, e) for i, video in enumerate(videos) for s, e, c in video.segments]), rate)
    rows = [(i, 0, s, e) for i, video in enumerate(videos) for s, e in (ambiguous or {}).get(video.id, ())]
    unclear = _scale(spans(rows), rate)
    if protocol == "pvlr":
        found = drop_overlapping_on_grid(found, unclear)
        on_grid = Spans(truth.video, truth.label, truth.start.round(), truth.end.round())
        return found, on_grid, np.zeros(len(found), dtype=bool)
    if (rate != 1).any():  # seconds are left as they are written
        truth = Spans(truth.video, truth.label, truth.start.round(9), truth.end.round(9))
    return found, truth, overlapping(found, unclear)


def classification_map(found: Sequence[Curves], videos: Sequence[FeatureSequence]) -> float:
    """Return classification mAP in 0..100 from the raw activation: top T/8 mean, softmax."""
    return scores_map([class_scores(c) for c in found], videos)


def class_scores(found: Curves) -> Float64:
    """Return a video's class scores (C,) as classification mAP takes them, background left out."""
    whole: Float64 = softmax(_top_mean(found.cas, -(-len(found.cas) // 8)))[:-1]
    return whole


def scores_map(scores: Sequence[Float64], videos: Sequence[FeatureSequence]) -> float:
    """Return classification mAP in 0..100 of class scores (C,) a video."""
    stacked = np.stack(scores)
    labels = np.zeros(stacked.shape, dtype=bool)
    for i, video in enumerate(videos):
        labels[i, list(video.target)] = True
    return 100 * mean_average_precision(stacked, labels).mean


def _top_mean(x: Float64, k: int) -> Float64:
    return np.partition(x, len(x) - k, axis=0)[-k:].mean(axis=0)


def _scale(s: Spans, factor: Float64) -> Spans:
    return Spans(s.video, s.label, s.start * factor[s.video], s.end * factor[s.video], s.score)
