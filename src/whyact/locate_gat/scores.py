"""A sampled data set as tensors, and the scores of its videos: text and graph apart, so that every mix is one sum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whyact.data.types import Int
from whyact.data.zero_shot.types import ZeroShotData, at_rate
from whyact.locate_gat.model import LoCATeGAT
from whyact.metrics.zero_shot import mean_per_class, per_class


@dataclass(frozen=True)
class Tensors:
    """A data set sampled and stacked: ``frames`` (N,T,Dv), ``target`` (N,), ``text`` (C,D), ``auxiliary`` (A,D)."""

    frames: Tensor
    target: Tensor
    text: Tensor
    auxiliary: Tensor

    @classmethod
    def of(cls, data: ZeroShotData, frames: int) -> Tensors:
        """Sample every video at ``frames`` places."""
        stacked = np.stack([at_rate(video.features, frames)[0] for video in data.videos])
        auxiliary = data.auxiliary_text.reshape(-1, data.text.shape[1])
        return cls(
            torch.from_numpy(stacked),
            torch.from_numpy(data.targets),
            torch.from_numpy(np.ascontiguousarray(data.text)),
            torch.from_numpy(np.ascontiguousarray(auxiliary)),
        )


@torch.no_grad()
def embed(model: LoCATeGAT, frames: Tensor) -> Tensor:
    """Return unit video vectors (N,D) of frames (N,T,Dv), a chunk at a time."""
    return torch.cat([model.embed(part) for part in frames.split(model.config.eval_batch)])


@dataclass(frozen=True)
class ScoreParts:
    """Standardised text and graph scores (N,C) of the same videos, so that every mix is one weighted sum.

    ``classes`` (C,) are positions in the data, ``target`` (N,) positions in ``classes``, ``seen`` (C,) marks seen ones.
    """

    text: NDArray[np.float32]
    graph: NDArray[np.float32]
    target: Int
    seen: NDArray[np.bool_]
    classes: Int

    def at(self, mix: float) -> NDArray[np.float32]:
        """Return the scores with this share of the graph."""
        return self.text if mix == 0 else (1 - mix) * self.text + mix * self.graph

    def unseen_videos(self) -> NDArray[np.bool_]:
        """Return which videos (N,) are of unseen classes."""
        return ~self.seen[self.target]

    def unseen_accuracy(self, mix: float) -> float:
        """Return the mean accuracy over unseen classes, in 0..100, of naming their videos among them."""
        return mean_per_class(*self._unseen_answers(mix))

    def unseen_accuracies(self, mix: float) -> NDArray[np.float64]:
        """Return the accuracy of each unseen class (U,) likewise, NaN for a class without videos."""
        return per_class(*self._unseen_answers(mix))

    def _unseen_answers(self, mix: float) -> tuple[Int, Int, int]:
        """Return the class that each unseen video is taken for, its own, both of (M,), and the number of classes U."""
        mine, first = self.unseen_videos(), int(self.seen.sum())
        scores = self.at(mix)[mine][:, ~self.seen]
        return scores.argmax(1), self.target[mine] - first, int((~self.seen).sum())


@torch.no_grad()
def score_parts(model: LoCATeGAT, tensors: Tensors, seen: Int, unseen: Int, videos: Int) -> ScoreParts:
    """Score ``videos`` against seen and unseen classes, text and graph apart."""
    classes = np.concatenate([seen, unseen])
    position = np.full(len(tensors.text), -1)
    position[classes] = np.arange(len(classes))
    index = torch.from_numpy(videos)
    video = embed(model, tensors.frames[index])
    scores = []
    parts = model.parts(tensors.text[torch.from_numpy(unseen)])
    for rows, (mean, sd) in zip(parts, model.standard.tolist(), strict=True):
        scores.append(torch.zeros(len(video), len(classes)) if rows is None else (video @ rows.T - mean) / sd)
    target = position[tensors.target[index].numpy()]
    text, graph = (score.numpy() for score in scores)
    return ScoreParts(text, graph, target, np.arange(len(classes)) < len(seen), classes)
