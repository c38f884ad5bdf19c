"""Frames of a data set's videos as images on disk, where the data set comes without pixels (CAD-120).

Two layouts are found by themselves; numbers are the data set's own (CAD-120 counts from 1) and may have zeros in
front, images are PNG or JPEG::

    DIR/SUBJECT/ACTIVITY/VIDEO/RGB_<n>.png    as CAD-120 was published (Depth_<n>.png beside it is left alone)
    DIR/VIDEO/<n>.png
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from whyact.data.relations.footage import FolderFootage
from whyact.data.types import RelationClip
from whyact.errors import UserError

OPTION = "--data.frames_dir"


def shared_names(videos: Iterable[str]) -> set[str]:
    """Return the last parts that several ids ``.../VIDEO`` have in common: such a name alone tells no video."""
    counts = Counter(PurePosixPath(video).name for video in set(videos))
    return {name for name, count in counts.items() if count > 1}


class FramesFolder:
    """The images under ``root``, found by a clip's id (``.../VIDEO/START-END``); its times say their rate.

    Args:
        root: The folder.
        videos: The ids of all videos, ``.../VIDEO``: where several have a name, no folder ``VIDEO`` is taken for it.

    Raises:
        UserError: When ``root`` is no folder.
    """

    def __init__(self, root: Path | str, videos: Iterable[str] = ()) -> None:
        self.root, self.shared = Path(root), shared_names(videos)
        if not self.root.is_dir():
            raise UserError(OPTION, str(root), "a folder with an image for each frame")

    def footage(self, clip: RelationClip) -> FolderFootage:
        """Return the images of a clip's video.

        Raises:
            UserError: When the video has no folder.
        """
        *video, _ = clip.id.split("/")
        full, short = self.root.joinpath(*video), self.root / (video[-1] if video else "")
        several = bool(video) and video[-1] in self.shared
        folder = short if short.is_dir() and not full.is_dir() and not several else full
        if not folder.is_dir():
            expected = "SUBJECT/ACTIVITY/VIDEO/RGB_<n>.png or VIDEO/<n>.png in it"
            if several:
                expected = f"SUBJECT/ACTIVITY/VIDEO/RGB_<n>.png in it: several videos are named {video[-1]}"
            raise UserError(f"{OPTION}, clip {clip.id}", str(folder), expected, "put the frames there")
        frames, length = int(clip.frames[-1] - clip.frames[0]), float(clip.times[-1] - clip.times[0])
        return FolderFootage(folder, frames / length if length > 0 else 1.0)
