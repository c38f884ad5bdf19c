"""Working ahead in a thread: the same items, errors where they belong, and an end when nobody waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from whyact.video.ahead import ahead

WAIT = 60  # seconds after which a test gives up, on any machine


def test_items_come_whole_and_in_order() -> None:
    assert list(ahead(range(100), 3)) == list(range(100))
    assert list(ahead([])) == []


def test_work_is_done_while_the_caller_works() -> None:
    made = [threading.Event() for _ in range(8)]

    def source() -> Iterator[int]:
        for i, event in enumerate(made):
            event.set()
            yield i

    for i in ahead(source()):
        for event in made[i : i + 2]:  # the next item is made while this one is in use
            assert event.wait(WAIT)


def test_no_more_than_asked_is_taken_ahead() -> None:
    taken: list[int] = []

    def source() -> Iterator[int]:
        for i in range(50):
            taken.append(i)
            yield i

    items = ahead(source(), 2)
    assert next(items) == 0
    deadline = time.monotonic() + WAIT
    while len(taken) < 3 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.05)  # for more, if it were taken
    assert 3 <= len(taken) <= 4  # the one given, two that wait and one in the hand
    items.close()  # type: ignore[attr-defined]


def test_an_error_comes_after_the_items_before_it() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("the second")

    items = ahead(broken())
    assert next(items) == 1
    with pytest.raises(ValueError, match="the second"):
        next(items)


def test_nobody_waiting_ends_the_thread_and_closes_the_source() -> None:
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    items = ahead(endless())
    next(items)
    items.close()  # type: ignore[attr-defined]
    assert closed.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name == "ahead"]
