"""One video, read forwards: the frame on screen at each wanted moment, by scanning or by jumping to keyframes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyact.errors import UserError
from whyact.prediction import VideoFacts
from whyact.video import index

MOST_PIXELS = 64 * 2**20  # a frame; 8K has 33 million
JUMP_COST = 6  # frames: what a jump costs (a keyframe, a decoder that starts afresh), in frames decoded through
LATE = 1e-6  # seconds: times come from fractions, moments from sums
COVER_PICTURE = 1024  # FFmpeg's flag of a picture that travels with sound
LONG = 6 * 3600.0  # seconds: a longer length is believed only if there are frames for it
SLOWEST, FASTEST = 0.01, 2000.0  # frames a second: another declared rate is not believed
HOLD = 1.0  # seconds: how long the last frame stays on screen, if it does not say


@dataclass(frozen=True)
class Shown:
    """The frame on screen at ``moment``: shown since ``time`` (both seconds), as an (H,W,3) uint8 RGB image, upright.

    Two moments with the same frame share one image.
    """

    moment: float
    time: float
    image: NDArray[np.uint8]


class VideoReader:
    """A video file opened for reading. Use as a context manager; one thread decodes.

    Args:
        path: The file.
        limit: Wall-clock seconds spent in reading and decoding; the time between frames is the caller's own.
        most_pixels: The largest frame that is decoded, in pixels.

    Raises:
        UserError: When the file is missing, no video, or its frames are larger than ``most_pixels``.
    """

    def __init__(self, path: Path | str, limit: float = 60.0, most_pixels: int = MOST_PIXELS) -> None:
        self.path, self.limit, self.most_pixels = Path(path), limit, most_pixels
        self._av = _av()
        self._spent, self._since = 0.0, time.monotonic()
        if not self.path.is_file():
            found = "a folder" if self.path.is_dir() else "no regular file" if self.path.exists() else "no such file"
            raise UserError(self.path, found, "a video file", "check the path")
        self._size = self.path.stat().st_size
        if not self._size:
            raise UserError(self.path, "an empty file", "a video file")
        self._container = self._open()
        try:
            self._prepare()
        except BaseException:
            self._container.close()
            raise

    def _open(self) -> Any:
        try:
            # A playlist may not reach for anything but files.
            options = {"protocol_whitelist": "file"}
            wait = max(self.limit, 1.0)
            return self._av.open(str(self.path), metadata_errors="ignore", options=options, timeout=wait)
        except self._av.error.InvalidDataError as error:
            found = f"cut short, or no video file ({reason_of(error)})"
            raise UserError(self.path, found, "a whole video file", "does a player show it? copy it again") from error
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            raise UserError(self.path, reason_of(error), "a video file that can be read") from error

    def _prepare(self) -> None:
        streams = [s for s in self._container.streams.video if not _flags(s) & COVER_PICTURE]
        if not streams:
            sound = " (sound only)" if self._container.streams.audio else ""
            raise UserError(self.path, f"no video stream{sound}", "a video file")
        self._stream = stream = streams[0]
        context = stream.codec_context
        if context is None:
            raise UserError(self.path, "an unknown codec", "a video that FFmpeg can decode")
        if context.width * context.height > self.most_pixels:
            found = f"frames of {context.width}x{context.height}"
            raise UserError(self.path, found, f"at most {self.most_pixels} pixels a frame")
        context.thread_count = 1
        context.options = {"max_pixels": str(self.most_pixels)}
        self._base = float(stream.time_base or 1 / 1000)
        self._start = float((stream.start_time or 0) * self._base)
        rate = float(stream.average_rate or 0)
        self.fps = rate if SLOWEST <= rate <= FASTEST else 0.0
        self.step = 1 / self.fps if self.fps else 0.04
        self.declared = int(stream.frames or 0)
        self.decoded = 0
        self._reasons: list[str] = []
        self._broken = self._damaged = self._resized = 0
        self._ended = self._jumped = self._stopped = False
        # AVI knows one rate and no times: those of reordered frames are guesses, some twice, so they are counted.
        self._counted = "avi" in self._container.format.name and bool(context.has_b_frames)
        self._may_jump = not self._counted
        self._shape: tuple[int, int] | None = None
        self._current: tuple[float, Any] | None = None
        self._next: tuple[float, Any] | None = None
        self._image: tuple[float, NDArray[np.uint8]] | None = None
        self._last, self._latest = -self.step, -np.inf
        self.length = self._plausible(self._length())
        self._source: Iterator[Any] = self._packets()

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
    def index(self) -> index.FrameIndex:
        """Return the file's frames and keyframes, from the container or from a pass over its packets."""
        if (known := index.from_container(self._stream, self._start, self._size)) is not None:
            return known
        deadline = self._since + self.limit - self._spent
        return index.from_packets(self._av, self.path, self._start, self.declared, deadline)

    @cached_property
    def sha256(self) -> str:
        """Return the SHA-256 of the file."""
        with open(self.path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    @property
    def degraded(self) -> str:
        """Return what was missing or broken so far, in words; empty when nothing was."""
        reasons = list(self._reasons)
        if self._broken:
            reasons.append(f"packets that do not decode: {self._broken}")
        if self._damaged:
            reasons.append(f"damaged frames: {self._damaged}")
        if self._resized:
            reasons.append(f"frames of another size, scaled: {self._resized}")
        known = self.__dict__.get("index", index.EMPTY)
        if known.absent:
            reasons.append(f"{known.absent} of {self.declared} declared frames are not in the file")
        elif self._ended and not self._jumped and 0 <= self.decoded < self.declared - known.placeholders:
            reasons.append(f"{self.decoded} of {self.declared} declared frames decode")
        return "; ".join(reasons)

    def facts(self) -> VideoFacts:
        """Return the facts as known so far; ``frames_decoded`` counts what the decoder gave, wanted or not."""
        height, width = self._shape or (self._stream.codec_context.height, self._stream.codec_context.width)
        return VideoFacts(
            path=str(self.path),
            sha256=self.sha256,
            duration=self.length,
            fps=self.fps,
            width=width,
            height=height,
            frames_decoded=self.decoded,
            frames_declared=self.declared,
            degraded=self.degraded,
        )

    def frames_at(self, moments: Iterable[float]) -> Iterator[Shown]:
        """Yield the frame on screen at each moment; moments that have none are left out and ``degraded`` says why.

        Args:
            moments: Seconds from the start, rising, also from one call to the next.
        """
        for moment in moments:
            self._since = time.monotonic()
            shown = None if self._stopped else self._frame_at(float(moment))
            self._spent += time.monotonic() - self._since
            if self._stopped:
                return
            if shown is not None:
                yield shown

    def _frame_at(self, moment: float) -> Shown | None:
        moment = max(moment, 0.0)
        self._approach(moment)
        while self._next is not None and (self._current is None or self._next[0] <= moment + LATE):
            self._current = self._next
            self._next = None if self._stopped else self._pull()
        if self._stopped or self._current is None:
            return None
        at, frame = self._current
        if self._next is None:
            stays = float((getattr(frame, "duration", 0) or 0) * self._base)
            if moment > at + max(stays, HOLD, 2 * self.step):
                self._say(f"frames end at {at:.2f} s of the declared {self.length:.2f} s")
                return None
        if self._image is None or self._image[0] != at:
            self._image = (at, self._upright(frame))
        return Shown(moment, at, self._image[1])

    def _approach(self, moment: float) -> None:
        """Make sure that a frame is at hand, by a jump to a keyframe where that saves decoding."""
        here = self._next[0] if self._next else 0.0 if self._current is None and not self._ended else self._last
        if moment - here > JUMP_COST * self.step:
            number = self.index.key_before(moment)
            if number >= 0 and self._may_jump and self.index.frames_between(here, self.index.keys[number]) > JUMP_COST:
                self._jump(number, moment)
                # A file whose jumps land behind where they started is quicker read on.
                self._may_jump = self._next is None or self._next[0] > here
                return
        if self._next is None and not self._ended and self._current is None:
            self._next = self._pull()

    def _jump(self, number: int, moment: float) -> None:
        """Go to a keyframe; where that turns out to lie behind the moment, to the one before."""
        keys = self.index.keys
        for tried, aim in ((number, moment), (number - 1, None), (number - 4, None)):
            if tried < 0:
                break
            stamp = ((keys[tried] if aim is None else aim) + self._start) / self._base
            try:
                self._container.seek(int(stamp), stream=self._stream, backward=True)
            except (self._av.error.FFmpegError, OSError, ValueError):
                break  # a file that cannot be jumped in is read on
            self._jumped, self._ended = True, False
            self._current = self._next = None
            self._last, self._latest = float(keys[tried]) - self.step, -np.inf
            self._source = self._packets()
            self._next = self._pull()
            if self._stopped or (self._next is not None and self._next[0] <= moment + LATE):
                return
        if self._next is None and self._current is None:
            self._say(f"nothing decodes from {keys[number]:.2f} s on")

    def _pull(self) -> tuple[float, Any] | None:
        """Return the next frame with its time, ``None`` at the end."""
        if time.monotonic() - self._since + self._spent > self.limit:
            self._stopped = True
            self._say(f"stopped at the time limit of {self.limit:g} s, at {max(self._last, 0):.2f} s")
            return None
        found = next(self._source, None)
        if found is None:
            self._ended = True
            if not self._jumped and self.decoded < self.declared:
                _ = self.index  # tells lost frames from placeholders
            return None
        self.decoded += 1
        self._damaged += bool(getattr(found, "is_corrupt", False))
        stamp = None if self._counted else found.pts if found.pts is not None else found.dts
        at = self._last + self.step if stamp is None else stamp * self._base - self._start
        if at <= self._latest:  # no usable time: it follows the one before
            at = self._last + self.step
        self._last = self._latest = at
        return at, found

    def _packets(self) -> Iterator[Any]:
        """Yield frames; packets that do not decode are skipped and counted."""
        try:
            for packet in self._container.demux(self._stream):
                try:
                    yield from packet.decode()
                except (self._av.error.FFmpegError, ValueError, MemoryError):
                    self._broken += packet.size > 0
                    if time.monotonic() - self._since + self._spent > self.limit:
                        return
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            self._say(f"reading stopped at {max(self._last, 0):.2f} s: {reason_of(error)}")

    def _upright(self, frame: Any) -> NDArray[np.uint8]:
        image: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
        turns = round(getattr(frame, "rotation", 0) / 90) % 4
        if turns:
            image = np.ascontiguousarray(np.rot90(image, turns))
        if self._shape is None:
            self._shape = (image.shape[0], image.shape[1])
        if image.shape[:2] != self._shape:
            self._resized += 1
            height, width = self._shape
            size = {"width": height, "height": width} if turns % 2 else {"width": width, "height": height}
            image = np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24", **size), turns))
        return image

    def _say(self, reason: str) -> None:
        if reason not in self._reasons:
            self._reasons.append(reason)

    def _plausible(self, length: float) -> float:
        """Return the length, or that of the frames in the file where a damaged header claims days."""
        if length <= LONG:
            return length
        held = len(self.index.times) * self.step
        if length <= 10 * held:
            return length
        self._say(f"the declared length of {length:.0f} s is not that of its {len(self.index.times)} frames")
        return held

    def _length(self) -> float:
        """Return the length in seconds as the file declares it, else as its packets say."""
        stream, container = self._stream, self._container
        if stream.duration and stream.duration > 0:
            # An AVI cut off before its index declares its frames, but FFmpeg guesses the length from the bytes left.
            guessed = self.declared > len(getattr(stream, "index_entries", None) or range(self.declared))
            return max(float(stream.duration * self._base), self.declared * self.step if guessed else 0.0)
        parts = str(stream.metadata.get("DURATION", "")).split(":")  # what Matroska says of a stream
        try:
            tagged = sum(float(part) * 60**power for power, part in enumerate(reversed(parts)))
        except ValueError:
            tagged = 0.0
        if 0 < tagged < 1e7:
            return tagged
        if container.duration and container.duration > 0:
            return float(container.duration) / 1e6
        times = self.index.times
        return float(times[-1]) + self.step if len(times) else 0.0


def reason_of(error: Exception) -> str:
    """Return FFmpeg's own words for an error."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _flags(stream: Any) -> int:
    """Return a stream's disposition as a number; some releases of av give an enumeration that is none."""
    found = getattr(stream, "disposition", 0)
    return int(getattr(found, "value", found))


def _av() -> Any:
    try:
        import av
        import av.error
    except ImportError as error:
        raise UserError("video decoding", None, "the package av", "pip install av") from error
    av.logging.set_level(None)
    return av
