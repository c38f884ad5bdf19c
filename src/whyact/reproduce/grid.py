"""A study is a grid of cells; every finished cell is stored at once, so that a rerun goes on where it stopped."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from whyact.engines.run import run
from whyact.engines.work import Engine, Failure, Job
from whyact.errors import UserError
from whyact.files import canonical_json, sha256, write_atomic
from whyact.progress import progress as show

Cell = Mapping[str, Any]


class CellsFailed(RuntimeError):
    """Some cells failed twice; every other cell is done and stored.

    ``failed`` maps the cell's name to what went wrong.
    """

    def __init__(self, failed: dict[str, str], folder: Path) -> None:
        self.failed = failed
        listed = "; ".join(f"{name}: {why}" for name, why in failed.items())
        super().__init__(f"{len(failed)} cell(s) failed ({listed}); the others are kept in {folder}: run it again")


def run_cells(
    cells: Sequence[Cell],
    function: Callable[[dict[str, Any]], dict[str, Any]],
    folder: Path,
    *,
    jobs: int = 1,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """Compute ``function(cell)`` for every cell, or read what an earlier run stored.

    Each cell runs in a worker process with one thread, so that its numbers do not depend on ``jobs``. A cell
    that raises, or whose worker dies, is tried once more.

    Args:
        cells: Parameters of each cell, values that JSON can hold: row, fold, seed and whatever sets them apart.
        function: A module's own function, for the workers import it by name. It returns what JSON can hold.
        folder: Where results are stored, a file a cell, named by a hash of the function's name and the parameters.
        jobs: How many worker processes.
        progress: Show how far it is on stderr, with the time left.

    Returns:
        One result per cell, in the cells' order, as JSON gives them back.

    Raises:
        CellsFailed: After all other cells are done.
        ValueError: When ``function`` is not importable by name.
    """
    where = _address(function)
    paths = [cell_path(folder, where, cell) for cell in cells]
    todo = {path: dict(cell) for path, cell in zip(paths, cells, strict=True) if _stored(path) is None}
    with show("cells", len(cells), wanted=progress and bool(todo), done=len(cells) - len(todo)) as bar:
        failed = _compute(todo, where, max(1, jobs), bar.advance) if todo else {}
    if failed:
        raise CellsFailed(failed, folder)
    return [_stored(path) or {} for path in paths]


def stored_cells(
    cells: Sequence[Cell], function: Callable[[dict[str, Any]], dict[str, Any]], folder: Path
) -> list[dict[str, Any] | None]:
    """Return what an earlier run of :func:`run_cells` stored of each cell, ``None`` where it is not done."""
    where = _address(function)
    return [_stored(cell_path(folder, where, cell)) for cell in cells]


def finished_cells(
    cells: Sequence[dict[str, Any]],
    function: Callable[[dict[str, Any]], dict[str, Any]],
    folder: Path,
    *,
    jobs: int = 1,
    progress: bool = True,
    stored: bool = False,
    optional: bool = False,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return cells with their results: all of them, as :func:`run_cells`, or those that an earlier run stored.

    Args:
        cells: Parameters of each cell.
        function: A module's own function, as for :func:`run_cells`.
        folder: Where results are stored.
        jobs: How many worker processes.
        progress: Show how far it is on stderr.
        stored: Compute nothing.
        optional: With ``stored``, none at all is no mistake.

    Raises:
        CellsFailed: After all other cells are done.
        UserError: With ``stored``, when there is none.
    """
    if not stored:
        return list(cells), run_cells(cells, function, folder, jobs=jobs, progress=progress)
    found = zip(cells, stored_cells(cells, function, folder), strict=True)
    done = [(c, r) for c, r in found if r is not None]
    if not done and not optional:
        raise UserError("--stored", str(folder), "cells that an earlier run finished", "leave --stored out")
    return [c for c, _ in done], [r for _, r in done]


def cell_path(folder: Path, where: str, cell: Cell) -> Path:
    """Return the file of a cell: a hash of the function's name and of the cell's parameters, whatever their order."""
    return Path(folder) / f"{sha256(canonical_json([where, dict(cell)]))[:20]}.json"


def cell_name(cell: Cell) -> str:
    """Return a cell's parameters as words: ``row=language fold=1 seed=0``."""
    return " ".join(f"{key}={value}" for key, value in cell.items())


def _compute(todo: dict[Path, dict[str, Any]], where: str, jobs: int, done: Callable[[], None]) -> dict[str, str]:
    """Run cells on the local engine; return what failed, by the cell's name."""
    items = [(cell, str(path)) for path, cell in todo.items()]

    def told(index: int, result: Any) -> None:
        if not isinstance(result, Failure):
            done()

    found = run(Engine("local", jobs), Job(_import, _work, where), items, told)
    return {
        cell_name(cell): result.message
        for (cell, _), result in zip(items, found, strict=True)
        if isinstance(result, Failure)
    }


def _import(where: str) -> tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]:
    """Return a cell's function, in the worker."""
    module, _, name = where.partition(":")
    return where, getattr(importlib.import_module(module), name)


def _work(known: tuple[str, Callable[[dict[str, Any]], dict[str, Any]]], item: tuple[dict[str, Any], str]) -> None:
    """Compute and store one cell, in the worker."""
    (where, function), (cell, path) = known, item
    started = time.perf_counter()
    result = function(dict(cell))
    stored = {"cell": cell, "function": where, "seconds": time.perf_counter() - started, "result": result}
    write_atomic(Path(path), canonical_json(stored) + "\n")


def _stored(path: Path) -> dict[str, Any] | None:
    """Return a stored result; a file that is absent, damaged or of another form counts as not done."""
    try:
        result = msgspec.json.decode(path.read_bytes())["result"]
    except (OSError, msgspec.DecodeError, KeyError, TypeError):
        return None
    return result if isinstance(result, dict) else None


def _address(function: Callable[..., Any]) -> str:
    module, name = function.__module__, function.__qualname__
    if module == "__main__" or "<" in name or "." in name:
        raise ValueError(f"a cell's function must be a module's own function, not {module}.{name}")
    return f"{module}:{name}"
