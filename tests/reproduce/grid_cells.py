"""Cells for ``test_grid.py``: worker processes import their function by name, so it lives in a module."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any


def square(cell: dict[str, Any]) -> dict[str, Any]:
    """Leave a mark for each call, then square."""
    _mark(cell)
    return {"square": cell["x"] ** 2, "threads": os.environ["OMP_NUM_THREADS"], "pid": os.getpid()}


def troubled(cell: dict[str, Any]) -> dict[str, Any]:
    """Raise, die, or do so only the first time, as the cell says."""
    calls = _mark(cell)
    if cell["trouble"] == "raise" or (cell["trouble"] == "raise once" and calls == 1):
        raise RuntimeError("no\nluck")
    if cell["trouble"] == "die" or (cell["trouble"] == "die once" and calls == 1):
        time.sleep(0.1)
        os._exit(3)
    return {"x": cell["x"]}


def not_a_number(cell: dict[str, Any]) -> dict[str, Any]:
    """Return what JSON cannot hold."""
    return {"x": float("nan")}


def _mark(cell: dict[str, Any]) -> int:
    folder = Path(cell["marks"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{cell['x']}-{time.time_ns()}-{os.getpid()}").touch()
    return len(list(folder.glob(f"{cell['x']}-*")))


def sleep(cell: dict[str, Any]) -> dict[str, Any]:
    """Say who works on it, then sleep for a minute."""
    Path(cell["marks"]).write_text(str(os.getpid()))
    time.sleep(60)
    return {}
