"""Read Action Genome's annotations off a state: the person's box and joints, and the relations to each thing.

Action Genome has no word for "is open"; here a thing that opens carries ``other_relationship`` while it
is open, and ``in`` says that a thing is in the cupboard.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whyact.homeworld.figures import elbow, shoulder
from whyact.homeworld.gaze import active_hand, looks_at
from whyact.homeworld.states import DOOR, IMAGE_SIZE, MOUTH, TOUCH, Thing, WorldState
from whyact.homeworld.vocabulary import CUPBOARD, KIND

Box = tuple[float, float, float, float]
_OPEN = 0.5  # as the world's own attribute says
JOINTS = 17  # nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles: the order of COCO


@dataclass(frozen=True)
class Relations:
    """The three lists of one thing, in Action Genome's words."""

    attention: tuple[str, ...]
    spatial: tuple[str, ...]
    contacting: tuple[str, ...]


def thing_box(thing: Thing) -> Box:
    """Return a thing's box, x1 y1 x2 y2 within the 640 x 480 image; a cupboard's open door belongs to it."""
    (x, y), (w, h) = thing.center, thing.size
    x0, x1 = x - w / 2, x + w / 2
    if thing.kind == CUPBOARD:
        out = DOOR * w * thing.openness
        x0, x1 = (x0 - out, x1) if thing.door < 0 else (x0, x1 + out)
    return _clipped(x0, y - h / 2, x1, y + h / 2)


def person_box(state: WorldState) -> Box:
    """Return the box of what is seen of the person: head, torso down to the table, arms and hands."""
    person = state.person
    body = person.head_size[0] / 56.0
    points = [_around(person.head, person.head_size)]
    x, y = person.torso
    w, h = person.torso_size
    points.append((x - w / 2, y - h / 2, x + w / 2, max(state.table, y - h / 2 + 1)))
    for hand in (0, 1):
        for (jx, jy), r in ((shoulder(person, hand), 17.5 * body), (elbow(person, hand), 13.5 * body)):
            points.append((jx - r, jy - r, jx + r, jy + r))
        if not person.hidden[hand]:
            points.append(_around(person.hands[hand], person.hand_size))
    low, high = np.min(points, axis=0)[:2], np.max(points, axis=0)[2:]
    return _clipped(low[0], low[1], high[0], high[1])


def joints(state: WorldState) -> NDArray[np.float32]:
    """Return COCO's 17 joints (17,3): x, y in 640 x 480 pixels, and 1 where seen, 0 where hidden."""
    person = state.person
    (hx, hy), (hw, hh) = person.head, person.head_size
    (tx, ty), (tw, th) = person.torso, person.torso_size
    out = np.zeros((JOINTS, 3), dtype=np.float32)
    face = ((0, 0.1), (0.18, -0.02), (-0.18, -0.02), (0.44, 0.04), (-0.44, 0.04))
    for i, (dx, dy) in enumerate(face):
        out[i] = hx + dx * hw, hy + dy * hh, 1
    for left in (1, 0):  # COCO names the person's left first; hand 1 is the left one
        hand, row = left, 1 - left
        out[5 + row] = *shoulder(person, hand), 1
        seen = 0 if person.hidden[hand] else 1
        out[7 + row] = *elbow(person, hand), seen
        out[9 + row] = *person.hands[hand], seen
        hip = ty + 0.45 * th
        out[11 + row] = tx + (0.3 if left else -0.3) * tw, hip, float(hip < state.table)
    return out


def relations(state: WorldState, thing: Thing) -> Relations:
    """Return what the person has to do with a thing that is seen."""
    return Relations(_attention(state, thing), _spatial(state, thing), _contacting(state, thing))


def touched(state: WorldState, thing: Thing) -> bool:
    """Return whether a hand that is seen lies on the thing."""
    x0, y0, x1, y1 = thing_box(thing)
    reach = 0.25 * state.person.hand_size[1]
    return any(
        not state.person.hidden[h] and x0 - reach <= x <= x1 + reach and y0 - reach <= y <= y1 + reach
        for h, (x, y) in enumerate(state.person.hands)
    )


def _attention(state: WorldState, thing: Thing) -> tuple[str, ...]:
    if looks_at(state, thing):
        return ("looking_at",)
    _, acts = active_hand(state)
    near = touched(state, thing) or bool(thing.held_by)
    return ("unsure",) if 0.3 < acts < 0.5 and near else ("not_looking_at",)


def _spatial(state: WorldState, thing: Thing) -> tuple[str, ...]:
    person = state.person
    out = []
    if thing.center[1] > state.table:
        out.append("beneath")
    elif thing.center[1] < person.head[1] - 0.5 * person.head_size[1]:
        out.append("above")
    beside = abs(thing.center[0] - person.torso[0]) > 0.75 * person.torso_size[0]
    out.append("on_the_side_of" if beside else "in_front_of")
    if thing.inside:
        out.append("in")
    return tuple(out)


def _contacting(state: WorldState, thing: Thing) -> tuple[str, ...]:
    kind = KIND[thing.kind]
    out = []
    if kind.meal and _at_mouth(state, thing):
        out.append("drinking_from" if kind.meal == "drink" else "eating")
    if thing.held_by:
        out.append("holding")
    elif touched(state, thing):
        turning = kind.opens and kind.movable and 0.02 < thing.openness < 0.98
        out.append("twisting" if turning else "touching")
    if not out:
        out.append("not_contacting")
    if kind.opens and thing.openness > _OPEN:
        out.append("other_relationship")
    return tuple(out)


def _at_mouth(state: WorldState, thing: Thing) -> bool:
    """As :meth:`~whyact.homeworld.states.WorldVideo.touches_mouth`, of one state."""
    head, height = state.person.head, state.person.head_size[1]
    dx = max(abs(thing.center[0] - head[0]) - thing.size[0] / 2, 0.0)
    dy = max(abs(thing.center[1] - head[1] - MOUTH * height) - thing.size[1] / 2, 0.0)
    return bool(np.hypot(dx, dy) <= TOUCH * height)


def _around(center: tuple[float, float], size: tuple[float, float]) -> Box:
    return center[0] - size[0] / 2, center[1] - size[1] / 2, center[0] + size[0] / 2, center[1] + size[1] / 2


def _clipped(x0: float, y0: float, x1: float, y1: float) -> Box:
    """Return the part in the image, at least a pixel wide and high."""
    w, h = IMAGE_SIZE
    a, b = min(max(x0, 0.0), w - 1.0), min(max(y0, 0.0), h - 1.0)
    return float(a), float(b), float(min(max(x1, a + 1.0), w)), float(min(max(y1, b + 1.0), h))
