"""torchvision's compiled NMS and RoIAlign without the rest of torchvision.

``import torchvision`` brings every model of its zoo and torch's compiler along: more CPU seconds than answering a short
film takes. The two operators are in one shared library, which torch loads by itself.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

MANY = 4000  # numbers of boxes from which classes are suppressed one by one, as torchvision does on the CPU


@cache
def _operators() -> Any:
    """Load the shared library, or all of torchvision where it is somewhere else."""
    spec = find_spec("torchvision")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for library in sorted(Path(folder).glob("_C*.so")):
            torch.ops.load_library(str(library))
    if not hasattr(torch.ops.torchvision, "nms"):
        import torchvision  # noqa: F401
    return torch.ops.torchvision


def nms(boxes: Tensor, scores: Tensor, iou: float) -> Tensor:
    """Return the positions of the boxes (N,4) that no better one overlaps by more than ``iou``, best first."""
    kept: Tensor = _operators().nms(boxes, scores, iou)
    return kept


def batched_nms(boxes: Tensor, scores: Tensor, classes: Tensor, iou: float) -> Tensor:
    """Return what :func:`nms` keeps of each class, best first; to the bit as torchvision's function of this name."""
    if boxes.numel() > MANY:
        keep = torch.zeros_like(scores, dtype=torch.bool)
        for number in torch.unique(classes):
            rows = torch.where(classes == number)[0]
            keep[rows[nms(boxes[rows], scores[rows], iou)]] = True
        kept = torch.where(keep)[0]
        return kept[scores[kept].sort(descending=True)[1]]
    if not boxes.numel():
        return torch.empty(0, dtype=torch.int64)
    apart = classes.to(boxes) * (boxes.max() + 1)  # moved so far that boxes of two classes never overlap
    return nms(boxes + apart[:, None], scores, iou)


def roi_align(maps: Tensor, boxes: Tensor, side: int, samples: int) -> Tensor:
    """Average bilinear samples in ``side`` by ``side`` cells of boxes, with Mask R-CNN's half-pixel correction.

    Args:
        maps: (B,C,H,W).
        boxes: (N,5) the map's position, then xyxy in its cells.
        side: Cells a side.
        samples: Of a cell, a side.

    Returns:
        (N,C,side,side).
    """
    pooled: Tensor = _operators().roi_align(maps, boxes, 1.0, side, side, samples, True)
    return pooled
