"""Text on pictures, with the font that comes with Pillow."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

Colour = tuple[int, int, int]

_SPELT = str.maketrans({"→": "->", "–": "-", "—": "-", "…": "...", "_": " ", "\u00a0": " "})  # not in Pillow's own font


def spelt(text: str) -> str:
    """Return a text in letters that the font has."""
    return text.translate(_SPELT)


def canvas(frame: NDArray[np.uint8]) -> tuple[Any, ImageDraw]:
    """Return a copy of a frame (H,W,3) as an image, and what draws on it."""
    from PIL import Image, ImageDraw

    image = Image.fromarray(frame)
    return image, ImageDraw.Draw(image)


@lru_cache(maxsize=16)
def font(size: int) -> Any:
    """Return the font in a size in pixels."""
    from PIL import ImageFont

    return ImageFont.load_default(size)


def text_size(draw: ImageDraw, text: str, font: Any) -> tuple[int, int]:
    """Return width and height of a text in pixels."""
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    return round(right - min(left, 0)), round(bottom - min(top, 0))


def fitted(draw: ImageDraw, text: str, font: Any, width: float) -> str:
    """Return the text cut to a width, with dots where something is missing."""
    while len(text) > 3 and text_size(draw, text, font)[0] > width:
        text = text[:-4].rstrip() + "..."
    return text
