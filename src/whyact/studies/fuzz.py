"""Broken inputs by the thousand: a reader may give what it has or refuse, and may do nothing else.

To add a reader, write a function that returns its :class:`Target` and name it in ``TARGETS``.
"""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from whyact.errors import UserError
from whyact.studies import results

CHUNK = 250  # inputs a process: a crash of the interpreter costs one chunk and is counted


@dataclass(frozen=True)
class Target:
    """A reader under test: sound files to damage (name ending -> bytes), and what reads a damaged one."""

    sound: dict[str, bytes]
    read: Callable[[Path], object]


def video() -> Target:
    """Return the target that decodes a few frames of a video, and a window of it."""
    from whyact.studies.bench_video import write_video
    from whyact.video.decode import decode, windows

    with tempfile.TemporaryDirectory() as folder:
        files = [write_video(Path(folder) / f"a{end}", 24, 8, (64, 48)) for end in (".mp4", ".mkv", ".avi", ".ts")]
        sound = {path.suffix: path.read_bytes() for path in files}

    def read(path: Path) -> None:
        decode(path, 4, limit=10.0, ends=True)
        for _ in windows(path, 0.6, 0.3, 3, limit=10.0):
            pass

    return Target(sound, read)


TARGETS: dict[str, Callable[[], Target]] = {"video": video}


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a file's bytes with one kind of damage: cut, emptied, made up, flipped, blanked or repeated."""
    kind = rng.integers(8)
    size = len(data)
    at = int(rng.integers(size)) if size else 0
    span = int(rng.integers(1, max(2, size // 4)))
    if kind == 0:
        return data[:at]
    if kind == 1:
        return rng.bytes(int(rng.integers(0, 4096)))
    if kind == 2:
        return data[:at] + data[at + span :]
    if kind == 3:
        return data[:at] + data[at : at + span] + data[at:]
    if kind == 4:
        return data[:at] + bytes(min(span, size - at)) + data[at + span :]
    changed = bytearray(data)
    reach = min(size, 256) if kind == 5 else size  # what stands in front matters most
    for position in rng.integers(0, max(1, reach), int(rng.integers(1, 33))) if size else ():
        changed[position] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def attack(name: str, first: int, count: int) -> list[str]:
    """Give a reader the damaged inputs ``first`` to ``first + count - 1``; return what went wrong, an input each.

    Input n is the same in every run.
    """
    target = TARGETS[name]()
    endings = sorted(target.sound)
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(first, first + count):
            rng = np.random.default_rng(number)
            ending = endings[number % len(endings)]
            path = Path(folder) / f"input{ending}"
            path.write_bytes(damaged(target.sound[ending], rng))
            try:
                target.read(path)
            except UserError:
                pass
            except Exception as error:
                last = traceback.extract_tb(error.__traceback__)[-1]
                said = f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"
                wrong.append(f"{name} input {number}{ending}: {said}")
    return wrong


def fuzz(repeats: int) -> list[results.Row]:
    """Attack every target with 500 inputs a repeat, 10,500 in a full run; a row each with the unexpected errors."""
    rows = []
    for name in TARGETS:
        count = 500 * repeats
        wrong: list[str] = []
        for first in range(0, count, CHUNK):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                try:
                    wrong += pool.submit(attack, name, first, min(CHUNK, count - first)).result()
                except BrokenProcessPool:
                    wrong.append(f"{name} inputs {first} to {first + CHUNK - 1}: the interpreter crashed")
        note = f"{count} damaged inputs; each must be read or refused in words"
        if wrong:
            note += "; first: " + wrong[0]
        rows.append(results.row("fuzz", f"{name}: unexpected errors", "count", [float(len(wrong))], note=note))
    return rows
