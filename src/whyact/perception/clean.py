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
    merger = _Merger(tracks, settings)
    while pair := merger.most_alike():
        merger.merge(*pair)
    return merger.result()


class _Merger:
    """Tracks that are merged in place. What two are to one another is computed once, and again where one has changed.

    Axis letters: K tracks, T frames.
    """

    def __init__(self, tracks: Tracks, settings: CleanSettings) -> None:
        self.tracks, self.settings = tracks, settings
        self.boxes = np.ascontiguousarray(tracks.boxes.transpose(1, 0, 2))  # (K,T,4), as tracks are read one by one
        self.seen, self.known = np.ascontiguousarray(tracks.seen.T), np.ascontiguousarray(tracks.known.T)
        self.scores = np.ascontiguousarray(tracks.scores.T)
        count = len(tracks.names)
        self.left = np.ones(count, bool)
        self.classes = np.unique(np.array(tracks.classes, dtype=str), return_inverse=True)[1].reshape(-1)
        self.count, self.first, self.last = (np.zeros(count, np.int64) for _ in range(3))
        for k in range(count):
            self._measure(k)
        self.likeness = np.zeros((count, count))  # above 0 where two tracks are one thing, higher where that is surer
        for k in range(count):
            self._compare(k, np.arange(count) > k)

    def most_alike(self) -> tuple[int, int] | None:
        """Return the two tracks that are one thing the most surely; ``None`` where no two are."""
        if not self.likeness.size:
            return None
        i, j = np.unravel_index(int(self.likeness.argmax()), self.likeness.shape)
        return (int(i), int(j)) if self.likeness[i, j] > 0 else None

    def merge(self, i: int, j: int) -> None:
        """Make two tracks one: the surer box of each frame, named after the surer track."""
        sure, other = (i, j) if self._weight(i) >= self._weight(j) else (j, i)
        better = self.scores[other] > self.scores[sure]
        better |= self.known[other] & ~self.known[sure]
        for values in (self.boxes, self.seen, self.scores, self.known):
            values[sure][better] = values[other][better]
        self.left[other] = False
        self._measure(sure)
        for k in (sure, other):
            self.likeness[k] = self.likeness[:, k] = 0
        self._compare(sure, np.arange(len(self.left)) != sure)

    def result(self) -> Tracks:
        """Return the tracks that are left, in their order."""
        left = np.flatnonzero(self.left)
        return replace(
            self.tracks,
            names=tuple(self.tracks.names[k] for k in left),
            classes=tuple(self.tracks.classes[k] for k in left),
            boxes=np.ascontiguousarray(self.boxes[left].transpose(1, 0, 2)),
            seen=np.ascontiguousarray(self.seen[left].T),
            scores=np.ascontiguousarray(self.scores[left].T),
        )

    def _measure(self, k: int) -> None:
        rows = np.flatnonzero(self.known[k])
        self.count[k] = len(rows)
        if len(rows):
            self.first[k], self.last[k] = rows[0], rows[-1]

    def _weight(self, k: int) -> float:
        return float(self.scores[k].sum())

    def _compare(self, k: int, others: NDArray[np.bool_]) -> None:
        """Compute what a track is to some of the others; most are too far away in time to look at their boxes."""
        s, times = self.settings, self.tracks.times
        others = others & self.left & (self.count > 0) & (self.count[k] > 0)
        together = np.minimum(self.last, self.last[k]) - np.maximum(self.first, self.first[k]) + 1  # frames, at most
        enough = together >= np.maximum(1, np.minimum(self.count, self.count[k]) / 2)
        apart = np.maximum(times[self.first] - times[self.last[k]], times[self.first[k]] - times[self.last])
        follows = (together < 1) & (self.classes == self.classes[k]) & (apart <= s.patience)
        for other in np.flatnonzero(others & (enough | follows)).tolist():
            i, j = min(k, other), max(k, other)
            self.likeness[i, j] = self._overlap(i, j) if enough[other] else max(0.0, 1 - self._distance(i, j))

    def _overlap(self, i: int, j: int) -> float:
        """Return more than 1 for two tracks that lie in one another where both have a box, otherwise 0."""
        s, span = self.settings, slice(max(self.first[i], self.first[j]), min(self.last[i], self.last[j]) + 1)
        both = self.known[i, span] & self.known[j, span]
        if both.sum() < max(1, min(self.count[i], self.count[j]) / 2):
            return 0.0
        a, b = (self.boxes[k, span][both].astype(np.float64) for k in (i, j))
        overlap = float(paired_iou(a, b).mean())
        if overlap >= s.overlap:
            return 1 + overlap
        if self.classes[i] == self.classes[j] and float(_shared(a, b).mean()) >= s.inside:
            weights = [self._weight(k) for k in (i, j)]
            if min(weights) <= 0.5 * max(weights):  # else two things, one before the other
                return 1 + overlap
        return 0.0

    def _distance(self, i: int, j: int) -> float:
        """Return how far apart two tracks are that never coexist, 1 being the farthest that are joined."""
        s, times = self.settings, self.tracks.times
        a, b = (i, j) if self.first[i] < self.first[j] else (j, i)
        gap = float(times[self.first[b]] - times[self.last[a]])
        if gap <= 0 or gap > s.patience:
            return np.inf
        end, start = (self.boxes[k, t].astype(np.float64) for k, t in ((a, self.last[a]), (b, self.first[b])))
        sizes = [float(np.sqrt(area(box[None])[0])) for box in (end, start)]
        if max(sizes) > 2 * min(sizes):
            return np.inf
        away = float(np.linalg.norm((end[:2] + end[2:] - start[:2] - start[2:]) / 2))
        return away / (float(np.mean(sizes)) * (s.jump + s.drift * gap))


def _shared(a: Float64, b: Float64) -> Float64:
    """Return the share (T,) of the smaller of two boxes (T,4) that lies in the other."""
    side = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    return np.clip(side, 0, None).prod(-1) / np.minimum(area(a), area(b)).clip(1e-9)


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
