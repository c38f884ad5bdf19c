"""Workers as actors of a Ray cluster: one started here for the run, or a running one by its address.

Every machine needs this package and must see the same folders. Ray's usage statistics and dashboard are off, and its
own messages (why a worker died) go to stderr, because stdout belongs to the command's answer.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from whyact.engines.local import environment, one_thread
from whyact.engines.work import Answer, Job, Worker
from whyact.errors import UserError

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}  # nothing phones home
NICENESS = "RAY_worker_niceness"  # of Ray's own workers, so that the machine stays responsive
STORE_BYTES = 128 * 2**20  # of a local cluster's object store: items and results are small, features go to files


@contextmanager
def ray_pool(job: Job, workers: int, address: str = "") -> Iterator[RayPool]:
    """Yield actors with one core each; a cluster that was started for them ends with the context.

    Raises:
        UserError: When Ray is not installed, or there is no cluster at the address.
    """
    with environment(QUIET), redirect_stdout(sys.stderr):
        ray = _import_ray()
        owns_cluster = not ray.is_initialized()
        if owns_cluster:
            _start(ray, workers, address)
        pool = RayPool(ray, job, workers)
        try:
            yield pool
        finally:
            pool.close()
            if owns_cluster:
                ray.shutdown()


class RayPool:
    """Actors that take one item at a time."""

    def __init__(self, ray: Any, job: Job, workers: int) -> None:
        self.ray, self.workers = ray, workers
        self.actor = ray.remote(Worker).options(num_cpus=1, max_restarts=0)  # Ray gives it as many threads: one
        self.job = ray.put(job)
        self.running: dict[int, Any] = {}
        self.busy: dict[Any, int] = {}

    def send(self, worker: int, item: Any) -> None:
        """Send an item to an idle worker, and start the worker first if it is not running."""
        if worker not in self.running:
            self.running[worker] = self.actor.remote(self.job)
        self.busy[self.running[worker].answer.remote(item)] = worker

    def wait(self) -> list[tuple[int, Answer]]:
        """Wait for at least one busy worker and return the answers."""
        ready, _ = self.ray.wait(list(self.busy), num_returns=1)
        answers: list[tuple[int, Answer]] = []
        for handle in ready:
            worker = self.busy.pop(handle)
            try:
                answers.append((worker, self.ray.get(handle)))
            except (self.ray.exceptions.RayActorError, self.ray.exceptions.ObjectLostError):
                self._end(worker)
                answers.append((worker, ("lost", None)))
        return answers

    def close(self) -> None:
        """End all workers."""
        for worker in list(self.running):
            self._end(worker)

    def _end(self, worker: int) -> None:
        self.ray.kill(self.running.pop(worker))


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise UserError("--engine ray", None, "Ray installed", "pip install 'whyact[ray]'") from error
    return ray


def _start(ray: Any, workers: int, address: str) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address:
            ray.init(address=address, **quiet)
        else:
            with one_thread(), environment({NICENESS: os.environ.get(NICENESS, "0")}):
                ray.init(
                    address="local",
                    num_cpus=workers,
                    include_dashboard=False,
                    object_store_memory=STORE_BYTES,
                    **quiet,
                )
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError("--address", address or "local", f"a Ray cluster ({reason})", "ray start --head") from error
