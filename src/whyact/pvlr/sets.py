"""What a data set leaves to PVLR: sizes, text source and CLIP that suit it, and the model that fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from whyact.data.untrimmed.feature_files import Encoder
from whyact.data.untrimmed.feature_split import FeatureSplit
from whyact.errors import UserError
from whyact.features.towers import StandInTower, TextTower
from whyact.pvlr.config import Config, small
from whyact.pvlr.model import PVLR, ProjectedText, PromptedText


def resolve(config: Config, split: FeatureSplit) -> Config:
    """Fill what the settings leave to the data: text source, size, stream widths.

    Raises:
        UserError: When the data lack the image-language features that the distillation learns from, unless
            ``clip`` is ``none``.
    """
    config = _with_or_without_clip(config, split)
    size = split.size if config.size == "auto" else config.size
    config = small(config) if size == "small" else replace(config, size=size)  # type: ignore[arg-type]
    rgb, flow = split.widths
    clip = (split.recipe and split.recipe.target) or Encoder("clip:RN50", "openai")
    return replace(
        config,
        text=split.text if config.text == "auto" else config.text,  # type: ignore[arg-type]
        model=replace(config.model, rgb_width=rgb, flow_width=flow),
        clip=clip.name.removeprefix("clip:") if config.clip == "auto" else config.clip,
        clip_weights=clip.weights if config.clip_weights == "auto" else config.clip_weights,
    )


def build_model(config: Config, prompts: Sequence[str]) -> PVLR:
    """Return an untrained model for resolved settings and these class words, in eval mode.

    Raises:
        UserError: When the text source needs an extra that is not installed, or a name is too long.
    """
    text: nn.Module
    cfg = config.model
    if config.text == "sentence":
        from whyact.features.text import encode_sentences

        text = ProjectedText(torch.from_numpy(encode_sentences(list(prompts))), cfg.width)
    else:
        tower: TextTower = StandInTower()
        if config.text == "clip":
            from whyact.features.clip import load_clip

            tower = load_clip(config.clip, config.clip_weights).tower
        cfg = replace(cfg, width=tower.out_width)
        text = PromptedText(tower, list(prompts), cfg)
    return PVLR(cfg, text).eval()


def _with_or_without_clip(config: Config, split: FeatureSplit) -> Config:
    """Refuse to train without the distillation unless that is asked for, and then leave it out in every setting."""
    if config.clip == "none":
        if config.text == "clip":
            raise UserError("--clip", "none", "a CLIP, because --text clip reads the class names with one")
        text = "sentence" if config.text == "auto" and split.text == "clip" else config.text
        return replace(config, text=text, loss=replace(config.loss, distillation=0.0))
    lacking = [video.id for video in split.train if video.second is None]
    if config.loss.distillation and split.clip is not None and lacking:
        raise UserError(
            split.clip,
            f"no CLIP features for {len(lacking)} of {len(split.train)} training videos, such as {lacking[0]}",
            "image-language features of every training video, which the distillation (Eq. 17) learns from",
            "add them, or train without the distillation: --clip none",
        )
    return config
