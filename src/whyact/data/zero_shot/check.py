"""``whyact data check`` for the zero-shot layouts: what is there, what is missing, which videos do not decode."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from whyact.data.zero_shot import layouts as zero_shot_layouts
from whyact.data.zero_shot.layouts import Layout
from whyact.data.zero_shot.types import duplicate_splits
from whyact.data.zero_shot.video_folders import path_below
from whyact.progress import progress as show
from whyact.video.decode import can_decode

SHOWN = 20
FIRST = 10  # splits that published results use


def check(name: str, root: Path, progress: bool = True) -> dict[str, Any]:
    """Read the lists, compare them with the disk, and try to decode every video.

    Args:
        name: One of :data:`whyact.data.zero_shot.layouts.LAYOUTS`.
        root: The folder that holds it.
        progress: Say on stderr how far it is, if that is a terminal.

    Raises:
        UserError: When a list is missing, broken or changed, or there is no video.
    """
    layout = zero_shot_layouts.read(name, root)
    broken = _broken(layout, root, progress)
    per_class = Counter(video.label for video in layout.videos)
    empty = [label for label in layout.classes if not per_class[label]]
    missing, corrupt = ([video.path.name for video in videos] for videos in (layout.missing, layout.corrupt))
    usable = Counter(video.label for video in layout.videos if path_below(root, video.path) not in broken)
    return {
        "data": name,
        **({} if layout.videos and len(broken) < len(layout.videos) else {"usable": False}),
        "classes": len(layout.classes),
        "classes_without_video": len(empty),
        "first_classes_without_video": empty[:SHOWN],
        "videos": len(layout.videos),
        "videos_with_a_known_source": sum(bool(video.group) for video in layout.videos),
        "missing": len(missing),
        "first_missing": missing[:SHOWN],
        "listed_as_corrupt": len(corrupt),
        "first_listed_as_corrupt": corrupt[:SHOWN],
        "cannot_be_decoded": len(broken),
        "first_that_cannot_be_decoded": dict(list(broken.items())[:SHOWN]),
        **_skipped(layout, root),
        "splits": _splits(layout, root),
        **_warnings(layout, usable),
        "word_vectors": layout.words is not None,
    }


def _skipped(layout: Layout, root: Path) -> dict[str, Any]:
    """Count what lies beside the videos and is not read."""
    skipped = layout.skipped.skipped
    paths = [f"{path_below(root, Path(path))}: {reason}" for reason, paths in skipped.items() for path in paths]
    return {"skipped": len(paths), "first_skipped": paths[:SHOWN]}


def _warnings(layout: Layout, usable: Counter[str]) -> dict[str, Any]:
    """Name the classes that the first split trains or tests on, and that no readable video shows."""
    split, lines = layout.splits[0], []
    for side, names in (("train", split.seen), ("test", split.unseen)):
        if empty := [name for name in names if not usable[name]]:
            more = f" and {len(empty) - SHOWN} more" if len(empty) > SHOWN else ""
            lines.append(f"split 1: no readable video to {side} on of {', '.join(empty[:SHOWN])}{more}")
    return {"warnings": lines} if lines else {}


def _splits(layout: Layout, root: Path) -> dict[str, Any]:
    """Count the splits, the different ones among the first ten, and those that the ASCII order would change."""
    splits = layout.splits
    repeated = duplicate_splits(splits[:FIRST])
    found: dict[str, Any] = {
        "number": len(splits),
        "seen": len(splits[0].seen),
        "unseen": len(splits[0].unseen),
        "validation": len(splits[0].validation),
        "different_of_the_first_ten": len(splits[:FIRST]) - len(repeated),
        "repeated": [f"{later + 1} is {first + 1}" for first, later in repeated],
        "sha256": zero_shot_layouts.splits_sha256(splits),
    }
    if layout.words is not None and len(splits) > 1:  # the sets of Split.mat
        ascii_order = zero_shot_layouts.read(layout.name, root, "ascii").splits
        pairs = zip(splits, ascii_order, strict=True)
        found["changed_by_ascii_order"] = sum(a.sha256 != b.sha256 for a, b in pairs)
    return found


def _broken(layout: Layout, root: Path, progress: bool) -> dict[str, str]:
    found = {}
    with show("decoding", len(layout.videos), wanted=progress) as bar:
        for video in layout.videos:
            if reason := can_decode(video.path):
                found[path_below(root, video.path)] = reason
            bar.advance()
    return found
