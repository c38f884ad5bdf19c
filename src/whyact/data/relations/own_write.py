"""Write own data: from the CAD-120 layout, or from any description of videos."""

from __future__ import annotations

import shutil
from itertools import groupby
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from whyact.data.relations import cad120
from whyact.data.relations.frames import shared_names
from whyact.data.relations.own_file import (
    FILE,
    Allowed,
    Fold,
    OwnAction,
    OwnFile,
    OwnRelation,
    OwnRule,
    OwnTrack,
    OwnVideo,
)
from whyact.data.types import Vocabulary
from whyact.errors import UserError
from whyact.files import file_sha256, temporary_sibling, write_atomic
from whyact.video.reader import VideoReader


def write_own(root: Path, file: OwnFile, videos: Path | None = None, *, replace: bool = False) -> Path:
    """Write the JSON under ``root`` and return its path.

    Args:
        root: The folder; another file of its kind is overwritten only to ``replace`` it.
        file: What to write.
        videos: The folder in which the videos lie that the file names; they are copied first.

    Raises:
        UserError: Where there is one already that is not to be replaced, or another film of a video's name.
    """
    path = root / FILE
    if path.exists() and not replace:
        raise UserError(path, None, "a folder without one", "choose another folder")
    for name in [video.file for video in file.videos if video.file] if videos is not None else []:
        to, source = root / name, Path(videos or "") / name
        if not to.exists():
            to.parent.mkdir(parents=True, exist_ok=True)
            draft = temporary_sibling(to)
            try:
                shutil.copyfile(source, draft)
                draft.replace(to)
            finally:
                draft.unlink(missing_ok=True)
        elif to.stat().st_size != source.stat().st_size or file_sha256(to) != file_sha256(source):
            raise UserError(to, "another film", f"{source}, or no file", "choose another folder")
    return write_atomic(path, msgspec.json.format(msgspec.json.encode(file), indent=1) + b"\n")


def from_cad120(root: Path) -> OwnFile:
    """Describe a data set in the CAD-120 layout: the same clips, names and slots, and its folds.

    A fold that would train or test on no clip is dropped: the others keep their order, numbered from 1. Where none is
    left, each group is one, as in any file without folds.

    Where ``videos/VIDEO.mp4`` is there too, as a generated world has it, the boxes are scaled to its size and the
    rate is its own.

    Raises:
        UserError: For damaged data, a video whose clips are not listed one after the other, or a ``VIDEO.mp4`` of which
            several videos have the name.
    """
    videos, words, folds = cad120.annotated_videos(root)
    shared = shared_names(entry.video_id for entry, _, _ in videos)
    out = []
    for entry, annotated, clips in videos:
        file, rate, size = f"videos/{entry.video}.mp4", annotated.rate, annotated.image_size
        if there := (root / file).is_file():
            if entry.video in shared:
                expected = f"a film of one video; {entry.video_id} is not the only one of this name"
                raise UserError(root / file, entry.video, expected, "give the videos names of their own")
            with VideoReader(root / file) as reader:
                facts = reader.facts()
            rate, size = facts.fps or rate, (facts.width, facts.height)
        scale = np.array([size[i % 2] / annotated.image_size[i % 2] for i in range(4)], np.float32)
        tracks = [
            OwnTrack(name, words.objects[annotated.kind[name]], [_box(row * scale) for row in boxes])
            for name, boxes in annotated.boxes.items()
        ]
        relations = [
            OwnRelation(pair, words.relations[r], start, end)
            for pair, labels in annotated.labels.items()
            for r in range(len(words.relations))
            for start, end in _spans(labels[:, r], annotated.frames)
        ]
        out.append(
            OwnVideo(
                id=entry.video_id,
                file=file if there else "",
                fps=rate,
                image_size=size,
                frames=annotated.frames.tolist(),
                tracks=tracks,
                relations=relations,
                actions=[OwnAction(clip.action, clip.start, clip.end) for clip in clips],
                group=entry.subject,
            )
        )
    people = {entry.subject for entry, _, _ in videos}  # whoever has a clip
    sides = ((sorted(train & people), sorted(test & people)) for train, test in folds.values())
    whole = [Fold(train, test) for train, test in sides if train and test]
    return described(words, out, whole)


def described(words: Vocabulary, videos: list[OwnVideo], folds: list[Fold]) -> OwnFile:
    """Return a file with these words; the videos' actions and relations must be among them."""
    return OwnFile(
        format="whyact-own",
        version=1,
        objects=list(words.objects),
        relations=list(words.relations),
        actions=list(words.actions),
        allowed=[Allowed(a, b, list(names)) for (a, b), names in words.allowed.items()],
        at_most=dict(words.at_most),
        rules=[OwnRule(r.action, r.before, r.after, list(r.objects), r.subject) for r in words.rules],
        videos=videos,
        folds=folds,
    )


def _box(row: NDArray[np.float32]) -> tuple[float, float, float, float] | None:
    x1, y1, x2, y2 = (float(x) for x in row)
    return (x1, y1, x2, y2) if x2 > x1 else None


def _spans(true: NDArray[np.bool_], frames: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return the runs of true as first and last frame number."""
    out = []
    for value, run in groupby(range(len(true)), key=lambda i: bool(true[i])):
        if value:
            members = list(run)
            out.append((int(frames[members[0]]), int(frames[members[-1]])))
    return out
