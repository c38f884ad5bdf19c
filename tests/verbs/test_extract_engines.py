"""``whyact extract`` on engines: the bytes of one process alone, whoever dies on the way."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from made_videos import write_clip
from whyact.cli import main

ENCODER = ["--weights", "random", "--clip", "none", "--snippet-seconds", "0.8"]  # S3D: workers load what users do


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for name, frames in (("a", 40), ("b", 24), ("c", 40)):
        write_clip(folder / f"{name}.mp4", frames)
    (folder / "bad.mp4").write_text("no video")
    return folder


def tree(root: Path) -> dict[str, bytes]:
    """Return the files that have their names; half-written ones of killed workers go after an hour."""
    found = (path for path in root.rglob("*") if path.is_file() and path.suffix != ".tmp")
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


@pytest.fixture(scope="module")
def alone(films: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    from whyact.training.numerics import numerics

    out = tmp_path_factory.mktemp("alone") / "out"
    with numerics(1):  # as a worker has: the last bits depend on how many compute
        assert main(["extract", str(films), "--out", str(out), *ENCODER, "--json"]) == 0
    return tree(out)


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_extract_writes_the_same_bytes_on_any_engine_even_when_a_worker_is_killed(
    engine: str,
    films: Path,
    alone: dict[str, bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    if engine == "ray":
        request.getfixturevalue("ray_cluster")
    out = tmp_path / "out"
    words = ["extract", str(films), "--out", str(out), *ENCODER, "--engine", engine, "--workers", "2", "--json"]
    with killing(lambda: writer_in(out / "features")) as killed:
        assert main(words) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["new"], list(said["broken"])) == (3, ["bad"])
    assert tree(out) == alone
    if Path("/proc").is_dir():
        assert len(killed) == 1
        assert len(list((out / "features").glob(".*.tmp"))) == 1


class killing:
    """Kill the process that ``find`` finds first, in the background; yields a list of it."""

    def __init__(self, find: Callable[[], int]) -> None:
        self.find, self.killed, self.over = find, list[int](), threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def __enter__(self) -> list[int]:
        self.thread.start()
        return self.killed

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def watch(self) -> None:
        while not (self.over.is_set() or self.killed):
            if found := self.find():
                os.kill(found, signal.SIGKILL)
                self.killed.append(found)
            time.sleep(0.005)


def writer_in(folder: Path) -> int:
    """Return another process that has a file of the folder open, or 0."""
    if not list(folder.glob(".*.tmp")):
        return 0
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if link.readlink().parent == folder and int(link.parts[2]) != os.getpid():
                return int(link.parts[2])
        except OSError:  # closed meanwhile, or somebody else's
            continue
    return 0
