"""What an evaluation shows beside its numbers, as plain values that the page draws: a method fills them in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from whyact.prediction import Prediction, Table

LEVEL = 0.95  # of every interval on the page
Scale = Literal["share", "percent"]


@dataclass(frozen=True)
class Figure:
    """A main figure in 0..1 (``share``) or 0..100 (``percent``), with its values on resampled test items.

    ``draws`` is empty where no interval can be given. ``text`` says what it measures, alike for all runs that measure
    the same; ``of`` counts what this run's is a share of. ``lower_is_better`` tells which way a difference is good.
    """

    name: str
    value: float
    draws: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    scale: Scale = "share"
    text: str = ""
    lower_is_better: bool = False
    of: str = ""

    @property
    def interval(self) -> tuple[float, float] | None:
        """Return the bootstrap interval at :data:`LEVEL`; none where all draws are alike, which bound nothing."""
        return _interval(self.draws) if _varies(self.draws) else None

    def difference(self, other: Figure) -> tuple[float, float] | None:
        """Return the interval of ``other`` minus this, where both were drawn on the same resampled items."""
        if not len(self.draws) or self.draws.shape != other.draws.shape:
            return None
        if not (_varies(self.draws) or _varies(other.draws)):
            return None
        return _interval(other.draws - self.draws)


def _varies(draws: NDArray[np.float64]) -> bool:
    """Return whether draws differ by more than rounding: 4 of 4 right stay so in every resampling."""
    known = draws[np.isfinite(draws)]
    return bool(len(known)) and float(np.ptp(known)) > 1e-9 * float(np.abs(known).max())


def _interval(draws: NDArray[np.float64]) -> tuple[float, float] | None:
    known = draws[np.isfinite(draws)]
    if not len(known):
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class Line:
    """A curve through points (x, y) in rising x; ``dots`` draws the points alone."""

    name: str
    points: Sequence[tuple[float, float]]
    dots: bool = False


@dataclass(frozen=True)
class Plot:
    """Curves over one pair of axes; without a range an axis reaches from the lowest value to the highest.

    ``diagonal`` draws where y equals x; ``mark`` is a point to point out, with its name.
    """

    title: str
    x: str
    y: str
    lines: Sequence[Line]
    text: str = ""
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    diagonal: bool = False
    mark: tuple[float, float, str] | None = None


@dataclass(frozen=True)
class Shares:
    """Bars that are cut into the same named parts: each row has a name and a share for each part, at most 1 in sum."""

    title: str
    parts: Sequence[str]
    rows: Sequence[tuple[str, Sequence[float]]]
    text: str = ""


@dataclass(frozen=True)
class Confusion:
    """How often a class (row) was answered as a class (column): counts (R,C)."""

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    counts: NDArray[np.int64]
    text: str = ""


@dataclass(frozen=True)
class Mistake:
    """A confident wrong answer: the position of its test item, what was said and what is true, and how sure it was.

    ``lanes`` are named spans (from, to) in shares of the video, where the mistake is about a time.
    """

    item: int
    answered: str
    annotated: str
    confidence: float
    text: str = ""
    lanes: Sequence[tuple[str, Sequence[tuple[float, float]]]] = ()


@dataclass(frozen=True)
class Diagnostics:
    """All that a method shows of an evaluation; ``classes`` has the columns class, how many, then measures."""

    figures: Sequence[Figure]
    classes: Table
    plots: Sequence[Plot] = ()
    shares: Sequence[Shares] = ()
    tables: Sequence[Table] = ()
    confusion: Confusion | None = None
    mistakes: Sequence[Mistake] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class EvaluatedRun:
    """A run on the page: facts about it, its learning curves by stage, its diagnostics and all of its numbers.

    ``evidence`` are the predictions about the test items of its mistakes, in their order.
    """

    name: str
    facts: Sequence[tuple[str, str]]
    history: Mapping[str, Sequence[Line]]
    diagnostics: Diagnostics
    metrics: Mapping[str, Any]
    evidence: Sequence[Prediction] = ()
    watched_test: bool = False
