"""Faster R-CNN through torchvision: R50-FPN with COCO's weights, and R101-C4, the backbone of LaIAR's paper.

Scores over 0.1 and NMS at 0.4 are the rules of the relation network that the paper cites (STTran).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from whyact.data.io.pickles import load_torch
from whyact.errors import UserError
from whyact.perception.classes import coco_names
from whyact.perception.types import Detections, Frames
from whyact.training.checkpoint import tensors_sha256

SCORE, NMS = 0.1, 0.4
_STRIDE = 16  # of the conv4 map
_POOL = 7


class FasterRCNNDetector:
    """A torchvision detection model with its class names: frames in, boxes out.

    Args:
        model: What torchvision's constructors return; put into evaluation mode.
        classes: Name of each of its labels from 1 on; labels with an empty name are dropped.
        name: The model's name; the weights' hash is put behind it.
        batch: Frames that are looked at together.
        device: Where it runs.
    """

    def __init__(self, model: Any, classes: Sequence[str], name: str, *, batch: int = 2, device: str = "cpu") -> None:
        self.model = model.eval().to(device)
        self.classes = tuple(word for word in classes if word)
        self.batch, self.device = batch, torch.device(device)
        self.name = f"{name} sha256:{tensors_sha256(model.state_dict())[:16]}"
        numbers = np.cumsum([bool(word) for word in classes]) - 1
        self._number = np.array([-1, *np.where([bool(word) for word in classes], numbers, -1)], dtype=np.int64)

    def to(self, device: torch.device) -> None:
        """Compute on ``device`` from now on."""
        self.device = device
        self.model.to(device)

    @torch.inference_mode()
    def __call__(self, frames: Frames) -> list[Detections]:
        """Return the boxes of frames (T,H,W,3) uint8 RGB, best first."""
        found = []
        for first in range(0, len(frames), self.batch):
            for out in self.model(self._images(frames[first : first + self.batch])):
                one = {key: value.cpu().numpy() for key, value in out.items()}
                known = self._number[one["labels"]] >= 0
                found.append(Detections(one["boxes"], one["scores"], self._number[one["labels"]])[known])
        return found

    def _images(self, frames: Frames) -> list[Tensor]:
        images = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
        return list(images.to(self.device).float() / 255.0)


class ResNetC4Detector(FasterRCNNDetector):
    """Faster R-CNN on a ResNet's conv4 map, with the features of Eq. 1 at the sizes that the paper's network has."""

    @torch.inference_mode()
    def feature_map(self, frames: Frames) -> tuple[Tensor, float]:
        """Return the conv4 map (T,1024,h,w) and how many of its cells a pixel of the frames is (``spatial_scale``)."""
        maps, scale = [], 1.0
        for first in range(0, len(frames), self.batch):
            images, _ = self.model.transform(self._images(frames[first : first + self.batch]))
            scale = images.image_sizes[0][1] / frames.shape[2]
            maps.append(self.model.backbone(images.tensors))
        return (torch.cat(maps) if maps else torch.zeros(0, 1024, 0, 0)), scale / _STRIDE

    @torch.inference_mode()
    def box_vectors(self, pooled: Tensor) -> Tensor:
        """Return appearance (N,2048): layer 4's output, averaged, of conv4 maps (N,1024,7,7) pooled from boxes."""
        vectors: Tensor = self.model.roi_heads.box_head(pooled)
        return vectors


def faster_rcnn_r50_fpn(
    *, weights: Path | str | None = None, batch: int = 2, device: str = "cpu"
) -> FasterRCNNDetector:
    """Build Faster R-CNN R50-FPN with COCO's classes.

    Args:
        weights: A safetensors or PyTorch file; without it, torchvision's own, which torchvision downloads once.
        batch: Frames that are looked at together.
        device: Where it runs.

    Raises:
        UserError: When the weights cannot be downloaded, or the file holds others.
    """
    from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights, fasterrcnn_resnet50_fpn

    published = FasterRCNN_ResNet50_FPN_Weights.COCO_V1
    rules = {"box_score_thresh": SCORE, "box_nms_thresh": NMS}
    labels = published.meta["categories"][1:]
    if weights is None:
        try:
            model = fasterrcnn_resnet50_fpn(weights=published, **rules)
        except (OSError, RuntimeError) as error:  # no network, or a broken download
            raise UserError(
                published.url, str(error), "a download by torchvision", "or detect with a file: --detector FILE.onnx"
            ) from error
    else:
        state = _read(weights)
        model = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=len(labels) + 1, **rules)
        _load(model, state, weights)
    named = [name if name in coco_names() else "" for name in labels]
    return FasterRCNNDetector(model, named, "torchvision Faster R-CNN R50-FPN COCO", batch=batch, device=device)


def faster_rcnn_r101_c4(
    classes: Sequence[str], *, weights: Path | str, batch: int = 2, device: str = "cpu", **sizes: Any
) -> ResNetC4Detector:
    """Build Faster R-CNN R101-C4 with weights from a file in torchvision's parameter names.

    Args:
        classes: The names of the labels from 1 on.
        weights: A safetensors or PyTorch file (weights only).
        batch: Frames that are looked at together.
        device: Where it runs.
        sizes: ``min_size`` and ``max_size`` of the frames that it looks at (torchvision's 800 and 1333).

    Raises:
        UserError: When the file is missing or holds other weights.
    """
    state = _read(weights)
    model = r101_c4(len(classes) + 1, **sizes)
    _load(model, state, weights)
    return ResNetC4Detector(model, classes, "Faster R-CNN R101-C4", batch=batch, device=device)


def r101_c4(labels: int, **sizes: Any) -> Any:
    """Return torchvision's Faster R-CNN on ResNet-101's conv4 map, layer 4 as its box head, random weights.

    Args:
        labels: How many, the background included.
        sizes: What torchvision's constructor takes, ``min_size`` and ``max_size`` among it.
    """
    from torchvision.models import resnet101
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
    from torchvision.ops import MultiScaleRoIAlign
    from torchvision.ops.misc import FrozenBatchNorm2d

    net = resnet101(weights=None, norm_layer=FrozenBatchNorm2d)
    trunk = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool, net.layer1, net.layer2, net.layer3)
    trunk.out_channels = 1024  # type: ignore[assignment]
    return FasterRCNN(
        trunk,
        rpn_anchor_generator=AnchorGenerator(((32, 64, 128, 256, 512),), ((0.5, 1.0, 2.0),)),
        box_roi_pool=MultiScaleRoIAlign(["0"], _POOL, 2),
        box_head=nn.Sequential(net.layer4, nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        box_predictor=FastRCNNPredictor(2048, labels),
        box_score_thresh=SCORE,
        box_nms_thresh=NMS,
        **sizes,
    )


def best_only(found: Detections, number: int) -> Detections:
    """Return the boxes with only the best one of a class: the one person of the paper's protocol."""
    mine: NDArray[np.intp] = np.flatnonzero(found.classes == number)
    drop = mine[np.argsort(-found.scores[mine], kind="stable")[1:]]
    return found[np.setdiff1d(np.arange(len(found)), drop)]


def _load(model: nn.Module, state: dict[str, Tensor], path: Path | str) -> None:
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        lines = str(error).splitlines()
        raise UserError(path, lines[min(1, len(lines) - 1)].strip(), "weights of this architecture") from error


def _read(path: Path | str) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if Path(path).suffix != ".safetensors":
        return load_torch(path)
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(path, str(error), "a safetensors file") from error
