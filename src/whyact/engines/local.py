"""Workers as processes of this machine, started fresh, with one thread each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any

from whyact.engines.work import THREADS, Answer, Failure, Job, Worker


@contextmanager
def local_pool(job: Job, workers: int) -> Iterator[LocalPool]:
    """Yield worker processes that end with the context, and when this process is killed."""
    pool = LocalPool(job, workers)
    try:
        yield pool
    finally:
        pool.close()


class LocalPool:
    """Processes behind pipes: a closed pipe means that one worker died, and affects no other."""

    def __init__(self, job: Job, workers: int) -> None:
        self.job, self.workers = job, workers
        self.running: dict[int, tuple[Any, Connection]] = {}
        self.busy: set[int] = set()

    def send(self, worker: int, item: Any) -> None:
        """Send an item to an idle worker, and start the worker first if it is not running."""
        self.busy.add(worker)
        try:
            self._connection(worker).send(item)
        except (BrokenPipeError, ConnectionResetError):  # it died idle: the next one takes the item
            self._stop(worker)
            self._connection(worker).send(item)

    def wait(self) -> list[tuple[int, Answer]]:
        """Wait for at least one busy worker and return the answers."""
        by_pipe: dict[Any, int] = {self.running[worker][1]: worker for worker in self.busy}
        answers: list[tuple[int, Answer]] = []
        for pipe in wait(list(by_pipe)):
            worker = by_pipe[pipe]
            try:
                answer: Answer = self.running[worker][1].recv()
            except (EOFError, ConnectionResetError):
                self._stop(worker)
                answer = ("lost", None)
            self.busy.discard(worker)
            answers.append((worker, answer))
        return answers

    def close(self) -> None:
        """End all workers."""
        for worker in list(self.running):
            self._stop(worker)

    def _connection(self, worker: int) -> Connection:
        if worker not in self.running:
            context = multiprocessing.get_context("spawn")
            parent_end, child_end = context.Pipe()
            process = context.Process(target=_serve, args=(child_end, self.job, os.getpid()))
            with one_thread():
                process.start()
            child_end.close()
            self.running[worker] = (process, parent_end)
        return self.running[worker][1]

    def _stop(self, worker: int) -> None:
        process, pipe = self.running.pop(worker)
        pipe.close()
        process.kill()
        process.join()


def _serve(pipe: Connection, job: Job, parent: int) -> None:
    """Answer items until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends its workers
    _follow(parent)
    worker = Worker(job)
    while True:
        try:
            item = pipe.recv()
        except (EOFError, OSError):
            return
        answer = worker.answer(item)
        try:
            pipe.send(answer)
        except (BrokenPipeError, ConnectionResetError):
            return
        except Exception as error:  # the result cannot be sent
            pipe.send(("failed", Failure.of(error)))


def _follow(parent: int) -> None:
    """End this worker when its parent is gone: a killed run must not leave workers behind."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def one_thread() -> AbstractContextManager[None]:
    """Let processes started inside compute with one thread: they read the variables when they import torch."""
    return environment(dict.fromkeys(THREADS, "1"))


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for processes started inside."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
