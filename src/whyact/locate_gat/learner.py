"""Both stages of LoCATe-GAT in training: their batches, losses and optimisers."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from whyact.locate_gat.losses import cosine_softmax, graph_regression, mse
from whyact.locate_gat.model import LoCATeGAT
from whyact.training.trainable import Optimization, StepOutput, Trainable


class Batches:
    """Shuffled batches of one epoch, the order drawn from torch's global generator."""

    def __init__(self, frames: Tensor, target: Tensor, size: int) -> None:
        self.frames, self.target, self.size = frames, target, size

    def __len__(self) -> int:
        return -(-len(self.target) // self.size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for index in torch.randperm(len(self.target)).split(self.size):
            yield self.frames[index], self.target[index]


class Stage1(Trainable):
    """Fit LoCATe: video vectors towards the texts of their classes."""

    text: Tensor

    def __init__(self, model: LoCATeGAT, steps_per_epoch: int) -> None:
        super().__init__()
        self.model, self.warmup = model.encoder, round(model.config.warmup * steps_per_epoch)
        self.config = model.config
        self.register_buffer("text", model.seen, persistent=False)

    def training_step(self, batch: tuple[Tensor, Tensor], step: int) -> StepOutput:
        """Return the loss of one batch of frames (B,T,Dv) and seen-class indices (B,)."""
        frames, target = batch
        video = self.model(frames)
        if self.config.loss == "mse":
            loss = mse(video, self.text, target)
        else:
            loss = cosine_softmax(video, self.text, target, self.config.temperature)
        return StepOutput(loss, rows=len(target))

    def configure_optimizers(self) -> Optimization:
        """Return Adam with a linear warm-up."""
        optimizer = torch.optim.AdamW(
            [p for p in self.model.parameters() if p.requires_grad],
            lr=self.config.learning_rate,
            weight_decay=self.config.weight_decay,
        )
        warmup = max(self.warmup, 1)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / warmup, 1.0))
        return Optimization(optimizer, schedule)


class Stage2(Trainable):
    """Fit the graph: rows of seen classes towards ``targets`` (S,D), full batch, LoCATe frozen."""

    targets: Tensor

    def __init__(self, model: LoCATeGAT, targets: Tensor) -> None:
        super().__init__()
        self.gat, self.config = model.gat, model.config
        self.whole = [model]  # in a list: its weights are not this module's to move or train
        self.register_buffer("targets", targets, persistent=False)

    def training_step(self, batch: Tensor, step: int) -> StepOutput:
        """Return the regression loss of the seen rows."""
        model = self.whole[0]
        rows, _reach = model.graph_rows(model.seen[:0])
        return StepOutput(graph_regression(rows, self.targets, self.config.gat_loss))

    def configure_optimizers(self) -> Optimization:
        """Return Adam at the published rate and decay."""
        assert self.gat is not None
        optimizer = torch.optim.Adam(self.gat.parameters(), lr=self.config.gat_learning_rate)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 100, 0.999)
        return Optimization(optimizer, schedule)
