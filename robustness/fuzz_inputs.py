"""Sound files and the damage done to them: bytes, words and numbers of a text, values deep inside JSON or a pickle."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from whyact.data.io.pickles import dump_plain, load_pickle

_TOKEN = re.compile(rb'"[^"\n]*"|[^\s,;:\[\]{}"]+')
# Where containers keep stamps, edit lists, display matrices and indices; what follows is damaged.
_TABLES = (
    *(
        b"mvhd",
        b"tkhd",
        b"mdhd",
        b"elst",
        b"stts",
        b"ctts",
        b"stss",
        b"stsz",
        b"stco",
        b"trun",
        b"tfdt",
        b"moov",
        b"moof",
    ),
    *(b"idx1", b"avih", b"strh", b"00dc", b"\x1c\x53\xbb\x6b", b"\x1f\x43\xb6\x75", b"\xe7", b"\xa3"),
    *(b"\0\0\1\xe0", b"\0\0\1\xba", b"\0\0\0\1\x67"),
)
_DIALECTS = (".csv", "tracks.json", "whyact.json")  # tables, and boxes and times: dialects and units
_VIDEOS = (".mp4", ".mkv", ".avi", ".ts", ".mpg", ".h264")
_ODD_TEXT = (b"", b"nan", b"-1", b"1e999", b"99999999999999999999", b"null", b"[]", b'"\xff"', b"\0", b"../..", b'"x"')
_ODD_VALUES: tuple[Any, ...] = (None, -1, 2**70, float("nan"), "", "x", b"\xff", [], {}, (), np.zeros((0, 4)))
_ODD_JSON: tuple[Any, ...] = (None, -1, 0, 2**70, 1e308, float("nan"), "", "x", [], {}, True)


@dataclass(frozen=True)
class Target:
    """A reader under test: sound files by their name in a folder, and what reads that folder.

    ``damage`` names the files that are damaged, all by default; with ``alone`` the damaged file itself is read.
    """

    sound: dict[str, bytes]
    read: Callable[[Path], object]
    damage: tuple[str, ...] = ()
    alone: bool = False


def damaged(name: str, data: bytes, rng: np.random.Generator) -> bytes:
    """Return a file's bytes with one kind of damage; by its name, also to the values inside."""
    kind = int(rng.integers(12 if name.endswith((*_VIDEOS, *_DIALECTS)) else 8))
    if kind >= 8 and name.endswith(".csv"):
        return _in_another_dialect(data, rng)
    if kind >= 8 and name.endswith(".json"):
        return _in_another_unit(data, rng)
    if kind >= 8:
        return _with_odd_table(data, rng)
    at = int(rng.integers(len(data) + 1))
    span = int(rng.integers(1, 2 + len(data) // 4))
    if kind >= 4 and name.endswith(".pkl"):
        return dump_plain(_with_odd_value(unpickled(data), rng, _ODD_VALUES))
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
    if kind == 4:
        return data[:at] + bytes(min(span, len(data) - at)) + data[at + span :]
    if kind == 5 or not data.isascii():
        changed = bytearray(data)
        reach = min(len(data), 256) if kind == 5 else len(data)  # what stands in front matters most
        for position in rng.integers(0, max(1, reach), int(rng.integers(1, 33))) if data else ():
            changed[position] ^= 1 << int(rng.integers(8))
        return bytes(changed)
    tokens = list(_TOKEN.finditer(data))
    if not tokens:
        return data
    token = tokens[int(rng.integers(len(tokens)))]
    return data[: token.start()] + _ODD_TEXT[int(rng.integers(len(_ODD_TEXT)))] + data[token.end() :]


def _with_odd_table(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a video with some bytes of a table changed, or with all of it once more behind it."""
    if rng.random() < 0.1:
        return data + data
    marks = [mark for mark in _TABLES if mark in data]
    if not marks:
        return data
    mark = marks[int(rng.integers(len(marks)))]
    places = [found.end() for found in re.finditer(re.escape(mark), data)]
    changed = bytearray(data)
    for start in rng.choice(places, int(rng.integers(1, 4))):
        for at in start + rng.integers(0, 96, int(rng.integers(1, 9))):
            if at < len(changed):
                changed[at] = int(rng.choice((0, 1, 127, 128, 255, int(rng.integers(256)))))
    return bytes(changed)


def _in_another_dialect(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a CSV as another program saves it: separator, quotes, encoding, header, rows and columns."""
    text = data.decode("utf-8-sig")
    for _ in range(int(rng.integers(1, 4))):
        lines = text.splitlines() or [""]
        row = int(rng.integers(len(lines)))
        how = int(rng.integers(8))
        if how == 0:
            text = text.replace(",", str(rng.choice([";", "\t", "|", ", "])))
        elif how == 1:
            lines[0] = str(rng.choice([lines[0].upper(), lines[0].title(), f" {lines[0]} ", f"{lines[0]},,"]))
        elif how == 2:
            lines[row] += str(rng.choice([",", ",more", ";more", ",,,"]))
        elif how == 3:
            lines.insert(row, str(rng.choice([lines[row], lines[row].upper(), lines[row].replace(" ", "_"), "", ",,"])))
        elif how == 4:
            text = text.replace('"', str(rng.choice(["", "'", '""'])))
        elif how == 5:
            text = text.replace("\n", str(rng.choice(["\r\n", "\r", "\n\n"])))
        elif how == 6:
            lines[row] = f'"{lines[row]}'
        else:
            lines[row] = lines[row].swapcase()
        text = text if how in (0, 4, 5) else "\n".join(lines) + "\n"
    encoding = str(rng.choice(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "utf-32"]))
    return text.encode(encoding, errors="replace")


def _in_another_unit(data: bytes, rng: np.random.Generator) -> bytes:
    """Return JSON with the boxes in shares, percent or x, y, width and height, or with times in frames or ms."""
    document = json.loads(data)
    how = int(rng.integers(5))
    factor = float(rng.choice([1 / 640, 100 / 640, 1.1, 30, 1000, 0.1]))

    def changed(key: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: changed(name, inner) for name, inner in value.items()}
        if isinstance(value, list) and len(value) == 4 and all(isinstance(x, int | float) for x in value):
            x, y, u, v = value
            return [x, y, u - x, v - y] if how == 0 else [n * factor for n in value] if how < 3 else value
        if isinstance(value, list):
            return [changed(key, inner) for inner in value]
        scale = how >= 3 and key in ("times", "frames", "from", "to", "fps") and isinstance(value, int | float)
        return value * factor if scale else value

    return json.dumps(changed("", document)).encode()


def unpickled(data: bytes) -> Any:
    """Return what sound pickle bytes hold."""
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


def write_files(root: Path, files: dict[str, bytes]) -> None:
    """Write files under a folder."""
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def files_of(root: Path) -> dict[str, bytes]:
    """Return the files under a folder by their path in it."""
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}
