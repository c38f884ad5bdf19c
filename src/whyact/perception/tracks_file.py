"""The tracks file: boxes over time as JSON, so that boxes from anywhere can be used. Documented in docs/tracks.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from whyact.errors import UserError
from whyact.files import write_atomic
from whyact.perception.tracks import Tracks

VERSION = 1
_NEXT = "see docs/tracks.md for the format"
_FARTHEST = 1e6  # pixels: no image is that large, and float32 still tells neighbours apart

_Box = tuple[float, float, float, float]


class _Track(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    name: str
    class_: str = msgspec.field(name="class")
    boxes: list[_Box | None]
    scores: list[float | None] | None = None
    seen: list[bool] | None = None


class _File(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    format: Literal["whyact-tracks"]
    version: int
    image_size: tuple[int, int]
    times: list[float]
    tracks: list[_Track]
    frames: list[int] | None = None
    source: str = ""


def read_tracks(path: Path | str) -> Tracks:
    """Read a tracks file.

    Raises:
        UserError: When the file cannot be read or breaks a rule of the format; it names the item.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(path, error.strerror, "a tracks file", "--tracks FILE") from error
    document = _decode(path, data)
    _check(path, document)
    return _as_tracks(document, str(path))


def write_tracks(path: Path | str, tracks: Tracks) -> Path:
    """Write a tracks file whole or not at all; :func:`read_tracks` returns equal tracks.

    Raises:
        UserError: When the tracks break a rule of the format (NaN, a box turned inside out, times that fall).
    """
    path = Path(path)
    known = tracks.known | (tracks.boxes != 0).any(axis=-1) | tracks.seen
    document = _File(
        format="whyact-tracks",
        version=VERSION,
        source=tracks.source,
        image_size=tracks.image_size,
        times=tracks.times.tolist(),
        frames=tracks.frames.tolist(),
        tracks=[
            _Track(
                name=name,
                class_=tracks.classes[k],
                boxes=[
                    _shortest(box) if there else None
                    for box, there in zip(tracks.boxes[:, k], known[:, k], strict=True)
                ],
                scores=[
                    float(str(score)) if there else None
                    for score, there in zip(tracks.scores[:, k], tracks.seen[:, k], strict=True)
                ],
                seen=tracks.seen[:, k].tolist(),
            )
            for k, name in enumerate(tracks.names)
        ],
    )
    _check(path, document)
    return write_atomic(path, msgspec.json.encode(document) + b"\n")


def _shortest(box: Any) -> _Box:
    """Return the box with the fewest digits that float32 needs: 12.3, not 12.300000190734863."""
    a, b, c, d = (float(str(value)) for value in box)
    return a, b, c, d


def _decode(path: Path, data: bytes) -> _File:
    try:
        return msgspec.json.decode(data, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = _not_a_number(data) or str(error)
        raise UserError(path, reason, "a tracks file", _NEXT) from error


def _not_a_number(data: bytes) -> str:
    """Return where a file that is no strict JSON has NaN or Infinity, as many programs write them, else nothing."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return ""
    path: list[tuple[str, Any]] = [("$", value)]
    while path:
        where, item = path.pop()
        if isinstance(item, float) and not np.isfinite(item):
            return f"{item} at {where}"
        if isinstance(item, dict):
            path += [(f"{where}.{key}", inner) for key, inner in item.items()]
        elif isinstance(item, list):
            path += [(f"{where}[{i}]", inner) for i, inner in enumerate(item)]
    return ""


def _check(path: Path, file: _File) -> None:
    """Refuse what the types alone do not: lengths, order, ranges, boxes."""

    def fail(item: str, value: object, expected: str) -> None:
        raise UserError(f"{path}, {item}", value, expected, _NEXT)

    t = len(file.times)
    if file.version != VERSION:
        fail("version", file.version, f"{VERSION}")
    if not all(0 < side <= _FARTHEST for side in file.image_size):
        fail("image_size", file.image_size, "width and height in pixels")
    for i, time in enumerate(file.times):
        if not np.isfinite(time) or time < 0 or (i and time <= file.times[i - 1]):
            fail(f"times[{i}]", time, "seconds, each later than the one before")
    if file.frames is not None and len(file.frames) != t:
        fail("frames", f"{len(file.frames)} numbers", f"{t}, one for each time")
    for i, number in enumerate(file.frames or []):
        if not 1 <= number < 2**53 or (i and number < file.frames[i - 1]):  # type: ignore[index]
            fail(f"frames[{i}]", number, "numbers from 1, none smaller than the one before")
    names: set[str] = set()
    for k, track in enumerate(file.tracks):
        where = f"tracks[{k}]"
        if not track.name or track.name in names:
            fail(f"{where}.name", track.name, "a name that no other track has")
        names.add(track.name)
        if not track.class_:
            fail(f"{where}.class", track.class_, "a class name")
        for key, values in (("boxes", track.boxes), ("scores", track.scores), ("seen", track.seen)):
            if values is not None and len(values) != t:
                fail(f"{where}.{key}", f"{len(values)} entries", f"{t}, one for each time")
        for i, box in enumerate(track.boxes):
            if box is not None and (wrong := _wrong_box(box, file.image_size)):
                fail(f"{where}.boxes[{i}]", list(box), wrong)
        for i, score in enumerate(track.scores or []):
            if score is not None and not 0 <= score <= 1:
                fail(f"{where}.scores[{i}]", score, "0 to 1, or null")
        for i, seen in enumerate(track.seen or []):
            if seen and track.boxes[i] is None:
                fail(f"{where}.seen[{i}]", seen, "false where there is no box")


def _wrong_box(box: _Box, image_size: tuple[int, int]) -> str:
    x1, y1, x2, y2 = (float(np.float32(v)) if abs(v) <= _FARTHEST else float("nan") for v in box)
    if not (x1 < x2 and y1 < y2):  # also false for NaN
        return "[x1, y1, x2, y2] in pixels, x1 < x2 and y1 < y2, or null"
    if x2 <= 0 or y2 <= 0 or x1 >= image_size[0] or y1 >= image_size[1]:
        return f"a box in the image of {image_size[0]} x {image_size[1]} pixels"
    return ""


def _as_tracks(file: _File, path: str) -> Tracks:
    t, k = len(file.times), len(file.tracks)
    boxes, scores, seen = np.zeros((t, k, 4), np.float32), np.zeros((t, k), np.float32), np.zeros((t, k), bool)
    for slot, track in enumerate(file.tracks):
        there = np.array([box is not None for box in track.boxes], dtype=bool)
        boxes[:, slot] = np.array([box or (0, 0, 0, 0) for box in track.boxes], np.float32).reshape(t, 4)
        seen[:, slot] = there if track.seen is None else track.seen
        given = [1.0] * t if track.scores is None else [1.0 if s is None else s for s in track.scores]
        scores[:, slot] = np.where(seen[:, slot], given, 0.0)
    frames = np.arange(1, t + 1) if file.frames is None else np.array(file.frames)
    return Tracks(
        names=tuple(track.name for track in file.tracks),
        classes=tuple(track.class_ for track in file.tracks),
        boxes=boxes,
        seen=seen,
        scores=scores,
        times=np.array(file.times, dtype=np.float64),
        frames=frames.astype(np.int64),
        image_size=file.image_size,
        source=file.source or path,
    )
