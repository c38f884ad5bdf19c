"""Charades' protocols around the official mAP: submissions by video name, and folds of unseen scenes.

The official mAP itself, with its rules for ties, missing and empty videos, is
:func:`whyact.metrics.average_precision.charades_map`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whyact.metrics.average_precision import MeanAP, charades_map


def multi_hot(labels: Sequence[Sequence[int]], classes: int) -> NDArray[np.bool_]:
    """Return (N,C) truth from the class indices of each video."""
    out = np.zeros((len(labels), classes), bool)
    for row, own in zip(out, labels, strict=True):
        row[list(own)] = True
    return out


def submission_map(
    submitted: Mapping[str, ArrayLike], videos: Sequence[str], labels: Sequence[Sequence[int]], classes: int
) -> MeanAP:
    """Score a submission as the official script does; a video that it does not hold ranks last everywhere.

    Args:
        submitted: Video name -> scores (C,). Names that are no test video are ignored.
        videos: The N test videos in the order of the official list.
        labels: Their class indices.
        classes: C.

    Raises:
        ValueError: If a video has not C scores, or a NaN among them.
    """
    scores, given = np.zeros((len(videos), classes)), np.zeros(len(videos), bool)
    for i, name in enumerate(videos):
        if name in submitted:
            row = np.asarray(submitted[name], dtype=np.float64)
            if row.shape != (classes,):
                raise ValueError(f"video {name}: scores {row.shape}, not ({classes},)")
            scores[i], given[i] = row, True
    return charades_map(scores, multi_hot(labels, classes), given)


def scene_groups(scenes: Sequence[str], groups: int = 5) -> dict[str, int]:
    """Divide scenes into groups of about equal size: the largest first, each into the group that is smallest so far.

    Args:
        scenes: The scene of every video.
        groups: How many groups.

    Returns:
        Scene -> group 0..groups-1. Equal sizes are settled by name and by the lower group.

    Raises:
        ValueError: If there are fewer scenes than groups.
    """
    count = Counter(scenes)
    if len(count) < groups:
        raise ValueError(f"{len(count)} scenes cannot fill {groups} groups")
    size = [0] * groups
    found = {}
    for scene, videos in sorted(count.items(), key=lambda item: (-item[1], item[0])):
        found[scene] = size.index(min(size))
        size[found[scene]] += videos
    return found


@dataclass(frozen=True)
class SceneFolds:
    """Results over folds of unseen scenes, mAP in 0..100.

    ``variance`` is the population variance in percentage points squared, ``variance_of_fractions`` the same of mAP in
    0..1 (the unit of published figures is unclear); ``gap`` is seen minus unseen scenes, NaN where nobody measured.
    """

    per_fold: tuple[float, ...]
    classes: tuple[int, ...]
    mean: float
    variance: float
    variance_of_fractions: float
    gap: float


def scene_folds(unseen: Sequence[MeanAP], seen: Sequence[MeanAP] = ()) -> SceneFolds:
    """Summarise the folds; each mAP is over the classes that have a positive in its fold.

    Args:
        unseen: One result a fold, on the scenes held out.
        seen: The same models on the test videos of the scenes they were trained on.

    Raises:
        ValueError: If there is no fold.
    """
    if not unseen:
        raise ValueError("no fold")
    values = np.array([result.mean for result in unseen])
    inside = np.array([result.mean for result in seen])
    return SceneFolds(
        per_fold=tuple((100 * values).tolist()),
        classes=tuple(len(result.per_class) - len(result.absent) for result in unseen),
        mean=float(100 * values.mean()),
        variance=float((100 * values).var()),
        variance_of_fractions=float(values.var()),
        gap=float(100 * (inside.mean() - values.mean())) if len(inside) else float("nan"),
    )
