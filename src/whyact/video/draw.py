"""Draw an answer into its video: boxes in track colours, the action and its reasons in a panel under the picture.

What the reasons are about is named; what the model dropped is thin and grey. Between two sampled frames boxes move in a
straight line, and labels are those of the nearer one.
"""

from __future__ import annotations

import colorsys
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from whyact.prediction import Box, Prediction, TrackPoint
from whyact.video.lettering import Colour, canvas, spelt, text_size
from whyact.video.lettering import font as lettering
from whyact.video.panel import Panel, reasons

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

Frame = NDArray[np.uint8]

GREY: Colour = (175, 175, 175)
_DARK: Colour = (20, 22, 26)
_LONGEST = 2.0  # seconds between two points of a track that a box is moved over, and at most
_STEPS = 4  # of the track's usual distance of points, or a thing that has gone would stay drawn
_MOST_LINES = 3  # captions of one box


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
    image, draw = canvas(frame)
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
    """Yield each frame (H+h,W,3) with the answer drawn into it, and a panel of h rows under it.

    Things that a reason of the moment is about have a thick box and their name; of the others, those that the model
    kept a token of are in colour. Where no evidence names a thing, all that is kept is named, with its relations.

    Args:
        frames: (seconds, frame (H,W,3) uint8 RGB) in the order of time, in the pixels of the tracks' boxes.
        prediction: The answer; without tracks there is only the panel.
    """
    scene, panel = _Scene(prediction), None
    for time, frame in frames:
        if panel is None or panel.width != frame.shape[1]:
            panel = Panel(prediction, frame.shape[1], scene.colours)
        named = {name for item in reasons(prediction, time) for name in (item.subject, item.object)}
        things = scene.at(time)
        if named:
            for thing in things:
                thing.said, thing.kept = [], thing.name in named
            things.sort(key=lambda thing: thing.kept)
        drawn = draw_boxes(
            frame,
            [thing.box for thing in things],
            [thing.caption for thing in things],
            [thing.colour for thing in things],
            [3 if thing.kept else 1 for thing in things],
        )
        yield np.concatenate([drawn, panel.at(time)])


def write_overlay(path: Path | str, frames: Iterable[tuple[float, Frame]], prediction: Prediction, fps: float) -> Path:
    """Write the frames with the answer drawn into them as a video file; see :func:`overlay`.

    A last odd row or column of pixels is left out: encoders want even sides.
    """
    from whyact.video.write import write_video

    even = (frame[: len(frame) // 2 * 2, : frame.shape[1] // 2 * 2] for frame in overlay(frames, prediction))
    return write_video(Path(path), even, fps)


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
        self.tracks = [_Points(track.points) for track in prediction.tracks]
        self.pairs = [(track.subject, track.object) for track in prediction.tracks]
        names = dict.fromkeys(name for track in prediction.tracks for name in (track.subject, track.object))
        self.colours = {name: track_colour(i) for i, name in enumerate(names)}

    def at(self, time: float) -> list[_Thing]:
        """Return the things of a moment, dropped ones first, so that kept ones lie over them."""
        things: dict[str, _Thing] = {}
        for points, (first, second) in zip(self.tracks, self.pairs, strict=True):
            found = points.at(time)
            if found is None:
                continue
            point, subject, thing = found
            for name, box in ((first, subject), (second, thing)):
                if box[2] > box[0] and box[3] > box[1]:
                    entry = things.setdefault(name, _Thing(box, GREY, name))
                    if point.kept:
                        entry.kept, entry.colour = True, self.colours[name]
            if point.kept and second in things:
                label = point.label
                things[second].said.append(f"{first}: {label}" if first != second else label)
        return sorted(things.values(), key=lambda thing: thing.kept)


class _Points:
    """The points of a track, found by their time."""

    def __init__(self, points: Sequence[TrackPoint]) -> None:
        self.points, self.times = points, [point.time for point in points]
        usual = float(np.median(np.diff(self.times))) if len(points) > 1 else _LONGEST
        self.longest = min(_LONGEST, _STEPS * usual)

    def at(self, time: float) -> tuple[TrackPoint, Box, Box] | None:
        """Return the nearer point, and both boxes moved to this time; nothing far from the track's points."""
        first, last = bisect_left(self.times, time), bisect_right(self.times, time)
        after = self.points[first] if first < len(self.times) else None
        before = self.points[last - 1] if last else None
        if before is None or after is None or after.time - before.time > self.longest:
            there = [p for p in (before, after) if p is not None and abs(p.time - time) <= self.longest / 2]
            point = min(there, key=lambda p: abs(p.time - time), default=None)
            return (point, point.subject_box, point.object_box) if point is not None else None
        gap = after.time - before.time
        share = (time - before.time) / gap if gap > 0 else 0.0
        point = before if share < 0.5 else after
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


def _caption(
    draw: ImageDraw,
    text: str,
    where: tuple[float, float, float],
    colour: Colour,
    size: tuple[int, ...],
    taken: list[tuple[float, float, float, float]],
) -> None:
    """Write a caption on its colour above a box, or below it, or as near as nothing is written yet."""
    text = spelt(text)
    width, height = size
    x, top, bottom = where
    font = lettering(max(10, round(max(width, height) / 45)))
    wide, tall = text_size(draw, text, font)
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
