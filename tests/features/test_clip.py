"""CLIP through open_clip, on a tiny architecture with random weights: shapes, preprocessing, repeatability, errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from whyact.errors import UserError

open_clip = pytest.importorskip("open_clip", reason="needs the extra: pip install 'whyact[clip]'")

from whyact.features import clip as clip_module  # noqa: E402
from whyact.features.clip import load_clip  # noqa: E402

TINY = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module", autouse=True)
def tiny(tmp_path_factory: pytest.TempPathFactory) -> None:
    path: Path = tmp_path_factory.mktemp("models") / "whyact-tiny.json"
    path.write_text(json.dumps(TINY))
    open_clip.add_model_config(path)


def test_frames_and_names_land_in_one_space_whatever_their_batch() -> None:
    clip = load_clip("whyact-tiny", "random")
    frames = np.random.default_rng(0).integers(0, 255, (5, 40, 60, 3), dtype=np.uint8)
    features = clip.encode_frames(frames)
    assert features.shape == (5, 24)
    torch.testing.assert_close(clip.encode_frames(frames, batch=2), features, atol=1e-6, rtol=1e-5)
    sentences = ["a video of a person pouring coffee", "a", "word " * 100]
    with torch.no_grad():
        whole = clip.model.encode_text(clip.tokenizer(sentences))
    torch.testing.assert_close(clip.encode_texts(sentences), whole, rtol=1e-5, atol=1e-6)
    assert clip.semantics == "CLIP whyact-tiny random weights"


def test_frames_are_normalised_with_clips_own_constants() -> None:
    clip = load_clip("whyact-tiny", "random")
    frame = np.full((32, 32, 3), 128, np.uint8)
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])
    sd = torch.tensor([0.26862954, 0.26130258, 0.27577711])
    image = ((128 / 255 - mean) / sd)[:, None, None].expand(3, 32, 32)
    expected = clip.model.encode_image(image[None])
    torch.testing.assert_close(clip.encode_frames(frame[None]), expected, atol=1e-5, rtol=1e-4)


def test_random_weights_are_the_same_every_time_and_leave_the_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = load_clip("whyact-tiny", "random").encode_texts(["wave"])
    clip_module._load_clip.cache_clear()
    assert torch.equal(first, load_clip("whyact-tiny", "random").encode_texts(["wave"]))
    assert torch.equal(before, torch.get_rng_state())


def test_unknown_names_and_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="ViT-B-16"):
        load_clip("ViT-Z-99", "random")
    with pytest.raises(UserError, match="weights that open_clip can"):
        load_clip("whyact-tiny", str(tmp_path / "absent.safetensors"))


@pytest.mark.parametrize("name", ["junk.pt", "junk.safetensors", "other.pt"])
def test_a_file_that_holds_no_weights_is_named(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / name
    path.write_bytes(b"junk, which no loader reads")
    if name == "other.pt":
        torch.save({"weight": torch.ones(2)}, path)
    with pytest.raises(UserError, match=name) as caught:
        load_clip("whyact-tiny", str(path))
    assert "random to try the parts" in str(caught.value)
    assert not capfd.readouterr().err, "one message, not the library's own beside it"
