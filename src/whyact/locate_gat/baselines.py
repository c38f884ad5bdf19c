"""What LoCATe-GAT has to beat: six zero-shot classifiers of mean-pooled frames, a function each, nothing to tune.

All answer the same question, so that a table can hold them side by side and calibrate them alike: given training videos
of seen classes and the texts of all classes, how well does each class fit each test video?
:data:`BASELINES` names them; :func:`scores` runs one on a split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from whyact.data.types import Int
from whyact.errors import UserError
from whyact.locate_gat import losses
from whyact.locate_gat.losses import cosine
from whyact.locate_gat.scores import ScoreParts, Tensors


@dataclass(frozen=True)
class Seen:
    """What may be learned from: pooled videos (N,Dv), their classes (N,), the texts of these classes (S,D)."""

    video: Tensor
    target: Tensor
    text: Tensor


def clip_zero_shot(seen: Seen, test: Tensor, text: Tensor) -> Tensor:
    """Compare videos with names as CLIP alone does: the cosine of the mean frame and the text; nothing is learned.

    Raises:
        UserError: When videos and texts do not share a space.
    """
    if test.shape[1] != text.shape[1]:
        expected = f"features of the text's width, {text.shape[1]}: of one CLIP that reads frames and names"
        raise UserError("clip-zero-shot", f"features of width {test.shape[1]}", expected)
    return cosine(test, text)


def ridge_to_text(seen: Seen, test: Tensor, text: Tensor, strength: float = 1.0) -> Tensor:
    """Map videos to texts by ridge regression on seen classes, and compare by cosine."""
    weight, bias = ridge(seen.video, seen.text[seen.target], strength)
    return cosine(test @ weight.T + bias, text)


def conse_scores(seen: Seen, test: Tensor, text: Tensor) -> Tensor:
    """Compare the mixture of seen names that :func:`conse` makes of a video with all names."""
    return cosine(conse(seen.video, seen.target, test, seen.text), text)


def eszsl(seen: Seen, test: Tensor, text: Tensor, gamma: float = 1.0, lam: float = 1.0) -> Tensor:
    """Learn a bilinear score in closed form (ESZSL; Romera-Paredes and Torr, ICML 2015).

    With X (N,Dv) unit videos, S (S,D) unit texts and Y (N,S) of +1 and -1:
    ``V = (X'X + gamma I)^-1 X'Y S (S'S + lam I)^-1`` and a video's score of a class is ``x V s``. Solved in the dual
    where there are fewer rows than columns.
    """
    x, s = _unit(seen.video), _unit(seen.text)
    y = 2.0 * F.one_hot(seen.target, len(s)).to(x.dtype) - 1
    left = x.T @ torch.linalg.solve(x @ x.T + gamma * torch.eye(len(x), dtype=x.dtype), y)  # (Dv,S)
    right = torch.linalg.solve(s @ s.T + lam * torch.eye(len(s), dtype=s.dtype), s)  # (S,D)
    return (_unit(test) @ left @ right @ _unit(text).T).to(test.dtype)


def sae(seen: Seen, test: Tensor, text: Tensor, lam: float = 0.2) -> Tensor:
    """Learn a tied encoder of videos into texts that also decodes (SAE; Kodirov et al., CVPR 2017).

    W (D,Dv) solves ``A W + W B = C`` with A = SS', B = lam XX', C = (1 + lam) SX', for columns S of texts and X of unit
    videos. Both A and B are symmetric, so their eigenvectors solve it entry by entry; W lies in the span of the videos.
    """
    x, s = _unit(seen.video), _unit(seen.text)[seen.target]  # (N,Dv), (N,D)
    a, u = torch.linalg.eigh(s.T @ s)
    _, sizes, v = torch.linalg.svd(x, full_matrices=False)
    kept = sizes > 1e-6 * sizes.max()
    b, v = lam * sizes[kept].square(), v[kept]  # (R,), (R,Dv)
    c = (1 + lam) * (u.T @ s.T @ x @ v.T)  # (D,R)
    weight = u @ (c / (a.clamp_min(0)[:, None] + b)) @ v
    return cosine(_unit(test) @ weight.T, _unit(text)).to(test.dtype)


def class_prototypes(seen: Seen, test: Tensor, text: Tensor, nearest: int = 5) -> Tensor:
    """Compare videos with a prototype of each class: of a seen class the mean of its unit videos.

    The prototype of a class without videos is the mixture of those of the ``nearest`` seen names, weighted by the
    softmax of the cosine of names over 0.1. Videos are centred on the mean of the training videos first.
    """
    centre = seen.video.mean(0)
    rows = losses.prototypes(seen.video - centre, seen.target, len(seen.text))
    values, index = cosine(text[len(rows) :], seen.text).topk(min(nearest, len(rows)), dim=1)  # (U,k)
    mixed = ((values / 0.1).softmax(1)[..., None] * rows[index]).sum(1)
    return cosine(test - centre, torch.cat([rows, mixed]))


Baseline = Callable[[Seen, Tensor, Tensor], Tensor]
BASELINES: Mapping[str, Baseline] = {
    "clip-zero-shot": clip_zero_shot,
    "ridge": ridge_to_text,
    "conse": conse_scores,
    "eszsl": eszsl,
    "sae": sae,
    "prototypes": class_prototypes,
}
"""Name -> scores (M,C) of test videos (M,Dv) against the texts (C,D) of all classes, the S seen ones first."""


def scores(baseline: Baseline, tensors: Tensors, seen: Int, unseen: Int, train: Int, videos: Int) -> ScoreParts:
    """Run a baseline on a split: learn from the videos ``train`` of the classes ``seen``, score ``videos``.

    Args:
        baseline: One of :data:`BASELINES`.
        tensors: The data; frames are averaged.
        seen: Positions of seen classes.
        unseen: Positions of the other candidates.
        train: Positions of training videos.
        videos: Positions of the videos to score.
    """
    classes = np.concatenate([seen, unseen])
    position = np.full(len(tensors.text), -1)
    position[classes] = np.arange(len(classes))
    pooled, target = tensors.frames.mean(1), torch.from_numpy(position)[tensors.target]
    index = torch.from_numpy(train)
    known = Seen(pooled[index], target[index], tensors.text[torch.from_numpy(seen)])
    found = baseline(known, pooled[torch.from_numpy(videos)], tensors.text[torch.from_numpy(classes)]).float().numpy()
    return ScoreParts(found, found, target.numpy()[videos], np.arange(len(classes)) < len(seen), classes)


def _unit(x: Tensor) -> Tensor:
    return F.normalize(x.double(), dim=1)


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
