"""Where a video's keyframes are: read off the container when it says so, else by reading packets without decoding."""

from __future__ import annotations

import time
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PLACEHOLDER = 8  # bytes: a smaller packet holds no picture (MPEG-4 in AVI marks delayed frames with such)


@dataclass(frozen=True)
class FrameIndex:
    """The frames of a file by its own account, without having decoded one.

    ``times`` (N,) when each frame is shown, in seconds from the start, sorted; ``keys`` (M,) the same for those that
    decode without others. Containers tell the order of decoding, so times
    may be off by the few frames that a codec reorders. ``absent`` declared frames are not in the file;
    ``placeholders`` are packets too small to hold a picture.
    """

    times: NDArray[np.float64]
    keys: NDArray[np.float64]
    absent: int = 0
    placeholders: int = 0

    def key_before(self, moment: float) -> int:
        """Return which keyframe is the last at or before a moment, -1 when there is none."""
        return int(np.searchsorted(self.keys, moment, side="right")) - 1

    def frames_between(self, start: float, end: float) -> int:
        """Return how many frames are shown in [start, end)."""
        low, high = np.searchsorted(self.times, (start, end))
        return max(0, int(high - low))


EMPTY = FrameIndex(np.zeros(0), np.zeros(0))


def from_container(stream: Any, start: float, size: int) -> FrameIndex | None:
    """Return the index that the container carries (MP4, MOV, AVI), ``None`` when it has none for every frame.

    Args:
        stream: PyAV's video stream.
        start: When the stream starts, in seconds: what times are counted from.
        size: The file's size in bytes.
    """
    entries = getattr(stream, "index_entries", None) or ()
    if len(entries) < 2 or len(entries) < (stream.frames or 1):
        return None
    # One entry at a time: hours of them as Python objects would take gigabytes.
    kind = np.dtype([("stamp", np.int64), ("key", bool), ("size", np.int32), ("pos", np.int64)])
    listed = ((e.timestamp, e.is_keyframe, e.size, e.pos) for e in entries)
    table = np.fromiter(listed, kind, len(entries))
    stamps, key, bytes_ = table["stamp"], table["key"], table["size"]
    ends = table["pos"] + bytes_
    base = float(stream.time_base)
    # Entries count in decoding order; the first frame decoded is the first one shown, which gives the shift.
    times = (stamps - stamps[0]) * base + max(0.0, float(stamps[0] * base) - start)
    return FrameIndex(np.sort(times), np.sort(times[key]), int((ends > size).sum()), int((bytes_ < PLACEHOLDER).sum()))


def from_packets(av: Any, path: Path, start: float, declared: int, deadline: float) -> FrameIndex:
    """Return the index found by reading all packets once; empty when they carry no times or the clock runs out."""
    times, keys = array("q"), array("q")  # eight bytes a frame, also over hours
    small = 0
    with av.open(str(path), metadata_errors="ignore") as container:
        stream = container.streams.video[0]
        base = float(stream.time_base)
        try:
            for packet in container.demux(stream):
                stamp = packet.pts if packet.pts is not None else packet.dts
                if stamp is None:
                    continue
                times.append(stamp)
                small += packet.size < PLACEHOLDER
                if packet.is_keyframe:
                    keys.append(stamp)
                if len(times) % 256 == 0 and time.monotonic() > deadline:
                    return EMPTY
        except (av.error.FFmpegError, ValueError, OSError):
            pass  # a cut file is indexed as far as it goes
    shown, key = (np.sort(np.frombuffer(stamps, np.int64) * base - start) for stamps in (times, keys))
    return FrameIndex(shown, key, absent=max(0, declared - len(times)) if declared else 0, placeholders=small)
