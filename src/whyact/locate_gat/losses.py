"""What the two stages minimise and how scores are joined: pure functions on tensors."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F


def mse(video: Tensor, text: Tensor, target: Tensor) -> Tensor:
    """Return the published stage-1 loss: mean squared error of raw vectors.

    Shapes: ``video`` (B,D), ``text`` (C,D), ``target`` (B,) indices into C.
    """
    return F.mse_loss(video, text[target])


def cosine_softmax(video: Tensor, text: Tensor, target: Tensor, temperature: float) -> Tensor:
    """Return the cross-entropy of ``cos(video, text) / temperature`` against the true class.

    Shapes: ``video`` (B,D), ``text`` (C,D), ``target`` (B,).
    """
    return F.cross_entropy(cosine(video, text) / temperature, target)


def graph_regression(rows: Tensor, targets: Tensor, kind: Literal["mse", "cosine"]) -> Tensor:
    """Return the stage-2 loss between graph rows of seen classes and their targets, both (S,D) with unit rows.

    ``mse`` is the published objective; ``cosine`` is ``mean(1 - cos)``, the same up to a factor for unit rows.
    """
    if kind == "mse":
        return F.mse_loss(rows, targets)
    return (1 - F.cosine_similarity(rows, targets, dim=1)).mean()


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Return the cosine of every row of ``a`` (N,D) with every row of ``b`` (M,D): (N,M)."""
    return F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T


def prototypes(video: Tensor, target: Tensor, classes: int) -> Tensor:
    """Return the unit mean direction of each class's unit video vectors: (B,D), (B,) to (classes,D).

    A class without videos gets a zero row, which :func:`graph_regression` callers must leave out.
    """
    total = torch.zeros(classes, video.shape[1], dtype=video.dtype).index_add_(0, target, F.normalize(video, dim=-1))
    return F.normalize(total, dim=-1)
