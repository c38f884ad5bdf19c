"""What a method offers so that its answers can be questioned; whoever asks needs to know no more of it.

A removal is exact: it is taken out of the model's input and the model answers again. Which inputs a method has, and
therefore which removals it knows, is its own affair; each knows a span of time and the evidence that it lists.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from whyact.prediction import Evidence, Prediction

Kind = Literal["transition", "pair", "thing", "span", "frame", "snippet", "neighbour"]
Tell = Callable[[str, float], None]  # stage and the share of it that is done
SAME = 1e-6  # seconds: times that JSON carried to and fro


@dataclass(frozen=True)
class Removal:
    """Something to take away.

    ``span``: everything within a span of seconds. ``transition`` (a held state too), ``frame``, ``snippet`` and
    ``neighbour``: a piece of evidence, by its own names and times; a neighbour by its ``label``. ``pair``: a pair's
    relations within a span; ``thing``: every pair that a thing is in. Spans reach everywhere by default.
    """

    kind: Kind
    subject: str = ""
    object: str = ""
    label: str = ""
    start: float = -inf
    end: float = inf


@dataclass(frozen=True)
class RemovalCount:
    """How many units of the input (tokens, frames, ...) are taken away, and of how many."""

    what: str
    count: int
    of: int


class Ablation(Protocol):
    """An answered video, kept ready to be asked again; a search asks about ``most`` sets, not to take minutes."""

    labels: tuple[str, ...]
    most: int

    def scores(self, removals: Sequence[Sequence[Removal]]) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """Answer once for each set of removals: scores (M,C) and the label (M,) that is the answer then.

        Raises:
            UserError: For a removal that is not of this answer.
        """

    def gone(self, removals: Sequence[Removal]) -> list[RemovalCount]:
        """Count what these removals take away together."""

    def pieces(self) -> dict[Removal, str]:
        """Return what may be searched for the fewest removals, each with a few words for a reader."""


class Session(Protocol):
    """A run that is loaded once and answers one video after the other, so that each answer can be questioned."""

    def answer(self, video: Path, keep: Path, tell: Tell) -> Prediction:
        """Answer a video file, and write to ``keep`` what :meth:`questions` needs: no pixels, no weights.

        Raises:
            UserError: When the video cannot be read or answered.
        """

    def questions(self, kept: Path) -> Ablation:
        """Read what :meth:`answer` kept.

        Raises:
            FileNotFoundError: When it is there no longer.
        """


def removal_of(evidence: Evidence) -> Removal:
    """Return the removal of exactly one piece of evidence."""
    e = evidence
    if e.kind == "neighbour":
        return Removal("neighbour", label=e.label)
    if e.kind == "transition" or e.kind == "state":
        return Removal("transition", e.subject, e.object, start=e.start, end=e.end)
    return Removal(e.kind, start=e.start, end=e.end)
