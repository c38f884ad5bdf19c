"""Encoders of snippets that cost nothing: what a row says can be checked by eye."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Brightness:
    """Rows (brightness of the first frame, of the last one, 0, ...), as numbers that ``write_clip`` counts in."""

    name: str = "s3d"
    weights: str = "random"
    width: int = 4

    def prepare(self, frames: NDArray[np.uint8]) -> Tensor:
        numbers = (frames.mean((1, 2, 3)) - 8) / 3
        return torch.tensor([numbers[0], numbers[-1], *[0.0] * (self.width - 2)])

    def encode(self, prepared: Tensor) -> Tensor:
        return prepared.float()


def load(name: str, weights: str = "default", state: object = None, device: object = "cpu") -> Brightness:
    """Stand in for ``load_encoder``."""
    return Brightness(name, weights, 3 if name.startswith("clip:") else 4)
