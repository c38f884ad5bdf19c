"""Draw lit shapes with Pillow: masks in room units, puffed up by a blur and shaded by the light."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

RGB = tuple[int, int, int]
Point = tuple[float, float]


def hsv(hue: float, saturation: float, value: float) -> RGB:
    """Return a colour from hue (any real, one turn is 1), saturation and value in 0..1."""
    r, g, b = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return round(255 * r), round(255 * g), round(255 * b)


def mix(a: RGB, b: RGB, share: float) -> RGB:
    """Return the colour that lies this share of the way from ``a`` to ``b``."""
    return tuple(round(x + share * (y - x)) for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


def darker(color: RGB, share: float) -> RGB:
    """Return the colour this share of the way to black; negative shares go towards white."""
    return mix(color, (0, 0, 0), share) if share >= 0 else mix(color, (255, 255, 255), -share)


@dataclass(frozen=True, eq=False)
class Sprite:
    """A drawn thing with alpha, and where its anchor lies from the image's upper left corner, in canvas pixels."""

    image: Image.Image
    anchor: Point

    def put(self, canvas: Image.Image, x: float, y: float) -> None:
        """Paint it over ``canvas`` with its anchor at this canvas pixel."""
        canvas.paste(self.image, (round(x - self.anchor[0]), round(y - self.anchor[1])), self.image)


class Shape:
    """A mask to be filled, drawn in units; every method returns the shape, so calls chain."""

    def __init__(self, size: tuple[int, int], unit: float, origin: Point) -> None:
        self.image = Image.new("L", size, 0)
        self._draw = ImageDraw.Draw(self.image)
        self._k, self._origin = unit, origin

    def polygon(self, points: Iterable[Point], value: int = 255) -> Shape:
        """Add a polygon."""
        self._draw.polygon([self._at(p) for p in points], fill=value)
        return self

    def ellipse(self, x: float, y: float, rx: float, ry: float, value: int = 255) -> Shape:
        """Add an ellipse around a centre."""
        (x0, y0), (x1, y1) = self._at((x - rx, y - ry)), self._at((x + rx, y + ry))
        self._draw.ellipse((x0, y0, max(x1 - 1, x0), max(y1 - 1, y0)), fill=value)
        return self

    def box(self, x0: float, y0: float, x1: float, y1: float, radius: float = 0.0, value: int = 255) -> Shape:
        """Add a rectangle, its corners rounded."""
        (a, b), (c, d) = self._at((x0, y0)), self._at((x1, y1))
        edges = (a, b, max(c - 1, a), max(d - 1, b))
        self._draw.rounded_rectangle(edges, radius=min(radius * self._k, (c - a) / 2, (d - b) / 2), fill=value)
        return self

    def line(self, points: Iterable[Point], width: float, value: int = 255) -> Shape:
        """Add a line with round ends and joints."""
        spots = [self._at(p) for p in points]
        self._draw.line(spots, fill=value, width=max(1, round(width * self._k)), joint="curve")
        r = width * self._k / 2
        if r > 1:
            for x, y in (spots[0], spots[-1]):
                self._draw.ellipse((x - r, y - r, x + r, y + r), fill=value)
        return self

    def arc(self, x: float, y: float, rx: float, ry: float, start: float, stop: float, width: float) -> Shape:
        """Add an arc of an ellipse, in degrees clockwise from the right."""
        (x0, y0), (x1, y1) = self._at((x - rx, y - ry)), self._at((x + rx, y + ry))
        self._draw.arc((x0, y0, x1, y1), start, stop, fill=255, width=max(1, round(width * self._k)))
        return self

    def within(self, other: Shape) -> Shape:
        """Keep what also lies in another shape."""
        self.image = Image.fromarray(np.minimum(np.asarray(self.image), np.asarray(other.image)))
        return self

    def soft(self, units: float) -> Shape:
        """Blur the mask."""
        self.image = self.image.filter(ImageFilter.GaussianBlur(units * self._k))
        return self

    def _at(self, point: Point) -> Point:
        return (point[0] - self._origin[0]) * self._k, (point[1] - self._origin[1]) * self._k


class Pen:
    """Paint filled shapes one over the other on a transparent sheet.

    ``box`` is (x0, y0, x1, y1) in units, ``unit`` canvas pixels a unit, ``light`` points towards the light
    (x right, y down), ``finer`` is how many times finer than the canvas it is painted.
    """

    def __init__(self, box: tuple[float, float, float, float], unit: float, light: Point, finer: int = 2) -> None:
        self._k, self._finer, self.light = unit * finer, finer, light
        self._origin = box[:2]
        size = [max(finer, int(np.ceil((box[i + 2] - box[i]) * unit)) * finer) for i in (0, 1)]
        self._size = (size[0], size[1])
        self.image = Image.new("RGBA", self._size, (0, 0, 0, 0))

    def shape(self) -> Shape:
        """Return an empty mask of the sheet's size."""
        return Shape(self._size, self._k, self._origin)

    def fill(
        self,
        shape: Shape,
        color: RGB,
        *,
        bulge: float = 0.0,
        depth: float = 0.9,
        gloss: float = 0.0,
        opacity: float = 1.0,
        texture: NDArray[np.float32] | None = None,
    ) -> Pen:
        """Fill a shape: flat, or bulging by this many units and lit, with gloss, and times a texture (H,W)."""
        mask = shape.image if opacity == 1.0 else shape.image.point(lambda v: v * opacity)
        inked = mask.getbbox()
        if inked is None:
            return self
        if not bulge and texture is None:
            flat = Image.new("RGBA", (inked[2] - inked[0], inked[3] - inked[1]), (*color, 255))
            flat.putalpha(mask.crop(inked))
            self.image.alpha_composite(flat, inked[:2])
            return self
        # Only where there is ink, and as far around it as the blur reaches.
        far = int(3 * bulge * self._k) + 1
        x0, y0 = max(inked[0] - far, 0), max(inked[1] - far, 0)
        x1, y1 = min(inked[2] + far, self._size[0]), min(inked[3] + far, self._size[1])
        shade = np.ones((y1 - y0, x1 - x0), dtype=np.float32)
        spark = np.zeros_like(shade)
        if bulge and min(shade.shape) > 1:
            puffed = shape.image.crop((x0, y0, x1, y1)).filter(ImageFilter.GaussianBlur(bulge * self._k))
            gy, gx = np.gradient(np.asarray(puffed, dtype=np.float32) * (bulge * self._k / 255))
            slope = 2.0 * (gx * self.light[0] + gy * self.light[1]) * -1.0
            shade = np.clip(1.0 + depth * slope, 0.35, 1.6)
            spark = gloss * np.clip(slope - 0.12, 0.0, 0.5) * 255
        if texture is not None:
            shade = shade * texture[y0:y1, x0:x1]
        lit = np.clip(shade[..., None] * np.array(color, dtype=np.float32) + spark[..., None], 0, 255).astype(np.uint8)
        layer = Image.fromarray(lit).convert("RGBA")
        layer.putalpha(mask.crop((x0, y0, x1, y1)))
        self.image.alpha_composite(layer, (x0, y0))
        return self

    def sprite(self) -> Sprite:
        """Return what was painted, anchored where the units have their origin."""
        k = self._k / self._finer
        image = self.image.reduce(self._finer) if self._finer > 1 else self.image
        return Sprite(image, (-self._origin[0] * k, -self._origin[1] * k))


def limb(draw: ImageDraw.ImageDraw, a: Point, b: Point, ra: float, rb: float, color: RGB, light: Point) -> None:
    """Draw a tapered, rounded limb from ``a`` to ``b`` (canvas pixels) in strips from shade to light."""
    for step in range(6):
        share = 1.0 - 0.15 * step
        tone = darker(color, 0.27 - 0.085 * step)
        off = 0.55 * (1.0 - share)
        pa = (a[0] + light[0] * ra * off, a[1] + light[1] * ra * off)
        pb = (b[0] + light[0] * rb * off, b[1] + light[1] * rb * off)
        taper(draw, pa, pb, ra * share, rb * share, tone)


def taper(draw: Any, a: Point, b: Point, ra: float, rb: float, fill: Any) -> None:
    """Draw a filled tapered capsule."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    length = max(float(np.hypot(dx, dy)), 1e-6)
    nx, ny = -dy / length, dx / length
    draw.polygon(
        [
            (a[0] + nx * ra, a[1] + ny * ra),
            (b[0] + nx * rb, b[1] + ny * rb),
            (b[0] - nx * rb, b[1] - ny * rb),
            (a[0] - nx * ra, a[1] - ny * ra),
        ],
        fill=fill,
    )
    draw.ellipse((a[0] - ra, a[1] - ra, a[0] + ra, a[1] + ra), fill=fill)
    draw.ellipse((b[0] - rb, b[1] - rb, b[0] + rb, b[1] + rb), fill=fill)
