"""Charades: the official CSVs, the class file and the class-to-object-and-verb mapping.

The layout, all in one folder::

    Charades_v1_train.csv, Charades_v1_test.csv    eleven columns, a video a row
    Charades_v1_classes.txt                        c000 Holding some clothes
    Charades_v1_mapping.txt                        c000 o009 v008   (class, object, verb; may be absent)

``actions`` reads ``c092 11.90 21.20;c147 0.00 12.60``: class, start and end in seconds; it may be empty, and an end may
lie beyond the video's length. The training file also holds a few intervals that end before they start: they count
for the label of the video, and are kept as they are.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from whyact.data.io.archive import sha256_text
from whyact.errors import UserError

COLUMNS = (
    "id",
    "subject",
    "scene",
    "quality",
    "relevance",
    "verified",
    "script",
    "objects",
    "descriptions",
    "actions",
    "length",
)
TRAIN, TEST = "Charades_v1_train.csv", "Charades_v1_test.csv"
CLASSES, MAPPING = "Charades_v1_classes.txt", "Charades_v1_mapping.txt"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)  # it becomes a file name
_UNKNOWN = -100.0  # what some conversions write for a rating that is absent


class Interval(NamedTuple):
    """An action (index) from ``start`` to ``end`` in seconds, as annotated."""

    action: int
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Video:
    """One row of an official CSV. ``quality`` and ``relevance`` are 1..7, ``None`` where nobody rated."""

    id: str
    subject: str
    scene: str
    quality: float | None
    relevance: float | None
    verified: bool
    script: str
    objects: tuple[str, ...]
    descriptions: tuple[str, ...]
    intervals: tuple[Interval, ...]
    length: float

    @property
    def targets(self) -> tuple[int, ...]:
        """Return the classes of the video: the union over its intervals, in order."""
        return tuple(sorted({interval.action for interval in self.intervals}))


@dataclass(frozen=True)
class ActionClass:
    """A class: its code, its name, and the codes of its object and verb where the mapping file says."""

    code: str
    name: str
    object: str = ""
    verb: str = ""


@dataclass(frozen=True)
class Charades:
    """The two official lists and the classes."""

    classes: tuple[ActionClass, ...]
    train: tuple[Video, ...]
    test: tuple[Video, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the class names in order."""
        return tuple(action.name for action in self.classes)

    def shared_subjects(self) -> set[str]:
        """Return the people who appear in both lists: none, as published, and a check of one's own lists."""
        return {video.subject for video in self.train} & {video.subject for video in self.test}

    def split_sha256(self) -> str:
        """Return a checksum of the official split: the names in both lists in order."""
        return sha256_text("train", *(v.id for v in self.train), "test", *(v.id for v in self.test))


def read(root: Path) -> Charades:
    """Read the class file, both lists, and the mapping where there is one.

    Raises:
        UserError: For a missing file, or a line that breaks the layout, naming file and line.
    """
    classes = read_classes(root / CLASSES)
    if (root / MAPPING).is_file():
        classes = read_mapping(root / MAPPING, classes)
    train, test = (read_videos(root / name, classes) for name in (TRAIN, TEST))
    both = {video.id for video in train} & {video.id for video in test}
    if both:
        raise UserError(root / TEST, min(both), f"no video of {TRAIN}", "correct the lists")
    return Charades(classes, train, test)


def read_classes(path: Path) -> tuple[ActionClass, ...]:
    """Read ``code name`` lines, in the order of their codes c000, c001, ...

    Raises:
        UserError: For a line without a code and a name, or codes that are not consecutive.
    """
    classes: list[ActionClass] = []
    for number, line in _lines(path):
        code, _, name = line.partition(" ")
        if code != f"c{len(classes):03d}" or not name.strip():
            raise UserError(f"{path} line {number}", line, f"c{len(classes):03d}, a space and a name")
        classes.append(ActionClass(code, name.strip()))
    if not classes:
        raise UserError(path, "no line", "at least one class")
    return tuple(classes)


def read_mapping(path: Path, classes: tuple[ActionClass, ...]) -> tuple[ActionClass, ...]:
    """Return the classes with the object and verb codes of ``class object verb`` lines.

    Raises:
        UserError: For a line of another form, an unknown class, or a class without a line.
    """
    found: dict[str, tuple[str, str]] = {}
    known = {action.code for action in classes}
    for number, line in _lines(path):
        parts = line.split()
        if len(parts) != 3 or parts[0] not in known or parts[0] in found:
            raise UserError(f"{path} line {number}", line, "a class not named before, an object code and a verb code")
        found[parts[0]] = (parts[1], parts[2])
    for action in classes:
        if action.code not in found:
            raise UserError(path, f"no line for {action.code}", "a line for every class")
    return tuple(ActionClass(a.code, a.name, *found[a.code]) for a in classes)


def read_videos(path: Path, classes: tuple[ActionClass, ...]) -> tuple[Video, ...]:
    """Read one official CSV.

    Args:
        path: The file; quoted fields may hold commas and line breaks.
        classes: What the codes in ``actions`` may name.

    Raises:
        UserError: For a missing file or a row that breaks the layout, naming the line on which the row ends.
    """
    index = {action.code: i for i, action in enumerate(classes)}
    videos: dict[str, Video] = {}
    rows = _rows(path)
    _, header = next(rows, (1, []))
    if tuple(header) != COLUMNS:
        raise UserError(f"{path} line 1", ",".join(header), ",".join(COLUMNS))
    for number, row in rows:
        if not row:
            continue
        where = f"{path} line {number}"
        if len(row) != len(COLUMNS):
            raise UserError(where, f"{len(row)} fields", f"{len(COLUMNS)} fields", "check its quotation marks")
        video = _video(where, dict(zip(COLUMNS, row, strict=True)), index)
        if video.id in videos:
            raise UserError(where, video.id, "each video once")
        videos[video.id] = video
    if not videos:
        raise UserError(path, "no row", "at least one video")
    return tuple(videos.values())


def summary(data: Charades) -> dict[str, object]:
    """Count what was read: videos, intervals, classes, empty rows, odd intervals and people on both sides."""
    videos = data.train + data.test
    if not videos:
        raise UserError("charades", "0 videos", f"at least one row in {TRAIN} and {TEST}")
    intervals = [(video, interval) for video in videos for interval in video.intervals]
    scenes = Counter(video.scene for video in videos)
    return {
        "data": "charades",
        "train": len(data.train),
        "test": len(data.test),
        "classes": len(data.classes),
        "intervals": len(intervals),
        "videos_without_action": sum(not video.intervals for video in videos),
        "intervals_beyond_the_video": sum(i.end > video.length for video, i in intervals),
        "intervals_that_end_before_they_start": sum(i.end < i.start for _, i in intervals),
        "actions_per_video": float(np.mean([len(video.targets) for video in videos])),
        "scenes": dict(scenes.most_common()),
        "subjects_on_both_sides": len(data.shared_subjects()),
        "split_sha256": data.split_sha256(),
    }


def _video(where: str, row: dict[str, str], index: dict[str, int]) -> Video:
    if not _NAME.fullmatch(row["id"]):
        raise UserError(f"{where}, id", row["id"], "letters, digits, - and _, for it names a file")
    if row["verified"] not in ("Yes", "No", ""):
        raise UserError(f"{where}, verified", row["verified"], "Yes or No")
    length = _number(f"{where}, length", row["length"])
    return Video(
        id=row["id"],
        subject=row["subject"],
        scene=row["scene"],
        quality=_rating(f"{where}, quality", row["quality"]),
        relevance=_rating(f"{where}, relevance", row["relevance"]),
        verified=row["verified"] == "Yes",
        script=row["script"],
        objects=_listed(row["objects"]),
        descriptions=_listed(row["descriptions"]),
        intervals=tuple(_interval(where, text, index) for text in _listed(row["actions"])),
        length=length,
    )


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(";") if part.strip())


def _interval(where: str, text: str, index: dict[str, int]) -> Interval:
    parts = text.split()
    if len(parts) != 3 or parts[0] not in index:
        raise UserError(f"{where}, actions", text, f"a class c000 to c{len(index) - 1:03d}, a start and an end")
    start, end = (_number(f"{where}, actions, {text!r}", part) for part in parts[1:])
    return Interval(index[parts[0]], start, end)


def _number(where: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise UserError(where, text, "seconds, 0 or more")
    return value


def _rating(where: str, text: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if value == _UNKNOWN:
        return None
    if not 1 <= value <= 7:
        raise UserError(where, text, "1 to 7, or nothing")
    return value


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(
            path, error.strerror, "this file of Charades", "whyact data check charades --root DIR"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(path, str(error), "UTF-8 text") from error


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(_text(path).splitlines(), 1):
        if line.strip():
            yield number, line.strip()


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise UserError(f"{path} line {reader.line_num}", str(error), "comma-separated values") from error
