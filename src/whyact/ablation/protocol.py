"""What a method offers so that parts of its input can be removed; callers need to know no more about it.

A removal is exact: it is taken out of the model's input and the model answers again. Which inputs a method has, and
therefore which removals it knows, is its own affair; each knows a span of time and the evidence that it lists.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from whyact.prediction import Evidence, Prediction

Kind = Literal["transition", "pair", "thing", "span", "frame", "snippet", "neighbour"]
OnProgress = Callable[[str, float], None]  # stage and the share of it that is done
TIME_TOLERANCE = 1e-6  # seconds: JSON may change the last digit of a time
FOREVER = 1e9  # seconds; a number that JSON can hold, longer than any video


@dataclass(frozen=True)
class Removal:
    """Something to take away.

    ``span``: everything within a span of seconds. ``transition`` (a held state too), ``frame``, ``snippet`` and
    ``neighbour``: a piece of evidence, by its own names and times; a neighbour by its ``label``. ``pair``: a pair's
    relations within a span; ``thing``: every pair that a thing is in. By default a span is the whole video.
    It is the same type in Python, in the studio's HTTP interface and in what its workers receive.
    """

    kind: Kind
    subject: str = ""
    object: str = ""
    label: str = ""
    start: float = 0.0
    end: float = FOREVER


@dataclass(frozen=True)
class RemovalCount:
    """How many units of the input (tokens, frames, ...) are taken away, and of how many."""

    what: str
    count: int
    of: int


class Ablation(Protocol):
    """An answered video that can be evaluated again; a search evaluates at most ``max_evaluations`` sets."""

    labels: tuple[str, ...]
    max_evaluations: int

    def scores(self, removals: Sequence[Sequence[Removal]]) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """Answer once for each set of removals: scores (M,C) and the label (M,) that is the answer then.

        Raises:
            UserError: For a removal that is not of this answer.
        """

    def count_removed(self, removals: Sequence[Removal]) -> list[RemovalCount]:
        """Count what these removals take away together."""

    def list_removals(self) -> dict[Removal, str]:
        """Return the removals that a search may combine, each with a few words for a reader."""


class Session(Protocol):
    """A run that is loaded once, answers one video after another, and can be evaluated again without parts of each."""

    def answer(self, video: Path, kept: Path, on_progress: OnProgress) -> Prediction:
        """Answer a video file, and write to ``kept`` what :meth:`load_ablation` needs: no pixels, no weights.

        Raises:
            UserError: When the video cannot be read or answered.
        """

    def load_ablation(self, kept: Path) -> Ablation:
        """Read what :meth:`answer` wrote.

        Raises:
            FileNotFoundError: When it no longer exists.
        """


def removal_of(evidence: Evidence) -> Removal:
    """Return the removal of exactly one piece of evidence."""
    e = evidence
    if e.kind == "neighbour":
        return Removal("neighbour", label=e.label)
    if e.kind == "transition" or e.kind == "state":
        return Removal("transition", e.subject, e.object, start=e.start, end=e.end)
    return Removal(e.kind, start=e.start, end=e.end)
