"""The pictures of a report: the frames before and after what decided, and a loop of that moment."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from whyact.errors import UserError
from whyact.files import stored_sha256
from whyact.prediction import Evidence, Prediction
from whyact.report import write_report
from whyact.report.scene import place_moment
from whyact.wording import find_deciding, sort_evidence

MOST = 6  # pieces of evidence of a prediction that get pictures
WIDTH = 640
QUALITY = 82
LOOP_BYTES = 400_000  # of a loop, at most
LOOP_WIDTH = 480
_FRAMES, _LONGEST, _AROUND = 24, 6.0, 0.5  # of a loop; seconds of it, and those around the moment
_SLOW, _QUICK, _LAST = 150, 90, 900  # milliseconds that a frame of the moment, another and the last one stand


def stills(predictions: Sequence[Prediction]) -> dict[tuple[str, float], bytes]:
    """Return JPEG bytes by (prediction id, frame number) for the moments that the reports of these answers show.

    Predictions about anything but a video file have none. A video that is missing, broken or another one by now has no
    pictures.
    """
    from PIL import Image

    from whyact.video.reader import VideoReader

    out: dict[tuple[str, float], bytes] = {}
    for prediction in predictions:
        numbers = _moments(prediction)
        if not numbers or not prediction.video.fps or not _is_at_hand(prediction):
            continue
        try:
            with VideoReader(prediction.video.path) as reader:
                for shown in reader.frames_at(sorted(numbers)):
                    image = Image.fromarray(shown.image)
                    if image.width > WIDTH:
                        image = image.resize((WIDTH, max(1, round(image.height * WIDTH / image.width))))
                    buffer = io.BytesIO()
                    image.save(buffer, "JPEG", quality=QUALITY)
                    out[prediction.id, numbers[shown.moment]] = buffer.getvalue()
        except UserError:
            continue
    return out


def _is_at_hand(prediction: Prediction) -> bool:
    """Tell whether the file that an answer is about is still there: another one under its name shows other things."""
    path = Path(prediction.video.path)
    if not path.is_file():
        return False
    try:
        return not prediction.video.sha256 or prediction.video.sha256 == stored_sha256(path)
    except OSError:
        return False


def _moments(prediction: Prediction) -> dict[float, float]:
    """Return seconds -> frame number of what evidence is drawn at: ends of changes, frames, middles of snippets."""
    shown = sort_evidence(prediction)[:MOST]
    ends = {moment for e in shown for moment in (e.start, e.end)}
    alone = [e.start for e in shown if e.kind == "frame"]
    alone += [(e.start + e.end) / 2 for e in shown if e.kind == "snippet"]
    named = {moment: place_moment(prediction, moment) for moment in alone}
    return named | {p.time: p.frame for track in prediction.tracks for p in track.points if p.time in ends}


def write_illustrated(
    predictions: Sequence[Prediction], path: str | Path, videos: Sequence[Prediction] | None = None
) -> Path:
    """Write the report of these answers with all the pictures that their videos have.

    Args:
        predictions: The answers.
        path: Of the page.
        videos: The same answers with the paths under which their videos are read, where those are others.

    Raises:
        UserError: When the file cannot be written.
    """
    told_apart = _with_own_ids(predictions)
    frames: dict[tuple[str, float], bytes] = {}
    playing: dict[str, bytes] = {}
    for prediction, video in zip(told_apart, predictions if videos is None else videos, strict=True):
        for (_, number), data in stills([video]).items():
            frames[prediction.id, number] = data
        for data in loops([video]).values():
            playing[prediction.id] = data
    return write_report(told_apart, path, frames, playing)


def _with_own_ids(predictions: Sequence[Prediction]) -> list[Prediction]:
    """Return predictions of which no two have one id, by which pictures are known: what two models say of one video."""
    ids, seen = {p.id for p in predictions}, set[str]()
    out: list[Prediction] = []
    for p in predictions:
        if p.id in seen:
            free = next(id_ for id_ in (f"{p.id} ({number})" for number in count(2)) if id_ not in ids)
            ids.add(free)
            p = msgspec.structs.replace(p, id=free)
        seen.add(p.id)
        out.append(p)
    return out


def loops(predictions: Sequence[Prediction]) -> dict[str, bytes]:
    """Return WebP bytes by prediction id: the moment that decided, playing slowly, with its pair named in the picture.

    Answers without a video file, or without evidence that lies in time, have none.
    """
    from whyact.video.draw import Painter, resized
    from whyact.video.reader import VideoReader

    out: dict[str, bytes] = {}
    for prediction in predictions:
        deciding = find_deciding(prediction)
        times = [] if deciding is None else _loop_times(prediction, deciding)
        if deciding is None or not times or not _is_at_hand(prediction):
            continue
        named = {name for name in (deciding.subject, deciding.object) if name}
        try:
            with VideoReader(prediction.video.path) as reader:
                shown = list(reader.frames_at(times))
        except UserError:
            continue
        if len(shown) < 2:
            continue
        height, width = shown[0].image.shape[:2]
        scale = min(4.0, LOOP_WIDTH / width)
        size = (round(width * scale), max(1, round(height * scale)))
        painter = Painter(prediction, scale)
        frames = [resized(one.image, size) for one in shown]
        if named:
            frames = [painter.draw(time, frame, named) for time, frame in zip(times, frames, strict=True)]
        pauses = [_SLOW if deciding.start <= time <= deciding.end else _QUICK for time in times]
        found = _animation(frames, [*pauses[:-1], _LAST])
        if found is not None:
            out[prediction.id] = found
    return out


def _loop_times(prediction: Prediction, evidence: Evidence) -> list[float]:
    """Return the moments of a loop: a little before and after the evidence, a long one in fast motion."""
    if evidence.kind == "neighbour" or not (math.isfinite(evidence.start) and math.isfinite(evidence.end)):
        return []
    length, fps = prediction.video.duration, prediction.video.fps
    start = max(0.0, evidence.start - _AROUND)
    end = min(evidence.end + _AROUND, length if length > 0 else math.inf)
    if evidence.kind == "snippet":
        end = min(end, start + _LONGEST)
    frames = min(_FRAMES, int((end - start) * fps) + 1) if fps > 0 else 0
    return [start + (end - start) * i / max(frames, 1) for i in range(frames)] if frames > 1 else []


def _animation(frames: Sequence[Any], pauses: Sequence[int]) -> bytes | None:
    """Encode frames as an animated WebP of at most :data:`LOOP_BYTES`, in falling quality, then smaller."""
    from PIL import Image

    images: list[Image.Image] = [Image.fromarray(frame) for frame in frames]
    for quality, scale in ((70, 1.0), (50, 1.0), (40, 0.75), (30, 0.5)):
        sized = images
        if scale < 1:
            sized = [image.resize((round(image.width * scale), round(image.height * scale))) for image in images]
        buffer = io.BytesIO()
        first, *rest = sized
        first.save(buffer, "WEBP", save_all=True, append_images=rest, duration=list(pauses), loop=0, quality=quality)
        if buffer.tell() <= LOOP_BYTES:
            return buffer.getvalue()
    return None
