"""A worker process: it does what may hang, crash or eat memory, so that the server does not.

Parent and child talk in JSON, so that nothing from a process that reads strangers' files is ever executed.
"""

from __future__ import annotations

import errno
import multiprocessing
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import msgspec

from whyact.errors import UserError
from whyact.studio.limits import Limits

Task = Callable[..., Any]
OnProgress = Callable[..., None]  # called with the stage, the share of it that is done, and more that JSON can hold
_POLL = 0.1
_START_SECONDS = 120.0  # that a process may take to start and import; a busy machine is slow, not wrong


class WorkerLost(Exception):
    """The worker crashed, ran out of memory or out of time; the text says which, in words for a user."""


class Refused(Exception):
    """The task says what is wrong with its input, in words for a user."""


class Worker:
    """One process that does one task after the other; started when needed, started anew after a crash.

    Args:
        make_tasks: Called once in the process with the limits; returns name -> function ``(on_progress, **arguments)``.
        limits: Memory that the process may use.
        name: For the process list.
        what: What it works on, for the words of a failure.
    """

    def __init__(
        self, make_tasks: Callable[[Limits], dict[str, Task]], limits: Limits, name: str, what: str = "this video"
    ) -> None:
        self._make_tasks, self._limits, self._name, self._what = make_tasks, limits, name, what
        self._lock = threading.Lock()
        self._process: Any = None
        self._pipe: Connection | None = None
        self._started, self._closed = False, False

    @property
    def pid(self) -> int | None:
        """Return the number of the running process, ``None`` when there is none."""
        return self._process.pid if self._process is not None and self._process.is_alive() else None

    def start(self) -> None:
        """Start the process ahead of its first task."""
        with self._lock:
            self._ready()

    def call(self, task: str, seconds: float, on_progress: OnProgress | None = None, **arguments: Any) -> Any:
        """Do a task in the process and return what it returns (anything that JSON can hold).

        Args:
            task: The name of a task.
            seconds: After which the process is stopped, counted from when it has started.
            on_progress: Called with the progress.
            arguments: The task's own.

        Raises:
            Refused: When the task refuses its input.
            WorkerLost: When the process dies or is too slow.
        """
        with self._lock:
            pipe = self._ready()
            try:
                self._await_start(pipe)
                deadline = time.monotonic() + seconds
                pipe.send_bytes(msgspec.json.encode((task, arguments)))
                while True:
                    if pipe.poll(_POLL):
                        kind, *rest = msgspec.json.decode(pipe.recv_bytes())
                        if kind == "done":
                            return rest[0]
                        if kind == "refused":
                            raise Refused(rest[0])
                        if kind == "failed":
                            raise WorkerLost(rest[0])
                        if on_progress is not None:
                            on_progress(*rest)
                    elif not self._process.is_alive():
                        raise EOFError
                    if time.monotonic() > deadline:
                        self._stop()
                        raise WorkerLost(f"this took longer than {seconds:g} seconds and was stopped")
            except (EOFError, OSError) as error:
                self._stop()
                raise WorkerLost(f"the process that read {self._what} stopped; nothing else was harmed") from error

    def interrupt(self) -> None:
        """Stop the process in the middle of its task, which is lost; the next task starts another."""
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """Stop the process for good, in the middle of a task if need be."""
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()
        with self._lock:
            self._stop()

    def _ready(self) -> Connection:
        if self._closed:
            raise WorkerLost("the studio is shutting down")
        if self._process is None or not self._process.is_alive() or self._pipe is None:
            self._stop()
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(
                target=_work, args=(theirs, self._make_tasks, self._limits, self._what), name=self._name, daemon=True
            )
            self._process.start()
            theirs.close()
        return self._pipe

    def _await_start(self, pipe: Connection) -> None:
        """Wait until the process says that it is ready for tasks."""
        deadline = time.monotonic() + _START_SECONDS
        while not self._started:
            if pipe.poll(_POLL):
                pipe.recv_bytes()
                self._started = True
            elif not self._process.is_alive():
                raise EOFError
            elif time.monotonic() > deadline:
                self._stop()
                raise WorkerLost(f"the process that does the work did not start within {_START_SECONDS:g} seconds")

    def _stop(self) -> None:
        self._started = False
        if self._process is not None:
            self._process.kill()
            self._process.join(5)
            self._process = None
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None


def _work(pipe: Connection, make_tasks: Callable[[Limits], dict[str, Task]], limits: Limits, what: str) -> None:
    """Be the worker: wait for tasks until the parent goes away."""
    tasks = make_tasks(limits)
    _bound(limits)

    with suppress(OSError):
        pipe.send_bytes(msgspec.json.encode(("ready",)))

    def on_progress(stage: str, share: float, *more: Any) -> None:
        pipe.send_bytes(msgspec.json.encode(("progress", stage, min(max(share, 0.0), 1.0), *more)))

    while True:
        try:
            name, arguments = msgspec.json.decode(pipe.recv_bytes())
        except (EOFError, OSError):
            return
        try:
            answer = ("done", tasks[name](on_progress, **arguments))
        except UserError as error:
            answer = ("refused", error.command_line())
        except MemoryError:
            answer = (
                "failed",
                f"{what} would take more memory than one job may use",
            )
        except Exception as error:
            print(f"whyact: a job failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            answer = ("failed", f"the model failed on {what} ({_reason(error)})")
        pipe.send_bytes(msgspec.json.encode(answer))


def _reason(error: Exception) -> str:
    """Return why a task failed, in a word: the limit of memory stops new threads too, which is EAGAIN."""
    out_of = isinstance(error, OSError) and error.errno in (errno.EAGAIN, errno.ENOMEM)
    return "memory" if out_of or "allocate" in str(error) or "new thread" in str(error) else type(error).__name__


def _bound(limits: Limits) -> None:
    """Limit memory, the size of a written file and core dumps of this process, where the system can."""
    try:
        import resource

        with open("/proc/self/statm", encoding="ascii") as stream:
            used = int(stream.read().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):
        return
    for what, most in (
        (resource.RLIMIT_AS, used + limits.memory),
        (resource.RLIMIT_FSIZE, 4 * limits.size),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        with suppress(ValueError, OSError):
            resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
