"""Run a function over many items on workers that may die; the order of the items alone decides the output.

The item of a worker that died goes to another worker. An item whose function raises is tried once more, unless the
error is a :class:`~whyact.errors.UserError`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from whyact.engines.local import local_pool
from whyact.engines.ray import ray_pool
from whyact.engines.work import LOST, Engine, Failure, Job, Pool


def run(
    engine: Engine,
    job: Job,
    items: Sequence[Any],
    on_result: Callable[[int, Any], None] = lambda index, result: None,
    tries: int = 2,
) -> list[Any]:
    """Return ``work`` of every item in the items' order, a :class:`Failure` where it failed.

    Args:
        engine: Where to run, and with how many workers.
        job: What to do.
        items: What to do it to.
        on_result: Called with an item's index and result as soon as it is ready, in the order of completion.
        tries: How often to start an item at most, when its worker dies or its function raises.

    Raises:
        UserError: When the setup of a worker fails with one, or the engine is not available.
        RuntimeError: When the setup fails for another reason.
    """
    with open_pool(engine, job, min(engine.workers, len(items))) as pool:
        return run_in(pool, items, on_result, tries)


@contextmanager
def open_pool(engine: Engine, job: Job, workers: int) -> Iterator[Pool]:
    """Start an engine's workers, and end them on exit.

    Raises:
        UserError: When Ray is not installed, or there is no cluster at the address.
    """
    ray = engine.name == "ray"
    with ray_pool(job, workers, engine.address) if ray else local_pool(job, workers) as pool:
        yield pool


def run_in(
    pool: Pool,
    items: Sequence[Any],
    on_result: Callable[[int, Any], None] = lambda index, result: None,
    tries: int = 2,
) -> list[Any]:
    """Do what :func:`run` does in a pool that is already open."""
    results: list[Any] = [None] * len(items)
    started = [0] * len(items)
    waiting = deque(range(len(items)))
    idle = list(range(pool.workers))[::-1]
    busy: dict[int, int] = {}
    while waiting or busy:
        while waiting and idle:
            worker, index = idle.pop(), waiting.popleft()
            started[index] += 1
            busy[worker] = index
            pool.send(worker, items[index])
        for worker, (state, value) in pool.wait():
            index = busy.pop(worker)
            idle.append(worker)
            if state == "broken":
                raise value.mistake or RuntimeError(f"a worker could not start: {value.message}")
            value = Failure(LOST) if state == "lost" else value
            if state != "done" and value.mistake is None and started[index] < tries:
                waiting.append(index)
                continue
            results[index] = value
            on_result(index, value)
    return results
