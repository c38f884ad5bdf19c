"""One frame as a drawing: boxes, and labels that do not cover each other. Units: pixels of the video."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

from whyact import wording
from whyact.errors import UserError
from whyact.prediction import Box, Evidence, Prediction, Track, TrackPoint

_SHOWN = (340.0, 420.0)  # CSS pixels that a drawing has on a phone: text is sized to be read there
_TEXT_PX = 13.0
_GLYPH = 0.6  # width of a letter by its height, on the wide side of system fonts
_MAX_LETTERS = 20
_MAX_SCENES = 4
_MAX_LABELS = 16

Rect = tuple[float, float, float, float]  # x, y, width, height


@dataclass(frozen=True)
class DrawnBox:
    """A box with its name; ``text_at`` is the left end of the label's base line, ``leader`` a line to a far label."""

    name: str
    role: str
    rect: Rect
    label: str
    text_at: tuple[float, float]
    leader: tuple[float, float, float, float] | None


@dataclass(frozen=True)
class Scene:
    """A drawing of one frame, ready for a template. ``still`` is a data URI or empty."""

    head: str
    when: str
    frame: int | None
    caption: str
    width: float
    height: float
    font: float
    boxes: list[DrawnBox]
    still: str
    title: str


def scenes(
    prediction: Prediction, evidence: Evidence | None, stills: Mapping[tuple[str, float], bytes] | None
) -> list[Scene]:
    """Draw what decided: the frames before and after a transition, both ends of a state, or the chosen frames.

    Returns an empty list where there is neither a box nor a still to draw.

    Raises:
        UserError: When a still is not a JPEG image.
    """
    pixels = stills or {}
    if evidence is None:
        return []
    if (track := track_of(prediction, evidence)) is not None and track.points:
        first = _nearest(track.points, evidence.start, evidence.from_state or evidence.label)
        last = _nearest(track.points, evidence.end, evidence.to_state or evidence.label)
        heads = ("Before", "After") if evidence.kind == "transition" else ("At the start", "At the end")
        if first is last:
            return [_draw(prediction, track, first, "The frame", pixels)]
        return [_draw(prediction, track, point, head, pixels) for point, head in zip((first, last), heads, strict=True)]
    chosen = [(place, e) for place, e in wording.number_evidence(prediction) if e.kind in ("frame", "snippet")]
    shown = [_plain_still(prediction, e, place, pixels) for place, e in chosen[:_MAX_SCENES]]
    return [scene for scene in shown if scene is not None]


def track_of(prediction: Prediction, evidence: Evidence) -> Track | None:
    """Return the track that a piece of evidence lies on: by slot, else by the names of its pair."""
    if evidence.track is not None:
        return next((t for t in prediction.tracks if t.slot == evidence.track), None)
    if not (evidence.subject or evidence.object):
        return None
    names = (evidence.subject, evidence.object)
    return next((t for t in prediction.tracks if (t.subject, t.object) == names), None)


def _nearest(points: list[TrackPoint], time: float, state: str) -> TrackPoint:
    named = [p for p in points if state and wording.format_label(p.label) == wording.format_label(state)]
    return min(named or points, key=lambda p: abs(p.time - time))


def _draw(
    prediction: Prediction, track: Track, point: TrackPoint, head: str, stills: Mapping[tuple[str, float], bytes]
) -> Scene:
    focus = [("subject", track.subject, point.subject_box), ("object", track.object, point.object_box)]
    if track.subject == track.object:
        focus = focus[1:]
    seen = {(name, _rounded(box)) for _, name, box in focus}
    others = []
    for other in prediction.tracks:
        for p in (p for p in other.points if p.frame == point.frame):
            for name, box in ((other.subject, p.subject_box), (other.object, p.object_box)):
                if (key := (name, _rounded(box))) not in seen:
                    seen.add(key)
                    others.append(("other", name, box))
    boxes = [item for item in [*focus, *others] if _visible(item[2])]
    unseen = [name for _, name, box in focus if not _visible(box)]
    width, height = _canvas(prediction, [box for *_, box in boxes])
    font = _TEXT_PX / min(_SHOWN[0] / width, _SHOWN[1] / height)
    state, when = (
        wording.format_label(point.label),
        wording.format_time(point.time, clock=wording.uses_clock(prediction)),
    )
    names = wording.list_pair(track.subject, track.object)
    caption = wording.format_relation(state, names[1]) if len(names) == 2 else state
    caption = f"{names[0]} {caption}" if caption and names else f"{' – '.join(names)}: {state}"
    caption += "".join(f"; {name} has no box here" for name in unseen)
    still = stills.get((prediction.id, point.frame))
    return Scene(
        head=head,
        when=when,
        frame=point.frame,
        caption=caption,
        width=width,
        height=height,
        font=round(font, 2),
        boxes=_label_boxes(boxes, width, height, font),
        still="" if still is None or not prediction.video.width else _data_uri(prediction, point.frame, still),
        title=f"{head}: frame {point.frame} at {when}, {caption}",
    )


def place_moment(prediction: Prediction, moment: float) -> float:
    """Return where a moment lies among the numbers of a video's frames, from 1, if they came evenly."""
    return 1 + (moment - prediction.video.start) * prediction.video.fps


def _plain_still(
    prediction: Prediction, evidence: Evidence, place: int, stills: Mapping[tuple[str, float], bytes]
) -> Scene | None:
    """Find the still nearest to a frame, or to the middle of a snippet, at most half a second away.

    Its number is not told: where frames do not come evenly, nothing but the film knows it.
    """
    fps, video = prediction.video.fps, prediction.video
    frames = [frame for name, frame in stills if name == prediction.id]
    moment = evidence.start if evidence.kind == "frame" else (evidence.start + evidence.end) / 2
    if not frames or fps <= 0 or not math.isfinite(moment):
        return None
    wanted = place_moment(prediction, moment)
    frame = min(frames, key=lambda number: abs(number - wanted))
    if abs(frame - wanted) > max(1.0, fps / 2):
        return None
    when, caption = (
        wording.format_span(evidence.start, evidence.end, clock=wording.uses_clock(prediction)),
        f"contribution {wording.format_contribution(evidence.contribution)}",
    )
    return Scene(
        head=f"Rank {place}",
        when=when,
        frame=None,
        caption=caption,
        width=float(video.width or 4),
        height=float(video.height or 3),
        font=1.0,
        boxes=[],
        still=_data_uri(prediction, frame, stills[prediction.id, frame]),
        title=f"The {evidence.kind} at {when}",
    )


def _data_uri(prediction: Prediction, frame: float, still: bytes) -> str:
    if not still.startswith(b"\xff\xd8\xff"):
        where = f"still of prediction {prediction.id!r}, frame {frame}"
        raise UserError(where, f"{len(still)} bytes", "the bytes of a JPEG image", "encode the frame as JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(still).decode("ascii")


def _canvas(prediction: Prediction, boxes: list[Box]) -> tuple[float, float]:
    """Return the video's size, or a size that holds all boxes where the video's is unknown."""
    if prediction.video.width > 0 and prediction.video.height > 0:
        return float(prediction.video.width), float(prediction.video.height)
    right = max((box[2] for box in boxes), default=0.0)
    bottom = max((box[3] for box in boxes), default=0.0)
    return (max(right * 1.05, 1.0), max(bottom * 1.05, 1.0)) if right > 0 and bottom > 0 else (640.0, 480.0)


def _visible(box: Box) -> bool:
    return all(map(math.isfinite, box)) and box[2] > box[0] and box[3] > box[1]


def _rounded(box: Box) -> tuple[float, ...]:
    return tuple(round(value) if math.isfinite(value) else 0.0 for value in box)


def _label_boxes(boxes: list[tuple[str, str, Box]], width: float, height: float, font: float) -> list[DrawnBox]:
    """Give each box a label inside the canvas that overlaps no other label; a box without room for one is not drawn.

    The pair that decided is placed first; later labels also keep off its two boxes where they can.
    """
    rects = [_inside(box, width, height) for *_, box in boxes]
    focus = [rect for (role, *_), rect in zip(boxes, rects, strict=True) if role != "other"]
    placed: list[Rect] = []
    drawn = []
    for (role, name, _), rect in zip(boxes, rects, strict=True):
        text = name if len(name) <= _MAX_LETTERS else name[: _MAX_LETTERS - 1] + "…"
        size = (min(len(text) * font * _GLYPH + font * 0.4, width), font * 1.3)
        spot = _spot(rect, size, placed, focus, (width, height)) if text and len(placed) < _MAX_LABELS else None
        if spot is None:
            continue
        placed.append(spot)
        at = (round(spot[0] + font * 0.2, 1), round(spot[1] + font * 0.98, 1))
        drawn.append(DrawnBox(name, role, rect, text, at, _leader(spot, rect, font)))
    return drawn[::-1]  # painted from the back: the deciding pair comes last


def _inside(box: Box, width: float, height: float) -> Rect:
    x0, x1 = sorted(min(max(x, 0.0), width) for x in (box[0], box[2]))
    y0, y1 = sorted(min(max(y, 0.0), height) for y in (box[1], box[3]))
    return round(x0, 1), round(y0, 1), round(x1 - x0, 1), round(y1 - y0, 1)


def _spot(
    rect: Rect, size: tuple[float, float], placed: list[Rect], focus: list[Rect], canvas: tuple[float, float]
) -> Rect | None:
    x, y, w, h = rect
    tw, th = size
    beside = [(x, y - th), (x, y + h), (x + w - tw, y - th), (x + w - tw, y + h), (x, y), (x + w, y), (x - tw, y)]
    rows, columns = max(int(canvas[1] // th), 1), 12
    far = product((canvas[0] * i / columns for i in range(columns)), (th * j for j in range(rows)))
    best, lowest = None, math.inf
    for order, (left, top) in enumerate([*beside, *far]):
        spot = (min(max(left, 0.0), canvas[0] - tw), min(max(top, 0.0), canvas[1] - th), tw, th)
        if spot[1] < -0.01 or any(_overlap(spot, other) > 0 for other in placed):
            continue
        near = order < len(beside)
        distance = math.dist((spot[0], spot[1] + th), (x, y)) if not near else order * 0.05 * th
        cost = distance + (0.0 if near else 2 * th) + 3 * sum(_overlap(spot, other) for other in focus) / th
        if cost < lowest:
            best, lowest = spot, cost
    return best


def _overlap(a: Rect, b: Rect) -> float:
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    high = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return wide * high if wide > 0 and high > 0 else 0.0


def _leader(spot: Rect, rect: Rect, font: float) -> tuple[float, float, float, float] | None:
    """Return a line from a label to its box when the label had to move away from it."""
    gap_x = max(rect[0] - spot[0] - spot[2], spot[0] - rect[0] - rect[2], 0.0)
    gap_y = max(rect[1] - spot[1] - spot[3], spot[1] - rect[1] - rect[3], 0.0)
    if math.hypot(gap_x, gap_y) < font * 0.5:
        return None
    start_y = spot[1] + spot[3] if spot[1] < rect[1] else spot[1]
    end_x = min(max(spot[0] + font, rect[0]), rect[0] + rect[2])
    end_y = rect[1] if spot[1] < rect[1] else rect[1] + rect[3]
    return round(spot[0] + font, 1), round(start_y, 1), round(end_x, 1), round(end_y, 1)
