"""Broken inputs by the thousand: a reader may give what it has or refuse, and may do nothing else.

To add a reader, write a function that returns its :class:`Target` and name it in ``TARGETS``.
"""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from whyact.errors import UserError
from whyact.studies import results
from whyact.studies.fuzz_inputs import Target, damaged, write_files
from whyact.studies.fuzz_readers import READERS

CHUNK = 250  # inputs a process: a crash of the interpreter costs one chunk and is counted


def video() -> Target:
    """Return the target that decodes a few frames of a video, and a window of it."""
    from whyact.studies.bench_video import write_video
    from whyact.video.decode import decode, windows

    with tempfile.TemporaryDirectory() as folder:
        files = [write_video(Path(folder) / f"a{end}", 24, 8, (64, 48)) for end in (".mp4", ".mkv", ".avi", ".ts")]
        sound = {path.name: path.read_bytes() for path in files}

    def read(path: Path) -> None:
        decode(path, 4, limit=10.0, ends=True)
        for _ in windows(path, 0.6, 0.3, 3, limit=10.0):
            pass

    return Target(sound, read, alone=True)


TARGETS: dict[str, Callable[[], Target]] = {"video": video, **READERS}


def attack(name: str, first: int, count: int) -> list[str]:
    """Give a reader the damaged inputs ``first`` to ``first + count - 1``; return what went wrong, an input each.

    Input n is the same in every run.
    """
    target = TARGETS[name]()
    victims = target.damage or tuple(sorted(target.sound))
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_files(root, target.sound)
        for number in range(first, first + count):
            victim = victims[number % len(victims)]
            path = root / victim
            path.write_bytes(damaged(victim, target.sound[victim], np.random.default_rng(number)))
            try:
                target.read(path if target.alone else root)
            except UserError:
                pass
            except Exception as error:
                last = traceback.extract_tb(error.__traceback__)[-1]
                said = f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"
                wrong.append(f"{name} input {number}, {victim}: {said}")
            path.write_bytes(target.sound[victim])
    return wrong


def fuzz(repeats: int) -> list[results.Row]:
    """Attack every target with 100 inputs a repeat, 16,800 in a full run; a row each with the unexpected errors."""
    rows = []
    for name in TARGETS:
        count = 100 * repeats
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
