"""Annotations joined with their features: the training and the test side that a method learns from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from whyact.data.types import FeatureSequence
from whyact.data.untrimmed.feature_files import FeatureFolder, Recipe
from whyact.data.untrimmed.sets import UntrimmedSet, summary
from whyact.errors import UserError


@dataclass(frozen=True)
class FeatureSplit:
    """Train and test sequences of a data set; ``prompts`` are the words of each class for the text tower.

    ``widths`` are the channels of both streams, ``text`` and ``size`` the source of class vectors and the model size
    that suit the data. ``clip`` is the folder where image-language features belong, the target of the distillation;
    it is ``None`` where the data set has none by its nature.
    """

    name: str
    classes: tuple[str, ...]
    prompts: tuple[str, ...]
    train: list[FeatureSequence]
    test: list[FeatureSequence]
    widths: tuple[int, int]
    text: str
    size: str
    sha256: str = ""
    note: str = ""
    ambiguous: dict[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    recipe: Recipe | None = None  # how the features were made, where that is known
    clip: Path | None = None


def generated_split(
    name: str,
    classes: tuple[str, ...],
    sides: tuple[list[FeatureSequence], list[FeatureSequence]],
    text: str,
    note: str,
) -> FeatureSplit:
    """Return a split of generated sequences whose two streams have the same width; its checksum covers every value."""
    digest = hashlib.sha256()
    for video in (*sides[0], *sides[1]):
        digest.update(json.dumps([video.id, video.segments]).encode())
        digest.update(np.ascontiguousarray(video.features).tobytes())
    width = sides[0][0].features.shape[1] // 2
    return FeatureSplit(name, classes, classes, *sides, (width, width), text, "small", digest.hexdigest(), note)


def split_of(
    found: UntrimmedSet, folder: FeatureFolder, prompts: tuple[str, ...], size: str, clip: Path, note: str = ""
) -> FeatureSplit:
    """Join annotations with the features of a folder; ``clip`` is where its image-language features belong.

    Raises:
        UserError: When there is no training video, or a file is missing or broken.
    """
    train, test = ([folder.read(video) for video in side] for side in (found.train, found.test))
    if not train:
        raise UserError(found.name, "no training video", f"videos of the subset {found.train_subset}")
    widths = folder.widths(found.train[0].id)
    for video in (*train, *test):
        if _width(video) != _width(train[0]):
            expected = f"{_width(train[0])}, as {train[0].id} has"
            raise UserError(f"video {video.id}", f"width {_width(video)}", expected, "extract them alike")
    return FeatureSplit(
        name=found.name,
        classes=found.classes,
        prompts=prompts,
        train=train,
        test=test,
        widths=widths,
        text="clip" if size == "published" or folder.target else "sentence",
        size=size,
        sha256=found.sha256(),
        note=note,
        ambiguous=found.ambiguous,
        recipe=folder.recipe,
        # a folder that whyact extracted with --clip none has none on purpose
        clip=None if folder.recipe.encoders and folder.recipe.target is None else clip,
    )


def _width(video: FeatureSequence) -> str:
    """Return the channels of the features, and of the target where there is one."""
    streams = getattr(video.features, "arrays", (video.features,))
    return " + ".join(str(array.shape[1]) for array in (*streams, *(() if video.second is None else (video.second,))))


def check_set(found: UntrimmedSet, open_features: Callable[[], FeatureFolder]) -> dict[str, Any]:
    """Return what ``whyact data check`` prints about annotations and their features.

    Annotations alone serve to score predictions, so they are summarised without features too; the set is then not
    ``usable`` for a training, and a warning says what lacks.
    """
    counts = summary(found)
    try:
        folder = open_features()
    except UserError as error:
        lines = [*counts.get("warnings", ()), f"no features to train on: {error.command_line()}"]
        return {**counts, "warnings": lines, "usable": False}
    return {**counts, **check_features(found, folder)}


def read_named(found: UntrimmedSet, folder: FeatureFolder, names: Collection[str]) -> list[FeatureSequence]:
    """Return the features of the videos named, and read no other file.

    Raises:
        UserError: When a file of theirs is missing or broken.
    """
    return [folder.read(video) for video in found.videos if video.id in names]


def check_features(
    found: UntrimmedSet, folder: FeatureFolder, skipped: Collection[str] = (), every: bool = True
) -> dict[str, Any]:
    """Read every feature file that training reads, and return counts; what is wrong is listed, not raised.

    Args:
        found: Who is in the data set.
        folder: The files.
        skipped: Videos without features that are known to lack them.
        every: Also name files whose video has no annotation.
    """
    lengths, broken = [], {}
    widths: dict[tuple[int, ...], list[str]] = {}
    for video in found.videos:
        if video.id in skipped or video.subset not in (found.train_subset, found.test_subset):
            continue
        try:
            features = folder.read(video)
        except UserError as error:
            broken[video.id] = str(error)
            continue
        lengths.append(len(features.features))
        shape = (features.features.shape[1], *(() if features.second is None else (features.second.shape[1],)))
        widths.setdefault(shape, []).append(video.id)
    common = max(widths, key=lambda shape: len(widths[shape]), default=())
    for shape, names in widths.items():
        if shape != common:
            broken |= dict.fromkeys(names, f"width {shape[0]}; expected {common[0]}, as most videos have")
    unlabelled = sorted(set(folder.names()) - {video.id for video in found.videos}) if every else []
    return {
        "snippets": sum(lengths),
        "shortest": min(lengths, default=0),
        "width": common[0] if common else 0,
        "clip_features": bool(folder.target),
        "features_without_label": unlabelled,
        "broken": broken,
        **({"usable": False} if broken else {}),
    }
