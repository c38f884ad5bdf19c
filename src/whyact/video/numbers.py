"""Frames by number: when each is shown, known from decoding all of them once, and their images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whyact.errors import UserError
from whyact.video.reader import LATE, VideoFrame, VideoReader

LIMIT = 3600.0  # seconds of decoding, for one pass through one file
_FILES = 4096  # whose times are kept in memory; those of an hour take a megabyte


def frame_times(path: Path | str, limit: float = LIMIT) -> NDArray[np.float64]:
    """Return when each frame is shown (N,), in seconds of the player's clock; frame n has the place n - 1.

    The file is decoded once, and its times are kept in memory for as long as it does not change.

    Raises:
        UserError: When the file is no video, or decoding takes longer than ``limit``.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(path, "no such file", "a video file", "check the path")
    facts = path.stat()
    return _frame_times(str(path.resolve()), facts.st_size, facts.st_mtime_ns, limit)  # once, whatever links name it


@lru_cache(_FILES)
def _frame_times(path: str, size: int, written: int, limit: float) -> NDArray[np.float64]:
    with VideoReader(path, limit=limit, numbered=True) as reader:
        times = np.fromiter(reader.times(), np.float64)
        _check_time(reader)
    times.flags.writeable = False
    return times


def frames_numbered(path: Path | str, numbers: Iterable[int], limit: float = LIMIT) -> Iterator[VideoFrame]:
    """Yield frames by their numbers, from 1 and rising; it ends early where the video does.

    The file is read once, by jumps where that is quicker; each frame that was jumped to is known by its time.

    Raises:
        UserError: As :func:`frame_times`.
    """
    times = frame_times(path, limit)
    rest = iter(numbers)
    with VideoReader(path, limit=limit) as reader:
        for number in rest:
            if not 1 <= number <= len(times):
                return
            at = float(times[number - 1])
            shown = next(reader.frames_at([at]), None)
            if shown is None or abs(shown.time - at) > LATE or shown.number not in (0, number):
                break
            yield VideoFrame(at, at, shown.image, number)
        else:
            return
    with VideoReader(path, limit=limit, numbered=True) as reader:
        yield from reader.frames_numbered(_from(number, rest))
        _check_time(reader)


def _check_time(reader: VideoReader) -> None:
    if reader.is_stopped:
        raise UserError(reader.path, reader.degraded, f"a video that decodes in {reader.limit:g} s")


def _from(first: int, rest: Iterator[int]) -> Iterator[int]:
    yield first
    yield from rest
