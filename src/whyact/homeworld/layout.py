"""Who lives in the world and how a room is laid out: people, cupboard side, spots on the table, things.

A room is drawn in its own 640 x 480 coordinates, the person behind the table facing the viewer;
the person's camera (zoom and shift) maps it to the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whyact.arrays import Float64
from whyact.homeworld.vocabulary import CUPBOARD, KIND, KINDS

TABLE = 318.0
HEAD_SIZE = (56.0, 72.0)
HAND_SIZE = (44.0, 34.0)
TORSO_SIZE = (118.0, 150.0)
_ROWS = (352.0, 400.0)  # y of the feet of things in the back and the front row
_SPOT_STEP = 56.0


@dataclass(frozen=True)
class Subject:
    """A person and the camera that watches them.

    ``scale`` body size, ``speed`` of movement (both 1 on average); ``dominant`` hand 0 right, 1 left;
    ``x`` where they sit; ``side`` of the cupboard in the image (-1 left, 1 right) that they prefer;
    ``favourite`` x offset of the spots they put things on; ``bow`` how far their hands swing up on the way.
    """

    name: str
    scale: float
    speed: float
    dominant: int
    x: float
    side: int
    favourite: float
    bow: float
    zoom: float
    shift: tuple[float, float]
    shirt_hue: float


def draw_subject(rng: np.random.Generator, name: str) -> Subject:
    """Draw a person with their own body, pace, habits and camera."""
    return Subject(
        name=name,
        scale=rng.uniform(0.88, 1.12),
        speed=rng.uniform(0.8, 1.25),
        dominant=int(rng.random() < 0.3),
        x=rng.uniform(295, 345),
        side=int(rng.choice((-1, 1))),
        favourite=rng.uniform(-90, 90),
        bow=rng.uniform(0.0, 0.15),
        zoom=rng.uniform(0.86, 1.02),
        shift=(rng.uniform(-14, 14), rng.uniform(-14, 14)),
        shirt_hue=rng.random(),
    )


@dataclass(frozen=True)
class Room:
    """A laid-out room before anything happens.

    Shapes: ``sizes``, ``centers`` (M,2); ``spots`` (S,2), the feet of a thing that stands there;
    ``slots`` (4,2), centres inside the cupboard, empty without one. ``place[i]`` is the spot of thing i,
    or ``-1 - slot`` when it lies in the cupboard.
    """

    subject: Subject
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    sizes: Float64
    centers: Float64
    open: tuple[bool, ...]
    hue: tuple[float, ...]
    spots: Float64
    slots: Float64
    place: tuple[int, ...]
    side: int
    upright: bool
    needs: tuple[str, ...]

    def needed(self, thing: int) -> bool:
        """Return whether the activity cannot do without a thing of this kind."""
        return self.kinds[thing] in self.needs

    def rest(self, hand: int) -> Float64:
        """Return where a hand rests: on the near edge of the table, on its side of the body."""
        return np.array([self.subject.x + _side(hand) * 78 * self.subject.scale, 338.0])

    def hold(self, hand: int) -> Float64:
        """Return where a hand holds what it has: before the chest."""
        return np.array([self.subject.x + _side(hand) * 58 * self.subject.scale, 268.0])

    def head(self, upright: float) -> Float64:
        """Return the head's centre: 0 sitting, 1 standing."""
        return np.array([self.subject.x, 160.0 - 52.0 * upright - 22.0 * (self.subject.scale - 1)])

    def standing_at(self, thing: int, spot: int) -> Float64:
        """Return the centre of a thing that stands on a spot."""
        return self.spots[spot] - np.array([0.0, self.sizes[thing, 1] / 2])


def draw_room(rng: np.random.Generator, subject: Subject, *, needs: tuple[str, ...]) -> Room:
    """Draw a room that holds at least the kinds in ``needs``, and others that happen to be there.

    A needed cupboard starts shut with something in it; the rest is chance and the person's habits.
    """
    kinds = list(needs)
    movable = [k.name for k in KINDS if k.movable]
    count = int(rng.integers(5, 7))
    while sum(KIND[k].movable for k in kinds) < count:
        kinds.append(str(rng.choice([k for k in movable if kinds.count(k) < 2])))
    if CUPBOARD not in kinds and rng.random() < 0.85:
        kinds.append(CUPBOARD)
    if "laptop" not in kinds and rng.random() < 0.4:
        kinds.append("laptop")
    kinds = [kinds[i] for i in rng.permutation(len(kinds))]
    names = tuple(f"{kind}_{kinds[: i + 1].count(kind)}" for i, kind in enumerate(kinds))
    side = subject.side if rng.random() < 0.85 else -subject.side

    sizes = np.array([[KIND[k].width, KIND[k].height] for k in kinds], dtype=np.float64)
    sizes *= rng.uniform(0.88, 1.12, size=(len(kinds), 1)) * rng.uniform(0.95, 1.05, size=sizes.shape)
    spots, desk = _spots(rng, side, with_laptop="laptop" in kinds)
    box = np.array([320.0 + side * 200.0, TABLE + 22.0])  # where the cupboard's feet are
    slots = np.zeros((0, 2))
    if CUPBOARD in kinds:
        size = sizes[kinds.index(CUPBOARD)]
        middle = box - [0.0, size[1] / 2]
        slots = np.array([middle + size * [dx, dy] for dx in (-0.18, 0.18) for dy in (-0.17, 0.19)])

    weight = np.exp(-0.5 * ((spots[:, 0] - subject.x - subject.favourite) / 120.0) ** 2)
    free = list(rng.choice(len(spots), size=len(spots), replace=False, p=weight / weight.sum()))
    empty = list(rng.permutation(len(slots)))
    indoors = _indoors(rng, kinds) if len(slots) else set()
    place: list[int] = []
    centers = np.zeros_like(sizes)
    for i, kind in enumerate(kinds):
        feet = np.array([0.0, sizes[i, 1] / 2])
        if i in indoors:
            place.append(-1 - int(empty.pop()))
            centers[i] = slots[-1 - place[i]]
        elif KIND[kind].movable:
            place.append(int(free.pop(0)))
            centers[i] = spots[place[i]] - feet
        else:
            place.append(len(spots))
            centers[i] = (box if kind == CUPBOARD else desk) - feet
    return Room(
        subject=subject,
        names=names,
        kinds=tuple(kinds),
        sizes=sizes,
        centers=centers,
        open=tuple(KIND[k].opens and k not in needs and rng.random() < 0.4 for k in kinds),
        hue=tuple(rng.random(len(kinds)).tolist()),
        spots=spots,
        slots=slots,
        place=tuple(place),
        side=side,
        upright=bool(rng.random() < 0.35),
        needs=needs,
    )


def _spots(rng: np.random.Generator, side: int, *, with_laptop: bool) -> tuple[Float64, Float64]:
    """Return the free spots (S,2), from beside the cupboard outwards, and where a laptop stands."""
    xs = 320.0 + side * (96.0 - np.arange(0.0, 350.0, _SPOT_STEP))
    spots = np.array([(x - side * 20.0 * row, y) for row, y in enumerate(_ROWS) for x in xs])
    desk = np.array([320.0 - side * 215.0, _ROWS[0]])
    if with_laptop:
        spots = spots[np.abs(spots[:, 0] - desk[0]) > 72.0]
    return spots + rng.uniform(-6, 6, size=spots.shape), desk


def _indoors(rng: np.random.Generator, kinds: list[str]) -> set[int]:
    """Choose one or two storable things that start in the cupboard."""
    storable = [i for i, k in enumerate(kinds) if KIND[k].storable]
    count = min(int(rng.integers(1, 3)), len(storable))
    return {int(i) for i in rng.choice(storable, size=count, replace=False)}


def _side(hand: int) -> int:
    """Return the side of the image a hand is on: the person faces the viewer, so the right hand is left."""
    return (-1, 1)[hand]
