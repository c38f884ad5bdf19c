"""Frames of a data set's videos as images on disk, where the data set travels without pixels (CAD-120).

Two layouts are found by themselves; numbers are the data set's own (CAD-120 counts from 1) and may have zeros in
front, images are PNG or JPEG::

    DIR/SUBJECT/ACTIVITY/VIDEO/RGB_<n>.png    as CAD-120 was published (Depth_<n>.png beside it is left alone)
    DIR/VIDEO/<n>.png
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whyact.data.types import RelationClip
from whyact.errors import UserError

_IMAGE = re.compile(r"(?:(?:rgb|frame|img|image)[_-]?)?(\d+)\.(?:png|jpe?g)", re.IGNORECASE)
_NAMED = 8  # missing frames that an error names


class FramesFolder:
    """The images under ``root``, found by a clip's id (``.../VIDEO/START-END``) and its frame numbers.

    Raises:
        UserError: When ``root`` is no folder.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise UserError("--frames", str(root), "a folder with an image for each frame")

    def folder(self, clip: RelationClip) -> Path:
        """Return the folder that holds a clip's video, or would hold it."""
        *video, _ = clip.id.split("/")
        full, short = self.root.joinpath(*video), self.root / (video[-1] if video else "")
        return short if short.is_dir() and not full.is_dir() else full

    def missing(self, clips: Iterable[RelationClip]) -> list[str]:
        """Return the frames that clips name and the disk lacks, as ``FOLDER: n, n, ...``, sorted."""
        lacking: dict[Path, set[int]] = {}
        for clip in clips:
            folder = self.folder(clip)
            if absent := set(clip.frames.tolist()) - _images(folder).keys():
                lacking.setdefault(folder, set()).update(absent)
        return [
            f"{folder.relative_to(self.root)}: {_ranges(sorted(numbers))}"
            for folder, numbers in sorted(lacking.items())
        ]

    def check(self, clips: Iterable[RelationClip]) -> None:
        """Raise one error that lists every folder with missing frames, if there is any.

        Raises:
            UserError: As said.
        """
        if lacking := self.missing(clips):
            more = f"; and {len(lacking) - _NAMED} more folders" if len(lacking) > _NAMED else ""
            layouts = "SUBJECT/ACTIVITY/VIDEO/RGB_<n>.png or VIDEO/<n>.png for each of these frames: "
            raise UserError(
                self.root,
                f"frames missing in {len(lacking)} folders",
                layouts + "; ".join(lacking[:_NAMED]) + more,
                "put them there, or leave out --frames",
            )

    def read(self, clip: RelationClip) -> NDArray[np.uint8]:
        """Return the images (T,H,W,3) uint8 RGB of a clip's frames; one that comes twice is read once.

        Raises:
            UserError: When images are missing, broken, or not of the size that the clip's boxes are in.
        """
        self.check([clip])
        images = _images(self.folder(clip))
        read = {number: _image(images[number], clip.image_size) for number in set(clip.frames.tolist())}
        return np.stack([read[number] for number in clip.frames.tolist()])


@lru_cache(maxsize=64)
def _images(folder: Path) -> dict[int, Path]:
    if not folder.is_dir():
        return {}
    found = ((_IMAGE.fullmatch(path.name), path) for path in sorted(folder.iterdir()))
    return {int(match[1]): path for match, path in found if match}


def _image(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    from torchvision.io import ImageReadMode, read_image

    try:
        image: NDArray[np.uint8] = read_image(str(path), ImageReadMode.RGB).permute(1, 2, 0).contiguous().numpy()
    except (RuntimeError, OSError) as error:
        raise UserError(path, str(error).splitlines()[0], "an image that can be read") from error
    if image.shape[:2] != (size[1], size[0]):
        found = f"{image.shape[1]}x{image.shape[0]} pixels"
        raise UserError(path, found, f"{size[0]}x{size[1]}, the size that the boxes are in", "give the frames unscaled")
    return image


def _ranges(numbers: list[int]) -> str:
    """Write rising numbers with runs joined: 1-3, 7."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    said = [str(a) if a == b else f"{a}-{b}" for a, b in runs]
    return ", ".join(said[:_NAMED]) + (", ..." if len(said) > _NAMED else "")
