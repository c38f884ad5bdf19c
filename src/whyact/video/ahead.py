"""Decode in the background while something else computes: one thread that stays a few items ahead."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
_POLL = 0.1  # seconds between looks at whether anybody still waits


def ahead(source: Iterable[Item], depth: int = 2) -> Iterator[Item]:
    """Yield the items of ``source``, taken in a thread that runs at most ``depth`` items ahead.

    FFmpeg works outside Python's lock, so decoding and a network's forward pass run side by side. An error in
    ``source`` is raised here, after the items before it; closing the iterator early stops the thread.
    """
    waiting: queue.Queue[tuple[str, object]] = queue.Queue(max(1, depth))
    stop = threading.Event()

    def put(kind: str, value: object) -> bool:
        while not stop.is_set():
            try:
                waiting.put((kind, value), timeout=_POLL)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        items = iter(source)
        try:
            for item in items:
                if not put("item", item):
                    break
            else:
                put("end", None)
        except BaseException as error:
            put("error", error)
        finally:
            if (close := getattr(items, "close", None)) is not None:
                close()

    thread = threading.Thread(target=work, name="ahead", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = waiting.get()
            if kind == "end":
                return
            if kind == "error":
                assert isinstance(value, BaseException)
                raise value
            yield value  # type: ignore[misc]
    finally:
        stop.set()
        thread.join()
