"""What stands under the picture of an answered video: the action, its reasons as they are now, and a line of time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyact.prediction import Evidence, Prediction, Segment, TrackPoint
from whyact.sentences import explain_answer, find_effect, find_state, join_parts, summarize_answer
from whyact.video.lettering import Colour, canvas, draw_text, fitted, font, spelt, text_size, wrapped
from whyact.wording import find_deciding, format_change, format_headline, format_label, format_score, sort_evidence

REASONS = 3  # pairs that are followed
LEAST = 0.02  # contribution of a reason beside the first
_GROUND: Colour = (24, 26, 31)
_PALE: Colour = (150, 155, 165)
_WHITE: Colour = (255, 255, 255)
_ACCENT: Colour = (255, 138, 101)  # what decided
_RAIL: Colour = (70, 74, 84)


def reasons(prediction: Prediction, time: float) -> list[Evidence]:
    """Return the first piece of evidence of each of up to :data:`REASONS` pairs, in the order of the report.

    Where an answer has segments, these are the reasons of the one that a moment lies in.
    """
    segment = _segment(prediction, time)
    if prediction.segments and segment is None:
        return []
    best: dict[int, Evidence] = {}
    for item in (e for e in sort_evidence(prediction) if e.stated):
        inside = segment is None or (segment.start <= item.start and item.end <= segment.end + 1e-6)
        if item.track is not None and inside:
            best.setdefault(item.track, item)
    found = list(best.values())[:REASONS]
    return found[:1] + [item for item in found[1:] if item.contribution >= LEAST]


def describe_moment(prediction: Prediction, time: float) -> str:
    """Return the action of a moment with its score; nothing outside of an answer's segments, where it has some.

    How the answer is to be taken is said as everywhere: see :func:`whyact.sentences.summarize_answer`.
    """
    segment = _segment(prediction, time)
    if prediction.segments and segment is None:
        return ""
    if segment is None or find_state(prediction) != "sure":
        return "" if find_state(prediction) == "none" else summarize_answer(prediction)
    return f"{format_headline(segment.label)} {format_score(segment.score)}"


def _segment(prediction: Prediction, time: float) -> Segment | None:
    here = [s for s in prediction.segments if s.start <= time < s.end]
    return max(here, key=lambda s: s.score, default=None)


@dataclass(frozen=True)
class _Line:
    """A reason, and the labels of its pair over time."""

    reason: Evidence
    times: list[float]
    labels: list[str]

    def now(self, time: float) -> tuple[str, Colour]:
        """Return what is so at a moment, and the colour that says whether it is what decided."""
        e = self.reason
        if e.kind == "transition" and e.start <= time < e.end:
            return format_change(e), _ACCENT
        at = bisect_right(self.times, time + 1e-9) - 1
        return format_label(self.labels[max(at, 0)] if self.labels else e.to_state), _WHITE


class Panel:
    """The strip under the pictures of one answer.

    Args:
        prediction: The answer.
        width: Of the pictures.
        colours: Thing -> its colour in the pictures.
    """

    def __init__(self, prediction: Prediction, width: int, colours: Mapping[str, Colour]) -> None:
        self.prediction, self.width, self.colours = prediction, width, colours
        self.points: dict[int, list[TrackPoint]] = {}
        for track in prediction.tracks:  # tracks that are drawn beside those of the pairs come after them
            self.points.setdefault(track.slot, track.points)
        ends = [p[-1].time for p in self.points.values() if p] + [s.end for s in prediction.segments]
        self.length = max([prediction.video.duration, *ends, 1e-6])
        moments = [s.start for s in prediction.segments] or [0.0]
        self.rows = max(len(self._lines(moment)) for moment in moments)
        self.pad = max(4, width // 60)
        self.title, self.text = font(max(13, width // 26)), font(max(10, width // 40))
        _, draw = canvas(np.zeros((8, 8, 3), np.uint8))
        self.title_height = text_size(draw, "Ag", self.title)[1]
        self.text_height = text_size(draw, "Ag", self.text)[1]
        rows = self.title_height + self.rows * (self.pad + self.text_height)
        self.height = (rows + 4 * self.pad + 1) // 2 * 2  # even, as encoders want it

    def at(self, time: float) -> NDArray[np.uint8]:
        """Return the strip (h,W,3) of a moment."""
        image, draw = canvas(np.full((self.height, self.width, 3), _GROUND, np.uint8))
        room, y = self.width - 2 * self.pad, self.pad
        title = spelt(describe_moment(self.prediction, time))
        letters = self.title if text_size(draw, title, self.title)[0] <= room else self.text
        draw_text(draw, (self.pad, y), fitted(draw, title, letters, room), _WHITE, letters)
        y += self.title_height + self.pad
        lines = self._lines(time)
        for line in lines:
            self._line(draw, line, time, y)
            y += self.text_height + self.pad
        self._rail(draw, time, [line.reason for line in lines[:1]])
        return np.asarray(image)

    def _lines(self, time: float) -> list[_Line]:
        found = []
        for item in reasons(self.prediction, time):
            points = self.points.get(item.track if item.track is not None else -1, [])
            found.append(_Line(item, [p.time for p in points], [p.label for p in points]))
        return found

    def _line(self, draw: Any, line: _Line, time: float, y: int) -> None:
        e = line.reason
        now, colour = line.now(time)
        words = [(e.subject, self._shade(e.subject))]
        if e.object and e.object != e.subject:
            words += [("-", _PALE), (e.object, self._shade(e.object))]
        x = self.pad
        for text, shade in [*words, (now, colour)]:
            text = fitted(draw, spelt(text), self.text, self.width - self.pad - x)
            draw_text(draw, (x, y), text, shade, self.text)
            x += text_size(draw, text, self.text)[0] + self.pad * (2 if text == spelt(words[-1][0]) else 1) // 2

    def _shade(self, name: str) -> Colour:
        """Return a thing's colour, light enough to be read on the panel."""
        red, green, blue = ((2 * c + 255) // 3 if name in self.colours else c for c in self.colours.get(name, _PALE))
        return red, green, blue

    def _rail(self, draw: Any, time: float, deciding: list[Evidence]) -> None:
        """Draw the line of time: segments pale, what decided in its colour, and where we are."""
        left, right, y = self.pad, self.width - self.pad, self.height - self.pad - 2

        def x(seconds: float) -> float:
            return left + (right - left) * min(max(seconds / self.length, 0.0), 1.0)

        draw.rectangle((left, y - 1, right, y + 1), _RAIL)
        for segment in self.prediction.segments:
            draw.rectangle((x(segment.start), y - 1, x(segment.end), y + 1), _PALE)
        for item in deciding:
            draw.rectangle((x(item.start), y - 2, x(item.end), y + 2), _ACCENT)
        draw.rectangle((x(time) - 1, y - 5, x(time) + 1, y + 5), _WHITE)


def end_card(prediction: Prediction, width: int, height: int) -> NDArray[np.uint8] | None:
    """Return a picture (height,width,3): the answer, its reason, and the score with and without it; or nothing."""
    deciding = find_deciding(prediction)
    effect = None if deciding is None else find_effect(prediction, deciding)
    if effect is None:
        return None
    image, draw = canvas(np.full((height, width, 3), _GROUND, np.uint8))
    pad, title, text = max(6, width // 24), font(max(13, width // 22)), font(max(10, width // 40))
    room, y = width - 2 * pad, pad
    for line in wrapped(draw, spelt(summarize_answer(prediction)), title, room)[:2]:
        draw_text(draw, (pad, y), line, _WHITE, title)
        y += round(1.5 * text_size(draw, "Ag", title)[1])
    step = round(1.5 * text_size(draw, "Ag", text)[1])
    bars = 2 * step + 2 * pad
    for line in wrapped(draw, spelt(join_parts(explain_answer(prediction))), text, room):
        if y + step > height - bars:
            break
        draw_text(draw, (pad, y), line, _PALE, text)
        y += step
    left = pad + text_size(draw, "without it  ", text)[0]
    right = width - pad - text_size(draw, "  0.999+", text)[0]
    y = min(height - bars, y) + pad
    for name, score, colour in (("with it", effect[1], _WHITE), ("without it", effect[2], _ACCENT)):
        draw_text(draw, (pad, y), name, _PALE, text)
        draw.rectangle((left, y, right, y + step // 2), _RAIL)
        draw.rectangle((left, y, left + (right - left) * min(max(score, 0.0), 1.0), y + step // 2), colour)
        draw_text(draw, (right + pad // 3, y), format_score(score), _WHITE, text)
        y += step
    return np.asarray(image)
