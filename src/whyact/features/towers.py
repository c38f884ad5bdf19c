"""Text towers with access to their token embeddings, for learned prompts, and the one that needs no download.

A tower reads a sequence of token vectors (not ids), so that learned vectors can stand between words.
CLIP's is :class:`whyact.features.clip.ClipTower`; whole sentences without a download are :mod:`whyact.features.text`.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from whyact.errors import UserError


class TextTower(Protocol):
    """What a text tower offers. W is its token width, D the width of its output, L its number of positions."""

    token_width: int
    out_width: int
    positions: int
    start_id: int
    end_id: int

    def tokenize(self, text: str) -> list[int]:
        """Return the ids of the words, without start and end."""

    def embed(self, ids: Tensor) -> Tensor:
        """Return the token vectors (..., W) of ids (...)."""

    def encode(self, tokens: Tensor, read_at: Tensor) -> Tensor:
        """Return text features (N,D) read at positions ``read_at`` (N,) of token vectors (N,L,W)."""


class StandInTower(nn.Module):
    """A small frozen causal transformer over hashed words, centred: CLIP's interface without CLIP."""

    VOCABULARY = 510
    centre: Tensor
    scale: Tensor

    def __init__(self, seed: int = 0, width: int = 64, layers: int = 2, positions: int = 24, norm: float = 8.0) -> None:
        super().__init__()
        self.token_width: int = width
        self.out_width: int = width
        self.positions: int = positions
        self.start_id: int = self.VOCABULARY
        self.end_id: int = self.VOCABULARY + 1
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.token = nn.Embedding(self.VOCABULARY + 2, width)
            self.position = nn.Parameter(0.1 * torch.randn(positions, width))
            layer = nn.TransformerEncoderLayer(width, 4, 128, dropout=0.0, batch_first=True, norm_first=True)
            self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
            self.norm = nn.LayerNorm(width)
            self.projection = nn.Linear(width, width, bias=False)
            pairs = torch.randint(self.VOCABULARY, (200, 2))
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("scale", torch.ones(()))
        freeze(self)
        # Uncentred, all names point the same way (mean cosine 0.97) and nothing can be learned from them.
        raw = encode_ids(self, [row.tolist() for row in pairs])
        self.centre.copy_(raw.mean(0))
        self.scale.copy_(norm / (raw - self.centre).norm(dim=1).mean())

    def tokenize(self, text: str) -> list[int]:
        return [zlib.crc32(word.encode()) % self.VOCABULARY for word in text.lower().split()]

    def embed(self, ids: Tensor) -> Tensor:
        return self.token(ids)

    def encode(self, tokens: Tensor, read_at: Tensor) -> Tensor:
        length = tokens.shape[1]
        causal = torch.full((length, length), float("-inf"), device=tokens.device).triu(1)
        hidden = self.layers(tokens + self.position[:length], mask=causal)
        read = hidden[torch.arange(len(hidden), device=hidden.device), read_at]
        return (self.projection(self.norm(read)) - self.centre) * self.scale


def freeze(module: nn.Module) -> None:
    """Stop every gradient into the module's weights and put it in eval mode."""
    module.requires_grad_(False).eval()


@torch.no_grad()
def encode_ids(tower: TextTower, ids: Sequence[Sequence[int]]) -> Tensor:
    """Return (N,D) features of plain word ids, with start and end put around them and read at the end."""
    width = max(len(row) for row in ids) + 2
    if width > tower.positions:
        raise UserError("class name", f"{width - 2} tokens", f"at most {tower.positions - 2} tokens")
    padded = torch.full((len(ids), width), tower.end_id)
    for i, row in enumerate(ids):
        padded[i, 0] = tower.start_id
        padded[i, 1 : 1 + len(row)] = torch.tensor(list(row), dtype=torch.long)
    read_at = torch.tensor([len(row) + 1 for row in ids])
    return tower.encode(tower.embed(padded), read_at)


def encode_texts(tower: TextTower, texts: Sequence[str]) -> Tensor:
    """Return (N,D) features of plain texts."""
    return encode_ids(tower, [tower.tokenize(text) for text in texts])
