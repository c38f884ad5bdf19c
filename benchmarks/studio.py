"""The studio as a person meets it: ``whyact serve`` in a process of its own, asked over HTTP."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from whyact.errors import UserError
from whyact.reproduce import results

FIRST, REMOVAL = 15.0, 0.3  # seconds that are aimed at, on two cores
SECONDS = 10
REQUESTS, AT_ONCE = 200, 8
LIMIT_MB = 20


def answers(repeats: int) -> list[results.Row]:
    """Time the answer about a 10-second video with the shipped model, and the removal of what decided it."""
    with tempfile.TemporaryDirectory() as folder, served() as (address, pid):
        path = film(Path(folder) / "film.mp4", SECONDS)
        body = path.read_bytes()
        send(address, "/api/predict?name=film.mp4", film(Path(folder) / "short.mp4", 1).read_bytes())  # wakes it up
        firsts, removals, computed = [], [], processor(pid)
        for _ in range(min(repeats, 5)):
            started = time.perf_counter()
            job = json.loads(send(address, "/api/jobs?name=film.mp4", body)[1])["id"]
            while (found := json.loads(send(address, f"/api/jobs/{job}")[1]))["state"] not in ("done", "failed"):
                time.sleep(0.05)
            firsts.append(time.perf_counter() - started)
            computed, spent = processor(pid), processor(pid) - computed
            if found["state"] == "failed":
                raise UserError("studio", found["error"], "an answer about a film of the household world")
            (prediction,) = json.loads(send(address, f"/api/jobs/{job}/prediction")[1])
            wanted = [_removal(e) for e in prediction["evidence"] if e["kind"] in ("transition", "state")]
            for one in (wanted * repeats)[:repeats]:
                ask = json.dumps({"removals": [one]}).encode()
                started = time.perf_counter()
                status, said = send(address, f"/api/jobs/{job}/without", ask)
                removals.append(time.perf_counter() - started)
                if status != 200:
                    raise UserError("studio", said.decode(), "an answer without a transition")
    return [
        _limit(
            "first answer",
            firsts,
            FIRST,
            f"a {SECONDS} s film of 640 x 480, sent, answered and ready to play; {spent:.1f} s of computing",
        ),
        _limit("a removal", removals, REMOVAL, "one transition of that answer switched off, over HTTP"),
    ]


def load(repeats: int) -> list[results.Row]:
    """Send 200 requests, eight at a time: films, broken and oversized files, dropped connections."""
    with tempfile.TemporaryDirectory() as folder, served("--max-mb", str(LIMIT_MB)) as (address, pid):
        body = film(Path(folder) / "film.mp4", 1).read_bytes()
        bodies = {"film": body, "broken": body[:200] + bytes(5000), "empty": b"", "text": b"#EXTM3U\n" * 99}
        bodies |= {"oversize": bytes(LIMIT_MB * 2**20 + 1)}
        wanted = {"film": {200}, "broken": {422}, "empty": {422}, "text": {422}, "oversize": {413, -1}, "dropped": {0}}
        kinds = random.Random(0).choices(list(wanted), weights=[4, 4, 2, 3, 2, 4], k=REQUESTS)

        def ask(kind: str) -> int:
            if kind == "dropped":
                return drop(address, body)
            for _ in range(100):  # a full house says so, and to come back
                status = send(address, "/api/predict?name=film.mp4", bodies[kind])[0]
                if status != 503:
                    return status
                time.sleep(0.2)
            return 503

        with ThreadPoolExecutor(AT_ONCE) as pool:
            first = list(pool.map(ask, kinds[: REQUESTS // 4]))
            before = memory(pid)
            rest = list(pool.map(ask, kinds[REQUESTS // 4 :]))
        grown = memory(pid) - before
        good = [status in wanted[kind] for kind, status in zip(kinds, [*first, *rest], strict=True)]
        still = send(address, "/api/predict?name=film.mp4", body)[0] == 200
    note = f"{REQUESTS} requests, {AT_ONCE} at a time; afterwards a film is {'' if still else 'not '}answered"
    return [
        results.row("studio-load", "as it should be", "share", [float(x) for x in good], unit="0..1", note=note),
        results.row("studio-load", "memory", "growth", [grown], unit="MiB", note="server and workers, last 150"),
    ]


def _limit(name: str, seconds: list[float], most: float, note: str) -> results.Row:
    made = results.row("studio", f"{most:g} s / {name}", "speed_ratio", [most / s for s in seconds], unit="x")
    made.mean = most / statistics.median(seconds)
    made.note = (
        f"{note}; median {statistics.median(seconds):.3g} s, slowest {max(seconds):.3g} s; at least 1 is aimed at"
    )
    return made


def _removal(evidence: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "transition", **{key: evidence[key] for key in ("subject", "object", "start", "end")}}


def film(path: Path, seconds: float) -> Path:
    """Write the first seconds of a filmed household video."""
    from whyact.homeworld.film_set import film_world
    from whyact.homeworld.render import render
    from whyact.homeworld.states import FPS
    from whyact.video.write import write_video

    wanted = round(seconds * FPS)
    filmed = next(f for f in film_world(seed=77) if len(f.recording.video) >= wanted)
    video = filmed.recording.video
    return write_video(path, (render(video[t], filmed.scene, (640, 480)) for t in range(wanted)), FPS)


@contextmanager
def served(*options: str) -> Iterator[tuple[str, int]]:
    """Run ``whyact serve`` with the shipped model; give its address, once it answers, and its process number."""
    command = [sys.executable, "-m", "whyact", "serve", "--port", "0", *options]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        found = re.search(r"http://\S+/", server.stdout.readline())
        if found is None:
            raise UserError("whyact serve", None, "an address", "pip install 'whyact[web]'")
        for _ in range(300):
            with suppress(OSError):
                if send(found[0], "/api/models")[0] == 200:
                    break
            time.sleep(0.1)
        yield found[0], server.pid
    finally:
        server.terminate()
        server.wait(30)


def send(address: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Send a request; return status and body, -1 where the studio hung up on a file that is too large."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=600)
    try:
        kind = "application/json" if path.endswith("/without") else "application/octet-stream"
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request("GET" if body is None else "POST", path, body, {"content-type": kind})
        try:
            reply = connection.getresponse()
            return reply.status, reply.read()
        except (http.client.HTTPException, ConnectionResetError, BrokenPipeError):
            return -1, b""
    finally:
        connection.close()


def drop(address: str, body: bytes) -> int:
    """Begin to send a file and go away; return 0."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    connection.putrequest("POST", "/api/predict?name=film.mp4")
    connection.putheader("content-length", str(len(body)))
    connection.endheaders(body[: len(body) // 2])
    connection.close()
    return 0


def memory(pid: int) -> float:
    """Return the resident MiB of the server and its workers; 0 where there is no /proc."""
    return sum(int((path / "statm").read_text().split()[1]) / 256 for path, _ in family(pid))


def processor(pid: int) -> float:
    """Return the seconds that the server and its workers have computed; 0 where there is no /proc."""
    return sum((int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK") for _, stat in family(pid))


def family(pid: int) -> list[tuple[Path, list[str]]]:
    """Return a process and its children: their folders in /proc and what ``stat`` says after the name."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError, ValueError):
            stat = (path / "stat").read_text().rsplit(")", 1)[1].split()
            if pid in (int(path.name), int(stat[1])):
                found.append((path, stat))
    return found
