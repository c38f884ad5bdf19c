"""Drawn films of a person (a red square) and a cup (a blue one), and a detector that finds them by their colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from whyact.perception.types import Detections, Frames, detections
from whyact.video.write import write_video


class Squares:
    """A detector that finds a red and a blue square by their colours."""

    name = "squares"
    classes = ("person", "cup", "kite")

    def __call__(self, frames: Frames) -> list[Detections]:
        found = []
        for frame in frames.astype(int):
            boxes, kinds = [], []
            for kind, channel in ((0, 0), (1, 2)):
                mask = (frame[..., channel] > 150) & (frame[..., 1] < 110)
                if mask.sum() > 20:
                    y, x = np.nonzero(mask)
                    boxes.append([x.min(), y.min(), x.max() + 1, y.max() + 1])
                    kinds.append(kind)
            found.append(detections(boxes, [0.9] * len(boxes), kinds))
        return found


def film(path: Path, label: str, seed: int, frames: int = 24) -> Path:
    """Film a person (red) that comes to a cup (blue), or goes away from it; another seed, another room."""
    random = np.random.default_rng(seed)
    room = np.kron(random.integers(120, 200, (9, 12, 1)), np.ones((8, 8, 3))).astype(np.uint8)
    near, far = 34 + random.integers(0, 4), 2 + random.integers(0, 4)
    way = np.linspace(far, near, frames) if label == "take" else np.linspace(near, far, frames)
    images = []
    for x in way.round().astype(int):
        image = room.copy()
        image[20:50, x : x + 20] = (220, 20, 20)
        image[30:44, 50:64] = (20, 20, 220)
        images.append(image)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, images, 10.0)
    return path
