"""Composed gym sequences: real I3D snippets of trimmed clips spliced into untrimmed sequences with exact times.

Everything made here is *composed*: the snippets are real, their order is not. All clips are actions, so six
named classes supply the background and are never labelled. Clips are split into train and test before splicing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from whyact.data.definition import Dataset
from whyact.data.types import FeatureSequence
from whyact.data.untrimmed.feature_files import SNIPPET_SECONDS, sequence
from whyact.data.untrimmed.feature_split import FeatureSplit, generated_split
from whyact.data.untrimmed.sets import Annotation
from whyact.errors import UserError

FILE = "gym21_i3d.npz"
#: The six classes with the fewest clips play the background.
BACKGROUND = (
    "decline bench press",
    "hammer curl",
    "hip thrust",
    "romanian deadlift",
    "russian twist",
    "shoulder press",
)


@dataclass(frozen=True)
class GymClips:
    """Trimmed clips: ``features[i]`` (T_i, 2048) RGB then flow, ``labels[i]`` class name, ``names[i]``."""

    features: tuple[NDArray[np.float32], ...]
    labels: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the labelled classes: all but the background six, sorted."""
        return tuple(sorted(set(self.labels) - set(BACKGROUND)))


@dataclass(frozen=True)
class ComposeSpec:
    """Sizes of a composition; lengths in snippets of 0.64 s."""

    train_videos: int = 60
    test_videos: int = 30
    length: tuple[int, int] = (60, 120)
    segment: tuple[int, int] = (4, 12)
    gap: tuple[int, int] = (4, 14)
    second_class: float = 0.2
    train_share: float = 0.5


def load(root: Path | str) -> GymClips:
    """Read the clips.

    Args:
        root: The folder of ``gym21_i3d.npz``, or one that holds ``gym-i3d/``.

    Raises:
        UserError: When the file is missing, broken or disagrees with itself.
    """
    root = Path(root)
    path = next((p for p in (root / FILE, root / "gym-i3d" / FILE) if p.is_file()), None)
    if path is None:
        raise UserError(root, None, f"gym-i3d/{FILE}", "point --root at the folder that holds gym-i3d/")
    try:
        with np.load(path, allow_pickle=False) as data:
            features, lengths, names, labels = (data[key] for key in ("features", "lengths", "clip", "label"))
    except (ValueError, KeyError, BadZipFile, OSError) as error:
        raise UserError(path, str(error), "arrays features, lengths, clip and label") from error
    if lengths.sum() != len(features) or not len(lengths) == len(names) == len(labels):
        raise UserError(
            path, f"{lengths.sum()} snippets in lengths, {len(features)} rows", "lengths that add up to the rows"
        )
    clips = np.split(features.astype(np.float32), np.cumsum(lengths)[:-1])
    return GymClips(tuple(clips), tuple(str(label) for label in labels), tuple(str(name) for name in names))


def compose(
    clips: GymClips, seed: int, spec: ComposeSpec | None = None
) -> tuple[list[FeatureSequence], list[FeatureSequence]]:
    """Splice train and test sequences; no clip occurs on both sides.

    A segment strings clips of one class together until it has its length; the gaps do the same with the
    background classes. Clips repeat across the videos of one side, for there are few.

    Returns:
        Train and test sequences with exact segments; class indices follow ``clips.classes``.

    Raises:
        UserError: When a class has fewer than two clips.
    """
    spec = spec or ComposeSpec()
    rng = np.random.default_rng([0x61D, seed])
    sides = split_clips(clips, rng, spec.train_share)
    result = []
    for side, subset, count in zip(sides, ("train", "test"), (spec.train_videos, spec.test_videos), strict=True):
        result.append([_splice(clips, side, f"composed_{subset}_{i:04d}", subset, i, rng, spec) for i in range(count)])
    return result[0], result[1]


def split_clips(
    clips: GymClips, rng: np.random.Generator, train_share: float
) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Split the clips of every class at random; return clip positions by class for train and for test."""
    train: dict[str, list[int]] = {}
    test: dict[str, list[int]] = {}
    for name in sorted(set(clips.labels)):
        members = rng.permutation([i for i, label in enumerate(clips.labels) if label == name])
        if len(members) < 2:
            raise UserError(f"class {name}", len(members), "at least two clips, one for each side")
        cut = min(len(members) - 1, max(1, round(train_share * len(members))))
        train[name], test[name] = members[:cut].tolist(), members[cut:].tolist()
    return train, test


def _splice(
    clips: GymClips,
    side: dict[str, list[int]],
    name: str,
    subset: str,
    i: int,
    rng: np.random.Generator,
    spec: ComposeSpec,
) -> FeatureSequence:
    classes = clips.classes
    choices = [i % len(classes)]
    if rng.random() < spec.second_class:
        choices.append(int((choices[0] + rng.integers(1, len(classes))) % len(classes)))
    background = [j for label in BACKGROUND for j in side.get(label, [])]
    length = int(rng.integers(*spec.length, endpoint=True))
    rows: list[NDArray[np.float32]] = []
    segments: list[tuple[float, float, int]] = []
    at = 0

    def take(pool: list[int], wanted: int) -> int:
        taken = 0
        while taken < wanted:
            rows.append(clips.features[int(rng.choice(pool))][: wanted - taken])
            taken += len(rows[-1])
        return taken

    while True:
        at += take(background, int(rng.integers(*spec.gap, endpoint=True)))
        if at >= length and segments:
            break
        c = int(rng.choice(choices))
        end = at + take(side[classes[c]], int(rng.integers(*spec.segment, endpoint=True)))
        segments.append((at * SNIPPET_SECONDS, end * SNIPPET_SECONDS, c))
        at = end
    labels = tuple(sorted({c for _, _, c in segments}))
    annotation = Annotation(name, subset, at * SNIPPET_SECONDS, labels, tuple(segments))
    return sequence(annotation, np.concatenate(rows))


def _read(root: Path, fold: int) -> FeatureSplit:
    clips = load(root)
    note = "composed: real I3D snippets of trimmed clips, spliced; class words from a sentence encoder; no CLIP"
    return generated_split("gym", clips.classes, compose(clips, fold), "sentence", note)


def _check(root: Path) -> dict[str, Any]:
    """Count the trimmed clips that sequences are composed from."""
    clips = load(root)
    return {
        "data": "gym (composed)",
        "clips": len(clips.labels),
        "snippets": sum(map(len, clips.features)),
        "classes": {name: clips.labels.count(name) for name in clips.classes},
        "background": {name: clips.labels.count(name) for name in BACKGROUND},
    }


DATASET = Dataset("gym", f"gym-i3d/  or the root itself\n└── {FILE}\n", check=_check, features=_read)
