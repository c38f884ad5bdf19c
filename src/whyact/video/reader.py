"""One video, read forwards: the frame on screen at each requested moment, by scanning or jumping to keyframes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from whyact.errors import UserError
from whyact.files import file_sha256
from whyact.prediction import VideoFacts
from whyact.video import index, upright
from whyact.video.clock import Clock
from whyact.video.container import (
    declared_length,
    is_image,
    load_av,
    open_container,
    picture_streams,
    read_mp4_layout,
    reason_of,
)

MOST_PIXELS = 64 * 2**20  # a frame; 8K has 33 million
JUMP_COST = 6  # frames: what a jump costs (a keyframe, a decoder that starts afresh), in frames decoded through
LATE = 1e-6  # seconds: times come from fractions, moments from sums
LONG = 6 * 3600.0  # seconds: a longer length is believed only if there are frames for it
HOLD = 1.0  # seconds: how long the last frame stays on screen, if it does not say


@dataclass(frozen=True)
class VideoFrame:
    """The frame on screen at ``moment``: shown since ``time`` (both seconds), as an (H,W,3) uint8 RGB image, upright.

    Two moments with the same frame share one image. ``number`` counts the frames that the video shows, from 1; it is 0
    where frames were jumped over.
    """

    moment: float
    time: float
    image: NDArray[np.uint8]
    number: int = 0


class _Frame(NamedTuple):
    time: float
    picture: Any
    number: int


class VideoReader:
    """A video file opened for reading. Use as a context manager; one thread decodes.

    Args:
        path: The file.
        limit: Wall-clock seconds spent in reading and decoding; the time between frames is the caller's own.
        most_pixels: The largest frame that is decoded, in pixels.
        numbered: Never jump, so that every frame has its number.
        image: Read an image file; otherwise one is refused.

    Raises:
        UserError: When the file is missing, no video, or its frames are larger than ``most_pixels``.
    """

    def __init__(
        self,
        path: Path | str,
        limit: float = 60.0,
        most_pixels: int = MOST_PIXELS,
        *,
        numbered: bool = False,
        image: bool = False,
    ) -> None:
        self.path, self.limit, self.most_pixels = Path(path), limit, most_pixels
        self._av = load_av()
        self._spent, self._since = 0.0, time.monotonic()
        if not self.path.is_file():
            kind = "a folder" if self.path.is_dir() else "no regular file" if self.path.exists() else "no such file"
            raise UserError(self.path, kind, "a video file", "check the path")
        self._size = self.path.stat().st_size
        if not self._size:
            raise UserError(self.path, "an empty file", "a video file")
        self._may_jump = not numbered
        self._quick = False
        self._broken = self._damaged = self._resized = 0
        self._reasons: list[str] = []
        self._open()
        try:
            if is_image(self._container) and not image:
                step = "whyact predict FOLDER --fps RATE, for a folder of frames"
                raise UserError(self.path, "an image", "a video file", step)
            self._prepare()
        except BaseException:
            self._container.close()
            raise

    def _open(self) -> None:
        """Open the container and its stream, at the start."""
        self._container = open_container(self._av, self.path, max(self.limit, 1.0))
        try:
            self._streams = picture_streams(self._container, self.path)
            self._stream = self._streams[0]
            context = self._stream.codec_context
            if context is None:
                raise UserError(self.path, "an unknown codec", "a video that FFmpeg can decode")
            if context.width * context.height > self.most_pixels:
                size = f"frames of {context.width}x{context.height}"
                raise UserError(self.path, size, f"at most {self.most_pixels} pixels a frame")
            context.thread_count = 1
            quick = {"skip_loop_filter": "all"} if self._quick else {}
            context.options = {"max_pixels": str(self.most_pixels), **quick}
        except BaseException:
            self._container.close()
            raise
        self._clock = Clock(self._container, self._stream)
        self._ended = self._jumped = self._stopped = False
        self._current: _Frame | None = None
        self._next: _Frame | None = None
        self._last, self._first_key = self._clock.start - self._clock.step, -np.inf
        self.decoded = 0
        self._source: Iterator[Any] = self._packets()

    def _prepare(self) -> None:
        self.fps, self.step = self._clock.fps, self._clock.step
        self.declared = int(self._stream.frames or 0)
        self.start = self._clock.start
        self._orientation = upright.Orientation()
        self._aspect = upright.pixel_aspect(self._stream)
        if self._stream.codec_context.width * self._stream.codec_context.height * self._aspect > self.most_pixels:
            self._aspect = 1.0
        self._shape: tuple[int, int] | None = None  # width and height on screen
        self._image: tuple[float, NDArray[np.uint8]] = (-1.0, np.zeros((0, 0, 3), np.uint8))
        if self._clock.in_slots and self._stream.codec_context.has_b_frames:
            self._may_jump = False  # the delay of the decoder counts from the first frame
        self._layout = read_mp4_layout(self._container, self.path, self._size)
        self._has_own_index = self._layout.is_whole and self.declared > 0
        self._reasons += [self._layout.note] if self._layout.note else []
        if (self._clock.counts or not self.fps) and self.index.end > self.start:  # the rate of its own packets
            self.fps = self.index.count / (self.index.end - self.start)
            self.step = self._clock.step = 1 / self.fps

    @property
    def is_stopped(self) -> bool:
        """Tell whether the time limit ended the reading."""
        return self._stopped

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    @cached_property
    def index(self) -> index.PacketIndex:
        """Return the file's packets, from the container or from a pass over them."""
        if self._has_own_index and (own := index.from_container(self._stream, self._clock, self._size)) is not None:
            return own
        deadline = self._since + self.limit - self._spent
        with open_container(self._av, self.path, max(self.limit, 1.0)) as container:
            return index.from_packets(self._av, container, self._stream.index, self._clock, deadline)

    @cached_property
    def length(self) -> float:
        """Return when the last frame leaves the screen, in seconds of the player's clock."""
        return self._plausible(self._length())

    @cached_property
    def sha256(self) -> str:
        """Return the SHA-256 of the file."""
        return file_sha256(self.path)

    @property
    def degraded(self) -> str:
        """Return what was missing or broken so far, in words; empty when nothing was."""
        reasons = [*self._reasons, *self._clock.notes]
        if self._broken:
            reasons.append(f"packets that do not decode: {self._broken}")
        if self._damaged:
            reasons.append(f"damaged frames: {self._damaged}")
        if self._resized:
            reasons.append(f"frames of another size, scaled: {self._resized}")
        packets = self.__dict__.get("index", index.EMPTY)
        absent, expected = index.declared_frames(packets, self.declared, self._clock)
        if absent:
            reasons.append(f"{absent} of {self.declared} declared frames are not in the file")
        elif self._ended and not self._jumped and self.decoded < expected:
            reasons.append(f"{self.decoded} of {expected} frames decode")
        return "; ".join(reasons)

    def facts(self) -> VideoFacts:
        """Return the facts so far; ``frames_decoded`` counts all that the decoder gave."""
        context = self._stream.codec_context
        size = self._shape or upright.shown_size(context.width, context.height, self._aspect, self._orientation)
        return VideoFacts(
            path=str(self.path),
            sha256=self.sha256,
            duration=self.length,
            fps=self.fps,
            width=size[0],
            height=size[1],
            frames_decoded=self.decoded,
            frames_declared=self.declared,
            degraded=self.degraded,
            start=self.start,
            pixel_aspect=self._aspect,
            mirrored=self._orientation.is_mirrored,
            stream=sorted(s.index for s in self._streams).index(self._stream.index) + 1,
            streams=len(self._streams),
        )

    def frames_at(self, moments: Iterable[float]) -> Iterator[VideoFrame]:
        """Yield the frame on screen at each moment; moments that have none are left out and ``degraded`` says why.

        Args:
            moments: Seconds of the player's clock, rising, also from one call to the next. Before the video starts
                it shows its first frame.
        """
        for moment in moments:
            self._since = time.monotonic()
            frame = None if self._stopped else self._frame_at(float(moment))
            self._spent += time.monotonic() - self._since
            if self._stopped:
                return
            if frame is not None:
                yield frame

    def frames_numbered(self, numbers: Iterable[int]) -> Iterator[VideoFrame]:
        """Yield frames by their numbers, counted from the start; it ends where the video does.

        Args:
            numbers: From 1, rising, also from one call to the next; the reader must be ``numbered``.
        """
        for number in numbers:
            self._since = time.monotonic()
            while not self._stopped and (self._current is None or self._current.number < number):
                if (following := self._pull()) is None:
                    break
                self._current = following
            current = self._current
            image = self._upright(current) if current is not None and current.number == number else None
            self._spent += time.monotonic() - self._since
            if current is None or image is None:
                return
            yield VideoFrame(current.time, current.time, image, number)

    def times(self) -> Iterator[float]:
        """Yield when each frame comes on screen, by decoding all of them without making images."""
        self._quick = True  # what filters pixels changes neither their number nor their times
        self._container.close()
        self._open()
        while True:
            self._since = time.monotonic()
            frame = self._pull()
            self._spent += time.monotonic() - self._since
            if frame is None:
                return
            yield frame.time

    def _frame_at(self, moment: float) -> VideoFrame | None:
        moment = max(moment, 0.0)
        self._approach(moment)
        while self._next is not None and (self._current is None or self._next.time <= moment + LATE):
            self._current = self._next
            self._next = None if self._stopped else self._pull()
        if self._stopped or self._current is None:
            return None
        at, frame, number = self._current
        if self._next is None and moment > at + max(self._clock.hold(frame), HOLD, 2 * self.step):
            self._add_reason(f"frames end at {at:.2f} s of the declared {self.length:.2f} s")
            return None
        return VideoFrame(moment, at, self._upright(self._current), number)

    def _approach(self, moment: float) -> None:
        """Make sure that a frame is at hand, by a jump to a keyframe where that saves decoding."""
        here = self._next.time if self._next else 0.0 if self._current is None and not self._ended else self._last
        if moment - here > JUMP_COST * self.step and self._may_jump:
            number = self.index.key_before(moment)
            if number >= 0 and self.index.frames_between(here, self.index.keys[number]) > JUMP_COST:
                self._jump(number, moment)
                # A file whose jumps land behind where they started is quicker read on.
                self._may_jump &= self._next is None or self._next.time > here
                return
        if self._next is None and not self._ended and self._current is None:
            self._next = self._pull()

    def _jump(self, number: int, moment: float) -> None:
        """Go to a keyframe shown before the moment; where none can be gone to, read on from the start."""
        keys = self.index.keys
        for tried, aim in ((number, moment), (number - 1, None), (number - 4, None)):
            if tried < 0:
                break
            stamp = ((keys[tried] if aim is None else aim) + self._clock.zero) / self._clock.base
            try:
                self._container.seek(round(stamp), stream=self._stream, backward=True)
            except (self._av.error.FFmpegError, OSError, ValueError):
                break
            self._jumped, self._ended = True, False
            self._current = self._next = None
            self._last = float(keys[tried]) - self.step
            self._clock.jumped()
            self._source = self._packets(after_jump=True)
            self._next = self._pull()
            if self._stopped or (self._next is not None and self._next.time <= moment + LATE):
                return
        self._container.close()
        self._open()
        self._may_jump = False
        self._next = self._pull()

    def _pull(self) -> _Frame | None:
        """Return the next frame, ``None`` at the end."""
        while True:
            if time.monotonic() - self._since + self._spent > self.limit:
                self._stopped = True
                self._add_reason(f"stopped at the time limit of {self.limit:g} s, at {max(self._last, 0):.2f} s")
                return None
            picture = next(self._source, None)
            if picture is None:
                self._ended = True
                if not self._jumped and (self.decoded < self.declared or self._clock.counts):
                    _ = self.index  # tells lost frames from placeholders
                return None
            self.decoded += 1
            self._damaged += bool(getattr(picture, "is_corrupt", False))
            at = self._last = self._clock.time_of(picture)
            if self.decoded == 1 and not self._jumped and at > self.start + 1.5 * self.step:
                self._add_reason(f"the first {at - self.start:.2f} s do not decode: no keyframe begins the file")
            # What is shown before the keyframe of a jump may refer to pictures before it.
            if at >= self._first_key - LATE:
                return _Frame(at, picture, 0 if self._jumped else self.decoded)

    def _packets(self, *, after_jump: bool = False) -> Iterator[Any]:
        """Yield frames; packets that do not decode are skipped and counted. After a jump a keyframe comes first."""
        self._first_key = -np.inf
        try:
            for packet in self._container.demux(self._stream):
                if after_jump and packet.size:
                    stamp = packet.dts if self._clock.in_slots else packet.pts
                    if not packet.is_keyframe or stamp is None:
                        continue
                    after_jump = False
                    self._first_key = stamp * self._clock.base - self._clock.zero
                try:
                    yield from packet.decode()
                except (self._av.error.FFmpegError, ValueError, MemoryError):
                    self._broken += packet.size > 0
                    if time.monotonic() - self._since + self._spent > self.limit:
                        return
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            self._add_reason(f"reading stopped at {max(self._last, 0):.2f} s: {reason_of(error)}")

    def _upright(self, frame: _Frame) -> NDArray[np.uint8]:
        if self._image[0] == frame.time:
            return self._image[1]
        picture = frame.picture
        orientation = upright.Orientation.of(picture)
        size = upright.shown_size(picture.width, picture.height, self._aspect, orientation)
        if self._shape is None:
            self._shape, self._orientation = size, orientation
        self._resized += size != self._shape
        image = upright.rgb(picture, orientation, self._shape)
        self._image = (frame.time, image)
        return image

    def _add_reason(self, reason: str) -> None:
        if reason not in self._reasons:
            self._reasons.append(reason)

    def _plausible(self, length: float) -> float:
        """Return the length, or that of the frames in the file where a damaged header claims days."""
        if length <= LONG:
            return length
        held = self.start + self.index.count * self.step
        if length <= 10 * held:
            return length
        self._add_reason(f"the declared length of {length:.0f} s is not that of its {self.index.count} frames")
        return held

    def _length(self) -> float:
        # An AVI cut off before its index declares its frames, but FFmpeg guesses the length from the bytes left.
        least = self.declared * self.step if self._clock.in_slots else 0.0
        declared = max(declared_length(self._container, self._stream, self.start, self._clock.zero), least)
        if declared > 0 and self._has_own_index:
            return declared
        # Streams without a header have a length that FFmpeg guessed from the last stamps.
        guessed = self._clock.has_jumps or self._clock.counts
        return self.index.end if guessed and self.index.end else max(declared, self.index.end)
