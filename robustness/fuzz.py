"""Broken inputs by the thousand: a reader may give what it has or refuse, and may do nothing else.

To add a reader, write a function that returns its :class:`Target` and name it in ``TARGETS``.
"""

from __future__ import annotations

import faulthandler
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np

from robustness.fuzz_inputs import Target, damaged, write_files
from robustness.fuzz_own_files import OWN_FILES
from robustness.fuzz_published import PUBLISHED
from robustness.fuzz_readers import READERS
from whyact.errors import UserError
from whyact.reproduce import results

NAME = "fuzz"
PER_SEED = 10_000  # inputs of a seed, over all readers
SEEDS, QUICK = 10, 2_000
SLOW = {"video": 0.02, "action-genome": 0.03, "action-genome-converted": 0.05, "cad120": 0.05}  # share of the inputs
HANG = 10.0  # seconds for one input
CHUNK = 200  # inputs a task: a crash of the interpreter, or a hang, costs one chunk and is counted


class Attack(NamedTuple):
    """What ``tried`` damaged inputs did: errors of another kind than a refusal, slow ones, the longest in seconds."""

    tried: int
    wrong: list[str]
    slow: list[str]
    longest: float


def video() -> Target:
    """Return the target that reads frames of a video by time and by number, and a window of it."""
    from benchmarks.video import write_video
    from whyact.video.decode import decode, windows
    from whyact.video.numbers import frames_numbered

    live = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    with tempfile.TemporaryDirectory() as folder:
        endings = (".mp4", ".mkv", ".avi", ".ts", ".h264")
        files = [write_video(Path(folder) / f"a{end}", 24, 8, (64, 48)) for end in endings]
        files.append(write_video(Path(folder) / "live.mp4", 24, 8, (64, 48), container_options=live))
        files.append(write_video(Path(folder) / "turned.mp4", 24, 8, (64, 48), mirrored=True))
        sound = {path.name: path.read_bytes() for path in files}

    def read(path: Path) -> None:
        decode(path, 4, limit=HANG / 4, ends=True)
        for _ in windows(path, 0.6, 0.3, 3, limit=HANG / 4):
            pass
        for shown in frames_numbered(path, (1, 9, 20), limit=HANG / 8):
            assert shown.image.ndim == 3

    return Target(sound, read, alone=True)


TARGETS: dict[str, Callable[[], Target]] = {"video": video, **READERS, **OWN_FILES, **PUBLISHED}


def run(*, quick: bool, seeds: int | None, jobs: int, out: Path | None, as_json: bool) -> int:
    """Attack every reader, 10,000 inputs a seed over all of them; write ``fuzz.md``; return 1 when one did wrong.

    Args:
        quick: A fifth of one seed.
        seeds: How many times 10,000 inputs, all different (default: 10).
        jobs: Worker processes.
        out: Where the results go; ``None`` prints only.
        as_json: Print the document as JSON.
    """
    turns = 1 if quick else seeds or SEEDS
    total = QUICK if quick else PER_SEED * turns
    started = time.perf_counter()
    found = attack_all(total, jobs)
    rows = [one for name, attacked in found.items() for one in _rows(name, attacked)]
    rows += _rows("all readers", together(found.values()))
    words = f"python -m robustness {NAME}" + (" --quick" if quick else f" --seeds {turns}" * (turns != SEEDS))
    took = f"took {time.perf_counter() - started:.0f} s with {jobs} {'worker' if jobs == 1 else 'workers'}"
    head = results.header(NAME, words, seeds=list(range(turns)), data=f"sound files made here, then damaged; {took}")
    if out is not None:
        results.write_results(NAME, head, rows, out)
    print(results.to_json(head, rows) if as_json else results.to_markdown(head, rows), end="", flush=True)
    for line in (line for attacked in found.values() for line in (*attacked.wrong, *attacked.slow)):
        print(line, file=sys.stderr, flush=True)
    return int(any(attacked.wrong or attacked.slow for attacked in found.values()))


def shares(total: int) -> dict[str, int]:
    """Return how many of ``total`` inputs each reader gets: the slow ones their share, the others the rest evenly."""
    given = {name: max(1, round(share * total)) for name, share in SLOW.items()}
    others = [name for name in TARGETS if name not in given]
    each, left = divmod(max(total - sum(given.values()), len(others)), len(others))
    return given | {name: each + (i < left) for i, name in enumerate(others)}


def attack_all(total: int, jobs: int) -> dict[str, Attack]:
    """Attack all readers in ``jobs`` processes; what kills a process counts as wrong."""
    tasks = [(name, *part) for name, count in shares(total).items() for part in _chunks(count)]
    done: dict[str, list[Attack]] = {name: [] for name in TARGETS}
    while tasks:
        with ProcessPoolExecutor(max(1, jobs), mp_context=get_context("spawn")) as pool:
            waiting: list[tuple[tuple[str, int, int], Future[Attack]]] = [(t, pool.submit(attack, *t)) for t in tasks]
            tasks, crashed = [], False
            for task, future in waiting:
                try:
                    done[task[0]].append(future.result())
                except BrokenProcessPool:
                    tasks.append(task)
                    crashed = True
        if crashed:  # the first that was unfinished, alone, tells whether it is the one
            done[tasks[0][0]].append(_alone(*tasks.pop(0)))
    return {name: together(parts) for name, parts in done.items()}


def _alone(name: str, first: int, count: int) -> Attack:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(attack, name, first, count).result()
        except BrokenProcessPool:
            return Attack(
                count, [f"{name} inputs {first} to {first + count - 1}: the interpreter crashed or hung"], [], 0
            )


def _chunks(count: int) -> Iterator[tuple[int, int]]:
    for first in range(0, count, CHUNK):
        yield first, min(CHUNK, count - first)


def together(parts: object) -> Attack:
    """Return several attacks as one."""
    listed: list[Attack] = list(parts)  # type: ignore[call-overload]
    return Attack(
        sum(p.tried for p in listed),
        [line for p in listed for line in p.wrong],
        [line for p in listed for line in p.slow],
        max((p.longest for p in listed), default=0.0),
    )


@cache
def _target(name: str) -> Target:
    return TARGETS[name]()


def attack(name: str, first: int, count: int) -> Attack:
    """Give a reader the damaged inputs ``first`` to ``first + count - 1``. Input n is the same in every run.

    One that takes several times :data:`HANG` ends the process.
    """
    target = _target(name)
    victims = target.damage or tuple(sorted(target.sound))
    wrong: list[str] = []
    slow: list[str] = []
    longest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_files(root, target.sound)
        for number in range(first, first + count):
            victim = victims[number % len(victims)]
            path = root / victim
            path.write_bytes(damaged(victim, target.sound[victim], np.random.default_rng(number)))
            if can_watch := sys.__stderr__ is not None:
                faulthandler.dump_traceback_later(6 * HANG, exit=True, file=sys.__stderr__)
            started = time.perf_counter()
            try:
                target.read(path if target.alone else root)
            except UserError:
                pass
            except Exception as error:
                last = traceback.extract_tb(error.__traceback__)[-1]
                said = f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"
                wrong.append(f"{name} input {number}, {victim}: {said}")
            took = time.perf_counter() - started
            if can_watch:
                faulthandler.cancel_dump_traceback_later()
            if took > HANG:
                slow.append(f"{name} input {number}, {victim}: took {took:.1f} s")
            longest = max(longest, took)
            path.write_bytes(target.sound[victim])
    return Attack(count, wrong, slow, longest)


def _rows(name: str, found: Attack) -> list[results.Row]:
    note = f"first: {found.wrong[0]}" if found.wrong else ""
    return [
        results.row("fuzz", name, "inputs", [found.tried]),
        results.row("fuzz", name, "unexpected_errors", [len(found.wrong)], note=note),
        results.row("fuzz", name, f"over_{HANG:g}_s", [len(found.slow)], note=found.slow[0] if found.slow else ""),
        results.row("fuzz", name, "longest", [found.longest], unit="s"),
    ]
