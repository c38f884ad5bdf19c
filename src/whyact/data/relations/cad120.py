"""CAD-120 in the EVAR re-annotation layout: tracked boxes, relations, attributes, 551 action clips.

Frames of a clip are 1-based and inclusive. A box [0,0,0,0] means that the object is not visible: its pairs stay
tokens with an empty box, for the annotation names their relation all the same (a cup inside the microwave).
A video's JSON may give its frames a second as ``fps``; the published ones do not, and are at 30.
Relation scores predicted from RGB come from ``results_attributes+relationships.zip`` (or its folder):
``0F/SUBJECT/ACTIVITY/VIDEO/START_END_{rel,attr}.json``, fold F being the one that tests the clip's subject.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from whyact.data.definition import Dataset
from whyact.data.io.archive import Archive
from whyact.data.io.tables import refuse_alike, refuse_duplicates
from whyact.data.relations.frames import FramesFolder
from whyact.data.relations.pair_clips import AnnotatedVideo
from whyact.data.relations.relation_data import RelationData, summary
from whyact.data.types import RelationClip, RelationOptions, Rule, Vocabulary
from whyact.errors import UserError

LAYOUT = """\
annotations/  or annotations.zip
├── video_clips.txt             SUBJECT, ACTIVITY, VIDEO, FIRST, LAST, ACTION
├── splits/
│   ├── trainlist01.txt         fold 1: a subject a line
│   └── testlist01.txt
├── knowledge/                  object_list.txt, relation_list.txt, ... : words and rules
└── all/SUBJECT/ACTIVITY/VIDEO.json
results_attributes+relationships.zip   optional: relation scores predicted from RGB
"""
IMAGE_SIZE = (640, 480)
FPS = 30.0  # the published layout stores frame numbers only; Kinect recorded at 30 Hz
MAX_PAIRS = 28
_ONE_PERSON = {"hand": 2, "head": 1}  # each video shows one person
ANNOTATIONS = "annotations"
SCORES = "results_attributes+relationships"


class _Location(msgspec.Struct):
    obj_id: str
    loc_list: list[tuple[float, float, float, float]]


class _Attribute(msgspec.Struct):
    obj_id: str
    attr_list: list[str | int]


class _Relation(msgspec.Struct):
    obj_ids: tuple[str, str]
    rel_list: list[str | int]


class _Video(msgspec.Struct):
    locations: list[_Location]
    attributes: list[_Attribute]
    relations: list[_Relation]
    fps: Annotated[float, msgspec.Meta(gt=0, le=1e6)] = FPS


class _PairScores(msgspec.Struct):
    rel_list: list[list[str]]
    obj_ids: tuple[str, str]


class _AttributeScores(msgspec.Struct):
    attr_list: list[list[str]]
    obj_id: str


@dataclass(frozen=True)
class ClipEntry:
    """One line of ``video_clips.txt``."""

    subject: str
    activity: str
    video: str
    start: int
    end: int
    action: str

    @property
    def id(self) -> str:
        """Return ``SUBJECT/ACTIVITY/VIDEO/START-END``, the name a user types."""
        return f"{self.video_id}/{self.start}-{self.end}"

    @property
    def video_id(self) -> str:
        """Return ``SUBJECT/ACTIVITY/VIDEO``: two people may have videos of one name."""
        return f"{self.subject}/{self.activity}/{self.video}"


def read(
    root: Path,
    *,
    rgb_relations: bool = False,
    max_pairs: int = MAX_PAIRS,
    only: str | None = None,
    frames_dir: Path | None = None,
) -> RelationData:
    """Read the re-annotation under ``root``, a folder that holds the archives or their unpacked folders.

    Args:
        root: Folder with ``annotations.zip`` or ``annotations/``.
        rgb_relations: Also read the relation scores predicted from RGB into ``appearance`` (T,K,8):
            six relation and two attribute probabilities, NaN where a box was hidden.
        max_pairs: Most pairs kept for a clip (K); those visible longest come first, the rest are counted.
        only: Read just the clip of this id (the folds then hold no other).
        frames_dir: The user's own RGB frames, as :mod:`whyact.data.relations.frames` finds them.

    Raises:
        UserError: For anything missing, damaged or inconsistent, naming file and item.
    """
    archive, prefix = _open(root, ANNOTATIONS)
    scores, score_prefix = _open(root, SCORES) if rgb_relations else (None, "")
    vocabulary = _vocabulary(archive, prefix)
    entries = _entries(archive, prefix, vocabulary)
    footage = FramesFolder(frames_dir, (e.video_id for e in entries)).footage if frames_dir is not None else None
    if only is not None:
        entries = [e for e in entries if e.id == only] or _no_clip(only, entries)
    splits = _splits(archive, prefix)
    score_fold = {subject: fold for fold, (_, test) in splits.items() for subject in test}
    clips = []
    for _, group in itertools.groupby(sorted(entries, key=lambda e: (e.subject, e.activity, e.video)), key=_member):
        members = list(group)
        name = f"{prefix}{_member(members[0])}"
        video = _VideoArrays(f"{archive.path}: {name}", archive.json(name, _Video), vocabulary)
        for entry in members:
            appearance = None
            if scores is not None:
                if entry.subject not in score_fold:
                    raise UserError(f"{archive.path}: splits", entry.subject, "a fold that tests this subject")
                appearance = _Scores(scores, f"{score_prefix}{score_fold[entry.subject]:02d}", entry, vocabulary)
            clips.append(video.clip(entry, max_pairs, appearance))
    order = {entry.id: i for i, entry in enumerate(entries)}
    clips.sort(key=lambda clip: order[clip.id])
    folds = {
        number: (
            tuple(i for i, e in enumerate(entries) if e.subject in train),
            tuple(i for i, e in enumerate(entries) if e.subject in test),
        )
        for number, (train, test) in splits.items()
    }
    return RelationData("cad120", vocabulary, tuple(clips), folds, footage=footage)


def annotated_videos(
    root: Path,
) -> tuple[list[tuple[ClipEntry, AnnotatedVideo, list[ClipEntry]]], Vocabulary, dict[int, tuple[set[str], set[str]]]]:
    """Read whole videos in the order of their first clip: (first clip, tracks and labels, clips); words; folds."""
    archive, prefix = _open(root, ANNOTATIONS)
    words = _vocabulary(archive, prefix)
    videos: dict[str, list[ClipEntry]] = {}
    for entry in _entries(archive, prefix, words):
        videos.setdefault(_member(entry), []).append(entry)
    out = []
    for member, clips in videos.items():
        name = f"{prefix}{member}"
        arrays = _VideoArrays(f"{archive.path}: {name}", archive.json(name, _Video), words)
        out.append((clips[0], arrays.annotated, clips))
    return out, words, _splits(archive, prefix)


def _no_clip(only: str, entries: Sequence[ClipEntry]) -> list[ClipEntry]:
    raise UserError("clip", only, f"a clip of video_clips.txt such as {entries[0].id}")  # there is one at least


def _member(entry: ClipEntry) -> str:
    return f"all/{entry.video_id}.json"


def _open(root: Path, name: str) -> tuple[Archive, str]:
    """Open ``root/name.zip`` or ``root/name``; the prefix is the archive's own top folder, if it has one."""
    if not root.is_dir():
        raise UserError("--root", str(root), "a folder", f"put {name}.zip into it")
    for path in (root / f"{name}.zip", root / name):
        if path.exists():
            archive = Archive(path)
            return archive, f"{name}/" if any(n.startswith(f"{name}/") for n in archive.names()) else ""
    if (root / "video_clips.txt").exists() and name == ANNOTATIONS:
        return Archive(root), ""
    raise UserError(root, None, f"{name}.zip or the folder {name}/ in it", "see docs/data.md for where it comes from")


def _vocabulary(archive: Archive, prefix: str) -> Vocabulary:
    def fields(name: str, count: int) -> list[list[str]]:
        rows = [[part.strip() for part in line.split(";")] for line in archive.lines(f"{prefix}knowledge/{name}")]
        for row in rows:
            if len(row) != count:
                raise UserError(f"{archive.path}: knowledge/{name}", "; ".join(row), f"{count} fields separated by ';'")
        return rows

    def words(text: str) -> tuple[str, ...]:
        return tuple(word.strip() for word in text.split(",") if word.strip() not in ("", "null"))

    allowed: dict[tuple[str, str], tuple[str, ...]] = {}
    for subject, first, second, objects in fields("object_relation_list.txt", 4):
        allowed.update({(subject, obj): (first, second) for obj in words(objects)})
    for obj, attributes in fields("object_attribute_list.txt", 2):
        if words(attributes):
            allowed[(obj, obj)] = words(attributes)
    rules = [
        Rule(action, before, after, subject, words(objects))
        for action, before, after, subject, objects in fields("act_rel_list.txt", 5)
    ]
    rules += [
        Rule(action, before, after, "", words(objects))
        for action, before, after, objects in fields("act_attr_list.txt", 4)
    ]
    for kind in ("object", "relation", "attribute", "action"):
        where = f"{archive.path}: knowledge/{kind}_list.txt"
        listed = archive.lines(f"{prefix}knowledge/{kind}_list.txt")
        refuse_duplicates(where, listed, "word")
        refuse_alike(((where, word) for word in listed), "word")
    names = tuple(archive.lines(f"{prefix}knowledge/object_list.txt"))
    return Vocabulary(
        objects=names,
        relations=(
            *archive.lines(f"{prefix}knowledge/relation_list.txt"),
            *archive.lines(f"{prefix}knowledge/attribute_list.txt"),
        ),
        actions=tuple(archive.lines(f"{prefix}knowledge/action_list.txt")),
        allowed=allowed,
        rules=tuple(rules),
        at_most={name: count for name, count in _ONE_PERSON.items() if name in names},
    )


def _entries(archive: Archive, prefix: str, vocabulary: Vocabulary) -> list[ClipEntry]:
    entries: dict[str, ClipEntry] = {}
    for number, line in enumerate(archive.lines(f"{prefix}video_clips.txt"), 1):
        where = f"{archive.path}: video_clips.txt line {number}"
        parts = [part.strip() for part in line.split(",")]
        if len(parts) != 6 or not (parts[3].isdecimal() and parts[4].isdecimal()):
            raise UserError(where, line, "subject, activity, video, first frame, last frame, action")
        entry = ClipEntry(parts[0], parts[1], parts[2], int(parts[3]), int(parts[4]), parts[5])
        if entry.action not in vocabulary.actions:
            raise UserError(
                where, entry.action, f"an action of knowledge/action_list.txt: {', '.join(vocabulary.actions)}"
            )
        if not 1 <= entry.start <= entry.end:
            raise UserError(where, f"{entry.start}-{entry.end}", "1 <= first frame <= last frame")
        if entry.id in entries:
            raise UserError(where, entry.id, "each clip once")
        entries[entry.id] = entry
    if not entries:
        raise UserError(f"{archive.path}: video_clips.txt", "no line", "at least one clip")
    return list(entries.values())


def _splits(archive: Archive, prefix: str) -> dict[int, tuple[set[str], set[str]]]:
    folds = {}
    for number in itertools.count(1):
        if not archive.exists(f"{prefix}splits/testlist{number:02d}.txt"):
            break
        train = set(archive.lines(f"{prefix}splits/trainlist{number:02d}.txt"))
        test = set(archive.lines(f"{prefix}splits/testlist{number:02d}.txt"))
        if train & test:
            raise UserError(
                f"{archive.path}: splits, fold {number}", sorted(train & test), "disjoint train and test subjects"
            )
        folds[number] = (train, test)
    if not folds:
        raise UserError(f"{archive.path}: splits", "no testlist01.txt", "at least one fold")
    return folds


class _VideoArrays:
    """One annotated video as arrays, from which its clips are cut."""

    def __init__(self, where: str, video: _Video, vocabulary: Vocabulary) -> None:
        self.where, self.vocabulary, self.rate = where, vocabulary, video.fps
        self.length = len(video.locations[0].loc_list) if video.locations else 0
        refuse_duplicates(f"{where}: locations", (x.obj_id for x in video.locations), "object")
        refuse_duplicates(f"{where}: relations", ("-".join(x.obj_ids) for x in video.relations), "pair")
        refuse_duplicates(f"{where}: attributes", (x.obj_id for x in video.attributes), "object")
        self.boxes = {x.obj_id: self._boxes(x) for x in video.locations}
        relation = {name: i for i, name in enumerate(vocabulary.relations)}
        self.labels: dict[tuple[str, str], np.ndarray] = {}
        for pair, names in [
            *((r.obj_ids, r.rel_list) for r in video.relations),
            *(((a.obj_id, a.obj_id), a.attr_list) for a in video.attributes),
        ]:
            for name in set(names) - relation.keys() - {-1, "-1"}:
                raise UserError(f"{where}: {'-'.join(pair)}", name, f"a relation of {', '.join(vocabulary.relations)}")
            for obj in pair:
                if obj not in self.boxes:
                    raise UserError(f"{where}: relation of {'-'.join(pair)}", obj, "an object with locations")
            if len(names) != self.length:
                raise UserError(f"{where}: {'-'.join(pair)}", f"{len(names)} labels", f"{self.length}, one a frame")
            self.labels[pair] = np.array([relation.get(str(name), -1) for name in names])

    def _boxes(self, location: _Location) -> np.ndarray:
        where = f"{self.where}: {location.obj_id}"
        if self.class_name(location.obj_id) not in self.vocabulary.objects:
            raise UserError(where, location.obj_id, f"a class of {', '.join(self.vocabulary.objects)}")
        if len(location.loc_list) != self.length:
            raise UserError(where, f"{len(location.loc_list)} boxes", f"{self.length}, one a frame")
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused below
            xywh = np.asarray(location.loc_list, dtype=np.float32).reshape(-1, 4)
        xyxy = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
        seen = (xywh[:, 2:] > 0).all(axis=1)
        if seen.any() and xywh[seen].max() <= 1:
            raise UserError(where, "coordinates that look like shares of the image", "[x, y, width, height] in pixels")
        bad = seen & ((xyxy < 0).any(axis=1) | (xyxy > np.array(IMAGE_SIZE * 2)).any(axis=1))
        if bad.any():
            frame = int(np.flatnonzero(bad)[0])
            raise UserError(f"{where}, frame {frame + 1}", xywh[frame].tolist(), f"a box inside the {IMAGE_SIZE} image")
        xyxy[~seen] = 0.0
        return xyxy

    @staticmethod
    def class_name(obj_id: str) -> str:
        return obj_id.rsplit("_", 1)[0]

    def clip(self, entry: ClipEntry, max_pairs: int, scores: _Scores | None) -> RelationClip:
        """Cut one clip, with the scores of its pairs where there are some."""
        if entry.end > self.length:
            raise UserError(
                f"{self.where}: clip {entry.id}",
                f"last frame {entry.end}",
                f"at most {self.length}, the video's length",
            )
        target = self.vocabulary.actions.index(entry.action)
        span = slice(entry.start - 1, entry.end)
        clip = self.annotated.clip(entry.id, span, max_pairs, target=target, group=entry.subject)
        return clip if scores is None else replace(clip, appearance=scores.stack(clip.slots, len(clip.times)))

    @cached_property
    def annotated(self) -> AnnotatedVideo:
        """Return tracks and labels of the whole video."""
        index = {name: i for i, name in enumerate(self.vocabulary.objects)}
        one_hot = np.eye(len(self.vocabulary.relations) + 1, dtype=bool)[:, :-1]  # the last row, -1, has none
        return AnnotatedVideo(
            boxes=self.boxes,
            kind={track: index[self.class_name(track)] for track in self.boxes},
            labels={pair: one_hot[label] for pair, label in self.labels.items()},
            frames=np.arange(1, self.length + 1, dtype=np.int64),
            rate=self.rate,
            image_size=IMAGE_SIZE,
            relations=len(self.vocabulary.relations),
        )


class _Scores:
    """The RGB relation and attribute probabilities of one clip, by pair."""

    def __init__(self, archive: Archive, folder: str, entry: ClipEntry, vocabulary: Vocabulary) -> None:
        stem = f"{folder}/{entry.video_id}/{entry.start}_{entry.end}"
        self.where = f"{archive.path}: {stem}"
        attributes = len({word for pair, words in vocabulary.allowed.items() if pair[0] == pair[1] for word in words})
        self.relations, self.width = len(vocabulary.relations) - attributes, len(vocabulary.relations)
        self.by_pair = {x.obj_ids: x.rel_list for x in archive.json(f"{stem}_rel.json", list[_PairScores])}
        self.by_pair |= {
            (x.obj_id, x.obj_id): x.attr_list for x in archive.json(f"{stem}_attr.json", list[_AttributeScores])
        }

    def stack(self, pairs: Sequence[tuple[str, str]], frames: int) -> np.ndarray:
        """Return (T,K,R) probabilities; a pair fills its relation or its attribute columns, NaN where hidden."""
        out = np.zeros((frames, len(pairs), self.width), dtype=np.float32)
        for slot, pair in enumerate(pairs):
            columns = slice(self.relations, None) if pair[0] == pair[1] else slice(0, self.relations)
            shape = out[:, slot, columns].shape
            try:
                values = np.asarray(self.by_pair[pair], dtype=np.float32)
                if values.shape != shape:  # one row would silently stand for every frame
                    raise ValueError(f"shape {values.shape}")
                out[:, slot, columns] = np.where(values < 0, np.nan, values)
            except KeyError as error:
                raise UserError(self.where, None, f"scores for the pair {'-'.join(pair)}") from error
            except ValueError as error:
                raise UserError(f"{self.where}: {'-'.join(pair)}", str(error), f"{shape} numbers") from error
        return out


def _read(root: Path, options: RelationOptions) -> RelationData:
    return read(
        root,
        rgb_relations=options.rgb_relations,
        max_pairs=options.slots,
        only=options.only,
        frames_dir=options.frames_dir,
    )


DATASETS = tuple(
    Dataset(name, LAYOUT, check=lambda root: summary(read(root)), relations=_read) for name in ("cad120", "homeworld")
)
