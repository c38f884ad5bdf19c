"""Tracks: boxes over time in stable slots. One slot is one thing; slots survive gaps and the detector's order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whyact.arrays import Float32
from whyact.perception.types import Int

RATE = 10.0  # frames a second in which boxes are detected; the model samples fewer
Bool = NDArray[np.bool_]
Times = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Tracks:
    """K tracks over T frames.

    ``names`` (``mug_1``) are unique, ``classes`` class names; ``boxes`` (T,K,4) xyxy pixels, all zeros where there is
    none; ``seen`` (T,K) is true where a detector saw it: a box that is not seen was interpolated; ``scores`` (T,K),
    0 where not seen; ``times`` (T,) seconds; ``frames`` (T,) 1-based; ``image_size`` (width, height);
    ``source`` says who found the boxes; ``in_pixels``: it vouches for pixel coordinates, whatever they look like.

    Raises:
        ValueError: When the shapes do not belong together.
    """

    names: tuple[str, ...]
    classes: tuple[str, ...]
    boxes: Float32
    seen: Bool
    scores: Float32
    times: Times
    frames: Int
    image_size: tuple[int, int]
    source: str = ""
    in_pixels: bool = False

    def __post_init__(self) -> None:
        t, k = len(self.times), len(self.names)
        expected = {
            "classes": ((len(self.classes),), (k,)),
            "boxes": (self.boxes.shape, (t, k, 4)),
            "seen": (self.seen.shape, (t, k)),
            "scores": (self.scores.shape, (t, k)),
            "times": (self.times.shape, (t,)),
            "frames": (self.frames.shape, (t,)),
        }
        for field, (found, shape) in expected.items():
            if found != shape:
                raise ValueError(f"tracks, {field}: shape {found}, expected {shape}")

    @property
    def known(self) -> Bool:
        """Return (T,K): where there is a box, seen or interpolated."""
        return self.boxes[..., 2] > self.boxes[..., 0]

    def pick(self, slots: Sequence[int] | NDArray[np.intp]) -> Tracks:
        """Return these tracks (0-based), in this order."""
        i = np.asarray(slots, dtype=np.intp)
        return replace(
            self,
            names=tuple(self.names[k] for k in i),
            classes=tuple(self.classes[k] for k in i),
            boxes=self.boxes[:, i],
            seen=self.seen[:, i],
            scores=self.scores[:, i],
        )

    def filled(self, longest: float = 1.0) -> Tracks:
        """Return the tracks with gaps of at most ``longest`` seconds filled in a straight line, not marked as seen."""
        boxes, known = self.boxes.copy(), self.known
        for k in range(len(self.names)):
            rows = np.flatnonzero(known[:, k])
            gaps = np.flatnonzero(np.diff(rows) > 1)
            for a, b in zip(rows[gaps], rows[gaps + 1], strict=True):
                if self.times[b] - self.times[a] <= longest:
                    share = (self.times[a + 1 : b] - self.times[a]) / (self.times[b] - self.times[a])
                    boxes[a + 1 : b, k] = _between(self.boxes[a, k], self.boxes[b, k], share[:, None])
        return replace(self, boxes=boxes)

    def at(self, times: ArrayLike, longest: float = 1.0) -> Tracks:
        """Return the tracks at other moments, such as those of the frames that a model samples.

        Between two listed frames at most ``longest`` seconds apart, or one and a half times the usual distance of
        frames, a box moves in a straight line; with a box on one side only, it stays while that side is the nearer one.
        Before the first and after the last listed frame, boxes hold for half of the usual distance. Frame numbers move
        along, rounded. A box counts as seen when every box that it was made of was.

        Args:
            times: Wanted moments (T2,), seconds.
            longest: Seconds between listed frames that may be bridged in any case.
        """
        wanted = np.asarray(times, dtype=np.float64).reshape(-1)
        n = len(self.times)
        if n == 0 or len(wanted) == 0:
            return self._blank(wanted)
        step = float(np.median(np.diff(self.times))) if n > 1 else longest
        longest = max(longest, 1.5 * step)  # a slow film is seen in every frame that it has
        after = np.clip(np.searchsorted(self.times, wanted, side="left"), 0, n - 1)
        before = np.clip(np.where(self.times[after] > wanted, after - 1, after), 0, n - 1)
        gap = self.times[after] - self.times[before]
        share = np.clip(np.divide(wanted - self.times[before], gap, out=np.zeros_like(wanted), where=gap > 0), 0, 1)
        near = np.where(share < 0.5, before, after)
        reach = np.where(gap > 0, gap <= longest, np.abs(wanted - self.times[near]) <= step / 2)
        both = self.known[before] & self.known[after]
        boxes = np.where(both[..., None], _between(self.boxes[before], self.boxes[after], share[:, None, None]), 0)
        boxes = np.where(both[..., None], boxes, self.boxes[near]) * reach[:, None, None]
        known = boxes[..., 2] > boxes[..., 0]
        seen = np.where(both, self.seen[before] & self.seen[after], self.seen[near]) & known
        frames = np.rint(self.frames[before] + share * (self.frames[after] - self.frames[before])).astype(np.int64)
        scores = np.where(
            seen, np.where(both, np.minimum(self.scores[before], self.scores[after]), self.scores[near]), 0
        )
        return replace(
            self,
            boxes=boxes.astype(np.float32),
            seen=seen,
            scores=scores.astype(np.float32),
            times=wanted,
            frames=frames,
        )

    def _blank(self, times: Times) -> Tracks:
        t, k = len(times), len(self.names)
        return replace(
            self,
            boxes=np.zeros((t, k, 4), np.float32),
            seen=np.zeros((t, k), bool),
            scores=np.zeros((t, k), np.float32),
            times=times,
            frames=np.ones(t, np.int64),
        )


def _between(a: Float32, b: Float32, share: NDArray[np.float64]) -> Float32:
    return (a + (b - a) * share).astype(np.float32)
