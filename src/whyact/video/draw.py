"""Draw an answer into its video: boxes in track colours, named relations as captions, the action as a banner.

What the model kept is bright, what it dropped thin and grey. Between two sampled frames boxes move in a
straight line, and labels are those of the nearer one.
"""

from __future__ import annotations

import colorsys
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whyact.prediction import Box, Prediction, Track, TrackPoint

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

Frame = NDArray[np.uint8]
Colour = tuple[int, int, int]

GREY: Colour = (175, 175, 175)
_DARK: Colour = (20, 22, 26)
_LONGEST = 2.0  # seconds between two points of a track that a box is moved over
_MOST_LINES = 3  # captions of one box
_SPELT = str.maketrans({"→": "->", "–": "-", "—": "-", "…": "...", "_": " ", "\u00a0": " "})  # not in Pillow's own font


def track_colour(index: int) -> Colour:
    """Return a bright colour, far from those of the indices before it (steps of the golden ratio in hue)."""
    red, green, blue = colorsys.hsv_to_rgb((0.07 + index * 0.618034) % 1.0, 0.72, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


def draw_boxes(
    frame: Frame,
    boxes: Sequence[Box] | NDArray[np.floating],
    captions: Sequence[str],
    colours: Sequence[Colour],
    widths: Sequence[int] | None = None,
) -> Frame:
    """Return a copy of a frame (H,W,3) with boxes and captions; later boxes lie over earlier ones.

    Args:
        frame: uint8 RGB.
        boxes: (N,4) xyxy pixels.
        captions: N texts, lines separated by a newline; empty for none.
        colours: N colours.
        widths: N line widths in 1/500 of the frame's longer side; 2 by default.

    Raises:
        ValueError: When these are not equally many.
    """
    widths = [2] * len(boxes) if widths is None else widths
    if not len(boxes) == len(captions) == len(colours) == len(widths):
        raise ValueError(f"{len(boxes)} boxes, {len(captions)} captions, {len(colours)} colours, {len(widths)} widths")
    image, draw = _canvas(frame)
    unit = max(frame.shape[:2]) / 500
    for box, colour, width in zip(boxes, colours, widths, strict=True):
        x1, y1, x2, y2 = (float(v) for v in box)
        draw.rectangle((min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)), None, colour, max(1, round(width * unit)))
    taken: list[tuple[float, float, float, float]] = []
    for box, caption, colour in zip(boxes, captions, colours, strict=True):
        if caption:
            _caption(draw, caption, (float(box[0]), float(box[1]), float(box[3])), colour, frame.shape[1::-1], taken)
    return np.asarray(image)


def overlay(frames: Iterable[tuple[float, Frame]], prediction: Prediction) -> Iterator[Frame]:
    """Yield each frame with the answer drawn into it.

    Args:
        frames: (seconds, frame (H,W,3) uint8 RGB) in the order of time, in the pixels of the tracks' boxes.
        prediction: The answer; without tracks only the banner is drawn.
    """
    scene = _Scene(prediction)
    for time, frame in frames:
        things = scene.at(time)
        drawn = draw_boxes(
            frame,
            [thing.box for thing in things],
            [thing.caption for thing in things],
            [thing.colour for thing in things],
            [3 if thing.kept else 1 for thing in things],
        )
        yield draw_banner(drawn, *banner(prediction, time))


def write_overlay(path: Path | str, frames: Iterable[tuple[float, Frame]], prediction: Prediction, fps: float) -> Path:
    """Write the frames with the answer drawn into them as a video file; see :func:`overlay`.

    A last odd row or column of pixels is left out: encoders want even sides.
    """
    from whyact.video.write import write_video

    even = (frame[: len(frame) // 2 * 2, : frame.shape[1] // 2 * 2] for frame in overlay(frames, prediction))
    return write_video(Path(path), even, fps)


def banner(prediction: Prediction, time: float) -> tuple[str, str]:
    """Return what stands above a moment: the action with its score, and the transitions that happen now.

    Where an answer has segments, nothing is said outside of them.
    """
    here = [s for s in prediction.segments if s.start <= time < s.end]
    if prediction.segments and not here:
        return "", ""
    best = max(here, key=lambda s: s.score, default=None)
    label, score = (best.label, best.score) if best else (prediction.label, prediction.score)
    doubt = "unsure: " if prediction.unsure else ""
    now = [e.text for e in prediction.evidence if e.kind == "transition" and e.start <= time < e.end]
    return (f"{doubt}{label}  {score:.0%}" if label else ""), "   ".join(now[:2])


def draw_banner(frame: Frame, title: str, detail: str = "") -> Frame:
    """Return a copy of a frame with a dark strip at its top that says the action, and under it why."""
    if not title and not detail:
        return frame
    title, detail = title.translate(_SPELT), detail.translate(_SPELT)
    _, draw = _canvas(frame)
    height, width = frame.shape[:2]
    lines = [(title, _font(max(12, round(height / 20)))), (detail, _font(max(10, round(height / 28))))]
    pad = max(3, height // 80)
    y = pad
    tall = 2 * pad + sum(_text_size(draw, text, font)[1] + pad for text, font in lines if text)
    strip = frame.copy()
    strip[:tall] = strip[:tall] // 4 + np.array(_DARK, np.uint8)
    image, draw = _canvas(strip)
    for text, font in lines:
        if text:
            fitted = _fitted(draw, text, font, width - 4 * pad)
            draw.text((2 * pad, y), fitted, (255, 255, 255), font=font)
            y += _text_size(draw, text, font)[1] + pad
    return np.asarray(image)


@dataclass
class _Thing:
    """One named thing at one moment."""

    box: Box
    colour: Colour
    name: str
    kept: bool = False
    said: list[str] = field(default_factory=list)

    @property
    def caption(self) -> str:
        return "\n".join([self.name, *self.said[:_MOST_LINES]]) if self.kept else ""


class _Scene:
    """What is where at any moment, read off the tracks of an answer. A thing that is in many pairs is drawn once."""

    def __init__(self, prediction: Prediction) -> None:
        self.tracks = [(track, [point.time for point in track.points]) for track in prediction.tracks]
        names = dict.fromkeys(name for track in prediction.tracks for name in (track.subject, track.object))
        self.colours = {name: track_colour(i) for i, name in enumerate(names)}

    def at(self, time: float) -> list[_Thing]:
        """Return the things of a moment, dropped ones first, so that kept ones lie over them."""
        things: dict[str, _Thing] = {}
        for track, times in self.tracks:
            found = _moment(track, times, time)
            if found is None:
                continue
            point, subject, thing = found
            for name, box in ((track.subject, subject), (track.object, thing)):
                if box[2] > box[0] and box[3] > box[1]:
                    entry = things.setdefault(name, _Thing(box, GREY, name))
                    if point.kept:
                        entry.kept, entry.colour = True, self.colours[name]
            if point.kept and track.object in things:
                label = point.label
                pair = track.subject != track.object
                things[track.object].said.append(f"{track.subject}: {label}" if pair else label)
        return sorted(things.values(), key=lambda thing: thing.kept)


def _moment(track: Track, times: Sequence[float], time: float) -> tuple[TrackPoint, Box, Box] | None:
    """Return the nearer point, and both boxes moved to this time; nothing far from the track's points."""
    first, last = bisect_left(times, time), bisect_right(times, time)
    after = track.points[first] if first < len(times) else None
    before = track.points[last - 1] if last else None
    if before is None or after is None:
        point = before or after
        near = point is not None and abs(point.time - time) <= _LONGEST / 2
        return (point, point.subject_box, point.object_box) if point is not None and near else None
    gap = after.time - before.time
    share = (time - before.time) / gap if gap > 0 else 0.0
    point = before if share < 0.5 else after
    if gap > _LONGEST:
        return (point, point.subject_box, point.object_box) if abs(point.time - time) <= _LONGEST / 2 else None
    return (
        point,
        _between(before.subject_box, after.subject_box, share),
        _between(before.object_box, after.object_box, share),
    )


def _between(a: Box, b: Box, share: float) -> Box:
    if not (a[2] > a[0] and b[2] > b[0]):  # a box that is not there comes and goes with its own point
        return a if share < 0.5 else b
    x1, y1, x2, y2 = (p + (q - p) * share for p, q in zip(a, b, strict=True))
    return x1, y1, x2, y2


def _canvas(frame: Frame) -> tuple[Any, ImageDraw]:
    from PIL import Image, ImageDraw

    image = Image.fromarray(frame)
    return image, ImageDraw.Draw(image)


@lru_cache(maxsize=16)
def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _text_size(draw: ImageDraw, text: str, font: Any) -> tuple[int, int]:
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    return round(right - min(left, 0)), round(bottom - min(top, 0))


def _fitted(draw: ImageDraw, text: str, font: Any, width: float) -> str:
    """Return the text cut to a width, with dots where something is missing."""
    while len(text) > 3 and _text_size(draw, text, font)[0] > width:
        text = text[:-4].rstrip() + "..."
    return text


def _caption(
    draw: ImageDraw,
    text: str,
    where: tuple[float, float, float],
    colour: Colour,
    size: tuple[int, ...],
    taken: list[tuple[float, float, float, float]],
) -> None:
    """Write a caption on its colour above a box, or below it, or as near as nothing is written yet."""
    text = text.translate(_SPELT)
    width, height = size
    x, top, bottom = where
    font = _font(max(10, round(max(width, height) / 45)))
    wide, tall = _text_size(draw, text, font)
    x = min(max(x, 0), max(width - wide - 4, 0))
    lines = sorted(range(0, max(int(height - tall - 4), 0), max(4, int(tall) // 4)), key=lambda y: abs(y - top))
    places = [top - tall - 4, bottom, top, *lines]
    free = (y for y in places if 0 <= y <= height - tall - 4 and not _hits((x, y, x + wide + 4, y + tall + 4), taken))
    y = next(free, min(max(places[0], 0), max(height - tall - 4, 0)))
    area = (x, y, x + wide + 4, y + tall + 4)
    taken.append(area)
    draw.rectangle(area, colour)
    bright = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2] > 110
    draw.text((x + 2, y + 1), text, _DARK if bright else (255, 255, 255), font=font)


def _hits(a: tuple[float, float, float, float], others: list[tuple[float, float, float, float]]) -> bool:
    return any(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3] for b in others)
