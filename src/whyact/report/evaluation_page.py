"""From one evaluated run, or two side by side, to the text of one HTML page, and to files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from whyact import wording
from whyact.files import write_atomic
from whyact.prediction import Prediction, Table
from whyact.report.diagnostics import EvaluatedRun, Figure, Mistake
from whyact.report.page import View, environment, render, view
from whyact.report.plots import (
    MatrixView,
    PlotView,
    SharesView,
    TableView,
    learning_plots,
    matrix_view,
    plot_view,
    shares_view,
    table_view,
)
from whyact.report.private import without_paths

_LETTERS = "AB"
_OPEN_TERMS = 4  # learning curves of a stage that are shown unfolded


@dataclass(frozen=True)
class FigureRow:
    """A main figure: for each run its value and interval, and the difference of two runs with its interval."""

    name: str
    text: str
    cells: list[tuple[str, str]]
    difference: tuple[str, str]


@dataclass(frozen=True)
class MistakeView:
    """A confident mistake with its evidence; ``link`` is its own page, empty where there is none."""

    answered: str
    annotated: str
    confidence: str
    text: str
    item: str
    evidence: View | None
    link: str
    lanes: list[tuple[str, list[tuple[float, float]]]]


@dataclass(frozen=True)
class RunView:
    """What stands in a run's own column."""

    letter: str
    name: str
    watched_test: bool
    facts: Sequence[tuple[str, str]]
    notes: Sequence[str]
    plots: list[PlotView]
    shares: list[SharesView]
    tables: list[TableView]
    matrix: MatrixView | None
    mistakes: list[MistakeView]
    numbers: list[tuple[str, str]]


def render_evaluation(runs: Sequence[EvaluatedRun], links: Sequence[Sequence[str]] = ()) -> str:
    """Write one evaluated run, or two on the same test items, as one HTML page that needs no network.

    Args:
        runs: One or two.
        links: For each run, the address of each mistake's own page, as seen from this one.
    """
    pages = links or [()] * len(runs)
    views = [_run_view(*one) for one in zip(runs, _LETTERS[: len(runs)], pages, strict=True)]
    stages = list(dict.fromkeys(stage for run in runs for stage in run.history))
    curves = {
        stage: learning_plots(
            [
                (run.letter if len(runs) > 1 else run.name, given.history.get(stage, ()))
                for run, given in zip(views, runs, strict=False)
            ]
        )
        for stage in stages
    }
    return (
        environment()
        .get_template("evaluation.html.j2")
        .render(
            runs=views,
            figures=_figures(runs),
            classes=table_view(_classes([run.diagnostics.classes for run in runs])),
            curves=curves,
            open_terms=_OPEN_TERMS,
            sort_script=_sort_script,
        )
    )


def write_evaluation(runs: Sequence[EvaluatedRun], path: Path) -> Path:
    """Write :func:`render_evaluation`'s page, and beside it a folder with a page for each mistake's evidence.

    The page itself carries the short form of each, so it can travel alone. Pages of an earlier evaluation in that
    folder are replaced.

    Raises:
        DiskFullError: When the disk is full.
    """
    folder = path.with_name(f"{path.stem}-mistakes")
    links: list[list[str]] = []
    written = set()
    for run, letter in zip(runs, _LETTERS, strict=False):
        names = [f"mistake-{letter.lower()}-{i:02d}.html" for i in range(1, len(run.evidence) + 1)]
        for name, prediction in zip(names, run.evidence, strict=True):
            written.add(write_atomic(folder / name, render([prediction])))
        links.append([f"{folder.name}/{name}" for name in names])
    text = render_evaluation(runs, links)
    write_atomic(path, text)
    for old in folder.glob("mistake-[ab]-[0-9][0-9].html"):
        if old not in written:
            old.unlink()
    return path


def _run_view(run: EvaluatedRun, letter: str, links: Sequence[str]) -> RunView:
    shown = run.diagnostics
    evidence = without_paths(list(run.evidence))
    mistakes = [
        _mistake(mistake, letter, i, evidence[i] if i < len(evidence) else None, links[i] if i < len(links) else "")
        for i, mistake in enumerate(shown.mistakes)
    ]
    return RunView(
        letter,
        run.name,
        run.watched_test,
        run.facts,
        shown.notes,
        [plot_view(plot) for plot in shown.plots],
        [shares_view(shares) for shares in shown.shares],
        [table_view(table) for table in shown.tables],
        None if shown.confusion is None else matrix_view(shown.confusion),
        mistakes,
        list(_flatten(run.metrics)),
    )


def _mistake(mistake: Mistake, letter: str, place: int, prediction: Prediction | None, link: str) -> MistakeView:
    return MistakeView(
        wording.format_label(mistake.answered),
        wording.format_label(mistake.annotated),
        wording.format_score(mistake.confidence),
        mistake.text,
        prediction.id if prediction is not None else "",
        None if prediction is None else view(prediction, 1000 * _LETTERS.index(letter) + place),
        link,
        [
            (name, [(round(100 * start, 2), round(100 * (end - start), 2)) for start, end in spans])
            for name, spans in mistake.lanes
        ],
    )


def _figures(runs: Sequence[EvaluatedRun]) -> list[FigureRow]:
    named = [{figure.name: figure for figure in run.diagnostics.figures} for run in runs]
    rows = []
    for name in dict.fromkeys(name for one in named for name in one):
        own = [one.get(name) for one in named]
        first = next(figure for figure in own if figure is not None)
        text = first.text
        cells = [("", "") if f is None else (_number(f.value, f), _below(f)) for f in own]
        difference = ("", "")
        if len(own) == 2 and own[0] is not None and own[1] is not None:
            if own[0].text != own[1].text:  # two measures of one name: neither is the other's yardstick
                text = _both(own[0].text, own[1].text)
                rows.append(FigureRow(name, text, cells, difference))
                continue
            gap = own[1].value - own[0].value
            difference = (_number(gap, first, signed=True), _interval(first, own[0].difference(own[1]), signed=True))
        rows.append(FigureRow(name, text, cells, difference))
    return rows


def _both(first: str, second: str) -> str:
    return "; ".join(f"{letter}: {text}" for letter, text in zip(_LETTERS, (first, second), strict=True))


def _below(figure: Figure) -> str:
    """Return what stands below a figure: its interval, and what it is a share of."""
    parts = [_interval(figure, figure.interval), figure.of and f"of {figure.of}"]
    return ", ".join(filter(None, parts))


def _number(value: float, figure: Figure, *, signed: bool = False) -> str:
    if not math.isfinite(value):
        return "n/a"
    if figure.scale == "share":
        return (wording.format_contribution if signed else wording.format_score)(value)
    return f"{value:{'+' if signed else ''}.1f}".replace("-", "−")


def _interval(figure: Figure, interval: tuple[float, float] | None, *, signed: bool = False) -> str:
    return "" if interval is None else " to ".join(_number(end, figure, signed=signed) for end in interval)


def _classes(tables: Sequence[Table]) -> Table:
    """Return the table by class, of two runs each measure side by side.

    The difference of the main one is beside them, if the texts of both tables say the same of what was measured.
    """
    first = tables[0]
    if len(tables) == 1:
        return first
    alike = first.text == tables[1].text
    other = {str(row[0]): row for row in tables[1].rows}
    measures = [i for i in range(2, len(first.columns)) if all(not isinstance(row[i], str) for row in first.rows)]
    words = [i for i in range(2, len(first.columns)) if i not in measures]
    columns = [*first.columns[:2], *(f"{first.columns[i]}, {letter}" for i in measures for letter in _LETTERS)]
    main = measures[-1 if words else 0]
    columns += [*([f"{first.columns[main]}, B − A"] if alike else []), *(first.columns[i] for i in words)]
    rows: list[list[Any]] = []
    pairs = [(row, other.pop(str(row[0]), [math.nan] * len(row))) for row in first.rows]
    pairs += [([*row[:2], *([math.nan] * (len(row) - 2))], row) for row in other.values()]  # classes of B alone
    for row, pair in pairs:
        both = [one[i] for i in measures for one in (row, pair)]
        gap = [float(pair[main]) - float(row[main])] if alike else []
        rows.append([*row[:2], *both, *gap, *((row if isinstance(row[i], str) else pair)[i] for i in words)])
    return Table(first.title, columns, rows, text=first.text if alike else _both(first.text, tables[1].text))


def _flatten(values: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Return every number of nested metrics with its name; lists are counted."""
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        whole = f"{before}{name}"
        if isinstance(value, Mapping):
            rows += _flatten(value, f"{whole}, ")
        elif isinstance(value, list | tuple):
            rows.append((whole, f"{len(value)} entries, in the JSON"))
        elif value is None:
            rows.append((whole, "not measured: this data has nothing to measure it on"))
        elif isinstance(value, bool) or not isinstance(value, int | float):
            rows.append((whole, str(value).lower() if isinstance(value, bool) else str(value)))
        else:
            rows.append((whole, f"{value:.4g}"))
    return rows


@lru_cache(maxsize=1)
def _sort_script() -> str:
    return files("whyact.report").joinpath("templates", "sort.js").read_text(encoding="utf-8")
