"""From a plan of paths and grips to the states of every frame."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from whyact.arrays import Float64
from whyact.homeworld.layout import HAND_SIZE, HEAD_SIZE, TABLE, TORSO_SIZE, Room
from whyact.homeworld.motion import Path, tremor
from whyact.homeworld.states import FPS, IMAGE_SIZE, WorldVideo
from whyact.homeworld.vocabulary import KIND


@dataclass
class Grip:
    """A hand's hold on a thing in the frames ``[start, stop)``; ``None``: to the end."""

    thing: int
    hand: int
    start: int
    stop: int | None = None


@dataclass
class Plan:
    """What moves in a room, and when. ``origin`` (M,2) is where things are before they are first held.

    ``busy`` are (hand, start, stop) in which a hand acts; ``spans`` one a step; ``frames`` the length so far.
    """

    room: Room
    hands: list[Path]
    upright: Path
    doors: dict[int, Path]
    origin: Float64
    grips: list[Grip] = field(default_factory=list)
    busy: list[tuple[int, int, int]] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    frames: int = 0


def film(plan: Plan, activity: str, rng: np.random.Generator) -> WorldVideo:
    """Return what happens as states in image pixels, seen through the person's camera, with tremor."""
    room, subject, n = plan.room, plan.room.subject, plan.frames
    upright = plan.upright.sample(n)[:, 0]
    head = np.stack([room.head(float(u)) for u in upright]) + tremor(rng, (n, 2), sd=1.8, width=14)
    hands = np.stack([p.sample(n) for p in plan.hands], axis=1) + tremor(rng, (n, 2, 2), sd=1.1, width=7)
    openness = np.ones((n, len(room.names)))
    for i, door in plan.doors.items():
        openness[:, i] = door.sample(n)[:, 0]
    shut = np.array([KIND[k].closed_height for k in room.kinds])
    tall = shut + (1 - shut) * openness
    size = np.stack([np.broadcast_to(room.sizes[:, 0], tall.shape), tall * room.sizes[:, 1]], axis=-1)

    # Room centres are those of open things; a shut lid changes the height above feet that stay.
    center = np.tile(plan.origin, (n, 1, 1))
    holder = np.full(openness.shape, -1, dtype=np.int64)
    for grip in plan.grips:
        span = slice(grip.start, n if grip.stop is None else grip.stop)
        offset = center[grip.start, grip.thing] - hands[grip.start, grip.hand]
        center[span, grip.thing] = hands[span, grip.hand] + offset
        center[span.stop :, grip.thing] = center[span.stop - 1, grip.thing]
        holder[span, grip.thing] = grip.hand
    center[..., 1] += (room.sizes[:, 1] - size[..., 1]) / 2

    torso = head + np.array([0.0, (HEAD_SIZE[1] + TORSO_SIZE[1]) / 2 * subject.scale])
    middle, shift = np.array(IMAGE_SIZE) / 2, np.array(subject.shift)

    def view(points: Float64) -> Float64:
        return (points - middle) * subject.zoom + middle + shift

    body = subject.scale * subject.zoom
    return WorldVideo(
        person=subject.name,
        activity=activity,
        names=room.names,
        kinds=room.kinds,
        head=view(head),
        torso=view(torso),
        hands=view(hands),
        hidden=_hidden(plan, rng),
        upright=upright,
        center=view(center),
        size=size * subject.zoom,
        openness=openness,
        holder=holder,
        spans=tuple(plan.spans),
        head_size=(HEAD_SIZE[0] * body, HEAD_SIZE[1] * body),
        torso_size=(TORSO_SIZE[0] * body, TORSO_SIZE[1] * body),
        hand_size=(HAND_SIZE[0] * body, HAND_SIZE[1] * body),
        hue=room.hue,
        shirt_hue=subject.shirt_hue,
        table=float(view(np.array([0.0, TABLE]))[1]),
        door=room.side,
    )


def _hidden(plan: Plan, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Let an empty, resting hand now and then be under the table; never in a step it acts in."""
    n = plan.frames
    hidden = np.zeros((n, 2), dtype=bool)
    for hand, path in enumerate(plan.hands):
        for start, stop in path.still(n):
            if stop - start > FPS and rng.random() < 0.4:
                hidden[start:stop, hand] = True
    for hand, start, stop in plan.busy:
        hidden[start:stop, hand] = False
    for grip in plan.grips:
        hidden[grip.start : grip.stop, grip.hand] = False
    return hidden
