"""What zero-shot recognition is trained and tested on: videos, class names as vectors, and splits over *classes*."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from whyact.arrays import Float32
from whyact.data.types import FeatureSequence, Int
from whyact.errors import UserError
from whyact.files import canonical_json, sha256

BLOCK = 4096  # rows checked at once: features may be mapped


@dataclass(frozen=True)
class ClassSplit:
    """Seen classes (trained on) and unseen ones (only ever tested on), by name.

    ``validation`` classes, where a published split has them, are neither: settings are chosen on them.

    Raises:
        UserError: When a side is empty, repeats a name, or shares one with another side.
    """

    name: str
    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    validation: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        sides = {"seen": self.seen, "unseen": self.unseen, "validation": self.validation}
        for side, names in sides.items():
            if not names and side != "validation":
                raise UserError(f"split {self.name}, {side}", "no class", "at least one class")
            _refuse_repeats(f"split {self.name}, {side}", names)
        for one, other in combinations(sides, 2):
            both = sorted(set(sides[one]) & set(sides[other]))
            if both:
                raise UserError(f"split {self.name}", f"{both[0]!r} {one} and {other}", "classes on one side only")

    @property
    def sha256(self) -> str:
        """Return the checksum of the sides, whatever the order of names in them."""
        sides = {"seen": sorted(self.seen), "unseen": sorted(self.unseen)}
        return sha256(canonical_json(sides | ({"validation": sorted(self.validation)} if self.validation else {})))

    def verified(self, expected: str) -> ClassSplit:
        """Return the split if its checksum is ``expected``.

        Raises:
            UserError: When it is not: the split was changed.
        """
        if self.sha256 != expected:
            raise UserError(
                f"split {self.name}", f"SHA-256 {self.sha256[:12]}", f"{expected[:12]}: the split was changed"
            )
        return self


@dataclass(frozen=True)
class ZeroShotData:
    """Videos with one target each, and every class name as a text vector.

    ``text`` (C,Dt) follows ``classes``; ``auxiliary`` are names without videos that only densify the graph,
    ``auxiliary_text`` (A,Dt) theirs. ``prompt`` is the sentence around a name, ``said`` a class -> the words put
    there (its name where absent), ``semantics`` what encoded the sentence, ``pixels`` what encoded the frames (empty
    where features are given), ``missing`` the videos that a list names and the disk lacks or cannot decode.
    """

    name: str
    classes: tuple[str, ...]
    text: Float32
    videos: tuple[FeatureSequence, ...]
    semantics: str
    prompt: str = "{}"
    said: dict[str, str] = field(default_factory=dict)
    pixels: str = ""
    auxiliary: tuple[str, ...] = ()
    auxiliary_text: Float32 = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        where = f"data {self.name}"
        _refuse_repeats(f"{where}, classes", self.classes)
        if len(self.text) != len(self.classes):
            raise UserError(f"{where}, text", self.text.shape, f"{len(self.classes)} rows, one a class")
        if not np.isfinite(self.text).all() or not np.isfinite(self.auxiliary_text).all():
            raise UserError(f"{where}, text", "NaN or infinity", "finite vectors")
        if not self.videos:
            raise UserError(f"{where}, videos", "no video", "at least one video", "whyact data check")
        width = self.width
        for video in self.videos:
            if video.features.shape[1] != width:
                raise UserError(f"video {video.id}", f"width {video.features.shape[1]}", f"features of width {width}")
            if len(video.features) == 0:
                raise UserError(f"video {video.id}", "no frame", "at least one frame")
            for start in range(0, len(video.features), BLOCK):
                if not np.isfinite(video.features[start : start + BLOCK]).all():
                    raise UserError(f"video {video.id}", "NaN or infinity", "finite features")
            if len(video.target) != 1 or not 0 <= video.target[0] < len(self.classes):
                raise UserError(f"video {video.id}, target", video.target, f"one class index below {len(self.classes)}")

    @property
    def width(self) -> int:
        """Return the width Dv of the video features."""
        return int(self.videos[0].features.shape[1])

    @property
    def targets(self) -> Int:
        """Return the class index of every video."""
        return np.array([video.target[0] for video in self.videos], dtype=np.int64)

    def index(self, names: Sequence[str]) -> Int:
        """Return the positions of class names.

        Raises:
            UserError: On a name that is no class of this data.
        """
        position = {name: i for i, name in enumerate(self.classes)}
        for name in names:
            if name not in position:
                raise UserError(f"data {self.name}", name, "a class of this data")
        return np.array([position[name] for name in names], dtype=np.int64)


@dataclass(frozen=True)
class Partition:
    """Positions of videos: trained on, seen classes held out, unseen classes, validation classes."""

    train: Int
    seen_test: Int
    unseen_test: Int
    validation: Int


def partition(data: ZeroShotData, split: ClassSplit, holdout: float, seed: int) -> Partition:
    """Hold out a share of every seen class before training, whole groups at a time.

    Videos with the same non-empty ``group`` come from one source and stay on one side. Every seen class keeps
    at least one training video. Which ones are held out depends on ids and the seed alone, not on file order.

    Raises:
        UserError: When the split names a class that the data lacks, or a seen class has no video.
    """
    seen, unseen = data.index(split.seen), data.index(split.unseen)
    targets = data.targets
    train: list[int] = []
    held: list[int] = []
    for c in seen:
        members = np.flatnonzero(targets == c)
        if len(members) == 0:
            raise UserError(f"split {split.name}", data.classes[c], "a seen class with at least one video")
        groups: dict[str, list[int]] = {}
        for i in members:
            groups.setdefault(data.videos[i].group or data.videos[i].id, []).append(int(i))
        wanted = round(holdout * len(members))
        taken = 0
        for k, group in enumerate(sorted(groups, key=lambda g: shuffle_key(seed, g))):
            last = k == len(groups) - 1
            if taken < wanted and not (last and taken == len(members) - len(groups[group])):
                held += groups[group]
                taken += len(groups[group])
            else:
                train += groups[group]
    return Partition(
        np.array(sorted(train), dtype=np.int64),
        np.array(sorted(held), dtype=np.int64),
        np.flatnonzero(np.isin(targets, unseen)),
        np.flatnonzero(np.isin(targets, data.index(split.validation))),
    )


def shuffle_key(seed: int, name: str) -> str:
    """Return a sort key that shuffles names the same way on every machine and library version."""
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()


def seeded_split(name: str, classes: Sequence[str], seen: int, seed: int) -> ClassSplit:
    """Return ``seen`` classes drawn by the seed, the rest unseen, each side in the order of ``classes``."""
    chosen = set(sorted(classes, key=lambda c: shuffle_key(seed, c))[:seen])
    return ClassSplit(name, tuple(c for c in classes if c in chosen), tuple(c for c in classes if c not in chosen))


def duplicate_splits(splits: Sequence[ClassSplit]) -> list[tuple[int, int]]:
    """Return the pairs (first, later) of positions that hold the same split."""
    first: dict[str, int] = {}
    pairs = []
    for i, split in enumerate(splits):
        earlier = first.setdefault(split.sha256, i)
        if earlier != i:
            pairs.append((earlier, i))
    return pairs


def at_rate(features: NDArray[np.floating], frames: int) -> tuple[NDArray[np.float32], Int]:
    """Sample a sequence (T,D) at ``frames`` evenly spaced places; short ones repeat frames.

    Returns:
        The sampled rows (frames,D) and the source row of each (frames,).

    Raises:
        UserError: When the sequence is empty.
    """
    if not len(features):
        raise UserError("features", "no frame", "at least one frame")
    index = ((np.arange(frames) + 0.5) * len(features) / frames).astype(np.int64)
    return features[index].astype(np.float32), index


def _refuse_repeats(where: str, names: Sequence[str]) -> None:
    known: set[str] = set()
    for name in names:
        if name in known:
            raise UserError(where, name, "every name once")
        known.add(name)
