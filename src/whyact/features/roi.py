"""The pixel part of LaIAR's Eq. 1: an encoder's features of the subject's, the object's and their union box.

Axis letters: T frames, K slots, N boxes, A width of a box's vector, C channels and S side of a union map.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whyact.errors import UserError
from whyact.features.operators import roi_align
from whyact.features.store import feature_key
from whyact.files import sha256

BOX_SIDE = 7  # cells a side that a box is pooled to before its vector is made
SAMPLES = 2  # bilinear samples a side of each cell
BOXES_AT_ONCE = 128

Pixels = NDArray[np.uint8]
Arrays = dict[str, NDArray[np.floating]]


@dataclass(frozen=True)
class Maps:
    """Feature maps (T,C,h,w) of frames, and how many of their cells one pixel of a frame is, along x and y."""

    values: Tensor
    scale: tuple[float, float]


class RoiEncoder(Protocol):
    """A frozen image network that boxes are pooled from. ``name`` says its preprocessing too."""

    name: str
    weights_sha256: str
    stride: int
    app_width: int
    union_channels: int

    def maps(self, frames: Pixels) -> Maps:
        """Return the maps of frames (T,H,W,3) uint8 RGB."""

    def vectors(self, maps: Maps, boxes: Tensor) -> Tensor:
        """Return the vectors (N,A) of boxes (N,5): the frame's position in ``maps``, then xyxy in its pixels."""


@runtime_checkable
class SceneEncoder(Protocol):
    """An encoder that also has a vector for a whole frame."""

    def scene(self, frames: Pixels) -> Tensor:
        """Return the vectors (T,A) of whole frames (T,H,W,3) uint8 RGB, the longer side cropped."""


def scene_features(encoder: RoiEncoder, frames: Pixels, batch: int = 4) -> NDArray[np.float16] | None:
    """Return the vectors (T,A) of whole frames; ``None`` where the encoder has none."""
    if not isinstance(encoder, SceneEncoder):
        return None
    parts = [encoder.scene(frames[i : i + batch]).cpu().numpy() for i in range(0, len(frames), batch)]
    return np.concatenate(parts).astype(np.float16)


def identity(encoder: RoiEncoder) -> str:
    """Return what a feature store of this encoder's is opened for."""
    return f"{encoder.name}, tensors {encoder.weights_sha256[:16]}"


def pool(maps: Maps, boxes: Tensor, side: int) -> Tensor:
    """Average bilinear samples in the cells of boxes (RoIAlign of Mask R-CNN, with its half-pixel correction).

    Args:
        maps: Of the frames.
        boxes: (N,5) the frame's position, then xyxy in the frame's pixels.
        side: Cells a side.

    Returns:
        (N,C,side,side).
    """
    x, y = maps.scale
    scaled = (boxes * boxes.new_tensor([1, x, y, x, y])).to(maps.values.device, maps.values.dtype)
    return roi_align(maps.values, scaled, side, SAMPLES)


@torch.inference_mode()
def roi_features(
    encoder: RoiEncoder,
    frames: Pixels,
    subject_boxes: NDArray[np.floating],
    object_boxes: NDArray[np.floating],
    valid: NDArray[np.bool_],
    side: int = BOX_SIDE,
    *,
    dtype: type[np.floating] = np.float16,
    batch: int = 4,
) -> Arrays:
    """Pool subject, object and union boxes of every valid pair; each distinct box of a frame is pooled once.

    Args:
        encoder: The image network.
        frames: (T,H,W,3) uint8 RGB.
        subject_boxes: (T,K,4) xyxy in pixels of the frames; a box without an area is hidden.
        object_boxes: The same.
        valid: (T,K) which pairs there are.
        side: Side of the union maps (S), that of the box-mask encoder's output.
        dtype: Of the result; half precision is what is stored.
        batch: Frames encoded at once.

    Returns:
        ``subject`` (T,K,A), ``object`` (T,K,A) and ``union`` (T,K,C,S,S); zeros for pairs that are not valid and
        for hidden boxes. With one box hidden the union is the other. Frames without a pair are not encoded.

    Raises:
        UserError: On boxes or frames of another shape, or a box of a valid pair that is not finite.
    """
    pairs = _checked(frames, subject_boxes, object_boxes, valid)  # (T,K,2,4)
    t, k = valid.shape
    seen = valid[..., None] & (pairs[..., 2:] > pairs[..., :2]).all(-1)  # (T,K,2)
    low = np.where(seen[..., None], pairs[..., :2], np.inf).min(2)
    high = np.where(seen[..., None], pairs[..., 2:], -np.inf).max(2)
    apart, united = (
        _Distinct(pairs, seen),
        _Distinct(np.concatenate([low, high], -1), np.any(seen, axis=-1, keepdims=False)),
    )
    app = np.zeros((t, k, 2, encoder.app_width), dtype)
    union = np.zeros((t, k, encoder.union_channels, side, side), dtype)
    used = np.flatnonzero(valid.any(1))
    for first in range(0, len(used), batch):
        own = used[first : first + batch]
        maps = encoder.maps(np.ascontiguousarray(frames[own]))
        apart.fill(app, own, lambda boxes, maps=maps: encoder.vectors(maps, boxes))  # type: ignore[misc]
        united.fill(union, own, lambda boxes, maps=maps: pool(maps, boxes, side))  # type: ignore[misc]
    return {"subject": app[:, :, 0], "object": app[:, :, 1], "union": union}


def roi_key(
    video_sha256: str,
    sampler: str,
    encoder: RoiEncoder,
    subject_boxes: NDArray[np.floating],
    object_boxes: NDArray[np.floating],
    valid: NDArray[np.bool_],
    side: int = BOX_SIDE,
) -> str:
    """Return the key of a clip's RoI features in a store opened for :func:`identity` of the encoder.

    Args:
        video_sha256: Of the video's file.
        sampler: Which frames the boxes belong to.
        encoder: The image network.
        subject_boxes: As for :func:`roi_features`.
        object_boxes: The same.
        valid: The same; boxes of pairs that are not valid change nothing.
        side: The same.
    """
    there = np.where(valid[..., None, None], np.stack([subject_boxes, object_boxes], 2), 0).astype(np.float32)
    boxes = sha256(np.ascontiguousarray(there).tobytes() + valid.tobytes() + str(valid.shape).encode())
    return feature_key(video_sha256, sampler, encoder.name, encoder.weights_sha256, boxes=boxes, side=str(side))


class _Distinct:
    """The distinct boxes of each frame, and where each of them belongs."""

    def __init__(self, boxes: NDArray[np.floating], there: NDArray[np.bool_]) -> None:
        self.places = np.nonzero(there)
        rows = np.concatenate([self.places[0][:, None], boxes[there]], -1)
        self.boxes, self.which = np.unique(rows, axis=0, return_inverse=True)
        self.which = self.which.reshape(-1)

    def fill(self, out: NDArray[np.floating], frames: NDArray[np.intp], see: Callable[[Tensor], Tensor]) -> None:
        """Compute the boxes of some frames (positions, rising) once each and write them into ``out`` (T,K,...)."""
        at = np.flatnonzero(np.isin(self.boxes[:, 0], frames))
        if not len(at):
            return
        rows = torch.from_numpy(self.boxes[at]).float()
        rows[:, 0] = torch.from_numpy(np.searchsorted(frames, self.boxes[at, 0])).float()
        found = [see(rows[i : i + BOXES_AT_ONCE]).float().cpu().numpy() for i in range(0, len(rows), BOXES_AT_ONCE)]
        values = np.concatenate(found).astype(out.dtype)
        mine = np.isin(self.which, at)
        places = tuple(axis[mine] for axis in self.places)
        out[places] = values[np.searchsorted(at, self.which[mine])]


def _checked(frames: Pixels, subject: Any, object_: Any, valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    t, k = valid.shape
    if frames.ndim != 4 or frames.shape[3] != 3 or len(frames) != t or frames.dtype != np.uint8:
        raise UserError("frames", f"{frames.dtype} {frames.shape}", f"uint8 ({t},H,W,3), one for each row of boxes")
    for name, boxes in (("subject boxes", subject), ("object boxes", object_)):
        if boxes.shape != (t, k, 4):
            raise UserError(name, boxes.shape, f"({t},{k},4)")
        if not np.isfinite(boxes[valid]).all():
            raise UserError(name, "NaN or infinity", "finite pixels for every valid pair")
    pairs = np.stack([subject, object_], 2).astype(np.float32)
    return np.where(valid[..., None, None], pairs, np.float32(0))
