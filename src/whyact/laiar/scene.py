"""What whole frames look like, as a term of the answer by itself, beside the tokens of pairs.

With a few tens of clips the view of an image network is worth as much as the boxes, and errs elsewhere. A network that
learns from both at once leans on whichever it overfits first, so the term is a plain logistic regression that is fitted
by itself: its strength by training groups left out in turn, its weight against the tokens on training groups held out.
Removing tokens leaves it as it was, so what a pair contributes is still exact. The paper has no such term.
Axis letters as in ``model.py``: B clips, T frames, A width of a frame's vector, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

STRENGTHS = (0.003, 0.01, 0.03, 0.1)
SHARE = 0.5  # of the tokens' logits where no group could be held out: a network is too sure of itself
FOLDS = 5  # at most, of the groups that are left out in turn
SHARES = (0.25, 0.5, 0.75, 1.0)


class SceneTerm(nn.Module):
    """log p(class | mean and spread of whole frames over time), joined to ``share`` times the tokens' logits.

    Until it is fitted it changes nothing.
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.scale: Tensor
        self.weight: Tensor
        self.bias: Tensor
        self.share: Tensor
        self.register_buffer("mean", torch.zeros(2 * width))
        self.register_buffer("scale", torch.ones(2 * width))
        self.register_buffer("weight", torch.zeros(classes, 2 * width))
        self.register_buffer("bias", torch.zeros(classes))
        self.register_buffer("share", torch.ones(()))

    def forward(self, scene: Tensor) -> Tensor:
        """Return the log-probabilities (B,C) of frames (B,T,A); all classes alike where no frame was encoded."""
        x = (describe(scene) - self.mean) / self.scale
        there = scene.any(-1).any(1)[:, None]
        return torch.where(there, x @ self.weight.T + self.bias, 0.0).log_softmax(-1)

    def joined(self, logits: Tensor, scene: Tensor | None) -> Tensor:
        """Return the logits (B,C) of tokens and frames together."""
        return logits if scene is None else self.share * logits + self(scene)

    def fit(self, scene: Tensor, target: NDArray[np.int64], groups: Sequence[str]) -> None:
        """Fit on the frames (N,T,A) of training clips; those in which no frame was encoded teach nothing."""
        from sklearn.linear_model import LogisticRegression

        there = scene.any(-1).any(1).numpy()
        x, y, group = describe(scene).numpy()[there], target[there], np.array(groups)[there]
        if len(set(y.tolist())) < 2:
            return
        mean, scale = x.mean(0), np.maximum(x.std(0), 1e-6)
        z = (x - mean) / scale
        strength = _choose_strength(z, y, group)
        fitted = LogisticRegression(C=strength, max_iter=500).fit(z, y)
        weight, bias = np.asarray(fitted.coef_), np.asarray(fitted.intercept_)
        if len(weight) == 1:  # of two classes it keeps one row
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        self.mean.copy_(torch.from_numpy(mean))
        self.scale.copy_(torch.from_numpy(scale))
        self.weight.zero_()
        self.bias.fill_(-20.0)  # a class without a training clip
        self.weight[fitted.classes_] = torch.from_numpy(weight).to(self.weight)
        self.bias[fitted.classes_] = torch.from_numpy(bias).to(self.bias)
        self.share.fill_(SHARE)


def describe(scene: Tensor) -> Tensor:
    """Return mean and standard deviation (B,2A) of the frames (B,T,A) that were encoded."""
    there = scene.any(-1, keepdim=True).to(scene.dtype)
    count = there.sum(1).clamp_min(1)
    mean = (scene * there).sum(1) / count
    spread = (((scene - mean[:, None]) * there).square().sum(1) / count).sqrt()
    return torch.cat([mean, spread], -1)


def _choose_strength(x: NDArray[np.floating], y: NDArray[np.int64], groups: NDArray[np.str_]) -> float:
    """Return the strength whose log-likelihood is best on training groups left out in turn."""
    from sklearn.linear_model import LogisticRegression

    folds = np.unique(groups, return_inverse=True)[1] % FOLDS
    best, chosen = -np.inf, STRENGTHS[1]
    for strength in STRENGTHS:
        total, count = 0.0, 0
        for fold in sorted(set(folds.tolist())):
            out = folds == fold
            if len(set(y[~out].tolist())) < 2:
                continue
            fitted = LogisticRegression(C=strength, max_iter=500).fit(x[~out], y[~out])
            known = np.isin(y[out], fitted.classes_)
            column = np.searchsorted(fitted.classes_, y[out][known])
            total += float(fitted.predict_log_proba(x[out][known])[np.arange(known.sum()), column].sum())
            count += int(known.sum())
        if count and total / count > best:
            best, chosen = total / count, strength
    return chosen
