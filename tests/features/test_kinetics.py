"""Encoders of snippets: torchvision's video models without their classifier, and CLIP's middle frame."""

from __future__ import annotations

from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.video import s3d

from whyact.errors import UserError
from whyact.features import kinetics
from whyact.features.kinetics import FRAMES, MODELS, load_encoder


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    torch.set_num_threads(1)
    torch.manual_seed(3)
    return s3d().state_dict()


def snippet(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (FRAMES, 40, 60, 3), dtype=np.uint8)


def test_the_vector_is_what_the_classifier_reads(weights: dict[str, torch.Tensor]) -> None:
    encoder = load_encoder("s3d", "mine.pth", weights)
    prepared = encoder.prepare(snippet())[None]
    assert prepared.shape == (1, 3, FRAMES, 224, 224)
    whole = s3d()
    whole.load_state_dict(weights)
    with torch.no_grad():
        logits = whole.eval()(prepared)
    classifier = whole.classifier[1]  # a 1x1x1 convolution: the mean over time and space passes through it
    by_hand = encoder.encode(prepared) @ classifier.weight[:, :, 0, 0, 0].T + classifier.bias
    torch.testing.assert_close(by_hand, logits, rtol=1e-3, atol=1e-4)
    assert (encoder.name, encoder.weights, encoder.width) == ("s3d", "mine.pth", 1024)


def test_random_weights_are_the_same_every_time_said_and_leave_the_generator_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    one, two = load_encoder("swin3d_t", "random"), load_encoder("swin3d_t", "random")
    assert torch.equal(torch.rand(2), expected)
    assert one.weights == "random"
    states = [encoder.model.state_dict() for encoder in (one, two)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not any(p.requires_grad for p in one.model.parameters())


def test_every_model_is_one_that_torchvision_has_with_the_width_it_says() -> None:
    from torchvision.models import get_model_builder

    for name, width in MODELS.items():
        with torch.device("meta"):  # shapes without numbers
            model = get_model_builder(name)()
        last = [module for module in model.modules() if isinstance(module, nn.Linear | nn.Conv3d)][-1]
        assert (last.weight.shape[1], last.weight.shape[0]) == (width, 400)


def test_without_a_network_the_next_step_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.models.get_model", offline)
    with pytest.raises(UserError, match="go online once") as caught:
        load_encoder("s3d")
    assert "KINETICS400_V1" in str(caught.value)


def test_unknown_names_and_weights_are_named(weights: dict[str, torch.Tensor]) -> None:
    with pytest.raises(UserError, match="swin3d_b"):
        load_encoder("resnet50")
    with pytest.raises(UserError, match="KINETICS400_V1 or a weight file"):
        load_encoder("s3d", "KINETICS999")
    short = {key: value for key, value in weights.items() if not key.startswith("classifier")}
    with pytest.raises(UserError, match=r"classifier\.1\.weight"):
        load_encoder("s3d", "mine.pth", short)


def test_clip_sees_the_middle_frame() -> None:
    from whyact.features.clip import ClipEncoder

    class Mean(nn.Module):
        def encode_image(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean((1, 2, 3))[:, None]

    seen = []
    clip = ClipEncoder(
        Mean(), lambda image: seen.append(np.asarray(image)) or torch.ones(3, 2, 2), None, "RN50", "openai"
    )
    encoder = kinetics.ClipSnippets(clip, 1)
    frames = snippet()
    rows = encoder.encode(torch.stack([encoder.prepare(frames)]))
    assert np.array_equal(seen[0], frames[FRAMES // 2])
    assert rows.tolist() == [[1.0]]
    assert (encoder.name, encoder.weights) == ("clip:RN50", "openai")
