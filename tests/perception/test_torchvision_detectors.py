"""Faster R-CNN with random weights: feature sizes of the paper, the detector's rules, weights from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from safetensors.torch import save_file

from whyact.errors import UserError
from whyact.perception.torchvision import (
    FasterRCNNDetector,
    ResNetC4Detector,
    best_only,
    faster_rcnn_r50_fpn,
    faster_rcnn_r101_c4,
    r101_c4,
)
from whyact.perception.types import detections

FRAMES = np.random.default_rng(0).integers(0, 255, (2, 64, 96, 3), dtype=np.uint8)
SIZES = {"min_size": 64, "max_size": 96}


@pytest.fixture(scope="module")
def c4() -> Any:
    torch.manual_seed(0)
    return r101_c4(4, **SIZES)


def test_features_have_the_sizes_of_the_paper(c4: Any) -> None:
    from torchvision.ops import roi_align

    detector = ResNetC4Detector(c4, ("person", "cup", "book"), "c4")
    maps, scale = detector.feature_map(FRAMES)
    assert maps.shape == (2, 1024, 4, 6)
    assert scale == 1 / 16
    union = roi_align(maps, [torch.tensor([[0.0, 0, 40, 40]]), torch.zeros(0, 4)], 7, scale, aligned=True)
    assert union.shape == (1, 1024, 7, 7)
    assert detector.box_vectors(union).shape == (1, 2048)


def test_the_rules_of_the_paper_reach_the_model(c4: Any) -> None:
    assert (c4.roi_heads.score_thresh, c4.roi_heads.nms_thresh) == (0.1, 0.4)
    found = ResNetC4Detector(c4, ("person", "cup", "book"), "c4")(FRAMES)
    assert len(found) == 2
    for boxes in found:
        assert (boxes.scores > 0.1).all()
        assert (np.diff(boxes.scores) <= 0).all()


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    """Stand in for the large network where only its weights matter."""
    monkeypatch.setattr("whyact.perception.torchvision.r101_c4", lambda labels: torch.nn.Linear(2, labels))
    return torch.nn.Linear(2, 4)


def test_weights_from_a_file_are_the_weights(tiny: torch.nn.Module, tmp_path: Path) -> None:
    classes = ("a", "b", "c")
    save_file(tiny.state_dict(), tmp_path / "w.safetensors")
    torch.save({"state_dict": tiny.state_dict()}, tmp_path / "w.pth")
    loaded = [faster_rcnn_r101_c4(classes, weights=tmp_path / file) for file in ("w.safetensors", "w.pth")]
    for detector in loaded:
        torch.testing.assert_close(detector.model.weight, tiny.weight)
        assert detector.name == loaded[0].name
    save_file({name: value + 1 for name, value in tiny.state_dict().items()}, tmp_path / "other.safetensors")
    assert faster_rcnn_r101_c4(classes, weights=tmp_path / "other.safetensors").name != loaded[0].name


def test_other_weights_are_refused_by_name(tiny: torch.nn.Module, tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"w\.safetensors.*of this architecture"):
        faster_rcnn_r101_c4(("a", "b", "c"), weights=tmp_path / "w.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"no tensors")
    with pytest.raises(UserError, match=r"broken\.safetensors"):
        faster_rcnn_r50_fpn(weights=tmp_path / "broken.safetensors")
    with pytest.raises(UserError, match=r"none\.pth"):
        faster_rcnn_r50_fpn(weights=tmp_path / "none.pth")


def test_a_download_that_fails_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(**_: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.models.detection.fasterrcnn_resnet50_fpn", offline)
    with pytest.raises(UserError, match=r"no route to host.*detector=FILE\.onnx"):
        faster_rcnn_r50_fpn()


class Fixed(torch.nn.Module):
    """A model that finds the same in every frame."""

    def forward(self, images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        assert all(image.shape == (3, 64, 96) and image.min() >= 0 and image.max() <= 1 for image in images)
        boxes = torch.tensor([[0.0, 0, 5, 5], [1, 1, 6, 6], [2, 2, 7, 7]])
        return [{"boxes": boxes, "scores": torch.tensor([0.9, 0.8, 0.7]), "labels": torch.tensor([3, 2, 1])}] * len(
            images
        )


def test_labels_become_class_numbers_and_unnamed_ones_are_dropped() -> None:
    detector = FasterRCNNDetector(Fixed(), ("person", "", "cup"), "fixed")
    assert detector.classes == ("person", "cup")
    for boxes in detector(FRAMES):
        assert [detector.classes[c] for c in boxes.classes] == ["cup", "person"]
        assert_array_equal(boxes.boxes[:, 0], [0, 2])


def test_the_best_person_is_the_one_person() -> None:
    found = detections(np.arange(16).reshape(4, 4), [0.5, 0.9, 0.8, 0.3], [0, 1, 0, 0])
    assert_array_equal(best_only(found, 0).scores, np.float32([0.9, 0.8]))
    assert_array_equal(best_only(found, 7).scores, found.scores)
