"""Clean tracks: merge what is one thing, bridge gaps, drop what a detector saw too briefly or too doubtfully.

A detector on real footage gives one person two boxes, and calls a shadow a skateboard in three frames. Pairs of such
tracks would be evidence of nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from whyact.arrays import Float64
from whyact.metrics.boxes import area, paired_iou
from whyact.perception.tracks import Tracks


@dataclass(frozen=True)
class CleanSettings:
    """When two tracks are one thing, and when a track is none.

    Args:
        overlap: Mean intersection over union of two tracks, where both have a box, from which they are one thing.
        inside: The same of the intersection over the smaller box, for two tracks of one class.
        jump: Largest distance between the end of one track and the start of the next, in box sizes, over which
            two tracks of one class that never coexist are joined, plus ``drift`` box sizes a second of the gap.
        drift: See ``jump``.
        patience: Longest gap between two tracks that are joined, in seconds.
        shortest: Seconds that a track is seen; in a shorter video, half of its length.
        share: A track is also seen in this share of the frames between its first and its last.
        score: Lowest mean score.
    """

    overlap: float = 0.6
    inside: float = 0.85
    jump: float = 0.6
    drift: float = 1.0
    patience: float = 3.0
    shortest: float = 0.5
    share: float = 0.3
    score: float = 0.5


def clean_tracks(tracks: Tracks, bridge: float, settings: CleanSettings | None = None) -> Tracks:
    """Return the tracks that a model can rely on, gaps of at most ``bridge`` seconds filled.

    Duplicates are merged: the more confident box of each frame stays, and the class with the highest sum of scores.
    Tracks of one class that follow one another are joined. Short and doubtful ones are dropped. Names are kept.
    """
    settings = settings or CleanSettings()
    place = {name: k for k, name in enumerate(tracks.names)}
    sums = tracks.scores.sum(0)  # the same result for every order that tracks come in
    order = sorted(place.values(), key=lambda k: (-float(sums[k]), tracks.classes[k], tracks.names[k]))
    tracks = _merge_all(tracks.pick(order), settings)
    if not tracks.names:
        return tracks
    reliable = _reliable(tracks, settings)
    kept = sorted(np.flatnonzero(reliable).tolist(), key=lambda k: place[tracks.names[k]])
    return tracks.pick(kept).filled(bridge)


def _merge_all(tracks: Tracks, settings: CleanSettings) -> Tracks:
    """Merge two tracks at a time, the most alike first, until no two are one thing."""
    while len(tracks.names) > 1:
        likeness = _likeness(tracks, settings)
        i, j = np.unravel_index(int(likeness.argmax()), likeness.shape)
        if likeness[i, j] <= 0:
            break
        tracks = _merged(tracks, int(min(i, j)), int(max(i, j)))
    return tracks


def _likeness(tracks: Tracks, s: CleanSettings) -> Float64:
    """Return (K,K): above 0 where two tracks are one thing, and higher where that is surer."""
    k = len(tracks.names)
    out = np.zeros((k, k))
    known = tracks.known
    for i in range(k):
        for j in range(i + 1, k):
            same = tracks.classes[i] == tracks.classes[j]
            both = known[:, i] & known[:, j]
            shorter = min(int(known[:, i].sum()), int(known[:, j].sum()))
            if both.sum() >= max(1, shorter / 2):
                a, b = tracks.boxes[both, i].astype(np.float64), tracks.boxes[both, j].astype(np.float64)
                overlap, within = float(paired_iou(a, b).mean()), float(_shared(a, b).mean())
                if overlap >= s.overlap or (same and within >= s.inside and not _equals(tracks, i, j)):
                    out[i, j] = 1 + overlap
            elif same and not both.any():
                out[i, j] = max(0.0, 1 - _distance(tracks, i, j, s))
    return out


def _shared(a: Float64, b: Float64) -> Float64:
    """Return the share (T,) of the smaller of two boxes (T,4) that lies in the other."""
    side = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    return np.clip(side, 0, None).prod(-1) / np.minimum(area(a), area(b)).clip(1e-9)


def _equals(tracks: Tracks, i: int, j: int) -> bool:
    """Tell whether two tracks are seen as long and as surely as one another: two things, one before the other."""
    seen = [float(tracks.scores[:, k].sum()) for k in (i, j)]
    return min(seen) > 0.5 * max(seen)


def _distance(tracks: Tracks, i: int, j: int, s: CleanSettings) -> float:
    """Return how far apart two tracks are that never coexist, 1 being the farthest that are joined."""
    spans = [np.flatnonzero(tracks.known[:, k]) for k in (i, j)]
    if not all(len(span) for span in spans):
        return np.inf
    (a, first), (b, second) = sorted(zip((i, j), spans, strict=True), key=lambda item: int(item[1][0]))
    gap = float(tracks.times[second[0]] - tracks.times[first[-1]])
    if gap <= 0 or gap > s.patience:
        return np.inf
    end, start = (tracks.boxes[t, k].astype(np.float64) for t, k in ((first[-1], a), (second[0], b)))
    sizes = [float(np.sqrt(area(box[None])[0])) for box in (end, start)]
    if max(sizes) > 2 * min(sizes):
        return np.inf
    away = float(np.linalg.norm((end[:2] + end[2:] - start[:2] - start[2:]) / 2))
    return away / (float(np.mean(sizes)) * (s.jump + s.drift * gap))


def _merged(tracks: Tracks, i: int, j: int) -> Tracks:
    """Return the tracks with ``i`` and ``j`` as one: the surer box of each frame, named after the surer track."""
    weight = [float(tracks.scores[:, k].sum()) for k in (i, j)]
    sure, other = (i, j) if weight[0] >= weight[1] else (j, i)
    better = (tracks.scores[:, other] > tracks.scores[:, sure]) | (tracks.known[:, other] & ~tracks.known[:, sure])
    boxes, seen, scores = tracks.boxes.copy(), tracks.seen.copy(), tracks.scores.copy()
    boxes[better, sure], seen[better, sure] = boxes[better, other], seen[better, other]
    scores[better, sure] = scores[better, other]
    rest = [k for k in range(len(tracks.names)) if k != other]
    return replace(tracks, boxes=boxes, seen=seen, scores=scores).pick(rest)


def _reliable(tracks: Tracks, s: CleanSettings) -> NDArray[np.bool_]:
    """Return which tracks (K,) are seen long, often and surely enough."""
    count = tracks.seen.sum(0)
    step = float(np.median(np.diff(tracks.times))) if len(tracks.times) > 1 else 0.0
    length = float(tracks.times[-1] - tracks.times[0]) + step
    first = np.argmax(tracks.seen, 0)
    last = len(tracks.times) - 1 - np.argmax(tracks.seen[::-1], 0)
    mean = tracks.scores.sum(0) / count.clip(1)
    long = count * step >= min(s.shortest, length / 2) - 1e-9
    return (count > 0) & long & (count >= s.share * (last - first + 1)) & (mean >= s.score)
