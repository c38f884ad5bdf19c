"""The losses of PVLR as pure functions on tensors (equation numbers follow docs/pvlr.md).

Axes: B videos, T snippets, C classes (background is column C), D joint width, n and m set sizes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from whyact.pvlr.config import LossConfig
from whyact.pvlr.model import Output


def total(out: Output, labels: Tensor, target: Tensor | None, pairs: int, cfg: LossConfig) -> dict[str, Tensor]:
    """Return every weighted term; their sum is the training loss.

    Args:
        out: The network's output for a batch whose first rows are pairs that share a class.
        labels: (B,C) multi-hot.
        target: (B,T,D) image-language features to distil, or ``None`` for no distillation.
        pairs: How many pairs lead the batch.
        cfg: Weights and switches. A term of weight 0 is not computed.
    """
    suppressed = suppress(out.cas, out.attention)
    attentions = (out.attention, out.attention_rgb, out.attention_flow)
    terms: dict[str, Tensor] = {}
    if cfg.classification:
        terms["classification"] = cfg.classification * (
            top_k_mil(out.cas, labels, 1, cfg.top_k) + top_k_mil(suppressed, labels, 0, cfg.top_k)
        )
    if cfg.sparsity:
        terms["sparsity"] = cfg.sparsity * torch.stack([a.mean() for a in attentions]).mean()
    if cfg.guide:
        terms["guide"] = cfg.guide * guide(out.cas, attentions)
    if cfg.co_activity:
        terms["co_activity"] = cfg.co_activity * co_activity(out.hidden, suppressed, labels, pairs)
    if cfg.distillation and target is not None:
        terms["distillation"] = cfg.distillation * distillation(out.mean, target)
    if cfg.intra_action or cfg.intra_background:
        action, background = intra_contrast(out.mean, out.variance, out.attention.detach(), cfg)
        terms["intra_action"] = cfg.intra_action * action
        terms["intra_background"] = cfg.intra_background * background
    if cfg.inter:
        terms["inter"] = cfg.inter * inter_contrast(out.mean, out.variance, out.attention, labels, cfg)
    if cfg.orthogonality:
        terms["orthogonality"] = cfg.orthogonality * orthogonality(out.text)
    return terms


def suppress(cas: Tensor, attention: Tensor) -> Tensor:
    """Flatten a snippet (B,T,C+1) to its lowest class as its attention (B,T) goes to 0 (Eq. 13)."""
    floor = cas.min(dim=-1, keepdim=True).values
    return attention.unsqueeze(-1) * (cas - floor) + floor


def top_k_mil(cas: Tensor, labels: Tensor, background: int, ratio: int) -> Tensor:
    """Classify a video by each class's T/ratio highest snippets (Eq. 14); returns a scalar."""
    k = max(1, cas.shape[1] // ratio)
    video = cas.topk(k, dim=1).values.mean(dim=1)  # (B,C+1)
    target = torch.cat([labels, labels.new_full((len(labels), 1), background)], dim=1)
    target = target / (target.sum(dim=1, keepdim=True) + 1e-4)
    return -(target * F.log_softmax(video, dim=1)).sum(dim=1).mean()


def guide(cas: Tensor, attentions: tuple[Tensor, ...]) -> Tensor:
    """Ask attention and background probability to add up to one (Eq. 15)."""
    background = cas.softmax(dim=-1)[..., -1]
    return torch.stack([(1 - a - background).abs().mean() for a in attentions]).mean()


def co_activity(hidden: Tensor, suppressed: Tensor, labels: Tensor, pairs: int, margin: float = 0.5) -> Tensor:
    """Pull the shared actions of paired videos together, push their backgrounds away (Eq. 16).

    Args:
        hidden: (B,T,F).
        suppressed: (B,T,C+1).
        labels: (B,C).
        pairs: Rows (0,1), (2,3), ... up to this many pairs.
        margin: Of the ranking hinge.
    """
    shared = (labels[0 : 2 * pairs : 2] * labels[1 : 2 * pairs : 2]) > 0  # (P,C)
    if not shared.any():
        return hidden.sum() * 0
    x, s = hidden[: 2 * pairs], suppressed[: 2 * pairs, :, :-1]
    w = s.softmax(dim=1)  # over time
    high = F.normalize(torch.einsum("btf,btc->bcf", x, w), dim=-1)
    low = F.normalize(torch.einsum("btf,btc->bcf", x, (1 - w) / max(x.shape[1] - 1, 1)), dim=-1)
    (h1, h2), (l1, l2) = (high[0::2], high[1::2]), (low[0::2], low[1::2])
    near = 1 - (h1 * h2).sum(-1)  # (P,C)
    hinges = [F.relu(near - (1 - (a * b).sum(-1)) + margin) for a, b in ((h1, l2), (h2, l1))]
    return 0.5 * (hinges[0] + hinges[1])[shared].sum() / shared.sum()


def distillation(mean: Tensor, target: Tensor) -> Tensor:
    """Pull the means (B,T,D) towards the image-language features (B,T,D) in cosine (Eq. 17)."""
    return -torch.log(((1 + F.cosine_similarity(mean, target, dim=-1)) / 2).mean().clamp_min(1e-6))


def kl(mean_p: Tensor, var_p: Tensor, mean_q: Tensor, var_q: Tensor) -> Tensor:
    """Return KL(p_i || q_j) (..., n, m) of diagonal Gaussians (..., n, D) and (..., m, D), at least 0 (Eq. 18).

    Computed pair by pair: expanded into two matrix products, the large terms that cancel leave an error of up to 14
    nats in float32 where variances are near 0. Here every dimension adds ``delta^2/var_q + (r - 1 - ln r)`` with
    r = var_p/var_q, which is exactly 0 for equal distributions and never negative but for rounding.
    """
    delta, ratio = mean_p.unsqueeze(-2) - mean_q.unsqueeze(-3), var_p.unsqueeze(-2) / var_q.unsqueeze(-3)
    return 0.5 * (delta.square() / var_q.unsqueeze(-3) + (ratio - 1 - ratio.log()).clamp_min(0)).sum(-1)


def mahalanobis(mean_p: Tensor, var_p: Tensor, mean_q: Tensor, var_q: Tensor) -> Tensor:
    """Return the squared distance (..., n, m) under the mean variance of each pair."""
    delta, var = _pairs(mean_p, var_p, mean_q, var_q)
    return (delta.square() / var).sum(-1)


def bhattacharyya(mean_p: Tensor, var_p: Tensor, mean_q: Tensor, var_q: Tensor, half: bool = True) -> Tensor:
    """Return the Bhattacharyya distance (..., n, m); ``half`` False keeps the official second term."""
    delta, var = _pairs(mean_p, var_p, mean_q, var_q)
    logs = var_p.log().sum(-1).unsqueeze(-1) + var_q.log().sum(-1).unsqueeze(-2)
    return (delta.square() / var).sum(-1) / 8 + 0.5 * (var.log().sum(-1) - (0.5 if half else 1.0) * logs)


def similarity(mean_p: Tensor, var_p: Tensor, mean_q: Tensor, var_q: Tensor, cfg: LossConfig) -> Tensor:
    """Return s = 1/(1+distance) (..., n, m) with the configured distance (Eq. 19).

    Variances come without the floor. The authors add it to both of a pair, except in the Mahalanobis distance, where
    they add it to their sum.
    """
    if cfg.metric == "mahalanobis":
        floor = cfg.variance_floor / 2
        distance = mahalanobis(mean_p, var_p + floor, mean_q, var_q + floor)
    elif cfg.metric == "bhattacharyya":
        var_p, var_q = var_p + cfg.variance_floor, var_q + cfg.variance_floor
        distance = bhattacharyya(mean_p, var_p, mean_q, var_q, cfg.half_bhattacharyya)
        distance = distance.clamp_min(0) if cfg.half_bhattacharyya else distance
    else:
        distance = kl(mean_p, var_p + cfg.variance_floor, mean_q, var_q + cfg.variance_floor)
    return _similarity(distance, mean_p.shape[-1], cfg)


def _similarity(distance: Tensor, width: int, cfg: LossConfig) -> Tensor:
    return 1 / (1 + (distance / width if cfg.per_dimension else distance))


def mine(attention: Tensor, cfg: LossConfig) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pick snippets: easy action, easy background, hard action, hard background (Eq. 20).

    Hard action lies just inside the edges of the attentive half, hard background just outside.

    Without ``valid_rings``, as in the public code, many snippets tie at exactly 0. The public code breaks such ties by
    an unstable sort, so which ones it takes is arbitrary; here the earliest are taken.

    Args:
        attention: (B,T), no gradient.
        cfg: Sizes; see :class:`LossConfig`.

    Returns:
        Four index tensors (B, k) into T.
    """
    length = attention.shape[1]
    easy, hard = min(cfg.easy, length), min(cfg.hard, length)
    drop = F.dropout(torch.ones_like(attention), cfg.mask_dropout)
    easy_action = (attention * drop).topk(easy, dim=1).indices
    easy_background = ((attention.amax(1, keepdim=True) - attention) * drop).topk(easy, dim=1).indices
    half = (attention > attention.quantile(0.5, dim=1, keepdim=True)).to(attention.dtype)
    inner = erode(half, cfg.inner) - erode(half, cfg.outer)
    outer = dilate(half, cfg.outer) - dilate(half, cfg.inner)
    if cfg.valid_rings:
        # Attention lies in 0..1: a ring member beats any member of its half, which beats the rest.
        hard_action = (attention + 4 * inner + 2 * half).topk(hard, dim=1).indices
        hard_background = (attention + 4 * outer + 2 * (1 - half)).topk(hard, dim=1).indices
    else:
        hard_action, hard_background = (
            (attention * ring).sort(dim=1, descending=True, stable=True).indices[:, :hard] for ring in (inner, outer)
        )
    return easy_action, easy_background, hard_action, hard_background


def dilate(mask: Tensor, window: int) -> Tensor:
    """Return the binary dilation in time of (B,T) by a window of ones (even windows as SciPy centres them)."""
    before = window - 1 - window // 2
    return F.max_pool1d(F.pad(mask, (before, window // 2)).unsqueeze(1), window, 1).squeeze(1)


def erode(mask: Tensor, window: int) -> Tensor:
    """Return the binary erosion in time of (B,T); outside the video counts as background."""
    before = window // 2
    padded = F.pad(1 - mask, (before, window - 1 - before), value=1.0)
    return 1 - F.max_pool1d(padded.unsqueeze(1), window, 1).squeeze(1)


def intra_contrast(mean: Tensor, variance: Tensor, attention: Tensor, cfg: LossConfig) -> tuple[Tensor, Tensor]:
    """Contrast hard snippets with easy ones inside each video (Eq. 21); returns the action and background terms."""
    easy_action, easy_background, hard_action, hard_background = mine(attention, cfg)
    query = torch.cat([hard_action, hard_background], dim=1)
    key = torch.cat([easy_action, easy_background], dim=1)
    p, q = (_take(mean, query), _take(variance, query)), (_take(mean, key), _take(variance, key))
    s = similarity(*p, *q, cfg)  # (B, 2 hard, 2 easy)
    if cfg.symmetric:
        s = 0.5 * (s + similarity(*q, *p, cfg).mT)
    split = s.unflatten(1, (2, -1)).unflatten(3, (2, -1)).mean(dim=(2, 4))  # (B, query a/b, key a/b)
    return (
        _contrast(split[:, 0, 0], split[:, 0, 1], cfg),
        _contrast(split[:, 1, 1], split[:, 1, 0], cfg),
    )


def inter_contrast(mean: Tensor, variance: Tensor, attention: Tensor, labels: Tensor, cfg: LossConfig) -> Tensor:
    """Contrast whole videos: similar when they share a class, else apart (Eq. 22-23).

    Two videos are compared by KL whatever ``metric`` says: that setting is about snippets alone, as in the public code.
    """
    a = attention.unsqueeze(-1)
    mass = a.sum(1).clamp_min(1e-6) if cfg.mixture == "attention" else a.new_tensor(float(a.shape[1]))
    centre = (a * mean).sum(1) / mass  # (B,D)
    if cfg.inter_metric == "cosine":
        s = (1 + F.cosine_similarity(centre[:, None], centre[None], dim=-1)) / 2
    else:
        if cfg.mixture_variance == "definition":
            spread = ((a * (mean.square() + variance)).sum(1) / mass - centre.square()).clamp_min(0)
        else:
            spread = (a * variance).sum(1) / mass
        spread = spread + cfg.variance_floor
        s = _similarity(kl(centre, spread, centre, spread), centre.shape[-1], cfg)  # (B,B)
    same = (labels @ labels.T) > 0
    if cfg.contrast == "frobenius":
        return (same.to(s.dtype) - s).norm()
    return -_mean(_log(s, cfg)[same]) - _mean(_log(1 - s, cfg)[~same])


def orthogonality(text: Tensor) -> Tensor:
    """Push the class texts (C+1,D) apart (Eq. 24)."""
    unit = F.normalize(text, dim=-1)
    return torch.linalg.matrix_norm(unit @ unit.detach().T - torch.eye(len(unit), device=unit.device))


def _contrast(positive: Tensor, negative: Tensor, cfg: LossConfig) -> Tensor:
    if cfg.contrast == "frobenius":
        return (1 - positive).norm() + negative.norm()
    return -(_log(positive, cfg) + _log(1 - negative, cfg)).mean()


def _log(x: Tensor, cfg: LossConfig) -> Tensor:
    # The gradient survives the clamp: a saturated pair must still be able to move.
    return torch.log(x + (x.clamp_min(cfg.similarity_floor) - x).detach())


def _mean(x: Tensor) -> Tensor:
    return x.mean() if x.numel() else x.sum()


def _take(x: Tensor, index: Tensor) -> Tensor:
    return x.gather(1, index.unsqueeze(-1).expand(-1, -1, x.shape[-1]))


def _pairs(mean_p: Tensor, var_p: Tensor, mean_q: Tensor, var_q: Tensor) -> tuple[Tensor, Tensor]:
    delta = mean_p.unsqueeze(-2) - mean_q.unsqueeze(-3)
    return delta, 0.5 * (var_p.unsqueeze(-2) + var_q.unsqueeze(-3))
