"""The network of the small detector: where the centre of each class is, and how far its box reaches from there.

Centres and boxes have channels for each class of their own, so that a mug in a hand and the hand that holds it, whose
centres share a cell, both have a place (Zhou et al. 2019, "Objects as points"; boxes learned around the centre as
in Liu et al. 2020, "Training-time-friendly network for real-time object detection"). Axis letters: B frames,
C classes, h, w cells of ``STRIDE`` pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDE = 8
WIDTH = 64  # channels of the map that boxes are read from
_PRIOR = -4.0  # logit of a centre before training: almost every cell has none
_REACH = 5.0  # exp(5) cells: no box reaches further


def _conv(inside: int, outside: int, stride: int = 1, side: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, side, stride, side // 2, bias=False), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)
    )


class Backbone(nn.Module):
    """Four stages (32, 64, 96, 128 channels) and a way back up: frames (B,3,H,W) -> one map (B,64,H/8,W/8)."""

    out_channels = WIDTH

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(_conv(3, 32, 2), _conv(32, 64, 2))
        self.middle = nn.Sequential(_conv(64, 96, 2), _conv(96, 96))
        self.coarse = nn.Sequential(_conv(96, 128, 2), _conv(128, 128), _conv(128, 128))
        self.detail = _conv(64, WIDTH, 2)
        self.lateral = nn.Conv2d(96, WIDTH, 1)
        self.top = nn.Conv2d(128, WIDTH, 1)
        self.out = _conv(WIDTH, WIDTH)

    def forward(self, images: Tensor) -> Tensor:
        """Return the map (B,64,H/8,W/8) of images in 0..1 whose sides are multiples of 16."""
        fine = self.fine(images - 0.5)
        middle = self.middle(fine)
        top = F.interpolate(self.top(self.coarse(middle)), scale_factor=2.0, mode="nearest")
        mapped: Tensor = self.out(F.relu(self.detail(fine) + self.lateral(middle) + top))
        return mapped


class CentreNet(nn.Module):
    """Backbone and head: images (B,3,H,W) -> centre logits (B,C,h,w) and reaches (B,C,4,h,w) in pixels."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.head = _conv(WIDTH, WIDTH)
        self.centre = nn.Conv2d(WIDTH, classes, 1)
        self.reach = nn.Conv2d(WIDTH, classes * 4, 1)
        nn.init.normal_(self.centre.weight, std=0.01)
        nn.init.constant_(self.centre.bias, _PRIOR)  # type: ignore[arg-type]
        nn.init.normal_(self.reach.weight, std=0.01)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return centre logits (B,C,h,w) and left, top, right, bottom reaches (B,C,4,h,w) in pixels, all positive."""
        mapped = self.head(self.backbone(images))
        reach = self.reach(mapped).unflatten(1, (-1, 4)).clamp(max=_REACH)
        return self.centre(mapped), STRIDE * reach.exp()


def cell_centres(h: int, w: int, device: torch.device | None = None) -> Tensor:
    """Return the pixel (x, y) in the middle of each cell, shape (2,h,w)."""
    y, x = torch.meshgrid(torch.arange(h, device=device), torch.arange(w, device=device), indexing="ij")
    return (torch.stack([x, y]) + 0.5) * STRIDE


def boxes_from(reach: Tensor) -> Tensor:
    """Return boxes (...,h,w,4) xyxy in pixels from reaches (...,4,h,w)."""
    middle = cell_centres(reach.shape[-2], reach.shape[-1], reach.device)
    corners = torch.cat([middle - reach[..., :2, :, :], middle + reach[..., 2:, :, :]], dim=-3)
    return corners.movedim(-3, -1)


@dataclass(frozen=True)
class Targets:
    """What a batch should give. K is the number of (object, cell) pairs that boxes are learned at.

    ``heat`` (B,C,h,w) is 1 in the cell of a centre and falls off around it; ``care`` (B,C,h,w) is 0 where a
    covered thing lies; ``where`` (K,4) are frame, class, row, column; ``boxes`` (K,4) xyxy; ``weight`` (K,).
    """

    heat: Tensor
    care: Tensor
    where: Tensor
    boxes: Tensor
    weight: Tensor


def targets_of(
    boxes: Tensor, classes: Tensor, clear: Tensor, frame: Tensor, shape: tuple[int, int, int, int]
) -> Targets:
    """Return the targets of a batch.

    Args:
        boxes: (N,4) xyxy pixels of all frames of the batch.
        classes: (N,) class numbers.
        clear: (N,) false for what is mostly covered.
        frame: (N,) which frame of the batch.
        shape: (B,C,h,w).
    """
    _, _, h, w = shape
    x, y = cell_centres(h, w, boxes.device)
    middle, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    away = torch.stack([x, y])[None] - middle[:, :, None, None]  # N 2 h w, pixels
    spread = 0.1 * size + 0.4 * STRIDE
    heat = torch.exp(-0.5 * (away / spread[:, :, None, None]).square().sum(1))  # N h w
    column = (middle[:, 0] / STRIDE).long().clamp(0, w - 1)
    row = (middle[:, 1] / STRIDE).long().clamp(0, h - 1)
    own = torch.zeros_like(heat, dtype=torch.bool)
    own[torch.arange(len(boxes)), row, column] = True
    heat = torch.where(own, 1.0, heat.clamp(max=0.98))
    inside = (away.abs() <= size[:, :, None, None] / 2).all(1)

    flat = frame * shape[1] + classes
    planes = flat[:, None, None].expand_as(heat)
    whole = torch.zeros(shape, device=boxes.device).flatten(0, 1)
    whole = whole.scatter_reduce(0, planes[clear], heat[clear], "amax")
    care = torch.ones_like(whole).scatter_reduce(0, planes[~clear], 1.0 - (inside | own)[~clear].float(), "amin")
    near = own | (inside & (heat > 0.3))
    near &= clear[:, None, None]
    n, r, c = near.nonzero(as_tuple=True)
    where = torch.stack([frame[n], classes[n], r, c], dim=1)
    return Targets(whole.view(shape), care.view(shape), where, boxes[n], heat[n, r, c])


def centre_loss(logits: Tensor, targets: Targets) -> Tensor:
    """Return the penalty-reduced focal loss of the centres, per object (Zhou et al. 2019, eq. 1)."""
    p = logits.sigmoid()
    peak = targets.heat == 1.0
    hit = -F.logsigmoid(logits) * (1 - p).square()
    miss = -F.logsigmoid(-logits) * p.square() * (1 - targets.heat) ** 4 * targets.care
    return torch.where(peak, hit, miss).sum() / peak.sum().clamp(min=1)


def box_loss(reach: Tensor, targets: Targets) -> Tensor:
    """Return the generalised-IoU loss of the boxes around the centres, weighted by nearness to them."""
    from torchvision.ops import generalized_box_iou_loss

    frame, number, row, column = targets.where.T
    predicted = boxes_from(reach)[frame, number, row, column]
    loss = generalized_box_iou_loss(predicted, targets.boxes, reduction="none")
    return (loss * targets.weight).sum() / targets.weight.sum().clamp(min=1e-6)


def peaks(logits: Tensor, reach: Tensor, score: float, most: int = 100) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Return (boxes (N,4), scores (N,), classes (N,)) of each frame: cells that no neighbour of the class outdoes."""
    p = logits.sigmoid()
    top = (p == F.max_pool2d(p, 3, 1, 1)) & (p >= score)
    boxes = boxes_from(reach)
    found = []
    for b in range(len(p)):
        number, row, column = top[b].nonzero(as_tuple=True)
        scores = p[b, number, row, column]
        best = scores.argsort(descending=True, stable=True)[:most]
        found.append((boxes[b, number, row, column][best], scores[best], number[best]))
    return found
