"""The one reader of CSV files and label lists: every row is read, or refused with its line.

A table may be UTF-8 or UTF-16, with or without a byte order mark, and separated by commas, semicolons or tabs; the
header decides, whatever its case. A field that holds the separator stands in double quotes.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from whyact.errors import Mistakes, UserError
from whyact.files import read_text

SEPARATORS = (",", ";", "\t")
LABEL_COLUMNS = ("label", "labels", "class", "classes", "action", "name")
_QUOTING = 'write a field that holds a separator in double quotes, such as "listen (e.g., to music)"'


@dataclass(frozen=True)
class Row:
    """A row of a table: the line where it starts, and its text by column (lower case, stripped)."""

    line: int
    values: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.values.get(column, "")


def read_table(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> list[Row]:
    """Read a CSV file with a header.

    Columns that are neither required nor optional are ignored, unless they look like a misspelt optional one.

    Args:
        path: The file.
        required: Columns that the header must name and every row must have.
        optional: Columns that may be missing; an absent value is an empty text.

    Raises:
        UserError: For a file that is no such table; it names every line that is wrong.
    """
    mistakes = Mistakes(path)
    columns = f"{','.join(required)}{''.join(f'[,{name}]' for name in optional)}"
    rows = list(_records(path, *_separated(path, required, columns)))
    if not rows:
        raise UserError(path, "no rows", f"a CSV with the columns {columns}")
    line, header = rows[0][0], [name.strip().casefold() for name in rows[0][1]]
    if twice := sorted({name for name in header if name and header.count(name) > 1}):
        raise UserError(f"{path}:{line}", f"{header.count(twice[0])} columns {twice[0]}", "each column once")
    for name in set(header) - {*required, *optional}:
        if near := get_close_matches(name, set(optional) - set(header), n=1, cutoff=0.75):
            raise UserError(f"{path}:{line}", f"column {name}", f"one of {columns}", f"did you mean {near[0]}?")
    table = []
    for line, fields in rows[1:]:
        values = [field.strip() for field in fields]
        while len(values) > len(header) and not values[-1]:  # spreadsheets write empty columns
            values.pop()
        if len(values) > len(header):
            wanted = f"{len(header)}, as in the header ({', '.join(header)})"
            mistakes.add_line(line, f"{len(values)} columns", wanted, _QUOTING)
            continue
        row = Row(line, dict(zip(header, values, strict=False)))
        if lacking := [name for name in required if name not in row.values]:
            mistakes.add_line(
                line, f"{len(values)} column{'s' * (len(values) != 1)}", f"a value for {', '.join(lacking)}"
            )
        table.append(row)
    mistakes.refuse()
    return table


def refuse_repeats(path: Path, rows: Iterable[Row], column: str, what: str) -> None:
    """Raise a UserError that names both lines where a column holds the same value twice."""
    first: dict[str, int] = {}
    for row in rows:
        if row[column] in first:
            where = f"{path}:{row.line}"
            found = f"{row[column]} (also in line {first[row[column]]})"
            raise UserError(where, found, f"every {what} named once", "remove the repeated rows")
        first[row[column]] = row.line


def refuse_duplicates(where: object, names: Iterable[str], what: str = "video") -> None:
    """Raise a UserError that names what is repeated."""
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise UserError(where, ", ".join(repeated[:5]), f"every {what} named once", "remove the repeated rows")


def spelling(name: str) -> str:
    """Return what two spellings of one name have in common: letters and signs without case, spaces and underscores."""
    return re.sub(r"[\s_]+", "", unicodedata.normalize("NFKC", name).casefold())


def refuse_alike(named: Iterable[tuple[object, str]], what: str = "label") -> None:
    """Refuse two names that differ in case, spaces or underscores only: they would silently be two classes.

    Args:
        named: Where a name stands, and the name; the same name may stand in many places.
        what: What the names are.

    Raises:
        UserError: For the first such pair, with both places.
    """
    known: dict[str, tuple[object, str]] = {}
    for where, name in named:
        place, other = known.setdefault(spelling(name), (where, name))
        if other != name:
            at = "" if place == where else f" of {place}"
            expected = f"one spelling of a {what}: {other!r}{at} differs in case, spaces or underscores only"
            raise UserError(where, name, expected, "spell both alike, or rename one")


def label_names(option: str, labels: str | Sequence[str]) -> tuple[str, ...]:
    """Return the labels of an option or argument: what :func:`read_label_names` reads, or names one by one.

    Raises:
        UserError: When there is no label, or two are alike.
    """
    if isinstance(labels, str):
        return read_label_names(option, labels)
    names = tuple(label.strip() for label in labels)
    if not all(names) or len({name.casefold() for name in names}) < max(1, len(names)):
        raise UserError(option, ", ".join(labels) or None, "at least one action name, and each once")
    return names


def read_label_names(option: str, given: str) -> tuple[str, ...]:
    """Return the labels of an option: a .txt file with one a line, a .csv file, or names with commas between them.

    In a list on the command line and in a .csv file a name that holds a comma stands in double quotes. A .csv file may
    have a header with one of :data:`LABEL_COLUMNS`, and several labels with ``;`` between them there; without one
    every field is a label. In a .txt file a line is a label, commas and quotes included.

    Raises:
        UserError: When the file is missing or broken, there is no label, or two are alike.
    """
    path = Path(given)
    lines: list[tuple[object, str]]
    try:
        is_file = path.is_file()
    except OSError:  # a long list of names is no possible path
        is_file = False
    if is_file and path.suffix.lower() in (".csv", ".tsv"):
        lines = list(_table_labels(path))
    elif is_file:
        text = read_text(path, "a text file with one label a line")
        lines = [(f"{path}:{n}", line) for n, line in enumerate(text.splitlines(), 1)]
    elif path.suffix.lower() in (".txt", ".csv", ".tsv") and "," not in given:
        raise UserError(option, given, "a file that exists, or names with commas between them")
    else:
        try:
            fields = list(csv.reader([given], skipinitialspace=True, strict=True))
        except csv.Error as error:
            raise UserError(option, given, f"names with commas between them ({error})", _QUOTING) from error
        lines = [(option, field) for row in fields for field in row]
    named = [(where, name.strip()) for where, name in lines if name.strip()]
    if not named:
        raise UserError(option, given, "at least one label")
    refuse_alike(named)
    where: object
    seen: set[str] = set()
    for where, name in named:
        if name in seen:
            raise UserError(where, name, "every label once")
        seen.add(name)
    return tuple(name for _, name in named)


def _table_labels(path: Path) -> Iterator[tuple[object, str]]:
    text = read_text(path, "a CSV file of labels")
    separator = _most_used(text)
    rows = list(_records(path, text, separator))
    header = [name.strip().casefold() for name in rows[0][1]] if rows else []
    column = next((header.index(name) for name in LABEL_COLUMNS if name in header and header.count(name) == 1), None)
    if "labels" in header:  # a labels.csv of training data: its videos' names are no labels
        column = header.index("labels")
    known: set[str] = set()
    for line, fields in rows[0 if column is None else 1 :]:
        where = f"{path}:{line}"
        if column is None:
            yield from ((where, field) for field in fields)
            continue
        if len(fields) > len(header):
            raise UserError(where, f"{len(fields)} columns", f"{len(header)}, as in the header", _QUOTING)
        for name in fields[column].split(";") if column < len(fields) else ():
            if name.strip() not in known or header[column] != "labels":  # videos of one class repeat it
                yield where, name
            known.add(name.strip())


def _most_used(text: str) -> str:
    first = next((line for line in text.splitlines() if line.strip()), "")
    return max(SEPARATORS, key=first.count)


def _separated(path: Path, required: Sequence[str], columns: str) -> tuple[str, str]:
    """Return the text and the separator with which its header names the required columns.

    Raises:
        UserError: When none does.
    """
    text = read_text(path, f"a CSV with the columns {columns}")
    first = next((line for line in text.splitlines() if line.strip()), "")
    if not first:
        raise UserError(path, "no rows", f"a CSV with the columns {columns}")
    for separator in SEPARATORS:
        fields = next(csv.reader([first], delimiter=separator), [])
        if set(required) <= {field.strip().casefold() for field in fields}:
            return text, separator
    raise UserError(path, f"the header {first.strip()}", f"the columns {columns}")


def _records(path: Path, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line where a record starts, and its fields; empty lines do not count."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True)
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UserError(f"{path}:{line}", str(error), "a row of a CSV file", _QUOTING) from error
        if any(field.strip() for field in fields):
            yield line, fields
