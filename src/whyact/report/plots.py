"""Curves over two axes, bars and matrices as plain numbers for the template of the evaluation page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from whyact import wording
from whyact.prediction import Table
from whyact.report.diagnostics import Confusion, Line, Plot, Shares

_MOST_POINTS = 300  # of a drawn line
_IN_NUMBERS = 11  # points of a line that are listed
_MOST_CELLS = 24  # classes of a confusion matrix with a number in every cell
_MOST_PAIRS = 20
Place = tuple[float, str]


@dataclass(frozen=True)
class TableView:
    """A table whose cells are texts, each with the number that it sorts by (empty for words)."""

    title: str
    text: str
    columns: list[str]
    rows: list[list[tuple[str, str]]]


def table_view(table: Table) -> TableView:
    """Write the cells of a table, the numbers of a column alike: in 0..1 as scores, larger ones with one decimal."""
    columns = list(zip(*table.rows, strict=True))
    large = [any(isinstance(v, float) and abs(v) > 1 for v in column) for column in columns]
    rows = [[_cell(value, big) for value, big in zip(row, large, strict=True)] for row in table.rows]
    return TableView(table.title, table.text, list(table.columns), rows)


def _cell(value: str | float, large: bool) -> tuple[str, str]:
    if isinstance(value, str):
        return wording.format_label(value), ""
    if not math.isfinite(value):
        return "–", "nan"
    text = str(value) if isinstance(value, int) else f"{value:.1f}" if large else wording.format_score(value)
    return text.replace("-", "−"), repr(value)


@dataclass(frozen=True)
class PlotView:
    """A plot in percent of its field, from the left and from the top; paths are in a field of 100 x 100."""

    title: str
    text: str
    x: str
    y: str
    lines: list[tuple[str, str, bool]]
    x_ticks: list[Place]
    y_ticks: list[Place]
    diagonal: str
    mark: tuple[float, float, str] | None
    summary: str
    numbers: TableView


def plot_view(plot: Plot, ticks: int = 4) -> PlotView:
    """Lay out a plot with at least so many ticks an axis; points that are not finite are left out."""
    lines = [Line(line.name, _finite(line.points), line.dots) for line in plot.lines]
    points = [point for line in lines for point in line.points]
    x = plot.x_range or _range([p[0] for p in points])
    y = plot.y_range or _range([p[1] for p in points])

    def at(point: tuple[float, float]) -> tuple[float, float]:
        across, up = ((value - low) / (high - low) for value, (low, high) in zip(point, (x, y), strict=True))
        return round(100 * across, 2), round(100 * (1 - up), 2)

    def path(line: Line) -> str:
        shown = _thin(list(line.points))
        if line.dots or len(shown) == 1:  # a stroke of no length with round caps draws a dot
            return "".join("M{0} {1}L{0} {1}".format(*at(p)) for p in shown)
        return "M" + "L".join("{} {}".format(*at(p)) for p in shown) if shown else ""

    low, high = max(x[0], y[0]), min(x[1], y[1])
    diagonal = "M{} {}L{} {}".format(*at((low, low)), *at((high, high))) if plot.diagonal and high > low else ""
    mark = None if plot.mark is None else (*at((plot.mark[0], plot.mark[1])), plot.mark[2])
    rows: list[list[str | float]] = [[line.name, *p] for line in lines for p in _some(list(line.points))]
    ends = [
        f"{line.name} from {format_tick(line.points[0][1])} to {format_tick(line.points[-1][1])}"
        for line in lines
        if line.points
    ]
    summary = f"{plot.title}: {plot.y} over {plot.x}; {'; '.join(ends) or 'no values'}"
    return PlotView(
        plot.title,
        plot.text,
        plot.x,
        plot.y,
        [(line.name, path(line), line.dots or len(line.points) == 1) for line in lines],
        [(round(100 * (t - x[0]) / (x[1] - x[0]), 2), format_tick(t)) for t in _ticks(*x, ticks)],
        [(round(100 * (1 - (t - y[0]) / (y[1] - y[0])), 2), format_tick(t)) for t in _ticks(*y, ticks)],
        diagonal,
        mark,
        summary,
        table_view(Table(plot.title, ["curve", plot.x, plot.y], rows)),
    )


def learning_plots(histories: Sequence[tuple[str, Sequence[Line]]]) -> list[PlotView]:
    """Return a plot for each term of a stage, with one line for each run that logged it.

    Args:
        histories: The name of each run, and its terms.
    """
    terms = list(dict.fromkeys(line.name for _, lines in histories for line in lines))
    out = []
    for term in terms:
        own = [Line(run, line.points) for run, lines in histories for line in lines if line.name == term]
        drawn = plot_view(Plot(term, "epoch", term, own), ticks=2)
        out.append(replace(drawn, x_ticks=[(at, text) for at, text in drawn.x_ticks if "." not in text]))
    return out


def format_tick(value: float) -> str:
    """Write a number of an axis in three digits."""
    return "0" if value == 0 else f"{value:.3g}".replace("-", "−")


def _finite(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in points if math.isfinite(x) and math.isfinite(y)]


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values, default=0.0), max(values, default=1.0)
    if high == low:  # a constant is drawn with 0 in sight
        low, high = min(low, 0.0), max(high, 0.0)
    return (low, high) if high > low else (0.0, 1.0)


def _ticks(low: float, high: float, least: int) -> list[float]:
    """Return at least so many round numbers within a range, or one fewer."""
    step = 10 ** math.floor(math.log10(high - low))
    step = next(step * part for part in (5, 2.5, 2, 1, 0.5, 0.25, 0.2, 0.1) if (high - low) / (step * part) >= least)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _thin(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    if len(points) <= _MOST_POINTS:
        return points
    return [points[round(i * (len(points) - 1) / (_MOST_POINTS - 1))] for i in range(_MOST_POINTS)]


def _some(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    if len(points) <= _IN_NUMBERS:
        return points
    return [points[round(i * (len(points) - 1) / (_IN_NUMBERS - 1))] for i in range(_IN_NUMBERS)]


@dataclass(frozen=True)
class SharesView:
    """Bars cut into parts: each row has a name, and (part, text, left, width) in percent."""

    title: str
    text: str
    parts: list[str]
    rows: list[tuple[str, list[tuple[str, str, float, float]]]]


def shares_view(shares: Shares) -> SharesView:
    """Lay parts out one after the other."""
    rows = []
    for name, values in shares.rows:
        parts, left = [], 0.0
        for part, value in zip(shares.parts, values, strict=True):
            parts.append((part, f"{100 * value:.0f} %", round(100 * left, 2), round(100 * value, 2)))
            left += value
        rows.append((name, parts))
    return SharesView(shares.title, shares.text, list(shares.parts), rows)


@dataclass(frozen=True)
class MatrixView:
    """A confusion matrix: cells of (count, share of the row in 0..1), or squares where the classes are many.

    A square is (column, row, share, what it says). ``pairs`` are the most frequent confusions.
    """

    title: str
    text: str
    rows: list[str]
    columns: list[str]
    cells: list[list[tuple[int, float]]]
    squares: list[tuple[int, int, float, str]]
    pairs: TableView


def matrix_view(confusion: Confusion) -> MatrixView:
    """Lay out a confusion matrix; classes without an item are left out of the rows."""
    counts = confusion.counts
    there = [r for r in range(len(confusion.rows)) if counts[r].sum()]
    asked = [c for c in range(len(confusion.columns)) if counts[:, c].sum() or c in there]
    rows, columns = [confusion.rows[r] for r in there], [confusion.columns[c] for c in asked]
    shares = [[counts[r, c] / counts[r].sum() for c in asked] for r in there]
    found = [
        (int(counts[r, c]), confusion.rows[r], confusion.columns[c])
        for r in there
        for c in asked
        if counts[r, c] and confusion.rows[r] != confusion.columns[c]
    ]
    found.sort(key=lambda one: -one[0])
    listed: list[list[str | float]] = [[a, b, n] for n, a, b in found[:_MOST_PAIRS]]
    pairs = table_view(Table("Most frequent confusions", ["annotated", "answered", "times"], listed))
    cells, squares = [], []
    if max(len(rows), len(columns), 1) <= _MOST_CELLS:
        cells = [
            [(int(counts[r, c]), round(shares[i][j], 3)) for j, c in enumerate(asked)] for i, r in enumerate(there)
        ]
    else:
        squares = [
            (j, i, round(shares[i][j], 3), f"{rows[i]} answered {columns[j]}: {counts[r, c]}")
            for i, r in enumerate(there)
            for j, c in enumerate(asked)
            if counts[r, c]
        ]
    names = [wording.format_label(name) for name in rows], [wording.format_label(name) for name in columns]
    return MatrixView(confusion.title, confusion.text, *names, cells, squares, pairs)
