"""Kill, starve and damage extractions and trainings, and compare what is left with the truth.

Kills are SIGKILL at a random moment of the work, so also within a write. A run is recovered when the same work, begun
again, ends with the bytes of the run that nothing happened to. Damage is recovered when it is found and named.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from robustness.fault_victims import VICTIMS, Victim, make_material
from whyact.errors import DiskFullError, UserError
from whyact.reproduce import results

KILLS, STARVED, FLIPS, CUTS = 50, 10, 100, 50
PATIENCE = 300.0  # seconds until a run that was begun again counts as hanging
FOR_PEOPLE = {"broken.csv"}  # a list of what could not be read, without a checksum
FULL, FAILED = 17, 18  # how a child says that the disk was full, or that something else went wrong


@dataclass
class Tally:
    """What became of the faults of one kind."""

    faults: int = 0
    recovered: int = 0
    lost: int = 0
    wrong: int = 0
    said: list[str] = field(default_factory=list)

    def rows(self, table: str, note: str) -> list[results.Row]:
        """Return the rows of this kind."""
        note += f"; first trouble: {self.said[0]}" if self.said else ""
        share = 100.0 * self.recovered / self.faults if self.faults else 0.0
        numbers = {"faults": ("", self.faults), "recovered": ("%", share)}
        numbers |= {"records_lost": ("", self.lost), "wrong_answers": ("", self.wrong)}
        return [
            results.row("faults", table, metric, [float(value)], unit=unit, note=note)
            for metric, (unit, value) in numbers.items()
        ]


def run(*, quick: bool, seeds: int | None, jobs: int, out: Path | None, as_json: bool = False) -> None:
    """Run the study; ``quick`` injects a fifth of the faults. Nothing is downloaded and no data are needed."""
    share = 5 if quick else 1
    with tempfile.TemporaryDirectory(prefix="whyact-faults-") as folder:
        rows = study(Path(folder), KILLS // share, STARVED // share, FLIPS // share, CUTS // share)
    head = results.header("faults", "python -m robustness faults" + (" --quick" if quick else ""), data="generated")
    if out is not None:
        results.write_results("faults", head, rows, out)
    print(results.to_json(head, rows) if as_json else results.to_markdown(head, rows), end="", flush=True)


def study(
    folder: Path, kills: int, starved: int, flips: int, cuts: int, victims: tuple[Victim, ...] = VICTIMS
) -> list[results.Row]:
    """Inject that many faults of each kind, shared out among the victims, and return the rows."""
    preload()
    material = make_material(folder / "material")
    chance = random.Random(0)
    killed, full, flipped, cut = {victim.name: Tally() for victim in victims}, Tally(), Tally(), Tally()
    for number, victim in enumerate(victims):
        whole = folder / f"whole{number}"
        seconds = _time_of(victim, material, whole)
        expected = tree(whole)
        for i in range(_share(kills, number, len(victims))):
            work = folder / f"kill{number}-{i}"
            kill_once(victim, material, work, chance.uniform(0, seconds), expected, killed[victim.name])
        for i in range(_share(starved, number, len(victims))):
            work = folder / f"full{number}-{i}"
            starve_once(victim, material, work, chance.randint(1, _largest(whole)), expected, full)
        for tally, count, harm in ((flipped, flips, flip), (cut, cuts, truncate)):
            for _ in range(_share(count, number, len(victims))):
                damage_once(victim, whole, harm, chance, tally)
    rows = []
    for name, tally in killed.items():
        rows += tally.rows(f"kill -9, {name}", "at a random moment; begun again, it ends with the same bytes")
    rows += full.rows("full disk", "no file may grow beyond a random size (RLIMIT_FSIZE); then begun again without")
    rows += flipped.rows("flipped bits", "one bit of one file; found and named by reading or by data verify")
    rows += cut.rows("truncated files", "one file cut at a random place; found and named likewise")
    return rows


def preload() -> None:
    """Import what the children need, once: they are forked, and a kill within an import would try nothing."""
    for name in (
        "safetensors.torch",
        "whyact.features.extract",
        "whyact.features.store",
        "whyact.data.untrimmed.snippet_files",
        "whyact.data.datasets",
        "whyact.laiar.learner",
        "whyact.locate_gat.stages",
        "whyact.pvlr.learner",
        "whyact.training.checkpoint",
        "whyact.training.fit",
    ):
        import_module(name)


def kill_once(
    victim: Victim, material: Path, work: Path, after: float, expected: dict[str, bytes], tally: Tally
) -> None:
    """Kill a victim some seconds after its start, begin it again, and compare."""
    child = begin(victim, material, work)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    _begin_again(victim, material, work, expected, tally)


def starve_once(
    victim: Victim, material: Path, work: Path, limit: int, expected: dict[str, bytes], tally: Tally
) -> None:
    """Let a victim write no file beyond a size; it must say so or end well. Then begin it again."""
    code = finish(begin(victim, material, work, limit))
    if code not in (0, FULL):
        tally.said.append(f"{victim.name} with files of at most {limit} bytes ended with {code}")
    _begin_again(victim, material, work, expected, tally)


def damage_once(
    victim: Victim, whole: Path, harm: Callable[[bytes, random.Random], bytes], chance: random.Random, tally: Tally
) -> None:
    """Harm one file of a finished folder; whoever reads it must find that and name a file."""
    files = sorted(path for path in whole.rglob("*") if path.is_file() and path.name not in FOR_PEOPLE)
    path = chance.choice([file for file in files if file.stat().st_size])
    before = path.read_bytes()
    tally.faults += 1
    try:
        path.write_bytes(harm(before, chance))
        if path.parent.name.startswith("state") or "state" in path.relative_to(whole).parts[:-1]:
            found = _wrong_state(path)
        else:
            try:
                found = victim.wrong(whole)
            except UserError as error:
                found = [str(error)]
        named = any(path.name in said for said in found)
    finally:
        path.write_bytes(before)
    tally.recovered += named
    if not named:
        tally.wrong += 1
        tally.said.append(f"{victim.name}: damage to {path.name} was not named: {found[:1]}")


def flip(data: bytes, chance: random.Random) -> bytes:
    """Return the bytes with one bit flipped."""
    changed = bytearray(data)
    changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def truncate(data: bytes, chance: random.Random) -> bytes:
    """Return the bytes up to a random place."""
    return data[: chance.randrange(len(data))]


def begin(victim: Victim, material: Path, work: Path, limit: int | None = None) -> int:
    """Start a victim in a process of its own, and return its id. The child never returns."""
    child = os.fork()
    if child:
        return child
    code = FAILED
    try:
        if limit is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        victim.work(material, work)
        code = 0
    except DiskFullError:
        code = FULL
    except BaseException:
        import traceback

        if limit is None:
            traceback.print_exc()
    finally:
        os._exit(code)


def finish(child: int) -> int:
    """Wait for a child and return its exit code, minus the signal that ended it; kill it when it hangs."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -signal.SIGALRM


def tree(root: Path) -> dict[str, bytes]:
    """Return every file of a folder by its path, but what a kill left half-written."""
    files = (path for path in root.rglob("*") if path.is_file() and not path.name.endswith(".tmp"))
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def _begin_again(victim: Victim, material: Path, work: Path, expected: dict[str, bytes], tally: Tally) -> None:
    """Begin a victim again and compare its bytes with the expected ones; what was done before must still be there."""
    tally.faults += 1
    before = victim.records(work)
    code = finish(begin(victim, material, work))
    after = victim.records(work)
    found = tree(work)
    tally.lost += len(before - after)
    same = content(found) == content(expected)
    tally.wrong += code == 0 and not same
    tally.recovered += code == 0 and same
    if code != 0 or not same:
        differ = sorted(k for k in found.keys() | expected.keys() if found.get(k) != expected.get(k))
        tally.said.append(f"{victim.name} begun again ended with {code}, other files {differ[:3]}")
    shutil.rmtree(work, ignore_errors=True)


def content(files: dict[str, bytes]) -> Any:
    """Return what must be equal: all files, but a store's index and shards by what they hold, whatever their sizes.

    A store that was interrupted may hold its videos in other shards than one that was not.
    """
    if "index.bin" not in files:
        return files
    import msgspec
    from safetensors.numpy import load

    held = {}
    for name, data in files.items():
        if name.endswith(".safetensors"):
            arrays = load(data)
            for row in (key for key in arrays if "/" not in key):
                video = msgspec.json.decode(arrays[row].tobytes()[16:])["video"]
                held[video] = {k.partition("/")[2]: v.tobytes() for k, v in arrays.items() if k.startswith(f"{row}/")}
    return held


def _wrong_state(path: Path) -> list[str]:
    from whyact.training.state import read_state

    try:
        read_state(path)
    except UserError as error:
        return [str(error)]
    return []


def _time_of(victim: Victim, material: Path, out: Path) -> float:
    """Run a victim undisturbed, and return how long it takes."""
    started = time.monotonic()
    code = finish(begin(victim, material, out))
    if code != 0:
        raise RuntimeError(f"{victim.name} does not even work undisturbed: exit code {code}")
    return time.monotonic() - started


def _share(total: int, number: int, of: int) -> int:
    return total // of + (number < total % of)


def _largest(root: Path) -> int:
    return max(path.stat().st_size for path in root.rglob("*") if path.is_file())
