"""How much memory a piece of work takes: the peak of a process, as Linux counts it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def can_measure() -> bool:
    """Tell whether this system counts the peak of a process and lets it start anew (Linux)."""
    return _STATUS.exists() and _RESET.exists()


def start_peak() -> None:
    """Forget the process's peak so far: it starts anew from what is resident now."""
    _RESET.write_text("5")


def peak_mib() -> float:
    """Return the most memory that was resident since :func:`start_peak`, in MiB."""
    return _status("VmHWM") / 1024


def added_mib(work: Callable[[], object]) -> float:
    """Return the MiB that ``work`` adds to this process at its highest, at least 1."""
    start_peak()
    before = _status("VmRSS")
    work()
    return max(1.0, (_status("VmHWM") - before) / 1024)


def in_a_fresh_process(target: str, *words: str) -> float:
    """Call ``module:function`` with words in a new Python, and return the number that it returns.

    Memory that an earlier measurement left to this process would hide what the next one takes.
    """
    module, _, name = target.partition(":")
    code = f"import sys; from {module} import {name}; print({name}(*sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def _status(name: str) -> int:
    lines = _STATUS.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))
