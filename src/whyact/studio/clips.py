"""The clips of a training: their actions, what a person marked in them, and what they lack before they can be learned.

Marks are kept as own data beside the clips: ``whyact.json`` lists the marked ones, by the paths of their films.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from whyact.data.relations.own_file import FILE, OwnAction, OwnFile, OwnVideo, read_file
from whyact.data.relations.own_write import write_own
from whyact.errors import UserError
from whyact.perception.things import PERSONS
from whyact.perception.tracks import Tracks
from whyact.perception.tracks_file import read_tracks
from whyact.studio.corrections import put_video
from whyact.studio.forms import Marks
from whyact.studio.marks import (
    FilmIndex,
    add_word,
    check_marks,
    draw_marks,
    empty_tracks,
    to_own_actions,
    to_own_tracks,
)
from whyact.studio.train_tasks import FEATURES, detector_tracks_path

FEWEST_ACTIONS, FEWEST_CLIPS = 2, 2  # of each of these actions
_PLACEHOLDER = "person"  # own data must name at least one thing


@dataclass(frozen=True)
class Clip:
    """A clip of a training.

    Attributes:
        id: Its number among the clips of the training.
        name: The user's name of the file, for the eye; never part of a path.
        label: What happens in it.
        group: The film that it is cut from, where that is known.
        file: The name of the file on the server.
        size: Bytes.
        content: The SHA-256 of the file.
        marks: What a person marked in it; segments take the place of the label.
    """

    id: str
    name: str
    label: str
    group: str
    file: str
    size: int = 0
    content: str = ""
    marks: Marks = field(default_factory=Marks)

    @property
    def actions(self) -> list[str]:
        """Return the action of each piece of it that can be learned from; one that has no name is empty."""
        return [segment.action for segment in self.marks.segments] or [self.label]

    @property
    def segments(self) -> int:
        """Return how many segments are marked."""
        return len(self.marks.segments)

    @property
    def drawn(self) -> int:
        """Return how many things are drawn."""
        return len(self.marks.drawn)

    def row(self) -> dict[str, Any]:
        """Return what the process that trains needs to know of it."""
        own = {name: getattr(self, name) for name in ("file", "name", "label", "group", "content")}
        return own | self.marks.model_dump(include={"segments", "drawn"})


def load_tracks(folder: Path, clip: Clip, index: FilmIndex) -> Tracks:
    """Return what the detector found in a clip, where somebody has looked; otherwise nothing."""
    files = (folder / FEATURES).glob(f"tracks-*/{clip.content[:32]}.json")
    newest = max(files, key=lambda path: path.stat().st_mtime, default=None)
    return empty_tracks(index) if newest is None else read_tracks(detector_tracks_path(newest))


def save_marks(folder: Path, clip: Clip, index: FilmIndex) -> None:
    """Write a clip's marks into the own data of its folder, with the boxes that a detector found.

    Raises:
        UserError: For marks that are not of this clip.
    """
    marks = clip.marks
    if marks.relations:
        expected = "no marked relations: in clips to learn from they are measured from the boxes"
        raise UserError("relations", marks.relations[0].relation, expected)
    if not (marks.segments or marks.drawn):
        return forget_marks(folder, clip)
    if not marks.segments and not clip.label:
        raise UserError("boxes", "no action yet", "a segment, or the action of the clip", "mark a segment too")
    check_marks(marks, index)
    path = folder / FILE
    words = OwnFile(
        format="whyact-own", version=1, objects=[], actions=[], videos=[], measured=True, name="marked clips"
    )
    file = read_file(path) if path.exists() else words
    tracks = draw_marks(load_tracks(folder, clip, index), marks, index)
    kinds = {
        name: add_word(kind, file.objects, "boxes") for name, kind in zip(tracks.names, tracks.classes, strict=True)
    }
    put_video(
        file,
        OwnVideo(
            id=clip.file,
            file=clip.file,
            fps=index.fps,
            image_size=(index.width, index.height),
            frames=tracks.frames.tolist(),
            tracks=to_own_tracks(tracks, kinds, with_seen=True),
            actions=to_own_actions(marks, clip.label, tracks.frames, file.actions),
            group=clip.group or clip.file,
        ),
    )
    _write(folder, file)


def rename_marked(folder: Path, clip: Clip) -> None:
    """Name the action of a marked clip that has no segments as the clip is named now."""
    path = folder / FILE
    if clip.marks.segments or not clip.marks.drawn or not clip.label or not path.exists():
        return
    file = read_file(path)
    for video in file.videos:
        if video.id == clip.file:
            label = add_word(clip.label, file.actions, "action")
            video.actions = [OwnAction(label, action.start, action.end) for action in video.actions]
    _write(folder, file)


def _write(folder: Path, file: OwnFile) -> None:
    """Write the own data of marked clips, with the words that are used in them."""
    kinds = dict.fromkeys(track.kind for video in file.videos for track in video.tracks)
    file.objects = list(kinds) or [_PLACEHOLDER]
    file.subjects = [kind for kind in file.objects if kind in PERSONS] or file.objects[:1]
    file.actions = list(dict.fromkeys(action.action for video in file.videos for action in video.actions))
    write_own(folder, file, replace=True)


def forget_marks(folder: Path, clip: Clip) -> None:
    """Take a clip out of the own data of its folder; without any other the file is deleted."""
    path = folder / FILE
    if not path.exists():
        return
    file = read_file(path)
    kept = [video for video in file.videos if video.id != clip.file]
    if not kept:
        path.unlink()
    elif len(kept) < len(file.videos):
        file.videos = kept[:-1]
        put_video(file, kept[-1])
        _write(folder, file)


def missing_for(clips: Collection[Clip]) -> str:
    """Return in words what the clips of a training lack before anything can be learned; empty where nothing is."""
    nameless = [clip.name for clip in clips if not all(clip.actions)]
    counts = Counter(label for clip in clips for label in clip.actions if label)
    need = f"at least {FEWEST_ACTIONS} actions with {FEWEST_CLIPS} clips of each"
    if sum(count >= FEWEST_CLIPS for count in counts.values()) < FEWEST_ACTIONS:
        listed = ", ".join(f"{count} of {name}" for name, count in sorted(counts.items()))
        some = f"{len(clips)} clip{'s' if len(clips) != 1 else ''}"
        return f"{need}; some tens of each are a beginning. Here are too few: {some}{f' ({listed})' if listed else ''}"
    if nameless:
        more = f" and {len(nameless) - 1} more" if len(nameless) > 1 else ""
        return f"an action for every clip; none yet for {nameless[0]}{more}"
    return ""


def clean_model_name(text: str) -> str:
    """Return the name of a model, which is a folder's name too: letters, digits, spaces, dashes and underscores.

    Raises:
        UserError: When nothing is left of it.
    """
    name = " ".join(re.sub(r"[^\w -]+", " ", text).split())[:60].strip(" -_")
    if not name or not name.isascii():
        raise UserError("the model's name", text[:60], "plain letters, digits, spaces and dashes")
    return name
