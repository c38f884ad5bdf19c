"""Opening a file with FFmpeg: by its name and nothing else, with the video stream that a player takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whyact.errors import UserError

DEFAULT, COVER_PICTURE = 1, 1024  # FFmpeg's flags of a stream
_MOST_BOXES = 200_000  # of an MP4; a live recording of a day has a few for every second


def load_av() -> Any:
    """Import PyAV, which bundles FFmpeg, and keep it silent.

    Raises:
        UserError: When it is not installed.
    """
    try:
        import av
        import av.error
    except ImportError as error:
        raise UserError("video decoding", None, "the package av", "pip install av") from error
    av.logging.set_level(None)
    return av


def open_container(av: Any, path: Path, wait: float) -> Any:
    """Open a container for reading.

    Args:
        av: PyAV.
        path: The file; a colon or a percent sign in its name means nothing.
        wait: Seconds after which opening is given up.

    Raises:
        UserError: When FFmpeg cannot read it.
    """
    try:
        # Without the scheme a:b.mp4 would be a protocol; and a playlist may not reach for anything but files.
        options = {"protocol_whitelist": "file"}
        return av.open(f"file:{path}", metadata_errors="ignore", options=options, timeout=wait)
    except av.error.InvalidDataError as error:
        value = f"cut short, or no video file ({reason_of(error)})"
        raise UserError(path, value, "a whole video file", "does a player show it? copy it again") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise UserError(path, reason_of(error), "a video file that can be read") from error


def picture_streams(container: Any, path: Path) -> list[Any]:
    """Return the video streams, the one that a player takes first: the default one, else the first.

    Raises:
        UserError: When there is none.
    """
    streams = [s for s in container.streams.video if not _flags(s) & COVER_PICTURE]
    if not streams:
        sound = " (sound only)" if container.streams.audio else ""
        raise UserError(path, f"no video stream{sound}", "a video file")
    return sorted(streams, key=lambda s: (not _flags(s) & DEFAULT, s.index))


def is_image(container: Any) -> bool:
    """Tell whether a container is a single image."""
    name = container.format.name
    return name == "image2" or name.endswith("_pipe")


def declared_length(container: Any, stream: Any, start: float, zero: float) -> float:
    """Return when the last frame leaves the screen, as the file declares it; 0 where it does not.

    Args:
        container: PyAV's container.
        stream: Its video stream.
        start: When the first frame is shown, in seconds of the player's clock.
        zero: The stamp in seconds at which that clock starts.
    """
    whole = float(container.duration) / 1e6 if container.duration and container.duration > 0 else 0.0
    if stream.duration and stream.duration > 0:
        # Only MP4 and MOV count it from the first frame, the others from the start of the file.
        first = start if "mov" in container.format.name else 0.0
        return first + float(stream.duration * (stream.time_base or 0))
    parts = str(stream.metadata.get("DURATION", "")).split(":")  # what Matroska says of a stream
    try:
        tagged = sum(float(part) * 60**power for power, part in enumerate(reversed(parts)))
    except ValueError:
        tagged = 0.0
    if 0 < tagged - zero < 1e7:
        return tagged - zero
    return whole


@dataclass(frozen=True)
class Mp4Layout:
    """What the boxes of a file say: whether it is an MP4 without fragments, and what a second film in it lasts."""

    is_whole: bool = False
    second_film: float | None = None

    @property
    def note(self) -> str:
        """Say that a second film, which players and FFmpeg ignore, is not read; empty without one."""
        if self.second_film is None:
            return ""
        lasts = f" of {self.second_film:.2f} s" if self.second_film else ""
        return f"a second film{lasts} is joined to this one, and left out"


def read_mp4_layout(container: Any, path: Path, size: int) -> Mp4Layout:
    """Read the boxes at the top of an MP4 or MOV file; other containers have none."""
    if "mov" not in container.format.name:
        return Mp4Layout()
    heads, fragments, at = 0, False, 0
    with open(path, "rb") as file:
        for _ in range(_MOST_BOXES):
            file.seek(at)
            head = file.read(16)
            length, kind = int.from_bytes(head[:4], "big"), head[4:8]
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            heads += kind == b"moov"
            fragments |= kind == b"moof"
            if heads == 2:
                file.seek(at)
                return Mp4Layout(not fragments, _movie_length(file.read(256)))
            if length < 8 or at + length >= size:
                break
            at += length
    return Mp4Layout(not fragments)


def reason_of(error: Exception) -> str:
    """Return FFmpeg's own words for an error."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _movie_length(head: bytes) -> float:
    """Return the seconds that the header of a movie box declares, 0 where it is not at hand."""
    at = head.find(b"mvhd")
    if at < 0:
        return 0.0
    wide = head[at + 4 : at + 5] == b"\1"
    scale = head[at + 24 : at + 28] if wide else head[at + 16 : at + 20]
    length = head[at + 28 : at + 36] if wide else head[at + 20 : at + 24]
    return int.from_bytes(length, "big") / (int.from_bytes(scale, "big") or 1) if len(scale) == 4 else 0.0


def _flags(stream: Any) -> int:
    """Return a stream's disposition as a number; some releases of av give an enumeration that is none."""
    flags = getattr(stream, "disposition", 0)
    return int(getattr(flags, "value", flags))
