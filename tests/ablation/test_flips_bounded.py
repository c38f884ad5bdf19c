"""The search for the fewest removals ends where asking would take too long, and says so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from whyact.ablation.flips import smallest_flip
from whyact.ablation.protocol import Removal, RemovalCount

PIECES = [Removal("span", start=float(i), end=float(i)) for i in range(8)]


class Toy:
    """The second label wins once ``needed`` pieces are gone; counts how often it is asked."""

    labels = ("first", "second")

    def __init__(self, needed: int, most: int) -> None:
        self.needed, self.max_evaluations, self.sets = needed, most, 0

    def scores(self, removals: Sequence[Sequence[Removal]]) -> tuple[np.ndarray, np.ndarray]:
        self.sets += len(removals)
        gone = np.array([len(set(chosen)) for chosen in removals])
        second = 0.5 + 0.1 * (gone - self.needed + 0.5)
        found = np.stack([1 - second, second], 1).astype(np.float32)
        return found, found.argmax(1)

    def count_removed(self, removals: Sequence[Removal]) -> list[RemovalCount]:
        return [RemovalCount("piece", len(set(removals)), len(PIECES))]

    def list_removals(self) -> dict[Removal, str]:
        return dict.fromkeys(PIECES, "a piece")


@pytest.mark.parametrize("most", [3, 8, 20, 60, 1000])
@pytest.mark.parametrize("needed", [1, 2, 3, 5, 99])
def test_no_more_is_asked_than_may_be(needed: int, most: int) -> None:
    toy = Toy(needed, most)
    found = smallest_flip(toy)
    assert found.asked <= most
    assert toy.sets == found.asked + 1  # the answer itself
    if found.removals:
        assert len(found.removals) == needed
        assert not found.stopped
    else:
        assert found.stopped == (most < 1000)
    if most == 1000:
        assert (len(found.removals), found.proven) == ((needed, needed <= 3) if needed < 99 else (0, False))
