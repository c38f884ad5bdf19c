"""Frozen text towers with access to their token embeddings, for learned prompts.

A tower reads a sequence of token vectors (not ids), so that learned vectors can stand between words.
:class:`StandInTower` needs no download; :func:`clip_tower` loads CLIP through the extra ``clip``.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Protocol

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
    """A small frozen causal transformer over hashed words, centred (specs 8.1): CLIP's interface without CLIP."""

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


class ClipTower(nn.Module):
    """The text side of an open_clip model; the image side is dropped."""

    mask: Tensor

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__()
        self.token: nn.Embedding = model.token_embedding
        self.position: nn.Parameter = model.positional_embedding
        self.transformer: nn.Module = model.transformer
        self.norm: nn.Module = model.ln_final
        self.projection: nn.Parameter = model.text_projection
        self.register_buffer("mask", model.attn_mask, persistent=False)
        self._tokenizer = tokenizer
        self.token_width: int = self.token.embedding_dim
        self.positions: int = len(self.position)
        self.out_width: int = self.projection.shape[1]
        self.start_id: int = self.token.num_embeddings - 2
        self.end_id: int = self.token.num_embeddings - 1
        freeze(self)

    def tokenize(self, text: str) -> list[int]:
        ids = self._tokenizer(text)[0].tolist()
        return ids[1 : ids.index(self.end_id)]

    def embed(self, ids: Tensor) -> Tensor:
        return self.token(ids)

    def encode(self, tokens: Tensor, read_at: Tensor) -> Tensor:
        length = tokens.shape[1]
        hidden = self.transformer(tokens + self.position[:length], attn_mask=self.mask[:length, :length])
        hidden = self.norm(hidden)
        return hidden[torch.arange(len(hidden), device=hidden.device), read_at] @ self.projection


def clip_tower(name: str = "RN50", pretrained: str | None = "openai") -> ClipTower:
    """Load the text tower of a CLIP model; open_clip fetches the weights on first use.

    Args:
        name: An open_clip model name. The published PVLR checkpoints need ``RN50`` (joint width 1024).
        pretrained: An open_clip weight tag, the path of a local weight file, or ``None`` for random weights.

    Raises:
        UserError: When the extra is not installed or the weights cannot be had.
    """
    try:
        import open_clip
    except ImportError as error:
        raise UserError("text tower clip", None, "the package open_clip_torch", "pip install 'whyact[clip]'") from error
    try:
        # RN50's openai weights were trained with QuickGELU; the plain name would change every activation.
        quick = pretrained == "openai"
        model = open_clip.create_model(name, pretrained=pretrained, force_quick_gelu=quick)
    except (RuntimeError, OSError, ValueError) as error:
        raise UserError(
            f"CLIP {name}", pretrained, "weights that open_clip can load", "give the path of a file"
        ) from error
    return ClipTower(model, open_clip.get_tokenizer(name))


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
