"""When a frame is on screen: seconds on the player's clock, whatever a container does with its stamps.

A frame's number is its rank in the order in which the decoder shows frames, its time is its presentation time. The
clock starts where the file starts to play: a video that begins two seconds after its sound begins at 2 s.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

TS_DISCONT = 0x200  # FFmpeg's flag of a format whose stamps may jump (MPEG transport and program streams)
NO_TIMES = 0x80  # its flag of a raw stream
GAP = 10.0  # seconds: a longer gap in such a format is a jump of the stamps, as it is for ffmpeg
SLOWEST, FASTEST = 0.01, 2000.0  # frames a second: another declared rate is not believed
USUAL_STEP = 0.04  # seconds a frame, where a file says nothing


class Clock:
    """Turns the frames of one stream, in the order of decoding from its start, into seconds.

    Stamps that start over (recordings that were joined) go on where the frame before ended, and ``notes`` say so.
    Frames without a stamp follow the one before.
    """

    def __init__(self, container: Any, stream: Any) -> None:
        self.base = float(stream.time_base or 1 / 1000)
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        self.fps = rate if SLOWEST <= rate <= FASTEST else 0.0
        self.step = 1 / self.fps if self.fps else USUAL_STEP
        self.has_jumps = bool(int(container.format.flags) & TS_DISCONT)
        # AVI and ASF have no presentation times, and those that FFmpeg guesses are a frame late or in disorder. A
        # picture comes out of the decoder at the decoding time of the packet that is due, plus a constant delay.
        is_avi = "avi" in container.format.name
        self.in_slots = is_avi or container.format.name == "asf"
        self._delayed = self.in_slots and bool(stream.codec_context.has_b_frames)
        self.counts = bool(int(container.format.flags) & NO_TIMES)  # those of raw streams are made up
        own = None if stream.start_time is None else stream.start_time * self.base
        self.zero = 0.0 if own is None or is_avi else min(own, *_sound_starts(container), own)
        self.start = max(0.0, (own or 0.0) - self.zero)
        self.last: float | None = None
        self.notes: list[str] = []
        self._hold = self.step
        self._offset = 0.0
        self._former_offset = 0.0

    def jumped(self) -> None:
        """Forget the frame before, after a jump in a stream with sane stamps."""
        self.last = None

    def time_of(self, frame: Any) -> float:
        """Return when the next frame of the decoder comes on screen; later than the one before."""
        stamp = None if self.counts else frame.dts if self.in_slots else frame.pts
        at = self._at(None if stamp is None else stamp * self.base - self.zero)
        self.last, self._hold = at, self.hold(frame)
        return at

    def hold(self, frame: Any) -> float:
        """Return how long a frame says that it stays on screen, else the usual step."""
        held = float((getattr(frame, "duration", 0) or 0) * self.base)
        return held if 1 / FASTEST <= held <= 1 / SLOWEST else self.step

    def _at(self, seconds: float | None) -> float:
        if self.last is None:
            if self._delayed and seconds is not None:
                self._offset, self._delayed = self.start - seconds, False
            return self.start if seconds is None else seconds + self._offset
        follows = self.last + self._hold
        if seconds is None:
            return follows
        at = seconds + self._offset
        if at - self.last > 1.0 and 0 < seconds + self._former_offset - self.last < 1.0:
            self._offset, self._former_offset = self._former_offset, self._offset  # one wild stamp, and back again
            at = seconds + self._offset
        if at - self.last < -2 * self._hold or (self.has_jumps and at - self.last > GAP):
            what = "start over" if at < self.last else f"jump by {at - self.last:.2f} s"
            self.notes.append(f"time stamps {what} at {follows:.2f} s; counted on from there")
            self._offset, self._former_offset = self._offset + follows - at, self._offset
            return follows
        return at if at > self.last else follows


def _sound_starts(container: Any) -> Iterator[float]:
    """Yield where sound starts; sound before zero is what its codec needs to warm up, and is not played."""
    for stream in container.streams.audio:
        if stream.start_time is not None and stream.time_base:
            yield max(0.0, float(stream.start_time * stream.time_base))
