"""The person: head with a face that looks somewhere, torso, arms by two-bone inverse kinematics, hands."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from whyact.homeworld.brush import RGB, Pen, Point, Sprite, darker, hsv, limb, mix
from whyact.homeworld.scenes import Scene
from whyact.homeworld.states import MOUTH, Person

_SKIN: tuple[RGB, ...] = ((240, 200, 172), (224, 178, 144), (198, 146, 110), (158, 106, 76), (112, 74, 54))
_HAIR: tuple[RGB, ...] = ((38, 28, 24), (84, 54, 34), (132, 86, 48), (194, 152, 92), (70, 66, 68), (122, 50, 30))
_BONE = 84.0  # length of the upper arm and of the forearm, room units


def skin_of(person: Person) -> RGB:
    """Return the skin colour, the same whenever the person appears."""
    return _SKIN[int(person.shirt_hue * 9973) % len(_SKIN)]


def shirt_of(person: Person, scene: Scene) -> RGB:
    """Return the shirt's colour: the scene's clothes, varied by the person."""
    hue, saturation, value = scene.clothes
    return hsv(hue + 0.22 * (person.shirt_hue - 0.5), saturation, value)


def body_sprite(person: Person, scene: Scene, unit: float) -> Sprite:
    """Return torso, neck and hips without arms, anchored at the torso's centre."""
    w, h = (round(v, 1) for v in person.torso_size)
    look = int(person.shirt_hue * 7919) % 3
    return _body(w, h, shirt_of(person, scene), skin_of(person), look, unit, scene.light)


@lru_cache(maxsize=64)
def _body(w: float, h: float, shirt: RGB, skin: RGB, look: int, unit: float, light: Point) -> Sprite:
    below = h * 0.62
    pen = Pen((-w / 2 - 2, -h * 0.5 - h * 0.14, w / 2 + 2, h / 2 + below), unit, light)
    trousers = mix((58, 64, 86), (92, 80, 66), look / 2)
    hips = [(-w * 0.36, h * 0.38), (w * 0.36, h * 0.38), (w * 0.4, h / 2 + below), (-w * 0.4, h / 2 + below)]
    pen.fill(pen.shape().polygon(hips), trousers, bulge=w * 0.1)
    top = -h / 2
    outline = [
        (-w * 0.13, top - h * 0.01), (w * 0.13, top - h * 0.01), (w * 0.36, top + h * 0.06), (w * 0.48, top + h * 0.16),
        (w * 0.49, top + h * 0.34), (w * 0.4, top + h * 0.5), (w * 0.39, h * 0.5),
        (-w * 0.39, h * 0.5), (-w * 0.4, top + h * 0.5), (-w * 0.49, top + h * 0.34), (-w * 0.48, top + h * 0.16),
        (-w * 0.36, top + h * 0.06),
    ]  # fmt: skip
    torso = pen.shape().polygon(outline).soft(w * 0.03)
    torso.image = torso.image.point(lambda v: min(255, max(0, (v - 96) * 4)))
    pen.fill(torso, shirt, bulge=w * 0.14, depth=0.8)
    marks = pen.shape()
    if look == 1:
        for i in range(7):
            marks.box(-w / 2, top + h * (0.24 + 0.11 * i), w / 2, top + h * (0.28 + 0.11 * i))
        pen.fill(marks.within(torso), darker(shirt, -0.4), opacity=0.7)
    elif look == 2:
        marks.line([(0, top + h * 0.16), (0, h * 0.5)], 1.6)
        pen.fill(marks, darker(shirt, 0.35))
        buttons = pen.shape()
        for i in range(5):
            buttons.ellipse(w * 0.03, top + h * (0.26 + 0.15 * i), 1.9, 1.9)
        pen.fill(buttons, darker(shirt, -0.6), bulge=0.6)
    folds = pen.shape()
    for side in (-1, 1):
        folds.line([(side * w * 0.4, top + h * 0.36), (side * w * 0.22, top + h * 0.46)], 2.0)
        folds.line([(side * w * 0.37, h * 0.34), (side * w * 0.12, h * 0.4)], 2.4)
    pen.fill(folds.soft(1.8), darker(shirt, 0.55), opacity=0.8)
    neck = pen.shape().box(-w * 0.1, top - h * 0.14, w * 0.1, top + h * 0.05, w * 0.08)
    pen.fill(neck.ellipse(0, top + h * 0.03, w * 0.13, h * 0.06), darker(skin, 0.1), bulge=w * 0.05)
    shade = pen.shape().ellipse(0, top - h * 0.06, w * 0.13, h * 0.05).soft(2.0).within(neck)
    pen.fill(shade, darker(skin, 0.55), opacity=0.7)
    collar = pen.shape().arc(0, top + h * 0.0, w * 0.15, h * 0.1, 10, 170, w * 0.035)
    pen.fill(collar, darker(shirt, 0.22 if look else -0.3), bulge=1.4)
    return pen.sprite()


def head_sprite(person: Person, scene: Scene, look: Point, unit: float) -> Sprite:
    """Return the head turned to where the eyes look (-1 to 1 each), anchored at its centre."""
    w, h = (round(v, 1) for v in person.head_size)
    turn = round(look[0] * 6) / 6, round(look[1] * 4) / 4
    hair = _HAIR[int(person.shirt_hue * 6101) % len(_HAIR)]
    return _head(w, h, turn, skin_of(person), hair, int(person.shirt_hue * 4219) % 3, unit, scene.light)


@lru_cache(maxsize=256)
def _head(w: float, h: float, turn: Point, skin: RGB, hair: RGB, style: int, unit: float, light: Point) -> Sprite:
    pen = Pen((-w / 2, -h / 2, w / 2, h / 2), unit, light)
    tx, ty = turn[0] * w * 0.13, turn[1] * h * 0.07
    if style == 1:  # long hair behind
        pen.fill(pen.shape().box(-w * 0.49, -h * 0.3, w * 0.49, h * 0.46, w * 0.3), darker(hair, 0.2), bulge=4)
    ears = pen.shape().ellipse(-w * 0.44 - tx * 0.3, h * 0.04 + ty * 0.3, w * 0.06, h * 0.09)
    ears.ellipse(w * 0.44 - tx * 0.3, h * 0.04 + ty * 0.3, w * 0.06, h * 0.09)
    pen.fill(ears, darker(skin, 0.1), bulge=1.2)
    face = pen.shape().ellipse(0, -h * 0.06, w * 0.43, h * 0.42).ellipse(tx * 0.3, h * 0.14, w * 0.36, h * 0.355)
    pen.fill(face, skin, bulge=w * 0.16, depth=0.7)
    eye = -h * 0.02 + ty
    for side in (-1, 1):
        x = side * w * 0.18 + tx
        pen.fill(pen.shape().ellipse(x, h * 0.16 + ty, w * 0.1, h * 0.06).soft(2.0), (224, 96, 84), opacity=0.28)
        pen.fill(pen.shape().ellipse(x, eye, w * 0.085, h * 0.043), (252, 250, 246))
        px, py = x + turn[0] * w * 0.042, eye + turn[1] * h * 0.02
        pen.fill(pen.shape().ellipse(px, py, w * 0.047, h * 0.04), (66, 46, 34))
        pen.fill(pen.shape().ellipse(px, py, w * 0.023, h * 0.019), (12, 10, 10))
        pen.fill(pen.shape().ellipse(px - w * 0.014, py - h * 0.012, w * 0.011, h * 0.009), (255, 255, 255))
        lid = pen.shape().arc(x, eye + h * 0.008, w * 0.095, h * 0.056, 190, 350, h * 0.018)
        pen.fill(lid, darker(skin, 0.62))
        brow = [(x - w * 0.09, eye - h * 0.088), (x, eye - h * 0.11), (x + w * 0.09, eye - h * 0.088)]
        pen.fill(pen.shape().line(brow, h * 0.022), darker(hair, 0.1))
    nose = [(tx * 1.25, eye + h * 0.02), (tx * 1.45 + w * 0.035, h * 0.13 + ty), (tx * 1.45 - w * 0.03, h * 0.14 + ty)]
    pen.fill(pen.shape().line(nose, h * 0.02).soft(0.6), darker(skin, 0.36), opacity=0.75)
    lips = pen.shape().ellipse(tx, MOUTH * h + ty * 0.4, w * 0.125, h * 0.026)
    pen.fill(lips, mix(skin, (186, 62, 66), 0.65), bulge=1.0)
    smile = pen.shape().arc(tx, MOUTH * h - h * 0.045 + ty * 0.4, w * 0.15, h * 0.05, 20, 160, h * 0.014)
    pen.fill(smile, darker(skin, 0.6), opacity=0.85)
    chin = pen.shape().arc(tx * 0.6, h * 0.33, w * 0.12, h * 0.05, 30, 150, h * 0.012).soft(0.6)
    pen.fill(chin, darker(skin, 0.4), opacity=0.5)
    crown = pen.shape().ellipse(0, -h * 0.2, w * 0.47, h * 0.3)
    cut = pen.shape().box(-w / 2, -h / 2, w / 2, -h * 0.17 + ty * 0.5)
    if style == 2:  # a parting
        fringe = [(-w * 0.46, -h * 0.3), (-w * 0.2, -h * 0.26), (w * 0.12, -h * 0.18), (w * 0.4, -h * 0.02)]
        cut = pen.shape().polygon([(-w / 2, -h / 2), *fringe, (w / 2, 0), (w / 2, -h / 2)])
    pen.fill(crown.within(cut), hair, bulge=w * 0.08, gloss=0.25)
    sides = pen.shape()
    long = {0: 0.0, 1: 0.42, 2: 0.06}[style] * h
    for side in (-1, 1):
        sides.box(side * w * 0.43 - w * 0.06, -h * 0.26, side * w * 0.43 + w * 0.06, long, w * 0.05)
    pen.fill(sides, hair, bulge=1.6)
    return pen.sprite()


def shoulder(person: Person, hand: int) -> Point:
    """Return the shoulder on a hand's side, in room units."""
    side = (-1, 1)[hand]
    w, h = person.torso_size
    return person.torso[0] + side * w * 0.4, person.torso[1] - h * 0.5 + h * 0.17


def elbow(person: Person, hand: int) -> Point:
    """Return the elbow between shoulder and hand, by the two-bone rule, pointing out and down.

    Seen from the front an arm looks shorter the more it points at the viewer, so both bones shrink
    with the distance to bridge, and stretch where it is longer than the arm.
    """
    a, goal, side = shoulder(person, hand), person.hands[hand], (-1, 1)[hand]
    bone = _BONE * person.head_size[0] / 56.0
    dx, dy = goal[0] - a[0], goal[1] - a[1]
    far = max(float(np.hypot(dx, dy)), 1e-6)
    length = max(0.505 * far, min(bone, 0.5 * far + 0.28 * bone))
    bend = float(np.sqrt(max(length**2 - far**2 / 4, 0.0)))
    nx, ny = -dy / far, dx / far
    if nx * side * 0.9 + ny * 0.5 < 0:
        nx, ny = -nx, -ny
    return a[0] + dx / 2 + nx * bend, a[1] + dy / 2 + ny * bend


def draw_arm(canvas: Image.Image, person: Person, hand: int, scene: Scene, unit: float) -> float:
    """Draw an arm from the shoulder to the wrist and return the forearm's angle (radians, y down)."""
    body = person.head_size[0] / 56.0
    start, joint, goal = shoulder(person, hand), elbow(person, hand), person.hands[hand]
    angle = float(np.arctan2(goal[1] - joint[1], goal[0] - joint[0]))
    back = 0.22 * person.hand_size[0]
    wrist = (goal[0] - back * np.cos(angle), goal[1] - back * np.sin(angle))
    draw = ImageDraw.Draw(canvas)
    shirt, skin = shirt_of(person, scene), skin_of(person)

    def px(p: Point) -> Point:
        return p[0] * unit, p[1] * unit

    r = body * unit
    limb(draw, px(joint), px(wrist), 13.0 * r, 8.4 * r, shirt if scene.sleeves else skin, scene.light)
    limb(draw, px(start), px(joint), 17.5 * r, 13.2 * r, shirt, scene.light)
    if scene.sleeves:
        cuff = (goal[0] - 1.35 * back * np.cos(angle), goal[1] - 1.35 * back * np.sin(angle))
        limb(draw, px(cuff), px(wrist), 9.0 * r, 8.8 * r, darker(shirt, 0.22), scene.light)
    return angle


def hand_sprite(
    person: Person, scene: Scene, angle: float, side: int, unit: float, *, grip: bool, front: bool
) -> Sprite:
    """Return a hand in its box, anchored at the hand's centre.

    Args:
        person: Whose hand it is.
        scene: For the light.
        angle: Of the forearm, radians, y down.
        side: -1 the hand at the left of the image, 1 at the right.
        unit: Canvas pixels a room unit.
        grip: Whether it holds something.
        front: Of a grip, the fingers that lie in front of the thing; else what is behind it.
    """
    w, h = (round(v, 1) for v in person.hand_size)
    turn = round(angle / (np.pi / 12)) % 24
    return _hand(w, h, turn, side, skin_of(person), unit, scene.light, grip, front)


@lru_cache(maxsize=256)
def _hand(
    w: float, h: float, turn: int, side: int, skin: RGB, unit: float, light: Point, grip: bool, front: bool
) -> Sprite:
    pen = Pen((-w / 2, -h / 2, w / 2, h / 2), unit, light, finer=3)
    if grip:
        _gripping(pen, w, h, side, skin, front=front)
        return pen.sprite()
    angle = turn * np.pi / 12
    # The hand is drawn along the forearm and squeezed into its box, which does not turn.
    ux, uy = float(np.cos(angle)), float(np.sin(angle))
    reach = min(w / 2 / max(abs(ux), 0.35), h / 2 / max(abs(uy), 0.35)) * 0.98
    wide = h * 0.3

    def at(along: float, across: float) -> Point:
        x, y = ux * along * reach - uy * across * wide, uy * along * reach + ux * across * wide
        return float(np.clip(x, -w / 2 + 2.4, w / 2 - 2.4)), float(np.clip(y, -h / 2 + 2.4, h / 2 - 2.4))

    inner = 1 if side * ux + 0.35 * (1 if uy * side > 0 else -1) > 0 else -1
    thumb = pen.shape().line([at(-0.42, 0.6 * inner), at(-0.05, 1.25 * inner), at(0.25, 1.2 * inner)], h * 0.16)
    pen.fill(thumb, darker(skin, 0.08), bulge=1.6)
    for i, (far, across) in enumerate(((0.82, 0.78), (0.98, 0.28), (0.95, -0.26), (0.76, -0.8))):
        finger = pen.shape().line([at(0.1, across * inner * 0.85), at(far, across * inner)], h * 0.155)
        pen.fill(finger, darker(skin, 0.03 * i), bulge=1.5, depth=1.0)
    palm = pen.shape().line([at(-0.62, 0.3), at(-0.62, -0.3)], h * 0.34).line([at(-0.4, 0.0), at(0.1, 0.0)], h * 0.62)
    pen.fill(palm, skin, bulge=4.0, depth=0.8)
    knuckles = pen.shape()
    for across in (0.68, 0.23, -0.23, -0.68):
        knuckles.ellipse(*at(0.2, across), 1.3, 1.1)
    pen.fill(knuckles.soft(0.4), darker(skin, 0.3), opacity=0.5)
    return pen.sprite()


def _gripping(pen: Pen, w: float, h: float, side: int, skin: RGB, *, front: bool) -> None:
    """Draw a hand round a thing that lies towards the body: palm outside, fingertips on its front."""
    out = side * w
    if not front:
        palm = pen.shape().box(*sorted_box(out * 0.06, -h * 0.4, out * 0.5, h * 0.42), h * 0.3)
        pen.fill(palm, darker(skin, 0.1), bulge=4.0)
        thumb = pen.shape().line([(out * 0.3, -h * 0.3), (-out * 0.12, -h * 0.4)], h * 0.17)
        pen.fill(thumb, darker(skin, 0.04), bulge=2.0)
        return
    for i in range(4):
        y = -h * 0.27 + i * h * 0.21
        tip = out * (0.08, 0.02, 0.05, 0.13)[i]
        finger = pen.shape().line([(out * 0.38, y + h * 0.02 * (i - 1)), (tip, y)], h * 0.185)
        pen.fill(finger, darker(skin, 0.02 * i), bulge=1.8, depth=1.1)
        pen.fill(pen.shape().ellipse(tip, y, h * 0.05, h * 0.045), mix(skin, (255, 226, 220), 0.5))


def sorted_box(x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
    """Return the rectangle with its edges in order."""
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)
