"""Video files to frames at chosen times, by timestamps and not by counting: a broken file gives the frames it has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from whyact.errors import UserError
from whyact.prediction import VideoFacts
from whyact.video import sampling
from whyact.video.reader import VideoFrame, VideoReader

Key = TypeVar("Key", int, float)
Item = TypeVar("Item")

LIMIT = 60.0  # wall-clock seconds a file
LONG_LIMIT = 3600.0  # the same for a file that is read window by window


@dataclass(frozen=True)
class DecodedVideo:
    """Frames (T,H,W,3) uint8 RGB, upright, with the time of each in seconds (T,) and their mean rate."""

    frames: NDArray[np.uint8]
    times: NDArray[np.float64]
    rate: float
    facts: VideoFacts


@dataclass(frozen=True)
class Window:
    """A part [start, end) of a long video, in seconds, with its frames; ``video.facts`` are those so far."""

    start: float
    end: float
    video: DecodedVideo


def decode(path: Path | str, count: int, limit: float = LIMIT, *, ends: bool = False) -> DecodedVideo:
    """Decode ``count`` evenly spaced frames; a shorter video gives each of its frames once.

    Args:
        path: The video file.
        count: How many.
        limit: Wall-clock seconds; at the limit, what is decoded is returned and ``facts.degraded`` says so.
        ends: Take the first and the last frame and those evenly between; otherwise each frame is the one on screen
            in the middle of its share of the video.

    Raises:
        UserError: When the file is missing, no video, or gives not a single frame.
    """
    with VideoReader(path, limit) as reader:
        moments = sampling.uniform(reader.start, reader.length, count, step=reader.step, ends=ends)
        shown = list(reader.frames_at(moments if reader.length > reader.start else [reader.start]))
        once = [s for i, s in enumerate(shown) if i == 0 or s.time > shown[i - 1].time]
        return _decoded(reader, once, max(reader.length, once[-1].time + reader.step) - reader.start if once else 0.0)


def frames_at(path: Path | str, times: Sequence[float] | NDArray[np.float64], limit: float = LIMIT) -> DecodedVideo:
    """Decode the frame on screen at each of some times; a frame that is on screen at two of them comes twice.

    Times at which the file has nothing, because it was cut for instance, are skipped; ``facts.degraded`` says why.

    Args:
        path: The video file.
        times: Seconds of the player's clock, rising.
        limit: Wall-clock seconds.

    Raises:
        UserError: As :func:`decode`, and when ``times`` is empty, falls, or holds NaN or a negative number.
    """
    moments = np.asarray(times, dtype=np.float64)
    if moments.ndim != 1 or not len(moments) or not (np.diff(moments) >= 0).all() or not (moments >= 0).all():
        raise UserError("times", moments.tolist(), "rising seconds, at least one, none negative")
    with VideoReader(path, limit) as reader:
        return _decoded(reader, list(reader.frames_at(moments)), float(moments[-1] - moments[0]))


def windows(
    path: Path | str,
    window: float,
    stride: float,
    count: int,
    limit: float = LONG_LIMIT,
    *,
    ends: bool = True,
    origin: float | None = None,
) -> Iterator[Window]:
    """Read a video window by window, forwards and once; no more than the frames of overlapping windows are kept.

    Args:
        path: The video file.
        window: Seconds a window lasts.
        stride: Seconds from the start of a window to that of the next.
        count: Frames a window, evenly spaced.
        limit: Wall-clock seconds spent in decoding, for the file; what lies behind it is skipped, with a note.
        ends: As for :func:`decode`, of the window.
        origin: Where the first window starts on the player's clock; by default with the first frame.

    Yields:
        The windows in order; one without any frame is left out. ``times`` are those of the player's clock. The
        facts of the last one say all that was wrong with the file.

    Raises:
        UserError: As :func:`decode`, and when the options make no sense.
    """
    with VideoReader(path, limit) as reader:
        first = reader.start if origin is None else origin
        parts = [(first + a, first + b) for a, b in sampling.spans(reader.length - first, window, stride)]
        moments = [sampling.uniform(a, b, count, step=reader.step, ends=ends) for a, b in parts]
        source = ((shown.moment, shown) for shown in reader.frames_at(np.unique(np.concatenate(moments))))
        waiting: Window | None = None  # one behind, so that the last one knows how the reading ended
        for (start, end), frames in zip(parts, held_frames(source, [own.tolist() for own in moments]), strict=True):
            if window_frames := list(frames.values()):
                if waiting is not None:
                    yield waiting
                waiting = Window(start, end, _decoded(reader, window_frames, end - start))
        if waiting is None:
            _decoded(reader, [], 0.0)
        else:
            yield replace(waiting, video=replace(waiting.video, facts=reader.facts()))


def held_frames(source: Iterable[tuple[Key, Item]], spans: Sequence[Sequence[Key]]) -> Iterator[dict[Key, Item]]:
    """Yield the frames of each span by their moments or numbers; each is read once and kept while a span needs it.

    Args:
        source: Every frame of the spans, rising.
        spans: Rising moments or numbers each; they may overlap.

    Yields:
        A span's frames in its order, without those that the source does not give.
    """
    last_use = {key: place for place, span in enumerate(spans) for key in span}
    rest, held = iter(source), dict[Key, Item]()
    latest: Key | None = None
    for place, span in enumerate(spans):
        while span and (latest is None or latest < span[-1]) and (following := next(rest, None)) is not None:
            latest = following[0]
            held[latest] = following[1]
        yield {key: held[key] for key in span if key in held}
        held = {key: item for key, item in held.items() if last_use[key] > place}


def can_decode(path: Path | str) -> str:
    """Return an empty string if the first frame of a video decodes, else the reason why not."""
    try:
        with VideoReader(path) as reader:
            frames = list(reader.frames_at([0.0]))
            return reader.degraded if frames else reader.degraded or "no frame decodes"
    except UserError as error:
        return str(error.value)


def _decoded(reader: VideoReader, shown: list[VideoFrame], length: float) -> DecodedVideo:
    if not shown:
        reason = reader.degraded or "no frame"
        raise UserError(reader.path, reason, "a video with at least one frame that decodes")
    facts = reader.facts()
    return DecodedVideo(
        np.stack([s.image for s in shown]),
        np.array([s.time for s in shown]),
        len(shown) / length if length > 0 else 1.0,
        facts,
    )
