"""Patch vectors beside the frame's own: same space, image order, true locality; errors by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import zero_shot_trees as trees
from whyact.errors import UserError

pytest.importorskip("open_clip", reason="needs the extra: pip install 'whyact[clip]'")

from whyact.features.clip import ClipEncoder, load_clip
from whyact.features.patches import encode_with_patches


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> ClipEncoder:
    trees.add_tiny_clip(tmp_path_factory.mktemp("models"))
    return load_clip(trees.CLIP, "random")


def frames(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, 32, 32, 3), dtype=np.uint8)


def test_the_frames_own_vector_stands_first(clip: ClipEncoder) -> None:
    found = encode_with_patches(clip, frames(), 4)
    assert found.shape == (3, 24 * 17)
    torch.testing.assert_close(found[:, :24], clip.encode_frames(frames()), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(encode_with_patches(clip, frames(), 4, batch=2), found, atol=1e-5, rtol=1e-4)


def test_patches_go_through_the_final_norm_and_projection_row_by_row(clip: ClipEncoder) -> None:
    """Against the transformer run by hand."""
    visual = clip.model.visual
    image = clip.preprocess(__import__("PIL.Image").Image.fromarray(frames(1)[0]))[None]
    with torch.inference_mode():
        tokens = visual.ln_post(visual.transformer(visual._embeds(image)))[:, 1:] @ visual.proj
    whole = encode_with_patches(clip, frames(1), 4)[0, 24:].reshape(4, 4, 24)
    torch.testing.assert_close(whole, tokens[0].reshape(4, 4, 24), atol=1e-5, rtol=1e-4)
    coarse = encode_with_patches(clip, frames(1), 2)[0, 24:].reshape(2, 2, 24)
    torch.testing.assert_close(coarse[1, 0], whole[2:, :2].mean((0, 1)), atol=1e-5, rtol=1e-4)


def test_backbones_without_patches_and_impossible_grids_are_named(clip: ClipEncoder) -> None:
    with pytest.raises(UserError, match="1 to 4"):
        encode_with_patches(clip, frames(), 5)
    resnet = ClipEncoder(torch.nn.Module(), None, None, "RN50", "random")
    resnet.model.visual = torch.nn.Module()
    with pytest.raises(UserError, match="vision transformer"):
        encode_with_patches(resnet, frames(), 2)
