"""Clips as flat arrays, from which a batch of sampled frames is cut in a few vectorised steps.

A Python loop over clips would cost more than the model; here a batch is a handful of array look-ups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from whyact.data.types import RelationClip
from whyact.errors import UserError
from whyact.metrics.charades import multi_hot


@dataclass
class RoiBatch:
    """The pixel terms of Eq. 1: ``subject`` and ``object`` (B,T,K,A), ``union`` (B,T,K,C,S,S); zeros where hidden."""

    subject: Tensor
    object: Tensor
    union: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> RoiBatch:
        """Return the terms with ``function`` applied to each."""
        return RoiBatch(function(self.subject), function(self.object), function(self.union))


@dataclass
class RelationBatch:
    """A batch of sampled clips: B clips, T frames, K slots, R relation labels.

    ``boxes`` (B,T,K,2,4) xyxy as shares of the image size, zeros where hidden; ``seen`` (B,T,K,2) both boxes'
    visibility; ``classes`` (B,K,2) subject and object class; ``relations`` (B,T,K,R) multi-hot float or ``None``;
    ``appearance`` (B,T,K,A) or ``None``, zeros where the encoder saw nothing; ``valid`` (B,T,K); ``target`` (B,),
    or (B,C) multi-hot where a clip shows any number of actions;
    ``pixels`` what an encoder saw in the boxes, or ``None``; ``context`` (B,D) a vector of the whole clip, or ``None``;
    ``scene`` (B,T,D) what an encoder saw in whole frames, zeros where it saw none, or ``None``.
    """

    boxes: Tensor
    seen: Tensor
    classes: Tensor
    valid: Tensor
    target: Tensor
    relations: Tensor | None = None
    appearance: Tensor | None = None
    pixels: RoiBatch | None = None
    context: Tensor | None = None
    scene: Tensor | None = None

    def without_relations(self) -> RelationBatch:
        """Return the batch as the video model may see it."""
        return replace(self, relations=None)

    def map(self, function: Callable[[Tensor], Tensor]) -> RelationBatch:
        """Return the batch with ``function`` applied to every tensor."""

        done: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if value is not None:
                done[item.name] = value.map(function) if isinstance(value, RoiBatch) else function(value)
        return RelationBatch(**done)

    def slots(self, count: int) -> RelationBatch:
        """Return the batch with its first ``count`` slots."""
        done = self.map(lambda x: x[:, :, :count] if x.dim() > 2 else x)
        return replace(
            done, classes=self.classes[:, :count], target=self.target, context=self.context, scene=self.scene
        )

    def to(self, device: torch.device | str) -> RelationBatch:
        """Return the batch on ``device``."""
        return self.map(lambda x: x.to(device))

    def __len__(self) -> int:
        return len(self.target)


class PackedClips:
    """Clips of any length and slot count, packed frame after frame.

    Args:
        clips: The clips, each with all its frames.
        slots: Most slots used of a clip.
        window: Average appearance from half-way to the previous to half-way to the next sampled frame.
        classes: C, where clips show any number of actions: targets are then multi-hot.
    """

    def __init__(self, clips: Sequence[RelationClip], *, slots: int, window: bool = True, classes: int = 0) -> None:
        for clip in clips:
            if not len(clip.times):
                raise UserError(f"clip {clip.id}", "no frames", "at least one frame")
        self.clips = list(clips)
        self.window = window
        lengths = [len(c.times) for c in clips]
        self.lengths = np.array(lengths, dtype=np.int64)
        self.offsets = np.concatenate([[0], np.cumsum(self.lengths)])
        self.slots = np.array([min(slots, len(c.slots)) for c in clips], dtype=np.int64)
        self.target = np.array([-1 if c.target is None else c.target for c in clips], dtype=np.int64)
        if classes:
            self.target = multi_hot([c.targets or () for c in clips], classes).astype(np.int64)
        k, f = max(1, int(self.slots.max(initial=1))), int(self.offsets[-1])
        self.boxes = np.zeros((f, k, 2, 4), np.float32)
        self.valid = np.zeros((f, k), bool)
        self.classes = np.zeros((len(self.clips), k, 2), np.int64)
        r = next((c.relations.shape[-1] for c in clips if c.relations is not None), 0)
        a = next((c.appearance.shape[-1] for c in clips if c.appearance is not None), 0)
        self.relations = np.zeros((f, k, r), np.float32) if r else None
        appearance = np.full((f, k, a), np.nan, np.float32) if a else None
        for i, clip in enumerate(self.clips):
            rows, n = slice(self.offsets[i], self.offsets[i + 1]), self.slots[i]
            scale = np.array(clip.image_size * 2, np.float32)
            self.boxes[rows, :n, 0] = clip.subject_boxes[:, :n] / scale
            self.boxes[rows, :n, 1] = clip.object_boxes[:, :n] / scale
            self.valid[rows, :n] = clip.valid[:, :n]
            self.classes[i, :n, 0], self.classes[i, :n, 1] = clip.subject_class[:n], clip.object_class[:n]
            if self.relations is not None and clip.relations is not None:
                self.relations[rows, :n] = clip.relations[:, :n]
            if appearance is not None and clip.appearance is not None:
                appearance[rows, :n] = clip.appearance[:, :n]
        self.pixels, self.context, self.scene = self._pixels(k), self._context(), self._scene()
        self.sums = self.counts = None
        if appearance is not None:
            # Running sums make the mean over any window of frames one subtraction.
            there = ~np.isnan(appearance).any(-1, keepdims=True)
            pad = ((1, 0), (0, 0), (0, 0))
            self.sums = np.pad(np.where(there, appearance, 0).cumsum(0, dtype=np.float64), pad)
            self.counts = np.pad(there.cumsum(0, dtype=np.int64), pad)

    def __len__(self) -> int:
        return len(self.clips)

    def _pixels(self, slots: int) -> list[np.ndarray] | None:
        """Return subject, object and union features (F,K,...) in half precision."""
        shape = next((c.pixels.shape for c in self.clips if c.pixels is not None), None)
        if shape is None:
            return None
        a, channels, side = shape
        frames = int(self.offsets[-1])
        out = [np.zeros((frames, slots, *rest), np.float16) for rest in ((a,), (a,), (channels, side, side))]
        for i, clip in enumerate(self.clips):
            rows, n = slice(self.offsets[i], self.offsets[i + 1]), self.slots[i]
            if clip.pixels is not None:
                for to, values in zip(out, (clip.pixels.subject, clip.pixels.object, clip.pixels.union), strict=True):
                    to[rows, :n] = values[:, :n]
        return out

    def _context(self) -> np.ndarray | None:
        """Return one vector a clip (N,D), zeros where a clip has none."""
        width = next((len(c.context) for c in self.clips if c.context is not None), 0)
        if not width:
            return None
        return np.stack([np.zeros(width, np.float32) if c.context is None else c.context for c in self.clips])

    def _scene(self) -> np.ndarray | None:
        """Return one vector a frame (F,D) in half precision, zeros where a clip has none."""
        width = next((c.scene.shape[-1] for c in self.clips if c.scene is not None), 0)
        if not width:
            return None
        rows = [np.zeros((len(c.times), width), np.float16) if c.scene is None else c.scene for c in self.clips]
        return np.concatenate(rows).astype(np.float16)

    def even_positions(self, index: np.ndarray, frames: int) -> np.ndarray:
        """Return (B,T) frame positions, evenly spaced and including the first and the last frame."""
        return np.rint(_shares(frames)[None] * (self.lengths[index, None] - 1)).astype(np.int64)

    def jittered_positions(
        self,
        index: np.ndarray,
        frames: int,
        jitter: float,
        random: np.random.Generator,
        span: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return even positions, each moved by up to ``jitter`` of the gap; an end moves inwards only half the time.

        Args:
            index: (B,) clips.
            frames: T.
            jitter: Share of the gap between sampled frames.
            random: Source of randomness.
            span: (B,2) first and last frame position to sample between; the whole clip by default.
        """
        first = np.zeros((len(index), 1)) if span is None else span[:, :1]
        last = self.lengths[index, None] - 1 if span is None else span[:, 1:]
        share = np.tile(_shares(frames), (len(index), 1))
        shift = random.uniform(-jitter, jitter, share.shape) / max(1, frames - 1)
        shift[:, [0, -1]] *= random.random((len(index), 2)) < 0.5
        return np.rint(first + np.clip(share + shift, 0, 1) * (last - first)).astype(np.int64)

    def batch(self, index: np.ndarray, positions: np.ndarray, *, backwards: np.ndarray | None = None) -> RelationBatch:
        """Cut the batch of clips ``index`` (B,) at frame ``positions`` (B,T); ``backwards`` (B,) flips time."""
        k = max(1, int(self.slots[index].max(initial=1)))
        if backwards is not None:
            positions = np.where(backwards[:, None], positions[:, ::-1], positions)
        rows = self.offsets[index][:, None] + positions
        boxes = self.boxes[rows, :k]
        seen = (boxes[..., 2:] > boxes[..., :2]).all(-1)
        appearance = None
        if self.sums is not None and self.counts is not None:
            low, high = self._windows(index, positions)
            count = self.counts[high, :k] - self.counts[low, :k]
            appearance = ((self.sums[high, :k] - self.sums[low, :k]) / np.maximum(count, 1)).astype(np.float32)
            appearance = torch.from_numpy(appearance)
        return RelationBatch(
            boxes=torch.from_numpy(boxes),
            seen=torch.from_numpy(seen),
            classes=torch.from_numpy(self.classes[index, :k]),
            valid=torch.from_numpy(self.valid[rows, :k]),
            target=torch.from_numpy(self.target[index]),
            relations=None if self.relations is None else torch.from_numpy(self.relations[rows, :k]),
            appearance=appearance,
            pixels=None
            if self.pixels is None
            else RoiBatch(*(torch.from_numpy(x[rows, :k]).float() for x in self.pixels)),
            context=None if self.context is None else torch.from_numpy(self.context[index]),
            scene=None if self.scene is None else torch.from_numpy(self.scene[rows]).float(),
        )

    def _windows(self, index: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return first and one-past-last packed row of each sampled frame's window."""
        start = self.offsets[index][:, None]
        if not self.window or positions.shape[1] == 1:
            return start + positions, start + positions + 1
        order = np.argsort(positions, axis=1, kind="stable")
        p = np.take_along_axis(positions, order, axis=1)
        middle = (p[:, 1:] + p[:, :-1]) // 2
        low = np.concatenate([p[:, :1], np.minimum(middle + 1, p[:, 1:])], axis=1)
        high = np.concatenate([np.maximum(middle, p[:, :-1]), p[:, -1:]], axis=1) + 1
        back = np.argsort(order, axis=1, kind="stable")
        return start + np.take_along_axis(low, back, axis=1), start + np.take_along_axis(high, back, axis=1)


def _shares(frames: int) -> np.ndarray:
    """Return where in a clip the sampled frames lie (T,), 0 its first and 1 its last; a single one in the middle."""
    return np.linspace(0.0, 1.0, frames) if frames > 1 else np.array([0.5])
