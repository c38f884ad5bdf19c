"""Video files to frames at chosen times, by timestamps and not by counting: broken files give what they have."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyact.errors import UserError
from whyact.prediction import VideoFacts

SEEK_GAP = 4.0  # seconds: a longer way to the next frame is jumped, a shorter one decoded through


@dataclass(frozen=True)
class DecodedVideo:
    """Frames (T,H,W,3) uint8 RGB, upright, with the time of each in seconds (T,) and their mean rate."""

    frames: NDArray[np.uint8]
    times: NDArray[np.float64]
    rate: float
    facts: VideoFacts


def decode(path: Path | str, count: int, limit: float = 60.0) -> DecodedVideo:
    """Decode ``count`` evenly spaced frames, each the one on screen in the middle of its share of the video.

    Args:
        path: The video file.
        count: How many; a shorter video gives each of its frames once.
        limit: Wall-clock seconds; at the limit, what is decoded is returned and ``facts.degraded`` says so.

    Raises:
        UserError: When the file is missing, no video, or gives not a single frame.
    """
    av = _av()
    path = Path(path)
    if not path.is_file():
        raise UserError(path, "no such file", "a video file")
    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            if not container.streams.video:
                raise UserError(path, "no video stream", "a video file")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            found, reasons = _at_times(
                av, container, stream, _length(container, stream), count, time.monotonic() + limit
            )
            declared, fps = int(stream.frames or 0), float(stream.average_rate or 0)
            length = _length(container, stream)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise UserError(
            path, getattr(error, "strerror", None) or str(error), "a video file that can be read"
        ) from error
    if not found:
        raise UserError(path, reasons[0] if reasons else "no frame", "a video with at least one frame that decodes")
    times = np.array([moment for moment, _ in found])
    frames = np.stack([frame for _, frame in found])
    length = max(length, float(times[-1]) + (1 / fps if fps else 0.0))
    facts = VideoFacts(
        path=str(path),
        sha256=_sha256(path),
        duration=length,
        fps=fps,
        width=frames.shape[2],
        height=frames.shape[1],
        frames_decoded=len(frames),
        frames_declared=declared,
        degraded="; ".join(reasons),
    )
    return DecodedVideo(frames, times, len(frames) / length if length > 0 else 1.0, facts)


def can_decode(path: Path | str) -> str:
    """Return an empty string if the first frame of a video decodes, else the reason why not."""
    try:
        return decode(path, 1).facts.degraded
    except UserError as error:
        return str(error.value)


def _at_times(
    av: Any, container: Any, stream: Any, length: float, count: int, deadline: float
) -> tuple[list[tuple[float, NDArray[np.uint8]]], list[str]]:
    wanted = (np.arange(count) + 0.5) * length / count if length > 0 else np.zeros(1)
    start = float((stream.start_time or 0) * stream.time_base)
    found: list[tuple[float, NDArray[np.uint8]]] = []
    reasons: list[str] = []
    current: Any = None
    at = -1.0
    source = _frames(av, container, stream, start)
    try:
        for moment in wanted:
            if time.monotonic() > deadline:
                reasons.append(f"stopped at the time limit after {len(found)} of {count} frames")
                break
            if moment - at > SEEK_GAP:
                container.seek(int((moment + start) / stream.time_base), stream=stream, backward=True)
                source, current = _frames(av, container, stream, start), None
            if current is not None and at > moment:
                continue  # frames are further apart than wanted moments: the one kept last is still on screen
            for shown_at, frame in source:
                if current is not None and shown_at > moment:
                    # the frame on screen at the wanted moment is the one before
                    _keep(found, at, current, moment)
                    current, at = frame, shown_at
                    break
                current, at = frame, shown_at
                if time.monotonic() > deadline:
                    break
            else:
                if current is not None:
                    _keep(found, at, current, moment)
                break
    except av.error.FFmpegError as error:
        if current is not None:
            _keep(found, at, current, at)
        reasons.append(f"decoding stopped at {max(at, 0.0):.2f} s: {error.strerror or error}")
    if not reasons and length > 0 and found and count > len(found) and float(wanted[-1]) > found[-1][0] + 1.0:
        reasons.append(f"frames end at {found[-1][0]:.2f} s of the declared {length:.2f} s")
    return found, reasons


def _keep(found: list[tuple[float, NDArray[np.uint8]]], at: float, frame: Any, moment: float) -> None:
    if found and found[-1][0] == at:
        return  # a short video: the same frame is on screen at two wanted moments
    image = frame.to_ndarray(format="rgb24")
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    found.append((at, np.ascontiguousarray(np.rot90(image, turns)) if turns else image))


def _frames(av: Any, container: Any, stream: Any, start: float) -> Iterator[tuple[float, Any]]:
    """Yield (seconds, frame); packets that do not decode are skipped, frames without a time follow the one before."""
    step = 1 / float(stream.average_rate or 25)
    last = -step
    for packet in container.demux(stream):
        try:
            decoded = packet.decode()
        except av.error.InvalidDataError:
            continue
        for frame in decoded:
            last = float(frame.pts * stream.time_base) - start if frame.pts is not None else last + step
            yield last, frame


def _length(container: Any, stream: Any) -> float:
    """Return the length in seconds as far as the file declares it, 0 when it does not."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    if container.duration:
        return float(container.duration) / 1e6
    return float(stream.frames / stream.average_rate) if stream.frames and stream.average_rate else 0.0


def _sha256(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _av() -> Any:
    try:
        import av
        import av.error
    except ImportError as error:
        raise UserError("video decoding", None, "the package av", "pip install av") from error
    av.logging.set_level(None)
    return av
