"""Open a detector or an encoder by its name or file, and keep a detector with a run."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whyact.data.io.pickles import load_torch
from whyact.errors import UserError
from whyact.features.lite import NAME as LITE
from whyact.features.lite import EfficientNetLite0, build_network, weights_file
from whyact.features.roi import BOX_SIDE, Maps, RoiEncoder, pool
from whyact.files import SHIPPED, write_atomic
from whyact.perception.centre import STRIDE, Backbone
from whyact.perception.classes import read_names
from whyact.perception.small import SmallDetector, load_detector
from whyact.perception.types import Detector
from whyact.training.checkpoint import CARD, CONFIG, MODEL, read_card, tensors_sha256

SHIPPED_NAME = "shipped"
OWN = "detector"  # the folder of a run's own detector within the run
COPIED_BYTES = 50 * 2**20  # a detector's file up to this size is copied into the run


class DetectorEncoder:
    """The map that a small detector reads its boxes from, as LaIAR's RoI encoder (Eq. 1)."""

    stride = STRIDE
    app_width = Backbone.out_channels
    union_channels = Backbone.out_channels

    def __init__(self, detector: SmallDetector) -> None:
        self.detector = detector
        self.name, self.weights_sha256 = f"backbone of {detector.name}", detector.sha256

    def to(self, device: torch.device) -> None:
        """Compute on ``device`` from now on."""
        self.detector.to(device)

    def maps(self, frames: NDArray[np.uint8]) -> Maps:
        """Return maps (T,64,h,w) of frames (T,H,W,3) uint8 RGB."""
        values, scale = self.detector.feature_map(frames)
        return Maps(values, (scale, scale))

    @torch.inference_mode()
    def vectors(self, maps: Maps, boxes: Tensor) -> Tensor:
        """Return the map averaged in each box (N,5): (N,64)."""
        return pool(maps, boxes, BOX_SIDE).mean((2, 3))


def shipped_detector() -> SmallDetector:
    """Open the detector that is bundled with the package."""
    return load_detector(SHIPPED / "laiar" / OWN)


def own_detector(run: Path) -> Detector | None:
    """Open the detector inside a run's folder, ``None`` when it has none.

    Raises:
        UserError: When it is damaged.
    """
    folder = run / OWN
    if not folder.is_dir():
        return None
    if files := sorted(folder.glob("*.onnx")):
        return open_detector(str(files[0]))
    return load_detector(folder)


def copy_detector(detector: Detector, source: Path, folder: Path) -> bool:
    """Copy a detector into a folder, so that :func:`own_detector` finds it there; tell whether it was.

    Args:
        detector: A small detector, or one from an ONNX file of at most :data:`COPIED_BYTES`; others stay where they
            are, and a run knows them by name and hash.
        source: Its folder or file.
        folder: Where to; a detector that is there is replaced.

    Raises:
        UserError: When the source's card is missing or damaged.
    """
    from whyact.perception.onnx import OnnxDetector

    if isinstance(detector, SmallDetector):
        card = read_card(source)  # before its folder is cleared: it may be the same one
        clear_detector(folder)
        detector.save(folder, data=card["data"], seed=card["seed"], metrics=card["metrics"], extra=card.get("extra"))
        return True
    clear_detector(folder)
    if isinstance(detector, OnnxDetector) and source.stat().st_size <= COPIED_BYTES:
        folder.mkdir(parents=True)
        shutil.copyfile(source, folder / source.name)
        write_atomic(folder / f"{source.stem}.names", "\n".join(detector.classes) + "\n")
        return True
    return False


def clear_detector(folder: Path) -> None:
    """Remove the detector that a replaced run left in its folder, and nothing else."""
    for path in [*folder.glob("*.onnx"), *folder.glob("*.names"), *(folder / name for name in (MODEL, CONFIG, CARD))]:
        path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def open_detector(name: str, *, names: str | None = None) -> Detector:
    """Open a detector.

    Args:
        name: ``shipped``; ``fasterrcnn-r50`` (fetched by torchvision); a small detector's folder; an ONNX file;
            a ``.safetensors`` or ``.pth`` file of Faster R-CNN R101-C4's weights.
        names: A file of class names, one a line: may be given for an ONNX file, must be for R101-C4.

    Raises:
        UserError: When there is no such detector, or a file is missing or broken.
    """
    path = Path(name)
    if path.suffix.lower() == ".onnx":
        from whyact.perception.onnx import OnnxDetector

        return OnnxDetector(path, names=names)
    if name == SHIPPED_NAME:
        return shipped_detector()
    if name == "fasterrcnn-r50":
        from whyact.perception.torchvision import faster_rcnn_r50_fpn

        return faster_rcnn_r50_fpn()
    if path.suffix.lower() in (".safetensors", ".pth"):
        from whyact.perception.torchvision import faster_rcnn_r101_c4

        if names is None:
            raise UserError(path, "no class names", "a file of class names, one a line", "--names FILE")
        return faster_rcnn_r101_c4(read_names(names), weights=path)
    if path.is_dir():
        return load_detector(path)
    expected = f"{SHIPPED_NAME}, fasterrcnn-r50, FILE.onnx, FILE.safetensors or a small detector's folder"
    raise UserError("--detector", name, expected)


def open_encoder(name: str, detector: Detector | None) -> RoiEncoder:
    """Open an encoder of boxes.

    Args:
        name: ``detector``, the backbone of a small detector; ``efficientnet-lite0``, whose weights come with the extra
            ``lite``; or ``resnet50:WEIGHTS`` or ``resnet101:WEIGHTS``, where
            the weights are what :class:`whyact.features.roi_encoders.ResNetC4` takes.
        detector: The detector, for its backbone.

    Raises:
        UserError: For an unknown name, a detector without such a backbone, or weights that cannot be had.
    """
    expected = f"{OWN}, {LITE}, resnet50:coco, resnet50:imagenet, resnet101:imagenet, or resnet101:FILE.safetensors"
    if name == OWN:
        if not isinstance(detector, SmallDetector):
            found = f"{name}, of {detector.name if detector is not None else 'no detector'}"
            raise UserError("--data.encoder", found, "a small detector, or another encoder", f"one of {expected}")
        return DetectorEncoder(detector)
    if name == LITE:
        state = load_torch(weights_file())
        return EfficientNetLite0(build_network(state), tensors_sha256(state))
    kind, _, weights = name.partition(":")
    if kind not in ("resnet50", "resnet101") or not weights:
        raise UserError("--data.encoder", name, expected)
    from whyact.features.roi_encoders import ResNetC4

    return ResNetC4(int(kind.removeprefix("resnet")), weights)
