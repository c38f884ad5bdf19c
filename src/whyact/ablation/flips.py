"""What would have to differ: the smallest set of removals after which another label is the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from whyact.ablation.protocol import Ablation, Removal
from whyact.errors import UserError

CANDIDATES = 12  # pieces that the exact search goes through
EXACT = 3  # largest set that is searched for among all of its size


@dataclass(frozen=True)
class Flip:
    """A set of removals after which ``target`` is the answer; empty when none was found.

    ``proven``: no smaller set of the ``candidates`` that do most for the target flips the answer. ``scores`` (C,) are
    those after the removal, ``asked`` how many sets the model was asked about; ``stopped``: more of them
    would have taken too long.
    """

    removals: tuple[Removal, ...]
    target: int
    scores: tuple[float, ...]
    proven: bool
    candidates: int
    asked: int
    stopped: bool = False


def smallest_flip(
    ablation: Ablation, target: int | None = None, *, candidates: int = CANDIDATES, exact: int = EXACT
) -> Flip:
    """Search for the fewest removals after which ``target`` is the answer.

    All sets of one, two, ... ``exact`` candidates are evaluated, smallest first. After that the removal that helps the
    target most is added again and again, which finds a set but does not prove that it is the smallest.

    Args:
        ablation: The answered video.
        target: The label that is to win; the second best by default.
        candidates: How many pieces to search, those that alone do most for the target.
        exact: The largest size that is searched through.

    Raises:
        UserError: When the target is the answer already.
    """
    scores, answer = ablation.scores([()])
    if target is None:
        order = np.argsort(-scores[0], kind="stable")
        target = int(next((c for c in order if c != answer[0]), answer[0]))
    if target == answer[0]:
        raise UserError("target", ablation.labels[target], "a label that is not the answer already")
    everything = list(ablation.list_removals())[: ablation.max_evaluations]
    asked = 0

    def gains(sets: Sequence[tuple[Removal, ...]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        nonlocal asked
        asked += len(sets)
        found, answers = ablation.scores(sets)
        rest = np.delete(found, target, axis=1)
        return found, answers == target, found[:, target] - rest.max(1)

    def flip(found: np.ndarray, chosen: tuple[Removal, ...], proven: bool) -> Flip:
        return Flip(chosen, target, tuple(map(float, found)), proven, len(pool), asked)

    alone = [(r,) for r in everything]
    pool: list[Removal] = []
    if alone:
        _, _, gain = gains(alone)
        pool = [everything[i] for i in np.argsort(-gain, kind="stable")[:candidates]]
    for size in range(1, min(exact, len(pool)) + 1):
        if asked + comb(len(pool), size) > ablation.max_evaluations:
            break
        sets = list(combinations(pool, size))
        found, won, gain = gains(sets)
        if won.any():
            best = int(np.where(won, gain, -np.inf).argmax())
            return flip(found[best], sets[best], True)
    chosen: tuple[Removal, ...] = ()
    left = list(everything)
    while left:
        if asked + len(left) > ablation.max_evaluations:
            return Flip((), target, tuple(map(float, scores[0])), False, len(pool), asked, True)
        sets = [(*chosen, r) for r in left]
        found, won, gain = gains(sets)
        best = int(np.where(won.any() & ~won, -np.inf, gain).argmax())
        chosen = sets[best]
        left.pop(best)
        if won[best]:
            return flip(found[best], chosen, False)
    return flip(scores[0], (), False)
