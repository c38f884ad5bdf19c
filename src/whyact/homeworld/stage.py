"""A person at work in a room: plans hand paths, grips, doors and posture step by step.

Each step (pick, place, to the mouth, ...) only moves hands, closes grips and swings doors. What a step
is called is not written down: it is read off the states that :mod:`~whyact.homeworld.film` makes of the plan.
"""

from __future__ import annotations

import numpy as np

from whyact.arrays import Float64
from whyact.homeworld.film import Grip, Plan
from whyact.homeworld.layout import HEAD_SIZE, Room
from whyact.homeworld.motion import Path
from whyact.homeworld.states import DOOR, FPS, MOUTH
from whyact.homeworld.vocabulary import CUPBOARD, KIND

_PACE = 9.0  # room pixels a frame: an unhurried hand's mean speed


class Stage:
    """A room in which a person acts; every step takes the time it needs and leaves one span behind it.

    Symbolic facts (who holds what, what stands where) serve the next step only; the states are made from
    the paths in ``plan``. ``rng`` is the only source of chance.
    """

    def __init__(self, room: Room, rng: np.random.Generator) -> None:
        self.room, self.rng, self.now = room, rng, 0
        self.where = room.centers.copy()
        self.place_of = list(room.place)
        self.holding: list[int | None] = [None, None]
        self.at_mouth: int | None = None
        self.keeps: int | None = None  # a hand that holds on to its thing for the whole video
        self.plan = Plan(
            room=room,
            hands=[Path(room.rest(h) + rng.normal(0, 6, 2)) for h in (0, 1)],
            upright=Path(np.array([float(room.upright)])),
            doors={i: Path(np.array([float(o)])) for i, o in enumerate(room.open) if KIND[room.kinds[i]].opens},
            origin=room.centers.copy(),
        )
        self._offset = np.zeros((2, 2))

    # What is the case now -------------------------------------------------------------------------------------

    def things(self, **wanted: object) -> list[int]:
        """Return the things whose kind has these properties, e.g. ``things(meal="drink")``."""
        return [i for i, k in enumerate(self.room.kinds) if all(getattr(KIND[k], p) == v for p, v in wanted.items())]

    def is_open(self, thing: int) -> bool:
        """Return whether a thing that opens is open."""
        return bool(self.plan.doors[thing].end[0] > 0.5)

    def is_inside(self, thing: int) -> bool:
        """Return whether a thing lies in the cupboard."""
        return self.place_of[thing] < 0

    def holder(self, thing: int) -> int | None:
        """Return the hand that holds a thing."""
        return self.holding.index(thing) if thing in self.holding else None

    def free_hand(self, thing: int) -> int | None:
        """Choose a free hand for a thing: mostly the dominant one, else the nearer; None when both are full."""
        free = [h for h in (0, 1) if self.holding[h] is None]
        if len(free) < 2:
            return free[0] if free else None
        near = int(self.where[thing, 0] > self.room.subject.x)
        return self.room.subject.dominant if self.rng.random() < 0.7 else near

    def free_spots(self) -> list[int]:
        """Return the spots on the table where nothing stands."""
        return [s for s in range(len(self.room.spots)) if s not in self.place_of]

    def free_slots(self) -> list[int]:
        """Return the places in the cupboard where nothing stands."""
        return [s for s in range(len(self.room.slots)) if -1 - s not in self.place_of]

    # Steps ----------------------------------------------------------------------------------------------------

    def keep(self, hand: int, thing: int) -> None:
        """Start the video with a thing in this hand, and keep it there. Takes no time."""
        self._offset[hand] = self._grip(hand, thing)
        self.plan.hands[hand] = Path(self._near(self.room.hold(hand), 10))
        self._take(hand, thing, 0)
        self.keeps = hand

    def pick(self, hand: int, thing: int) -> None:
        """Reach for a thing, grasp it and lift it (in the cupboard: only a little)."""
        start, event, stop = self._times()
        self._offset[hand] = self._grip(hand, thing)
        goal = self.where[thing] - self._offset[hand]
        self._reach(hand, start, event, goal)
        inside = self.is_inside(thing)
        self._take(hand, thing, event)
        lifted = goal - np.array([0.0, 3.0]) if inside else self._near(self.room.hold(hand), 12)
        self._leave(hand, event, stop, lifted)
        self._close(start, stop, hand)

    def place(self, hand: int, spot: int | None = None) -> None:
        """Bring what the hand holds to a spot on the table and let go; ``None``: let go where it is."""
        thing = self._held(hand)
        start, event, stop = self._times()
        if spot is not None:
            self.place_of[thing] = spot
            goal = self.room.standing_at(thing, spot)
        else:
            goal = self.where[thing] + np.array([0.0, 3.0])
        self._reach(hand, start, event, goal - self._offset[hand])
        next(g for g in self.plan.grips if g.thing == thing and g.stop is None).stop = event
        self.holding[hand] = None
        self._retreat(hand, event, stop)
        self._close(start, stop, hand)

    def to_mouth(self, hand: int, *, stay: bool = False) -> None:
        """Bring what the hand holds to the mouth and, unless it stays there, down again."""
        thing = self._held(hand)
        start, event, stop = self._times(2.2, 3.4, middle=0.36, spread=0.1)
        size = self.room.sizes[thing]
        mouth = self.room.head(float(self.plan.upright.end[0]))
        mouth[1] += MOUTH * HEAD_SIZE[1] * self.room.subject.scale
        goal = mouth + np.array([self.rng.normal(0, 2), 0.3 * size[1]]) - self._offset[hand]
        self._reach(hand, start, event, goal)
        if stay:
            self.at_mouth = hand
        else:
            self._move(hand, event + round(0.28 * (stop - start)), stop, self._near(self.room.hold(hand), 12))
        self._close(start, stop, hand)

    def lower(self) -> None:
        """Take down what stayed at the mouth."""
        hand = self.at_mouth
        if hand is None:
            return
        start, event, stop = self._times(middle=0.35, spread=0.1)
        self._move(hand, event, stop, self._near(self.room.hold(hand), 12))
        self.at_mouth = None
        self._close(start, stop, hand)

    def toggle(self, hand: int, thing: int) -> None:
        """Open what is shut or shut what is open: hand to the handle, swing, hand away."""
        start, event, stop = self._times(2.2, 3.4, spread=0.15)
        half = self._half(start, event, stop, 8, 14)
        was = float(self.plan.doors[thing].end[0])
        self._reach(hand, start, event - half, self._handle(thing, was))
        self.plan.hands[hand].move(event - half, event + half, self._handle(thing, 1 - was))
        self.plan.doors[thing].move(event - half, event + half, [1 - was])
        self._retreat(hand, event + half, stop)
        self._close(start, stop, hand)

    def put_in(self, hand: int, slot: int) -> None:
        """Carry what the hand holds to the open cupboard and push it in, without letting go."""
        thing = self._held(hand)
        start, event, stop = self._times(2.2, 3.4, spread=0.15)
        half = self._half(start, event, stop, 7, 13)
        goal = self.room.slots[slot]
        self._reach(hand, start, event - half, self._outside(thing, goal) - self._offset[hand])
        self.plan.hands[hand].move(event - half, event + half, goal - self._offset[hand])
        self.place_of[thing] = -1 - slot
        self._move(hand, event + half, stop, goal - np.array([0.0, 3.0]) - self._offset[hand])
        self._close(start, stop, hand)

    def pull_out(self, hand: int) -> None:
        """Pull what the hand holds out of the open cupboard and carry it before the chest."""
        thing = self._held(hand)
        start, event, stop = self._times(2.2, 3.4, spread=0.15)
        half = self._half(start, event, stop, 7, 13)
        inside = self.where[thing] - self._offset[hand] + np.array([0.0, 1.0])
        self._move(hand, start, event - half, inside)
        out = self._outside(thing, self.where[thing]) - self._offset[hand]
        self.plan.hands[hand].move(event - half, event + half, out)
        self.place_of[thing] = len(self.room.spots)
        self._leave(hand, event + half, stop, self._near(self.room.hold(hand), 12))
        self._close(start, stop, hand)

    def idle(self) -> None:
        """Let time pass with something that is no action: rest, reach in vain, shift a held thing, sit or stand."""
        start, event, stop = self._times(1.1, 2.8)
        what = self.rng.choice(("rest", "reach", "posture"), p=(0.45, 0.35, 0.2))
        hands = [h for h in (0, 1) if not (what == "posture" or (what == "reach" and self.rng.random() < 0.5))]
        if what == "posture":
            self.plan.upright.move(start, stop, [1 - round(float(self.plan.upright.end[0]))])
        on_table = [i for i in self.things(movable=True) if self.holder(i) is None and not self.is_inside(i)]
        for hand in hands:
            thing = self.holding[hand]
            if thing is not None and self.is_inside(thing):
                continue
            if thing is not None:
                self._reach(hand, start, stop, self._near(self.room.hold(hand), 14))
            elif what == "reach" and on_table:
                goal = self.where[self.rng.choice(on_table)] + self.rng.normal(0, 10, 2)
                self._reach(hand, start, event, goal)
                self._retreat(hand, event, stop)
            else:
                self._reach(hand, start, stop, self._near(self.room.rest(hand), 8))
        self._close(start, stop, *(hands if what == "reach" else ()))

    def pause(self, seconds: float) -> None:
        """Let time pass that belongs to no step."""
        self.now += round(seconds * FPS)
        self.plan.frames = self.now

    # Small motions ----------------------------------------------------------------------------------------------

    def _times(
        self, low: float = 1.7, high: float = 3.1, middle: float = 0.5, spread: float = 0.25
    ) -> tuple[int, int, int]:
        """Draw a step's start, the frame of its event and its stop; seconds at average speed."""
        length = round(FPS * self.rng.uniform(low, high) / self.room.subject.speed)
        share = middle + spread * (2 * self.rng.beta(2, 2) - 1)
        return self.now, self.now + round(share * length), self.now + length

    def _close(self, start: int, stop: int, *hands: int) -> None:
        self.plan.spans.append((start, stop))
        self.plan.busy.extend((hand, start, stop) for hand in hands)
        self.now = self.plan.frames = stop

    def _half(self, start: int, event: int, stop: int, low: int, high: int) -> int:
        return min(int(self.rng.integers(low, high)), int(0.4 * min(event - start, stop - event)))

    def _near(self, point: Float64, sd: float) -> Float64:
        return point + np.clip(self.rng.normal(0, sd, 2), -1.5 * sd, 1.5 * sd)

    def _move(self, hand: int, start: int, stop: int, goal: Float64) -> None:
        bow = self.room.subject.bow if np.linalg.norm(goal - self.plan.hands[hand].end) > 25 else 0.0
        self.plan.hands[hand].move(start, stop, goal, bow)
        thing = self.holding[hand]
        if thing is not None:
            self.where[thing] = self.plan.hands[hand].end + self._offset[hand]

    def _reach(self, hand: int, start: int, stop: int, goal: Float64) -> None:
        """Move so as to arrive at ``stop``, after waiting a little if there is time."""
        self._move(hand, start + self._wait(hand, stop - start, goal), stop, goal)

    def _leave(self, hand: int, start: int, stop: int, goal: Float64) -> None:
        """Move so as to set out at ``start`` and, if there is time, be there some time before ``stop``."""
        self._move(hand, start, stop - self._wait(hand, stop - start, goal), goal)

    def _wait(self, hand: int, frames: int, goal: Float64) -> int:
        """Draw how many of these frames can be spent waiting without having to hurry to the goal."""
        needed = float(np.linalg.norm(goal - self.plan.hands[hand].end)) / (_PACE * self.room.subject.speed)
        return round(self.rng.uniform(0, 0.6) * max(frames - needed, 0.0))

    def _retreat(self, hand: int, start: int, stop: int) -> None:
        goal = self._near(self.room.rest(hand), 8)
        here = self.plan.hands[hand].end
        self._leave(hand, start, stop, goal if self.rng.random() < 0.75 else here + 0.35 * (goal - here))

    def _grip(self, hand: int, thing: int) -> Float64:
        """Draw where a thing's centre lies from the centre of the hand that grasps it."""
        out = -0.3 * self.room.sizes[thing, 0] * (-1, 1)[hand]
        return np.array([out, -2.0]) + self.rng.normal(0, 1.5, 2)

    def _take(self, hand: int, thing: int, frame: int) -> None:
        self.plan.grips.append(Grip(thing, hand, frame))
        self.holding[hand] = thing
        if not self.is_inside(thing):
            self.place_of[thing] = len(self.room.spots)
        self.where[thing] = self.plan.hands[hand].end + self._offset[hand]
        if frame == 0:
            self.plan.origin[thing] = self.where[thing]

    def _held(self, hand: int) -> int:
        thing = self.holding[hand]
        if thing is None:
            raise RuntimeError(f"hand {hand} holds nothing")
        return thing

    def _handle(self, thing: int, openness: float) -> Float64:
        """Return where a hand opens or shuts a thing that is open to this degree."""
        (w, h), (x, y), kind = self.room.sizes[thing], self.where[thing], self.room.kinds[thing]
        if kind == CUPBOARD:
            reach = -0.5 + (1.0 + DOOR) * openness
            return np.array([x + self.room.side * reach * w, y])
        if kind == "laptop":
            shut = KIND[kind].closed_height
            return np.array([x, y + h / 2 - h * (shut + (1 - shut) * openness)])
        return np.array([x, y - h / 2 - 14.0 * openness])

    def _outside(self, thing: int, slot: Float64) -> Float64:
        """Return where a thing is just before it goes into the cupboard."""
        cupboard = self.room.kinds.index(CUPBOARD)
        edge = self.where[cupboard, 0] - self.room.side * self.room.sizes[cupboard, 0] / 2
        return np.array([edge - self.room.side * (self.room.sizes[thing, 0] / 2 + 10.0), slot[1]])
