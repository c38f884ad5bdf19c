"""Which moments of a video to look at, and what the answers about its windows say together: pure functions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whyact.errors import UserError

Times = NDArray[np.float64]


def uniform(start: float, end: float, count: int, *, step: float = 0.0, ends: bool = False) -> Times:
    """Return ``count`` evenly spaced moments (count,) of the interval [start, end), rising.

    Args:
        start: Seconds.
        end: Seconds.
        count: How many, at least one.
        step: The time a frame stays on screen; with ``ends`` the first and the last moment lie half a step inside,
            in the middle of the first and the last frame.
        ends: Include the first and the last frame (how LaIAR evaluates); otherwise each moment is the middle of its
            equal share. One moment is the middle either way.

    Raises:
        UserError: When ``count`` is less than one.
    """
    if count < 1:
        raise UserError("frames", count, "at least one")
    length = max(end - start, 0.0)
    if ends and count > 1:
        half = min(step, length) / 2
        return np.linspace(start + half, start + length - half, count)
    return start + (np.arange(count) + 0.5) * length / count


def segment(available: int, count: int, rng: np.random.Generator | None = None) -> NDArray[np.int64]:
    """Return ``count`` of the positions 0..available-1, one of each of ``count`` equal parts, in order.

    A part without a position of its own (``available`` < ``count``) repeats its neighbour's, so order is kept.

    Args:
        available: How many frames there are.
        count: How many are wanted.
        rng: Draws a random position of each part (training); ``None`` takes the middle one (evaluation).

    Raises:
        UserError: When there is nothing to take or nothing wanted.
    """
    if available < 1 or count < 1:
        raise UserError("frames", min(available, count), "at least one")
    share = 0.5 if rng is None else rng.random(count)
    return np.floor((np.arange(count) + share) * available / count).astype(np.int64)


def spans(length: float, window: float, stride: float) -> list[tuple[float, float]]:
    """Return the windows [start, end) that cover [0, length), all ``window`` seconds long.

    The last one ends with the video and so may start less than a stride after the one before; a video shorter
    than a window is one window.

    Raises:
        UserError: When ``window`` or ``stride`` is not positive, or windows would leave gaps.
    """
    if not window > 0:
        raise UserError("--window", window, "seconds, more than zero")
    if not 0 < stride <= window:
        raise UserError("--stride", stride, f"seconds, more than zero and at most the window's {window:g}")
    if length <= window:
        return [(0.0, max(length, 0.0))]
    count = int(np.ceil((length - window) / stride - 1e-9))
    return [*((i * stride, i * stride + window) for i in range(count)), (length - window, length)]


def merge_scores(
    scores: NDArray[np.floating], null: int
) -> tuple[NDArray[np.floating], NDArray[np.intp], NDArray[np.intp]]:
    """Put the scores (...,W,C) of windows together as the scores of the video.

    Nothing happens in a video only where nothing happens anywhere: the null action has its lowest score, every other
    action its highest, and the answer is that of the surest window whose answer is not null.

    Args:
        scores: Of W windows for C actions.
        null: Position of the action that stands for none; -1 where there is none.

    Returns:
        Scores (...,C); the answer (...,); the position of the window that it comes from (...,).
    """
    merged = scores.max(-2)
    best, top = scores.argmax(-1), scores.max(-1)  # (...,W)
    if null >= 0:
        merged[..., null] = scores[..., null].min(-1)
        something = best != null
        top = np.where(something | ~something.any(-1, keepdims=True), top, -1.0)
    window = top.argmax(-1)
    answer = np.take_along_axis(best, window[..., None], -1)[..., 0]
    return merged, answer, window
