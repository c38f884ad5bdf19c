"""The studio's own worker tasks, in processes that know the encoders of :mod:`method_runs`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

import pytest

import method_runs
from whyact.studio import worker_tasks
from whyact.studio.limits import Limits
from whyact.studio.workers import Task


def answer_tasks(limits: Limits) -> dict[str, Task]:
    """Stand for the process that reads videos."""
    method_runs.patch(pytest.MonkeyPatch())  # for good: this process is the worker
    return worker_tasks.answer_tasks(limits)


def ablation_tasks(limits: Limits) -> dict[str, Task]:
    """Stand for the process that asks again."""
    method_runs.patch(pytest.MonkeyPatch())  # for good: this process is the worker
    return worker_tasks.ablation_tasks(limits)
