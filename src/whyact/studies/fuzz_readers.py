"""Broken annotation files by the thousand: a reader gives what it reads or refuses in words, and does nothing else.

Every input is a folder of sound files of which one is damaged: its bytes, a word or number of its text, or a value
deep inside its pickle. Input n of a target is the same in every run.
"""

from __future__ import annotations

import json
import re
import tempfile
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from whyact.data.pickles import dump_plain, load_array, load_pickle
from whyact.errors import UserError
from whyact.studies import results

CHUNK = 500  # inputs a process: a crash of the interpreter costs one chunk and is counted
_TOKEN = re.compile(rb'"[^"\n]*"|[^\s,;:\[\]{}"]+')
_ODD_TEXT = (b"", b"nan", b"-1", b"1e999", b"99999999999999999999", b"null", b"[]", b'"\xff"', b"\0", b"../..", b'"x"')
_ODD_VALUES: tuple[Any, ...] = (None, -1, 2**70, float("nan"), "", "x", b"\xff", [], {}, (), np.zeros((0, 4)))


_ODD_JSON: tuple[Any, ...] = (None, -1, 0, 2**70, 1e308, float("nan"), "", "x", [], {}, True)


@dataclass(frozen=True)
class Target:
    """Sound files by their name in a folder, what reads the folder, and which of them are damaged (default: all)."""

    sound: dict[str, bytes]
    read: Callable[[Path], object]
    damage: tuple[str, ...] = ()


def charades_lists() -> Target:
    """Return the official lists, the classes and the mapping."""
    from whyact.data import charades

    rows = [
        'AAAA1,P1,Kitchen,6,7,Yes,"A person, reads.",book;cup,"Stands; sits.",c000 0.00 5.50;c002 1.00 99.00,30.10',
        "BBBB2,P2,Stairs,,-100,No,Falls,,,,12.00",
    ]
    head = ",".join(charades.COLUMNS)
    sound = {
        charades.TRAIN: "\n".join([head, *rows]),
        charades.TEST: "\n".join([head, rows[1].replace("BBBB2", "CCCC3")]),
        charades.CLASSES: "c000 Reading a book\r\nc001 Holding a cup\r\nc002 Sitting down\r\n",
        charades.MAPPING: "c000 o001 v001\nc001 o002 v000\nc002 o000 v002\n",
    }
    return Target(
        {name: text.encode() for name, text in sound.items()}, lambda root: charades.summary(charades.read(root))
    )


def action_genome_root() -> Target:
    """Return a small generated root as Action Genome publishes it: pickles, lists, words."""
    from whyact.data.action_genome_check import check_action_genome
    from whyact.data.action_genome_clips import read

    def work(root: Path) -> None:
        check_action_genome(root)
        read(root, slots=4, filter_small=4.0)

    sound = _generated()
    pickles = tuple(name for name in sound if name.endswith(".pkl"))
    return Target(sound, work, (*pickles, *pickles, *(n for n in sound if n.endswith(".txt"))))


def action_genome_converted() -> Target:
    """Return the converted annotations of the same root."""
    from whyact.data import action_genome as ag
    from whyact.data.action_genome_clips import read

    sound = _generated()
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), sound)
        place = Path(folder) / "annotations"
        sound[f"annotations/{ag.CONVERTED}"] = ag.write_converted(place, ag.read_pickles(place)).read_bytes()
    for name in (ag.PERSONS, ag.RELATED):
        del sound[f"annotations/{name}"]
    return Target(sound, lambda root: read(root, slots=4), (f"annotations/{ag.CONVERTED}",))


def own_data() -> Target:
    """Return the JSON of one's own data, converted from a generated world."""
    from whyact.data import own
    from whyact.data.own_write import from_cad120, write_own
    from whyact.homeworld.write import write_fresh_video

    with tempfile.TemporaryDirectory() as folder:
        file = from_cad120(write_fresh_video(Path(folder) / "world", seed=5))
        for video in file.videos:  # short: damage should hit the structure, not one box of thousands
            video.tracks, video.frames = video.tracks[:4], (video.frames or [])[:6]
            for track in video.tracks:
                track.boxes = track.boxes[:6]
            names = {track.name for track in video.tracks}
            video.relations = [r for r in video.relations if set(r.pair) <= names and r.start <= 6]
            video.actions[0].end = 6
        data = write_own(Path(folder) / "own", file).read_bytes()
    return Target({own.FILE: data}, lambda root: own.read(root, slots=8))


def cad120_layout() -> Target:
    """Return a small generated set in the CAD-120 layout."""
    from whyact.data import cad120
    from whyact.homeworld.write import write_fresh_video

    with tempfile.TemporaryDirectory() as folder:
        sound = _files(write_fresh_video(Path(folder) / "world", seed=5))
    return Target(sound, lambda root: cad120.read(root))


def arrays() -> Target:
    """Return the published kinds of pickled and plain arrays."""
    import io

    plain = io.BytesIO()
    np.save(plain, np.arange(12, dtype=np.float32).reshape(3, 4))
    nested = {"a": [1, 2.5, None], "b": {"c": np.arange(3), "d": ("x", "y")}}

    def work(root: Path) -> None:
        for name, read in (("plain.npy", load_array), ("nested.pkl", load_pickle)):
            read(root / name)

    return Target({"plain.npy": plain.getvalue(), "nested.pkl": dump_plain(nested)}, work)


def tracks_file() -> Target:
    """Return boxes over time as a file of tracks."""
    from whyact.detect.tracks_file import read_tracks

    text = (
        '{"format": "whyact-tracks", "version": 1, "image_size": [64, 48], "times": [0.0, 0.5], "frames": [1, 16], '
        '"tracks": [{"name": "mug_1", "class": "mug", "boxes": [[3.5, 2, 31, 27], null], "scores": [0.9, null]}]}'
    )
    return Target({"tracks.json": text.encode()}, lambda root: read_tracks(root / "tracks.json"))


TARGETS: dict[str, Callable[[], Target]] = {
    "charades": charades_lists,
    "action-genome": action_genome_root,
    "action-genome-converted": action_genome_converted,
    "own": own_data,
    "cad120": cad120_layout,
    "arrays": arrays,
    "tracks": tracks_file,
}


def damaged(name: str, data: bytes, rng: np.random.Generator) -> bytes:
    """Return a file's bytes with one kind of damage; by its name, also to the values inside."""
    kind = int(rng.integers(8))
    at = int(rng.integers(len(data) + 1))
    span = int(rng.integers(1, 2 + len(data) // 4))
    if kind >= 4 and name.endswith(".pkl"):
        return dump_plain(_with_odd_value(_unpickled(data), rng, _ODD_VALUES))
    if kind >= 4 and name.endswith(".json"):
        return json.dumps(_with_odd_value(json.loads(data), rng, _ODD_JSON)).encode()
    if kind == 0:
        return data[:at]
    if kind == 1:
        return rng.bytes(int(rng.integers(2048)))
    if kind == 2:
        return data[:at] + data[at + span :]
    if kind == 3:
        return data[:at] + data[at : at + span] + data[at:]
    if kind <= 5:
        changed = bytearray(data)
        for position in rng.integers(0, max(1, len(data)), int(rng.integers(1, 9))) if data else ():
            changed[position] ^= 1 << int(rng.integers(8))
        return bytes(changed)
    tokens = list(_TOKEN.finditer(data))
    if not tokens:
        return data
    token = tokens[int(rng.integers(len(tokens)))]
    return data[: token.start()] + _ODD_TEXT[int(rng.integers(len(_ODD_TEXT)))] + data[token.end() :]


def _unpickled(data: bytes) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sound.pkl"
        path.write_bytes(data)
        return load_pickle(path)


def _with_odd_value(value: Any, rng: np.random.Generator, odd: Sequence[Any]) -> Any:
    """Return the value with one that does not belong there at some depth, a key gone, or a key renamed."""
    place = value
    while isinstance(place, dict | list) and place:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = keys[int(rng.integers(len(keys)))]
        inner = place[key]
        if isinstance(inner, dict | list) and inner and rng.random() >= 0.15:
            place = inner
            continue
        how = rng.random()
        if how < 0.15:
            del place[key]
        elif how < 0.3 and isinstance(place, dict):
            place[f"{key}x"] = place.pop(key)
        elif how < 0.5 and isinstance(inner, int | float):
            place[key] = inner * float(rng.choice([-1, 0.5, 2, 1e30]))
        else:
            place[key] = odd[int(rng.integers(len(odd)))]
        break
    return value


def attack(name: str, first: int, count: int) -> list[str]:
    """Give a target its inputs ``first`` to ``first + count - 1``; return what went wrong, an input each."""
    target = TARGETS[name]()
    victims = target.damage or tuple(sorted(target.sound))
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _write(root, target.sound)
        for number in range(first, first + count):
            rng = np.random.default_rng((number, len(name)))
            victim = victims[number % len(victims)]
            sound = target.sound[victim]
            (root / victim).write_bytes(damaged(victim, sound, rng))
            try:
                target.read(root)
            except UserError:
                pass
            except Exception as error:
                last = traceback.extract_tb(error.__traceback__)[-1]
                said = f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"
                wrong.append(f"{name} input {number}, {victim}: {said}")
            (root / victim).write_bytes(sound)
    return wrong


def fuzz_readers(repeats: int) -> list[results.Row]:
    """Attack every target with 100 inputs a repeat, 14,700 in a full run; a row each with the unexpected errors."""
    rows = []
    for name in TARGETS:
        count = 100 * repeats
        wrong: list[str] = []
        for first in range(0, count, CHUNK):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                try:
                    wrong += pool.submit(attack, name, first, min(CHUNK, count - first)).result()
                except BrokenProcessPool:
                    wrong.append(f"{name} inputs from {first}: the interpreter crashed")
        note = f"{count} damaged inputs; each must be read or refused in words"
        note += f"; first: {wrong[0]}" if wrong else ""
        rows.append(results.row("fuzz-readers", f"{name}: unexpected errors", "count", [float(len(wrong))], note=note))
    return rows


def _generated() -> dict[str, bytes]:
    from whyact.homeworld.action_genome import write_action_genome

    with tempfile.TemporaryDirectory() as folder:
        files = _files(write_action_genome(Path(folder) / "w", seed=2, videos=24, every=12, pixels=False, dirt=False))
    for name in files:
        if name.endswith(".pkl"):  # small: damage should hit the structure, not one frame of hundreds
            files[name] = dump_plain(dict(list(_unpickled(files[name]).items())[:40]))
    return files


def _files(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def _write(root: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
