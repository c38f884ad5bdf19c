"""Untrimmed video sets: who is in them, which actions happen, and (for evaluation only) when.

:class:`UntrimmedSet` carries annotations; features live in files, read by :mod:`whyact.data.untrimmed.feature_files`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyact.data.io.pickles import load_array
from whyact.data.io.tables import refuse_alike, refuse_duplicates
from whyact.errors import UserError

#: Both spellings found in published packages, mapped onto ours.
SUBSETS = {
    **{"training": "train", "train": "train", "validation": "validation", "val": "validation"},
    **{"testing": "test", "test": "test"},
}


@dataclass(frozen=True)
class Annotation:
    """One annotated video: ``labels`` are its class indices (weak), ``segments`` (start s, end s, class)."""

    id: str
    subset: str
    duration: float
    labels: tuple[int, ...]
    segments: tuple[tuple[float, float, int], ...] = ()


@dataclass(frozen=True)
class UntrimmedSet:
    """A set of annotated untrimmed videos. ``ambiguous[id]`` lists spans (s) that count neither way."""

    name: str
    classes: tuple[str, ...]
    videos: tuple[Annotation, ...]
    train_subset: str = "train"
    test_subset: str = "test"
    ambiguous: dict[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.videos:
            raise UserError(self.name, "0 videos", "at least one video", "check the annotation files")
        refuse_duplicates(self.name, (video.id for video in self.videos))
        refuse_duplicates(f"{self.name}, classes", self.classes, "class")
        refuse_alike(((self.name, name) for name in self.classes), "class")

    @property
    def train(self) -> tuple[Annotation, ...]:
        """Return the videos to learn from."""
        return tuple(video for video in self.videos if video.subset == self.train_subset)

    @property
    def test(self) -> tuple[Annotation, ...]:
        """Return the videos to evaluate on."""
        return tuple(video for video in self.videos if video.subset == self.test_subset)

    @property
    def unused(self) -> tuple[Annotation, ...]:
        """Return the videos that are neither learned from nor evaluated on, for their subset."""
        return tuple(video for video in self.videos if video.subset not in (self.train_subset, self.test_subset))

    def sha256(self) -> str:
        """Return a checksum of who is in which subset with which labels and segments."""
        content = [[v.id, v.subset, sorted(v.labels), sorted(v.segments)] for v in self.videos]
        return hashlib.sha256(json.dumps([self.classes, sorted(content)]).encode()).hexdigest()


def evaluated_subset(videos: Iterable[Annotation]) -> str:
    """Return what one's own videos are tested on: those of ``test`` if there are any, else those of ``validation``."""
    return "test" if any(video.subset == "test" for video in videos) else "validation"


def read_arrays(root: Path) -> dict[str, NDArray[Any]]:
    """Read the aligned annotation arrays of the W-TALC packaging (bytes or str, both decoded once).

    Raises:
        UserError: When an array is missing or their lengths disagree.
    """
    arrays = {
        name: load_array(root / f"{name}.npy")
        for name in ("classlist", "videoname", "subset", "segments", "labels", "labels_all", "duration")
    }
    count = len(arrays["videoname"])
    for name, array in arrays.items():
        if name != "classlist" and len(array) != count:
            raise UserError(root / f"{name}.npy", len(array), f"{count} rows, as in videoname.npy")
    return arrays


def annotations_from_arrays(
    root: Path, arrays: dict[str, NDArray[Any]]
) -> tuple[tuple[str, ...], tuple[Annotation, ...]]:
    """Join the aligned arrays into class names and annotations.

    A repeated video-level name counts once; an empty list stays empty.

    Raises:
        UserError: On a class or subset never declared, segments without a label each, or one that is no two numbers.
    """
    classes = tuple(_text(name) for name in arrays["classlist"])
    index = {name: i for i, name in enumerate(classes)}
    durations = np.asarray(arrays["duration"], dtype=np.float64).reshape(len(arrays["videoname"]), -1)[:, 0]
    videos = []
    for i, raw_name in enumerate(arrays["videoname"]):
        name = _text(raw_name)
        subset = _text(arrays["subset"][i])
        if subset not in SUBSETS:
            raise UserError(root / "subset.npy", f"{subset} (video {name})", f"one of {', '.join(SUBSETS)}")
        found = {part: arrays[part][i] for part in ("segments", "labels")}
        for part, value in found.items():
            if not isinstance(value, list | tuple | np.ndarray) or getattr(value, "ndim", 1) == 0:
                raise UserError(root / f"{part}.npy", f"{value} (video {name})", f"a list of {part} for each video")
        spans, names = list(found["segments"]), [_text(label) for label in found["labels"]]
        if len(spans) != len(names):
            raise UserError(
                root / "segments.npy", f"{len(spans)} segments, {len(names)} labels in {name}", "one label each"
            )
        video_names = [_text(label) for label in arrays["labels_all"][i]]
        unseen = sorted({*names, *video_names} - index.keys())
        if unseen:
            raise UserError(
                root / "labels.npy", f"{', '.join(unseen)} (video {name})", "class names from classlist.npy"
            )
        videos.append(
            Annotation(
                id=name,
                subset=SUBSETS[subset],
                duration=float(durations[i]),
                labels=tuple(sorted({index[label] for label in video_names})),
                segments=tuple(
                    (*_seconds(root / "segments.npy", name, span), index[label])
                    for span, label in zip(spans, names, strict=True)
                ),
            )
        )
    return classes, tuple(videos)


def _seconds(path: Path, video: str, span: Any) -> tuple[float, float]:
    try:
        start, end = (float(second) for second in span)
    except (TypeError, ValueError):
        start = end = float("nan")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise UserError(path, f"{span} (video {video})", "a segment [start, end] in seconds")
    return start, end


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def summary(found: UntrimmedSet) -> dict[str, Any]:
    """Return what ``whyact data check`` says: counts, and where annotations disagree with themselves."""

    def side(videos: tuple[Annotation, ...]) -> dict[str, Any]:
        return {
            "videos": len(videos),
            "segments": sum(len(video.segments) for video in videos),
            "several_labels": sum(len(video.labels) > 1 for video in videos),
            "without_label": [video.id for video in videos if not video.labels],
            "labels_unlike_segments": sum(
                bool(video.segments) and set(video.labels) != {c for _, _, c in video.segments} for video in videos
            ),
            "segments_that_end_before_they_start": sum(end < start for v in videos for start, end, _ in v.segments),
            "segments_past_the_end": sum(end > v.duration > 0 for v in videos for _, end, _ in v.segments),
        }

    return {
        "data": found.name,
        "classes": len(found.classes),
        "train": side(found.train),
        "test": side(found.test),
        "in_neither_part": len(found.unused),
        "ambiguous_spans": sum(map(len, found.ambiguous.values())),
        "ambiguous_videos": len(found.ambiguous),
        "split_sha256": found.sha256(),
        **({"warnings": lines} if (lines := _warnings(found)) else {}),
        **({} if found.train else {"usable": False}),
    }


def _warnings(found: UntrimmedSet) -> list[str]:
    """Name classes that no video trains on or, where there is a test part, tests, and what is not used at all."""
    lines = [] if found.train else [f"no training video: none is of the subset {found.train_subset}"]
    for what, videos in (("to train on", found.train), ("to test on", found.test)):
        shown = {c for video in videos for c in (*video.labels, *(c for _, _, c in video.segments))}
        lacking = [name for c, name in enumerate(found.classes) if c not in shown]
        if videos and lacking:
            more = f" and {len(lacking) - 10} more" if len(lacking) > 10 else ""
            lines.append(f"classes without a video {what}: {', '.join(lacking[:10])}{more}")
    if found.ambiguous and not found.ambiguous.keys() & {video.id for video in found.videos}:
        lines.append(f"none of the {len(found.ambiguous)} videos with ambiguous spans, such as {min(found.ambiguous)}")
    if found.unused:
        subset = found.unused[0].subset
        used = f"trained on is {found.train_subset}, tested on {found.test_subset}"
        lines.append(f"{len(found.unused)} videos of the subset {subset} are not used: {used}")
    return lines
