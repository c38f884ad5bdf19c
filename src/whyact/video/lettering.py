"""Text on pictures, with the font that comes with Pillow."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

Colour = tuple[int, int, int]

_SLOT = "->"  # as wide as an arrow
ARROW = "→"  # drawn as lines: the font has none
# fmt: off
_SPELT = str.maketrans({  # what is not in Pillow's own font
    "–": "-", "—": "-", "…": "...", "‘": "'", "’": "'", "“": '"', "”": '"', "−": "-", "×": "x", "\u00a0": " ",
})
# fmt: on


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


def draw_text(draw: ImageDraw, where: tuple[float, float], text: str, colour: Colour, font: Any) -> None:
    """Write a line of text with arrows in it."""
    x, y = where
    height = text_size(draw, "x", font)[1]
    for i, piece in enumerate(text.split(ARROW)):
        if i:
            wide = draw.textlength(_SLOT, font=font)
            middle, head = y + 0.8 * height, 0.28 * height
            stroke, right = max(1, round(height / 10)), x + wide - head / 2
            draw.line((x + head / 2, middle, right, middle), colour, stroke)
            draw.line(
                (right - head, middle - head, right, middle, right - head, middle + head), colour, stroke, "curve"
            )
            x += wide
        draw.text((x, y), piece, colour, font)
        x += draw.textlength(piece, font=font)


def text_size(draw: ImageDraw, text: str, font: Any) -> tuple[int, int]:
    """Return width and height of a text in pixels."""
    left, top, right, bottom = draw.textbbox((0, 0), text.replace(ARROW, _SLOT), font=font)
    return round(right - min(left, 0)), round(bottom - min(top, 0))


def fitted(draw: ImageDraw, text: str, font: Any, width: float) -> str:
    """Return the text cut to a width, with dots where something is missing."""
    while len(text) > 3 and text_size(draw, text, font)[0] > width:
        text = text[:-4].rstrip() + "..."
    return text


def wrapped(draw: ImageDraw, text: str, font: Any, width: float) -> list[str]:
    """Return the text in lines that fit a width; a word that is too long is cut."""
    lines: list[str] = []
    for word in text.split():
        if lines and text_size(draw, f"{lines[-1]} {word}", font)[0] <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(fitted(draw, word, font, width))
    return lines
