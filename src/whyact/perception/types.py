"""What a detector is and what it returns. A detector turns pixels into boxes and does nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from whyact.arrays import Float32

Frames = NDArray[np.uint8]
Int = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Detections:
    """The boxes of one frame: ``boxes`` (N,4) xyxy pixels, ``scores`` (N,) in 0..1, ``classes`` (N,) class numbers.

    Raises:
        ValueError: When the shapes do not belong together.
    """

    boxes: Float32
    scores: Float32
    classes: Int

    def __post_init__(self) -> None:
        n = len(self.scores)
        if self.boxes.shape != (n, 4) or self.scores.shape != (n,) or self.classes.shape != (n,):
            found = f"boxes {self.boxes.shape}, scores {self.scores.shape}, classes {self.classes.shape}"
            raise ValueError(f"{found}: not (N,4), (N,), (N,)")

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: Any) -> Detections:
        """Return the chosen ones: a mask (N,), positions, or a slice."""
        return Detections(self.boxes[index], self.scores[index], self.classes[index])


def detections(boxes: Any, scores: Any, classes: Any) -> Detections:
    """Make :class:`Detections` of anything array-like (lists, tensors on the CPU), empty ones included."""
    return Detections(
        np.asarray(boxes, dtype=np.float32).reshape(-1, 4),
        np.asarray(scores, dtype=np.float32).reshape(-1),
        np.asarray(classes, dtype=np.int64).reshape(-1),
    )


class Detector(Protocol):
    """Anything that finds boxes in frames."""

    @property
    def name(self) -> str:
        """Return what an answer says about its boxes: the detector and its weights' hash."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of the class numbers."""

    def __call__(self, frames: Frames) -> list[Detections]:
        """Return the boxes of each of the frames (T,H,W,3) uint8 RGB, best first, in pixels of these frames."""


def suppress(found: Detections, iou: float, *, across_classes: bool = False) -> Detections:
    """Keep the best of overlapping boxes (greedy NMS), best first; equal scores in an order that is theirs alone.

    Args:
        found: Boxes of one frame.
        iou: Boxes that overlap a better one by more than this are dropped.
        across_classes: Whether boxes of different classes compete too.
    """
    found = found[canonical_order(found)]
    if len(found) < 2:
        return found
    import torch

    from whyact.features.operators import batched_nms

    groups = np.zeros_like(found.classes) if across_classes else found.classes
    kept = batched_nms(torch.from_numpy(found.boxes), torch.from_numpy(found.scores), torch.from_numpy(groups), iou)
    return found[np.sort(kept.numpy())]


def canonical_order(found: Detections) -> NDArray[np.intp]:
    """Return the order by falling score, then class, then box: the same for every order that they came in."""
    return np.lexsort((*found.boxes.T[::-1], found.classes, -found.scores))
