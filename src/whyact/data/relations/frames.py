"""Frames of a data set's videos as images on disk, where the data set comes without pixels (CAD-120).

Two layouts are found by themselves; numbers are the data set's own (CAD-120 counts from 1) and may have zeros in
front, images are PNG or JPEG::

    DIR/SUBJECT/ACTIVITY/VIDEO/RGB_<n>.png    as CAD-120 was published (Depth_<n>.png beside it is left alone)
    DIR/VIDEO/<n>.png
"""

from __future__ import annotations

from pathlib import Path

from whyact.data.relations.footage import FolderFootage
from whyact.data.types import RelationClip
from whyact.errors import UserError

OPTION = "--data.frames_dir"


class FramesFolder:
    """The images under ``root``, found by a clip's id (``.../VIDEO/START-END``); its times say their rate.

    Raises:
        UserError: When ``root`` is no folder.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise UserError(OPTION, str(root), "a folder with an image for each frame")

    def footage(self, clip: RelationClip) -> FolderFootage:
        """Return the images of a clip's video.

        Raises:
            UserError: When the video has no folder.
        """
        *video, _ = clip.id.split("/")
        full, short = self.root.joinpath(*video), self.root / (video[-1] if video else "")
        folder = short if short.is_dir() and not full.is_dir() else full
        if not folder.is_dir():
            expected = "SUBJECT/ACTIVITY/VIDEO/RGB_<n>.png or VIDEO/<n>.png in it"
            raise UserError(f"{OPTION}, clip {clip.id}", str(folder), expected, "put the frames there")
        frames, length = int(clip.frames[-1] - clip.frames[0]), float(clip.times[-1] - clip.times[0])
        return FolderFootage(folder, frames / length if length > 0 else 1.0)
