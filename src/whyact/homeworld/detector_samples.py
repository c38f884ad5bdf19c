"""Rendered frames of the household world with the boxes of what is in view: what its detector learns from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from whyact.arrays import Float32
from whyact.homeworld.annotate import outlines
from whyact.homeworld.states import IMAGE_SIZE, WorldState, WorldVideo
from whyact.homeworld.vocabulary import HAND, HEAD, VOCABULARY
from whyact.homeworld.write import draw_world
from whyact.perception.types import Int

if TYPE_CHECKING:
    from whyact.homeworld.scenes import Scene

CLASSES = VOCABULARY.objects
_COVERED = 0.75  # share of a box under the boxes of nearer things from which nobody can be asked to see it
_FRAME = (320, 240)


@dataclass(frozen=True, eq=False)
class Sample:
    """A frame (H,W,3) uint8 with its ``boxes`` (N,4) xyxy pixels, ``classes`` (N,) and which are ``clear`` (N,).

    A box that is not clear is mostly covered by others or cut off: finding it is neither right nor wrong.
    """

    frame: NDArray[np.uint8]
    boxes: Float32
    classes: Int
    clear: NDArray[np.bool_]


def draw_samples(
    seed: int,
    *,
    scenes: Sequence[str],
    per_video: int = 16,
    subjects: int = 4,
    videos_per_subject: int = 7,
    size: tuple[int, int] = _FRAME,
) -> Iterator[Sample]:
    """Render frames of the world of this seed, each video in one of the scenes in turn. Reproducible.

    Args:
        seed: The world's seed; also of its scenes and of the moments.
        scenes: Names from :data:`whyact.homeworld.scenes.SCENES`.
        per_video: Frames of each video, at random moments.
        subjects: How many people.
        videos_per_subject: How many videos of each.
        size: (width, height) of the frames.
    """
    from whyact.homeworld.render import render
    from whyact.homeworld.scenes import draw_scene, through_camera

    rng = np.random.default_rng((seed, 5))
    order = rng.permutation(len(scenes))
    world = draw_world(seed=seed, subjects=subjects, videos_per_subject=videos_per_subject)
    for number, recording in enumerate(world):
        scene: Scene = draw_scene(scenes[order[number % len(scenes)]], int(rng.integers(2**31)))
        video = through_camera(recording.video, scene)
        for t in np.sort(rng.choice(len(video), size=min(per_video, len(video)), replace=False)).tolist():
            boxes, classes, clear = truth(video, t)
            scale = np.array([size[0] / IMAGE_SIZE[0], size[1] / IMAGE_SIZE[1]] * 2, np.float32)
            yield Sample(render(video[t], scene, size), boxes * scale, classes, clear)


def truth(video: WorldVideo, t: int) -> tuple[Float32, Int, NDArray[np.bool_]]:
    """Return boxes (N,4) in pixels of the world's image, classes (N,), and which are clear, of all in view in a frame.

    Hidden hands and things in a shut cupboard are not in view.
    """
    one = video.cut(t, t + 1)
    state = video[t]
    names, boxes = [], []
    for name, center, size, seen in outlines(one, one.visible):
        if seen[0]:
            names.append(name)
            boxes.append(np.concatenate([center[0] - size[0] / 2, center[0] + size[0] / 2]))
    whole = np.array(boxes)
    inside = np.clip(whole, 0, np.array([*IMAGE_SIZE, *IMAGE_SIZE]))
    kinds = [name.rpartition("_")[0] for name in names]
    depth = [_depth(state, name) for name in names]
    clear = np.array([_seen(whole, inside, depth, i) > 1 - _COVERED for i in range(len(names))])
    kept = np.flatnonzero((inside[:, 2:] - inside[:, :2] > 2).all(axis=1))
    numbers = np.array([CLASSES.index(kind) for kind in kinds], dtype=np.int64)
    return inside[kept].astype(np.float32), numbers[kept], clear[kept]


def _depth(state: WorldState, name: str) -> float:
    """Return how near a thing is: what is nearer is drawn over it (head, cupboard, what is in it, table, hands)."""
    if name.rpartition("_")[0] == HAND:
        return 1e6
    if name.rpartition("_")[0] == HEAD:
        return -3.0
    thing = next(thing for thing in state.things if thing.name == name)
    if thing.held_by:
        return 1e6
    return -2.0 if thing.door else -1.0 if thing.inside else thing.center[1] + thing.size[1] / 2


def _seen(whole: NDArray[np.float64], inside: NDArray[np.float64], depth: list[float], i: int) -> float:
    """Return the share of a box that lies in the image and under no nearer box, counted on a grid of points."""
    x1, y1, x2, y2 = whole[i]
    x, y = np.meshgrid(x1 + (x2 - x1) * (np.arange(12) + 0.5) / 12, y1 + (y2 - y1) * (np.arange(12) + 0.5) / 12)
    free = (x >= inside[i, 0]) & (x <= inside[i, 2]) & (y >= inside[i, 1]) & (y <= inside[i, 3])
    for j, (a, b, c, d) in enumerate(whole):
        if depth[j] > depth[i]:
            free &= ~((x >= a) & (x <= c) & (y >= b) & (y <= d))
    return float(free.mean())
