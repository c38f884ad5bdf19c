"""RoI features: parity with the definition, and what must not change them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from whyact.errors import UserError
from whyact.features.roi import Maps, identity, pool, roi_features, roi_key
from whyact.features.roi_encoders import BackboneEncoder, ResNetC4
from whyact.features.store import FeatureStore


def bilinear(image: np.ndarray, y: float, x: float) -> np.ndarray:
    """Read (C,h,w) between cells; a point more than a cell outside counts as nothing."""
    _, height, width = image.shape
    if y < -1 or y > height or x < -1 or x > width:
        return np.zeros(len(image))
    y, x = max(y, 0.0), max(x, 0.0)
    top, left = min(int(y), height - 1), min(int(x), width - 1)
    down, right = min(top + 1, height - 1), min(left + 1, width - 1)
    fy, fx = (y - top if down > top else 0.0), (x - left if right > left else 0.0)
    above = image[:, top, left] * (1 - fx) + image[:, top, right] * fx
    below = image[:, down, left] * (1 - fx) + image[:, down, right] * fx
    return above * (1 - fy) + below * fy


def align(image: np.ndarray, box: np.ndarray, stride: float, side: int) -> np.ndarray:
    """Average 2x2 points in each of side x side cells of a box, as Mask R-CNN defines RoIAlign."""
    x0, y0, x1, y1 = box / stride - 0.5
    out = np.zeros((len(image), side, side))
    for i in range(side):
        for j in range(side):
            for a in (0.25, 0.75):
                for b in (0.25, 0.75):
                    out[:, i, j] += (
                        bilinear(image, y0 + (y1 - y0) * (i + a) / side, x0 + (x1 - x0) * (j + b) / side) / 4
                    )
    return out


class Tiny(nn.Module):
    """A stride-8 backbone with seeded weights that counts how many frames it has seen."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Conv2d(3, 6, 3, 4, 1), nn.ReLU(), nn.Conv2d(6, 5, 3, 2, 1))
        self.frames = 0

    def forward(self, x: Tensor) -> Tensor:
        self.frames += len(x)
        return self.net(x)


def encoder() -> tuple[BackboneEncoder, Tiny]:
    net = Tiny()
    return BackboneEncoder(net, "tiny", 8, 5), net


def case(t: int = 3, k: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 40, (2, t, k, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(4, 24, (2, t, k, 2))], -1).astype(np.float32)
    boxes[0] = boxes[0, :, :1]  # one person in all pairs
    return {
        "frames": rng.integers(0, 256, (t, 56, 72, 3), dtype=np.uint8),
        "subject_boxes": boxes[0],
        "object_boxes": boxes[1],
        "valid": rng.random((t, k)) < 0.7,
    }


def test_pooling_is_the_average_of_bilinear_samples() -> None:
    rng = np.random.default_rng(1)
    image = rng.standard_normal((2, 3, 7, 9))
    boxes = np.array([[0, 3.0, 5, 50, 40], [1, 0, 0, 72, 56], [1, 60, 40, 90, 70], [0, 10, 10, 11, 12]])
    found = pool(Maps(torch.from_numpy(image), (1 / 8, 1 / 8)), torch.from_numpy(boxes), 4).numpy()
    for row, box in zip(found, boxes, strict=True):
        np.testing.assert_allclose(row, align(image[int(box[0])], box[1:], 8, 4), atol=1e-9)


def test_features_are_those_of_the_boxes_one_by_one() -> None:
    see, net = encoder()
    given = case()
    found = roi_features(see, **given, side=4, dtype=np.float32)
    assert {name: a.shape for name, a in found.items()} == {
        "subject": (3, 4, 5), "object": (3, 4, 5), "union": (3, 4, 5, 4, 4)
    }  # fmt: skip
    with torch.no_grad():
        maps = net.net(torch.from_numpy(given["frames"]).permute(0, 3, 1, 2).float() / 255).numpy()
    for t, k in np.ndindex(3, 4):
        s, o = given["subject_boxes"][t, k], given["object_boxes"][t, k]
        both = np.concatenate([np.minimum(s, o)[:2], np.maximum(s, o)[2:]])
        there = given["valid"][t, k]
        np.testing.assert_allclose(found["subject"][t, k], there * align(maps[t], s, 8, 7).mean((1, 2)), atol=1e-5)
        np.testing.assert_allclose(found["object"][t, k], there * align(maps[t], o, 8, 7).mean((1, 2)), atol=1e-5)
        np.testing.assert_allclose(found["union"][t, k], there * align(maps[t], both, 8, 4), atol=1e-5)


def test_swapping_boxes_swaps_subject_and_object() -> None:
    see, _ = encoder()
    given = case()
    one = roi_features(see, **given)
    given["subject_boxes"], given["object_boxes"] = given["object_boxes"], given["subject_boxes"]
    other = roi_features(see, **given)
    np.testing.assert_array_equal(one["subject"], other["object"])
    np.testing.assert_array_equal(one["union"], other["union"])
    assert not np.array_equal(one["subject"], other["subject"])


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_neither_batches_nor_padding_change_anything(batch: int) -> None:
    see, _ = encoder()
    given = case(5)
    whole = roi_features(see, **given, dtype=np.float32, batch=5)
    wider = {
        "frames": np.concatenate([given["frames"], given["frames"][:2]]),
        **{n: np.pad(given[n], ((0, 2), (0, 3), (0, 0)), constant_values=7) for n in ("subject_boxes", "object_boxes")},
        "valid": np.pad(given["valid"], ((0, 2), (0, 3))),
    }
    padded = roi_features(see, **wider, dtype=np.float32, batch=batch)
    for name, array in whole.items():
        np.testing.assert_allclose(padded[name][:5, :4], array, atol=1e-6)
        assert not padded[name][5:].any()
        assert not padded[name][:, 4:].any()


def test_a_shared_box_is_pooled_once_and_an_unused_frame_not_encoded() -> None:
    see, net = encoder()
    pooled: list[int] = []
    plain = see.vectors
    see.vectors = lambda maps, boxes: (pooled.append(len(boxes)), plain(maps, boxes))[1]  # type: ignore[method-assign]
    given = case(4, 6)
    given["valid"][:] = True
    given["valid"][2] = False
    roi_features(see, **given)
    assert sum(pooled) == 3 * (1 + 6)  # the person and six things in each of three frames
    assert net.frames == 3


def test_a_hidden_box_is_nothing_and_the_union_is_the_other() -> None:
    see, _ = encoder()
    given = case(2, 2)
    given["valid"][:] = True
    given["object_boxes"][0] = 0
    given["subject_boxes"][1, 1], given["object_boxes"][1, 1] = 0, 0
    found = roi_features(see, **given, dtype=np.float32)
    assert not found["object"][0].any()
    assert not found["union"][1, 1].any()
    assert found["subject"][0].any()
    np.testing.assert_allclose(found["union"][0, 0].mean((1, 2)), found["subject"][0, 0], atol=1e-6)


def test_boxes_that_are_no_boxes_are_refused() -> None:
    see, _ = encoder()
    given = case()
    given["valid"][0, 0] = True
    given["object_boxes"][0, 0, 2] = np.nan
    with pytest.raises(UserError, match="NaN"):
        roi_features(see, **given)
    given["valid"][0, 0] = False
    assert np.isfinite(roi_features(see, **given)["union"]).all()
    with pytest.raises(UserError, match="one for each row"):
        roi_features(see, **{**given, "frames": given["frames"][:2]})
    with pytest.raises(UserError, match="one map"):
        BackboneEncoder(nn.Flatten(), "flat", 8, 5).maps(given["frames"])


def test_features_are_stored_until_a_box_changes(tmp_path: Path) -> None:
    see, net = encoder()
    given = case()
    frames = given.pop("frames")

    def features(**changed: np.ndarray) -> np.ndarray:
        boxes = {**given, **changed}
        with FeatureStore(tmp_path, identity(see)) as store:
            key = roi_key("sha", "uniform 3", see, **boxes, side=4)
            make = lambda: (roi_features(see, frames, **boxes, side=4), np.arange(3.0), 1.0)  # noqa: E731
            return store.get_or_add("v", key, make).arrays["subject"]

    first = features()
    seen = net.frames
    np.testing.assert_array_equal(features(), first)
    junk = given["object_boxes"].copy()
    junk[~given["valid"]] = 99
    np.testing.assert_array_equal(features(object_boxes=junk), first)
    assert net.frames == seen
    features(subject_boxes=given["subject_boxes"] + 1)
    assert net.frames == 2 * seen
    assert FeatureStore(tmp_path, identity(see)).verify() == []


def test_resnet_c4_has_the_published_sizes(tmp_path: Path) -> None:
    see = ResNetC4(50, "random", short_side=64)
    given = case(1, 2)
    given["valid"][:] = True
    found = roi_features(see, **given, side=7)
    assert (found["subject"].shape, found["union"].shape) == ((1, 2, 2048), (1, 2, 1024, 7, 7))
    assert see.maps(given["frames"]).values.shape == (1, 1024, 4, 6)  # 64 x 82 pixels at stride 16
    assert ResNetC4(50, "random", short_side=64).weights_sha256 == see.weights_sha256


def test_resnet_weights_come_from_a_detectors_file(tmp_path: Path) -> None:
    from safetensors.torch import save_file
    from torchvision.models import resnet50

    torch.manual_seed(3)
    tensors = resnet50(weights=None).state_dict()
    file = tmp_path / "a.safetensors"
    save_file({f"backbone.body.{name}": tensor for name, tensor in tensors.items()}, file)
    see = ResNetC4(50, file)
    assert see.weights_sha256 != ResNetC4(50, "random").weights_sha256
    assert torch.equal(see._trunk[0].weight, tensors["conv1.weight"])
    del tensors["layer3.2.conv2.weight"]
    save_file(tensors, file)
    with pytest.raises(UserError, match=r"layer3\.2\.conv2"):
        ResNetC4(50, file)
    with pytest.raises(UserError, match="a safetensors file"):
        ResNetC4(50, "imagnet")
    with pytest.raises(UserError, match="depth 50 or 101"):
        ResNetC4(34)
