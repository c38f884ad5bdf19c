"""What a LoCATe-GAT run folder holds beside its tensors, and how it is read back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from whyact.errors import UserError
from whyact.locate_gat.config import Config
from whyact.locate_gat.model import LoCATeGAT
from whyact.training.checkpoint import load_checkpoint, unreadable


class Run(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What ``config.yaml`` of a run holds: the settings, and the words that the tensors are about."""

    settings: Config
    video_width: int
    data: str
    fold: int
    seen: list[str]
    unseen: list[str]
    auxiliary: list[str]
    prompt: str
    semantics: str
    pixels: str = ""
    said: dict[str, str] = {}

    def weight_places(self, folder: Path) -> tuple[Path, ...]:
        """Return where CLIP's weight file may lie: where training found it, in the run's folder, beside that folder."""
        recorded = Path(self.settings.backbone_weights)
        return recorded, folder / recorded.name, folder.parent / recorded.name

    def sentence(self, name: str) -> str:
        """Return the sentence that stands for a class name."""
        return self.prompt.format(self.said.get(name, name))


def parameters(model: LoCATeGAT) -> dict[str, int]:
    """Return the trainable parameters of each stage and of both; a frozen backbone is counted apart."""
    locate = sum(p.numel() for p in model.encoder.parameters() if p.requires_grad)
    gat = sum(p.numel() for p in model.gat.parameters()) if model.gat is not None else 0
    return {"locate": locate, "gat": gat, "trained": locate + gat}


@dataclass(frozen=True)
class Loaded:
    """A run in memory: its words, the model in evaluation mode, the unseen texts (U,D), the card."""

    known: Run
    model: LoCATeGAT
    others: Tensor
    card: dict[str, Any]
    sha256: str
    folder: str


def load(folder: Path) -> Loaded:
    """Read and verify a run folder.

    Raises:
        UserError: When the folder is no run, is damaged, or is a run of another method.
    """
    checkpoint = load_checkpoint(folder)
    if checkpoint.card["method"] != "locate-gat":
        raise UserError(folder, f"a run of {checkpoint.card['method']}", "a run of locate-gat")
    try:
        run = msgspec.convert(checkpoint.config, Run)
    except msgspec.ValidationError as error:
        raise unreadable(folder, error) from error
    tensors = dict(checkpoint.tensors)
    others = tensors.pop("others", torch.zeros(0, run.settings.width))
    try:
        model = LoCATeGAT(run.settings, run.video_width, tensors["seen"], tensors["auxiliary"])
        model.load_state_dict(tensors)
    except (KeyError, RuntimeError) as error:
        raise unreadable(folder, error) from error
    return Loaded(run, model.eval(), others, checkpoint.card, checkpoint.sha256, str(folder))
