"""Class folders of clips, or a table of them, as own data: labels, groups and folds without a line written by hand.

``clips/CLASS/*.mp4`` or ``clips/CLASS/GROUP/*.mp4``; or a CSV with the columns ``file`` and ``label`` and, where there
are any, ``group``, ``start`` and ``end`` (seconds). Clips cut from one film never stand on both sides of a fold: films
are told apart by group, else by folder, else by frames that are nearly the same.
"""

from __future__ import annotations

import math
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whyact.data.io.tables import Row, read_table, refuse_alike
from whyact.data.relations.own_file import Fold, OwnAction, OwnFile, OwnVideo
from whyact.errors import Mistakes, UserError
from whyact.video.inputs import Inputs, videos_in
from whyact.video.reader import VideoReader

DATA = "-data"  # at the end of a run's name: the folder beside it that its training data are written to
COLUMNS = ("file", "label", "group", "start", "end")
FEW = 5  # clips of a class: with fewer, a model has hardly anything to learn from
FOLDS = 5  # at most
_SAME = 2.0  # mean difference of gray values (0..255) under which two frames are from one film
_GRAY = 24  # side of the images that are compared
_TIMES = (0.02, 0.5, 0.98)  # of a clip's length: the frames that are compared


@dataclass(frozen=True)
class ListedClip:
    """A clip to learn from: a file or a span of it in seconds, its class, and the film or group that it belongs to."""

    file: Path
    label: str
    group: str = ""
    start: float | None = None
    end: float | None = None


@dataclass
class ClipFolder:
    """Clips as own data; the videos lie below ``base``, and ``warnings`` are printed before the training."""

    base: Path
    videos: list[OwnVideo]
    actions: list[str]
    folds: list[Fold]
    warnings: list[str] = field(default_factory=list)


def data_folder(run: Path) -> Path:
    """Return where the data made of a run's own clips are kept: beside the run."""
    return run.absolute().with_name(f"{run.absolute().name}{DATA}")


def list_clips(path: Path) -> list[ListedClip]:
    """Return the clips of a folder of class folders, or of a CSV file.

    Raises:
        UserError: When it is neither, holds no clip, or a row of the CSV is wrong.
    """
    if path.is_dir():
        return _list_folder(path)
    if path.suffix.lower() == ".csv":
        return _list_csv(path)
    found = "no such file or folder" if not path.exists() else "a file that is no CSV"
    raise UserError("--videos", f"{path}: {found}", "clips/CLASS/*.mp4, or a CSV with the columns file,label")


def _list_folder(path: Path) -> list[ListedClip]:
    out = []
    skipped = Inputs()
    files = videos_in(path, skipped)
    loose = [p for p in files if p.parent == path]
    if loose:
        raise UserError(
            "--videos", str(loose[0]), "a folder for each class: clips/CLASS/*.mp4, or a CSV that names them"
        )
    for file in files:
        label, *between = file.relative_to(path).parent.parts
        out.append(ListedClip(file, label, "/".join(between)))
    refuse_alike(((path / clip.label, clip.label) for clip in out), "class folder")
    if not out:
        expected = f"videos in class folders, clips/CLASS/*.mp4{f'; {skipped.note}' if skipped.note else ''}"
        raise UserError("--videos", str(path), expected)
    return out


def _list_csv(path: Path) -> list[ListedClip]:
    out, mistakes = [], Mistakes(path)
    for row in read_table(path, COLUMNS[:2], COLUMNS[2:]):
        file = path.parent / row["file"]
        if not row["file"] or not file.is_file():
            mistakes.add_line(row.line, row["file"], f"a video file, from {path.parent}", column="file")
        if not row["label"]:
            mistakes.add_line(row.line, "", "the name of a class", column="label")
        start, end = (_seconds(mistakes, row, name) for name in ("start", "end"))
        if start is not None and end is not None and end <= start:
            mistakes.add_line(row.line, f"start {start:g}, end {end:g}", "an end after the start")
        out.append((f"{path}:{row.line}", ListedClip(file, row["label"], row["group"], start, end)))
    mistakes.refuse()
    if not out:
        raise UserError(path, "no row", "a row for each clip")
    refuse_alike((where, clip.label) for where, clip in out)
    return [clip for _, clip in out]


def _seconds(mistakes: Mistakes, row: Row, column: str) -> float | None:
    text = row[column]
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not (math.isfinite(value) and value >= 0):
        mistakes.add_line(row.line, text, "seconds from the start of the file, or nothing", column=column)
        return None
    return value


@dataclass(frozen=True)
class OpenedClips:
    """Clips whose files can be read: where all of these lie, each one's rate, size, number of frames, and group."""

    base: Path
    clips: list[ListedClip]
    facts: dict[Path, tuple[float, tuple[int, int], int]]
    groups: dict[Path, str]
    warnings: list[str]

    def name(self, file: Path) -> str:
        """Return a file's name: its path below the common folder."""
        return file.absolute().relative_to(self.base).as_posix()


def open_clips(clips: Sequence[ListedClip], on_clip: Callable[[str], None] | None = None) -> OpenedClips:
    """Open every video and find out which belong to one film; what cannot be used is in the warnings.

    Args:
        clips: What :func:`list_clips` returns.
        on_clip: Called with the name of each video that was opened.

    Raises:
        UserError: Where no training could come of them: fewer than two classes with two clips.
    """
    warnings: list[str] = []
    files = list(dict.fromkeys(clip.file for clip in clips))
    facts: dict[Path, tuple[float, tuple[int, int], int]] = {}
    prints: dict[Path, NDArray[np.float32]] = {}
    broken: list[str] = []
    for file in files:
        try:
            facts[file], prints[file] = _open(file)
        except UserError as error:
            broken.append(str(error))
        if on_clip is not None:
            on_clip(file.name)
    if broken:
        shown = "; ".join(broken[:3]) + (f"; and {len(broken) - 3} more" if len(broken) > 3 else "")
        warnings.append(f"{len(broken)} of {len(files)} videos cannot be read and are dropped: {shown}")
    clips = [clip for clip in clips if clip.file in facts]
    counts = Counter(clip.label for clip in clips)
    if sum(count >= 2 for count in counts.values()) < 2:
        listed = ", ".join(f"{name} ({count})" for name, count in sorted(counts.items())) or "none"
        raise UserError(
            "--videos", f"classes with clips that can be read: {listed}", "two classes of two clips or more"
        )
    if few := {name: count for name, count in sorted(counts.items()) if count < FEW}:
        listed = ", ".join(f"{name} ({count})" for name, count in few.items())
        warnings.append(f"classes with fewer than {FEW} clips, of which little can be learned: {listed}")
    base = Path(os.path.commonpath([file.parent.absolute() for file in files]))
    groups, notes = _groups(base, clips, prints)
    return OpenedClips(base, list(clips), facts, groups, warnings + notes)


def describe_clips(clips: Sequence[ListedClip], on_clip: Callable[[str], None] | None = None) -> ClipFolder:
    """Open every video, and return clips, groups and folds; what cannot be used is in the warnings.

    Args:
        clips: What :func:`list_clips` returns.
        on_clip: Called with the name of each video that was opened.

    Raises:
        UserError: As :func:`open_clips`, and when a span has two classes.
    """
    found = open_clips(clips, on_clip)
    videos = []
    for file, facts in found.facts.items():
        own = [clip for clip in found.clips if clip.file == file]
        videos.append(_video(found.base, file, own, found.groups[file], *facts))
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    for video in videos:
        labels[video.group].update(action.action for action in video.actions)
    folds, notes = make_folds(labels)
    actions = sorted({clip.label for clip in found.clips})
    return ClipFolder(found.base, videos, actions, folds, found.warnings + notes)


def own_file(folder: ClipFolder, objects: Sequence[str], subjects: Sequence[str]) -> OwnFile:
    """Return the own data of clips: these things, of which the subjects act, and measured relations."""
    return OwnFile(
        format="whyact-own",
        version=1,
        objects=list(objects),
        subjects=list(subjects),
        actions=folder.actions,
        videos=folder.videos,
        folds=folder.folds,
        measured=True,
    )


def _open(file: Path) -> tuple[tuple[float, tuple[int, int], int], NDArray[np.float32]]:
    """Return a video's rate, size and number of frames, and three small gray images of it."""
    from PIL import Image

    with VideoReader(file) as reader:
        moments = [share * max(reader.length - reader.step, 0.0) for share in _TIMES]
        images = [shown.image for shown in reader.frames_at(moments)]
        facts = reader.facts()
        rate = facts.fps or (1 / reader.step)
        count = max(1, round(reader.length * rate))
    if not images:
        raise UserError(file, facts.degraded or "no frame", "a video with at least one frame that decodes")
    gray = [np.asarray(Image.fromarray(i).convert("L").resize((_GRAY, _GRAY)), np.float32) for i in images]
    return (rate, (facts.width, facts.height), count), np.stack(gray)


def _groups(
    base: Path, clips: Sequence[ListedClip], prints: dict[Path, NDArray[np.float32]]
) -> tuple[dict[Path, str], list[str]]:
    """Return the group of each file: as listed, else the file; files that share frames are one group."""
    given = {clip.file: clip.group for clip in clips}
    root = {file: file for file in given}

    def find(file: Path) -> Path:
        while root[file] != file:
            file = root[file]
        return file

    first: dict[str, Path] = {}
    for file, group in given.items():
        if group:
            root[find(file)] = find(first.setdefault(group, file))
    before = dict(root)
    alike = _alike(list(given), prints)
    for a, b in alike:
        root[find(a)] = find(b)
    warnings = []
    if len({find(file) for file in given}) < 2 and alike:
        root = before
        warnings.append("all clips look as if cut from one film: the test clips may be too like the training clips")
    elif found := sum(given[a] == "" or given[a] != given[b] for a, b in alike):
        names = ", ".join(f"{a.name} and {b.name}" for a, b in alike[:3])
        warnings.append(
            f"{found} pairs of clips share nearly the same frame and are kept on one side of a fold ({names}"
            f"{', ...' if found > 3 else ''}); to decide it yourself, name the films in the column group of a CSV"
        )
    name = {file: file.absolute().relative_to(base).with_suffix("").as_posix() for file in given}
    return {file: given[find(file)] or name[find(file)] for file in given}, warnings


def _alike(files: Sequence[Path], prints: dict[Path, NDArray[np.float32]]) -> list[tuple[Path, Path]]:
    """Return the pairs of files of which two frames are nearly the same."""
    if len(files) < 2:
        return []
    rows = [(file, image.reshape(-1)) for file in files for image in prints[file] if image.std() > 4]
    if len(rows) < 2:
        return []
    images = np.stack([image for _, image in rows])
    out: dict[tuple[Path, Path], None] = {}
    for i, (file, image) in enumerate(rows[:-1]):
        near = np.flatnonzero(np.abs(images[i + 1 :] - image).mean(1) < _SAME) + i + 1
        out |= {(file, rows[j][0]): None for j in near if rows[j][0] != file}
    return list(out)


def _video(
    base: Path, file: Path, clips: Sequence[ListedClip], group: str, rate: float, size: tuple[int, int], count: int
) -> OwnVideo:
    name = file.absolute().relative_to(base).as_posix()
    actions: dict[tuple[int, int], OwnAction] = {}
    for clip in clips:
        first = 1 if clip.start is None else min(count, int(clip.start * rate + 1e-6) + 1)
        last = count if clip.end is None else min(count, max(first, math.ceil(clip.end * rate - 1e-6)))
        if (first, last) in actions and actions[first, last].action != clip.label:
            raise UserError(str(file), f"{actions[first, last].action} and {clip.label}", "one class for a clip")
        actions[first, last] = OwnAction(clip.label, first, last)
    return OwnVideo(
        id=name, file=f"videos/{name}", fps=rate, image_size=size, actions=list(actions.values()), group=group
    )


def make_folds(labels: Mapping[str, Counter[str]]) -> tuple[list[Fold], list[str]]:
    """Return folds that hold out whole groups, each class spread over them as evenly as the groups allow.

    Args:
        labels: How many clips of each class each group has.

    Returns:
        The folds, and what a user should know of them.

    Raises:
        UserError: When there is one group alone.
    """
    count = min(FOLDS, len(labels))
    if count < 2:
        group = next(iter(labels))
        found = f"all clips are of one group ({group})"
        raise UserError("--videos", found, "clips of two films or groups at least: one to learn from, one to test on")
    groups_of = Counter(label for row in labels.values() for label in row)
    alone = sorted(label for label, n in groups_of.items() if n < 2)
    warnings = []
    if alone:
        warnings.append(f"classes whose clips are all of one film or group, never tested: {', '.join(alone)}")
    testable = [group for group, row in labels.items() if not set(row) <= set(alone)]
    tests: list[list[str]] = [[] for _ in range(min(count, max(1, len(testable))))]
    held = [Counter[str]() for _ in tests]
    for group in sorted(testable, key=lambda g: (-sum(labels[g].values()), g)):

        def load(k: int, row: Counter[str] = labels[group]) -> tuple[float, int, int]:
            return sum(held[k][label] * n for label, n in row.items()), sum(held[k].values()), k

        best = min(range(len(tests)), key=load)
        tests[best].append(group)
        held[best] += labels[group]
    every = list(labels)
    folds = [Fold([g for g in every if g not in test], test) for test in tests if test and len(test) < len(every)]
    return folds, warnings
