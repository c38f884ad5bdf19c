"""Run a function over many items on workers that may die; the order of the items decides the output, nothing else.

An engine is a :class:`Pool`: workers that are handed one item at a time. What a lost worker had in hand is given to
another; a function that raises is asked once more, unless a user's mistake is to blame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from whyact.errors import UserError

LOST = "the worker process died"
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # of a worker: one each, so equal bits


@dataclass(frozen=True)
class Job:
    """What a worker does: ``setup(settings)`` once, then ``work(state, item)`` for every item it is handed.

    Both are modules' own functions, for workers import them by name. One worker computes with one thread.
    """

    setup: Callable[[Any], Any]
    work: Callable[[Any, Any], Any]
    settings: Any = None


@dataclass(frozen=True)
class Failure:
    """An item that could not be done: why, and the user's mistake if it was one."""

    said: str
    mistake: UserError | None = None

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Return what an exception says, in one line."""
        if isinstance(error, UserError):
            return cls(str(error), error)
        return cls(f"{type(error).__name__}: {' '.join(str(error).split())}")


Answer = tuple[Literal["done", "failed", "broken", "lost"], Any]
"""What a worker's hand comes back with: a result, a :class:`Failure` of the item or of the setup, or nothing."""


class Pool(Protocol):
    """Workers, numbered from 0."""

    workers: int

    def send(self, worker: int, item: Any) -> None:
        """Hand an item to an idle worker, started first where it is not running."""

    def wait(self) -> list[tuple[int, Answer]]:
        """Wait for at least one busy worker, and return what came back; a lost one is not running afterwards."""


@dataclass(frozen=True)
class Engine:
    """Where items are worked on: ``local`` processes or ``ray``; ``address`` is that of a running Ray cluster."""

    name: Literal["local", "ray"] = "local"
    workers: int = 1
    address: str = ""


class Worker:
    """The worker's side, whatever carries items to it: sets up at the first item and never raises."""

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


def run(
    engine: Engine,
    job: Job,
    items: Sequence[Any],
    told: Callable[[int, Any], None] = lambda index, result: None,
    tries: int = 2,
) -> list[Any]:
    """Return ``work`` of every item in the items' order, a :class:`Failure` where it failed.

    Args:
        engine: Where, and on how many workers.
        job: What is done.
        items: What it is done to.
        told: Called with an item's index and result as soon as it is there, in the order of completion.
        tries: How often an item is begun at most, when its worker dies or its function raises.

    Raises:
        UserError: When a worker cannot be set up through a mistake, or the engine is not there.
        RuntimeError: When a worker cannot be set up for another reason.
    """
    with open_pool(engine, job, min(engine.workers, len(items))) as pool:
        return run_in(pool, items, told, tries)


@contextmanager
def open_pool(engine: Engine, job: Job, workers: int) -> Iterator[Pool]:
    """Start an engine's workers; they are gone at the end.

    Raises:
        UserError: When Ray is asked for and not installed, or there is no cluster at the address.
    """
    if engine.name == "ray":
        from whyact.engines.ray import ray_pool

        with ray_pool(job, workers, engine.address) as pool:
            yield pool
    else:
        from whyact.engines.local import local_pool

        with local_pool(job, workers) as pool:
            yield pool


def run_in(
    pool: Pool,
    items: Sequence[Any],
    told: Callable[[int, Any], None] = lambda index, result: None,
    tries: int = 2,
) -> list[Any]:
    """Do as :func:`run` in a pool that is open already."""
    results: list[Any] = [None] * len(items)
    begun = [0] * len(items)
    waiting = deque(range(len(items)))
    idle = list(range(pool.workers))[::-1]
    busy: dict[int, int] = {}
    while waiting or busy:
        while waiting and idle:
            worker, index = idle.pop(), waiting.popleft()
            begun[index] += 1
            busy[worker] = index
            pool.send(worker, items[index])
        for worker, (state, value) in pool.wait():
            index = busy.pop(worker)
            idle.append(worker)
            if state == "broken":
                raise value.mistake or RuntimeError(f"a worker could not start: {value.said}")
            value = Failure(LOST) if state == "lost" else value
            if state != "done" and value.mistake is None and begun[index] < tries:
                waiting.append(index)
                continue
            results[index] = value
            told(index, value)
    return results
