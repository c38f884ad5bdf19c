"""What LoCATe-GAT has to beat: a linear map from mean-pooled frames to text, and a mixture of seen names."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F


def ridge(x: Tensor, y: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """Solve ridge regression with intercept: weight (Dy,Dx) and bias (Dy,) for x (N,Dx), y (N,Dy).

    Minimises ``|xW' + b - y|^2 + strength * N * v * |W|^2`` with v the mean variance of x, so that one strength
    fits features of any scale. Solved in the dual, for there are fewer videos than dimensions.
    """
    mean_x, mean_y = x.double().mean(0), y.double().mean(0)
    a, b = x.double() - mean_x, y.double() - mean_y
    # videos that are all alike (or one alone) say nothing about x: any scale gives weight 0 and the mean of y
    scale = float(strength * a.square().sum() / max(a.shape[1], 1)) or 1.0
    gram = a @ a.T
    weight = (a.T @ torch.linalg.solve(gram + scale * torch.eye(len(a), dtype=a.dtype), b)).T
    return weight.to(x.dtype), (mean_y - weight @ mean_x).to(x.dtype)


def conse(pooled: Tensor, target: Tensor, test: Tensor, text: Tensor, top: int = 10) -> Tensor:
    """Embed test videos as mixtures of seen class texts, weighted by a seen-class posterior (ConSE).

    Args:
        pooled: Training videos (N,Dv).
        target: Their seen classes (N,).
        test: Videos to embed (M,Dv).
        text: Texts of the seen classes (S,D).
        top: How many of the likeliest classes take part.

    Returns:
        Vectors (M,D), unit length.
    """
    from sklearn.linear_model import LogisticRegression

    mean, sd = pooled.mean(0), pooled.std(0) + 1e-6
    posterior: NDArray[np.float64] = (
        LogisticRegression(C=0.01, max_iter=500)
        .fit(((pooled - mean) / sd).numpy(), target.numpy())
        .predict_proba(((test - mean) / sd).numpy())
    )
    p = torch.from_numpy(posterior).to(text.dtype)
    kept = torch.zeros_like(p).scatter_(1, p.topk(min(top, p.shape[1]), dim=1).indices, 1.0) * p
    return F.normalize(kept @ F.normalize(text, dim=1), dim=1)
