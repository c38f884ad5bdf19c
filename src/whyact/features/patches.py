"""CLIP's patch vectors beside each frame's own: image geometry that a pooled vector has lost."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from whyact.errors import UserError
from whyact.features.clip import ClipEncoder


@torch.no_grad()
def encode_with_patches(clip: ClipEncoder, frames: NDArray[np.uint8], side: int, batch: int = 16) -> Tensor:
    """Return (T,D+side*side*D) of frames (T,H,W,3): the frame's vector, then its patches, row by row.

    Patch tokens of the last layer go through CLIP's final norm and projection, so that they live in the space of the
    names, and are averaged over a grid of ``side`` by ``side``.

    Raises:
        UserError: When the backbone has no patch tokens (the ResNets), or fewer than ``side`` in a row.
    """
    from PIL import Image

    visual = clip.model.visual
    projection = getattr(visual, "proj", None)
    if projection is None or not hasattr(visual, "patch_size"):
        raise UserError("patch_side", clip.name, "a vision transformer, such as ViT-B-16: this one has no patch tokens")
    own = visual.grid_size[0]
    if not 0 < side <= own:
        raise UserError("patch_side", side, f"1 to {own}, the patches in a row of {clip.name}")
    found = []
    for first in range(0, len(frames), batch):
        images = torch.stack([clip.preprocess(Image.fromarray(f)) for f in frames[first : first + batch]])
        images = images.to(projection.device)
        out = visual.forward_intermediates(images, indices=1, normalize_intermediates=True, output_fmt="NLC")
        patches = out["image_intermediates"][-1] @ projection  # (B,own*own,D)
        maps = patches.transpose(1, 2).unflatten(2, (own, own))
        pooled = F.adaptive_avg_pool2d(maps, side).flatten(2).transpose(1, 2)  # (B,side*side,D)
        found.append(torch.cat([out["image_features"], pooled.flatten(1)], dim=1).float().cpu())
    return torch.cat(found).clone()
