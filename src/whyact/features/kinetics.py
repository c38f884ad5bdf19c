"""Snippets of video to vectors: torchvision's video models trained on Kinetics, and CLIP's view of one frame.

A snippet is ``FRAMES`` frames in a row; an encoder gives one vector for it. Weights come from torchvision's own
download, from a file, or are random: the same random weights every time, to prove that the parts work together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from whyact.devices import device_of
from whyact.errors import UserError
from whyact.features.clip import RANDOM, ClipEncoder, load_clip
from whyact.features.towers import freeze

FRAMES = 16  # what I3D features of both benchmarks use, and what MViT was built for
DOWNLOAD = "default"
#: torchvision's name -> width of what its classifier reads.
MODELS = {"s3d": 1024, "mvit_v1_b": 768, "mvit_v2_s": 768, "swin3d_t": 768, "swin3d_s": 768, "swin3d_b": 1024}
CLIP = "clip:"  # before an open_clip name: the snippet's middle frame through that CLIP


class SnippetEncoder(Protocol):
    """What turns snippets into vectors."""

    @property
    def name(self) -> str:
        """Return the name as it is typed."""

    @property
    def weights(self) -> str:
        """Return what a run records about the weights."""

    @property
    def width(self) -> int:
        """Return D."""

    def prepare(self, frames: NDArray[np.uint8]) -> Tensor:
        """Return one snippet (FRAMES,H,W,3) uint8 RGB as the network takes it, small whatever H and W are."""

    def encode(self, prepared: Tensor) -> Tensor:
        """Return (N,D) float32 of N prepared snippets (N,...), on the CPU."""


@dataclass(frozen=True)
class KineticsEncoder:
    """A frozen video model without its classifier."""

    name: str
    weights: str
    width: int
    model: Any
    transform: Any

    def prepare(self, frames: NDArray[np.uint8]) -> Tensor:
        """Return (3,FRAMES,h,w): resized, cropped and normalised as the model was trained."""
        found: Tensor = self.transform(torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2))
        return found

    @torch.no_grad()
    def encode(self, prepared: Tensor) -> Tensor:
        """Return (N,D) of (N,3,FRAMES,h,w)."""
        vectors: Tensor = self.model(prepared.to(device_of(self.model)))
        return vectors.float().cpu()


@dataclass(frozen=True)
class ClipSnippets:
    """CLIP's image features of the middle frame of each snippet."""

    clip: ClipEncoder
    width: int

    @property
    def name(self) -> str:
        """Return the name, ``clip:`` first."""
        return CLIP + self.clip.name

    @property
    def weights(self) -> str:
        """Return the tag of the weights."""
        return self.clip.weights

    def prepare(self, frames: NDArray[np.uint8]) -> Tensor:
        """Return the middle frame (3,h,w) as CLIP takes it."""
        return self.clip.prepare(frames[len(frames) // 2])

    def encode(self, prepared: Tensor) -> Tensor:
        """Return (N,D) of (N,3,h,w)."""
        return self.clip.encode_prepared(prepared).clone()


def load_encoder(
    name: str,
    weights: str = DOWNLOAD,
    state: Mapping[str, Tensor] | None = None,
    device: torch.device | str = "cpu",
) -> SnippetEncoder:
    """Load an encoder of snippets.

    Args:
        name: One of :data:`MODELS`, or ``clip:`` and a name that open_clip knows, such as ``clip:RN50``.
        weights: ``default`` for torchvision's (or OpenAI's) own download, ``random``, a CLIP weight tag; with
            ``state`` only what a run records about the file.
        state: Tensors of a weight file for a model of :data:`MODELS`.
        device: Where it computes; vectors are returned on the CPU.

    Raises:
        UserError: On an unknown name, weights that cannot be had, or tensors that do not fit.
    """
    if name.startswith(CLIP):
        clip = load_clip(name.removeprefix(CLIP), "openai" if weights == DOWNLOAD else weights, device)
        return ClipSnippets(clip, int(clip.model.text_projection.shape[1]))
    if name not in MODELS:
        raise UserError("encoder", name, f"one of {', '.join(MODELS)}, efficientnet-lite0, or {CLIP}NAME of a CLIP")
    from torchvision.models import get_model_weights

    published: Any = get_model_weights(name).DEFAULT
    if weights == DOWNLOAD:
        weights = published.name  # a run says which weights, not "default", which may be others one day
    model = _build(name, weights, published, state)
    freeze(model)
    return KineticsEncoder(name, weights, MODELS[name], model.to(device), published.transforms())


def _build(name: str, weights: str, published: Any, state: Mapping[str, Tensor] | None) -> nn.Module:
    from torchvision.models import get_model

    fetch = state is None and weights != RANDOM
    if fetch and weights not in type(published).__members__:
        raise UserError(f"weights of {name}", weights, f"{DOWNLOAD}, {RANDOM}, {published.name} or a weight file")
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model: nn.Module = get_model(name, weights=type(published)[weights] if fetch else None)
    except (OSError, RuntimeError) as error:  # no network, or a download cut short
        step = "go online once, or give --weights FILE (or random, to try the parts)"
        raise UserError(f"weights of {name}", weights, f"a download by torchvision ({error})", step) from error
    if state is not None:
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            found = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
            raise UserError(f"weights of {name}", found, f"every tensor of torchvision's {name}") from error
    if name == "s3d":  # its classifier is a convolution before the mean over time and space
        model.classifier = nn.Identity()
    else:
        model.head = nn.Identity()
    return model
