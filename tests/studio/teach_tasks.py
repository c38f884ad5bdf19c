"""The studio's own worker tasks, in processes whose only detector is that of :mod:`square_films`; boxes alone teach."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))

import pytest

from square_films import Squares
from whyact.studio import train_tasks as own
from whyact.studio import worker_tasks
from whyact.studio.limits import Limits
from whyact.studio.workers import Task


def patch(patched: pytest.MonkeyPatch) -> None:
    """Let every detector be the one that finds squares, and no encoder be installed."""
    for place in ("whyact.laiar.own_clips", "whyact.laiar.perceive", "whyact.perception.open"):
        patched.setattr(f"{place}.open_detector", lambda name, names=None: Squares())
    patched.setattr("whyact.laiar.own_clips.find_spec", lambda name: None)


def train_tasks(limits: Limits) -> dict[str, Task]:
    """Stand for the process that trains."""
    patch(pytest.MonkeyPatch())  # for good: this process is the worker
    return own.train_tasks(limits)


def answer_tasks(limits: Limits) -> dict[str, Any]:
    """Stand for the process that reads videos."""
    patch(pytest.MonkeyPatch())
    return worker_tasks.answer_tasks(limits)


def ablation_tasks(limits: Limits) -> dict[str, Any]:
    """Stand for the process that asks again."""
    patch(pytest.MonkeyPatch())
    return worker_tasks.ablation_tasks(limits)
