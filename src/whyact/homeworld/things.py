"""What every kind of thing looks like: a sprite that fills the thing's box, lit from the scene's side."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from whyact.homeworld.brush import RGB, Pen, Point, Sprite, darker, hsv, mix
from whyact.homeworld.states import DOOR, INTERIOR
from whyact.homeworld.vocabulary import CUPBOARD, KIND

_STEPS = 20  # openness is drawn in this many steps


def thing_sprite(
    kind: str, size: Point, openness: float, hue: float, door: int, unit: float, light: Point, *, front: bool = False
) -> Sprite:
    """Return a thing's picture, anchored at its centre; equal arguments share one picture.

    ``size`` in room units as in the state; ``unit`` canvas pixels a room unit. Of a cupboard, ``front``
    asks for its frame and door, which hide what is in it, and the rest is what lies behind.
    """
    moves = KIND[kind].opens and (kind != CUPBOARD or front)
    step = round(openness * _STEPS) / _STEPS if moves else 1.0
    return _sprite(kind, (round(size[0], 1), round(size[1], 1)), step, hue, door, unit, light, front)


@lru_cache(maxsize=512)
def _sprite(
    kind: str, size: Point, openness: float, hue: float, door: int, unit: float, light: Point, front: bool
) -> Sprite:
    w, h = size
    wide = w * (0.5 + DOOR) + 1 if kind == CUPBOARD else w / 2
    pen = Pen((-wide, -h / 2, wide, h / 2), unit, light, finer=2 if kind == CUPBOARD else 3)
    if kind == CUPBOARD:
        (_cupboard_front if front else _cupboard_back)(pen, w, h, openness, hue, door)
    else:
        _PAINTERS[kind](pen, w, h, openness, hue)
    return pen.sprite()


@lru_cache(maxsize=128)
def shadow_sprite(size: Point, unit: float, light: Point, strength: int = 120) -> Sprite:
    """Return the soft shadow of something that stands on the table, anchored at the middle of its foot."""
    w = size[0]
    deep = min(0.16 * w + 5, 13.0)
    reach = w * 0.75 + 12
    pen = Pen((-reach, -deep * 2, reach, deep * 2), unit, light, finer=1)
    away = -light[0] * w * 0.2
    shape = pen.shape().ellipse(away, 0, w * 0.54, deep * 0.7, strength).soft(3.4)
    pen.fill(shape, (14, 8, 6))
    contact = pen.shape().ellipse(0, 0, w * 0.46, 3.0, strength).soft(1.4)
    pen.fill(contact, (14, 8, 6))
    return pen.sprite()


def _mug(pen: Pen, w: float, h: float, _: float, hue: float) -> None:
    color = hsv(hue, 0.62, 0.88)
    x0, x1, top, bottom = -w / 2, w * 0.22, -h / 2, h / 2
    mid, rx, ry = (x0 + x1) / 2, (x1 - x0) / 2, h * 0.12
    pen.fill(pen.shape().arc(x1 - 1, 0.02 * h, w * 0.28, h * 0.27, -95, 95, w * 0.11), darker(color, 0.12), bulge=1.2)
    body = pen.shape().box(x0, top + ry, x1, bottom - ry * 0.6).ellipse(mid, bottom - ry, rx, ry)
    pen.fill(body.ellipse(mid, top + ry, rx, ry), color, bulge=w * 0.16, gloss=0.5)
    pen.fill(pen.shape().box(x0, h * 0.08, x1, h * 0.2), darker(color, -0.55), bulge=0, opacity=0.85)
    pen.fill(pen.shape().ellipse(mid, top + ry, rx, ry), darker(color, -0.35))
    pen.fill(pen.shape().ellipse(mid, top + ry, rx * 0.86, ry * 0.72), (58, 34, 22))


def _bottle(pen: Pen, w: float, h: float, openness: float, hue: float) -> None:
    glass = hsv(0.28 + 0.3 * hue, 0.7, 0.6)
    tall = h / (1.08 - 0.08 * openness)  # without the cap
    top, bottom, r = h / 2 - tall, h / 2, w / 2
    neck = w * 0.2
    y = top + tall * 0.3
    outline = pen.shape().box(-neck, top, neck, y + 2).box(-r, y + r * 0.7, r, bottom, radius=w * 0.16)
    outline.ellipse(0, y + r * 0.8, r, r * 0.95)
    pen.fill(outline, glass, bulge=w * 0.15, gloss=1.0, depth=1.0)
    pen.fill(pen.shape().box(-r, top + tall * 0.55, r, top + tall * 0.84), (240, 234, 214), bulge=w * 0.13, depth=0.5)
    pen.fill(pen.shape().ellipse(0, top + tall * 0.695, w * 0.2, w * 0.2), hsv(hue + 0.5, 0.75, 0.8))
    pen.fill(pen.shape().line([(-r * 0.62, y + r), (-r * 0.62, bottom - 5)], w * 0.07), (255, 255, 255), opacity=0.4)
    pen.fill(pen.shape().box(-neck * 1.25, top, neck * 1.25, top + 2.2), darker(glass, -0.2))
    cap = hsv(hue + 0.5, 0.8, 0.86)
    if openness < 0.5:
        pen.fill(pen.shape().box(-neck * 1.5, -h / 2, neck * 1.5, top + tall * 0.07, 1.5), cap, bulge=1.6, gloss=0.5)
    else:
        pen.fill(pen.shape().ellipse(0, top + 1.2, neck, 1.6), (20, 24, 20))
        pen.fill(pen.shape().ellipse(r * 0.5, bottom - 3, neck * 1.25, 2.9), cap, bulge=1.0, gloss=0.5)


def _jar(pen: Pen, w: float, h: float, openness: float, hue: float) -> None:
    tall = h / (1.08 - 0.08 * openness)
    top, bottom, r = h / 2 - tall, h / 2, w / 2
    filling = hsv(0.02 + 0.13 * hue, 0.8, 0.78)
    pen.fill(
        pen.shape().box(-r, top + tall * 0.12, r, bottom, radius=w * 0.2), (196, 214, 216), bulge=w * 0.12, gloss=1
    )
    pen.fill(
        pen.shape().box(-r * 0.88, top + tall * 0.36, r * 0.88, bottom - 2, w * 0.16),
        filling,
        bulge=w * 0.14,
        gloss=0.6,
    )
    grain = pen.shape()
    for i in range(14):
        grain.ellipse(r * 0.7 * np.sin(5.1 * i), top + tall * (0.45 + 0.45 * ((i * 0.381) % 1)), w * 0.06, w * 0.05)
    pen.fill(grain, darker(filling, -0.3), opacity=0.6)
    pen.fill(pen.shape().box(-r * 0.7, top + tall * 0.5, r * 0.7, top + tall * 0.76, 2), (250, 246, 232))
    writing = pen.shape()
    for i, width in enumerate((0.45, 0.3)):
        writing.line([(-r * width, top + tall * (0.58 + 0.1 * i)), (r * width, top + tall * (0.58 + 0.1 * i))], 1.6)
    pen.fill(writing, (70, 60, 60))
    lid = hsv(hue, 0.7, 0.75)
    if openness < 0.5:
        pen.fill(pen.shape().box(-r * 0.96, -h / 2, r * 0.96, top + tall * 0.15, 2.5), lid, bulge=3, gloss=0.6)
        ribs = pen.shape()
        for i in range(-3, 4):
            ribs.line([(i * r * 0.25, -h / 2 + 3), (i * r * 0.25, top + tall * 0.13)], 0.8)
        pen.fill(ribs, darker(lid, 0.4), opacity=0.6)
    else:
        pen.fill(pen.shape().box(-r * 0.85, top, r * 0.85, top + tall * 0.16, 2), (206, 222, 224), bulge=2, gloss=1)
        pen.fill(pen.shape().ellipse(0, top + 2.4, r * 0.8, 2.4), (70, 62, 58))
        pen.fill(pen.shape().ellipse(r * 0.28, bottom - 4.4, r * 0.72, 4.4), lid, bulge=1.6, gloss=0.6)


def _sandwich(pen: Pen, w: float, h: float, _: float, hue: float) -> None:
    crust = mix((206, 148, 82), (176, 118, 66), hue)
    r = w / 2
    pen.fill(pen.shape().box(-r, h * 0.16, r, h / 2, h * 0.16), crust, bulge=3)
    leaf = pen.shape()
    for i in range(6):
        leaf.ellipse(-r + (i + 0.5) * w / 6, h * 0.12 + (i % 2) * 2, w / 11, h * 0.13)
    pen.fill(leaf, (96, 168, 62), bulge=1.4)
    pen.fill(pen.shape().box(-r * 0.93, -h * 0.04, r * 0.93, h * 0.1, 2), (214, 66, 52), bulge=1.2)
    cheese = [(-r * 0.95, -h * 0.12), (r * 0.95, -h * 0.12), (r * 0.8, 0.0), (r * 0.5, h * 0.1), (r * 0.1, 0.0)]
    pen.fill(pen.shape().polygon([*cheese, (-r * 0.35, h * 0.12), (-r * 0.75, 0.0)]), (248, 200, 70), bulge=0.8)
    top = pen.shape().box(-r, -h * 0.3, r, -h * 0.05, h * 0.12).ellipse(0, -h * 0.24, r * 0.97, h * 0.26)
    pen.fill(top, crust, bulge=4, gloss=0.3)
    crumbs = pen.shape()
    for i in range(9):
        crumbs.ellipse(r * 0.75 * np.sin(2.4 * i), -h * (0.18 + 0.2 * ((i * 0.618) % 1)), 1.1, 0.7)
    pen.fill(crumbs, (244, 222, 172))


def _pear(pen: Pen, w: float, h: float, _: float, hue: float) -> None:
    color = hsv(0.16 + 0.1 * hue, 0.72, 0.84)
    body = pen.shape().ellipse(0, h * 0.2, w / 2, h * 0.3).ellipse(0, -h * 0.12, w * 0.28, h * 0.24)
    body.polygon([(-w * 0.28, -h * 0.12), (w * 0.28, -h * 0.12), (w * 0.46, h * 0.12), (-w * 0.46, h * 0.12)])
    pen.fill(body, color, bulge=w * 0.2, gloss=0.7, depth=1.1)
    pen.fill(pen.shape().ellipse(w * 0.2, h * 0.22, w * 0.16, h * 0.16).soft(2.5), (214, 92, 52), opacity=0.55)
    pen.fill(pen.shape().line([(0, -h * 0.32), (w * 0.06, -h * 0.48)], 2.2), (96, 62, 34))
    leaf = [(w * 0.05, -h * 0.38), (w * 0.22, -h * 0.5), (w * 0.42, -h * 0.44), (w * 0.24, -h * 0.34)]
    pen.fill(pen.shape().polygon(leaf), (70, 138, 48), bulge=1)


def _book(pen: Pen, w: float, h: float, _: float, hue: float) -> None:
    color = hsv(hue, 0.66, 0.62)
    x0, x1, y0, y1 = -w / 2, w / 2, -h / 2, h / 2
    d = h * 0.12
    pen.fill(pen.shape().box(x0, y0 + d, x1, y1, 2), darker(color, 0.45))  # the back cover
    pen.fill(pen.shape().box(x0 + 2, y1 - d * 1.6, x1 - 1, y1 - d * 0.35), (244, 236, 214))  # the pages
    leaves = pen.shape()
    for i in range(3):
        leaves.line([(x0 + 2, y1 - d * (0.6 + 0.3 * i)), (x1 - 1, y1 - d * (0.6 + 0.3 * i))], 0.5)
    pen.fill(leaves, (176, 160, 130))
    pen.fill(pen.shape().box(x0, y0, x1, y1 - d * 1.3, 2), color, bulge=1.6, depth=0.7)
    pen.fill(pen.shape().box(x0, y0, x0 + w * 0.13, y1 - d * 1.3, 2), darker(color, 0.28), bulge=1.4)
    gold = (236, 204, 120)
    frame = pen.shape().box(x0 + w * 0.24, y0 + h * 0.16, x1 - w * 0.12, y0 + h * 0.3, 1)
    frame.box(x0 + w * 0.34, y0 + h * 0.38, x1 - w * 0.22, y0 + h * 0.43)
    pen.fill(frame.ellipse(x0 + w * 0.56, y0 + h * 0.6, h * 0.085, h * 0.085), gold, bulge=0.6)


def _phone(pen: Pen, w: float, h: float, _: float, hue: float) -> None:
    x0, x1, y0, y1 = -w / 2, w / 2, -h / 2, h / 2
    pen.fill(pen.shape().box(x0, y0, x1, y1, w * 0.17), (34, 36, 42), bulge=1.4, gloss=0.6)
    sky = hsv(0.52 + 0.35 * hue, 0.5, 0.95)
    pen.fill(pen.shape().box(x0 + w * 0.08, y0 + h * 0.07, x1 - w * 0.08, y1 - h * 0.07, w * 0.08), sky)
    for i in range(6):
        x, y = x0 + w * (0.27 + 0.23 * (i % 3)), y0 + h * (0.42 + 0.17 * (i // 3))
        icon = pen.shape().box(x - w * 0.08, y - w * 0.08, x + w * 0.08, y + w * 0.08, w * 0.03)
        pen.fill(icon, hsv(0.17 * i + hue, 0.7, 0.95))
    pen.fill(pen.shape().box(x0 + w * 0.3, y0 + h * 0.16, x1 - w * 0.3, y0 + h * 0.24, 1), (255, 255, 255))
    pen.fill(pen.shape().box(-w * 0.14, y0 + h * 0.03, w * 0.14, y0 + h * 0.05), (80, 84, 90))
    glare = [(x0 + w * 0.55, y0 + h * 0.07), (x1 - w * 0.08, y0 + h * 0.07), (x1 - w * 0.08, y0 + h * 0.4)]
    pen.fill(pen.shape().polygon(glare), (255, 255, 255), opacity=0.22)


def _laptop(pen: Pen, w: float, h: float, openness: float, hue: float) -> None:
    shut = KIND["laptop"].closed_height
    full = h / (shut + (1 - shut) * openness)
    deck = full * shut
    metal = hsv(0.6, 0.05, 0.78 - 0.15 * hue)
    x0, x1, back, bottom = -w / 2, w / 2, h / 2 - deck, h / 2
    inset = w * 0.09
    if openness > 0.06:
        lid = [(x0 + inset, -h / 2), (x1 - inset, -h / 2), (x1 - inset, back + 2), (x0 + inset, back + 2)]
        pen.fill(pen.shape().polygon(lid), darker(metal, 0.72), bulge=0.8)
        glow = openness * 1.0
        e = w * 0.03
        y0, y1 = -h / 2 + e * openness, back - e * 0.6 * openness
        if y1 - y0 > 2:
            screen = pen.shape().box(x0 + inset + e, y0, x1 - inset - e, y1)
            pen.fill(screen, mix((30, 34, 44), hsv(0.55 + 0.2 * hue, 0.45, 0.95), glow))
            t = y1 - y0
            page = pen.shape().box(x0 + inset + 3 * e, y0 + 0.14 * t, 0.05 * w, y1 - 0.14 * t)
            pen.fill(page, (250, 250, 252), opacity=glow)
            rows = pen.shape()
            for i in range(4):
                y = y0 + t * (0.26 + 0.15 * i)
                rows.line([(x0 + inset + 4.4 * e, y), ((-0.06 + 0.02 * (i % 3)) * w, y)], 0.05 * t)
            pen.fill(rows, (120, 130, 150), opacity=glow)
            bars = pen.shape()
            for i, tall in enumerate((0.3, 0.5, 0.42, 0.62)):
                x = w * (0.12 + 0.06 * i)
                bars.box(x, y1 - t * (0.14 + tall), x + 0.04 * w, y1 - 0.14 * t)
            pen.fill(bars, hsv(0.08 + hue, 0.7, 0.95), opacity=glow)
    base = [(x0 + inset, back), (x1 - inset, back), (x1, bottom - 3), (x1, bottom), (x0, bottom), (x0, bottom - 3)]
    pen.fill(pen.shape().polygon(base), metal, bulge=1.6, depth=0.6)
    pen.fill(pen.shape().box(x0, bottom - 3, x1, bottom, 1.2), darker(metal, 0.35))
    if openness > 0.35:
        for row in range(3):
            y = back + deck * (0.14 + 0.17 * row)
            spread = 0.5 - inset / w * (1 - (y - back) / deck)
            keys = pen.shape()
            for i in range(11):
                x = (-0.84 + 0.168 * i) * spread * w
                keys.box(x - 0.07 * spread * w, y, x + 0.07 * spread * w, y + deck * 0.12)
            pen.fill(keys, (46, 48, 56))
        pen.fill(pen.shape().box(-w * 0.11, back + deck * 0.68, w * 0.11, back + deck * 0.82, 1), darker(metal, 0.15))
    else:
        top = [
            (x0 + inset * 1.2, back + 1),
            (x1 - inset * 1.2, back + 1),
            (x1 - 2, bottom - 3.6),
            (x0 + 2, bottom - 3.6),
        ]
        pen.fill(pen.shape().polygon(top), darker(metal, 0.08), bulge=1.2, gloss=0.4)
        pen.fill(pen.shape().ellipse(0, back + deck * 0.42, w * 0.05, deck * 0.14), darker(metal, -0.45))


def _timber(pen: Pen, hue: float) -> NDArray[np.float32]:
    """Return a wood grain (H,W) around 1 for the pen's sheet."""
    return _grain(pen.image.size, round(hue, 3))


@lru_cache(maxsize=16)
def _grain(size: tuple[int, int], hue: float) -> NDArray[np.float32]:
    w, h = size
    x, y = np.linspace(0, 1, w, dtype=np.float32)[None], np.linspace(0, 1, h, dtype=np.float32)[:, None]
    wave = np.sin(x * 60 + 3 * np.sin(y * 5 + 9 * hue) + hue * 40) * np.sin(x * 23 + y * 2)
    return np.asarray(1 + 0.06 * wave, dtype=np.float32)


def _cupboard_color(hue: float) -> RGB:
    return hsv(0.05 + 0.06 * hue, 0.5, 0.66 + 0.14 * hue)


def _cupboard_back(pen: Pen, w: float, h: float, openness: float, hue: float, door: int) -> None:
    color = _cupboard_color(hue)
    x0, x1, y0, y1 = -w / 2, w / 2, -h / 2, h / 2
    pen.fill(pen.shape().box(x0, y0, x1, y1, 2), color, texture=_timber(pen, hue), bulge=2, depth=0.5)
    ix, iy = w * INTERIOR / 2 + w * 0.03, h * INTERIOR / 2 + h * 0.03
    pen.fill(pen.shape().box(-ix, -iy, ix, iy), darker(color, 0.5), texture=_timber(pen, hue + 0.5))
    dim = pen.shape().box(-ix, -iy, ix, -iy + h * 0.12).box(-ix, 0.02 * h, ix, 0.1 * h)
    edge = pen.shape().box(-ix, -iy, -ix + w * 0.06, iy).box(ix - w * 0.06, -iy, ix, iy)
    inner = pen.shape().box(-ix, -iy, ix, iy)
    pen.fill(dim.soft(3).within(inner), (16, 9, 6), opacity=0.6)
    pen.fill(edge.soft(2.5).within(inner), (16, 9, 6), opacity=0.5)
    pen.fill(pen.shape().box(-ix, -0.012 * h, ix, 0.024 * h), darker(color, 0.18), bulge=1.2)


def _cupboard_front(pen: Pen, w: float, h: float, openness: float, hue: float, door: int) -> None:
    color = darker(_cupboard_color(hue), -0.06)
    hinge, free = door * 0.5 * w, door * (-0.5 + (1.0 + DOOR) * openness) * w
    swing = np.sin(np.pi * min(openness, 1.0)) * 0.5 + 0.5 * openness
    near, far = h * (0.455 + 0.045 * swing), h * 0.455
    panel = [(hinge, -far), (free, -near), (free, near), (hinge, far)]
    shade = 0.34 * swing if door * pen.light[0] > 0 else 0.16 * swing
    pen.fill(pen.shape().polygon(panel), darker(color, shade), texture=_timber(pen, hue + 0.3), bulge=1.8, depth=0.6)

    def at(u: float, v: float) -> Point:
        return hinge + u * (free - hinge), v * (far + u * (near - far))

    groove = [at(0.14, -0.86), at(0.86, -0.86), at(0.86, 0.86), at(0.14, 0.86)]
    pen.fill(pen.shape().line([*groove, groove[0]], 1.6), darker(color, 0.45), opacity=0.8)
    inset = [at(0.17, -0.83), at(0.83, -0.83), at(0.83, 0.83), at(0.17, 0.83)]
    pen.fill(pen.shape().polygon(inset), darker(color, shade - 0.08), texture=_timber(pen, hue + 0.8), bulge=1.2)
    if openness < 0.6:
        pen.fill(pen.shape().ellipse(*at(0.93, 0.0), 3.2, 4.0), (226, 190, 96), bulge=1.4, gloss=1.0)
    else:
        pen.fill(pen.shape().ellipse(*at(0.97, 0.0), 1.8, 4.0), (226, 190, 96), bulge=1.0, gloss=1.0)


_PAINTERS: dict[str, Callable[[Pen, float, float, float, float], None]] = {
    "mug": _mug,
    "bottle": _bottle,
    "jar": _jar,
    "sandwich": _sandwich,
    "pear": _pear,
    "book": _book,
    "phone": _phone,
    "laptop": _laptop,
}
