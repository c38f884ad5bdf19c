"""A study is a grid of cells; every finished cell is stored at once, so that a rerun goes on where it stopped."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from whyact.files import canonical_json, sha256, write_atomic

if TYPE_CHECKING:
    from rich.progress import Progress

Cell = Mapping[str, Any]
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


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
        progress: Show a bar with the time left on stderr, if that is a terminal.

    Returns:
        One result per cell, in the cells' order, as JSON gives them back.

    Raises:
        CellsFailed: After all other cells are done.
        ValueError: When ``function`` is not importable by name.
    """
    where = _address(function)
    paths = [cell_path(folder, where, cell) for cell in cells]
    todo = {path: dict(cell) for path, cell in zip(paths, cells, strict=True) if _stored(path) is None}
    with _bar(progress, len(cells), len(cells) - len(todo)) as done:
        failed = _compute(todo, where, max(1, jobs), done) if todo else {}
    if failed:
        raise CellsFailed(failed, folder)
    return [_stored(path) or {} for path in paths]


def cell_path(folder: Path, where: str, cell: Cell) -> Path:
    """Return the file of a cell: a hash of the function's name and of the cell's parameters, whatever their order."""
    return Path(folder) / f"{sha256(canonical_json([where, dict(cell)]))[:20]}.json"


def cell_name(cell: Cell) -> str:
    """Return a cell's parameters as words: ``row=language fold=1 seed=0``."""
    return " ".join(f"{key}={value}" for key, value in cell.items())


def _compute(todo: dict[Path, dict[str, Any]], where: str, jobs: int, done: Callable[[], None]) -> dict[str, str]:
    """Run cells in a pool; a second round runs what failed in the first, each in a pool of its own.

    A worker that dies breaks its pool and takes innocent cells with it: alone, each shows what it is worth.
    """
    first = _round(todo, where, jobs, done)
    failed: dict[str, str] = {}
    for path in first:
        again = _round({path: todo[path]}, where, 1, done)
        failed |= {cell_name(todo[path]): why for why in again.values()}
    return failed


def _round(todo: dict[Path, dict[str, Any]], where: str, jobs: int, done: Callable[[], None]) -> dict[Path, str]:
    failed: dict[Path, str] = {}
    context = multiprocessing.get_context("spawn")
    with _one_thread(), ProcessPoolExecutor(min(jobs, len(todo)), mp_context=context) as pool:
        running: dict[Future[None], Path] = {}
        try:
            for path, cell in todo.items():
                running[pool.submit(_work, where, cell, str(path))] = path
            while running:
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    path = running.pop(future)
                    if error := future.exception():
                        failed[path] = _said(error)
                    else:
                        done()
        except BrokenProcessPool as error:  # between two submits
            failed |= {path: _said(error) for path in todo if _stored(path) is None and path not in failed}
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return failed


def _work(where: str, cell: dict[str, Any], path: str) -> None:
    """Compute and store one cell, in the worker."""
    module, _, name = where.partition(":")
    started = time.perf_counter()
    result = getattr(importlib.import_module(module), name)(dict(cell))
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


def _said(error: BaseException) -> str:
    if isinstance(error, BrokenProcessPool):
        return "the worker process died"
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


@contextmanager
def _one_thread() -> Iterator[None]:
    """Give the worker processes one thread each; they read it when they import torch."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _bar(progress: bool, total: int, already: int) -> Iterator[Callable[[], None]]:
    if not (progress and sys.stderr.isatty()):
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("cells"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    bar: Progress
    with Progress(*columns, console=Console(stderr=True), speed_estimate_period=86400.0) as bar:
        task = bar.add_task("cells", total=total, completed=already)
        yield lambda: bar.advance(task)
