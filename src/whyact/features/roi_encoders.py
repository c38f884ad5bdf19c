"""Networks that boxes are pooled from: ResNet cut at conv4, as Faster R-CNN C4 has it, and any small backbone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from whyact.errors import UserError
from whyact.features.roi import BOX_SIDE, Maps, pool
from whyact.training.checkpoint import tensors_sha256

RANDOM = "random"
SHORT_SIDE, LONG_SIDE = 600, 1000  # pixels: the sizes Faster R-CNN C4 was published with
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, what torchvision's weights were trained on


class ResNetC4:
    """A ResNet with its conv4 map shared by all boxes and its last stage run on each (stride 16, vectors of 2048).

    Args:
        depth: 50 or 101.
        weights: ``coco`` (depth 50, the body of torchvision's Faster R-CNN), ``imagenet``, both fetched by torchvision
            on first use; the path of a safetensors file; or ``random``, the same every time, to try the parts.
        short_side: Frames are scaled so that their shorter side has this many pixels, the longer at most 5/3 of it.
        device: Where to compute.

    Raises:
        UserError: When the weights are unknown, cannot be had or do not fit.
    """

    stride = 16
    app_width = 2048
    union_channels = 1024

    def __init__(
        self, depth: int = 50, weights: str | Path = "coco", short_side: int = SHORT_SIDE, device: str = "cpu"
    ) -> None:
        from torchvision.models import resnet50, resnet101
        from torchvision.ops import FrozenBatchNorm2d

        if depth not in (50, 101):
            raise UserError("ResNet", depth, "depth 50 or 101")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            body: Any = (resnet50 if depth == 50 else resnet101)(weights=None, norm_layer=FrozenBatchNorm2d)
        del body.fc
        if str(weights) != RANDOM:
            _load(body, _weights(depth, weights), weights)
        body.eval().requires_grad_(False)
        self.device, self.short_side = torch.device(device), short_side
        known = str(weights) if str(weights) in ("coco", "imagenet", RANDOM) else "file"
        self.name = f"ResNet-{depth} C4, {known} weights, short side {short_side}"
        self.weights_sha256 = tensors_sha256(body.state_dict())
        first = (body.conv1, body.bn1, body.relu, body.maxpool, body.layer1, body.layer2, body.layer3)
        self._trunk = nn.Sequential(*first).to(self.device)
        self._last = body.layer4.to(self.device)

    def to(self, device: torch.device) -> None:
        """Compute on ``device`` from now on."""
        self.device = device
        self._trunk.to(device)
        self._last.to(device)

    @torch.inference_mode()
    def maps(self, frames: NDArray[np.uint8]) -> Maps:
        """Return conv4 maps (T,1024,h,w) of frames (T,H,W,3) uint8 RGB."""
        height, width = frames.shape[1:3]
        ratio = min(self.short_side / min(height, width), self.short_side * LONG_SIDE / SHORT_SIDE / max(height, width))
        size = (max(1, round(height * ratio)), max(1, round(width * ratio)))
        x = _floats(frames, self.device)
        if size != (height, width):
            x = F.interpolate(x, size=size, mode="bilinear", align_corners=False, antialias=ratio < 1)
        mean, spread = (torch.tensor(c, device=self.device)[:, None, None] for c in (MEAN, SPREAD))
        return Maps(self._trunk((x - mean) / spread), (size[1] / width / self.stride, size[0] / height / self.stride))

    @torch.inference_mode()
    def vectors(self, maps: Maps, boxes: Tensor) -> Tensor:
        """Return the last stage's output (N,2048) on each box (N,5), averaged."""
        return self._last(pool(maps, boxes.to(self.device), BOX_SIDE)).mean((2, 3))


class BackboneEncoder:
    """Any backbone that gives one map, such as a small detector's; a box's vector is the map averaged in the box.

    Args:
        backbone: Takes frames (T,3,H,W) in 0..1 and returns (T,C,h,w). Used in eval mode and not changed otherwise.
        name: What it is, with anything that changes its output but is not in its weights.
        stride: Pixels of a frame a cell of the map.
        channels: C.
        device: Where to compute.
    """

    def __init__(self, backbone: nn.Module, name: str, stride: int, channels: int, device: str = "cpu") -> None:
        self.name, self.stride, self.app_width, self.union_channels = name, stride, channels, channels
        self.weights_sha256 = tensors_sha256(backbone.state_dict())
        self.device = torch.device(device)
        self._backbone = backbone.to(self.device).eval()

    def to(self, device: torch.device) -> None:
        """Compute on ``device`` from now on."""
        self.device = device
        self._backbone.to(device)

    @torch.inference_mode()
    def maps(self, frames: NDArray[np.uint8]) -> Maps:
        """Return maps (T,C,h,w) of frames (T,H,W,3) uint8 RGB.

        Raises:
            UserError: When the backbone gives anything but one map of the channels stated.
        """
        values = self._backbone(_floats(frames, self.device))
        if not isinstance(values, Tensor) or values.ndim != 4 or values.shape[1] != self.union_channels:
            found = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise UserError(self.name, found, f"one map (T,{self.union_channels},h,w)")
        return Maps(values, (1 / self.stride, 1 / self.stride))

    @torch.inference_mode()
    def vectors(self, maps: Maps, boxes: Tensor) -> Tensor:
        """Return the map averaged in each box (N,5): (N,C)."""
        return pool(maps, boxes.to(self.device), BOX_SIDE).mean((2, 3))


def _floats(frames: NDArray[np.uint8], device: torch.device) -> Tensor:
    return torch.from_numpy(frames).to(device).permute(0, 3, 1, 2).float() / 255


def _weights(depth: int, weights: str | Path) -> dict[str, Tensor]:
    from torchvision.models import ResNet50_Weights, ResNet101_Weights
    from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

    published: dict[tuple[int, str], Any] = {
        (50, "coco"): FasterRCNN_ResNet50_FPN_Weights.COCO_V1,
        (50, "imagenet"): ResNet50_Weights.IMAGENET1K_V2,
        (101, "imagenet"): ResNet101_Weights.IMAGENET1K_V2,
    }
    if (found := published.get((depth, str(weights)))) is not None:
        try:
            return dict(found.get_state_dict(progress=False, check_hash=True))
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"ResNet-{depth}",
                str(error),
                "weights that torchvision can fetch",
                "give the path of a safetensors file",
            ) from error
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(weights)
    if not path.is_file():
        names = [name for known, name in published if known == depth]
        raise UserError("weights", str(weights), f"one of {', '.join(names)}, {RANDOM}, or a safetensors file")
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(path, str(error), "a safetensors file") from error


def _load(body: nn.Module, tensors: dict[str, Tensor], where: object) -> None:
    """Fill a body from a classifier's or a detector's tensors, whatever stands before their names."""
    trunk = next(
        (k.removesuffix("conv1.weight") for k in tensors if k.endswith("conv1.weight") and ".layer" not in f".{k}"), ""
    )
    last = next((k.split("layer4.")[0] for k in tensors if "layer4." in k), trunk)
    wanted = body.state_dict()
    found = {}
    for name, own in wanted.items():
        value = tensors.get((last if name.startswith("layer4.") else trunk) + name)
        if value is None or value.shape != own.shape:
            shape = "nothing" if value is None else tuple(value.shape)
            raise UserError(where, f"{name}: {shape}", f"a ResNet's tensors, {name} of shape {tuple(own.shape)}")
        found[name] = value
    body.load_state_dict(found)
