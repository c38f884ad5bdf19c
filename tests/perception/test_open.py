"""Detectors by name or file: the right kind is opened, and what is none is refused with what there is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from whyact.errors import UserError
from whyact.perception.centre import CentreNet
from whyact.perception.open import OWN, DetectorEncoder, open_detector, own_detector
from whyact.perception.small import SmallDetector


def test_a_folder_is_a_small_detector_and_a_run_brings_its_own(tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = SmallDetector(CentreNet(2), ("hand", "mug"))
    made.save(tmp_path / OWN, data="nothing", seed=None, metrics={})
    assert open_detector(str(tmp_path / OWN)).name == made.name
    own = own_detector(tmp_path)
    assert own is not None
    assert own.name == made.name
    assert own_detector(tmp_path / "elsewhere") is None


def test_looking_into_a_box_averages_the_map_in_it() -> None:
    torch.manual_seed(0)
    encoder = DetectorEncoder(SmallDetector(CentreNet(2), ("hand", "mug")))
    maps = encoder.maps(np.random.default_rng(0).integers(0, 255, (2, 240, 320, 3), dtype=np.uint8))
    whole = encoder.vectors(maps, torch.tensor([[1.0, 0, 0, 320, 240]]))
    assert whole.shape == (1, encoder.app_width)
    torch.testing.assert_close(whole[0], maps.values[1].mean((1, 2)), atol=0.15, rtol=0.3)


def test_a_weights_file_is_opened_with_its_class_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whyact.perception.torchvision.r101_c4", lambda labels: torch.nn.Linear(2, labels))
    save_file(torch.nn.Linear(2, 3).state_dict(), tmp_path / "w.safetensors")
    (tmp_path / "c.names").write_text("person\n\ncup\n")
    detector = open_detector(str(tmp_path / "w.safetensors"), names=str(tmp_path / "c.names"))
    assert detector.classes == ("person", "cup")
    with pytest.raises(UserError, match=r"no class names.*names=FILE"):
        open_detector(str(tmp_path / "w.safetensors"))
    (tmp_path / "c.names").write_text("\n")
    with pytest.raises(UserError, match=r"c\.names.*no names"):
        open_detector(str(tmp_path / "w.safetensors"), names=str(tmp_path / "c.names"))


def test_torchvisions_own_detector_is_opened_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(**_: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.models.detection.fasterrcnn_resnet50_fpn", offline)
    with pytest.raises(UserError, match="no route to host"):
        open_detector("fasterrcnn-r50")


@pytest.mark.parametrize("name", ["yolo", "none.onnx", "none.pt"])
def test_what_is_no_detector_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        open_detector(name)
