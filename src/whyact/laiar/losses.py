"""LaIAR Eq. 7-11 as pure functions of tensors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from whyact.laiar.chain import NEVER, chain_loss


def classification(logits: Tensor, target: Tensor, weight: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
    """Eq. 7, one path: softmax cross-entropy for target (B,), mean binary cross-entropy for target (B,C)."""
    if target.dim() == 2:
        return F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype))
    return F.cross_entropy(logits, target, weight=weight, label_smoothing=smoothing)


def similarity(v: Tensor, s: Tensor, label: Tensor, log_t: Tensor, *, strict: bool = False) -> Tensor:
    """Eq. 8: symmetric contrast of aligned joint-space tokens.

    Args:
        v: (n,D) visual tokens.
        s: (n,D) semantic tokens of the same pairs.
        label: (n,) integer naming the (subject, label set, object) triple; equal labels are all positives.
        log_t: Log of the inverse temperature; its exponential is clamped at 100 (CLIP).
        strict: Only the diagonal is positive, as printed.
    """
    if len(v) < 2:
        return v.sum() * 0.0
    logits = log_t.exp().clamp_max(100.0) * F.normalize(v, dim=-1) @ F.normalize(s, dim=-1).T
    if strict:
        diagonal = torch.arange(len(v), device=v.device)
        return (F.cross_entropy(logits, diagonal) + F.cross_entropy(logits.T, diagonal)) / 2
    same = (label[:, None] == label[None]).to(v.dtype)
    target = same / same.sum(1, keepdim=True)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def token_selection(video: Tensor, language: Tensor, valid: Tensor, l1: float, *, detach: bool = True) -> Tensor:
    """Eq. 9: mean over valid tokens of (u_v - u_s)^2 + l1 |u_s|.

    Args:
        video: (B,T,K) selection signal of the video model.
        language: (B,T,K) that of the language model.
        valid: (B,T,K); padding must not water the mean down.
        l1: lambda_1, the pull towards dropping.
        detach: Let the language signal be a target only.
    """
    n = valid.sum().clamp_min(1)
    target = language.detach() if detach else language
    return (((video - target) ** 2 * valid).sum() + l1 * (language.abs() * valid).sum()) / n


def selection_guidance(score: Tensor, used: Tensor, valid: Tensor) -> Tensor:
    """Teach the selectors which tokens the language model uses: KL(used || softmax of score over the clip's tokens).

    Args:
        score: (B,T,K) log keep scores of one model's selectors.
        used: (B,T,K) shares of the language model's class attention over all valid tokens; a target only.
        valid: (B,T,K).
    """
    there = valid.flatten(1)
    likely = score.flatten(1).masked_fill(~there, -1e4).log_softmax(1)
    target = (used.detach() * valid).flatten(1)
    target = target / target.sum(1, keepdim=True).clamp_min(1e-9)
    return (torch.xlogy(target, target) - target * likely).masked_fill(~there, 0).sum(1).mean()


def keep_ratio(probability: Tensor, valid: Tensor, share: float) -> Tensor:
    """Two-sided ratio loss (mean keep probability - share)^2, the guard of the threshold rule."""
    return ((probability * valid).sum() / valid.sum().clamp_min(1) - share) ** 2


def cross_modal(student: Tensor, teacher: Tensor, *, detach: bool = True, multi_label: bool = False) -> Tensor:
    """Eq. 10 with its sign set right: KL(P_s || P_v2s), mean over the batch.

    Args:
        student: (B,C) logits of the video model's second head.
        teacher: (B,C) logits of the language model.
        detach: Let the teacher be a target only.
        multi_label: Sum of two-sided Bernoulli divergences, mean over classes, in place of the softmax form.
    """
    teacher = teacher.detach() if detach else teacher
    if multi_label:
        p = torch.sigmoid(teacher)
        positive = p * (F.logsigmoid(teacher) - F.logsigmoid(student))
        negative = (1 - p) * (F.logsigmoid(-teacher) - F.logsigmoid(-student))
        return (positive + negative).mean()
    return F.kl_div(F.log_softmax(student, -1), F.log_softmax(teacher, -1), reduction="batchmean", log_target=True)


def naming(scores: Tensor, switch: Tensor, relations: Tensor, valid: Tensor, emphasis: float) -> Tensor:
    """Teach the chain of names the true relations; the paper has no such loss.

    Slots weigh by how rare their rarest label is in the batch (counts to the power -1/2), and those that change more.

    Args:
        scores: (B,T,K,R), :data:`whyact.laiar.chain.NEVER` where a pair cannot carry a label.
        switch: What a change costs.
        relations: (B,T,K,R) true labels, those that name tokens alone.
        valid: (B,T,K).
        emphasis: Weight of a slot with a change, beside 1.
    """
    known = (relations > 0).any(-1) & valid & (scores.amax(-1) > NEVER / 2)
    x, truth, known = (y.transpose(1, 2).flatten(0, 1) for y in (scores, relations > 0, known))  # (B*K,T,R)
    taught = known.any(1)
    x, truth, known = x[taught], truth[taught], known[taught]
    truth = truth & known[..., None]
    count = truth.sum((0, 1)).clamp_min(1).to(x.dtype)  # (R,)
    rare = (truth.any(1) * (count.max() / count).sqrt()).amax(-1)
    changes = (truth.any(1).sum(-1) > 1).to(x.dtype)
    possible = truth | ~known[..., None]
    return chain_loss(x, switch, possible, rare * (1 + (emphasis - 1) * changes))
