"""The pixels behind annotated clips: a video file, or a folder of numbered images. Both count frames from 1.

Frames are asked for by the numbers that the annotation uses, in rising order, and come in one pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from whyact.data.types import RelationClip
from whyact.errors import UserError
from whyact.files import file_sha256, sha256
from whyact.video.decode import held_frames
from whyact.video.numbers import frame_times, frames_numbered
from whyact.video.reader import VideoReader

Image = NDArray[np.uint8]
Numbers = NDArray[np.int64]

IMAGE = re.compile(r"(?:(?:rgb|frame|img|image)[_-]?)?(\d+)\.(?:png|jpe?g)", re.IGNORECASE)
_NAMED = 8  # runs of frame numbers that an error names


class Footage(Protocol):
    """What a clip was filmed in."""

    path: Path

    @property
    def key(self) -> str:
        """Return the identity of the content, a SHA-256: features are kept under it."""

    def missing(self, numbers: Iterable[int]) -> list[int]:
        """Return those of the frame numbers that are not there, rising; no pixel is read."""

    def times(self, numbers: Numbers) -> NDArray[np.float64]:
        """Return when frames are shown: seconds of the player's clock, of a folder from its frame 1."""

    def every(self, rate: float) -> Numbers:
        """Return the numbers of all frames, or of so many a second where there are more, and of the last."""

    def frames(self, numbers: Iterable[int]) -> Iterator[Image]:
        """Yield the images (H,W,3) uint8 RGB of frames, numbers rising; it ends early where the video does."""


class VideoFootage:
    """A video file; frame n is the n-th that it shows.

    Args:
        path: The file.
        where: What an error says first, such as the video's name in an annotation.

    Raises:
        UserError: When there is no such file.
    """

    def __init__(self, path: Path | str, where: str = "") -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise UserError(
                where or self.path,
                str(self.path) if where else None,
                "a video file, which looking at pixels needs",
                "put it there, or train on annotated boxes alone: --data.pixels false --data.boxes oracle",
            )

    @cached_property
    def key(self) -> str:
        """Return the SHA-256 of the file."""
        return file_sha256(self.path)

    @cached_property
    def _shown(self) -> NDArray[np.float64]:
        return frame_times(self.path)

    def __len__(self) -> int:
        return len(self._shown)

    def missing(self, numbers: Iterable[int]) -> list[int]:
        """Return those of the frame numbers that the file does not have; it is decoded once to know."""
        return sorted({n for n in numbers if not 1 <= n <= len(self)})

    def times(self, numbers: Numbers) -> NDArray[np.float64]:
        """Return when frames are shown; a number behind the last is the last."""
        return self._shown[np.clip(numbers, 1, len(self)) - 1]

    def every(self, rate: float) -> Numbers:
        """Return the numbers of all frames, or of so many a second where there are more, and of the last."""
        return spaced_positions(self._shown, rate) + 1

    def frames(self, numbers: Iterable[int]) -> Iterator[Image]:
        """Yield the images of frames; the file is read once, by jumps where that is quicker."""
        return (shown.image for shown in frames_numbered(self.path, numbers))


class FolderFootage:
    """A folder of images, named by their numbers: ``12.png``, ``000012.jpg``, ``RGB_12.png``, ``frame_12.png``.

    Args:
        path: The folder.
        rate: Frames a second of the numbers (CAD-120 numbers 30 a second, whether or not all are there).
        where: What an error says first.

    Raises:
        UserError: When there is no such folder.
    """

    def __init__(self, path: Path | str, rate: float, where: str = "") -> None:
        self.path, self.rate = Path(path), rate
        if not self.path.is_dir():
            raise UserError(where or self.path, str(self.path) if where else None, "a folder with an image a frame")

    @cached_property
    def _images(self) -> dict[int, Path]:
        matches = ((IMAGE.fullmatch(path.name), path) for path in sorted(self.path.iterdir()))
        images: dict[int, Path] = {}
        for number, path in ((int(match[1]), path) for match, path in matches if match):
            if number in images:
                value = f"the number of {images[number].name}"
                raise UserError(path, value, "one image for each number", "remove one of them")
            images[number] = path
        return images

    @cached_property
    def key(self) -> str:
        """Return a SHA-256 of the listing: names, sizes and when the images were written."""
        facts = [(path.name, path.stat()) for path in self._images.values()]
        return sha256("\n".join(f"{name} {fact.st_size} {fact.st_mtime_ns}" for name, fact in facts))

    def missing(self, numbers: Iterable[int]) -> list[int]:
        """Return those of the frame numbers that have no image."""
        return sorted(set(numbers) - self._images.keys())

    def times(self, numbers: Numbers) -> NDArray[np.float64]:
        """Return when frames are shown, by their numbers."""
        return (np.asarray(numbers) - 1) / self.rate

    def every(self, rate: float) -> Numbers:
        """Return the numbers of all images, or of so many a second where there are more, and of the last."""
        numbers = np.array(sorted(self._images), np.int64)
        return numbers[spaced_positions(self.times(numbers), rate)]

    def frames(self, numbers: Iterable[int]) -> Iterator[Image]:
        """Yield the images of frames.

        Raises:
            UserError: When an image cannot be read.
        """
        for number in numbers:
            yield _image(self._images[number])


def spaced_positions(times: NDArray[np.float64], rate: float) -> Numbers:
    """Return which of rising times are the first in their 1/rate seconds, and the last: clips end there."""
    is_first = np.diff(np.floor(times * rate + 1e-6), prepend=-1.0) != 0
    is_first[-1:] = True
    return np.flatnonzero(is_first)


def _image(path: Path) -> Image:
    with VideoReader(path, image=True) as reader:
        shown = next(reader.frames_at([0.0]), None)
    if shown is None or reader.degraded:
        raise UserError(path, reader.degraded or "nothing", "an image that can be read")
    return shown.image


def read_spans(footage: Footage, spans: Sequence[Sequence[int]]) -> Iterator[list[Image]]:
    """Yield the images of each list of frame numbers; the footage is read once, and an image kept while it is needed.

    Args:
        footage: What to read.
        spans: Rising numbers each, the lists in the order of their first.

    Raises:
        UserError: When a frame cannot be read.
    """
    numbers = sorted({n for span in spans for n in span})
    source = zip(numbers, footage.frames(iter(numbers)), strict=False)
    for span, images in zip(spans, held_frames(source, [sorted(span) for span in spans]), strict=True):
        if missing := [n for n in span if n not in images]:
            expected = "a video that decodes up to its last clip"
            raise UserError(footage.path, f"nothing at frame {missing[0]}", expected)
        yield [images[n] for n in span]


def check_size(clip: RelationClip, footage: Footage, size: tuple[int, int]) -> None:
    """Refuse footage whose frames are of another size (width, height) than a clip's boxes are in.

    Raises:
        UserError: When they are.
    """
    if clip.image_size != size:
        raise UserError(
            footage.path,
            f"frames of {size[0]}x{size[1]}",
            f"{clip.image_size[0]}x{clip.image_size[1]}, the size that the boxes of clip {clip.id} are in",
            "scale one of them",
        )


def ranges(numbers: Sequence[int]) -> str:
    """Write rising numbers with runs joined: 1-3, 7."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    parts = [str(a) if a == b else f"{a}-{b}" for a, b in runs]
    return ", ".join(parts[:_NAMED]) + (", ..." if len(parts) > _NAMED else "")
