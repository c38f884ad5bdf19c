"""Decoded frames to upright RGB images with square pixels: the display matrix and the pixel aspect ratio applied."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE_DATA = "DISPLAYMATRIX"
WIDEST_PIXEL = 8.0  # a pixel more stretched than that is a damaged header


@dataclass(frozen=True)
class Orientation:
    """How a stored image becomes the one on screen: transposed first, then turned over; all eight cases."""

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    @classmethod
    def of(cls, frame: Any) -> Orientation:
        """Read a decoded frame's display matrix; an angle that is no quarter turn is rounded to one."""
        if (data := _display_matrix(frame)) is None:
            return cls()
        # Stored (x, y) is shown at (a x + c y, b x + d y).
        a, b, _, c, d = (int(value) for value in np.frombuffer(data, np.int32, 5))
        if not (a or b or c or d):
            return cls()
        if abs(b) + abs(c) > abs(a) + abs(d):
            return cls(True, flip_rows=b < 0, flip_columns=c < 0)
        return cls(False, flip_rows=d < 0, flip_columns=a < 0)

    @property
    def is_mirrored(self) -> bool:
        """Tell whether the image on screen is a mirror image of the stored one, turned or not."""
        return self.transpose ^ self.flip_rows ^ self.flip_columns

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the image (H,W,3) as it is to be shown."""
        if self == Orientation():
            return image
        shown = image.swapaxes(0, 1) if self.transpose else image
        shown = shown[::-1] if self.flip_rows else shown
        return np.ascontiguousarray(shown[:, ::-1] if self.flip_columns else shown)


def pixel_aspect(stream: Any) -> float:
    """Return how much wider than high a stored pixel is shown; 1 where the file says nothing that makes sense."""
    ratio = stream.sample_aspect_ratio or Fraction(1)
    return float(ratio) if 1 / WIDEST_PIXEL <= ratio <= WIDEST_PIXEL else 1.0


def shown_size(width: int, height: int, aspect: float, orientation: Orientation) -> tuple[int, int]:
    """Return the width and height of the image on screen."""
    square = (max(1, round(width * aspect)), height)
    return (square[1], square[0]) if orientation.transpose else square


def rgb(frame: Any, orientation: Orientation, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a decoded frame as an upright image of ``size`` (width, height)."""
    width, height = (size[1], size[0]) if orientation.transpose else size
    same = (frame.width, frame.height) == (width, height)
    scaled = {} if same else {"width": width, "height": height}
    # By itself each frame starts scaler threads of its own, which live as long as it does: a hundred for a short film.
    image = frame.to_ndarray(format="rgb24", threads=1, **scaled)
    return orientation.apply(image)


def _display_matrix(frame: Any) -> bytes | None:
    from av.sidedata.sidedata import Type

    try:
        side_data = frame.side_data.get(getattr(Type, SIDE_DATA))
        data = None if side_data is None else bytes(side_data)
    except (AttributeError, KeyError, ValueError):
        return None
    return data if data is not None and len(data) >= 36 else None
