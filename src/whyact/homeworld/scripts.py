"""What people do in the world: plausible sequences of steps, one function an activity.

Every step has a mirror image, and a video is as likely to run backwards as forwards. So the two partners
of a mirror pair (pick/place, open/close, store/take_out) have exactly the same chance to show any frame,
in any company: only the order of frames tells them apart.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from whyact.homeworld.film import film
from whyact.homeworld.layout import Subject, draw_room
from whyact.homeworld.stage import Stage
from whyact.homeworld.states import WorldVideo
from whyact.homeworld.vocabulary import CUPBOARD


def draw_video(rng: np.random.Generator, subject: Subject, activity: str, *, backwards: bool) -> WorldVideo:
    """Play one activity in a room of its own and return the states, as played or backwards in time."""
    needs, play = ACTIVITIES[activity]
    stage = Stage(draw_room(rng, subject, needs=needs), rng)
    if rng.random() < 0.25:
        _keep_something(stage)
    stage.pause(rng.uniform(0.2, 0.8))
    play(stage)
    stage.pause(rng.uniform(0.2, 0.8))
    video = film(stage.plan, activity, rng)
    return video.reversed() if backwards else video


def _having_drinks(stage: Stage) -> None:
    _consume(stage, "drink")
    _any_of(stage, _tidy, _swing)
    _consume(stage, "drink")


def _having_a_snack(stage: Stage) -> None:
    _consume(stage, "eat")
    _any_of(stage, _consume_drink, _tidy, _swing)
    _consume(stage, "eat")


def _using_the_cupboard(stage: Stage) -> None:
    door = stage.room.kinds.index(CUPBOARD)
    _set_door(stage, door, True)
    for _ in range(3):
        _tidy(stage)
    _set_door(stage, door, False)


def _working_at_a_desk(stage: Stage) -> None:
    laptop = stage.room.kinds.index("laptop")
    _set_door(stage, laptop, True)
    _any_of(stage, _rearrange, _swing)
    _consume_food(stage)
    _set_door(stage, laptop, False)


def _arranging_things(stage: Stage) -> None:
    for _ in range(2):
        _any_of(stage, _rearrange, _tidy, _tidy, _swing)
    _any_of(stage, _swing, _consume_food)


Script = Callable[[Stage], None]
# What the room must hold, and what happens there. The five together show every action.
ACTIVITIES: dict[str, tuple[tuple[str, ...], Script]] = {
    "using_the_cupboard": ((CUPBOARD,), _using_the_cupboard),
    "having_drinks": (("mug", "bottle"), _having_drinks),
    "having_a_snack": (("sandwich", "pear"), _having_a_snack),
    "working_at_a_desk": (("laptop", "mug", "pear"), _working_at_a_desk),
    "arranging_things": (("jar",), _arranging_things),
}


# Goals, in steps ----------------------------------------------------------------------------------------------


def _between(stage: Stage) -> None:
    """Let some time pass between two steps: what is at the mouth comes down, then perhaps nothing for a while."""
    stage.lower()
    if stage.rng.random() < 0.5:
        stage.pause(stage.rng.uniform(0.1, 0.6))
    if stage.rng.random() < 0.33:
        stage.idle()


def _any_of(stage: Stage, *goals: Script) -> None:
    goals[int(stage.rng.integers(len(goals)))](stage)


def _pick_one(stage: Stage, things: list[int]) -> int | None:
    """Choose a thing that is not held fast for the whole video."""
    loose = [t for t in things if stage.holder(t) is None]
    return int(stage.rng.choice(loose)) if loose else None


def _keep_something(stage: Stage) -> None:
    on_table = [t for t in stage.things(movable=True) if not stage.is_inside(t)]
    spare = [t for t in on_table if stage.room.kinds.count(stage.room.kinds[t]) > 1 or not stage.room.needed(t)]
    if spare:
        stage.keep(1 - stage.room.subject.dominant, int(stage.rng.choice(spare)))


def _set_door(stage: Stage, thing: int, open_: bool) -> None:
    hand = stage.free_hand(thing)
    if stage.is_open(thing) != open_ and hand is not None:
        stage.toggle(hand, thing)
        _between(stage)


def _take(stage: Stage, thing: int) -> int | None:
    """Take a thing in a free hand, out of the cupboard if it is in there; None when there is no free hand."""
    if stage.is_inside(thing):
        _set_door(stage, stage.room.kinds.index(CUPBOARD), True)
    hand = stage.free_hand(thing)
    if hand is None:
        return None
    stage.pick(hand, thing)
    _between(stage)
    if stage.is_inside(thing):
        stage.pull_out(hand)
        _between(stage)
    return hand


def _put_down(stage: Stage, hand: int) -> None:
    spots = stage.free_spots()
    distance = np.abs(stage.room.spots[spots, 0] - stage.room.subject.x - stage.room.subject.favourite)
    weight = np.exp(-0.5 * (distance / 110.0) ** 2)
    stage.place(hand, int(stage.rng.choice(spots, p=weight / weight.sum())))
    _between(stage)


def _consume(stage: Stage, meal: str) -> None:
    """Drink from or eat something, once or twice, and put it down."""
    thing = _pick_one(stage, stage.things(meal=meal))
    if thing is None:
        return
    lid = thing in stage.things(opens=True)
    if lid and not stage.is_inside(thing) and stage.rng.random() < 0.5:
        _set_door(stage, thing, True)
    hand = _take(stage, thing)
    if hand is None:
        return
    if lid:
        _set_door(stage, thing, True)
    for _ in range(int(stage.rng.integers(1, 3))):
        stage.to_mouth(hand, stay=stage.rng.random() < 0.35)
        _between(stage)
    if lid and stage.rng.random() < 0.5:
        _set_door(stage, thing, False)
    _put_down(stage, hand)


def _consume_drink(stage: Stage) -> None:
    _consume(stage, "drink")


def _consume_food(stage: Stage) -> None:
    _consume(stage, "eat")


def _rearrange(stage: Stage) -> None:
    """Move something to another spot."""
    thing = _pick_one(stage, stage.things(movable=True))
    hand = None if thing is None else _take(stage, thing)
    if hand is not None:
        _put_down(stage, hand)


def _tidy(stage: Stage) -> None:
    """Put something into the cupboard or take something out of it; without a cupboard, move something."""
    if CUPBOARD not in stage.room.kinds:
        return _rearrange(stage)
    door = stage.room.kinds.index(CUPBOARD)
    thing = _pick_one(stage, stage.things(storable=True))
    if thing is None:
        return None
    if stage.is_inside(thing) or not stage.free_slots():
        return _rearrange(stage)
    _set_door(stage, door, True)
    hand = _take(stage, thing)
    if hand is None or not stage.is_open(door):
        return None
    stage.put_in(hand, int(stage.rng.choice(stage.free_slots())))
    _between(stage)
    stage.place(hand)
    _between(stage)
    if stage.rng.random() < 0.6:
        _set_door(stage, door, False)
    return None


def _swing(stage: Stage) -> None:
    """Open or shut one thing, and perhaps another."""
    for _ in range(int(stage.rng.integers(1, 3))):
        thing = _pick_one(stage, [t for t in stage.things(opens=True) if not stage.is_inside(t)])
        if thing is not None:
            _set_door(stage, thing, not stage.is_open(thing))
