"""PVLR in training: batches that lead with pairs, the summed losses, the optimiser."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whyact.data.types import FeatureSequence
from whyact.errors import UserError
from whyact.files import sha256
from whyact.pvlr import losses
from whyact.pvlr.config import Config, TrainConfig
from whyact.pvlr.inputs import blocks
from whyact.pvlr.model import PVLR
from whyact.training.evaluation import inputs_sum
from whyact.training.fit import FitOptions, FitResult, Validation, fit
from whyact.training.processes import this_process
from whyact.training.trainable import Optimization, StepOutput, Trainable

EPOCH = 50  # iterations; the published code evaluates at this spacing
Batch = tuple[Tensor, Tensor, Tensor | None]


def label_matrix(videos: Sequence[FeatureSequence], classes: int) -> NDArray[np.float32]:
    """Return multi-hot video labels (N,C).

    Raises:
        UserError: When a video has no label, or one that the class list lacks.
    """
    labels = np.zeros((len(videos), classes), dtype=np.float32)
    for row, video in zip(labels, videos, strict=True):
        if not video.target:
            raise UserError(f"video {video.id}", "no label", "at least one video-level label to learn from")
        if max(video.target) >= classes or min(video.target) < 0:
            raise UserError(f"video {video.id}", video.target, f"class indices below {classes}")
        row[list(video.target)] = 1
    return labels


def sample_snippets(length: int, wanted: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw ``wanted`` snippet indices of 0..length-1 that never fall: one from each equal piece, ends shared."""
    if length == wanted:
        return np.arange(length)
    low = np.floor(np.arange(wanted) * length / wanted).astype(np.intp)
    high = np.append(low[1:], length - 1)
    return low + np.floor(rng.random(wanted) * (high - low + 1)).astype(np.intp)


class PairedBatches:
    """An epoch of batches (features (B,T,D), labels (B,C), target (B,T,D2) or None); pairs share a class and lead.

    Order and snippets come from torch's global generator, so that a resumed training sees the same batches.
    """

    def __init__(self, videos: Sequence[FeatureSequence], labels: NDArray[np.float32], cfg: TrainConfig) -> None:
        self.videos, self.labels, self.cfg = videos, labels, cfg
        members = [np.nonzero(column)[0] for column in labels.T]
        self.members = [rows for rows in members if len(rows) >= 2]  # a class of one video has no pair
        self.pairs = cfg.pairs if self.members else 0
        self.distil = all(video.second is not None for video in videos)

    def __len__(self) -> int:
        return max(1, min(EPOCH, self.cfg.iterations))

    def __iter__(self) -> Iterator[Batch]:
        rng = np.random.default_rng(int(torch.randint(2**62, ())))
        for _ in range(len(self)):
            yield self.batch(rng)

    def part(self, batch: Batch, rank: int, world: int) -> Batch:
        """Return a process's part of a batch: whole pairs first, as the losses expect, then its single videos.

        Raises:
            UserError: When the pairs or the single videos cannot be shared out equally.
        """
        pairs, singles = self.pairs, len(batch[0]) - 2 * self.pairs
        if pairs % world or singles % world:
            found = f"{pairs} pairs and {singles} single videos"
            raise UserError("train.pairs and train.singles", found, f"multiples of {world}, the number of processes")
        mine = [row for pair in range(rank, pairs, world) for row in (2 * pair, 2 * pair + 1)]
        mine += range(2 * pairs + rank, len(batch[0]), world)
        features, labels, target = batch
        return features[mine], labels[mine], None if target is None else target[mine]

    def batch(self, rng: np.random.Generator) -> Batch:
        """Draw one batch."""
        rows: list[int] = []
        for _ in range(self.pairs):
            rows += rng.choice(self.members[rng.integers(len(self.members))], 2, replace=False).tolist()
        rows += rng.integers(len(self.videos), size=self.cfg.singles + 2 * (self.cfg.pairs - self.pairs)).tolist()
        picks = [(self.videos[i], sample_snippets(len(self.videos[i].features), self.cfg.snippets, rng)) for i in rows]
        features = np.stack([np.asarray(video.features[at], dtype=np.float32) for video, at in picks])
        target = None
        if self.distil:
            target = torch.from_numpy(np.stack([np.asarray(video.second[at], dtype=np.float32) for video, at in picks]))  # type: ignore[index]
        return torch.from_numpy(features), torch.from_numpy(self.labels[rows]), target


class Learner(Trainable):
    """The sum of all terms under Adam."""

    def __init__(self, model: PVLR, config: Config, pairs: int) -> None:
        super().__init__()
        self.model, self.config, self.pairs = model, config, pairs

    def training_step(self, batch: Batch, step: int) -> StepOutput:
        """Return the loss of one batch; every weighted term is logged."""
        features, labels, target = batch
        terms = losses.total(self.model(features), labels, target, self.pairs // this_process().world, self.config.loss)
        return StepOutput(torch.stack(list(terms.values())).sum(), terms, len(labels))

    def configure_optimizers(self) -> Optimization:
        """Return Adam with L2 weight decay over everything that learns, as published."""
        learned = [p for p in self.parameters() if p.requires_grad]
        cfg = self.config.train
        fused = all(p.device.type in ("cpu", "cuda") for p in learned)  # one pass over the weights, four times faster
        return Optimization(torch.optim.Adam(learned, lr=cfg.learning_rate, weight_decay=cfg.weight_decay, fused=fused))


def learn(
    model: PVLR,
    videos: Sequence[FeatureSequence],
    classes: int,
    config: Config,
    *,
    seed: int,
    labels: NDArray[np.float32] | None = None,
    validation: Validation | None = None,
    **options: Unpack[FitOptions],
) -> FitResult:
    """Train ``model`` in place on video-level labels; it comes back in eval mode.

    Args:
        model: From :func:`whyact.pvlr.sets.build_model`.
        videos: Their segments are never looked at.
        classes: C.
        config: Losses and schedule.
        seed: Of batches, dropout and sampling.
        labels: (N,C) in place of the videos' own, for a negative control.
        validation: What to measure on the way.
        options: As :func:`whyact.training.fit.fit` takes them.
    """
    batches = PairedBatches(videos, label_matrix(videos, classes) if labels is None else labels, config.train)
    if config.loss.distillation and batches.distil and videos[0].second.shape[1] != model.cfg.width:  # type: ignore[union-attr]
        found = videos[0].second.shape[1]  # type: ignore[union-attr]
        raise UserError(
            "distillation target", f"{found} channels", f"{model.cfg.width}, the joint width of the text tower"
        )
    model.train()
    options.setdefault("progress", False)
    result = fit(
        Learner(model, config, batches.pairs),
        batches,
        epochs=-(-config.train.iterations // len(batches)) if config.train.iterations else 0,
        seed=seed,
        clip=0.0,
        validation=validation,
        **options,
        fingerprint=_fingerprint(config, videos, batches.labels) if options.get("resume_dir") else "",
    )
    model.eval()
    if result.best is not None:
        weights = {name.removeprefix("model."): w for name, w in result.best.weights.items()}
        result = replace(result, best=replace(result.best, weights=weights))
    return result


def _fingerprint(config: Config, videos: Sequence[FeatureSequence], labels: NDArray[np.float32]) -> str:
    """Return what a training in progress must have been begun with, features included; it may be prolonged."""
    settings = replace(config, train=replace(config.train, iterations=0))
    arrays = (array for video in videos for array in (video.features, video.second) if array is not None)
    features = inputs_sum(rows for array in arrays for rows in blocks(array))
    return sha256(repr((settings, [video.id for video in videos])) + sha256(labels.tobytes()) + features)
