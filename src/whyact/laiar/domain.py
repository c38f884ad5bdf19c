"""Does a video look like those a model was trained on? A plain distance tells, of frames and of boxes.

With pixels, frames are compared in the encoder's own features (:class:`Domain`). Without, they are compared by colours
and edges (:func:`plain_maps`), and each clip's boxes by where things are and how large, which things there are, and how
much they move (:class:`BoxDomain`). Boxes alone tell little: washing hands are boxes of persons, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from whyact.data.types import RelationClip

QUANTILE = 0.99  # of frames held out of the fit: so many familiar ones are taken for familiar
MARGIN = 1.2  # on their distance: a new scene of a familiar kind lies a little farther out than those held out
LEAST = 8  # clips, of three groups, from which it can be told how much familiar clips differ
RARE = 0.05  # share of training clips in which nothing is seen, up to which that is unfamiliar
FLOOR = {"layout": 0.02, "things": 0.05, "motion": 0.01}  # the least that clips are believed to vary by
PARTS = {
    "layout": "where things are and how large they are",
    "things": "which things are there",
    "motion": "how much things move",
    "frames": "how the pictures look",
}
_PLAIN_SIDE = 64  # pixels of a frame's shorter side
_PLAIN_SCALES = (1, 2, 4)


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


def plain_maps(frames: NDArray[np.uint8]) -> Tensor:
    """Return maps (T,9,h,w) of frames (T,H,W,3) uint8 RGB that need no network: brightness, two colours, edges."""
    x = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255
    ratio = _PLAIN_SIDE / min(x.shape[2:])
    size = [max(max(_PLAIN_SCALES), round(length * ratio)) for length in x.shape[2:]]
    x = F.interpolate(x, size=size, mode="bilinear", antialias=True, align_corners=False)
    red, green, blue = x.unbind(1)
    bright = (red + green + blue) / 3
    maps = [bright, red - green, blue - (red + green) / 2]
    for scale in _PLAIN_SCALES:
        y = F.avg_pool2d(bright[:, None], scale)
        across = F.pad((y[..., 1:] - y[..., :-1]).abs(), (0, 1))
        down = F.pad((y[..., 1:, :] - y[..., :-1, :]).abs(), (0, 0, 0, 1))
        maps += [F.interpolate(edges, size=size)[:, 0] for edges in (across, down)]
    return torch.stack(maps, 1)


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


@dataclass(frozen=True)
class BoxPart:
    """One of :data:`PARTS` of training clips: their mean (D,), what whitens them (D,D), the farthest familiar distance.

    Whitened, because numbers about boxes go together: what is high in the image is small.
    """

    mean: Tensor
    whitening: Tensor
    limit: float

    @classmethod
    def fit(cls, rows: Tensor, floor: float, limit: float = np.inf) -> BoxPart:
        """Fit on clips (N,D), none of whose numbers is believed to vary by less than ``floor``."""
        covariance = torch.cov(rows.double().T) + floor**2 * torch.eye(rows.shape[1], dtype=torch.float64)
        values, vectors = torch.linalg.eigh(covariance.reshape(rows.shape[1], rows.shape[1]))
        return cls(rows.mean(0), (vectors / values.sqrt()).float(), limit)

    def distance(self, stats: Tensor) -> NDArray[np.float64]:
        """Return how far clips (N,D) lie from the training clips (N,): the Mahalanobis distance over sqrt(D)."""
        z = (stats - self.mean).double() @ self.whitening.double()
        return z.square().mean(-1).sqrt().numpy()


@dataclass(frozen=True)
class BoxDomain:
    """Training clips as boxes, each of :data:`PARTS` by itself, and whether there are some in which nothing is seen."""

    parts: dict[str, BoxPart]
    empty: bool = True

    def unfamiliar_parts(self, clip: RelationClip) -> tuple[str, ...]:
        """Return in which :data:`PARTS` a clip lies farther out than training clips.

        Where no pair is seen, and in training clips one always was, that is the things that are there.
        """
        stats = box_stats(clip, len(self.parts["things"].mean))
        if stats is None:
            return () if self.empty else ("things",)
        return tuple(name for name, part in self.parts.items() if part.distance(stats[name][None])[0] > part.limit)


def fit_box_domain(clips: Sequence[RelationClip], objects: int) -> BoxDomain | None:
    """Fit on training clips; every group in turn is held out to find the limits, which are wider for few clips.

    Args:
        clips: With groups.
        objects: How many classes of things there are.

    Returns:
        ``None`` for fewer than :data:`LEAST` clips in which anything is seen, or fewer than three groups.
    """
    found = [(stats, clip.group or clip.id) for clip in clips if (stats := box_stats(clip, objects)) is not None]
    groups = np.array([group for _, group in found])
    if len(found) < LEAST or len(set(groups)) < 3:
        return None
    parts = {}
    for name, floor in FLOOR.items():
        rows = torch.stack([stats[name] for stats, _ in found])
        held = []
        for group in sorted(set(groups)):
            rest = BoxPart.fit(rows[torch.from_numpy(groups != group)], floor)
            held.append(rest.distance(rows[torch.from_numpy(groups == group)]))
        limit = float(np.quantile(np.concatenate(held), QUANTILE)) * (1 + 2 / len(found) ** 0.5)
        parts[name] = BoxPart.fit(rows, floor, max(limit, 1.0))
    return BoxDomain(parts, empty=len(found) < (1 - RARE) * len(clips))


def box_stats(clip: RelationClip, objects: int) -> dict[str, Tensor] | None:
    """Return numbers about a clip's boxes for each of :data:`PARTS`; ``None`` where no pair is seen.

    Lengths are shares of the image, and motion is how far a box strays from its own mean, so that neither the size of
    the image nor the rate of the frames matters.
    """
    valid = clip.valid  # (T,K)
    if not valid.any():
        return None
    size = np.array(clip.image_size * 2, np.float64)
    pairs = np.stack([clip.subject_boxes, clip.object_boxes], 2) / size  # (T,K,2,4)
    centre = (pairs[..., :2] + pairs[..., 2:]) / 2
    side = np.log(np.maximum(pairs[..., 2:] - pairs[..., :2], 1 / 640)) / 4
    offset = centre[:, :, 1] - centre[:, :, 0]  # (T,K,2)
    seen = [centre[valid], side[valid]]  # (N,2,2) each
    layout = [*(x.mean(0).ravel() for x in seen), *(x.std(0).ravel() for x in seen)]
    layout += [offset[valid].mean(0), np.abs(offset[valid]).mean(0)]
    classes = np.broadcast_to(np.stack([clip.subject_class, clip.object_class], 1), (*valid.shape, 2))[valid]
    things = np.sqrt(np.bincount(classes.ravel(), minlength=objects) / classes.size)
    strays = []
    for k in np.flatnonzero(valid.any(0)):
        path, apart = centre[valid[:, k], k], offset[valid[:, k], k]
        strays.append(np.concatenate([path.std(0).ravel(), np.ptp(path, axis=0).ravel(), apart.std(0)]))
    motion = [np.mean(strays, 0), np.max(strays, 0)]
    return {
        name: torch.from_numpy(np.concatenate(values).astype(np.float32))
        for name, values in (("layout", layout), ("things", [things]), ("motion", motion))
    }
