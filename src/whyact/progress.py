"""How far long work is, on stderr: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

Listener = Callable[[str, float, float | None], object]  # what the work is, how much is done, and of how much
OnNote = Callable[[str], object]
_LISTENER: ContextVar[tuple[Listener, OnNote] | None] = ContextVar("listener", default=None)
LINES = 30.0  # seconds between two lines where there is no terminal


class Bar:
    """Told how far a piece of work is; shows nothing by itself."""

    def __init__(self, total: float | None = None, done: float = 0) -> None:
        self.total, self.done, self.text = total, done, ""

    def start(self, done: float) -> None:
        """Say that an earlier run did so much: no time was spent on it."""
        self.done = done

    def update(self, done: float | None = None, text: str = "") -> None:
        """Set how much is done, and what the last of it was; leave out what has not changed."""
        self.done = self.done if done is None else done
        self.text = text or self.text

    def advance(self, text: str = "", by: float = 1) -> None:
        """Count so much more as done."""
        self.update(self.done + by, text)


class _Lines(Bar):
    """A line every so many seconds, with an estimate of the time left."""

    def __init__(self, title: str, total: float | None, done: float, clock: Callable[[], float]) -> None:
        super().__init__(total, done)
        self.title, self.clock = title, clock
        self.before, self.started = done, clock()
        self.told = self.started

    def start(self, done: float) -> None:
        super().start(done)
        self.before, self.started = done, self.clock()

    def update(self, done: float | None = None, text: str = "") -> None:
        super().update(done, text)
        now = self.clock()
        if now - self.told >= LINES:
            self.told = now
            print(self.line(now - self.started), file=sys.stderr, flush=True)

    def line(self, elapsed: float) -> str:
        """Return the line after so many seconds."""
        if self.total is None:
            parts = [f"{self.title}: {self.done:g}"]
        elif self.total == 1:
            parts = [f"{self.title}: {self.done:.0%}"]
        else:
            parts = [f"{self.title}: {self.done:g} of {self.total:g}"]
        if self.text:
            parts.append(self.text)
        if self.total is not None and self.done > self.before:
            left = elapsed / (self.done - self.before) * max(0.0, self.total - self.done)
            parts.append(f"about {_span(left)} left")
        return ", ".join(parts)


class _Rich(Bar):
    """A bar of rich's."""

    def __init__(self, title: str, total: float | None, done: float, shown: Any) -> None:
        super().__init__(total, done)
        self.title, self.shown = title, shown
        self.task = shown.add_task(title, total=total, completed=done)

    def update(self, done: float | None = None, text: str = "") -> None:
        super().update(done, text)
        name = f"{self.title}: {self.text}" if self.text else self.title
        self.shown.update(self.task, completed=self.done, description=name.replace("[", r"\["))


class _Calls(Bar):
    """A function that is called at every step."""

    def __init__(self, title: str, total: float | None, done: float, listener: Listener) -> None:
        super().__init__(total, done)
        self.title, self.listener = title, listener
        self.update()

    def start(self, done: float) -> None:
        self.update(done)

    def update(self, done: float | None = None, text: str = "") -> None:
        super().update(done, text)
        self.listener(self.title, self.done, self.total)


@contextmanager
def progress_to(listener: Listener, on_note: OnNote) -> Iterator[None]:
    """Tell a program how far the work in the block is, in the place of stderr.

    Args:
        listener: Called at every step with the title of the work, how much of it is done, and of how much if known.
        on_note: Called with every note.
    """
    before = _LISTENER.set((listener, on_note))
    try:
        yield
    finally:
        _LISTENER.reset(before)


def print_note(text: str) -> None:
    """Print what the user should know of the work on stderr, or tell it to the program that listens."""
    if (listening := _LISTENER.get()) is not None:
        listening[1](text)
    else:
        print(f"whyact: note: {text}", file=sys.stderr, flush=True)


@contextmanager
def progress(title: str, total: float | None = None, *, wanted: bool = True, done: float = 0) -> Iterator[Bar]:
    """Show how far a piece of work is while the block runs.

    Args:
        title: What the work is.
        total: How many steps it has: 1 for shares of a whole, ``None`` where nobody knows.
        wanted: Off: show nothing.
        done: Steps that an earlier run did.

    Yields:
        What to tell of every step.
    """
    if (listening := _LISTENER.get()) is not None:
        yield _Calls(title, total, done, listening[0])
    elif not wanted:
        yield Bar(total, done)
    elif not sys.stderr.isatty():
        yield _Lines(title, total, done, time.monotonic)
    else:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.progress import TimeRemainingColumn as TimeLeft

        counted = TextColumn("{task.percentage:>3.0f}%") if total == 1 else MofNCompleteColumn()
        columns = (TextColumn("{task.description}"), BarColumn(), counted, TimeElapsedColumn(), TimeLeft())
        with Progress(*columns, console=Console(stderr=True), transient=True, speed_estimate_period=3600.0) as shown:
            yield _Rich(title, total, done, shown)


def announce(text: str, *, wanted: bool = True, in_logs: bool = True) -> None:
    """Say on stderr what is about to begin, before the seconds that importing torch takes.

    Args:
        text: What begins.
        wanted: Off: say nothing.
        in_logs: Say it also where there is no terminal. Of several processes under torchrun the first speaks.
    """
    if wanted and (in_logs or sys.stderr.isatty()) and os.environ.get("RANK", "0") == "0":
        print(f"whyact: {text} ...", file=sys.stderr, flush=True)


def print_error(message: str) -> None:
    """Print a message as one line on stderr, ``whyact:`` before it in red where there is a terminal with colours."""
    line = f"whyact: {' '.join(message.removeprefix('whyact: ').split())}"
    # https://no-color.org
    if sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb":
        line = f"\033[1;31mwhyact:\033[0m{line.removeprefix('whyact:')}"
    print(line, file=sys.stderr, flush=True)


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
