"""Action Genome and Charades together: relation clips with all the actions of their video.

A slot is an object track: Action Genome names no instances, so the key is the class and, where a class repeats in a
frame, its rank from left to right. A token is valid where the frame has a person and the object has a box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whyact.data.relations import action_genome, charades
from whyact.data.relations.action_genome import CONVERTED, PERSONS, Annotations
from whyact.data.relations.action_genome_words import GROUPS, OBJECTS, PERSON, RELATIONS, vocabulary
from whyact.data.relations.footage import FolderFootage, Footage, VideoFootage
from whyact.data.relations.relation_data import RelationData
from whyact.data.types import RelationClip
from whyact.errors import UserError
from whyact.metrics.charades import scene_groups

NATIVE_RATE = 30.0  # frames a second of nearly all videos; used where nobody has looked into the file
SCENE_FOLDS = 5
_RANKS = 1024  # more objects of one class in one frame there are not


@dataclass(frozen=True)
class Layout:
    """Where the parts lie under one root: annotation folder, Charades lists, videos, extracted frames."""

    annotations: Path
    charades: Path
    videos: Path
    frames: Path


def find_layout(root: Path) -> Layout:
    """Find the parts under ``root``: each in it, or in the folder in which its release keeps it.

    Raises:
        UserError: When the annotations or the lists are in none of these places.
    """
    annotations = _holding(root, ("", "annotations", "ActionGenome/annotations", "action-genome"), (CONVERTED, PERSONS))
    lists = _holding(root, ("", "charades", "Charades", "annotations"), (charades.TRAIN,))
    videos = next((root / n for n in ("videos", "Charades_v1_480") if (root / n).is_dir()), root / "videos")
    return Layout(annotations, lists, videos, root / "frames")


def _holding(root: Path, places: Sequence[str], names: Sequence[str]) -> Path:
    for place in places:
        if any((root / place / name).is_file() for name in names):
            return root / place
    looked = ", ".join(str(root / place) for place in places)
    raise UserError(root, None, f"{names[-1]} in one of {looked}", "see docs/data.md for where it comes from")


def read(
    root: Path,
    *,
    slots: int,
    contact_only: bool = False,
    filter_small: float = 0.0,
    scenes: bool = False,
    only: str | None = None,
) -> RelationData:
    """Read Action Genome's boxes and relations with Charades' actions.

    Every video of the official lists becomes a clip: one without a single token too, which the official figure counts.

    Args:
        root: See :func:`find_layout`.
        slots: Most objects of a clip (K); those with a token in most frames come first.
        contact_only: Keep the contacting relations alone.
        filter_small: Leave out objects whose shorter side is below this many pixels.
        scenes: Five folds by scene (train and test scenes apart) in place of the one official split.
        only: Read just the clip of this video.

    Raises:
        UserError: For anything missing, damaged or inconsistent.
    """
    place = find_layout(root)
    lists = charades.read(place.charades)
    found = action_genome.read_annotations(place.annotations)
    words = vocabulary(lists.names, contact_only=contact_only)
    videos = [*lists.train, *lists.test]
    unknown = sorted(set(found.videos) - {video.id for video in videos})
    if unknown:
        raise UserError(place.annotations, f"video {unknown[0]} and {len(unknown) - 1} more", "videos of the lists")
    if only is not None:
        videos = [v for v in videos if v.id == only] or _no_video(only)
    cutter = _Cutter(found, slots, contact_only, filter_small)
    clips = tuple(cutter.clip(video) for video in videos)
    where = {clip.id: i for i, clip in enumerate(clips)}
    train = tuple(where[v.id] for v in lists.train if v.id in where)
    test = tuple(where[v.id] for v in lists.test if v.id in where)
    folds = {1: (train, test)}
    if scenes and only is None:
        folds = _scene_folds(videos, train, test)
    facts = {
        "videos_without_token": sum(not clip.valid.any() for clip in clips),
        "videos_not_annotated": sum(video.id not in cutter.index for video in videos),
        "frames": len(found.number),
        "frames_without_person": int((~cutter.there).sum()),
        "objects_without_box": found.hidden,
        "objects_with_an_empty_box": found.empty_boxes,
        "objects_too_small": cutter.small,
        "subjects_on_both_sides": len(lists.shared_subjects()),
    }
    rate = dict(zip(found.videos, found.rate.tolist(), strict=True))

    def footage(clip: RelationClip) -> Footage:
        return _footage(place, clip.id, rate.get(clip.id) or NATIVE_RATE)

    return RelationData("action-genome-scenes" if scenes else "action-genome", words, clips, folds, facts, footage)


def _footage(place: Layout, video: str, rate: float) -> Footage:
    """Return the prepared frames of a video, else the video itself."""
    if (folder := place.frames / f"{video}.mp4").is_dir():
        return FolderFootage(folder, rate)
    return VideoFootage(place.videos / f"{video}.mp4", f"video {video}, neither frames in {folder} nor the file")


def _no_video(name: str) -> list[charades.Video]:
    raise UserError("clip", name, "a video of the Charades lists")


def _scene_folds(
    videos: Sequence[charades.Video], train: Sequence[int], test: Sequence[int]
) -> dict[int, tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return fold f: training videos outside the f-th group of scenes, test videos inside it."""
    try:
        group = scene_groups([video.scene for video in videos], SCENE_FOLDS)
    except ValueError as error:
        raise UserError(
            "--data action-genome-scenes", str(error), f"videos of at least {SCENE_FOLDS} scenes"
        ) from error
    of = [group[video.scene] for video in videos]
    return {
        f + 1: (tuple(i for i in train if of[i] != f), tuple(i for i in test if of[i] == f)) for f in range(SCENE_FOLDS)
    }


class _Cutter:
    """Cuts the clip of each video from the flat arrays."""

    def __init__(self, found: Annotations, slots: int, contact_only: bool, filter_small: float) -> None:
        self.found, self.slots = found, slots
        self.index = {name: i for i, name in enumerate(found.videos)}
        self.starts = np.searchsorted(found.video, np.arange(len(found.videos) + 1))
        self.there = np.asarray((found.person[:, 2:] > found.person[:, :2]).all(1))
        side = (found.box[:, 2:] - found.box[:, :2]).min(1, initial=np.inf)
        keep = side >= filter_small
        self.small = int((~keep).sum())
        self.frame, self.kind, self.box = found.frame[keep], found.kind[keep], found.box[keep]
        skip = len(RELATIONS) - len(GROUPS[-1].relations) if contact_only else 0
        shift = np.arange(skip, len(RELATIONS), dtype=np.uint32)
        self.relations = ((found.bits[keep, None] >> shift) & 1).astype(bool)
        order = np.lexsort((self.box[:, 0], self.kind, self.frame))
        group = self.frame[order].astype(np.int64) * len(OBJECTS) + self.kind[order]
        first = np.flatnonzero(np.diff(group, prepend=-1)) if len(group) else np.zeros(0, np.int64)
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order)) - np.repeat(first, np.diff(first, append=len(order)))
        self.key = self.kind.astype(np.int64) * _RANKS + np.minimum(rank, _RANKS - 1)

    def clip(self, video: charades.Video) -> RelationClip:
        """Return the clip of a video; one that was never annotated is a single frame without a slot."""
        v = self.index.get(video.id)
        if v is None:
            return _filled(video, np.ones(1, np.int64), NATIVE_RATE, (1, 1), 0, self.relations.shape[1])
        a, b = self.starts[v], self.starts[v + 1]
        oa, ob = np.searchsorted(self.frame, (a, b))
        frame, key = self.frame[oa:ob] - a, self.key[oa:ob]
        token = self.there[a:b][frame]
        keys, count = np.unique(key[token], return_counts=True)
        order = np.lexsort((keys, -count))
        chosen = keys[order][: self.slots]
        rate = float(self.found.rate[v]) or NATIVE_RATE
        width, height = (int(x) for x in self.found.size[a])
        clip = _filled(
            video, self.found.number[a:b].astype(np.int64), rate, (width, height), len(chosen), self.relations.shape[1]
        )
        slot_of = {int(k): s for s, k in enumerate(chosen)}
        slot = np.array([slot_of.get(int(k), -1) for k in key], np.int64)
        use = token & (slot >= 0)
        t, k = frame[use], slot[use]
        assert clip.relations is not None
        clip.valid[t, k] = True
        clip.object_boxes[t, k] = self.box[oa:ob][use]
        clip.subject_boxes[t, k] = self.found.person[a:b][t]
        clip.relations[t, k] = self.relations[oa:ob][use]
        clip.object_class[:] = chosen // _RANKS
        names = tuple((PERSON, _slot_name(int(key))) for key in chosen)
        return replace(clip, slots=names, dropped_pairs=len(keys) - len(chosen))


def _slot_name(key: int) -> str:
    rank = key % _RANKS
    return OBJECTS[key // _RANKS] + (f" {rank + 1}" if rank else "")


def _filled(
    video: charades.Video, numbers: NDArray[np.int64], rate: float, size: tuple[int, int], k: int, relations: int
) -> RelationClip:
    """Return a clip of the right shapes with nothing in it."""
    t = len(numbers)
    return RelationClip(
        id=video.id,
        subject_boxes=np.zeros((t, k, 4), np.float32),
        object_boxes=np.zeros((t, k, 4), np.float32),
        subject_class=np.zeros(k, np.int64),
        object_class=np.zeros(k, np.int64),
        valid=np.zeros((t, k), bool),
        times=(numbers - 1) / rate,
        frames=numbers,
        slots=(("", ""),) * k,
        image_size=size,
        relations=np.zeros((t, k, relations), bool),
        targets=video.targets,
        group=video.subject,
    )
