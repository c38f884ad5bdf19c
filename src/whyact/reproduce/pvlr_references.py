"""What PVLR is compared with: curves that know the truth, and curves of a classifier that was taught all times."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from whyact.data.types import FeatureSequence
from whyact.data.untrimmed.feature_split import FeatureSplit
from whyact.pvlr.inference import Curves
from whyact.training.numerics import seed_everything

STEPS, BATCH, WIDTH = 100, 10, 128


def snippet_labels(video: FeatureSequence, classes: int) -> np.ndarray:
    """Return the class (T,) of every snippet by its centre, ``classes`` for background."""
    centre = video.times + 0.5 / video.rate
    labels = np.full(len(centre), classes)
    for start, end, c in video.segments:
        labels[(centre >= start) & (centre < end)] = c
    return labels


def oracle_curves(split: FeatureSplit) -> list[Curves]:
    """Return curves of the test videos that know the truth."""
    return [_certain(np.eye(len(split.classes) + 1)[snippet_labels(video, len(split.classes))]) for video in split.test]


def snippet_curves(split: FeatureSplit, seed: int) -> list[Curves]:
    """Return curves of the test videos from a classifier of snippets that was trained with all times.

    Two convolutions of five snippets see four neighbours to each side, as PVLR's network does.
    """
    seed_everything(seed)
    classes = len(split.classes)
    net = nn.Sequential(
        nn.Conv1d(sum(split.widths), WIDTH, 5, padding=2),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Conv1d(WIDTH, classes + 1, 5, padding=2),
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, weight_decay=1e-4)
    data = [(_tensor(v), torch.from_numpy(snippet_labels(v, classes))) for v in split.train]
    for _ in range(STEPS):
        picks = [data[i] for i in torch.randint(len(data), (BATCH,)).tolist()]
        loss = torch.stack([F.cross_entropy(net(x)[0].T, y) for x, y in picks]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net.eval()
    with torch.no_grad():
        return [_certain(net(_tensor(v))[0].T.double().softmax(1).numpy()) for v in split.test]


def _tensor(video: FeatureSequence) -> torch.Tensor:
    return torch.from_numpy(np.array(video.features, dtype=np.float32)).T[None]


def _certain(probability: np.ndarray) -> Curves:
    """Put class probabilities (T,C+1) on the scale of the network's test activation (cosine 1 / 0.03)."""
    return Curves(probability / 0.03, np.zeros_like(probability), 1 - probability[:, -1])
