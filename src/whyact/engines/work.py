"""What a worker does and what it returns: the vocabulary that every engine shares.

An engine offers a :class:`Pool` of workers, each of which takes one item at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from whyact.errors import UserError

LOST = "the worker process died"
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # 1 for a worker, so that bits agree


@dataclass(frozen=True)
class Job:
    """What a worker does: ``setup(settings)`` once, then ``work(state, item)`` for every item it is given.

    Both are module-level functions, because workers import them by name. A worker computes with one thread.
    """

    setup: Callable[[Any], Any]
    work: Callable[[Any, Any], Any]
    settings: Any = None


@dataclass(frozen=True)
class Failure:
    """An item that failed: the message, and the :class:`UserError` if the user's input was to blame."""

    message: str
    mistake: UserError | None = None

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Return the failure that an exception stands for, its message in one line."""
        if isinstance(error, UserError):
            return cls(str(error), error)
        return cls(f"{type(error).__name__}: {' '.join(str(error).split())}")


Answer = tuple[Literal["done", "failed", "broken", "lost"], Any]
"""How an item ended: a result, a :class:`Failure` of the item or of the setup, or a worker that died."""


class Pool(Protocol):
    """Workers, numbered from 0."""

    workers: int

    def send(self, worker: int, item: Any) -> None:
        """Send an item to an idle worker, and start the worker first if it is not running."""

    def wait(self) -> list[tuple[int, Answer]]:
        """Wait for at least one busy worker and return the answers; a lost worker is no longer running."""


@dataclass(frozen=True)
class Engine:
    """Where items are worked on: ``local`` processes or ``ray``; ``address`` is that of a running Ray cluster."""

    name: Literal["local", "ray"] = "local"
    workers: int = 1
    address: str = ""


class Worker:
    """The worker's side of every engine: it sets up at the first item and never raises."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.state: Any = None
        self.ready = False

    def answer(self, item: Any) -> Answer:
        """Do one item."""
        if not self.ready:
            try:
                self.state = self.job.setup(self.job.settings)
            except Exception as error:
                return "broken", Failure.of(error)
            self.ready = True
        try:
            return "done", self.job.work(self.state, item)
        except Exception as error:
            return "failed", Failure.of(error)
