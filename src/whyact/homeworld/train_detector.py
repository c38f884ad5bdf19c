"""Train the small detector on rendered frames, and measure it on worlds that it has not seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from whyact.errors import UserError
from whyact.homeworld.detector_samples import CLASSES, Sample, draw_samples
from whyact.metrics.boxes import BoxAP, box_average_precision
from whyact.perception.centre import CentreNet, box_loss, centre_loss, targets_of
from whyact.perception.small import LONG_SIDE, SmallDetector, prepare
from whyact.training.checkpoint import check_run_folder
from whyact.training.fit import fit
from whyact.training.numerics import numerics, seed_everything
from whyact.training.trainable import Optimization, StepOutput, Trainable

_FLIP = 0.5
_LEAST_LEFT = 0.4  # share of a box that has to stay in the picture for it to be asked for


def train_detector(
    samples: Sequence[Sample],
    classes: tuple[str, ...],
    *,
    seed: int,
    epochs: int = 10,
    batch: int = 16,
    lr: float = 4e-3,
    long_side: int = LONG_SIDE,
    precision: str = "bf16",
    device: str = "cpu",
    progress: bool = True,
) -> SmallDetector:
    """Train a detector from nothing on frames of one size, flipped, moved, scaled and recoloured at random.

    Args:
        samples: Frames with their boxes.
        classes: Names of the class numbers.
        seed: Of the weights, the order and the augmentation.
        epochs: How often each frame is seen.
        batch: Frames a step.
        lr: Highest learning rate of the one cycle.
        long_side: Pixels to which the longer side of a frame is brought.
        precision: One of :data:`whyact.devices.PRECISIONS`; ``bf16`` halves the time on a CPU that has it.
        device: ``cpu``, ``auto``, ``cuda``, ...
        progress: Show a bar on stderr, if that is a terminal.

    Raises:
        UserError: When there are no samples.
    """
    if not samples:
        raise UserError("training frames", "none", "at least one")
    seed_everything(seed)
    net = CentreNet(len(classes)).to(memory_format=torch.channels_last)
    batches = _Batches(samples, batch, long_side)
    fit(
        _Learner(net, lr, epochs * len(batches)),
        batches,
        epochs=epochs,
        seed=seed,
        device=device,
        precision=precision,
        clip=10.0,
        progress=progress,
    )
    return SmallDetector(net.cpu(), classes, long_side=long_side)


def train_homeworld_detector(
    out: Path,
    seed: int,
    *,
    worlds: int = 5,
    per_video: int = 18,
    scenes: Sequence[str] | None = None,
    fresh_scenes: Sequence[str] | None = None,
    epochs: int = 10,
    unseen: int = 160,
    progress: bool = True,
    say: Callable[[str], None] = lambda _: None,
) -> SmallDetector:
    """Render worlds, train the detector on them, measure it on a fresh world, and write its checkpoint.

    Args:
        out: The checkpoint's folder.
        seed: World seeds are ``1000 * (seed + 1)`` and those after it; the fresh world has another one.
        worlds: How many worlds to train on (28 videos each).
        per_video: Frames of each video.
        scenes: Names of the scenes to train in; all by default.
        fresh_scenes: Names of the scenes of the fresh world; all by default.
        epochs: How often each frame is seen.
        unseen: Frames of the fresh world to measure on.
        progress: Show a bar on stderr, if that is a terminal.
        say: Called with a line about each stage.

    Raises:
        UserError: When ``out`` cannot be written.
    """
    from whyact.homeworld.scenes import SCENES

    check_run_folder(out)
    shown = tuple(scenes) if scenes else SCENES
    first = 1000 * (seed + 1)
    samples: list[Sample] = []
    for world in range(first, first + worlds):
        samples += draw_samples(world, scenes=shown, per_video=per_video)
        say(f"{len(samples)} frames rendered")
    detector = train_detector(samples, CLASSES, seed=seed, epochs=epochs, progress=progress)
    fresh = list(
        draw_samples(
            first + 999, scenes=tuple(fresh_scenes or SCENES), per_video=-(-unseen // 20), videos_per_subject=5
        )
    )
    save_homeworld_detector(detector, out, seed=seed, fresh=fresh, frames=len(samples), epochs=epochs, scenes=shown)
    return detector


def save_homeworld_detector(
    detector: SmallDetector,
    out: Path,
    *,
    seed: int,
    fresh: Sequence[Sample],
    frames: int,
    epochs: int,
    scenes: Sequence[str],
) -> BoxAP:
    """Write a trained detector with what it finds in fresh frames; return that."""
    ap = measure(detector, fresh)
    metrics = {"mAP50": ap.mean, **{f"AP50 {name}": float(v) for name, v in zip(CLASSES, ap.per_class, strict=True)}}
    detector.save(
        out,
        data="homeworld, rendered frames",
        seed=seed,
        metrics={name: value for name, value in metrics.items() if math.isfinite(value)},
        extra={"frames": frames, "epochs": epochs, "scenes": list(scenes), "measured on unseen frames": len(fresh)},
    )
    return ap


@numerics(1)
def measure(detector: SmallDetector, samples: Sequence[Sample], iou: float = 0.5) -> BoxAP:
    """Return the average precision of each class at an overlap; covered things count neither way."""
    found = [detector(sample.frame[None])[0] for sample in samples]
    return box_average_precision(
        [(f.boxes, f.scores, f.classes) for f in found],
        [(s.boxes, s.classes, s.clear) for s in samples],
        classes=len(detector.classes),
        iou=iou,
    )


class _Batches:
    """Augmented batches of one epoch, in an order and with changes drawn from torch's global generator."""

    def __init__(self, samples: Sequence[Sample], size: int, long_side: int) -> None:
        self.samples, self.size, self.long_side = samples, size, long_side

    def __len__(self) -> int:
        return -(-len(self.samples) // self.size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]]:
        order = torch.randperm(len(self.samples)).tolist()
        for first in range(0, len(order), self.size):
            yield augmented([self.samples[i] for i in order[first : first + self.size]], self.long_side)


def augmented(samples: Sequence[Sample], long_side: int = LONG_SIDE) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return images (B,3,h,w), boxes (N,4), classes (N,), clear (N,) and the frame (N,) of each box, changed at random.

    Frames are mirrored, moved, scaled and recoloured, and get noise; boxes follow.
    """
    images, scale = prepare(np.stack([sample.frame for sample in samples]), long_side)
    b, _, h, w = images.shape
    zoom = torch.exp(torch.empty(b).uniform_(math.log(0.8), math.log(1.3)))
    flip = torch.where(torch.rand(b) < _FLIP, -1.0, 1.0)
    shift = torch.empty(b, 2).uniform_(-0.12, 0.12) * torch.tensor([w, h])
    # new pixel = centre + zoom * flip * (old pixel - centre) + shift
    theta = torch.zeros(b, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = flip / zoom, 1 / zoom
    theta[:, 0, 2] = -flip / zoom * shift[:, 0] * 2 / w
    theta[:, 1, 2] = -shift[:, 1] / zoom * 2 / h
    grid = F.affine_grid(theta, [b, 3, h, w], align_corners=False)
    images = _recoloured(F.grid_sample(images, grid, padding_mode="border", align_corners=False))

    frame = torch.cat([torch.full((len(s.boxes),), i) for i, s in enumerate(samples)])
    old = torch.from_numpy(np.concatenate([s.boxes for s in samples])) * scale
    middle, size = torch.tensor([w / 2, h / 2]), (old[:, 2:] - old[:, :2]) * zoom[frame, None]
    turned = ((old[:, :2] + old[:, 2:]) / 2 - middle) * zoom[frame, None]
    turned[:, 0] *= flip[frame]
    turned += middle + shift[frame]
    whole = torch.cat([turned - size / 2, turned + size / 2], dim=1)
    boxes = torch.stack([whole[:, 0::2].clamp(0, w), whole[:, 1::2].clamp(0, h)], dim=2).flatten(1)
    left = (boxes[:, 2:] - boxes[:, :2]).prod(1) / size.prod(1).clamp(min=1e-6)
    clear = torch.from_numpy(np.concatenate([s.clear for s in samples])) & (left >= _LEAST_LEFT)
    classes = torch.from_numpy(np.concatenate([s.classes for s in samples]))
    kept = (boxes[:, 2:] - boxes[:, :2] > 2).all(1)
    return (
        images.contiguous(memory_format=torch.channels_last),
        boxes[kept],
        classes[kept],
        clear[kept],
        frame[kept],
    )


def _recoloured(images: Tensor) -> Tensor:
    b = len(images)
    gain = torch.empty(b, 3, 1, 1).uniform_(0.85, 1.15) * torch.empty(b, 1, 1, 1).uniform_(0.7, 1.3)
    grey = images.mean(1, keepdim=True)
    colour = torch.empty(b, 1, 1, 1).uniform_(0.6, 1.4)
    noise = torch.randn_like(images) * torch.empty(b, 1, 1, 1).uniform_(0, 0.03)
    return ((grey + (images - grey) * colour) * gain + noise).clamp(0, 1)


class _Learner(Trainable):
    """The net with the losses of its centres and boxes, under AdamW and one cycle."""

    def __init__(self, net: CentreNet, lr: float, steps: int) -> None:
        super().__init__()
        self.net, self.lr, self.steps = net, lr, steps

    def training_step(self, batch: tuple[Tensor, ...], step: int) -> StepOutput:
        images, boxes, classes, clear, frame = batch
        logits, reach = self.net(images)
        targets = targets_of(boxes, classes, clear, frame, tuple(logits.shape))
        centre, box = centre_loss(logits.float(), targets), box_loss(reach.float(), targets)
        return StepOutput(centre + 2.0 * box, {"centre": centre, "box": box}, len(images))

    def configure_optimizers(self) -> Optimization:
        optimizer = torch.optim.AdamW(self.net.parameters(), lr=self.lr, weight_decay=1e-3)
        one_cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.lr, total_steps=self.steps, pct_start=0.15)
        return Optimization(optimizer, one_cycle)
