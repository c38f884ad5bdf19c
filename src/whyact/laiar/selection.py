"""LaIAR Eq. 3: which relation tokens the DT-Former gets to see.

As printed, the selectors and their sparsity loss collapse. Two rules are offered:

* ``threshold`` (the paper): two binary straight-through Gumbel decisions, one a frame and one a token, and
  their product. Its size is free, and has to be held by a ratio loss.
* ``budget`` (default): rank the tokens of a clip by the product of the two keep probabilities and keep the
  best ``share``. Training and evaluation apply the same rule, so the selection can neither collapse nor
  differ between them; the share falls from 1 to its target and the noise from 1 to 0 during training.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from whyact.laiar.config import SelectConfig


@dataclass
class Selection:
    """``keep`` (B,T,K) in {0,1} with a straight-through gradient; ``probability`` (B,T,K) behind it.

    ``score`` (B,T,K), if the selectors were asked, is the logarithm of the two keep probabilities' product.
    """

    keep: Tensor
    probability: Tensor
    score: Tensor | None = None


def gumbel(like: Tensor) -> Tensor:
    """Draw the difference of two Gumbel variables (logistic noise), clamped away from infinities."""
    u = torch.rand_like(like, dtype=torch.float32).clamp(1e-6, 1 - 1e-6)
    return (u.log() - (-u).log1p()).to(like.dtype)


def _disturbed(score: Tensor, noise: float) -> Tensor:
    return score + noise * gumbel(score) if noise else score  # evaluation draws nothing from a training's generator


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """Return ``hard`` in value with the gradient of ``soft``."""
    return hard.to(soft.dtype) + (soft - soft.detach())


def keep_best(score: Tensor, valid: Tensor, share: float, tau: float) -> tuple[Tensor, Tensor]:
    """Keep the best ``ceil(share * n)`` of the n valid entries of each row (at least one).

    Args:
        score: (B,N), higher is better.
        valid: (B,N) bool.
        share: In (0,1].
        tau: Width of the soft threshold through which the gradient flows.

    Returns:
        (B,N) keep in {0,1} with a straight-through gradient, and the soft decision in 0..1.
    """
    n = valid.sum(1, keepdim=True)
    count = (n * share - 1e-4).ceil().clamp_min(1).long()
    ranked, order = score.masked_fill(~valid, -torch.inf).sort(dim=1, descending=True, stable=True)
    rank = torch.empty_like(order).scatter_(
        1, order, torch.arange(score.shape[1], device=score.device).expand_as(order)
    )
    hard = (rank < count) & valid
    last = ranked.gather(1, (count - 1).clamp_max(score.shape[1] - 1))
    following = ranked.gather(1, count.clamp_max(score.shape[1] - 1))
    # Half-way between the last kept and the first dropped; with everything kept there is no boundary to learn from.
    boundary = torch.where(count < n, (last + following) / 2, last - 4 * tau).detach()
    soft = torch.sigmoid((score - torch.nan_to_num(boundary, neginf=0.0)) / tau) * valid
    return straight_through(hard, soft), soft


class SelectorHead(nn.Module):
    """h = [W x, W_c x_class, ...] -> MLP -> logit of keeping (the difference of the paper's two logits)."""

    def __init__(self, width: int, inputs: int) -> None:
        super().__init__()
        self.compress = nn.ModuleList(nn.Linear(width, width // 2) for _ in range(inputs))
        h = inputs * width // 2
        self.mlp = nn.Sequential(nn.LayerNorm(h), nn.Linear(h, width // 2), nn.GELU(), nn.Linear(width // 2, 2))
        nn.init.zeros_(self.mlp[-1].weight)  # type: ignore[arg-type]
        with torch.no_grad():
            self.mlp[-1].bias.copy_(torch.tensor([2.0, 0.0]))  # type: ignore[operator]

    def forward(self, parts: list[Tensor]) -> Tensor:
        """Return (...,) logits from parts (..., D)."""
        logits = self.mlp(torch.cat([w(x) for w, x in zip(self.compress, parts, strict=True)], -1))
        return logits[..., 0] - logits[..., 1]


def changes(x: Tensor, valid: Tensor) -> list[Tensor]:
    """Return x minus its slot's mean over time, the next token minus x, x minus the one before (each (B,T,K,D))."""
    there = valid[..., None].to(x.dtype)
    mean = (x * there).sum(1, keepdim=True) / there.sum(1, keepdim=True).clamp_min(1)
    step = (x[:, 1:] - x[:, :-1]) * there[:, 1:] * there[:, :-1]
    return [(x - mean) * there, F.pad(step, (0, 0, 0, 0, 0, 1)), F.pad(step, (0, 0, 0, 0, 1, 0))]


class TokenSelectors(nn.Module):
    """The temporal selector (frames) and the spatial selector (tokens), and the rule that joins them."""

    def __init__(self, width: int, config: SelectConfig) -> None:
        super().__init__()
        self.config = config
        inputs = {"class": 2, "mean": 2, "change": 5}[config.context]
        self.temporal = SelectorHead(width, inputs) if config.temporal else None
        self.spatial = SelectorHead(width, inputs) if config.spatial else None

    def schedule(self, progress: float) -> tuple[float, float]:
        """Return (share kept, noise) at this share of the training."""
        c = self.config
        ramp = 1.0 if c.ramp <= 0 else min(1.0, max(0.0, (progress - c.warmup) / c.ramp))
        return 1.0 - (1.0 - c.share) * ramp, c.noise * (1.0 - progress)

    def logits(self, x0: Tensor, valid: Tensor, cls: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return the temporal (B,T) and spatial (B,T,K) keep logits of x0 (B,T,K,D)."""
        there = valid[..., None].to(x0.dtype)
        frame = (x0 * there).sum(2) / there.sum(2).clamp_min(1)  # (B,T,D)
        context = cls.expand(len(x0), -1, -1)  # (B,1,D)
        if self.config.context != "class":
            context = (x0 * there).sum((1, 2))[:, None] / there.sum((1, 2))[:, None].clamp_min(1)
        frame_parts = [frame, context.expand_as(frame)]
        token_parts = [x0, context[:, None].expand_as(x0)]
        if self.config.context == "change":
            moved = changes(x0, valid)
            token_parts += moved
            frame_parts += [m.abs().amax(2) for m in moved]  # one changing pair makes a frame worth keeping
        return (
            None if self.temporal is None else self.temporal(frame_parts),
            None if self.spatial is None else self.spatial(token_parts),
        )

    def forward(self, x0: Tensor, valid: Tensor, cls: Tensor, progress: float, gated: bool = True) -> Selection:
        """Select tokens of x0 (B,T,K,D).

        Args:
            x0: Positioned tokens.
            valid: (B,T,K).
            cls: The class token (1,1,D).
            progress: Share of the training done; 1 at evaluation.
            gated: Off: score the tokens but keep them all.
        """
        everything = valid.to(x0.dtype)
        if self.temporal is None and self.spatial is None:
            return Selection(everything, everything)
        temporal, spatial = self.logits(x0, valid, cls)
        score = torch.zeros_like(everything)
        if temporal is not None:
            score = score + F.logsigmoid(temporal)[..., None]
        if spatial is not None:
            score = score + F.logsigmoid(spatial)
        if not gated or (self.training and progress < self.config.warmup):
            return Selection(everything, everything, score)
        if self.config.rule == "threshold":
            return self._threshold(temporal, spatial, valid, score)
        share, noise = self.schedule(progress)
        noise = noise if self.training else 0.0
        if spatial is None:  # whole frames
            score = score.amax(2)
            keep, soft = keep_best(_disturbed(score, noise), valid.any(2), share, self.config.tau)
            keep, soft, score = keep[..., None] * valid, soft[..., None] * valid, score[..., None].expand_as(valid)
            return Selection(keep, soft, score)
        keep, soft = keep_best(_disturbed(score, noise).flatten(1), valid.flatten(1), share, self.config.tau)
        return Selection(keep.view_as(valid), soft.view_as(valid), score)

    def _threshold(self, temporal: Tensor | None, spatial: Tensor | None, valid: Tensor, score: Tensor) -> Selection:
        keep = probability = valid.to(torch.float32)
        for logits in (None if temporal is None else temporal[..., None], spatial):
            if logits is None:
                continue
            noisy = logits + gumbel(logits) if self.training else logits
            keep = keep * straight_through(noisy >= 0, torch.sigmoid(noisy / self.config.tau))
            probability = probability * torch.sigmoid(logits)
        if not self.training:  # an empty selection explains nothing: keep the likeliest token
            empty = (keep.flatten(1).sum(1) == 0) & valid.flatten(1).any(1)
            best = probability.masked_fill(~valid, -1).flatten(1).argmax(1)  # valid even where all round to 0
            one = F.one_hot(best, keep.flatten(1).shape[1]).view_as(keep) * valid
            keep = torch.where(empty[:, None, None], one.to(keep.dtype), keep)
        return Selection(keep, probability, score)
