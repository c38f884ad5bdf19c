"""Speed rows against the stored ones: a ratio that fell by more than it may is a regression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from whyact.errors import UserError
from whyact.reproduce.results import Row, from_json

ALLOWED = 1.5  # times worse than stored; machines and runs differ by less


@dataclass(frozen=True)
class Regression:
    """A ratio that is more than :data:`ALLOWED` times worse than the stored one."""

    table: str
    row: str
    metric: str
    stored: float
    new: float

    def __str__(self) -> str:
        """Name the row, both ratios and how much worse it is."""
        return (
            f"{self.table}, {self.row}: {self.metric} {self.new:.3g}, stored {self.stored:.3g}: "
            f"{self.stored / self.new:.1f} times worse ({ALLOWED:g} is allowed)"
        )


def regressions(rows: Sequence[Row], stored: Sequence[Row]) -> list[Regression]:
    """Return what got worse. Only ratios (unit ``x``, higher is better) are compared: seconds are a machine's own."""
    before = {(row.table, row.row, row.metric): row.mean for row in stored if row.unit == "x"}
    found = []
    for row in rows:
        known = before.get((row.table, row.row, row.metric))
        if row.unit == "x" and known is not None and row.mean * ALLOWED < known:
            found.append(Regression(row.table, row.row, row.metric, known, row.mean))
    return found


def read_stored(path: Path) -> list[Row]:
    """Return the rows of a results document, none when the file is not there.

    Raises:
        UserError: When it is there and is no results document.
    """
    try:
        return from_json(path.read_bytes()).rows
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise UserError(path, str(error), "what `python -m benchmarks` wrote", "restore or remove it") from error
