"""Which clips belong to one film, and folds that never part a film: what is tested on is not learned from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from whyact.data.relations.own_file import Fold
from whyact.errors import UserError

FOLDS = 5  # at most
NAMED = 4  # videos that a warning names
_SAME = 2.0  # mean difference of gray values (0..255) under which two frames are from one film


def group_files(
    given: Mapping[Path, Sequence[str]], names: Mapping[Path, str], prints: Mapping[Path, NDArray[np.float32]]
) -> tuple[dict[Path, str], list[str]]:
    """Return the group of each file, and what a user should know: files that share a group or frames are one.

    Args:
        given: The groups that are listed of each file; none for a film of its own.
        names: Of the files; that of a film of its own is its group.
        prints: Of each file, small gray images (3,h,w).
    """
    root = {file: file for file in given}

    def find(file: Path) -> Path:
        while root[file] != file:
            file = root[file]
        return file

    first: dict[str, Path] = {}
    for file, groups in given.items():
        for group in groups:
            root[find(file)] = find(first.setdefault(group, file))
    before = dict(root)
    alike = _alike(list(given), prints)
    apart = [(a, b) for a, b in alike if find(a) != find(b)]
    for a, b in alike:
        root[find(a)] = find(b)
    warnings = []
    if several := [f"{file.name} ({', '.join(groups)})" for file, groups in given.items() if len(groups) > 1]:
        warnings.append(
            f"videos of several groups, which are kept on one side of a fold with all: {join_some(several)}"
        )
    if len({find(file) for file in given}) < 2 and apart:
        root = before
        warnings.append("all clips look as if cut from one film: the test clips may be too like the training clips")
    elif apart:
        shown = ", ".join(f"{a.name} and {b.name}" for a, b in apart[:3])
        warnings.append(
            f"{len(apart)} pairs of clips share nearly the same frame and are kept on one side of a fold ({shown}"
            f"{', ...' if len(apart) > 3 else ''}); to decide it yourself, name the films in the column group of a CSV"
        )
    own = {file: PurePosixPath(name).with_suffix("").as_posix() for file, name in names.items()}
    return {file: next(iter(given[find(file)]), own[find(file)]) for file in given}, warnings


def _alike(files: Sequence[Path], prints: Mapping[Path, NDArray[np.float32]]) -> list[tuple[Path, Path]]:
    """Return the pairs of files of which two frames are nearly the same."""
    if len(files) < 2:
        return []
    rows = [(file, image.reshape(-1)) for file in files for image in prints[file] if image.std() > 4]
    if len(rows) < 2:
        return []
    images = np.stack([image for _, image in rows])
    out: dict[tuple[Path, Path], None] = {}
    for i, (file, image) in enumerate(rows[:-1]):
        near = np.flatnonzero(np.abs(images[i + 1 :] - image).mean(1) < _SAME) + i + 1
        out |= {(file, rows[j][0]): None for j in near if rows[j][0] != file}
    return list(out)


def make_folds(labels: Mapping[str, Counter[str]]) -> tuple[list[Fold], list[str]]:
    """Return folds that hold out whole groups, each class spread over them as evenly as the groups allow.

    Args:
        labels: How many clips of each class each group has.

    Returns:
        The folds, and what a user should know of them.

    Raises:
        UserError: When there is one group alone.
    """
    count = min(FOLDS, len(labels))
    if count < 2:
        group = next(iter(labels))
        found = f"all clips are of one group ({group})"
        raise UserError("--videos", found, "clips of two films or groups at least: one to learn from, one to test on")
    groups_of = Counter(label for row in labels.values() for label in row)
    alone = sorted(label for label, n in groups_of.items() if n < 2)
    warnings = []
    if alone:
        warnings.append(f"classes whose clips are all of one film or group, never tested: {', '.join(alone)}")
    testable = [group for group, row in labels.items() if not set(row) <= set(alone)]
    tests: list[list[str]] = [[] for _ in range(min(count, max(1, len(testable))))]
    held = [Counter[str]() for _ in tests]
    for group in sorted(testable, key=lambda g: (-sum(labels[g].values()), g)):

        def load(k: int, row: Counter[str] = labels[group]) -> tuple[float, int, int]:
            return sum(held[k][label] * n for label, n in row.items()), sum(held[k].values()), k

        best = min(range(len(tests)), key=load)
        tests[best].append(group)
        held[best] += labels[group]
    every = list(labels)
    folds = [Fold([g for g in every if g not in test], test) for test in tests if test and len(test) < len(every)]
    return folds, warnings


def join_some(names: Sequence[str]) -> str:
    """Return the first few of some names, as a warning lists them."""
    return "; ".join(names[:NAMED]) + ("; ..." if len(names) > NAMED else "")
