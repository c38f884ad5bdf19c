"""States of the household world, and what can be read off them.

A :class:`WorldVideo` is a sequence of :class:`WorldState` at 30 frames a second, kept as arrays.
Every relation and attribute is a question put to the state; nothing is stored beside it.
Lengths are image pixels, sizes are (width, height). Axis letters: T frames, M things.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from whyact.arrays import Float64
from whyact.homeworld.vocabulary import CUPBOARD, HAND, HEAD, KIND, RELATION, VOCABULARY

FPS = 30
IMAGE_SIZE = (640, 480)
HANDS = ("hand_1", "hand_2")
HEAD_NAME = "head_1"

Bool = NDArray[np.bool_]
Pair = tuple[str, str]

INTERIOR = 0.8  # share of the cupboard's width and height that lies behind its frame
DOOR = 0.2  # how far an open cupboard door sticks out, as a share of the cupboard's width
MOUTH = 0.22  # below the head's centre, as a share of the head's height
TOUCH = 0.10  # largest gap between mouth and thing that counts as contact, same unit
_LID_HIDES = 0.3  # a cupboard less open than this hides what it holds


@dataclass(frozen=True)
class Person:
    """The person in one frame. ``hands`` are person's right, then left; ``upright`` is 0 sitting, 1 standing."""

    head: tuple[float, float]
    head_size: tuple[float, float]
    torso: tuple[float, float]
    torso_size: tuple[float, float]
    hands: tuple[tuple[float, float], tuple[float, float]]
    hand_size: tuple[float, float]
    hidden: tuple[bool, bool]
    upright: float
    shirt_hue: float


@dataclass(frozen=True)
class Thing:
    """A thing in one frame. ``openness`` 0 shut to 1 open; ``door`` is the side (-1, 1) a cupboard opens to."""

    name: str
    kind: str
    center: tuple[float, float]
    size: tuple[float, float]
    openness: float
    held_by: str
    inside: str
    visible: bool
    hue: float
    door: int


@dataclass(frozen=True)
class WorldState:
    """Everything there is in one frame: enough to draw it. ``table`` is the y of the table's far edge."""

    frame: int
    person: Person
    things: tuple[Thing, ...]
    table: float

    @property
    def time(self) -> float:
        """Return the time of the frame in seconds."""
        return self.frame / FPS


@dataclass(frozen=True, eq=False)
class WorldVideo:
    """A video as states over time; ``video[t]`` is the state of frame ``t`` (0-based).

    Shapes: ``head``, ``torso`` (T,2); ``hands`` (T,2,2); ``hidden`` (T,2); ``upright`` (T,);
    ``center``, ``size`` (M: T,M,2); ``openness``, ``holder`` (T,M), the holder a hand's index or -1.
    ``spans`` are half-open frame spans, one a step of the person's plan: a clip each, whose action is
    read off the state.
    """

    person: str
    activity: str
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    head: Float64
    torso: Float64
    hands: Float64
    hidden: Bool
    upright: Float64
    center: Float64
    size: Float64
    openness: Float64
    holder: NDArray[np.int64]
    spans: tuple[tuple[int, int], ...]
    head_size: tuple[float, float]
    torso_size: tuple[float, float]
    hand_size: tuple[float, float]
    hue: tuple[float, ...]
    shirt_hue: float
    table: float
    door: int

    def __len__(self) -> int:
        return len(self.head)

    def __getitem__(self, frame: int) -> WorldState:
        if not 0 <= frame < len(self):
            raise IndexError(frame)
        inside, visible = self.inside[frame], self.visible[frame]
        things = tuple(
            Thing(
                name=name,
                kind=self.kinds[i],
                center=_point(self.center[frame, i]),
                size=_point(self.size[frame, i]),
                openness=float(self.openness[frame, i]),
                held_by=HANDS[self.holder[frame, i]] if self.holder[frame, i] >= 0 else "",
                inside=f"{CUPBOARD}_1" if inside[i] else "",
                visible=bool(visible[i]),
                hue=self.hue[i],
                door=self.door if self.kinds[i] == CUPBOARD else 0,
            )
            for i, name in enumerate(self.names)
        )
        person = Person(
            head=_point(self.head[frame]),
            head_size=self.head_size,
            torso=_point(self.torso[frame]),
            torso_size=self.torso_size,
            hands=(_point(self.hands[frame, 0]), _point(self.hands[frame, 1])),
            hand_size=self.hand_size,
            hidden=(bool(self.hidden[frame, 0]), bool(self.hidden[frame, 1])),
            upright=float(self.upright[frame]),
            shirt_hue=self.shirt_hue,
        )
        return WorldState(frame, person, things, self.table)

    @cached_property
    def inside(self) -> Bool:
        """Return (T,M): whether the thing's centre lies in the cupboard's interior."""
        if CUPBOARD not in self.kinds:
            return np.zeros(self.openness.shape, dtype=bool)
        c = self.kinds.index(CUPBOARD)
        within = np.abs(self.center - self.center[:, c : c + 1]) <= self.size[:, c : c + 1] * INTERIOR / 2
        return within.all(axis=-1) & np.array([KIND[k].storable for k in self.kinds])

    @cached_property
    def visible(self) -> Bool:
        """Return (T,M): false for what a shut cupboard hides."""
        if CUPBOARD not in self.kinds:
            return np.ones(self.openness.shape, dtype=bool)
        shut = self.openness[:, self.kinds.index(CUPBOARD)] < _LID_HIDES
        return ~(self.inside & shut[:, None])

    def touches_mouth(self, thing: int) -> Bool:
        """Return (T,): whether the gap between the mouth and the thing's outline is small."""
        mouth = self.head + np.array([0.0, MOUTH * self.head_size[1]])
        gap = np.maximum(np.abs(self.center[:, thing] - mouth) - self.size[:, thing] / 2, 0.0)
        return np.hypot(gap[:, 0], gap[:, 1]) <= TOUCH * self.head_size[1]

    def relations(self) -> dict[Pair, Bool]:
        """Read off, for every pair that can carry a relation, in which frames it is true, (T,) each.

        True means holding, contacting or containing, by the subject (:data:`~.vocabulary.RELATION`).
        """
        inside = self.inside
        out: dict[Pair, Bool] = {}
        for i, (name, kind) in enumerate(zip(self.names, self.kinds, strict=True)):
            if (HAND, kind) in VOCABULARY.allowed:
                out |= {(hand, name): self.holder[:, i] == h for h, hand in enumerate(HANDS)}
            if (HEAD, kind) in VOCABULARY.allowed:
                out[HEAD_NAME, name] = self.touches_mouth(i)
            if (CUPBOARD, kind) in VOCABULARY.allowed and CUPBOARD in self.kinds:
                out[f"{CUPBOARD}_1", name] = inside[:, i]
        return out

    def attributes(self) -> dict[str, Bool]:
        """Read off, for every thing that opens, in which frames it is open, (T,) each."""
        return {n: self.openness[:, i] > 0.5 for i, n in enumerate(self.names) if KIND[self.kinds[i]].opens}

    def reversed(self) -> WorldVideo:
        """Return the video running backwards in time: what was picked up is put down, and so on."""
        return replace(
            self._at(slice(None, None, -1)), spans=tuple((len(self) - b, len(self) - a) for a, b in self.spans[::-1])
        )

    def cut(self, start: int, stop: int) -> WorldVideo:
        """Return the frames ``[start, stop)``, with the spans that lie in them whole."""
        spans = tuple((a - start, b - start) for a, b in self.spans if start <= a and b <= stop)
        return replace(self._at(slice(start, stop)), spans=spans)

    def _at(self, index: slice) -> WorldVideo:
        return replace(
            self,
            head=self.head[index],
            torso=self.torso[index],
            hands=self.hands[index],
            hidden=self.hidden[index],
            upright=self.upright[index],
            center=self.center[index],
            size=self.size[index],
            openness=self.openness[index],
            holder=self.holder[index],
        )


def relation_word(subject: str, true: bool) -> str:
    """Return the word for a pair's relation from the subject's name (``hand_1``) and whether it is true."""
    return RELATION[subject.rpartition("_")[0]][0 if true else 1]


def _point(values: Float64) -> tuple[float, float]:
    return float(values[0]), float(values[1])
