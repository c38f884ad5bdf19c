"""Link the boxes of single frames to tracks: Hungarian assignment, frame by frame, that outlasts gaps.

Sampled frames lie 0.1 to 1 s apart, so a small thing in a hand rarely overlaps itself: overlap says that two
boxes are surely the same thing, distance and time decide the rest. Confident boxes are assigned first; weak ones
may only continue a track (Zhang et al. 2022, ByteTrack, algorithm 1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whyact.arrays import Float32, Float64
from whyact.metrics.boxes import area, iou
from whyact.perception.tracks import Tracks
from whyact.perception.types import Detections, suppress

_FORBIDDEN = 1e6
_GROWTH = np.log(2.5)  # largest change of size (log of the side's ratio): a passer-by is not who stands in front
_WEAK_PATIENCE = 1.0  # seconds after which a weak box is no evidence that a lost thing is back


@dataclass(frozen=True)
class LinkSettings:
    """How boxes become tracks.

    Args:
        start: Lowest score of a box that starts a track; a lower one only continues one.
        keep: Lowest score of any box.
        overlap: Of boxes of one class that overlap more, the best stays.
        duplicates: The same across classes: one thing that was given two names.
        speed: How far a thing may move, in image diagonals a second, beside half of its own size.
        patience: Seconds after which a lost track is given up.
        switch: Overlap from which a box of another class continues a track; the track takes the class
            with the highest sum of scores.
        shortest: Fewest frames in which a track is seen, where there are twice as many frames.
        most: Class -> the most there are of it at once (one person, two hands). The best boxes of a frame stay,
            and a lost one of them is never given up, wherever it turns up again.
    """

    start: float = 0.5
    keep: float = 0.1
    overlap: float = 0.6
    duplicates: float = 0.85
    speed: float = 0.5
    patience: float = 5.0
    switch: float = 0.7
    shortest: int = 2
    most: Mapping[str, int] = field(default_factory=dict)


@dataclass(eq=False)
class _Track:
    """A track in the making: what it saw, as (frame, box, score), and the scores of the classes it was given."""

    seen: list[tuple[int, Float32, float]] = field(default_factory=list)
    votes: dict[int, float] = field(default_factory=dict)

    def add(self, frame: int, found: Detections, i: int) -> None:
        score, number = float(found.scores[i]), int(found.classes[i])
        self.seen.append((frame, found.boxes[i], score))
        self.votes[number] = self.votes.get(number, 0.0) + score

    @property
    def number(self) -> int:
        return max(self.votes, key=lambda number: (self.votes[number], -number))

    @property
    def middle(self) -> float:
        return float(np.mean([box[0] + box[2] for _, box, _ in self.seen])) / 2


def link(
    found: Sequence[Detections],
    times: ArrayLike,
    *,
    classes: Sequence[str],
    image_size: tuple[int, int],
    frames: ArrayLike | None = None,
    source: str = "",
    settings: LinkSettings | None = None,
) -> Tracks:
    """Link boxes over time to tracks, the longest seen first, then by class; the order of boxes does not matter.

    Names are the class and a number from left to right (``hand_1`` is the leftmost hand on average).

    Args:
        found: The boxes of each frame (T).
        times: Seconds of each frame (T,), not falling.
        classes: Names of the class numbers.
        image_size: (width, height) of the frames.
        frames: 1-based frame numbers in the video (T,); 1..T when absent.
        source: Who found the boxes.
        settings: How; the defaults suit frames 0.1 to 1 s apart.

    Raises:
        ValueError: When the lengths differ or times fall.
    """
    settings = settings or LinkSettings()
    seconds = np.asarray(times, dtype=np.float64).reshape(-1)
    if len(found) != len(seconds) or np.any(np.diff(seconds) < 0):
        raise ValueError(f"{len(found)} frames of boxes with {len(seconds)} times, which must be as many and not fall")
    linker = _Linker(settings, tuple(classes), float(np.hypot(*image_size)))
    for t, boxes in enumerate(found):
        linker.step(t, seconds, boxes)
    numbers = np.arange(1, len(seconds) + 1) if frames is None else np.asarray(frames)
    return _as_tracks(linker, seconds, numbers.astype(np.int64), image_size, source)


class _Linker:
    """The state of linking: all tracks so far, given up or not."""

    def __init__(self, settings: LinkSettings, classes: tuple[str, ...], diagonal: float) -> None:
        self.settings, self.classes, self.diagonal = settings, classes, diagonal
        self.tracks: list[_Track] = []

    def step(self, t: int, times: Float64, found: Detections) -> None:
        """Give the boxes of frame ``t`` to tracks, or start new ones with them."""
        s = self.settings
        found = self._cleaned(found)
        strong, weak = found[found.scores >= s.start], found[found.scores < s.start]
        left = [k for k in self.tracks if self._limited(k) or times[t] - times[k.seen[-1][0]] <= s.patience]
        taken, free = self._assign(t, times, strong, left)
        left = [k for k in left if k not in taken and times[t] - times[k.seen[-1][0]] <= _WEAK_PATIENCE]
        self._assign(t, times, weak, left)
        for i in free:
            if self._room_for(int(strong.classes[i])):
                self.tracks.append(_Track())
                self.tracks[-1].add(t, strong, i)

    def _cleaned(self, found: Detections) -> Detections:
        s = self.settings
        solid = (found.boxes[:, 2:] > found.boxes[:, :2]).all(axis=1)
        found = suppress(found[solid & (found.scores >= s.keep)], s.overlap)
        found = suppress(found, s.duplicates, across_classes=True)
        rank = np.array([np.sum(found.classes[:i] == c) for i, c in enumerate(found.classes)], dtype=np.int64)
        most = np.array([s.most.get(self.classes[c], len(found)) for c in found.classes], dtype=np.int64)
        return found[rank < most]

    def _limited(self, track: _Track) -> bool:
        return self.classes[track.number] in self.settings.most

    def _room_for(self, number: int) -> bool:
        most = self.settings.most.get(self.classes[number])
        return most is None or sum(track.number == number for track in self.tracks) < most

    def _assign(
        self, t: int, times: Float64, found: Detections, tracks: list[_Track]
    ) -> tuple[list[_Track], list[int]]:
        """Add the boxes to the tracks they fit best; return the tracks that got one and the boxes left over."""
        from scipy.optimize import linear_sum_assignment

        if not tracks or not len(found):
            return [], list(range(len(found)))
        cost = self._cost(t, times, found, tracks)
        rows, columns = linear_sum_assignment(cost)
        pairs = [(i, k) for i, k in zip(rows, columns, strict=True) if cost[i, k] < _FORBIDDEN]
        for i, k in pairs:
            tracks[k].add(t, found, i)
        used = {i for i, _ in pairs}
        return [tracks[k] for _, k in pairs], [i for i in range(len(found)) if i not in used]

    def _cost(self, t: int, times: Float64, found: Detections, tracks: list[_Track]) -> Float64:
        """Return (N,K): lack of overlap, distance, time, change of size and class; forbidden where it cannot be."""
        last = np.stack([track.seen[-1][1] for track in tracks]).astype(np.float64)
        gap = times[t] - times[[track.seen[-1][0] for track in tracks]]
        box = found.boxes.astype(np.float64)
        overlap = iou(box, last)
        away = np.linalg.norm((box[:, None, :2] + box[:, None, 2:] - last[:, :2] - last[:, 2:]) / 2, axis=-1)
        size = np.linalg.norm(last[:, 2:] - last[:, :2], axis=-1)
        limited = np.array([self._limited(track) for track in tracks])
        reach = np.where(limited, np.inf, size / 2 + self.settings.speed * self.diagonal * gap)
        other = found.classes[:, None] != np.array([track.number for track in tracks])
        growth = np.abs(np.log(area(box))[:, None] - np.log(area(last))) / 2
        cost = (1 - overlap) + 2 * away / self.diagonal + 0.1 * np.minimum(gap, 5.0) + growth / 2 + other
        forbidden = (away > reach) | (growth > _GROWTH) | (other & (overlap < self.settings.switch))
        return np.where(forbidden, _FORBIDDEN, cost)


def _as_tracks(
    linker: _Linker, times: Float64, frames: NDArray[np.int64], image_size: tuple[int, int], source: str
) -> Tracks:
    least = max(1, min(linker.settings.shortest, len(times) // 2))
    kept = [track for track in linker.tracks if len(track.seen) >= least]
    kept.sort(key=lambda track: (-len(track.seen), track.number, track.middle, track.seen[0][0]))
    boxes = np.zeros((len(times), len(kept), 4), np.float32)
    scores = np.zeros(boxes.shape[:2], np.float32)
    for k, track in enumerate(kept):
        for t, box, score in track.seen:
            boxes[t, k], scores[t, k] = box, score
    return Tracks(
        names=_names(kept, linker.classes),
        classes=tuple(linker.classes[track.number] for track in kept),
        boxes=boxes,
        seen=boxes[..., 2] > boxes[..., 0],
        scores=scores,
        times=times,
        frames=frames,
        image_size=image_size,
        source=source,
    )


def _names(tracks: list[_Track], classes: tuple[str, ...]) -> tuple[str, ...]:
    """Return class and number, counted from left to right."""
    names = [""] * len(tracks)
    count: dict[str, int] = {}
    for k in sorted(range(len(tracks)), key=lambda k: (tracks[k].middle, tracks[k].seen[0][0])):
        word = classes[tracks[k].number].replace(" ", "_")
        count[word] = count.get(word, 0) + 1
        names[k] = f"{word}_{count[word]}"
    return tuple(names)
