"""The small detector of the shipped household model: under a million weights, quick enough for any CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from whyact.devices import device_of
from whyact.errors import UserError
from whyact.perception.centre import STRIDE, Backbone, CentreNet, peaks
from whyact.perception.types import Detections, Frames, suppress
from whyact.training.checkpoint import load_checkpoint, save_checkpoint, tensors_sha256

METHOD = "small-detector"
LONG_SIDE = 320
_MULTIPLE = 16


class SmallDetector:
    """A :class:`CentreNet` with its class names: frames in, boxes out.

    Args:
        net: The network; put into evaluation mode, its weights rounded to half precision.
        classes: Names of its class numbers.
        score: Boxes with a lower score are dropped.
        iou: Of boxes of a class that overlap more than this, the best stays.
        long_side: Pixels to which the longer side of a frame is brought.
        batch: Frames that are looked at together.
    """

    def __init__(
        self,
        net: CentreNet,
        classes: tuple[str, ...],
        *,
        score: float = 0.1,
        iou: float = 0.5,
        long_side: int = LONG_SIDE,
        batch: int = 16,
    ) -> None:
        self.net, self.classes = net.half().float().eval(), classes  # as a checkpoint keeps them: the same boxes
        self.score, self.iou, self.long_side, self.batch = score, iou, long_side, batch
        self.sha256 = tensors_sha256(_half(net))
        self.name = f"{METHOD} sha256:{self.sha256[:16]}"

    def to(self, device: torch.device) -> None:
        """Compute on ``device`` from now on."""
        self.net.to(device)

    @property
    def backbone(self) -> Backbone:
        """Return the part that makes the map which boxes are read from, and RoI features can be."""
        return self.net.backbone

    @torch.inference_mode()
    def __call__(self, frames: Frames) -> list[Detections]:
        """Return the boxes of frames (T,H,W,3) uint8 RGB, best first, cut off at the image's edges."""
        found: list[Detections] = []
        for first in range(0, len(frames), self.batch):
            images, scale = prepare(frames[first : first + self.batch], self.long_side)
            logits, reach = self.net(images.to(device_of(self.net)))
            for boxes, scores, classes in peaks(logits, reach, self.score):
                height, width = frames.shape[1:3]
                pixels = (boxes / scale).cpu().numpy().clip(0, np.array([width, height, width, height], np.float32))
                solid = (pixels[:, 2:] > pixels[:, :2]).all(axis=1)
                whole = Detections(pixels, scores.cpu().numpy(), classes.cpu().numpy())
                found.append(suppress(whole[solid], self.iou))
        return found

    @torch.inference_mode()
    def feature_map(self, frames: Frames) -> tuple[Tensor, float]:
        """Return the backbone's map (T,64,h,w) and how many of its cells a pixel of the frames is.

        The second is what ``torchvision.ops.roi_align`` calls ``spatial_scale``: boxes stay in pixels of the frames.
        """
        maps, scale = [], 1.0
        for first in range(0, len(frames), self.batch):
            images, scale = prepare(frames[first : first + self.batch], self.long_side)
            maps.append(self.backbone(images.to(device_of(self.net))))
        return (torch.cat(maps) if maps else torch.zeros(0, Backbone.out_channels, 0, 0)), scale / STRIDE

    def save(self, folder: Path, *, data: str, seed: int | None, metrics: dict[str, float], extra: Any = None) -> Path:
        """Write the detector as a checkpoint folder, weights in half precision.

        Raises:
            UserError: When the folder holds something else or cannot be written.
        """
        card = {
            "method": METHOD,
            "data": data,
            "split_sha256": "",
            "licence": "Apache-2.0",
            "seed": seed,
            "metrics": metrics,
            "extra": extra or {},
        }
        config = {"classes": list(self.classes), "score": self.score, "iou": self.iou, "long_side": self.long_side}
        return save_checkpoint(folder, _half(self.net), config, card)


def load_detector(folder: Path | str) -> SmallDetector:
    """Read a detector that :meth:`SmallDetector.save` wrote, verified.

    Raises:
        UserError: When the folder is damaged or holds another method's weights.
    """
    folder = Path(folder)
    checkpoint = load_checkpoint(folder)
    classes, method = checkpoint.config.get("classes"), checkpoint.card["method"]
    if method != METHOD or not isinstance(classes, list):
        raise UserError(folder, f"a checkpoint of {method}", f"one of {METHOD}")
    net = CentreNet(len(classes))
    try:
        net.load_state_dict(
            {
                name: tensor.float() if tensor.is_floating_point() else tensor
                for name, tensor in checkpoint.tensors.items()
            }
        )
    except RuntimeError as error:
        raise UserError(folder, str(error).splitlines()[0], f"weights of {METHOD}") from error
    return SmallDetector(net, tuple(classes), **{key: checkpoint.config[key] for key in ("score", "iou", "long_side")})


def prepare(frames: Frames, long_side: int = LONG_SIDE) -> tuple[Tensor, float]:
    """Return images (T,3,h,w) in 0..1, padded below and to the right, and the scale.

    Args:
        frames: (T,H,W,3) uint8.
        long_side: Pixels of the longer side.
    """
    height, width = frames.shape[1:3]
    scale = long_side / max(height, width)
    images = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255.0
    size = max(1, round(height * scale)), max(1, round(width * scale))
    if size != (height, width):
        images = F.interpolate(images, size, mode="bilinear", antialias=True)
    pad = -size[1] % _MULTIPLE, -size[0] % _MULTIPLE
    images = F.pad(images, (0, pad[0], 0, pad[1]), value=0.5)
    return images.contiguous(memory_format=torch.channels_last), scale


def _half(net: CentreNet) -> dict[str, Tensor]:
    return {n: t.half() if t.is_floating_point() else t for n, t in net.state_dict().items() if "num_batches" not in n}
