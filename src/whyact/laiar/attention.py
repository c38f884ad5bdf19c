"""The attention of LaIAR's DT-Former: gated by what is kept, over the time of each slot or over all tokens jointly.

Axis letters as in ``model.py``: B clips, T frames, K slots, N tokens, D width; H heads, Q queries.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from whyact.laiar.config import ModelConfig


def gated_attention(q: Tensor, k: Tensor, v: Tensor, keep: Tensor, allowed: Tensor | None = None) -> Tensor:
    """Attend with a_ij = exp(q_i k_j) p_j / sum, p_j = keep_j except p_i = 1.

    Args:
        q: (..., H, Q, d), the last Q of the N positions.
        k: (..., H, N, d).
        v: (..., H, N, d).
        keep: (..., N) in {0,1}; gradients reach it where it carries some.
        allowed: (..., Q, N) bool, a further restriction of the pairs.
    """
    queries, n = q.shape[-2], k.shape[-2]
    own = torch.eye(n, device=q.device, dtype=torch.bool)[n - queries :]
    if not keep.requires_grad:
        mask = (keep[..., None, :] > 0) | own
        mask = mask if allowed is None else mask & allowed
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask.unsqueeze(-3))
    p = torch.where(own, 1.0, keep[..., None, :])
    p = (p if allowed is None else p * allowed).unsqueeze(-3)
    a = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    top = a.detach().masked_fill(p.detach() <= 0, -math.inf).amax(-1, keepdim=True)
    w = (a - top).clamp_max(20.0).exp() * p
    return (w / w.sum(-1, keepdim=True)) @ v


class Block(nn.Module):
    """Eq. 4-5: pre-norm attention and MLP, over the time of each slot or over all tokens jointly."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d = config.width
        self.heads, self.drop = config.heads, nn.Dropout(config.dropout)
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        hidden = config.ffn * d
        self.mlp = nn.Sequential(nn.Linear(d, hidden), nn.GELU(), nn.Dropout(config.dropout), nn.Linear(hidden, d))

    def attend(self, x: Tensor, keep: Tensor, allowed: Tensor | None = None, queries: int = 0) -> Tensor:
        """Attend over x (..., N, D) with keep (..., N); only the last ``queries`` positions ask, if given."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).movedim(-3, 0).transpose(-2, -3)  # (..., H, N, d)
        return self.out(gated_attention(q[..., -queries:, :], k, v, keep, allowed).transpose(-2, -3).flatten(-2))

    def cls_attention(self, tokens: Tensor, keep: Tensor) -> Tensor:
        """Return how much the last position of tokens (B,N,D) attends to each other one, mean over heads (B,N-1)."""
        q, k, _ = self.qkv(self.norm1(tokens)).unflatten(-1, (3, self.heads, -1)).unbind(-3)  # (B,N,H,d)
        a = torch.einsum("bhd,bnhd->bhn", q[:, -1], k[:, :-1]) / math.sqrt(q.shape[-1])
        return a.masked_fill(keep[:, None] <= 0, -1e4).softmax(-1).mean(1)

    def slotwise(self, x: Tensor, keep: Tensor) -> Tensor:
        """Update tokens x (B,T,K,D) over the time of each slot; keep (B,T,K)."""
        y = self.attend(self.norm1(x).transpose(1, 2), keep.transpose(1, 2))  # (B,K,T,D)
        x = x + self.drop(y.transpose(1, 2))
        return x + self.drop(self.mlp(self.norm2(x)))

    def joint(self, tokens: Tensor, keep: Tensor, allowed: Tensor | None = None, queries: int = 0) -> Tensor:
        """Update a sequence (B,N,D) under keep (B,N); with ``queries`` only its last positions, which it returns."""
        asking = tokens[:, -queries:]
        asking = asking + self.drop(self.attend(self.norm1(tokens), keep, allowed, queries))
        return asking + self.drop(self.mlp(self.norm2(asking)))


class Blocks(nn.ModuleList):
    """A module list that a type checker knows to hold blocks."""

    def __iter__(self) -> Iterator[Block]:
        return (block for block in super().__iter__() if isinstance(block, Block))
