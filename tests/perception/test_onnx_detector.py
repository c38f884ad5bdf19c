"""ONNX detectors: the built-in head against its definition, tiny files written here, and the real file where it is."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from onnx_files import conv_model

from whyact.errors import UserError
from whyact.perception.onnx import OnnxDetector, decode_fastestdet

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("WHYACT_DATA", ROOT.parent / "shared" / "data")).parent
FASTESTDET, CUPS = SHARED / "models" / "FastestDet.onnx", SHARED / "videos" / "cups.mp4"


def test_the_head_decodes_as_described() -> None:
    rng = np.random.default_rng(0)
    classes, rows, columns = 3, 2, 4
    out = rng.normal(size=(1, 5 + classes, rows, columns)).astype(np.float32)
    out[:, 0], out[:, 5:] = rng.random((1, rows, columns)), rng.random((1, classes, rows, columns))
    boxes, scores, numbers = decode_fastestdet([out])
    for i in range(rows * columns):
        y, x = divmod(i, columns)
        cell = [float(v) for v in out[0, :, y, x]]
        best = max(range(classes), key=lambda c: cell[5 + c])
        center = (x + math.tanh(cell[1])) / columns, (y + math.tanh(cell[2])) / rows
        size = 1 / (1 + math.exp(-cell[3])), 1 / (1 + math.exp(-cell[4]))
        expected = [center[0] - size[0] / 2, center[1] - size[1] / 2, center[0] + size[0] / 2, center[1] + size[1] / 2]
        assert_allclose(boxes[i], expected, atol=1e-5)
        assert numbers[i] == best
        assert scores[i] == pytest.approx(cell[0] ** 0.6 * cell[5 + best] ** 0.4, abs=1e-5)


def tiny(folder: Path, classes: int = 2) -> Path:
    """Write a detector whose objectness is how blue a cell is, with boxes half as wide and high as the image."""
    pytest.importorskip("onnxruntime", reason="needs the extra: pip install 'whyact[onnx]'")
    weight = np.zeros((5 + classes, 3, 4, 4), np.float32)
    weight[0, 0] = 1 / 16  # BGR: blue comes first
    bias = np.zeros(5 + classes, np.float32)
    bias[5] = 1.0
    path = folder / "tiny.onnx"
    path.write_bytes(conv_model(weight, bias, (8, 8)))
    return path


def named(path: Path, *names: str) -> Path:
    path.write_text("".join(f"{name}\n" for name in names))
    return path


def test_a_blue_corner_is_found_where_it_is_in_the_pixels_of_each_frame(tmp_path: Path) -> None:
    detector = OnnxDetector(tiny(tmp_path), named(tmp_path / "n.txt", "cup", "tree"), score=0.5)
    frames = np.zeros((3, 40, 80, 3), np.uint8)
    frames[0, :20, :40, 2] = 255  # blue above left: cell (0, 0), centre at the image's corner, half of it outside
    frames[1, 20:, 40:, 2] = 255  # cell (1, 1), centre in the middle
    frames[2, :20, :40, 0] = 255  # red
    first, second, third = detector(frames)
    assert_allclose(first.boxes, [[0, 0, 20, 10]], atol=0.5)
    assert_allclose(second.boxes, [[20, 10, 60, 30]], atol=0.5)
    assert len(third) == 0
    assert detector.classes[first.classes[0]] == "cup"
    assert first.scores[0] == pytest.approx(1.0, abs=0.05)
    assert detector.name.startswith("tiny.onnx sha256:")


def test_other_weights_have_another_name(tmp_path: Path) -> None:
    names = named(tmp_path / "n.txt", "cup", "tree")
    before = OnnxDetector(tiny(tmp_path), names).name
    path = tmp_path / "tiny.onnx"
    path.write_bytes(conv_model(np.ones((7, 3, 4, 4), np.float32), np.zeros(7, np.float32), (8, 8)))
    assert OnnxDetector(path, names).name != before


def test_names_come_from_the_option_then_from_beside_the_model_then_from_coco(tmp_path: Path) -> None:
    path = tiny(tmp_path)
    with pytest.raises(UserError, match=r"2 classes.*names"):
        OnnxDetector(path)
    named(tmp_path / "tiny.names", "a", "b")
    assert OnnxDetector(path).classes == ("a", "b")
    assert OnnxDetector(path, named(tmp_path / "other.txt", "c", "d")).classes == ("c", "d")
    (tmp_path / "tiny.names").unlink()
    assert OnnxDetector(tiny(tmp_path, classes=80)).classes[0] == "person"


def test_a_users_mistakes_are_named(tmp_path: Path) -> None:
    path = tiny(tmp_path)
    with pytest.raises(UserError, match=r"n\.txt.*3 names.*expected 2"):
        OnnxDetector(path, named(tmp_path / "n.txt", "a", "b", "c"))
    with pytest.raises(UserError, match=r"none\.onnx.*no such file"):
        OnnxDetector(tmp_path / "none.onnx")
    (tmp_path / "broken.onnx").write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r"broken\.onnx"):
        OnnxDetector(tmp_path / "broken.onnx")
    other = tmp_path / "other.onnx"
    other.write_bytes(conv_model(np.zeros((4, 3, 4, 4), np.float32), np.zeros(4, np.float32), (8, 8)))
    with pytest.raises(UserError, match=r"other\.onnx.*\(1, 4, 2, 2\).*FastestDet"):
        OnnxDetector(other)
    gray = tmp_path / "gray.onnx"
    gray.write_bytes(conv_model(np.zeros((7, 1, 4, 4), np.float32), np.zeros(7, np.float32), (8, 8)))
    with pytest.raises(UserError, match=r"gray\.onnx.*one image input"):
        OnnxDetector(gray)


@pytest.mark.skipif(not (FASTESTDET.is_file() and CUPS.is_file()), reason="needs FastestDet.onnx and cups.mp4")
def test_the_real_detector_sees_the_cups_on_the_table() -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra: pip install 'whyact[onnx]'")
    from whyact.video.decode import decode

    detector = OnnxDetector(FASTESTDET)
    assert len(detector.classes) == 80
    vessels = {detector.classes.index(name) for name in ("cup", "bottle")}
    for found in detector(decode(CUPS, 4).frames):
        good = found.boxes[[c in vessels for c in found.classes] & (found.scores > 0.5)]
        assert len(good) >= 2
        wide, high = (good[:, 2] - good[:, 0]).max(), (good[:, 3] - good[:, 1]).max()
        assert wide < 320  # a cup is a sixth of the frame wide, not half of it
        assert high < 500
