"""A data set of relation clips with its words and its folds: what every reader of such a set returns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from whyact.data.io.archive import sha256_text
from whyact.data.relations.footage import Footage
from whyact.data.types import RelationClip, Vocabulary
from whyact.errors import UserError


@dataclass(frozen=True)
class RelationData:
    """Clips with all their frames, vocabulary, and folds as (train, test) clip positions.

    ``facts`` are counts that a reader reports: what was skipped, what was empty. ``footage`` finds the pixels
    behind a clip and raises a UserError where they are missing; ``None`` where the set has none.
    """

    name: str
    vocabulary: Vocabulary
    clips: tuple[RelationClip, ...]
    folds: dict[int, tuple[tuple[int, ...], tuple[int, ...]]]
    facts: dict[str, int] = field(default_factory=dict)
    footage: Callable[[RelationClip], Footage] | None = None

    def fold(self, number: int) -> tuple[list[RelationClip], list[RelationClip]]:
        """Return the (train, test) clips of a fold.

        Raises:
            UserError: When there is no such fold, or one of its sides has no clip.
        """
        if number not in self.folds:
            raise UserError("--fold", number, f"one of {sorted(self.folds)}")
        train, test = self.folds[number]
        for side, members in (("train", train), ("test", test)):
            if not members:
                whole = [n for n, sides in sorted(self.folds.items()) if all(sides)]
                step = f"--fold {whole[0]}" if whole else ""
                raise UserError(f"fold {number} of {self.name}", "no clip", f"at least one clip to {side} on", step)
        return [self.clips[i] for i in train], [self.clips[i] for i in test]

    def split_sha256(self, number: int) -> str:
        """Return a checksum of the fold: its train and test clip names in order."""
        train, test = self.fold(number)
        return sha256_text("train", *(c.id for c in train), "test", *(c.id for c in test))


def summary(found: RelationData) -> dict[str, Any]:
    """Return what ``whyact data check`` prints about relation clips; a set without a usable fold is not ``usable``.

    Raises:
        UserError: When a group of clips stands on both sides of a fold.
    """
    if not found.clips:
        raise UserError(found.name, "0 clips", "at least one clip", "check the annotation files")
    actions = Counter(action for clip in found.clips for action in _targets(clip))
    folds: dict[str, Any] = {}
    for number, sides in found.folds.items():
        train, test = ([found.clips[i] for i in side] for side in sides)
        shared = {clip.group for clip in train} & {clip.group for clip in test} - {""}
        if shared:
            raise UserError(f"fold {number}", ", ".join(sorted(shared)), "no group on both sides", "correct the split")
        folds[str(number)] = {"train": len(train), "test": len(test)}
        if neither := len(found.clips) - len({*sides[0], *sides[1]}):
            folds[str(number)]["in_neither_part"] = neither
        if train and test:
            folds[str(number)]["split_sha256"] = found.split_sha256(number)
    return {
        "data": found.name,
        **found.facts,
        "clips": len(found.clips),
        "clips_without_token": sum(not clip.valid.any() for clip in found.clips),
        "frames": sum(len(clip.times) for clip in found.clips),
        "pairs_dropped": sum(clip.dropped_pairs for clip in found.clips),
        "objects": len(found.vocabulary.objects),
        "relations": len(found.vocabulary.relations),
        "actions": {action: actions[i] for i, action in enumerate(found.vocabulary.actions)},
        "folds": folds,
        **_warnings(found),
    }


def _warnings(found: RelationData) -> dict[str, Any]:
    """Name folds that training refuses, clips of no fold, and actions tested and never trained or vice versa."""
    lines = []
    empty = [n for n, sides in sorted(found.folds.items()) if not all(sides)]
    whole = sorted(found.folds.keys() - set(empty))
    if empty:
        line = f"fold {', '.join(map(str, empty))}: no clip to train or to test on"
        lines.append(f"{line}; take --fold {whole[0]}" if whole else line)
    used = {i for sides in found.folds.values() for side in sides for i in side}
    if unused := [clip for i, clip in enumerate(found.clips) if i not in used]:
        groups = ", ".join(sorted({clip.group for clip in unused})[:10])
        lines.append(f"{len(unused)} clips are in no fold, those of {groups or unused[0].id}")
    for number in whole:
        train, test = ({a for i in side for a in _targets(found.clips[i])} for side in found.folds[number])
        for what, actions in (("tested but never trained", test - train), ("trained but never tested", train - test)):
            if actions:
                names = ", ".join(found.vocabulary.actions[a] for a in sorted(actions))
                lines.append(f"fold {number}: actions {what}: {names}")
    warnings: dict[str, Any] = {"warnings": lines} if lines else {}
    return warnings if whole else warnings | {"usable": False}


def _targets(clip: RelationClip) -> tuple[int, ...]:
    return clip.targets if clip.targets is not None else () if clip.target is None else (clip.target,)
