"""Draw a state of the world as a picture: what is still is painted once a scene, what moves is put over it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from whyact.errors import UserError
from whyact.homeworld.backdrop import light_map, paint_backdrop
from whyact.homeworld.brush import taper
from whyact.homeworld.figures import body_sprite, draw_arm, elbow, hand_sprite, head_sprite
from whyact.homeworld.gaze import gaze
from whyact.homeworld.scenes import Scene
from whyact.homeworld.states import HANDS, IMAGE_SIZE, Thing, WorldState
from whyact.homeworld.things import shadow_sprite, thing_sprite
from whyact.homeworld.vocabulary import CUPBOARD

_FINER = 2  # the canvas is this much finer than the picture
_SHADOW = 6  # and the person's shadow this much coarser than the canvas


def render(state: WorldState, scene: Scene, size: tuple[int, int] = (320, 240)) -> NDArray[np.uint8]:
    """Draw a state in a scene.

    Args:
        state: What there is, in pixels of a 640 x 480 image as the scene's camera sees it
            (:func:`~whyact.homeworld.scenes.through_camera`).
        scene: The place and its light, lens and sensor.
        size: (width, height) of the picture, 4:3, at least 32 wide.

    Returns:
        (H,W,3) uint8 RGB; the same bytes for the same arguments.

    Raises:
        UserError: On another shape of picture.
    """
    if size[0] < 32 or abs(size[0] * IMAGE_SIZE[1] - size[1] * IMAGE_SIZE[0]) > IMAGE_SIZE[0]:
        raise UserError("size", f"{size[0]}x{size[1]}", "4:3 and at least 32x24, such as 320x240 or 640x480")
    still = _still(scene, round(state.table, 2), size)
    unit = _FINER * size[0] / IMAGE_SIZE[0]
    canvas = still.copy()
    _person_behind_table(canvas, state, scene, unit)
    edge = int(state.table * unit)
    if edge < canvas.height:
        canvas.paste(still.crop((0, max(edge, 0), canvas.width, canvas.height)), (0, max(edge, 0)))
    _shadows_on_table(canvas, state, scene, unit, max(edge, 0))
    _things_and_arms(canvas, state, scene, unit)
    return _develop(canvas, state.frame, scene, size)


@lru_cache(maxsize=12)
def _still(scene: Scene, table: float, size: tuple[int, int]) -> Image.Image:
    return paint_backdrop(scene, table, (size[0] * _FINER, size[1] * _FINER))


@lru_cache(maxsize=24)
def _light(scene: Scene, size: tuple[int, int]) -> Image.Image:
    return light_map(scene, size)


@lru_cache(maxsize=24)
def _noise(scene: Scene, size: tuple[int, int]) -> NDArray[np.int16]:
    """Draw sensor noise (H+64,W+64,3): mostly grey, a little coloured, correlated over neighbours as a sensor's is."""
    rng = np.random.default_rng((scene.seed, 79))
    shape = (size[1] + 64, size[0] + 64)
    grey = rng.standard_normal((*shape, 1))
    grey = grey + 0.5 * (np.roll(grey, 1, 0) + np.roll(grey, 1, 1))
    color = rng.standard_normal((*shape, 3))
    return np.rint(scene.noise * (0.7 * grey + 0.5 * color)).astype(np.int16)


def _develop(canvas: Image.Image, frame: int, scene: Scene, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Turn the finished canvas into what the camera records: light, lens, sensor."""
    image = ImageChops.multiply(canvas.reduce(_FINER), _light(scene, size))
    blur = scene.blur * size[0] / 320
    if blur > 0.1:
        image = image.filter(ImageFilter.BoxBlur(blur))
    noise = _noise(scene, size)
    y, x = frame * 29 % 64, frame * 47 % 61
    out = np.asarray(image, dtype=np.int16) + noise[y : y + size[1], x : x + size[0]]
    return np.clip(out, 0, 255, out=out).astype(np.uint8)


def _person_behind_table(canvas: Image.Image, state: WorldState, scene: Scene, unit: float) -> None:
    person = state.person
    body = body_sprite(person, scene, unit)
    head = head_sprite(person, scene, gaze(state), unit)
    _wall_shadow(canvas, state, scene, unit)
    body.put(canvas, person.torso[0] * unit, person.torso[1] * unit)
    for hand in (0, 1):
        if person.hidden[hand]:
            draw_arm(canvas, person, hand, scene, unit)
    head.put(canvas, person.head[0] * unit, person.head[1] * unit)


def _wall_shadow(canvas: Image.Image, state: WorldState, scene: Scene, unit: float) -> None:
    person = state.person
    k = unit / _SHADOW
    mask = Image.new("L", (canvas.width // _SHADOW, max(1, int(state.table * k))), 0)
    draw = ImageDraw.Draw(mask)
    dx, dy = -34 * scene.light[0], -16 * scene.light[1]
    (hw, hh), (tw, th) = person.head_size, person.torso_size
    hx, hy, tx, ty = person.head[0] + dx, person.head[1] + dy, person.torso[0] + dx, person.torso[1] + dy
    draw.ellipse([v * k for v in (hx - hw / 2, hy - hh / 2, hx + hw / 2, hy + hh / 2)], fill=96)
    draw.rounded_rectangle(
        [v * k for v in (tx - tw / 2, ty - th * 0.46, tx + tw / 2, ty + th * 1.4)], radius=tw * 0.2 * k, fill=96
    )
    mask = mask.filter(ImageFilter.GaussianBlur(6 * k))
    mask = mask.resize((canvas.width, mask.height * _SHADOW), Image.Resampling.BILINEAR)
    canvas.paste((10, 6, 14), (0, 0), mask)


def _shadows_on_table(canvas: Image.Image, state: WorldState, scene: Scene, unit: float, edge: int) -> None:
    """Darken the table under the arms and before the body."""
    person = state.person
    k = unit / _SHADOW
    mask = Image.new("L", (canvas.width // _SHADOW, max(1, (canvas.height - edge) // _SHADOW)), 0)
    draw = ImageDraw.Draw(mask)
    top = edge / unit
    body = person.head_size[0] / 56.0
    wide = person.torso_size[0]
    draw.ellipse(
        [v * k for v in (person.torso[0] - wide * 0.55, -16 * body, person.torso[0] + wide * 0.55, 17 * body)], fill=105
    )
    for hand in (0, 1):
        if person.hidden[hand]:
            continue
        joint, goal = elbow(person, hand), person.hands[hand]
        lift = max(0.0, state.table + 20 * body - goal[1])  # the higher the hand, the further and fainter its shadow
        dx, dy = -scene.light[0] * (12 + 0.3 * lift), 9 + 0.9 * lift - top
        value = int(np.clip(100 - 0.6 * lift, 0, 255))
        if value > 8:
            ends = [((x + dx) * k, (y + dy) * k) for x, y in (joint, goal)]
            taper(draw, ends[0], ends[1], 11 * body * k, 10 * body * k, value)
    mask = mask.filter(ImageFilter.GaussianBlur(4.5 * k))
    mask = mask.resize((canvas.width, canvas.height - edge), Image.Resampling.BILINEAR)
    canvas.paste((14, 8, 6), (0, edge), mask)


def _things_and_arms(canvas: Image.Image, state: WorldState, scene: Scene, unit: float) -> None:
    person = state.person
    cupboard = next((t for t in state.things if t.kind == CUPBOARD), None)
    standing = [t for t in state.things if t.visible and not t.held_by and not t.inside and t is not cupboard]
    inside = [t for t in state.things if t.visible and t.inside and not t.held_by]
    light = scene.light

    def put(thing: Thing, *, front: bool = False) -> None:
        sprite = thing_sprite(thing.kind, thing.size, thing.openness, thing.hue, thing.door, unit, light, front=front)
        sprite.put(canvas, thing.center[0] * unit, thing.center[1] * unit)

    if cupboard is not None:
        _foot_shadow(canvas, cupboard, unit, light)
        put(cupboard)
        for thing in sorted(inside, key=_foot):
            put(thing)
        put(cupboard, front=True)
    for thing in sorted(standing, key=_foot):
        _foot_shadow(canvas, thing, unit, light)
        put(thing)
    held = {h: [t for t in state.things if t.held_by == name] for h, name in enumerate(HANDS)}
    shown = [h for h in (0, 1) if not person.hidden[h]]
    for hand in sorted(shown, key=lambda h: person.hands[h][1]):
        x, y = person.hands[hand]
        side = (-1, 1)[hand]
        angle = draw_arm(canvas, person, hand, scene, unit)
        grip = bool(held[hand])
        hand_sprite(person, scene, angle, side, unit, grip=grip, front=False).put(canvas, x * unit, y * unit)
        for thing in held[hand]:
            if thing.visible:
                put(thing)
        if grip:
            hand_sprite(person, scene, angle, side, unit, grip=True, front=True).put(canvas, x * unit, y * unit)


def _foot(thing: Thing) -> float:
    return thing.center[1] + thing.size[1] / 2


def _foot_shadow(canvas: Image.Image, thing: Thing, unit: float, light: tuple[float, float]) -> None:
    sprite = shadow_sprite((round(thing.size[0], 1), 0.0), unit, light)
    sprite.put(canvas, thing.center[0] * unit, (_foot(thing) - 1.0) * unit)
