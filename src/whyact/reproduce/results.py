"""The results document: what a study measured, as one JSON file for machines and one Markdown file for people."""

from __future__ import annotations

import math
import os
import platform
import statistics
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from whyact.errors import UserError
from whyact.files import write_atomic
from whyact.metrics.intervals import bootstrap_difference, sign_count


class Row(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One number: the mean of a metric over ``n`` cells, and the paper's where it has one.

    ``sd`` is the sample standard deviation over those cells, ``None`` when ``n`` is 1.
    """

    table: str
    row: str
    metric: str
    mean: float
    sd: float | None = None
    n: int = 1
    paper: float | None = None
    unit: str = ""
    note: str = ""


class Header(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Where the rows come from. ``date``, ``version`` and ``machine`` are filled in by :func:`header`."""

    name: str
    command: str
    date: str
    version: str
    machine: str
    seeds: list[int] = []
    folds: list[int] = []
    data: str = ""
    split_sha256: str = ""


class Document(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The whole document, as NAME.json holds it."""

    header: Header
    rows: list[Row]


def header(name: str, command: str, **more: Any) -> Header:
    """Return a header with today's date (UTC), this version of whyact and this machine's description."""
    from importlib.metadata import version

    today = datetime.now(UTC).date().isoformat()
    return Header(name=name, command=command, date=today, version=version("whyact"), machine=machine(), **more)


def row(table: str, name: str, metric: str, values: Sequence[float], **more: Any) -> Row:
    """Return the row for a metric's values over seeds and folds: mean, sample standard deviation and count.

    Raises:
        ValueError: When there is no value, or one is not finite.
    """
    if not values or not all(math.isfinite(value) for value in values):
        raise ValueError(f"{table}, {name}, {metric}: {list(values)} has no finite mean")
    sd = statistics.stdev(values) if len(values) > 1 else None
    return Row(table=table, row=name, metric=metric, mean=statistics.fmean(values), sd=sd, n=len(values), **more)


def row_if_any(table: str, name: str, metric: str, values: Sequence[float], **more: Any) -> list[Row]:
    """Return :func:`row` in a list, or an empty list where no cell of it is done."""
    return [row(table, name, metric, values, **more)] if values else []


def paired_row(table: str, name: str, metric: str, ours: Sequence[float], theirs: Sequence[float]) -> Row:
    """Return the row of our values (N,) less theirs (N,), in 0..1; its note has the 95 % bootstrap interval."""
    a, b = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    interval, signs = bootstrap_difference(a, b, np.random.default_rng(0)), sign_count(a, b)
    note = f"95 % interval {interval.low:+.3f} to {interval.high:+.3f}; better in {signs.up} of {len(a)} pairs"
    return row(table, name, metric, (a - b).tolist(), unit="0..1", note=note)


def write_results(name: str, head: Header, rows: Iterable[Row], folder: Path) -> tuple[Path, Path]:
    """Write ``NAME.json`` and ``NAME.md`` into ``folder`` and return both paths.

    Raises:
        UserError: When the folder cannot be written.
    """
    listed = list(rows)
    try:
        return (
            write_atomic(Path(folder) / f"{name}.json", to_json(head, listed)),
            write_atomic(Path(folder) / f"{name}.md", to_markdown(head, listed)),
        )
    except OSError as error:
        raise UserError(folder, error.strerror, "a folder that can be written", "choose another --out") from error


def to_json(head: Header, rows: Sequence[Row]) -> str:
    """Return the document as JSON; a missing paper value or spread is null."""
    encoded = msgspec.json.encode(Document(header=head, rows=list(rows)))
    return msgspec.json.format(encoded, indent=2).decode() + "\n"


def from_json(text: str | bytes) -> Document:
    """Read and validate what :func:`to_json` wrote.

    Raises:
        ValueError: When it is not such a document.
    """
    return msgspec.json.decode(text, type=Document)


def to_markdown(head: Header, rows: Sequence[Row]) -> str:
    """Return the document as Markdown: a table per ``table``, a line per row, a column per metric."""
    lines = [f"# {head.name}", "", "Measured with:", "", "```", head.command, "```", ""]
    facts = [f"whyact {head.version}", head.date, head.machine]
    facts += [f"data {head.data}"] if head.data else []
    facts += [f"seeds {', '.join(map(str, head.seeds))}"] if head.seeds else []
    facts += [f"folds {', '.join(map(str, head.folds))}"] if head.folds else []
    facts += [f"split SHA-256 `{head.split_sha256}`"] if head.split_sha256 else []
    lines += ["; ".join(facts) + ".", "", "Numbers are mean ± sample standard deviation (count)."]
    for table in dict.fromkeys(row.table for row in rows):
        lines += ["", f"## {table}", "", *_table([row for row in rows if row.table == table])]
    return "\n".join(lines) + "\n"


def machine() -> str:
    """Describe this machine by cores, memory and processor, and by nothing that tells whose it is."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = _memory_gib()
    parts = [f"{cores} cores", f"{memory} GiB memory" if memory else "", _processor()]
    return ", ".join(part for part in parts if part)


def _table(rows: Sequence[Row]) -> list[str]:
    metrics = list(dict.fromkeys((row.metric, row.unit) for row in rows))
    cells = {(row.row, row.metric): row for row in rows}
    columns = ["row"]
    for metric, unit in metrics:
        title = f"{metric} ({unit})" if unit else metric
        columns += [title, f"{title}, paper"] if _has_paper(rows, metric) else [title]
    lines = [_line(columns), _line(["---"] + ["---:"] * (len(columns) - 1))]
    notes: list[str] = []
    for name in dict.fromkeys(row.row for row in rows):
        words = [name]
        for metric, _ in metrics:
            found = cells.get((name, metric))
            words.append("" if found is None else _measured(found) + _mark(found.note, notes))
            if _has_paper(rows, metric):
                words.append("" if found is None or found.paper is None else _number(found.paper))
        lines.append(_line(words))
    return lines + ([""] if notes else []) + [f"{i}. {note}" for i, note in enumerate(notes, 1)]


def _has_paper(rows: Sequence[Row], metric: str) -> bool:
    return any(row.paper is not None for row in rows if row.metric == metric)


def _measured(row: Row) -> str:
    spread = "" if row.sd is None else f" ± {_number(row.sd)}"
    return f"{_number(row.mean)}{spread} ({row.n})"


def _mark(note: str, notes: list[str]) -> str:
    """Return a note's mark, and keep each different note once."""
    if not note:
        return ""
    if note not in notes:
        notes.append(note)
    return f" [{notes.index(note) + 1}]"


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _line(words: Sequence[str]) -> str:
    return "| " + " | ".join(word.replace("|", "\\|").replace("\n", " ") for word in words) + " |"


def _memory_gib() -> int:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return 0


def _processor() -> str:
    if sys.platform == "linux":
        try:
            with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as stream:
                for line in stream:
                    if line.startswith("model name"):
                        return line.partition(":")[2].strip()
        except OSError:
            pass
    return platform.processor() or platform.machine()
