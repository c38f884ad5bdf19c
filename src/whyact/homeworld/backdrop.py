"""What does not move in a scene: wall, floor, decoration, table, and the light over all of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from whyact.homeworld.brush import RGB, Pen, Shape, darker, mix
from whyact.homeworld.decor import PAINTERS
from whyact.homeworld.layout import TABLE
from whyact.homeworld.scenes import Scene
from whyact.homeworld.states import IMAGE_SIZE

TABLE_DEPTH = 118.0  # from the table's far edge to its near edge, room units
_THICK = 17.0


def paint_backdrop(scene: Scene, table: float, size: tuple[int, int]) -> Image.Image:
    """Return wall, floor, decoration and table as an RGB image of ``size`` canvas pixels.

    ``table`` is the y of the table's far edge in room units (640 wide, 480 high).
    """
    unit = size[0] / 640
    plain = Image.fromarray(_wall(scene, table))  # wall and table at one pixel a unit, whatever the size
    _table(plain, scene, table)
    image = plain.resize(size, Image.Resampling.BILINEAR)
    for decor in scene.decor:
        x = (decor.x - 320) * scene.zoom + 320 + scene.shift[0]
        y = (decor.y - TABLE) * scene.zoom + table
        k = scene.zoom * unit
        pen = Pen((-95, -90, 95, 110), k, scene.light, finer=2 if unit <= 1 else 1)
        PAINTERS[decor.what](pen, decor.hue, scene)
        sprite = pen.sprite()
        _cast(image, sprite.image, x * unit - sprite.anchor[0], y * unit - sprite.anchor[1], scene, k)
        sprite.put(image, x * unit, y * unit)
    edge = round(table * unit)
    below = plain.crop((0, round(table), 640, 480)).resize((size[0], size[1] - edge), Image.Resampling.BILINEAR)
    image.paste(below, (0, edge))
    return image


def light_map(scene: Scene, size: tuple[int, int]) -> Image.Image:
    """Return what multiplies every finished frame (RGB, 255 is one): tint, fall-off from the light, vignette."""
    w, h = size
    y, x = np.mgrid[0:h, 0:w]
    u, v = (x / w - 0.5) * 2, (y / h - 0.5) * 2
    fall = 1.0 + 0.10 * (u * scene.light[0] + 0.5 * v * scene.light[1])
    vignette = 1.0 - 0.16 * np.clip((u**2 + v**2) / 2, 0, 1) ** 1.5 * 2
    map_ = (fall * vignette)[..., None] * np.array(scene.tint) * 0.98
    return Image.fromarray(np.clip(map_ * 255, 0, 255).astype(np.uint8))


def grain(rng: np.random.Generator, shape: tuple[int, int], cells: tuple[int, int]) -> NDArray[np.float64]:
    """Draw smooth noise (H,W) in -1..1 with about this many bumps down and across."""
    small = Image.fromarray(rng.integers(0, 256, size=(cells[0] + 3, cells[1] + 3), dtype=np.uint8))
    big = small.resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
    return np.asarray(np.asarray(big, dtype=np.float64) / 127.5 - 1.0)


def _wall(scene: Scene, table: float) -> NDArray[np.uint8]:
    w, h = IMAGE_SIZE
    rng = np.random.default_rng((scene.seed, 77))
    y, x = np.mgrid[0:h, 0:w].astype(np.float64)
    # Room coordinates of every pixel, so that the pattern follows the camera.
    rx = (x - 320 - scene.shift[0]) / scene.zoom + 320
    ry = (y - table) / scene.zoom + TABLE
    pattern = _PATTERNS[scene.pattern](rx, ry)
    pattern = pattern * (1 + 0.025 * grain(rng, (h, w), (9, 12)) + 0.018 * grain(rng, (h, w), (60, 80)))
    # A pool of light falls on the wall from the light's side.
    lx, ly = 320 + 300 * scene.light[0], 120 + 140 * scene.light[1]
    pool = np.exp(-(((rx - lx) / 330) ** 2 + ((ry - ly) / 260) ** 2))
    pattern = pattern * (0.84 + 0.26 * pool)
    wall = pattern[..., None] * np.array(scene.wall)
    edge = 372.0  # where the wall meets the floor, behind the table
    boards = 1 - 0.2 * ((ry - edge) % 22 < 1.5) + 0.05 * grain(rng, (h, w), (30, 8))
    floor = boards[..., None] * np.array(scene.floor) * np.clip(0.6 + (ry - edge) / 260, 0.6, 1.0)[..., None]
    out = np.where((ry < edge)[..., None], wall, floor)
    skirting = (ry > edge - 16) & (ry < edge)
    out[skirting] = np.array(mix(scene.wall, (250, 246, 240), 0.6)) * 0.86
    out[(ry > edge - 17.5) & (ry <= edge - 16)] *= 0.7
    return np.clip(out, 0, 255).astype(np.uint8)


Grid = NDArray[np.float64]


def _plain(x: Grid, y: Grid) -> Grid:
    return np.where(y > 250, 0.93, 1.0) * np.where(np.abs(y - 250) < 2.0, 0.86, 1.0)


def _stripes(x: Grid, y: Grid) -> Grid:
    return np.asarray(1 - 0.09 * ((x % 44) < 22) - 0.05 * ((x % 44 - 22) ** 2 < 2))


def _dots(x: Grid, y: Grid) -> Grid:
    row = np.floor(y / 26)
    d = np.hypot((x + 13 * (row % 2)) % 26 - 13, y % 26 - 13)
    return np.asarray(1 + 0.1 * np.clip(3.6 - d, 0, 1))


def _tiles(x: Grid, y: Grid) -> Grid:
    seam = np.minimum(np.minimum(x % 36, 36 - x % 36), np.minimum(y % 36, 36 - y % 36))
    tone = 0.035 * np.sin(np.floor(x / 36) * 12.9 + np.floor(y / 36) * 78.2)
    return np.asarray(1 + tone - 0.16 * np.clip(1.6 - seam, 0, 1))


def _lowtiles(x: Grid, y: Grid) -> Grid:
    row = np.floor(y / 22)
    shifted = x + 22 * (row % 2)
    seam = np.minimum(np.minimum(shifted % 44, 44 - shifted % 44), np.minimum(y % 22, 22 - y % 22))
    tiles = 1.03 + 0.03 * np.sin(np.floor(shifted / 44) * 9.1 + row * 5.3) - 0.17 * np.clip(1.4 - seam, 0, 1)
    return np.where(y > 176, tiles, np.where(y > 171, 0.8, 0.97))


def _brick(x: Grid, y: Grid) -> Grid:
    row = np.floor(y / 20)
    shifted = x + 24 * (row % 2)
    seam = np.minimum(np.minimum(shifted % 48, 48 - shifted % 48), np.minimum(y % 20, 20 - y % 20))
    tone = 0.08 * np.sin(np.floor(shifted / 48) * 17.3 + row * 41.7)
    return np.asarray(1 + tone - 0.25 * np.clip(2.0 - seam, 0, 1))


def _blocks(x: Grid, y: Grid) -> Grid:
    row = np.floor(y / 44)
    shifted = x + 48 * (row % 2)
    seam = np.minimum(np.minimum(shifted % 96, 96 - shifted % 96), np.minimum(y % 44, 44 - y % 44))
    return np.asarray(1 + 0.04 * np.sin(np.floor(shifted / 96) * 5.3 + row * 3.7) - 0.14 * np.clip(1.8 - seam, 0, 1))


def _damask(x: Grid, y: Grid) -> Grid:
    flower = np.cos(x / 62 * 2 * np.pi) * np.cos(y / 74 * 2 * np.pi) + 0.5 * np.cos((x + y) / 31 * 2 * np.pi)
    return np.asarray(1 - 0.055 * np.clip(flower * 4, -1, 1) * (np.abs(flower) > 0.35))


def _planks(x: Grid, y: Grid) -> Grid:
    board = np.floor(x / 40)
    lines = 0.05 * np.sin((y + 60 * np.sin(board * 7.7)) / 9 + 2 * np.sin(x / 7)) + 0.06 * np.sin(board * 23.1)
    return np.asarray(1 + lines - 0.3 * np.clip(1.6 - np.minimum(x % 40, 40 - x % 40), 0, 1))


_PATTERNS = {
    "plain": _plain, "stripes": _stripes, "dots": _dots, "tiles": _tiles, "lowtiles": _lowtiles, "brick": _brick,
    "blocks": _blocks, "damask": _damask, "planks": _planks,
}  # fmt: skip


def _cast(image: Image.Image, sprite: Image.Image, x: float, y: float, scene: Scene, unit: float) -> None:
    """Let something that hangs on the wall cast a soft shadow on it."""
    alpha = sprite.getchannel("A").point(lambda v: v * 0.4).filter(ImageFilter.GaussianBlur(4 * unit))
    at = (round(x - scene.light[0] * 7 * unit), round(y - scene.light[1] * 7 * unit))
    image.paste((18, 12, 12), at, alpha)


def _table(image: Image.Image, scene: Scene, table: float) -> None:
    """Paint the table over its part of the image: a top in perspective with grain, a lit edge, dark beneath."""
    w, h = image.size
    z, middle = scene.zoom, 320 + scene.shift[0]
    near = table + TABLE_DEPTH * z
    far_half, near_half = 318 * z, 372 * z
    top = [
        (middle - far_half, table),
        (middle + far_half, table),
        (middle + near_half, near),
        (middle - near_half, near),
    ]
    first = max(0, int(table) - 1)
    y, x = np.mgrid[first:h, 0:w].astype(np.float64)
    depth = np.clip((y - table) / (near - table), 0, 1)
    across = (x - middle) / (far_half + (near_half - far_half) * depth)  # -1..1 along the top
    rng = np.random.default_rng((scene.seed, 78))
    flow = grain(rng, y.shape, (4, 10))
    board = np.floor(depth * 4.0 + 0.001)
    rings = np.sin(26 * (depth + 0.05 * flow + 0.03 * np.sin(across * 5 + board * 4)) * 5 + board * 2.3)
    fibre = grain(rng, y.shape, (max(4, y.shape[0] // 2), 26))
    tone = 1 + 0.055 * rings + 0.05 * fibre + 0.035 * np.sin(board * 5.1)
    tone = tone - 0.28 * (np.abs((depth * 4) % 1.0 - 0.02) < 0.02) * (depth > 0.1)
    gleam = np.exp(-(((across - 0.5 * scene.light[0]) / 0.5) ** 2 + ((depth - 0.25) / 0.5) ** 2))
    wood = np.array(scene.wood)
    lit = tone[..., None] * wood * (0.86 + 0.12 * depth[..., None]) + 38 * gleam[..., None] * (
        0.8 + 0.2 * fibre[..., None]
    )
    painted = Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))

    region = (0, first, w, h)
    beneath = image.crop(region)
    shade = Shape(beneath.size, 1.0, (0.0, first))
    shade.polygon(
        [
            (middle - near_half * 0.9, near),
            (middle + near_half * 0.9, near),
            (middle + near_half, 560),
            (middle - near_half, 560),
        ]
    )
    shade.box(middle - near_half, near, middle + near_half, near + 60 * z)
    beneath.paste((16, 11, 10), (0, 0), shade.soft(10).image.point(lambda v: v * 0.72))
    draw = ImageDraw.Draw(beneath)

    def bar(x0: float, y0: float, x1: float, y1: float, color: RGB) -> None:
        draw.rectangle((x0, y0 - first, x1, y1 - first), fill=color)

    for side in (-1, 1):
        leg = middle + side * near_half * 0.8
        bar(leg - 16, near, leg + 16, 600, darker(scene.wood, 0.5))
        bar(leg - 16, near, leg - 8, 600, darker(scene.wood, 0.4 if scene.light[0] < 0 else 0.58))
    beneath.paste(painted, (0, 0), Shape(beneath.size, 1.0, (0.0, first)).polygon(top).image)
    thick = _THICK * z
    bar(middle - near_half, near, middle + near_half, near + thick, darker(scene.wood, 0.3))
    bar(middle - near_half, near, middle + near_half, near + 1.6, darker(scene.wood, -0.25))
    bar(middle - near_half, near + thick - 2.5, middle + near_half, near + thick, darker(scene.wood, 0.55))
    bar(middle - far_half, table, middle + far_half, table + 0.9, darker(scene.wood, 0.25))
    image.paste(beneath, region[:2])
