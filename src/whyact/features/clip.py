"""CLIP through open_clip (extra ``clip``), frozen: frames and class names as vectors of one space.

The one place that loads CLIP. :class:`ClipEncoder` encodes whole frames and sentences; its :attr:`~ClipEncoder.tower`
is the text side opened up for learned prompts.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from whyact.devices import device_of
from whyact.errors import UserError
from whyact.features.clip_weights import (
    OPENAI_MARKS,
    RANDOM,
    WAY_OUT,
    find_weights,
    openai_state,
    pending_download,
    refuse_unreachable,
    uses_quick_gelu,
    weights_name,
)
from whyact.features.towers import freeze


@dataclass(frozen=True)
class ClipEncoder:
    """Both towers of a frozen CLIP, its preprocessing and its tokenizer.

    Vectors are those of the published pipeline: after CLIP's projection, float32, not normalised.
    """

    model: Any
    preprocess: Any
    tokenizer: Any
    name: str
    weights: str

    @property
    def semantics(self) -> str:
        """Return how a run names this encoder: a weight file by its SHA-256, random weights as random."""
        return f"CLIP {self.name} {weights_name(self.weights)}"

    @property
    def logit_scale(self) -> float:
        """Return what CLIP learned to multiply cosines by before the softmax."""
        return float(self.model.logit_scale.exp())

    @property
    def parameters(self) -> int:
        """Return the number of frozen parameters."""
        return sum(p.numel() for p in self.model.parameters())

    @property
    def tower(self) -> ClipTower:
        """Return the text side, which reads token vectors in place of sentences."""
        return ClipTower(self.model, self.tokenizer)

    def prepare(self, frame: NDArray[np.uint8]) -> Tensor:
        """Return a frame (H,W,3) uint8 RGB as (3,h,w): resized, cropped and normalised as CLIP was trained."""
        from PIL import Image

        found: Tensor = self.preprocess(Image.fromarray(frame))
        return found

    @torch.no_grad()
    def encode_frames(self, frames: NDArray[np.uint8], batch: int = 32) -> Tensor:
        """Return (T,D) of frames (T,H,W,3) uint8 RGB: resize, centre crop and normalise as CLIP was trained."""
        parts = []
        for first in range(0, len(frames), batch):
            parts.append(self.encode_prepared(torch.stack([self.prepare(f) for f in frames[first : first + batch]])))
        return torch.cat(parts).clone()

    @torch.no_grad()
    def encode_prepared(self, images: Tensor) -> Tensor:
        """Return (N,D) of prepared frames (N,3,h,w), computed on the model's device and returned on the CPU."""
        vectors: Tensor = self.model.encode_image(images.to(device_of(self.model)))
        return vectors.float().cpu()

    @torch.no_grad()
    def encode_texts(self, sentences: list[str]) -> Tensor:
        """Return (N,D) of sentences.

        Raises:
            UserError: When there is nothing to encode.
        """
        if not sentences:
            raise UserError("class names", "none", "at least one")
        device, parts = device_of(self.model), []
        # Nothing behind a sentence's end is attended to, and most of the 77 places lie there.
        causal = isinstance(getattr(self.model, "text_projection", None), nn.Parameter) and hasattr(
            self.model, "token_embedding"
        )
        tower = self.tower if causal else None
        for first in range(0, len(sentences), 64):
            tokens = self.tokenizer(sentences[first : first + 64]).to(device)
            if tower is None:
                vectors = self.model.encode_text(tokens)
            else:
                ends = (tokens == tower.end_id).int().argmax(1)
                vectors = tower.encode(tower.embed(tokens[:, : int(ends.max()) + 1]), ends)
            parts.append(vectors.float().cpu())
        return torch.cat(parts).clone()


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


def tower_from_state(state: Mapping[str, Tensor]) -> ClipTower:
    """Return the text side of an OpenAI CLIP from its tensors alone: no download, and no image side is built.

    Args:
        state: By the names of OpenAI's model; what belongs to the image side is ignored.

    Raises:
        UserError: When the extra is not installed, or a tensor is missing or of another shape.
    """
    try:
        import open_clip
    except ImportError as error:
        raise UserError("CLIP", None, "the package open_clip_torch", "pip install 'whyact[clip]'") from error
    text = {name: value.float() for name, value in state.items() if not name.startswith("visual.")}
    try:
        words, width = text["token_embedding.weight"].shape
        context, out_width = len(text["positional_embedding"]), text["text_projection"].shape[1]
        layers = len({name.split(".")[2] for name in text if name.startswith("transformer.resblocks.")})
        small = {"image_size": 32, "patch_size": 32, "width": 64, "layers": 1}  # an image side that nobody reads
        sizes = {
            "context_length": context,
            "vocab_size": words,
            "width": width,
            "heads": max(1, width // 64),
            "layers": layers,
        }
        with torch.random.fork_rng(devices=[]):
            model = open_clip.CLIP(out_width, small, sizes, quick_gelu=True)
        missing, unknown = model.load_state_dict(
            {name: value for name, value in text.items() if name not in OPENAI_MARKS}, strict=False
        )
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        raise UserError("CLIP's tensors", str(error).splitlines()[0], "the text side of an OpenAI CLIP") from error
    odd = [name for name in missing if not name.startswith(("visual.", "logit_scale"))] + list(unknown)
    if odd:
        raise UserError("CLIP's tensors", ", ".join(odd[:3]), "those of the text side of an OpenAI CLIP")
    return ClipTower(model.eval(), open_clip.SimpleTokenizer(context_length=context))


@contextmanager
def _silent() -> Iterator[None]:
    """Keep the remarks of open_clip and of its download, retry by retry, from the user: what matters is said once."""
    loggers = [logging.getLogger(), logging.getLogger("huggingface_hub")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def load_clip(name: str = "ViT-B-16", weights: str = "openai", device: torch.device | str = "cpu") -> ClipEncoder:
    """Load a CLIP model to a device; the last one loaded is kept, because loading takes seconds.

    Args:
        name: A name that open_clip knows, such as those in ``clip_weights.BACKBONES``.
        weights: A tag that open_clip fetches itself (``openai``), the path of a weight file, or ``random``:
            the same random weights every time, to prove that the parts work together where no weights are at hand.
        device: Where it computes from now on; vectors are returned on the CPU.

    Raises:
        UserError: When the extra is not installed, the name is unknown, or the weights cannot be had.
    """
    path = Path(weights)
    facts = path.stat() if weights != RANDOM and path.is_file() else None  # a file that changed is loaded again
    encoder = _load_clip(name, weights, (facts.st_size, facts.st_mtime_ns) if facts else None)
    encoder.model.to(device)
    return encoder


def load_named_clip(
    semantics: str, places: Sequence[Path] = (), given: Path | None = None, device: torch.device | str = "cpu"
) -> ClipEncoder:
    """Load the CLIP that a run names by :attr:`ClipEncoder.semantics`.

    Args:
        semantics: The name.
        places: Where a weight file may lie.
        given: Where the user says it lies.
        device: As :func:`load_clip`.

    Raises:
        UserError: As :func:`load_clip`, and when the weight file is not found or is another one.
    """
    _, name, weights = semantics.split(" ", 2)
    return load_clip(name, find_weights(weights, places, given), device)


@lru_cache(maxsize=1)
def _load_clip(name: str, weights: str, stamp: tuple[int, int] | None) -> ClipEncoder:
    pending = pending_download(name, weights)  # which also refuses what open_clip does not know
    import open_clip

    if pending is not None:
        refuse_unreachable(name, weights)
        print(f"whyact: downloading {pending}, once", file=sys.stderr, flush=True)
    try:
        with _silent(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            state = openai_state(Path(weights)) if Path(weights).is_file() else None
            model, _, preprocess = open_clip.create_model_and_transforms(
                name,
                pretrained=None if weights == RANDOM or state is not None else weights,
                force_quick_gelu=uses_quick_gelu(name, weights),
            )
            if state is not None:
                model.load_state_dict(state)
    except Exception as error:  # a file that is no weight file fails in open_clip and torch in any way there is
        expected = f"weights of {name} that open_clip can fetch or read"
        raise UserError(f"weights of CLIP {name}", weights, expected, WAY_OUT) from error
    model.eval().requires_grad_(False)
    return ClipEncoder(model, preprocess, open_clip.get_tokenizer(name), name, weights)
