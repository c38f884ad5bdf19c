"""Where the person looks, read off the state: after the hand that acts, else straight ahead."""

from __future__ import annotations

import numpy as np

from whyact.homeworld.states import Thing, WorldState

_IDLE, _ACTIVE = 26.0, 60.0  # room pixels a hand is from where it rests or holds: not looked at, fully looked at


def active_hand(state: WorldState) -> tuple[int, float]:
    """Return the hand that acts (0 right, 1 left) and how much it does, 0 to 1.

    A hand acts as far as it is away from the line between its resting place at the table's edge and
    the place before the chest where it holds things.
    """
    person = state.person
    body = person.head_size[0] / 56.0
    best = (0, 0.0)
    for hand, side in enumerate((-1, 1)):
        if person.hidden[hand]:
            continue
        rest = np.array([person.torso[0] + side * 78 * body, state.table + 20 * body])
        hold = np.array([person.torso[0] + side * 58 * body, state.table - 50 * body])
        along = rest - hold
        here = np.array(person.hands[hand])
        share = np.clip((here - hold) @ along / (along @ along), 0.0, 1.0)
        away = float(np.linalg.norm(here - hold - share * along)) / body
        s = np.clip((away - _IDLE) / (_ACTIVE - _IDLE), 0.0, 1.0)
        acts = float(s * s * (3 - 2 * s))
        if acts > best[1]:
            best = (hand, acts)
    return best


def gaze(state: WorldState) -> tuple[float, float]:
    """Return the direction of the eyes: x right and y down in the image, each -1 to 1, (0, 0) at the viewer."""
    hand, acts = active_hand(state)
    person = state.person
    dx = (person.hands[hand][0] - person.head[0]) / (3.2 * person.head_size[0])
    dy = (person.hands[hand][1] - person.head[1]) / (2.6 * person.head_size[1])
    return float(np.clip(dx, -1, 1)) * acts, float(np.clip(dy, -1, 1)) * acts


def looks_at(state: WorldState, thing: Thing) -> bool:
    """Return whether the eyes are on a thing: the acting hand holds it, or is on or close to it."""
    hand, acts = active_hand(state)
    if acts < 0.5 or not thing.visible:
        return False
    if thing.held_by:
        return thing.held_by == ("hand_1", "hand_2")[hand]
    x, y = state.person.hands[hand]
    margin = 0.5 * state.person.hand_size[0]
    dx = max(abs(x - thing.center[0]) - thing.size[0] / 2, 0.0)
    dy = max(abs(y - thing.center[1]) - thing.size[1] / 2, 0.0)
    return float(np.hypot(dx, dy)) <= margin
