"""Does a frame look like those a model was trained on? A plain distance in the encoder's own features tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

QUANTILE = 0.99  # of frames held out of the fit: so many familiar ones are taken for familiar
MARGIN = 1.2  # on their distance: a new scene of a familiar kind lies a little farther out than those held out


@dataclass(frozen=True)
class Domain:
    """Training frames in the encoder's features: ``mean`` and ``spread`` (D,), and the farthest familiar distance."""

    mean: Tensor
    spread: Tensor
    limit: float

    def distance(self, stats: Tensor) -> NDArray[np.float64]:
        """Return how far frames (N,D) lie from the training frames: the root mean square of their z-scores (N,)."""
        z = (stats.double() - self.mean.double()) / self.spread.double()
        return z.square().mean(-1).sqrt().numpy()

    def is_out_of_distribution(self, stats: Tensor) -> NDArray[np.bool_]:
        """Return which frames (N,D) lie clearly farther out than :data:`QUANTILE` of familiar ones do."""
        return self.distance(stats) > MARGIN * self.limit


def frame_stats(maps: Tensor) -> Tensor:
    """Return mean and standard deviation of each channel of feature maps (N,C,h,w): (N,2C)."""
    flat = maps.flatten(2).float()
    return torch.cat([flat.mean(-1), flat.std(-1)], -1)


def fit_domain(stats: Tensor, groups: Sequence[str]) -> Domain:
    """Fit on frames (N,D) of groups (N) such as scenes; every group in turn is held out to find the limit.

    Raises:
        ValueError: With fewer than two groups.
    """
    names = sorted(set(groups))
    if len(names) < 2:
        raise ValueError("a limit needs at least two groups of frames")
    own = np.array(groups)
    held = []
    for name in names:
        rest = stats[torch.from_numpy(own != name)]
        held.append(_of(rest, np.inf).distance(stats[torch.from_numpy(own == name)]))
    return _of(stats, float(np.quantile(np.concatenate(held), QUANTILE)))


def _of(stats: Tensor, limit: float) -> Domain:
    return Domain(stats.mean(0), stats.std(0).clamp_min(1e-6), limit)
