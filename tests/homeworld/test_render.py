"""Pictures of the world: the same every time, and in agreement with the boxes of the states."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whyact.errors import UserError
from whyact.homeworld import backdrop, figures, things
from whyact.homeworld import render as rendering
from whyact.homeworld.gaze import active_hand, gaze, looks_at
from whyact.homeworld.relations import person_box, thing_box
from whyact.homeworld.render import render
from whyact.homeworld.scenes import SCENES, Scene, draw_scene, through_camera
from whyact.homeworld.states import HANDS, Person, Thing, WorldState
from whyact.homeworld.vocabulary import KIND, KINDS
from whyact.homeworld.write import draw_world

SIZE = (320, 240)
OPENING = [k.name for k in KINDS if k.opens]


@cache
def scene(name: str = "Kitchen") -> Scene:
    return replace(draw_scene(name, 0), blur=0.0)  # a sharp lens, so that edges are where they are


def person(**changes: object) -> Person:
    usual = Person(
        head=(320.0, 160.0),
        head_size=(56.0, 72.0),
        torso=(320.0, 271.0),
        torso_size=(118.0, 150.0),
        hands=((242.0, 338.0), (398.0, 338.0)),
        hand_size=(44.0, 34.0),
        hidden=(False, False),
        upright=0.0,
        shirt_hue=0.3,
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def thing(kind: str, center: tuple[float, float] = (120.0, 370.0), openness: float = 1.0, **changes: object) -> Thing:
    k = KIND[kind]
    share = k.closed_height + (1 - k.closed_height) * openness
    usual = Thing(
        name=f"{kind}_1",
        kind=kind,
        center=center,
        size=(k.width, k.height * share),
        openness=openness,
        held_by="",
        inside="",
        visible=True,
        hue=0.35,
        door=-1 if kind == "cupboard" else 0,
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def state(*things_: Thing, frame: int = 0, **changes: object) -> WorldState:
    return WorldState(frame, person(**changes), things_, table=318.0)


def difference(a: WorldState, b: WorldState, in_: Scene | None = None) -> np.ndarray:
    """Return the largest change of a colour per pixel, (H,W)."""
    pictures = [render(s, in_ or scene(), SIZE).astype(int) for s in (a, b)]
    return np.asarray(np.abs(pictures[0] - pictures[1]).max(-1))


def extent(mask: np.ndarray) -> tuple[float, float, float, float]:
    """Return the box around what is true, in room pixels."""
    y, x = np.nonzero(mask)
    return 2.0 * x.min(), 2.0 * y.min(), 2.0 * x.max() + 2, 2.0 * y.max() + 2


def forget() -> None:
    for cached in (rendering._still, rendering._light, rendering._noise, things._sprite, things.shadow_sprite):
        cached.cache_clear()
    for cached in (figures._body, figures._head, figures._hand, things._grain):
        cached.cache_clear()


def test_same_bytes_every_time() -> None:
    recording = next(draw_world(seed=1, subjects=2, videos_per_subject=1))
    place = draw_scene("Garage", 4)
    video = through_camera(recording.video, place)
    first = [render(video[t], place, (160, 120)).tobytes() for t in (0, 40, 90)]
    forget()
    assert [render(video[t], place, (160, 120)).tobytes() for t in (90, 40, 0)] == first[::-1]


@pytest.mark.parametrize("size", [(320, 240), (640, 480), (64, 48)], ids=str)
def test_picture_has_the_size_asked_for(size: tuple[int, int]) -> None:
    picture = render(state(thing("mug")), scene(), size)
    assert picture.shape == (size[1], size[0], 3)
    assert picture.dtype == np.uint8
    assert picture.std() > 20


@pytest.mark.parametrize("size", [(320, 320), (20, 15), (640, 360)], ids=str)
def test_other_shapes_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(UserError, match="4:3"):
        render(state(), scene(), size)


@pytest.mark.parametrize(
    ("kind", "openness"), [(k.name, o) for k in KINDS for o in ((0.0, 0.55, 1.0) if k.opens else (1.0,))]
)
def test_a_thing_fills_its_box_and_stays_in_it_but_for_its_shadow(kind: str, openness: float) -> None:
    there = thing(kind, (150.0, 266.0) if kind == "cupboard" else (150.0, 370.0), openness)
    change = difference(state(there), state())
    x0, y0, x1, y1 = thing_box(there)
    # What it is made of fills the box from edge to edge ...
    left, top, right, bottom = extent(change[: int(y1 / 2) - 1] > 8)
    assert top == pytest.approx(y0, abs=4)
    assert min(right, x1) - max(left, x0) >= 0.86 * (x1 - x0)
    # ... and nothing beyond it changes but the shadow at its foot.
    left, top, right, bottom = extent(change > 0)
    reach = 0.4 * (x1 - x0) + 14
    assert top >= y0 - 4
    assert left >= x0 - reach
    assert right <= x1 + reach
    assert bottom <= y1 + 0.34 * (x1 - x0) + 14
    above = change[: int((y1 - 0.34 * (x1 - x0) - 14) / 2)] > 0
    if above.any():
        left, _, right, _ = extent(above)
        assert left >= x0 - 4
        assert right <= x1 + 4


def test_kinds_look_different() -> None:
    pictures = {k.name: render(state(thing(k.name, (150.0, 270.0))), scene(), SIZE).astype(int) for k in KINDS}
    names = list(pictures)
    for i, a in enumerate(names):
        for b in names[:i]:
            assert np.abs(pictures[a] - pictures[b]).sum() > 20_000, (a, b)


@pytest.mark.parametrize("kind", OPENING)
def test_open_and_shut_look_different(kind: str) -> None:
    center = (150.0, 266.0) if kind == "cupboard" else (150.0, 370.0)
    assert (difference(state(thing(kind, center, 0.0)), state(thing(kind, center, 1.0))) > 30).sum() > 30


def test_a_shut_cupboard_hides_what_it_holds_and_an_open_one_shows_it() -> None:
    for openness, shown in ((0.0, False), (1.0, True)):
        cupboard = thing("cupboard", (150.0, 266.0), openness)
        pear = thing("pear", (140.0, 240.0), inside="cupboard_1", visible=shown)
        assert (difference(state(cupboard, pear), state(cupboard)) > 0).any() == shown


def test_the_door_opens_to_its_side() -> None:
    for door in (-1, 1):
        shut, wide = (thing("cupboard", (150.0, 266.0), o, door=door) for o in (0.0, 1.0))
        left, _, right, _ = extent(difference(state(shut), state(wide)) > 0)
        assert (left < 150 - 58 - 12) == (door < 0)
        assert (right > 150 + 58 + 12) == (door > 0)


def test_a_hand_that_holds_shows_a_grip_and_nothing_else_changes() -> None:
    hands = ((180.0, 372.0), (398.0, 338.0))
    mug = thing("mug", (190.0, 370.0))
    change = difference(state(mug, hands=hands), state(replace(mug, held_by="hand_1"), hands=hands))
    assert (change > 25).sum() > 15
    left, top, right, _ = extent(change > 0)
    assert left >= 180 - 22 - 30
    assert right <= 190 + 15 + 30
    assert top >= 372 - 17 - 8


def test_the_person_stays_in_the_box_but_for_shadows() -> None:
    """Away from the body only shadows change: a darkening, never the colours of a person."""
    for changes in ({}, {"hands": ((120.0, 300.0), (470.0, 250.0))}, {"head": (320.0, 108.0), "torso": (320.0, 219.0)}):
        with_, moved = state(**changes), state(head=(2000.0, 160.0), torso=(2000.0, 271.0), hidden=(True, True))
        a, b = (render(s, scene(), SIZE).astype(int) for s in (with_, moved))
        x0, y0, x1, y1 = (v / 2 for v in person_box(with_))
        outside = np.ones(a.shape[:2], dtype=bool)
        outside[max(int(y0) - 2, 0) : int(y1) + 3, max(int(x0) - 2, 0) : int(x1) + 3] = False
        assert ((a - b)[outside] <= 1).all()
        assert (np.abs(a - b).max(-1)[~outside] > 15).mean() > 0.25


def test_frames_of_one_state_differ_by_sensor_noise_only() -> None:
    place = draw_scene("Garage", 0)
    a, b = (render(state(frame=f), place, SIZE).astype(float) for f in (0, 1))
    assert 0 < (a - b).std() < 4 * place.noise
    assert abs((a - b).mean()) < 0.2


# Scenes ---------------------------------------------------------------------------------------------------------


def test_ten_scenes_look_different() -> None:
    assert len(SCENES) == 10
    colours = [render(state(), draw_scene(name, 3), (64, 48)).reshape(-1, 3).mean(0) for name in SCENES]
    for i in range(10):
        for j in range(i):
            assert np.abs(colours[i] - colours[j]).max() > 4, (SCENES[i], SCENES[j])


def test_a_scene_is_drawn_from_name_and_seed() -> None:
    assert draw_scene("Kitchen", 7) == draw_scene("Kitchen", 7)
    assert draw_scene("Kitchen", 7) != draw_scene("Kitchen", 8)
    with pytest.raises(UserError, match="one of Basement"):
        draw_scene("Moon", 0)


def test_the_camera_changes_where_things_are_and_not_what_happens() -> None:
    recording = next(draw_world(seed=2, subjects=2, videos_per_subject=1))
    place = draw_scene("Bedroom", 1)
    seen = through_camera(recording.video, place)
    for before, after in (
        (recording.video.relations(), seen.relations()),
        (recording.video.attributes(), seen.attributes()),
    ):
        assert before.keys() == after.keys()
        assert all((before[k] == after[k]).all() for k in before)
    middle = np.array([320.0, 240.0])
    np.testing.assert_allclose(
        seen.center, (recording.video.center - middle) * place.zoom + middle + np.array(place.shift)
    )
    assert not np.allclose(seen.center, recording.video.center)


@pytest.mark.parametrize("pattern", sorted(backdrop._PATTERNS))
def test_wall_patterns_follow_the_camera(pattern: str) -> None:
    """The wall is a function of the place on it, so a shifted camera shows the same wall shifted."""
    base = replace(scene(), pattern=pattern, zoom=1.0, shift=(0.0, 0.0))
    still = np.asarray(backdrop.paint_backdrop(replace(base, decor=()), 318.0, (640, 480)), dtype=int)
    moved = np.asarray(
        backdrop.paint_backdrop(replace(base, decor=(), shift=(16.0, 0.0)), 318.0, (640, 480)), dtype=int
    )
    same, other = still[60:200, 100:400], moved[60:200, 116:416]
    assert np.abs(same - other).mean() < 12  # smudges stay with the picture


# The person -----------------------------------------------------------------------------------------------------

points = st.tuples(st.floats(20, 620), st.floats(120, 420))


@given(hand=st.integers(0, 1), goal=points)
@settings(max_examples=60, deadline=None)
def test_upper_arm_and_forearm_are_equally_long_and_the_elbow_points_out(hand: int, goal: tuple[float, float]) -> None:
    hands = [(242.0, 338.0), (398.0, 338.0)]
    hands[hand] = goal
    who = person(hands=tuple(hands))
    a, joint = np.array(figures.shoulder(who, hand)), np.array(figures.elbow(who, hand))
    upper, fore = np.linalg.norm(joint - a), np.linalg.norm(np.array(goal) - joint)
    assert upper == pytest.approx(fore, rel=1e-6, abs=1e-6)
    middle = (a + np.array(goal)) / 2
    assert (joint - middle) @ np.array([0.9 * (-1, 1)[hand], 0.5]) >= -1e-6


def test_the_eyes_follow_the_hand_that_acts() -> None:
    resting = state()
    assert active_hand(resting)[1] == 0
    assert gaze(resting) == (0.0, 0.0)
    reaching = state(hands=((100.0, 360.0), (398.0, 338.0)))
    assert active_hand(reaching) == (0, 1.0)
    assert gaze(reaching)[0] < -0.3
    assert gaze(reaching)[1] > 0.3
    other = state(hands=((242.0, 338.0), (560.0, 200.0)))
    assert gaze(other)[0] > 0.3
    face = render(reaching, scene(), SIZE)[60:100, 140:180].astype(int)
    assert np.abs(face - render(other, scene(), SIZE)[60:100, 140:180]).max() > 40


def test_what_is_looked_at_is_what_the_acting_hand_is_on() -> None:
    near, far = thing("mug", (105.0, 355.0)), thing("pear", (500.0, 370.0), name="pear_1")
    reaching = state(near, far, hands=((100.0, 360.0), (398.0, 338.0)))
    assert looks_at(reaching, near)
    assert not looks_at(reaching, far)
    assert not looks_at(reaching, replace(near, held_by=HANDS[1]))
    assert looks_at(reaching, replace(far, held_by=HANDS[0]))
    assert not looks_at(state(near, far), near)
