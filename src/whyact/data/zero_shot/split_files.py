"""The published zero-shot splits, read safely and checked: Split.mat, Label.mat, ActivityNet, Kinetics, TruZe.

Nothing is trusted: every split must partition the classes, every index must lie in range. Indices of Split.mat
follow the class order of Label.mat, which for UCF101 ignores case; ``order="ascii"`` is what the public code does
instead, and it gives most UCF101 splits another class partition than the file defines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from whyact.data.io.mat_files import load_mat
from whyact.data.io.pickles import load_array
from whyact.data.io.tables import read_table
from whyact.data.types import Int
from whyact.data.zero_shot.types import ClassSplit
from whyact.errors import UserError

DATASETS = ("UCF101", "HMDB51", "OlympicSports", "CCV")
_TRUZE_NAMES = {
    "UCF101": {"basketballshooting": "basketball", "salsaspins": "salsaspin"},
    "HMDB51": {"swingbasketball": "swingbaseball"},  # a slip in the published list
}


@dataclass(frozen=True)
class LabelTable:
    """One data set of Label.mat: ``videos`` (N,) names, ``labels`` (N,) 0-based (or (N,C) multi-hot for CCV),
    ``classes`` (C,) in the order that Split.mat counts, ``words`` (C,300) unit word vectors."""

    videos: tuple[str, ...]
    labels: Int
    classes: tuple[str, ...]
    words: NDArray[np.float32]


def read_labels(folder: Path | str, dataset: str) -> LabelTable:
    """Read one data set of ``Label.mat``.

    Word vectors are L2-normalised: the published ones are sums of one unit vector a word.

    Raises:
        UserError: When the file is missing, broken, or its parts disagree.
    """
    path = Path(folder) / "Label.mat"
    found = _field(load_mat(path), path, "VideoLabel", dataset)
    try:
        videos, classes = (tuple(str(n) for n in found[key]) for key in ("VideoName", "ClassName"))
        labels, words = np.asarray(found["Label"]), np.asarray(found["WordVec"], dtype=np.float64)
    except KeyError as error:
        raise UserError(f"{path}, {dataset}", None, f"the field {error}") from error
    where = f"{path}, {dataset}"
    if len(labels) != len(videos) or words.shape != (len(classes), words.shape[-1]):
        raise UserError(where, f"{len(labels)} labels, {words.shape} words", f"{len(videos)} and {len(classes)} rows")
    norms = np.linalg.norm(words, axis=1, keepdims=True)
    if not np.isfinite(words).all() or (norms == 0).any():
        raise UserError(f"{where}, WordVec", "NaN or a zero row", "a finite vector for every class")
    if labels.ndim == 1:
        labels = labels.astype(np.int64) - 1
        if labels.min() < 0 or labels.max() >= len(classes):
            raise UserError(f"{where}, Label", f"{labels.min() + 1} to {labels.max() + 1}", f"1 to {len(classes)}")
    return LabelTable(videos, labels.astype(np.int64), classes, (words / norms).astype(np.float32))


def read_splits(folder: Path | str, dataset: str, order: Literal["label", "ascii"] = "label") -> tuple[ClassSplit, ...]:
    """Read the 50 class splits of ``Split.mat``; the published results use the first ten.

    UCF101 rows 0 and 6, 1 and 7, 2 and 8 are the same split, see
    :func:`whyact.data.zero_shot.types.duplicate_splits`: its first ten hold seven.

    Raises:
        UserError: When a row does not partition the classes.
    """
    path = Path(folder) / "Split.mat"
    found = _field(load_mat(path), path, "Split", dataset)
    classes = read_labels(folder, dataset).classes
    names = tuple(sorted(classes)) if order == "ascii" else classes
    try:
        sides = [np.atleast_2d(np.asarray(found[key])).astype(np.int64) - 1 for key in ("Train", "Test")]
    except KeyError as error:
        raise UserError(f"{path}, {dataset}", None, f"the field {error}") from error
    return _from_rows(f"{path}, {dataset}", dataset.lower(), names, *sides)


def read_activitynet(folder: Path | str) -> tuple[tuple[ClassSplit, ...], dict[str, tuple[str, ...]]]:
    """Read the ten ActivityNet splits and the videos of every class.

    Returns:
        Splits, and class name -> video file names. Indices count ASCII-sorted names, from 0.

    Raises:
        UserError: When a file is missing or broken, a row is no partition, or a video occurs twice.
    """
    listed = load_array(Path(folder) / "anet_classwise_videos.npy")
    videos = listed.item() if listed.shape == () else None
    where = Path(folder) / "anet_classwise_videos.npy"
    if not isinstance(videos, dict):
        raise UserError(where, type(videos).__name__, "a dict from class name to videos")
    classes = tuple(sorted(str(name) for name in videos))
    once: set[str] = set()
    for name in classes:
        for video in videos[name]:
            if video in once:
                raise UserError(where, video, "every video in one class, once")
            once.add(video)
    path = Path(folder) / "anet_splits.npy"
    try:
        with open(path, "rb") as stream:  # two arrays, one behind the other
            train, test = (np.lib.format.read_array(stream, allow_pickle=False) for _ in range(2))
    except (OSError, ValueError) as error:
        raise UserError(path, str(error), "two integer arrays in one file") from error
    splits = _from_rows(str(path), "activitynet", classes, train, test)
    return splits, {name: tuple(str(video) for video in videos[name]) for name in classes}


@dataclass(frozen=True)
class KineticsSplit:
    """One Kinetics-600 split: unseen classes to validate on and to test on, each video with its class."""

    validation: tuple[tuple[str, str], ...]
    test: tuple[tuple[str, str], ...]

    @property
    def validation_classes(self) -> tuple[str, ...]:
        """Return the 60 classes to validate on, sorted."""
        return tuple(sorted({label for _, label in self.validation}))

    @property
    def test_classes(self) -> tuple[str, ...]:
        """Return the 160 classes to test on, sorted."""
        return tuple(sorted({label for _, label in self.test}))


def read_kinetics(folder: Path | str) -> tuple[KineticsSplit, ...]:
    """Read the three Kinetics-400 to 600 splits.

    Raises:
        UserError: When a file is missing or lacks a column, or the sides of a split share a class.
    """
    splits = []
    for i in range(3):
        sides = [_kinetics_rows(Path(folder) / f"zsar_{side}_k600_s{i}.csv") for side in ("val", "tst")]
        split = KineticsSplit(*sides)
        both = set(split.validation_classes) & set(split.test_classes)
        if both:
            raise UserError(f"{folder}, split {i}", min(both), "no class to validate on and to test on")
        splits.append(split)
    union = {name for split in splits[:1] for name in (*split.validation_classes, *split.test_classes)}
    for i, split in enumerate(splits):
        if {*split.validation_classes, *split.test_classes} != union:
            raise UserError(f"{folder}, split {i}", "other classes", "the same classes in every split")
    return tuple(splits)


def read_truze(folder: Path | str, dataset: Literal["UCF101", "HMDB51"], classes: Sequence[str]) -> ClassSplit:
    """Read the TruZe split and match its names to the data set's, whatever their case, spaces and plurals.

    Raises:
        UserError: When the file is missing, or its names are not exactly the data set's classes.
    """
    path = Path(folder) / "truze_ZSL.txt"
    text = _text(path)
    section = re.search(rf"##{dataset}\s(.*?)(?:##|\Z)", text, flags=re.S)
    sides = re.findall(
        r"(?:Training|Testing) \((\d+) classes\):(.*?)\.\s*(?=Testing|\Z)", section[1] if section else "", re.S
    )
    if len(sides) != 2:
        raise UserError(f"{path}, {dataset}", None, "a Training and a Testing list")
    by_key = {_key(name): name for name in classes}
    found: list[tuple[str, ...]] = []
    for count, names in sides:
        keys = [_TRUZE_NAMES[dataset].get(_key(name), _key(name)) for name in names.split(",")]
        unknown = [key for key in keys if key not in by_key]
        if unknown or len(keys) != int(count):
            value = unknown[0] if unknown else f"{len(keys)} names"
            raise UserError(f"{path}, {dataset}", value, f"{count} classes of {dataset}")
        found.append(tuple(by_key[key] for key in keys))
    split = ClassSplit(f"truze-{dataset.lower()}", *found)
    if {*split.seen, *split.unseen} != set(classes):
        missing = min(set(classes) - {*split.seen, *split.unseen})
        raise UserError(f"{path}, {dataset}", f"no {missing}", "every class on one side")
    return split


def read_corrupt(path: Path | str) -> frozenset[str]:
    """Read a list of corrupt videos as base names: the published ones carry the authors' relative paths.

    Raises:
        UserError: When the file is no array of names.
    """
    listed = load_array(path)
    if listed.size == 0:  # the empty lists were saved as float arrays
        return frozenset()
    if listed.dtype.kind not in "UO":
        raise UserError(path, listed.dtype, "an array of file names")
    try:
        return frozenset(str(name).replace("\\", "/").rsplit("/", 1)[-1] for name in listed.ravel())
    except (SystemError, ValueError) as error:  # damaged text is no text
        raise UserError(path, str(error), "an array of file names") from error


def without_corrupt(videos: Iterable[str], corrupt: frozenset[str]) -> list[str]:
    """Return the videos whose base name is not listed as corrupt, in order."""
    return [video for video in videos if video.replace("\\", "/").rsplit("/", 1)[-1] not in corrupt]


def _from_rows(
    where: str, name: str, classes: tuple[str, ...], train: NDArray[Any], test: NDArray[Any]
) -> tuple[ClassSplit, ...]:
    if train.ndim != 2 or test.ndim != 2 or len(train) != len(test):
        raise UserError(where, f"{train.shape} and {test.shape}", "as many training rows as test rows")
    everything = list(range(len(classes)))
    splits = []
    for i, (seen, unseen) in enumerate(zip(train.tolist(), test.tolist(), strict=True)):
        if sorted(seen + unseen) != everything:
            raise UserError(
                f"{where}, split {i}", "classes twice, missing or out of range", "a partition of the classes"
            )
        splits.append(ClassSplit(f"{name}-{i}", tuple(classes[c] for c in seen), tuple(classes[c] for c in unseen)))
    return tuple(splits)


def _kinetics_rows(path: Path) -> tuple[tuple[str, str], ...]:
    return tuple((row["videoname"], row["labels"]) for row in read_table(path, ("videoname", "labels")))


def _field(found: dict[str, Any], path: Path, struct: str, dataset: str) -> dict[str, Any]:
    datasets = found.get(struct)
    if not isinstance(datasets, dict):
        raise UserError(path, None, f"a struct {struct}")
    if not isinstance(datasets.get(dataset), dict):
        raise UserError(path, dataset, f"one of: {', '.join(datasets)}")
    field: dict[str, Any] = datasets[dataset]
    return field


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(path, str(error), "a text file of the zero-shot data") from error


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
