"""Jobs for ``test_engines.py``: workers import their functions by name, so they live in a module."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from whyact.errors import UserError


def setup(settings: dict[str, Any]) -> dict[str, Any]:
    """Leave a mark for each start, or refuse to start."""
    if settings.get("refuse") == "mistake":
        raise UserError("the weights", "none", "a file", "fetch it")
    if settings.get("refuse"):
        raise OSError("no luck")
    folder = Path(settings["folder"])
    folder.mkdir(exist_ok=True)
    (folder / f"started-{os.getpid()}").touch()
    return settings


def work(state: dict[str, Any], item: tuple[int, str]) -> dict[str, Any]:
    """Do what the item says: answer, wait, raise or die, always or the first time."""
    number, what = item
    mark = Path(state["folder"]) / f"item-{number}-{time.time_ns()}"
    mark.touch()
    first = len(list(mark.parent.glob(f"item-{number}-*"))) == 1
    if what == "wait":
        time.sleep(0.3)
    if what == "raise" or (what == "raise once" and first):
        raise ValueError("no\nluck")
    if what == "mistake":
        raise UserError(f"item {number}", what, "another item", "leave it out")
    if what == "die" or (what == "die once" and first):
        os._exit(9)
    if what == "unsendable":
        return {"answer": lambda: None}  # type: ignore[dict-item]
    return {"answer": number**2, "threads": os.environ["OMP_NUM_THREADS"], "pid": os.getpid()}
