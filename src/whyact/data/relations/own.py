"""A user's own data: one JSON of words, tracks, relations and actions beside a folder of videos.

``whyact.json`` in the root (docs/own-data.md explains every key)::

    {"format": "whyact-own", "version": 1, "objects": [...], "relations": [...], "actions": [...],
     "videos": [{"id": "kitchen", "file": "videos/kitchen.mp4", "fps": 30, "image_size": [640, 480], "frames": [1, 2],
                 "tracks": [{"name": "cup_1", "class": "cup", "boxes": [[1, 2, 3, 4], null]}],
                 "relations": [{"pair": ["hand_1", "cup_1"], "relation": "holding", "from": 1, "to": 2}],
                 "actions": [{"action": "pick", "from": 1, "to": 2}]}]}

Frame numbers are 1-based and spans include both ends. Without relations every pair of a subject and another thing that
are both in view is a token, and the video model learns alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyact.data.definition import Dataset
from whyact.data.io.tables import refuse_alike
from whyact.data.relations.footage import Footage, VideoFootage
from whyact.data.relations.own_file import FILE, OwnFile, OwnTrack, OwnVideo, read_file, video_path
from whyact.data.relations.pair_clips import AnnotatedVideo, Pair, pairs_in_view
from whyact.data.relations.relation_data import RelationData, summary
from whyact.data.types import (
    DISTANCE,
    IN_VIEW,
    MEASURED,
    RelationClip,
    RelationGroup,
    Rule,
    Vocabulary,
)
from whyact.errors import Mistakes, UserError
from whyact.metrics.boxes import clip_to_image, guess_unit

_CORNERS = "[x1, y1, x2, y2] in pixels"


def read(root: Path, *, slots: int, only: str | None = None, clip_boxes: bool = False) -> RelationData:
    """Read ``root/whyact.json``; the videos are opened only where it does not say their rate and size.

    Args:
        root: The folder.
        slots: Most pairs of a clip.
        only: Read just the clip of this id, ``VIDEO/FROM-TO`` or ``VIDEO``.
        clip_boxes: Cut off what lies outside the image instead of refusing it.

    Raises:
        UserError: For a missing file, JSON of another form, or anything in it that contradicts the rest; the mistakes
            of all videos are named at once.
    """
    path = root / FILE
    file = read_file(path)
    words = vocabulary(path, file)
    clips: list[RelationClip] = []
    splits: list[str] = []
    seen: set[str] = set()
    video_of: dict[str, OwnVideo] = {}
    known: list[str] = []
    mistakes = Mistakes(path)
    for video in file.videos:
        if video.id in seen:
            raise UserError(f"{path}: videos", video.id, "each id once")
        seen.add(video.id)
        reader = mistakes.collect(lambda v=video: _Reader(path, file, words, v, clip_boxes or file.clip_boxes))  # type: ignore[misc]
        found = mistakes.collect(lambda r=reader: list(r.clips(slots))) if reader is not None else None  # type: ignore[misc]
        for clip in found or ():
            known.append(clip.id)
            if only is None or clip.id == only:
                clips.append(clip)
                splits.append(video.split)
                video_of[clip.id] = video
    mistakes.refuse()
    if not clips and only is not None:
        example = next(iter([*get_close_matches(only, known, n=1), *known]), "")
        raise UserError("clip", only, f"a clip of {path}{f', such as {example}' if example else ''}")
    if not clips:
        raise UserError(path, "no clip", "at least one video with actions or labels")
    if len({clip.id for clip in clips}) < len(clips):
        twice = next(c.id for c in clips if sum(d.id == c.id for d in clips) > 1)
        raise UserError(f"{path}: actions", twice, "each span of a video once")
    facts = {"videos": len(file.videos), "videos_without_tracks": sum(not v.tracks for v in file.videos)}

    def footage(clip: RelationClip) -> Footage:
        video = video_of[clip.id]
        where = f"{path}: video {video.id}, file"
        if not video.file:
            raise UserError(where, None, "the path of the video, which looking at pixels needs", f"add it to {FILE}")
        return VideoFootage(video_path(where, root, video.file), where)

    return RelationData("own", words, tuple(clips), _folds(path, file, clips, splits), facts, footage)


def vocabulary(path: Path, file: OwnFile) -> Vocabulary:
    """Return the words of the file, each of which must be known and listed once.

    Raises:
        UserError: For a word that is used and not listed, or listed twice.
    """
    for where, listed in (("objects", file.objects), ("relations", file.relations), ("actions", file.actions)):
        if len(set(listed)) < len(listed):
            raise UserError(f"{path}: {where}", next(w for w in listed if listed.count(w) > 1), "each word once")
        refuse_alike(((f"{path}: {where}", word) for word in listed), "word")
        if not listed and where != "relations":
            raise UserError(f"{path}: {where}", "an empty list", "at least one word")
    used: list[tuple[str, Sequence[str], Sequence[str]]] = [("subjects", file.subjects, file.objects)]
    used.append(("at_most", list(file.at_most), file.objects))
    for a in file.allowed:
        used += [("allowed", [a.subject, a.object], file.objects), ("allowed", a.relations, file.relations)]
    used += [("groups", group.relations, file.relations) for group in file.groups]
    for rule in file.rules:
        used += [("rules", [rule.action], file.actions), ("rules", [rule.before, rule.after], file.relations)]
        used += [("rules", [*rule.objects, *([rule.subject] if rule.subject else [])], file.objects)]
    for where, words, known in used:
        for word in words:
            if word not in known:
                raise UserError(f"{path}: {where}", word, f"one of {', '.join(known) or 'none: the list is empty'}")
    grouped = [word for group in file.groups for word in group.relations]
    if file.groups and sorted(grouped) != sorted(file.relations):
        raise UserError(f"{path}: groups", ", ".join(grouped), "every relation in exactly one group")
    groups = tuple(RelationGroup(g.name, tuple(g.relations), g.exclusive) for g in file.groups)
    relations = tuple(file.relations) or (IN_VIEW,)
    if file.measured:
        if file.rules and not file.relations:
            raise UserError(f"{path}: rules", file.rules[0].action, "none: no relation that is measured makes a rule")
        relations = (*file.relations, *_measured_names(file))
        # The last group names tokens: an annotated one where there is any.
        own = groups or ((RelationGroup("annotated", tuple(file.relations)),) if file.relations else ())
        motion, distance = relations[-len(MEASURED) : -len(DISTANCE)], relations[-len(DISTANCE) :]
        groups = (RelationGroup("motion", motion, True), RelationGroup("distance", distance, True), *own)
    return Vocabulary(
        objects=tuple(file.objects),
        relations=relations,
        actions=tuple(file.actions),
        allowed=_allowed(file),
        rules=tuple(Rule(r.action, r.before, r.after, r.subject, tuple(r.objects)) for r in file.rules),
        at_most=dict(file.at_most),
        measured=file.measured,
        groups=groups,
        multi_label=any(video.labels is not None for video in file.videos),
    )


def _measured_names(file: OwnFile) -> tuple[str, ...]:
    """Return the names of measured relations, which differ from those that the file annotates."""
    return tuple(f"{name}_by_boxes" if name in file.relations else name for name in MEASURED)


def _allowed(file: OwnFile) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return which relations a pair of classes can carry: as listed, else as annotated, else all that is in view."""
    if not file.relations:
        subjects = file.subjects or file.objects[:1]
        relations = MEASURED if file.measured else (IN_VIEW,)
        return {(a, b): relations for a in subjects for b in file.objects}
    also = _measured_names(file) if file.measured else ()
    if file.allowed:
        return {(a.subject, a.object): (*a.relations, *also) for a in file.allowed}
    found: dict[tuple[str, str], set[str]] = {}
    for video in file.videos:
        kind = {track.name: track.kind for track in video.tracks}
        for item in video.relations:
            a, b = item.pair
            # Unknown tracks are refused where the video is read; two things of one class are not the state of one.
            if a in kind and b in kind and (a == b or kind[a] != kind[b]):
                found.setdefault((kind[a], kind[b]), set()).add(item.relation)
    return {pair: (*(name for name in file.relations if name in found[pair]), *also) for pair in sorted(found)}


class _Reader:
    """One video of the file, checked and turned into arrays."""

    def __init__(self, path: Path, file: OwnFile, words: Vocabulary, video: OwnVideo, clip_boxes: bool) -> None:
        self.where = f"{path}: video {video.id}"
        self.words, self.video = words, video
        self.action = {name: i for i, name in enumerate(words.actions)}
        if (video.labels is not None) != words.multi_label or (video.labels is not None and video.actions):
            raise UserError(self.where, "actions and labels", "spans of one action in all videos, or labels in all")
        rate, size = _rate_and_size(self.where, path.parent, video)
        self.frames = self._frames(path.parent)
        self.clip_boxes = clip_boxes
        given = [box for track in video.tracks for box in track.boxes if box is not None]
        if unit := guess_unit(given, size):
            raise UserError(f"{self.where}, boxes", f"coordinates that look like {unit}", _CORNERS, "convert them")
        boxes = {track.name: self._boxes(track, size) for track in video.tracks}
        if len(boxes) < len(video.tracks):
            raise UserError(f"{self.where}, tracks", ", ".join(t.name for t in video.tracks), "each name once")
        kind = {track.name: words.objects.index(track.kind) for track in video.tracks}
        labels = self._labels(boxes) if file.relations else self._in_view(boxes)
        self.annotated = AnnotatedVideo(boxes, kind, labels, self.frames, rate, size, len(words.relations))

    def clips(self, slots: int) -> Iterator[RelationClip]:
        """Yield the clips of the video in the order of the file."""
        v = self.video
        if v.labels is not None:
            for label in v.labels:
                self._known(label)
            targets = tuple(sorted({self.action[label] for label in v.labels}))
            yield self.annotated.clip(v.id, slice(None), slots, targets=targets, group=v.group)
        for span in v.actions:
            self._known(span.action)
            name = f"{v.id}/{span.start}-{span.end}"
            where = self._span(f"{self.where}, actions", span.start, span.end)
            yield self.annotated.clip(name, where, slots, target=self.action[span.action], group=v.group)

    def _known(self, action: str) -> None:
        if action not in self.action:
            raise UserError(f"{self.where}, actions", action, f"one of {', '.join(self.words.actions)}")

    def _frames(self, root: Path) -> NDArray[np.int64]:
        listed = self.video.frames
        if listed is None:
            count = max((len(track.boxes) for track in self.video.tracks), default=0)
            if not self.video.tracks and self.video.file:  # no box is annotated: a detector may look at all frames
                file = video_path(self.where, root, self.video.file)
                count = len(VideoFootage(file)) if file.is_file() else 0
            listed = list(range(1, max(1, count) + 1))
        frames = np.array(listed, dtype=np.int64)
        if not len(frames) or (np.diff(frames) <= 0).any():
            raise UserError(
                f"{self.where}, frames", f"{len(frames)} numbers", "at least one, each larger than the last"
            )
        return frames

    def _span(self, where: str, start: int, end: int) -> slice:
        low, high = np.searchsorted(self.frames, [start, end + 1])
        if start > end or low == high:
            listed = f"frames {self.frames[0]} to {self.frames[-1]}"
            raise UserError(where, f"{start}-{end}", f"a span with at least one listed frame ({listed})")
        return slice(int(low), int(high))

    def _boxes(self, track: OwnTrack, size: tuple[int, int]) -> NDArray[np.float32]:
        where = f"{self.where}, track {track.name}"
        if track.kind not in self.words.objects:
            raise UserError(f"{where}, class", track.kind, f"one of {', '.join(self.words.objects)}")
        if len(track.boxes) != len(self.frames):
            raise UserError(f"{where}, boxes", f"{len(track.boxes)} boxes", f"{len(self.frames)}, one a listed frame")
        hidden = (0.0, 0.0, 0.0, 0.0)
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused below
            boxes = np.array([hidden if box is None else box for box in track.boxes], np.float32).reshape(-1, 4)
        there = np.array([box is not None for box in track.boxes], bool)
        if self.clip_boxes:
            boxes = np.where(np.isfinite(boxes), clip_to_image(boxes, size), boxes).astype(np.float32)
        inside = (boxes >= -1).all(1) & (boxes <= np.array(size * 2) + 1).all(1)
        ordered = np.isfinite(boxes).all(1) & (boxes[:, 2:] > boxes[:, :2]).all(1)
        wrong = np.flatnonzero(there & ~(ordered & inside))
        if len(wrong):
            i, more = int(wrong[0]), f" (and {len(wrong) - 1} more frames)" if len(wrong) > 1 else ""
            expected = f"{_CORNERS} with x1 < x2 and y1 < y2, inside {size[0]} x {size[1]}{more}"
            step = f'"clip_boxes": true in {FILE}, or --data.clip_boxes true (data check: --clip-boxes), cuts it off'
            step = step if np.asarray(ordered)[wrong].all() else ""
            raise UserError(f"{where}, frame {self.frames[i]}", boxes[i].round(3).tolist(), expected, step)
        return boxes

    def _labels(self, boxes: dict[str, NDArray[np.float32]]) -> dict[Pair, NDArray[np.bool_]]:
        index = {name: i for i, name in enumerate(self.words.relations[: self.words.annotated])}
        out: dict[Pair, NDArray[np.bool_]] = {}
        for item in self.video.relations:
            where = f"{self.where}, relation of {' and '.join(item.pair)}"
            for track in item.pair:
                if track not in boxes:
                    raise UserError(where, track, "the name of one of the video's tracks")
            if item.relation not in index:
                raise UserError(where, item.relation, f"one of {', '.join(index)}")
            if item.pair not in out:
                out[item.pair] = np.zeros((len(self.frames), len(self.words.relations)), bool)
            out[item.pair][self._span(where, item.start, item.end), index[item.relation]] = True
        return out

    def _in_view(self, boxes: dict[str, NDArray[np.float32]]) -> dict[Pair, NDArray[np.bool_]]:
        """Pair every track of a subject class with every other track where both have a box."""
        if self.video.relations:
            raise UserError(f"{self.where}, relations", self.video.relations[0].relation, "a word of `relations`")
        pairs = pairs_in_view({track.name: track.kind for track in self.video.tracks}, self.words.allowed)
        seen = {name: (rows != 0).any(1) for name, rows in boxes.items()}
        return {(a, b): (seen[a] & seen[b])[:, None] for a, b in pairs}


def _rate_and_size(where: str, root: Path, video: OwnVideo) -> tuple[float, tuple[int, int]]:
    """Return frames a second and (width, height), from the JSON or else from the video itself."""
    rate, size = video.fps, video.image_size
    if rate is None or size is None:
        if not video.file:
            raise UserError(where, "no file, fps or image_size", "fps and image_size, or a file that tells them")
        from whyact.video.decode import decode

        path = video_path(where, root, video.file)
        facts = decode(path, 1).facts
        rate, size = rate or _measured_rate(path) or facts.fps, size or (facts.width, facts.height)
    if not (math.isfinite(rate) and rate > 0 and min(size) > 0 and max(size) < 2**24):
        raise UserError(f"{where}, fps and image_size", f"{rate} and {size}", "numbers above 0")
    return rate, size


def _measured_rate(path: Path) -> float:
    """Return the mean frames a second that are shown, which a header may declare otherwise; 0 for a single frame."""
    from whyact.video.numbers import frame_times

    times = frame_times(path)
    return (len(times) - 1) / float(times[-1] - times[0]) if len(times) > 1 else 0.0


def _folds(
    path: Path, file: OwnFile, clips: Sequence[RelationClip], splits: Sequence[str]
) -> dict[int, tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return the folds that the file lists, else its one split, else each group held out in turn."""

    def members(chosen: set[str]) -> tuple[int, ...]:
        return tuple(i for i, clip in enumerate(clips) if clip.group in chosen)

    if file.folds:
        known_groups = {video.group for video in file.videos}
        for number, fold in enumerate(file.folds, 1):
            if unknown := [group for group in (*fold.train, *fold.test) if group not in known_groups]:
                known = ", ".join(sorted(known_groups)[:20])
                raise UserError(f"{path}: fold {number}", unknown[0], f"a group of the videos, such as {known}")
            if set(fold.train) & set(fold.test):
                raise UserError(f"{path}: fold {number}", ", ".join(fold.train), "no group on both sides")
        return {n: (members(set(f.train)), members(set(f.test))) for n, f in enumerate(file.folds, 1)}
    if any(splits):
        test = tuple(i for i, split in enumerate(splits) if split == "test")
        return {1: (tuple(i for i, split in enumerate(splits) if split != "test"), test)}
    groups = list(dict.fromkeys(clip.group for clip in clips))
    return {n: (members(set(groups) - {group}), members({group})) for n, group in enumerate(groups, 1)}


def _check(root: Path, clip_boxes: bool = False) -> dict[str, Any]:
    """Summarise the JSON, and count the videos that it names and the folder lacks."""
    counts = summary(read(root, slots=10**6, clip_boxes=clip_boxes))
    files = [video.file for video in read_file(root / FILE).videos if video.file]
    missing = [file for file in files if not video_path("videos", root, file).is_file()]
    return counts | {"video_files_missing": len(missing), "first_video_files_missing": missing[:10]}


DATASET = Dataset(
    "own",
    """\
whyact.json      objects, relations, actions; tracks and labels of each video
videos/          the files that whyact.json names; needed for pixels only
└── kitchen.mp4
""",
    check=_check,
    check_clipped=partial(_check, clip_boxes=True),
    relations=lambda root, options: read(root, slots=options.slots, only=options.only, clip_boxes=options.clip_boxes),
)
