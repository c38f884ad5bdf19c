"""The tracks file: boxes over time as JSON, so that boxes from anywhere can be used. Documented in docs/tracks.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from whyact.errors import Mistakes, UserError, malformed
from whyact.files import without_mark, write_atomic
from whyact.metrics.boxes import clip_to_image, guess_unit, look_like_percent
from whyact.perception.tracks import Tracks
from whyact.prediction import VideoFacts

VERSION = 1
_NEXT = "see docs/tracks.md for the format"
_FARTHEST = 1e6  # pixels: no image is that large, and float32 still tells neighbours apart
_EDGE = 1.0  # pixels that a box may reach past the image: rounding, and edges counted from 1
_LATE = 0.5  # seconds that a track may end after its video, at least
_COVERED = 0.5  # share of the video that the times must reach

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
    units: Literal["", "pixels"] = ""


def read_tracks(path: Path | str, *, clip_boxes: bool = False) -> Tracks:
    """Read a tracks file.

    Args:
        path: The file.
        clip_boxes: Cut off what lies outside the image instead of refusing it.

    Raises:
        UserError: When the file cannot be read or breaks rules of the format; it names every item, and what boxes in
            another unit look like.
    """
    path = Path(path)
    try:
        data = without_mark(path.read_bytes())
    except OSError as error:
        raise UserError(path, error.strerror, "a tracks file", "--tracks FILE") from error
    document = _decode(path, data)
    _check(path, document, clip_boxes)
    return _as_tracks(document, str(path))


def check_against_video(path: Path | str, tracks: Tracks, facts: VideoFacts) -> None:
    """Refuse tracks whose image size, boxes or times are not those of a video, and say what they look like instead.

    Args:
        path: The tracks file.
        tracks: What it holds.
        facts: The video.

    Raises:
        UserError: For another image size, boxes that look like percent, or times far short of the video or past it.
    """
    if (facts.width, facts.height) != tracks.image_size:
        size = "{} x {}".format(*tracks.image_size)
        raise UserError(f"{path}, image_size", size, f"{facts.width} x {facts.height}, the size of {facts.path}", _NEXT)
    if not tracks.in_pixels and look_like_percent(tracks.boxes[tracks.known], tracks.image_size):
        step = 'scale them to the image, or write "units": "pixels" into the file if they are right'
        raise UserError(f"{path}, boxes", "coordinates that look like percent, 0 to 100", "pixels", step)
    last, length = float(tracks.times[-1]), facts.duration
    if not length > 0:
        return
    gap = float(np.median(np.diff(tracks.times))) if len(tracks.times) > 1 else 0.0
    whole = bool((tracks.times == np.round(tracks.times)).all())
    frames = max(facts.frames_decoded or 0, facts.frames_declared or 0, round(length * (facts.fps or 0)))
    if last > length + max(_LATE, min(gap, 2.0)):
        guess = ""
        if whole and last <= 1.05 * frames + 1:
            guess = f", which look like frame numbers: the video has {frames} frames"
        elif 0.5 * length <= last / 1000 <= 1.1 * length:
            guess = ", which look like milliseconds"
        found = f"times up to {last:.6g}{guess}"
        raise UserError(f"{path}, times", found, f"seconds from 0 to {length:.2f}, the end of {facts.path}", _NEXT)
    if last + gap < _COVERED * length:
        found = f"times up to {last:.2f} s only"
        expected = f"times through all of {facts.path}, {length:.2f} s; where nothing is in view a box is null"
        raise UserError(f"{path}, times", found, expected, _NEXT)


def write_tracks(path: Path | str, tracks: Tracks) -> Path:
    """Write a tracks file whole or not at all; :func:`read_tracks` returns equal tracks, clipped to the image.

    Raises:
        UserError: When the tracks break a rule of the format (NaN, a box turned inside out, times that fall).
    """
    path = Path(path)
    known = tracks.known | (tracks.boxes != 0).any(axis=-1) | tracks.seen
    boxes = np.where(np.isfinite(tracks.boxes), clip_to_image(tracks.boxes, tracks.image_size), tracks.boxes)
    boxes = boxes.astype(np.float32)
    document = _File(
        format="whyact-tracks",
        version=VERSION,
        source=tracks.source,
        units="pixels",
        image_size=tracks.image_size,
        times=tracks.times.tolist(),
        frames=tracks.frames.tolist(),
        tracks=[
            _Track(
                name=name,
                class_=tracks.classes[k],
                boxes=[_shortest(box) if there else None for box, there in zip(boxes[:, k], known[:, k], strict=True)],
                scores=[
                    float(str(score)) if there else None
                    for score, there in zip(tracks.scores[:, k], tracks.seen[:, k], strict=True)
                ],
                seen=tracks.seen[:, k].tolist(),
            )
            for k, name in enumerate(tracks.names)
        ],
    )
    _check(path, document, clip_boxes=False)
    return write_atomic(path, msgspec.json.encode(document) + b"\n")


def _shortest(box: Any) -> _Box:
    """Return the box with the fewest digits that float32 needs: 12.3, not 12.300000190734863."""
    a, b, c, d = (float(str(value)) for value in box)
    return a, b, c, d


def _decode(path: Path, data: bytes) -> _File:
    try:
        return msgspec.json.decode(data, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if reason := _not_a_number(data):
            raise UserError(path, reason, "a tracks file", _NEXT) from error
        raise malformed(path, error, "a tracks file", _NEXT) from error


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


def _check(path: Path, file: _File, clip_boxes: bool) -> None:
    """Refuse what the types alone do not: lengths, order, ranges, boxes. Clip the boxes in place where asked to."""
    mistakes = Mistakes(path, _NEXT)
    t = len(file.times)
    if file.version != VERSION:
        mistakes.add("version", file.version, f"{VERSION}")
    if not all(0 < side <= _FARTHEST for side in file.image_size):
        mistakes.add("image_size", file.image_size, "width and height in pixels")
    for i, time in enumerate(file.times):
        if not np.isfinite(time) or time < 0 or (i and time <= file.times[i - 1]):
            mistakes.add(f"times[{i}]", _rounded(time), "seconds, each later than the one before")
    if file.frames is not None and len(file.frames) != t:
        mistakes.add("frames", f"{len(file.frames)} numbers", f"{t}, one for each time")
    for i, number in enumerate(file.frames or []):
        if not 1 <= number < 2**53 or (i and number < file.frames[i - 1]):  # type: ignore[index]
            mistakes.add(f"frames[{i}]", number, "numbers from 1, none smaller than the one before")
    names: set[str] = set()
    for k, track in enumerate(file.tracks):
        where = f"tracks[{k}]"
        if not track.name or track.name in names:
            mistakes.add(f"{where}.name", track.name, "a name that no other track has")
        names.add(track.name)
        if not track.class_:
            mistakes.add(f"{where}.class", track.class_, "a class name")
        for key, values in (("boxes", track.boxes), ("scores", track.scores), ("seen", track.seen)):
            if values is not None and len(values) != t:
                mistakes.add(f"{where}.{key}", f"{len(values)} entries", f"{t}, one for each time")
        for i, score in enumerate(track.scores or []):
            if score is not None and not 0 <= score <= 1:
                mistakes.add(f"{where}.scores[{i}]", _rounded(score), "0 to 1, or null")
        for i, seen in enumerate(track.seen or []):
            if seen and i < len(track.boxes) and track.boxes[i] is None:
                mistakes.add(f"{where}.seen[{i}]", seen, "false where there is no box")
    if all(side > 0 for side in file.image_size):
        _check_boxes(mistakes, file, clip_boxes)
    mistakes.refuse()


def _check_boxes(mistakes: Mistakes, file: _File, clip_boxes: bool) -> None:
    given = [box for track in file.tracks for box in track.boxes if box is not None]
    if not file.units and (unit := guess_unit(given, file.image_size)):
        step = 'convert them, or write "units": "pixels" into the file if they are right'
        found = f"coordinates that look like {unit}"
        error = UserError(f"{mistakes.where}, boxes", found, "[x1, y1, x2, y2] in pixels", step)
        mistakes.errors.insert(0, error)
        return
    width, height = file.image_size
    for k, track in enumerate(file.tracks):
        for i, box in enumerate(track.boxes):
            if box is None:
                continue
            where = f"tracks[{k}].boxes[{i}]"
            if wrong := _wrong_box(box, file.image_size):
                mistakes.add(where, _rounded(box), wrong)
            elif min(box) < -_EDGE or max(box[0], box[2]) > width + _EDGE or max(box[1], box[3]) > height + _EDGE:
                if clip_boxes:
                    track.boxes[i] = _shortest(clip_to_image(box, file.image_size).astype(np.float32))
                else:
                    expected = f"a box inside the image of {width} x {height} pixels, or --clip-boxes"
                    mistakes.add(where, _rounded(box), expected)


def _rounded(value: Any) -> Any:
    """Return numbers with no more digits than a person compares: three behind the point."""
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return round(value, 3) if isinstance(value, float) and np.isfinite(value) else value


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
        in_pixels=file.units == "pixels",
    )
