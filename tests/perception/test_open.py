"""Detectors by name or file: the right kind is opened, and what is none is refused with what there is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx_files import conv_model
from safetensors.torch import save_file

from whyact.errors import UserError
from whyact.perception.centre import CentreNet
from whyact.perception.open import (
    OWN,
    DetectorEncoder,
    clear_detector,
    copy_detector,
    open_detector,
    own_detector,
)
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


def onnx_file(path: Path, classes: int) -> Path:
    """Write a detector that finds nothing, and its class names beside it."""
    pytest.importorskip("onnxruntime")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        conv_model(np.zeros((5 + classes, 3, 4, 4), np.float32), np.zeros(5 + classes, np.float32), (8, 8))
    )
    path.with_suffix(".names").write_text("\n".join(f"thing {i}" for i in range(classes)))
    return path


def test_a_run_keeps_a_small_onnx_detector_and_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = onnx_file(tmp_path / "models" / "tiny.onnx", 2)
    detector = open_detector(str(source))
    run = tmp_path / "run"
    assert copy_detector(detector, source, run / OWN)
    source.unlink()
    source.with_suffix(".names").unlink()
    own = own_detector(run)
    assert own is not None
    assert (own.name, own.classes) == (detector.name, ("thing 0", "thing 1"))

    other = onnx_file(tmp_path / "models" / "other.onnx", 3)
    assert copy_detector(open_detector(str(other)), other, run / OWN)  # a run that is trained again
    assert sorted(path.name for path in (run / OWN).iterdir()) == ["other.names", "other.onnx"]
    monkeypatch.setattr("whyact.perception.open.COPIED_BYTES", 10)
    assert not copy_detector(open_detector(str(other)), other, run / OWN)
    assert own_detector(run) is None


def test_what_is_no_detector_stays_in_a_runs_folder(tmp_path: Path) -> None:
    (tmp_path / OWN).mkdir()
    (tmp_path / OWN / "note.txt").write_text("mine")
    clear_detector(tmp_path / OWN)
    assert [path.name for path in (tmp_path / OWN).iterdir()] == ["note.txt"]
