"""Numbers as features: one linear layer cannot cut a distance where an action begins, an embedding of it can.

Each of a token's numbers (box geometry, relation scores) gets an embedding of its own beside its raw value.
Source: Gorishniy, Rubachev and Babenko, "On Embeddings for Numerical Features in Tabular Deep Learning" (NeurIPS 2022).
Axis letters: F numbers of a token, M terms of one number's embedding, E its width.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FREQUENCIES, WIDTH, SIGMA = 8, 8, 0.5
BINS, REACH = 8, 2.0  # of the piecewise form: even bins over -REACH..REACH, where the scaled numbers lie

Kind = Literal["none", "periodic", "piecewise"]


class NumberEmbedding(nn.Module):
    """[x, ReLU(W_f e(x_f))] -> linear, with e periodic (learned frequencies) or piecewise linear (even bins)."""

    def __init__(self, numbers: int, width: int, kind: Literal["periodic", "piecewise"]) -> None:
        super().__init__()
        self.frequency = nn.Parameter(torch.randn(numbers, FREQUENCIES) * SIGMA) if kind == "periodic" else None
        terms = 2 * FREQUENCIES if kind == "periodic" else BINS
        bound = 1 / math.sqrt(terms)
        self.weight = nn.Parameter(torch.empty(numbers, terms, WIDTH).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(numbers, WIDTH).uniform_(-bound, bound))
        self.out = nn.Linear(numbers * (1 + WIDTH), width)

    def terms(self, x: Tensor) -> Tensor:
        """Return e(x) (n,F,M) of x (n,F)."""
        if self.frequency is not None:
            angle = 2 * math.pi * self.frequency * x[..., None]  # (n,F,M/2)
            return torch.cat([angle.sin(), angle.cos()], -1)
        start = torch.linspace(-REACH, REACH, BINS + 1, device=x.device)[:-1]
        return ((x[..., None] - start) * (BINS / (2 * REACH))).clamp(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Encode x (n,F) into (n,D)."""
        embedded = torch.einsum("nfm,fme->nfe", self.terms(x), self.weight) + self.bias  # (n,F,E)
        return self.out(torch.cat([x, F.relu(embedded).flatten(1)], -1))


def number_encoder(numbers: int, width: int, kind: Kind) -> nn.Module:
    """Return what encodes (n,F) numbers into (n,D): a linear layer, or one that embeds each number first."""
    return nn.Linear(numbers, width) if kind == "none" else NumberEmbedding(numbers, width, kind)
