"""Smooth motion: minimum-jerk moves between key points, and a slow tremor on top."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from whyact.arrays import Float64


def minimum_jerk(share: ArrayLike) -> Float64:
    """Return the share of the way done after this share of the time, both in 0..1, any shape.

    The fifth-degree polynomial that human reaching follows (Flash and Hogan 1985, eq. 3). It is its
    own mirror image in time: f(1 - s) = 1 - f(s).
    """
    s = np.clip(np.asarray(share, dtype=np.float64), 0.0, 1.0)
    return s**3 * (10.0 - 15.0 * s + 6.0 * s**2)


def tremor(rng: np.random.Generator, shape: tuple[int, ...], *, sd: float, width: float) -> Float64:
    """Draw smooth Gaussian noise of this shape (time first): standard deviation ``sd``, ``width`` in frames."""
    reach = int(np.ceil(3 * width))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    kernel *= sd / np.sqrt(np.sum(kernel**2))
    white = rng.standard_normal((shape[0] + 2 * reach, int(np.prod(shape[1:]))))
    columns = [np.convolve(white[:, i], kernel, mode="valid") for i in range(white.shape[1])]
    return np.stack(columns, axis=1).reshape(shape)


@dataclass(frozen=True)
class _Move:
    start: int
    stop: int
    target: Float64
    bow: float


@dataclass
class Path:
    """A quantity over time (a point, a door's angle): still, but for minimum-jerk moves in between."""

    origin: Float64
    moves: list[_Move] = field(default_factory=list)

    @property
    def end(self) -> Float64:
        """Return the value after the last move so far."""
        return self.moves[-1].target if self.moves else self.origin

    def move(self, start: int, stop: int, target: Any, bow: float = 0.0) -> None:
        """Move to ``target`` between two frames; ``bow`` lifts the middle by this share of the distance.

        A move waits for the one before it, and takes at least one frame.
        """
        start = max(start, self.moves[-1].stop if self.moves else 0)
        self.moves.append(_Move(start, max(stop, start + 1), np.asarray(target, dtype=np.float64), bow))

    def sample(self, frames: int) -> Float64:
        """Return the value in every frame, shape (frames, D)."""
        out = np.tile(self.origin, (frames, 1))
        here = self.origin
        for move in self.moves:
            time = np.arange(move.start, min(move.stop, frames))
            share = (time - move.start) / (move.stop - move.start)
            way = here + minimum_jerk(share)[:, None] * (move.target - here)
            if move.bow:
                way[:, 1] -= move.bow * np.linalg.norm(move.target - here) * 16 * (share * (1 - share)) ** 2
            out[time] = way
            out[move.stop :] = move.target
            here = move.target
        return out

    def still(self, frames: int) -> list[tuple[int, int]]:
        """Return the half-open frame spans in which nothing moves, the one before the first move included."""
        edges = [(0, 0), *((m.start, m.stop) for m in self.moves), (frames, frames)]
        return [(a[1], b[0]) for a, b in pairwise(edges) if b[0] > a[1]]
