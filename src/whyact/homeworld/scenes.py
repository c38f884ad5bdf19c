"""Ten places in which the household world can be filmed: colours, light, camera, sensor and clothes.

A :class:`Scene` is drawn from its name and a seed. It changes how a state looks, and through its camera
where things are in the image; it never changes what happens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np

from whyact.errors import UserError
from whyact.homeworld.brush import RGB, hsv
from whyact.homeworld.states import IMAGE_SIZE, WorldVideo


@dataclass(frozen=True)
class _Look:
    """What is typical of a place: colours as (hue, saturation, value), and ranges to draw from."""

    wall: tuple[float, float, float]
    pattern: str
    wood: tuple[float, float, float]
    floor: tuple[float, float, float]
    decor: tuple[str, ...]
    warmth: float  # -1 cold to 1 warm light
    bright: float
    noise: float
    blur: float
    clothes: tuple[float, float, float]
    sleeves: bool


# Named with the scene strings of Charades, so that its reader and its scene folds work on this world.
_LOOKS: dict[str, _Look] = {
    "Basement (A room below the ground floor)": _Look(
        (0.08, 0.12, 0.62), "brick", (0.07, 0.5, 0.45), (0.1, 0.08, 0.4), ("pipes", "shelf", "clock"),
        0.5, 0.82, 5.0, 0.55, (0.6, 0.35, 0.45), True),
    "Bathroom": _Look(
        (0.5, 0.18, 0.9), "tiles", (0.1, 0.12, 0.88), (0.55, 0.1, 0.6), ("mirror", "towel", "plant"),
        -0.4, 1.0, 2.0, 0.3, (0.92, 0.3, 0.9), False),
    "Bedroom": _Look(
        (0.72, 0.16, 0.86), "dots", (0.07, 0.45, 0.62), (0.09, 0.3, 0.55), ("window", "lamp", "picture"),
        0.25, 0.95, 2.5, 0.4, (0.55, 0.3, 0.85), True),
    "Dining room": _Look(
        (0.02, 0.42, 0.66), "stripes", (0.05, 0.62, 0.42), (0.07, 0.45, 0.45), ("cabinet", "picture", "pendant"),
        0.6, 0.92, 3.0, 0.35, (0.13, 0.25, 0.93), True),
    "Garage": _Look(
        (0.58, 0.06, 0.66), "blocks", (0.09, 0.32, 0.6), (0.6, 0.03, 0.42), ("window", "pegboard", "clock"),
        -0.55, 0.86, 6.0, 0.5, (0.6, 0.55, 0.42), True),
    "Home Office / Study (A room in a house used for work)": _Look(
        (0.4, 0.2, 0.72), "plain", (0.06, 0.52, 0.5), (0.08, 0.4, 0.4), ("window", "shelf", "clock"),
        -0.1, 0.95, 1.5, 0.25, (0.62, 0.22, 0.9), True),
    "Kitchen": _Look(
        (0.13, 0.22, 0.95), "lowtiles", (0.09, 0.42, 0.76), (0.08, 0.2, 0.62), ("window", "shelf", "pendant"),
        0.15, 1.0, 2.0, 0.3, (0.99, 0.6, 0.8), False),
    "Laundry room": _Look(
        (0.56, 0.24, 0.86), "plain", (0.12, 0.06, 0.85), (0.55, 0.14, 0.55), ("shelf", "washer", "towel"),
        -0.3, 0.97, 3.5, 0.45, (0.3, 0.35, 0.75), False),
    "Living room": _Look(
        (0.11, 0.28, 0.86), "damask", (0.06, 0.6, 0.54), (0.06, 0.45, 0.5), ("window", "picture", "plant"),
        0.4, 0.96, 2.0, 0.3, (0.46, 0.5, 0.6), True),
    "Recreation room / Man cave": _Look(
        (0.63, 0.4, 0.42), "planks", (0.04, 0.66, 0.38), (0.0, 0.3, 0.3), ("dartboard", "picture", "neon"),
        -0.2, 0.78, 4.5, 0.45, (0.0, 0.55, 0.62), False),
}  # fmt: skip
SCENES: tuple[str, ...] = tuple(_LOOKS)


@dataclass(frozen=True)
class Decor:
    """Something on the wall: what, where its middle is (room units) and its hue."""

    what: str
    x: float
    y: float
    hue: float


@dataclass(frozen=True)
class Scene:
    """A place, its light and the camera in it.

    ``light`` points towards the light (x right, y down, length 1); ``tint`` multiplies the three colours;
    ``noise`` is the sensor's standard deviation in grey levels, ``blur`` the lens's in pixels at 320 x 240;
    ``zoom`` and ``shift`` (room units) are the camera's.
    """

    name: str
    seed: int
    wall: RGB
    pattern: str
    wood: RGB
    floor: RGB
    decor: tuple[Decor, ...]
    light: tuple[float, float]
    tint: tuple[float, float, float]
    noise: float
    blur: float
    zoom: float
    shift: tuple[float, float]
    clothes: tuple[float, float, float]
    sleeves: bool


def draw_scene(name: str, seed: int) -> Scene:
    """Draw a scene: the place's own look, varied by the seed. The same arguments give the same scene.

    Raises:
        UserError: On a name that is not in :data:`SCENES`.
    """
    if name not in _LOOKS:
        raise UserError("scene", name, f"one of {'; '.join(SCENES)}")
    look = _LOOKS[name]
    rng = np.random.default_rng((seed, crc32(name.encode())))

    def near(color: tuple[float, float, float], hue: float = 0.03) -> tuple[float, float, float]:
        h, s, v = color
        return (
            h + float(rng.uniform(-hue, hue)),
            float(np.clip(s * rng.uniform(0.8, 1.2), 0, 1)),
            float(np.clip(v * rng.uniform(0.93, 1.05), 0, 1)),
        )

    left = bool(rng.random() < 0.5)
    angle = rng.uniform(0.5, 1.0)
    light = (-float(np.cos(angle)) if left else float(np.cos(angle)), -float(np.sin(angle)))
    # The first decoration (often a window) is where the light comes from; the third, a small one, is between.
    side = 1 if left else -1
    places = ((320 - side * 226.0, 96.0), (320 + side * 222.0, 102.0), (320 - side * 82.0, 66.0))
    decor = tuple(
        Decor(
            what,
            x + float(rng.uniform(-6, 6)),
            y + float(rng.uniform(-6, 6)) + (104.0 if what == "washer" else 0.0),
            rng.random(),
        )
        for what, (x, y) in zip(look.decor, places, strict=True)
    )
    warm = look.warmth + rng.uniform(-0.15, 0.15)
    bright = look.bright * rng.uniform(0.95, 1.03)
    return Scene(
        name=name,
        seed=seed,
        wall=hsv(*near(look.wall)),
        pattern=look.pattern,
        wood=hsv(*near(look.wood, 0.015)),
        floor=hsv(*near(look.floor)),
        decor=decor,
        light=light,
        tint=(bright * (1 + 0.09 * warm), bright, bright * (1 - 0.14 * warm)),
        noise=look.noise * float(rng.uniform(0.8, 1.2)),
        blur=look.blur * float(rng.uniform(0.7, 1.2)),
        zoom=float(rng.uniform(0.93, 1.06)),
        shift=(float(rng.uniform(-12, 12)), float(rng.uniform(-6, 10))),
        clothes=near(look.clothes),
        sleeves=look.sleeves,
    )


def through_camera(video: WorldVideo, scene: Scene) -> WorldVideo:
    """Return a video as the scene's camera sees it: the same events, places and sizes zoomed and shifted."""
    middle, shift, zoom = np.array(IMAGE_SIZE) / 2, np.array(scene.shift), scene.zoom

    def view(points: np.ndarray) -> np.ndarray:
        return (points - middle) * zoom + middle + shift

    def scaled(size: tuple[float, float]) -> tuple[float, float]:
        return size[0] * zoom, size[1] * zoom

    return replace(
        video,
        head=view(video.head),
        torso=view(video.torso),
        hands=view(video.hands),
        center=view(video.center),
        size=video.size * zoom,
        head_size=scaled(video.head_size),
        torso_size=scaled(video.torso_size),
        hand_size=scaled(video.hand_size),
        table=float(view(np.array([0.0, video.table]))[1]),
    )
