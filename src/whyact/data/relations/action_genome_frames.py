"""Prepare Action Genome once: extract the annotated frames by the official numbering, convert the annotations.

Frames are numbered from 1 in the order in which the video shows them at its native rate, and written as
``frames/VIDEO.mp4/000123.png``; only the frames of ``frame_list.txt``, and only those that are not there yet.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from whyact.data.relations.action_genome import (
    CONVERTED,
    FRAMES,
    PERSONS,
    RELATED,
    Annotations,
    frame_key,
    parse_key,
    read_converted,
    read_frame_list,
    read_pickles,
    write_converted,
)
from whyact.data.relations.action_genome_clips import Layout, find_layout
from whyact.errors import UserError
from whyact.files import write_atomic
from whyact.video.container import load_av, open_container, picture_streams

OPENING = 60.0  # seconds that opening a video may take


@dataclass
class Prepared:
    """What a preparation found and did; the lists name videos (``short``: with the frames that they do not have)."""

    videos: int = 0
    frames: int = 0
    written: int = 0
    there_already: int = 0
    missing: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    short: list[str] = field(default_factory=list)
    other_size: list[str] = field(default_factory=list)
    converted: str = ""


def prepare(root: Path, *, frames: bool = True, done: Callable[[str], object] = lambda video: None) -> Prepared:
    """Extract the listed frames of every video that is there, and write the converted annotations.

    Killed and started again, it goes on where it was. A video that is missing, broken or short is listed and the
    others are extracted all the same.

    Args:
        root: See :func:`whyact.data.relations.action_genome_clips.find_layout`; the videos lie in ``videos``.
        frames: Also extract frames; else only the annotations are converted.
        done: Told the name of each video when it is finished.

    Raises:
        UserError: For missing or damaged annotations.
    """
    place = find_layout(root)
    folder = place.annotations
    pickled = (folder / PERSONS).is_file() and (folder / RELATED).is_file()
    found = read_pickles(folder) if pickled else read_converted(folder / CONVERTED)
    rate = dict(zip(found.videos, found.rate.tolist(), strict=True)) | _known_rates(folder)
    made = Prepared()
    if frames:
        size = _sizes(found)
        for video, numbers in listed(folder).items():
            made.videos += 1
            made.frames += len(numbers)
            _one(place, video, numbers, size.get(video), rate, made)
            done(video)
    found = replace(found, rate=np.array([rate.get(video, 0.0) for video in found.videos], np.float32))
    made.converted = str(write_converted(folder, found))
    return made


def listed(folder: Path) -> dict[str, list[int]]:
    """Return the frame numbers to extract of each video of ``frame_list.txt``, in order."""
    out: dict[str, list[int]] = defaultdict(list)
    for key in read_frame_list(folder / FRAMES):
        video, number = parse_key(folder / FRAMES, key)
        out[video].append(number)
    return {video: sorted(numbers) for video, numbers in out.items()}


def absent_frames(place: Layout, video: str, numbers: Sequence[int]) -> list[int]:
    """Return the numbers whose picture is not there, or is empty."""
    return [n for n in numbers if not _filled(place.frames / frame_key(video, n))]


def _filled(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def _known_rates(folder: Path) -> dict[str, float]:
    """Return the rates that an earlier preparation found."""
    try:
        before = read_converted(folder / CONVERTED)
    except UserError:  # not there, or to be written anew
        return {}
    return {video: float(r) for video, r in zip(before.videos, before.rate, strict=True) if r > 0}


def _sizes(found: Annotations) -> dict[str, tuple[int, int]]:
    first = np.searchsorted(found.video, np.arange(len(found.videos)))
    return {video: (int(w), int(h)) for video, (w, h) in zip(found.videos, found.size[first], strict=True)}


def _one(
    place: Layout,
    video: str,
    numbers: Sequence[int],
    size: tuple[int, int] | None,
    rate: dict[str, float],
    made: Prepared,
) -> None:
    path = place.videos / f"{video}.mp4"
    wanted = absent_frames(place, video, numbers)
    made.there_already += len(numbers) - len(wanted)
    if not path.is_file():
        made.missing.append(video)
        return
    if not wanted and rate.get(video):
        return
    av = load_av()
    try:
        with open_container(av, path, OPENING) as container:
            stream = picture_streams(container, path)[0]
            stream.thread_type = "AUTO"
            rate[video] = float(stream.average_rate or 0.0)
            if size is not None and (stream.width, stream.height) != size:
                made.other_size.append(f"{video} ({stream.width} x {stream.height}, boxes of {size[0]} x {size[1]})")
            left = _extract(container, stream, wanted, place.frames, video, made)
    except (UserError, av.error.FFmpegError, ValueError, OSError) as error:
        made.broken.append(f"{video}: {getattr(error, 'strerror', None) or error}")
        return
    if left:
        made.short.append(f"{video} ({len(left)} of {len(numbers)} frames, from {left[0]})")


def _extract(container: Any, stream: Any, wanted: Sequence[int], folder: Path, video: str, made: Prepared) -> list[int]:
    """Write the wanted frames; return those that the video does not have."""
    rest = list(wanted)
    if not rest:
        return []
    for number, frame in enumerate(container.decode(stream), 1):
        if number == rest[0]:
            buffer = io.BytesIO()
            frame.to_image(threads=1).save(buffer, "PNG", compress_level=1)
            write_atomic(folder / frame_key(video, number), buffer.getvalue())
            made.written += 1
            rest.pop(0)
            if not rest:
                break
    return rest


def summary(made: Prepared, most: int = 20) -> dict[str, Any]:
    """Return a preparation as numbers and short lists."""
    out: dict[str, Any] = {
        "videos": made.videos,
        "frames": made.frames,
        "written": made.written,
        "there_already": made.there_already,
        "converted": made.converted,
    }
    return out | some(
        {"missing": made.missing, "broken": made.broken, "short": made.short, "other_size": made.other_size}, most
    )


def some(lists: Mapping[str, Sequence[str]], most: int = 20) -> dict[str, Any]:
    """Return the length of each list under its name, and its first entries where it has any."""
    out: dict[str, Any] = {}
    for name, values in lists.items():
        out[name] = len(values)
        if values:
            out[f"{name}_such_as"] = list(values[:most])
    return out
