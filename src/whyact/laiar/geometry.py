"""Box pairs as numbers: the mask of Eq. 1, and the layout and motion that boxes without pixels have to say more by.

Pure functions; axis letters as in ``model.py``.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

PIXEL = 1.0 / 640  # the smallest box side, as a share of the image: guards a division by zero
LAYOUT_WIDTH = 8 + 7 + 2 + 2 * (8 + 7)  # places, pair, visibility; steps of places and pair
DELTA_WIDTH = 2 * (8 + 7)


def mask_side(size: int) -> int:
    """Return the side of what the box-mask encoder makes of masks of ``size`` cells a side (27 -> 7, 14 -> 4)."""
    return (size + 3) // 4


def box_masks(boxes: Tensor, seen: Tensor, size: int) -> Tensor:
    """Rasterise a subject and an object box inside their union box (Eq. 1, the box-pair mask).

    Args:
        boxes: (N,2,4) xyxy, any unit.
        seen: (N,2) which boxes are visible.
        size: Cells a side.

    Returns:
        (N,2,size,size) covered share of each cell minus 0.5; a hidden box gives -0.5 everywhere.
    """
    there = seen[..., None]
    low = boxes[..., :2].masked_fill(~there, math.inf).amin(1, keepdim=True)  # (N,1,2) union corner
    high = boxes[..., 2:].masked_fill(~there, -math.inf).amax(1, keepdim=True)
    span = (high - low).clamp_min(PIXEL)
    start = torch.where(there, (boxes[..., :2] - low) / span * size, 0.0)[..., None]  # (N,2,2,1)
    end = torch.where(there, (boxes[..., 2:] - low) / span * size, 0.0)[..., None]
    cell = torch.arange(size, device=boxes.device, dtype=boxes.dtype)
    cover = (torch.minimum(end, cell + 1) - torch.maximum(start, cell)).clamp(0, 1)  # (N,2,2,size): x then y
    return cover[:, :, 1, :, None] * cover[:, :, 0, None, :] - 0.5


def box_geometry(boxes: Tensor, seen: Tensor, with_delta: bool = False) -> Tensor:
    """Describe a box pair, how it moves, and how it differs from the clip's two ends (the paper has the mask alone).

    Args:
        boxes: (B,T,K,2,4) xyxy as shares of the image.
        seen: (B,T,K,2).
        with_delta: Add :func:`endpoint_delta`.

    Returns:
        (B,T,K,LAYOUT_WIDTH [+ DELTA_WIDTH]): both centres and log sizes; the pair's offset, distance, size ratio, gap
        and overlaps; visibility; then the :func:`steps` of places and pair. Zeros where hidden.
    """
    there = seen.to(boxes.dtype)
    low, high = boxes[..., :2], boxes[..., 2:]
    size, centre = (high - low).clamp_min(PIXEL), (low + high) / 2  # (B,T,K,2,2)
    both = there.prod(-1, keepdim=True)  # (B,T,K,1)
    scale = size.prod(-1).sqrt()  # (B,T,K,2) geometric mean side
    mean = scale.mean(-1, keepdim=True)
    offset = centre[..., 1, :] - centre[..., 0, :]
    between = torch.maximum(low[..., 0, :], low[..., 1, :]) - torch.minimum(high[..., 0, :], high[..., 1, :])
    gap = between.clamp_min(0).norm(dim=-1, keepdim=True)
    inside = (-between).clamp_min(0).prod(-1, keepdim=True) / size.prod(-1)  # (B,T,K,2) share of each box
    ratio = (scale[..., :1] / scale[..., 1:]).log()
    distance = offset.norm(dim=-1, keepdim=True)
    pair = torch.cat([(offset / mean).clamp(-8, 8) / 4, distance, ratio, (gap / mean).clamp_max(8) / 4, inside], -1)
    # Logarithms, for a lid that opens changes a small box by as large a share as a door changes a large one.
    places = torch.cat([centre * 2, (size.log() + 2.5) / 2], -1) * there[..., None]  # (B,T,K,2,4)
    places, pair = places.flatten(-2), pair * both  # (B,T,K,8), (B,T,K,7)
    known = there.repeat_interleave(4, -1)
    parts = [places, pair, there, steps(places, known) * 4, steps(pair, both)]
    if with_delta:
        parts += [endpoint_delta(places, known) * 3, endpoint_delta(pair, both)]
    return torch.cat(parts, -1)


def steps(x: Tensor, known: Tensor) -> Tensor:
    """Return the change of x (B,T,...,F) from the frame before and to the next (B,T,...,2F); 0 where unknown."""
    step = (x[:, 1:] - x[:, :-1]) * (known[:, 1:] * known[:, :-1])
    ends = (0, 0) * (x.dim() - 2)
    return torch.cat([F.pad(step, (*ends, 1, 0)), F.pad(step, (*ends, 0, 1))], -1)


def endpoint_delta(x: Tensor, known: Tensor) -> Tensor:
    """Return the change of x (B,T,...,F) since it was first known and until it is last known, (B,T,...,2F).

    A relation changes once in most clips; a token that knows both ends of its slot knows on which side it stands.
    """
    t = x.shape[1]
    rank = torch.arange(1, t + 1, dtype=x.dtype, device=x.device).view(-1, *[1] * (x.dim() - 2))  # amax outruns argmax
    last = ((known * rank).amax(1, keepdim=True) - 1).clamp_min(0).long().expand_as(x[:, :1])
    first = (t - (known * (t + 1 - rank)).amax(1, keepdim=True)).clamp_max(t - 1).long().expand_as(x[:, :1])
    return torch.cat([(x - x.gather(1, first)) * known, (x.gather(1, last) - x) * known], -1)
