"""Class folders of clips, or a table of them, as own data: labels, groups and folds without a line written by hand.

``clips/CLASS/*.mp4`` or ``clips/CLASS/GROUP/*.mp4``; or a CSV with the columns ``file`` and ``label`` and, where there
are any, ``group``, ``start`` and ``end`` (seconds). Clips cut from one film never stand on both sides of a fold: films
are told apart by group, else by folder, else by frames that are nearly the same.
"""

from __future__ import annotations

import math
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whyact.data.io.tables import Row, read_table, refuse_alike
from whyact.data.relations.clip_groups import NAMED, group_files, join_some, make_folds
from whyact.data.relations.own_file import LONGEST, Fold, OwnAction, OwnFile, OwnVideo
from whyact.errors import Mistakes, UserError
from whyact.video.inputs import Inputs, is_hidden_folder, videos_in
from whyact.video.numbers import frame_times
from whyact.video.reader import LATE, VideoReader

DATA = "-data"  # at the end of a run's name: the folder beside it that its training data are written to
COLUMNS = ("file", "label", "group", "start", "end")
FEW = 5  # clips of a class: with fewer, a model has hardly anything to learn from
_GRAY = 24  # side of the images that are compared
_TIMES = (0.02, 0.5, 0.98)  # of a clip's length: the frames that are compared
_PAST = 0.5  # seconds that a span may end after its video without a warning: times in tables are rounded


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


class ClipList(list[ListedClip]):
    """Clips as they were listed; ``notes`` say what was skipped on the way."""

    def __init__(self, clips: Iterable[ListedClip], notes: Iterable[str] = ()) -> None:
        super().__init__(clips)
        self.notes = [note for note in notes if note]


def list_clips(path: Path) -> ClipList:
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


def class_places(path: Path) -> list[Path]:
    """Return the class folders in a folder.

    Raises:
        UserError: When two class folders are one, by a link.
    """
    classes = [p for p in sorted(path.iterdir()) if p.is_dir() and not is_hidden_folder(p.name)]
    linked: dict[Path, Path] = {}
    for place in classes:
        if (other := linked.setdefault(place.resolve(), place)) != place:
            found = f"{other.name} and {place.name}, which are one folder"
            raise UserError(f"--videos {path}", found, "each class folder once", "remove the link")
    return classes


def _list_folder(path: Path) -> ClipList:
    skipped = Inputs()
    files = videos_in(path, skipped)
    loose = [p for p in files if p.parent == path]
    if loose:
        raise UserError(
            "--videos", str(loose[0]), "a folder for each class: clips/CLASS/*.mp4, or a CSV that names them"
        )
    out = []
    for file in files:
        label, *between = file.relative_to(path).parent.parts
        out.append(ListedClip(file, label, "/".join(between)))
    refuse_alike(((path / clip.label, clip.label) for clip in out), "class folder")
    if not out:
        expected = f"videos in class folders, clips/CLASS/*.mp4{f'; {skipped.note}' if skipped.note else ''}"
        raise UserError("--videos", str(path), expected)
    empty = ", ".join(sorted({place.name for place in class_places(path)} - {clip.label for clip in out}))
    note = f"class folders without a video, so that nothing is learned of them: {empty}" if empty else ""
    return ClipList(out, [note, skipped.note])


def _list_csv(path: Path) -> ClipList:
    out: dict[ListedClip, int] = {}
    twice, mistakes = [], Mistakes(path)
    files: dict[Path, Path] = {}  # one spelling of each
    for row in read_table(path, COLUMNS[:2], COLUMNS[2:]):
        file = path.parent / row["file"]
        if not row["file"] or not os.path.isfile(file):  # False for too long a name, too
            mistakes.add_line(row.line, row["file"], f"a video file, from {path.parent}", column="file")
        if not row["label"]:
            mistakes.add_line(row.line, "", "the name of a class", column="label")
        start, end = (_seconds(mistakes, row, name) for name in ("start", "end"))
        if start is not None and end is not None and end <= start:
            mistakes.add_line(row.line, f"start {start:g}, end {end:g}", "an end after the start")
        file = files.setdefault(place_of(file), file)
        clip = ListedClip(file, row["label"], row["group"], start, end)
        if out.setdefault(clip, row.line) != row.line:
            twice.append(str(row.line))
    mistakes.refuse()
    if not out:
        raise UserError(path, "no row", "a row for each clip")
    refuse_alike((f"{path}:{line}", clip.label) for clip, line in out.items())
    note = f"{len(twice)} rows are there twice and count once: line {', '.join(twice[:NAMED])}" if twice else ""
    return ClipList(out, [note + ", ..." * (len(twice) > NAMED)])


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
class ClipFile:
    """A video that can be read: frames a second, (width, height), and from when to when it shows frames, in seconds.

    ``times`` (N,) is when each frame comes on screen; empty where nobody asked.
    """

    rate: float
    size: tuple[int, int]
    start: float
    end: float
    degraded: str = ""
    times: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def frames(self, clip: ListedClip) -> tuple[int, int]:
        """Return the first and the last frame, from 1, that are on screen in a clip's span."""
        first = 1 if clip.start is None else max(1, int(np.searchsorted(self.times, clip.start + LATE, "right")))
        last = len(self.times) if clip.end is None else int(np.searchsorted(self.times, clip.end - LATE))
        return first, max(first, last)


@dataclass(frozen=True)
class OpenedClips:
    """Clips whose files can be read: where all of these lie, and of each file its facts, path below there and group."""

    base: Path
    clips: list[ListedClip]
    files: dict[Path, ClipFile]
    names: dict[Path, str]
    groups: dict[Path, str]
    warnings: list[str]


def open_clips(
    clips: Sequence[ListedClip], on_clip: Callable[[str], None] | None = None, *, timed: bool = False
) -> OpenedClips:
    """Open every video and find out which belong to one film; what cannot be used is in the warnings.

    Args:
        clips: What :func:`list_clips` returns.
        on_clip: Called with the name of each video that was opened.
        timed: Decode every video once, to know when each frame is shown.

    Raises:
        UserError: Where no training could come of them: fewer than two classes with two clips.
    """
    warnings: list[str] = []
    listed = list(dict.fromkeys(clip.file for clip in clips))
    files: dict[Path, ClipFile] = {}
    prints: dict[Path, NDArray[np.float32]] = {}
    broken: list[str] = []
    for file in listed:
        try:
            files[file], prints[file] = _open(file, timed=timed)
        except UserError as error:
            broken.append(str(error))
        if on_clip is not None:
            on_clip(file.name)
    if broken:
        shown = "; ".join(broken[:3]) + (f"; and {len(broken) - 3} more" if len(broken) > 3 else "")
        warnings.append(f"{len(broken)} of {len(listed)} videos cannot be read and are dropped: {shown}")
    if damaged := [f"{file.name} ({found.degraded})" for file, found in files.items() if found.degraded]:
        warnings.append(f"{len(damaged)} of {len(listed)} videos are used as far as they go: {join_some(damaged)}")
    clips, notes = within([clip for clip in clips if clip.file in files], files)
    warnings += notes
    counts = Counter(label for label, *_ in {(clip.label, clip.file, clip.start, clip.end) for clip in clips})
    if sum(count >= 2 for count in counts.values()) < 2:
        each = ", ".join(f"{name} ({count})" for name, count in sorted(counts.items())) or "none"
        expected = "; ".join(["two classes of two clips or more", *warnings])
        raise UserError("--videos", f"classes with clips that can be read: {each}", expected)
    if few := [f"{name} ({count})" for name, count in sorted(counts.items()) if count < FEW]:
        warnings.append(f"classes with fewer than {FEW} clips, of which little can be learned: {', '.join(few)}")
    base = Path(os.path.commonpath([place_of(file).parent for file in listed]))
    kept: dict[Path, list[str]] = {}
    for clip in clips:
        kept.setdefault(clip.file, []).extend([clip.group] if clip.group else [])
    names = {file: place_of(file).relative_to(base).as_posix() for file in kept}
    groups, notes = group_files({file: list(dict.fromkeys(own)) for file, own in kept.items()}, names, prints)
    return OpenedClips(base, clips, {file: files[file] for file in kept}, names, groups, warnings + notes)


def within(clips: Sequence[ListedClip], files: Mapping[Path, ClipFile]) -> tuple[list[ListedClip], list[str]]:
    """Return the clips in whose span their video shows anything, and what to say of others, and of cut spans."""
    kept, outside, cut = [], [], []
    for clip in clips:
        file = files[clip.file]
        late = clip.start is not None and clip.start + LATE >= file.end
        early = clip.end is not None and clip.end - LATE <= file.start
        what = f"{clip.file.name} {_span(clip)}, of {file.start:.4g} s to {file.end:.4g} s"
        if late or early:
            outside.append(what)
            continue
        kept.append(clip)
        if clip.end is not None and clip.end > file.end + _PAST:
            cut.append(what)
    notes = []
    if outside:
        notes.append(
            f"{len(outside)} clips name times at which their video shows nothing; dropped: {join_some(outside)}"
        )
    if cut:
        notes.append(f"{len(cut)} clips end after their video, and are cut there: {join_some(cut)}")
    return kept, notes


def _span(clip: ListedClip) -> str:
    end = "the end" if clip.end is None else f"{clip.end:g} s"
    return f"{clip.start or 0:g} s to {end}"


def place_of(file: Path) -> Path:
    """Return where a file lies, absolute and without ``..``; a link keeps its name."""
    place = Path(os.path.abspath(file))
    if ".." in file.parts and place.parent.resolve() != file.parent.resolve():  # behind a link .. is elsewhere
        place = file.parent.resolve() / file.name
    return place


def describe_clips(clips: ClipList, on_clip: Callable[[str], None] | None = None) -> ClipFolder:
    """Open every video, and return clips, groups and folds; what cannot be used is in the warnings.

    Args:
        clips: What :func:`list_clips` returns.
        on_clip: Called with the name of each video that was opened.

    Raises:
        UserError: As :func:`open_clips`, when a span has two classes, and for names that own data cannot have.
    """
    opened = open_clips(clips, on_clip, timed=True)
    _check_names(opened)
    own: dict[Path, list[ListedClip]] = {file: [] for file in opened.files}
    for clip in opened.clips:
        own[clip.file].append(clip)
    videos = [_video(opened, file, own[file]) for file in own]
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    for video in videos:
        labels[video.group].update(action.action for action in video.actions)
    folds, notes = make_folds(labels)
    if repeated := len(opened.clips) - sum(len(video.actions) for video in videos):
        notes.append(f"{repeated} rows name frames that another row of their class names; they count once")
    actions = sorted({clip.label for clip in opened.clips})
    return ClipFolder(opened.base, videos, actions, folds, clips.notes + opened.warnings + notes)


def _check_names(opened: OpenedClips) -> None:
    """Refuse names that the own data of these clips could not be read back with."""
    for file, name in opened.names.items():
        if len(name) > LONGEST:
            found = f"a path of {len(name)} characters below {opened.base}"
            raise UserError(str(file), found, f"at most {LONGEST}", "shorter names of files and folders")
        if "\\" in name or not _is_text(name):
            raise UserError(str(file), "a backslash or broken characters in its path", "a plain name", "rename it")
    for clip in opened.clips:
        if len(clip.label) > LONGEST or not _is_text(clip.label):
            raise UserError(str(clip.file), f"the class {clip.label}", f"a name of at most {LONGEST} characters")


def _is_text(name: str) -> bool:
    """Tell whether a name is Unicode: bytes of a file's name that are not are half characters in Python."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


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


def _open(file: Path, *, timed: bool) -> tuple[ClipFile, NDArray[np.float32]]:
    """Return what is known of a video, and three small gray images of it."""
    from PIL import Image

    with VideoReader(file) as reader:
        moments = [share * max(reader.length - reader.step, 0.0) for share in _TIMES]
        images = [shown.image for shown in reader.frames_at(moments)]
        facts = reader.facts()
        found = ClipFile(
            facts.fps or 1 / reader.step, (facts.width, facts.height), reader.start, reader.length, facts.degraded
        )
    if not images:
        raise UserError(file, facts.degraded or "no frame", "a video with at least one frame that decodes")
    if timed:
        found = _timed(file, found)
    gray = [np.asarray(Image.fromarray(i).convert("L").resize((_GRAY, _GRAY)), np.float32) for i in images]
    return found, np.stack(gray)


def _timed(file: Path, found: ClipFile) -> ClipFile:
    """Return a file with when its frames are shown; its rate is theirs, whatever the container declares."""
    times = frame_times(file)
    if not len(times):
        raise UserError(file, found.degraded or "no frame", "a video with at least one frame that decodes")
    length = float(times[-1] - times[0])
    rate = round((len(times) - 1) / length, 6) if length > 0 else found.rate
    usual = float(np.median(np.diff(times))) if length > 0 else 1 / rate
    return replace(found, rate=rate, start=float(times[0]), end=float(times[-1]) + usual, times=times)


def _video(opened: OpenedClips, file: Path, clips: Sequence[ListedClip]) -> OwnVideo:
    name, found = opened.names[file], opened.files[file]
    actions: dict[tuple[int, int], OwnAction] = {}
    for clip in clips:
        action = OwnAction(clip.label, *found.frames(clip))
        other = actions.setdefault((action.start, action.end), action)
        if other.action != clip.label:
            raise UserError(str(file), f"{other.action} and {clip.label}", "one class for a clip")
    return OwnVideo(
        id=name,
        file=f"videos/{name}",
        fps=found.rate,
        image_size=found.size,
        actions=list(actions.values()),
        group=opened.groups[file],
    )
