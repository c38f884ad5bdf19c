"""What a video's packets say, without decoding: where keyframes are, and when the last frame ends.

It makes reading quicker and tells the length; which frame has which number and time is decided by decoding alone.
"""

from __future__ import annotations

import time
from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyact.video.clock import FASTEST, GAP, SLOWEST, Clock

PLACEHOLDER = 8  # bytes: a smaller packet holds no picture (MPEG-4 in AVI marks delayed frames with such)
_NONE = np.iinfo(np.int64).min


@dataclass(frozen=True)
class PacketIndex:
    """The packets of a stream.

    ``stamps`` (N,) are seconds at which packets are due to be decoded, ``keys`` (M,) those at which keyframes are shown
    (about then, where the container's index says so). Both rise where ``steady``; otherwise stamps lack or start over,
    and nothing may be jumped to. ``end`` is when the last frame leaves the screen, 0 where that is unpackets. There are
    ``count`` packets; ``absent`` declared frames are not in the file; ``unshown`` packets hold no picture, or one that
    an edit list cuts away. ``edited`` says that fewer packets than declared are there by intent.
    """

    stamps: NDArray[np.float64]
    keys: NDArray[np.float64]
    steady: bool = False
    end: float = 0.0
    count: int = 0
    absent: int = 0
    unshown: int = 0
    edited: bool = False

    def key_before(self, moment: float) -> int:
        """Return which keyframe is the last at or before a moment, -1 when there is none."""
        return int(np.searchsorted(self.keys, moment, side="right")) - 1 if self.steady else -1

    def frames_between(self, start: float, end: float) -> int:
        """Return about how many frames are shown in [start, end)."""
        low, high = np.searchsorted(self.stamps, (start, end))
        return max(0, int(high - low))


EMPTY = PacketIndex(np.zeros(0), np.zeros(0))


def declared_frames(packets: PacketIndex, declared: int, clock: Clock) -> tuple[int, int]:
    """Return how many of the frames that a file declares are not in it, and how many should decode."""
    if clock.counts:
        return 0, packets.count - packets.unshown
    if not declared or not packets.count:
        return 0, declared
    if clock.in_slots:  # an AVI declares its slots, of which some may be empty by intent
        return max(0, declared - round(packets.end / clock.step)), min(declared, packets.count) - packets.unshown
    absent = packets.absent if packets.edited else max(packets.absent, declared - packets.count)
    return absent, min(declared, packets.count) - packets.unshown


def from_container(stream: Any, clock: Clock, size: int) -> PacketIndex | None:
    """Return the index that an MP4 or MOV file without fragments carries, ``None`` where its stamps make no sense.

    Other containers list keyframes only, or as much as was read so far. An edit list may leave out declared frames.

    Args:
        stream: PyAV's video stream.
        clock: Turns stamps into seconds.
        size: The file's size in bytes.
    """
    entries = stream.index_entries
    # One entry at a time: hours of them as Python objects would take gigabytes.
    kind = np.dtype([("stamp", np.int64), ("key", bool), ("size", np.int32), ("pos", np.int64), ("discard", bool)])
    listed = ((e.timestamp, e.is_keyframe, e.size, e.pos, e.is_discard) for e in entries)
    table = np.fromiter(listed, kind, len(entries))
    if not len(table) or (np.diff(table["stamp"]) < 0).any():
        return None
    stamps = table["stamp"] * clock.base - clock.zero
    stamps += clock.start - stamps[0]  # the first frame decoded is, as a rule, the first one shown
    absent = int((table["pos"] + table["size"] > size).sum())
    unshown = int(((table["size"] < PLACEHOLDER) | table["discard"]).sum())
    return PacketIndex(
        stamps, stamps[table["key"]], True, count=len(stamps), absent=absent, unshown=unshown, edited=True
    )


def from_packets(av: Any, container: Any, stream: int, clock: Clock, deadline: float) -> PacketIndex:
    """Build the index by reading all packets of a container that nothing was read from; empty out of time.

    A packet without a stamp is counted as one frame.
    """
    decoded, keys = array("q"), array("q")  # eight bytes a frame, also over hours
    small, sections = 0, _Sections(clock)
    try:
        for packet in container.demux(container.streams[stream]):
            if not packet.size:
                continue
            dts = None if clock.counts else packet.dts
            pts = dts if clock.in_slots or clock.counts else packet.pts
            small += packet.size < PLACEHOLDER or packet.is_discard
            if dts is not None:  # the first packets of reordered frames may have none
                decoded.append(dts)
            elif pts is None:
                decoded.append(decoded[-1] if decoded else 0)
            sections.add(pts, packet.is_keyframe, packet.duration or 0)
            if packet.is_keyframe and pts is not None:
                keys.append(pts)
            if sections.count % 256 == 0 and time.monotonic() > deadline:
                return EMPTY
    except (av.error.FFmpegError, ValueError, OSError):
        pass  # a cut file is indexed as far as it goes
    if not sections.count:
        return EMPTY
    stamps = np.frombuffer(decoded, np.int64) * clock.base - clock.zero
    shown = np.frombuffer(keys, np.int64) * clock.base - clock.zero
    steady = sections.closed == 0 and sections.unstamped == 0 and bool((np.diff(stamps) >= 0).all())
    steady &= bool((np.diff(shown) >= 0).all())
    return PacketIndex(stamps, shown, steady, sections.end(), sections.count, unshown=small)


class _Sections:
    """Adds up how long a stream is shown whose stamps may start over, as its clock will count it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._gap = GAP / clock.base if clock.has_jumps else np.inf
        self._least, self._most, self._hold = 0, _NONE, 0
        self._total = 0.0
        self.count = self.closed = self.unstamped = 0

    def add(self, pts: int | None, key: bool, duration: int) -> None:
        self.count += 1
        if pts is None:
            self.unstamped += 1
            self._hold = duration or self._hold
            return
        if self._most == _NONE:
            self._least = self._most = pts
        # A keyframe is shown after all that was decoded before it, unless the stamps start over.
        elif (key and pts <= self._most) or pts < self._least or pts - self._most > self._gap:
            self._total += self._most - self._least + self._step
            self.closed += 1
            self._least = self._most = pts
        if pts >= self._most:
            self._most, self._hold = pts, duration or self._hold

    @property
    def _step(self) -> float:
        step = self._hold * self._clock.base
        return (step if 1 / FASTEST <= step <= 1 / SLOWEST else self._clock.step) / self._clock.base

    def end(self) -> float:
        """Return when the last frame leaves the screen, in seconds."""
        last = 0.0 if self._most == _NONE else self._most - self._least + self._step
        start = self._clock.start
        if not self.closed and not self.unstamped and not self._clock.in_slots:
            start = self._least * self._clock.base - self._clock.zero
        return start + (self._total + last + self.unstamped * self._step) * self._clock.base
