"""A data set of relation clips with its words and its folds: what every reader of such a set returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from whyact.data.io.archive import sha256_text
from whyact.data.relations.footage import Footage
from whyact.data.types import RelationClip, Vocabulary
from whyact.errors import UserError


@dataclass(frozen=True)
class RelationData:
    """Clips with all their frames, vocabulary, and folds as (train, test) clip positions.

    ``facts`` are counts that a reader owes its user: what was left out, what was empty. ``footage`` finds the pixels
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
