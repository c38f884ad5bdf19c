"""Curves and bars as plain numbers for a template."""

from __future__ import annotations

import math
from dataclasses import dataclass

from whyact import wording
from whyact.prediction import Curve, Prediction, Table
from whyact.report.reading import list_targets
from whyact.report.timeline import Axis

_WIDE, _HIGH = 1000.0, 100.0  # the chart's own units; the page stretches them
_MOST_POINTS = 600
_TOP = 10
_LEAST_RANGE = 0.01  # below it a curve is flat to the eye: numbers on the page have two decimals


@dataclass(frozen=True)
class Chart:
    """A curve as SVG path data in a 1000 x 100 field; ``zero`` is the height of the value 0."""

    name: str
    line: str
    band: str
    low: str
    high: str
    summary: str
    zero: float = _HIGH


@dataclass(frozen=True)
class ScoreBar:
    """One label's score as a bar; ``width`` in percent."""

    label: str
    score: str
    width: float
    place: int
    answer: bool
    target: bool
    long: bool


@dataclass(frozen=True)
class Diverging:
    """A signed value as a bar from a zero line; all in percent."""

    zero: float
    left: float
    width: float


def chart(curve: Curve, axis: Axis) -> Chart:
    """Draw a curve with its band; a value that is not finite leaves a gap, a very long curve is thinned by extremes."""
    n = min(len(curve.times), len(curve.values))
    lower, upper = curve.values, curve.values
    bounded = False
    if curve.lower is not None and curve.upper is not None and min(len(curve.lower), len(curve.upper)) >= n:
        lower, upper, bounded = curve.lower, curve.upper, True
    rows = [(curve.times[i], curve.values[i], lower[i], upper[i]) for i in range(n)]
    finite = [row for row in rows if all(map(math.isfinite, row))]
    name = wording.format_label(curve.name)
    if not finite:
        return Chart(name, "", "", "n/a", "n/a", f"{name}: no values")
    bottom = min(0.0, min(min(row[1:]) for row in finite))
    top = max(max(row[1:]) for row in finite)
    top = max(top, bottom + _LEAST_RANGE) if top > bottom else bottom + 1.0

    def place(time: float, value: float) -> str:
        return f"{_WIDE * axis.at(time) / 100:.1f} {_HIGH * (1 - (value - bottom) / (top - bottom)):.1f}"

    line, band = "", ""
    for piece in _pieces(rows):
        points = _thin(piece)
        if len(points) == 1:
            points = points * 2  # a stroke of no length with round caps draws a dot
        line += "M" + "L".join(place(t, v) for t, v, _, _ in points)
        if bounded and len(piece) > 1:
            there = [place(t, high) for t, _, _, high in points]
            back = [place(t, low) for t, _, low, _ in reversed(points)]
            band += "M" + "L".join(there + back) + "Z"
    peak = max(finite, key=lambda row: row[1])
    summary = f"{name} over time, highest {wording.format_score(peak[1])} at {wording.format_time(peak[0])}"
    zero = round(_HIGH * top / (top - bottom), 1) if top > 0 else 0.0
    return Chart(name, line, band, wording.format_score(bottom), wording.format_score(top), summary, zero)


def _pieces(rows: list[tuple[float, float, float, float]]) -> list[list[tuple[float, float, float, float]]]:
    pieces: list[list[tuple[float, float, float, float]]] = [[]]
    for row in rows:
        if all(map(math.isfinite, row)):
            pieces[-1].append(row)
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _thin(rows: list[tuple[float, float, float, float]]) -> list[tuple[float, float, float, float]]:
    """Keep the lowest and the highest value of each stretch, so that no peak is lost."""
    if len(rows) <= _MOST_POINTS:
        return rows
    size = math.ceil(2 * len(rows) / _MOST_POINTS)
    kept = []
    for start in range(0, len(rows), size):
        stretch = range(start, min(start + size, len(rows)))
        kept += sorted({min(stretch, key=lambda i: rows[i][1]), max(stretch, key=lambda i: rows[i][1])})
    return [rows[i] for i in kept]


def score_bars(prediction: Prediction) -> list[ScoreBar]:
    """Return the ten best labels, and the annotated ones after them when they are lower."""
    bars = []
    annotated = list_targets(prediction)
    for i, label in enumerate(prediction.labels):
        target = label.label in annotated
        if i < _TOP or target:
            score = label.score if math.isfinite(label.score) else 0.0
            long = len(wording.format_label(label.label)) > wording.LONG_LABEL
            width = round(100 * min(1.0, max(0.0, score)), 2)
            bars.append(
                ScoreBar(
                    wording.format_label(label.label),
                    wording.format_score(label.score),
                    width,
                    i + 1,
                    i == 0,
                    target,
                    long,
                )
            )
    return bars


def diverging(values: list[float], least: float = 0.0) -> list[Diverging]:
    """Scale signed values to bars that share one zero line.

    ``least`` is the smallest whole scale: values far below it get no bar that would look like a large one.
    """
    finite = [value if math.isfinite(value) else 0.0 for value in values]
    low, high = min([0.0, *finite]), max([0.0, *finite])
    whole = max(high - low, least) or 1.0
    zero = round(-100 * low / whole, 2)
    return [
        Diverging(zero, round(zero + min(0.0, 100 * value / whole), 2), round(100 * abs(value) / whole, 2))
        for value in finite
    ]


@dataclass(frozen=True)
class StackedRow:
    """Parts that add up to a sum: (name, text, left, width) on one scale in percent, from a common zero line."""

    label: str
    parts: list[tuple[str, str, float, float]]
    zero: float
    total: str
    end: float


def stack_rows(table: Table) -> list[StackedRow]:
    """Lay the rows of a table out as sums; empty unless its last column, the score, is the sum of the others."""
    if len(table.columns) < 4 or table.columns[-1] != "score":
        return []
    numbers = [[float(x) for x in row[1:] if isinstance(x, int | float)] for row in table.rows]
    wide = len(table.columns) - 1
    if not all(len(row) == wide and abs(sum(row[:-1]) - row[-1]) < 0.01 for row in numbers):
        return []
    ends = [x for row in numbers for i in range(len(row)) for x in (sum(row[:i]),)] + [row[-1] for row in numbers]
    low, high = min(0.0, *ends), max(0.0, *ends)
    scale = 100 / max(high - low, 1e-9)  # what is far below what is printed has no width, and no overflow
    rows = []
    for cells, row in zip(table.rows, numbers, strict=True):
        parts, at = [], 0.0
        for name, value in zip(table.columns[1:-1], row[:-1], strict=True):
            left = (min(at, at + value) - low) * scale
            parts.append((name, wording.format_contribution(value), round(left, 2), round(abs(value) * scale, 2)))
            at += value
        total = wording.format_score(row[-1])
        rows.append(StackedRow(str(cells[0]), parts, round(-low * scale, 2), total, round((row[-1] - low) * scale, 2)))
    return rows
