"""Two hundred requests, eight at a time, good and bad mixed, over real sockets: nothing crashes, sticks or is left."""

from __future__ import annotations

import http.client
import random
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="needs whyact[web]")

import stub_tasks
import uvicorn
from studio_samples import LIMITS

from whyact.studio.app import create_app
from whyact.studio.jobs import Jobs

pytest_plugins = ("studio_samples",)

REQUESTS, AT_ONCE = 200, 8


@pytest.fixture
def served(stub_run: Path) -> Iterator[tuple[int, Jobs]]:
    jobs = Jobs({"tiny": stub_run}, LIMITS, answering=stub_tasks.answer_tasks, asking=stub_tasks.ablation_tasks)
    server = uvicorn.Server(uvicorn.Config(create_app(jobs), port=0, log_level="critical", timeout_graceful_shutdown=2))
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    yield sock.getsockname()[1], jobs
    server.should_exit = True
    thread.join(15)
    assert not thread.is_alive()
    assert not jobs.root.exists()


def ask(port: int, kind: str) -> int:
    """Send one request of a kind; return the status, 0 where the connection was dropped on purpose."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        if kind == "dropped":
            connection.putrequest("POST", "/api/predict?name=a.mp4")
            connection.putheader("content-length", "90000")
            connection.endheaders(bytes(500))
            return 0
        body = {"good": stub_tasks.GOOD, "broken": stub_tasks.BROKEN, "empty": b"", "crash": stub_tasks.CRASH}
        path = "/api/predict?name=a.mp4"
        if kind == "kept":
            path = "/api/jobs?name=kept.mp4"
        sent = body.get(kind, bytes(LIMITS.size + 1) if kind == "oversize" else stub_tasks.GOOD)
        with suppress(BrokenPipeError, ConnectionResetError):  # refused early: the answer may still be read
            connection.request("POST", path, sent)
        try:
            reply = connection.getresponse()
        except (ConnectionError, http.client.HTTPException):
            return 413 if kind == "oversize" else -1
        reply.read()
        return reply.status
    finally:
        connection.close()


def memory() -> int:
    """Return the resident bytes of this process, which is the server too."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory from /proc")
def test_a_mixed_load_leaves_nothing_behind(served: tuple[int, Jobs]) -> None:
    port, jobs = served
    wanted = {"good": 200, "kept": 202, "broken": 422, "empty": 422, "oversize": 413, "dropped": 0, "crash": 422}
    kinds = random.Random(0).choices(list(wanted), weights=[10, 3, 4, 2, 3, 4, 0.3], k=REQUESTS)
    assert set(kinds) == set(wanted)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda kind: ask(port, kind), kinds[:40]))
        before = memory()
        got = list(pool.map(lambda kind: ask(port, kind), kinds[40:]))
    assert got == [wanted[kind] for kind in kinds[40:]]
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and (
        any(job.state not in ("done", "failed") for job in jobs.jobs.values())
        or len(list(jobs.root.iterdir())) > LIMITS.kept
    ):
        time.sleep(0.1)
    assert {job.state for job in jobs.jobs.values()} <= {"done", "failed"}
    left = {path.name for path in jobs.root.iterdir()}
    assert left <= set(jobs.jobs)
    assert len(left) <= LIMITS.kept
    assert not list(jobs.root.rglob("upload*"))
    assert memory() - before < 30e6
    assert ask(port, "good") == 200
