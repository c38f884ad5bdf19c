"""What people give as videos: files, links, folders, patterns; and what they give by mistake."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path

from whyact.errors import UserError
from whyact.video import IMAGE_SUFFIXES, VIDEO_SUFFIXES

FEATURES = frozenset((".npy", ".npz"))  # what `extract` and other programs store in place of a video
_ADDRESS = re.compile(r"(?!file:)[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_CAMERA = re.compile(r"\d{1,2}|/dev/video\d+")
_NAMED = 5  # files that a note names
_FRAMES_STEP = "whyact predict FOLDER --fps RATE, if these are the frames of a video"


@dataclass
class Inputs:
    """Files to read, as the user would name them, and what was skipped: reason -> paths.

    ``frame_folders`` hold one image a frame; they are among the files.
    """

    files: list[str] = field(default_factory=list)
    skipped: dict[str, list[str]] = field(default_factory=dict)
    frame_folders: set[str] = field(default_factory=set)
    _known: set[str] = field(default_factory=set, repr=False)

    @property
    def note(self) -> str:
        """Say how many files were skipped and which; empty where none was."""
        parts = []
        for reason, paths in self.skipped.items():
            more = ", ..." if len(paths) > _NAMED else ""
            parts.append(f"{len(paths)} {reason} ({', '.join(paths[:_NAMED])}{more})")
        return f"skipped {'; '.join(parts)}" if parts else ""

    def skip(self, reason: str, path: str) -> None:
        """Count a file that is not read."""
        self.skipped.setdefault(reason, []).append(path)

    def add(self, path: str) -> None:
        """Add a file, unless it was given before."""
        if path not in self._known:
            self._known.add(path)
            self.files.append(path)


def expand_inputs(inputs: Sequence[str], *, fps: float | None = None) -> Inputs:
    """Return the files that inputs name: the videos of a folder and what a pattern matches in their place.

    A link keeps its name. Hidden files, links to nothing and files that are no videos are skipped and counted.

    Args:
        inputs: Files, folders and patterns.
        fps: Frames a second of folders of images; without it such a folder is refused.

    Raises:
        UserError: When an input is empty, an address, a camera, an image, or holds no video.
    """
    result = Inputs()
    for name in inputs:
        if not name:  # an unset variable of a shell; as a path it would be the folder that one is in
            raise UserError("INPUT", name, "a video, a folder or a pattern")
        path = Path(name)
        if path.is_dir():
            _add_folder(result, path, fps)
        elif any(mark in name for mark in "*?[") and not os.path.lexists(path):
            _add_matches(result, name, fps)
        else:
            _refuse(path, name)
            result.add(name)
    return result


def videos_in(folder: Path, result: Inputs, *, deep: bool = True) -> list[Path]:
    """Return the videos under a folder, or right in it, sorted; what is skipped is counted in ``result``."""
    videos = []
    for path in sorted(_walk(folder, result) if deep else (p for p in folder.iterdir() if not p.is_dir())):
        if path.name.startswith("."):
            if path.suffix.lower() in VIDEO_SUFFIXES:
                result.skip("hidden", str(path))
        elif not path.exists():
            result.skip("dangling" if path.is_symlink() else "gone", str(path))
        elif path.suffix.lower() in VIDEO_SUFFIXES and path.is_file():
            videos.append(path)
        else:
            result.skip("of unknown type", str(path))
    return videos


def frames_in(folder: Path) -> list[Path]:
    """Return the images right in a folder, by the number in their names where all have one."""
    images = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]
    return sorted(images, key=lambda path: (frame_number(path) or 0, path.name))


def frame_number(path: Path) -> int | None:
    """Return the last number in a file's name, ``None`` where there is none."""
    numbers = re.findall(r"\d+", path.stem)
    return int(numbers[-1]) if numbers else None


def _add_folder(result: Inputs, folder: Path, fps: float | None) -> None:
    skipped = Inputs()
    videos = videos_in(folder, skipped)
    images = frames_in(folder) if not videos else []
    if images and fps is None:
        raise UserError(folder, f"{len(images)} images", "a folder with videos", _FRAMES_STEP)
    if images:
        result.frame_folders.add(str(folder))
        result.add(str(folder))
        return
    if not videos:
        raise UserError(folder, "no video", f"a folder with videos{f'; {skipped.note}' if skipped.note else ''}")
    for video in videos:
        result.add(str(video))
    for reason, paths in skipped.skipped.items():
        for path in paths:
            result.skip(reason, path)


def _add_matches(result: Inputs, pattern: str, fps: float | None) -> None:
    matches = sorted(glob(pattern, recursive=True))
    if not matches:
        raise UserError("INPUT", pattern, "a pattern that matches files")
    folders = [match for match in matches if Path(match).is_dir()]
    files = [match for match in matches if not Path(match).is_dir()]
    readable = [name for name in files if Path(name).suffix.lower() in VIDEO_SUFFIXES | FEATURES]
    for name in files:
        if name in readable or not (readable or folders):
            result.add(name)
        else:
            result.skip("of unknown type", name)
    for name in folders:
        if readable or len(folders) > 1:
            before = len(result.files)
            videos = videos_in(Path(name), result)
            for video in videos:
                result.add(str(video))
            if len(result.files) == before and not videos:
                result.skip("without videos", name)
        else:
            _add_folder(result, Path(name), fps)
    if not result.files:
        raise UserError("INPUT", pattern, f"a pattern that matches videos; {result.note}")


def _refuse(path: Path, name: str) -> None:
    """Refuse what is no file and never will be one, with what to do instead."""
    if path.is_symlink() and not path.exists():
        raise UserError(path, f"a link to {os.readlink(path)}, which is missing", "a video file", "copy it again")
    if path.is_file():
        if path.suffix.lower() in IMAGE_SUFFIXES:
            raise UserError(path, "an image", "a video file", _FRAMES_STEP)
        return
    if _ADDRESS.match(name):
        raise UserError(name, "an address", "a video file: whyact fetches nothing", "download it, then give the file")
    if _CAMERA.fullmatch(name):
        raise UserError(name, "a camera", "a video file", "record it first, then give the file")


def is_hidden_folder(name: str) -> bool:
    """Tell whether a folder of this name is none that a person filled with videos."""
    return name.startswith(".") or name == "__MACOSX"


def _walk(folder: Path, result: Inputs) -> Iterator[Path]:
    """Yield every path under a folder that is no folder; links to folders are followed, each folder once."""
    seen: set[str] = set()

    def refuse(error: OSError) -> None:
        result.skip("that cannot be listed", str(error.filename))

    for place, folders, files in os.walk(folder, followlinks=True, onerror=refuse):
        real = os.path.realpath(place)
        if real in seen:
            result.skip("read already under another name", place)
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not is_hidden_folder(name))
        yield from (Path(place) / name for name in files)
