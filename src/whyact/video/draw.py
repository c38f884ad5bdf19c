"""Draw an answer into its video: named boxes in the colours of the report, the action and its reasons in a panel below.

Between two sampled frames boxes move in a straight line, and labels are those of the nearer one.
"""

from __future__ import annotations

import colorsys
import math
from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from whyact.prediction import Box, Prediction, TrackPoint
from whyact.video.lettering import Colour, canvas, spelt, text_size
from whyact.video.lettering import font as lettering
from whyact.video.panel import Panel, end_card, reasons
from whyact.wording import assign_hues, find_deciding, format_label

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

Frame = NDArray[np.uint8]

GREY: Colour = (175, 175, 175)
_DARK: Colour = (20, 22, 26)
_LONGEST = 2.0  # seconds between two points of a track that a box is moved over, and at most
_STEPS = 4  # of the track's usual distance of points, or a thing that has gone would stay drawn
_MOST_LINES = 3  # captions of one box
_LIGHTNESS, _CHROMA = 0.82, 0.13  # of colours on pictures, as in the report's style
_TRAIL_SECONDS, _TRAIL_STEPS = 1.0, 12
_READABLE, _LARGEST = 640, 4.0  # pixels that a picture is enlarged to, and by how much at most
_SLOWER, _SLOW_SECONDS, _AROUND = 3, 3.0, 0.3  # how often a frame of the moment is shown; its seconds; those around it
_CARD_SECONDS = 2.5


def track_colour(index: int) -> Colour:
    """Return a bright colour, far from those of the indices before it (steps of the golden ratio in hue)."""
    red, green, blue = colorsys.hsv_to_rgb((0.07 + index * 0.618034) % 1.0, 0.72, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


def hue_colour(hue: float) -> Colour:
    """Return the sRGB colour of a hue (degrees) as the report's pages show it on pictures: OKLCH, light and clear."""
    a, b = (_CHROMA * f(math.radians(hue)) for f in (math.cos, math.sin))
    mixed = np.array([[0.3963377774, 0.2158037573], [-0.1055613458, -0.0638541728], [-0.0894841775, -1.2914855480]])
    cones = (_LIGHTNESS + mixed @ (a, b)) ** 3
    to_rgb = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = np.clip(to_rgb @ cones, 0.0, 1.0)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    red, green, blue = (round(255 * float(x)) for x in encoded)
    return red, green, blue


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
    for box, caption, colour in list(zip(boxes, captions, colours, strict=True))[::-1]:  # the upper ones choose first
        if caption:
            _caption(draw, caption, (float(box[0]), float(box[1]), float(box[3])), colour, frame.shape[1::-1], taken)
    return np.asarray(image)


def overlay(frames: Iterable[tuple[float, Frame]], prediction: Prediction, scale: float = 1.0) -> Iterator[Frame]:
    """Yield each frame (H+h,W,3) with the answer drawn into it, and a panel of h rows under it.

    Where a reason of the moment names things, these are drawn with their names and the trail of their way; where none
    does, everything that is followed is drawn and named, in colour where the model kept a token of it.

    Args:
        frames: (seconds, frame (H,W,3) uint8 RGB) in the order of time.
        prediction: The answer; without tracks there is only the panel.
        scale: Pixels of a frame for one of the tracks' boxes.
    """
    painter, panel = Painter(prediction, scale), None
    for time, frame in frames:
        if panel is None or panel.width != frame.shape[1]:
            panel = Panel(prediction, frame.shape[1], painter.colours)
        named = {name for item in reasons(prediction, time) for name in (item.subject, item.object) if name}
        yield np.concatenate([painter.draw(time, frame, named), panel.at(time)])


def write_overlay(path: Path | str, frames: Iterable[tuple[float, Frame]], prediction: Prediction, fps: float) -> Path:
    """Write the frames with the answer drawn into them as a video file; see :func:`overlay`.

    The moment that decided plays slowly, and the video ends on a card with the score with and without it. Small
    pictures are enlarged, so that what is written on them can be read; encoders want even sides.
    """
    from whyact.video.write import write_video

    return write_video(Path(path), _film(frames, prediction, fps), fps)


def _film(frames: Iterable[tuple[float, Frame]], prediction: Prediction, fps: float) -> Iterator[Frame]:
    first = next(iterator := iter(frames), None)
    if first is None:
        return
    height, width = first[1].shape[:2]
    scale = min(_LARGEST, max(1.0, _READABLE / width))
    size = (round(width * scale) // 2 * 2, round(height * scale) // 2 * 2)
    slow = slow_span(prediction)
    times: list[float] = []

    def sized() -> Iterator[tuple[float, Frame]]:
        for time, frame in chain([first], iterator):
            times.append(time)
            yield time, resized(frame, size)

    drawn = None
    for drawn in overlay(sized(), prediction, scale):
        repeat = _SLOWER if slow is not None and slow[0] <= times[-1] <= slow[1] else 1
        for _ in range(repeat):
            yield drawn
    card = None if drawn is None else end_card(prediction, drawn.shape[1], drawn.shape[0])
    if card is not None:
        for _ in range(max(1, round(_CARD_SECONDS * fps))):
            yield card


def slow_span(prediction: Prediction) -> tuple[float, float] | None:
    """Return the seconds that play slowly: what decided, with a little around it, where that is short."""
    deciding = find_deciding(prediction)
    if deciding is None or deciding.kind == "neighbour" or not 0 <= deciding.end - deciding.start <= _SLOW_SECONDS:
        return None
    return deciding.start - _AROUND, deciding.end + _AROUND


def resized(frame: Frame, size: tuple[int, int]) -> Frame:
    """Return a frame in another (width, height)."""
    if frame.shape[1::-1] == size:
        return frame
    from PIL import Image

    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC))


class Painter:
    """Draws the things of an answer into frames: boxes, names and trails, in the colours of its report.

    Args:
        prediction: The answer.
        scale: Pixels of a frame for one of the tracks' boxes.
    """

    def __init__(self, prediction: Prediction, scale: float = 1.0) -> None:
        self.colours = {name: hue_colour(hue) for name, hue in assign_hues(prediction).items()}
        self._scene, self._scale = _Scene(prediction, self.colours), scale

    def draw(self, time: float, frame: Frame, named: Container[str] = ()) -> Frame:
        """Return a frame with the ``named`` things of a moment drawn in, or with all where none of those is there."""
        things = self._scene.at(time)
        chosen = [thing for thing in things if thing.name in named]
        for thing in chosen:
            thing.said, thing.kept, thing.colour = [], True, self.colours[thing.name]
        shown = chosen or things
        drawn = draw_boxes(
            frame,
            [_scaled(thing.box, self._scale) for thing in shown],
            [thing.caption for thing in shown],
            [thing.colour for thing in shown],
            [3 if thing.kept else 1 for thing in shown],
        )
        return self._trails(drawn, time, [thing.name for thing in chosen])

    def _trails(self, frame: Frame, time: float, names: Sequence[str]) -> Frame:
        """Draw the way that things took in the last second."""
        ways = [(name, self._scene.trail(name, time)) for name in names]
        if not any(len(way) > 1 for _, way in ways):
            return frame
        image, draw = canvas(frame)
        for name, way in ways:
            points = [(x * self._scale, y * self._scale) for x, y in way]
            if len(points) > 1:
                draw.line(points, self.colours[name], max(1, round(max(frame.shape[:2]) / 400)), "curve")
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
        return "\n".join([self.name, *self.said[:_MOST_LINES]])


class _Scene:
    """What is where at any moment, read off the tracks of an answer. A thing that is in many pairs is drawn once."""

    def __init__(self, prediction: Prediction, colours: Mapping[str, Colour]) -> None:
        self.tracks = [_Points(track.points) for track in prediction.tracks]
        self.pairs = [(track.subject, track.object) for track in prediction.tracks]
        self.colours = colours

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
                label = format_label(point.label)
                things[second].said.append(f"{first}: {label}" if first != second else label)
        return sorted(things.values(), key=lambda thing: thing.kept)

    def trail(self, name: str, time: float) -> list[tuple[float, float]]:
        """Return the middles (x, y) of a thing's boxes over the last second, the newest last."""
        way: list[tuple[float, float]] = []
        for step in range(_TRAIL_STEPS, -1, -1):
            moment = time - _TRAIL_SECONDS * step / _TRAIL_STEPS
            for points, pair in zip(self.tracks, self.pairs, strict=True):
                found = points.at(moment) if name in pair and moment >= 0 else None
                if found is not None:
                    box = found[1] if pair[0] == name else found[2]
                    if box[2] > box[0]:
                        way.append(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2))
                        break
        return way


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


def _scaled(box: Box, scale: float) -> Box:
    x1, y1, x2, y2 = (value * scale for value in box)
    return x1, y1, x2, y2


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
