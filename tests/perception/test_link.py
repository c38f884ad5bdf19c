"""Linking: one thing keeps one slot through moves, gaps and noise; the detector's order changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from whyact.perception.link import LinkSettings, link
from whyact.perception.types import Detections, detections

SIZE = (640, 480)
CLASSES = ("hand", "mug", "pear")


def walk(start: tuple[float, float], step: tuple[float, float], frames: int, side: float = 40.0) -> np.ndarray:
    """Return a box (T,4) that moves by ``step`` a frame."""
    corner = np.array(start) + np.arange(frames)[:, None] * np.array(step)
    return np.concatenate([corner, corner + side], axis=1)


def scene(paths: list[tuple[int, np.ndarray]], lost: set[tuple[int, int]] = frozenset()) -> list[Detections]:  # type: ignore[assignment]
    """Return the detections of each frame of some (class, box (T,4)); ``lost`` are (path, frame)."""
    out = []
    for t in range(len(paths[0][1])):
        here = [(c, path[t]) for i, (c, path) in enumerate(paths) if (i, t) not in lost]
        out.append(detections([b for _, b in here], [0.9] * len(here), [c for c, _ in here]))
    return out


@pytest.mark.parametrize("step", [0.1, 0.4, 1.0])
def test_two_hands_that_pass_keep_their_slots(step: float) -> None:
    frames = 10
    left, right = walk((100, 200), (9, 0), frames), walk((440, 320), (-9, 0), frames)
    tracks = link(scene([(0, left), (0, right)]), np.arange(frames) * step, classes=CLASSES, image_size=SIZE)
    assert tracks.names == ("hand_1", "hand_2")
    assert tracks.seen.all()
    assert_array_equal(tracks.boxes[:, 0], left)
    assert_array_equal(tracks.boxes[:, 1], right)


def test_a_gap_is_outlived_and_filled_only_where_it_is_short() -> None:
    path = walk((100, 100), (5, 0), 12)
    found = scene([(1, path)], {(0, 3), (0, 4), *((0, t) for t in range(6, 11))})
    tracks = link(found, np.arange(12) * 0.25, classes=CLASSES, image_size=SIZE)
    assert tracks.names == ("mug_1",)
    assert_array_equal(np.flatnonzero(tracks.seen[:, 0]), [0, 1, 2, 5, 11])
    filled = tracks.filled(longest=1.0)
    assert_array_equal(filled.seen, tracks.seen)
    assert_array_equal(np.flatnonzero(filled.known[:, 0]), [0, 1, 2, 3, 4, 5, 11])
    np.testing.assert_allclose(filled.boxes[3:5, 0], path[3:5], atol=1e-4)


def test_a_thing_lost_for_longer_than_patience_comes_back_as_another_one_unless_there_can_be_only_one() -> None:
    path = walk((100, 100), (0, 0), 6)
    found = scene([(1, path)], {(0, 2), (0, 3)})
    times = np.array([0.0, 0.5, 3.0, 6.0, 9.0, 9.5])
    assert link(found, times, classes=CLASSES, image_size=SIZE).names == ("mug_1", "mug_2")
    only = LinkSettings(most={"mug": 1})
    assert link(found, times, classes=CLASSES, image_size=SIZE, settings=only).names == ("mug_1",)


def test_the_best_of_a_class_that_there_is_one_of_stays() -> None:
    found = [detections([[0, 0, 50, 90], [200, 0, 250, 90]], [0.6, 0.9], [0, 0])] * 4
    only = LinkSettings(most={"hand": 1})
    tracks = link(found, np.arange(4) * 0.5, classes=CLASSES, image_size=SIZE, settings=only)
    assert tracks.names == ("hand_1",)
    assert_array_equal(tracks.boxes[:, 0, 0], [200] * 4)


def test_a_weak_box_continues_a_track_and_starts_none() -> None:
    boxes = walk((100, 100), (4, 0), 6)
    found = [detections([box], [score], [1]) for box, score in zip(boxes, (0.2, 0.9, 0.2, 0.2, 0.9, 0.05), strict=True)]
    tracks = link(found, np.arange(6) * 0.2, classes=CLASSES, image_size=SIZE)
    assert_array_equal(tracks.seen[:, 0], [False, True, True, True, True, False])


def test_a_name_given_by_mistake_does_not_break_a_track() -> None:
    boxes = walk((100, 100), (2, 0), 6)
    found = [detections([b], [0.8], [2 if t == 3 else 1]) for t, b in enumerate(boxes)]
    tracks = link(found, np.arange(6) * 0.2, classes=CLASSES, image_size=SIZE)
    assert tracks.classes == ("mug",)
    assert tracks.seen.all()


def test_somebody_far_behind_is_not_who_stands_in_front() -> None:
    found = [
        *[detections([[100, 100, 300, 400]], [0.9], [0])] * 3,
        *[detections([[180, 200, 200, 230]], [0.9], [0])] * 3,
    ]
    assert len(link(found, np.arange(6) * 0.3, classes=CLASSES, image_size=SIZE).names) == 2


def test_a_flicker_is_no_track_and_nothing_found_is_no_error() -> None:
    found = [detections([[5, 5, 50, 50]], [0.9], [1]), *[detections([], [], [])] * 9]
    assert link(found, np.arange(10) * 0.2, classes=CLASSES, image_size=SIZE).names == ()
    assert link(found[:1], [0.0], classes=CLASSES, image_size=SIZE).names == ("mug_1",)
    assert link([], [], classes=CLASSES, image_size=SIZE).boxes.shape == (0, 0, 4)


def test_times_that_fall_are_refused() -> None:
    with pytest.raises(ValueError, match="not fall"):
        link([detections([], [], [])] * 2, [1.0, 0.5], classes=CLASSES, image_size=SIZE)


@st.composite
def any_scene(draw: st.DrawFn) -> list[Detections]:
    frames = draw(st.integers(1, 6))
    number = st.integers(0, 200).map(float)
    out = []
    for _ in range(frames):
        n = draw(st.integers(0, 5))
        corners = [draw(st.tuples(number, number)) for _ in range(n)]
        boxes = [[x, y, x + draw(st.integers(1, 90)), y + draw(st.integers(1, 90))] for x, y in corners]
        scores = [draw(st.sampled_from([0.05, 0.3, 0.55, 0.9])) for _ in range(n)]
        out.append(detections(boxes, scores, [draw(st.integers(0, 2)) for _ in range(n)]))
    return out


@given(any_scene(), st.randoms(use_true_random=False))
def test_the_order_of_detections_changes_nothing_and_every_box_is_one_that_was_found(
    found: list[Detections], random: object
) -> None:
    times = np.arange(len(found)) * 0.3
    orders = [list(range(len(boxes))) for boxes in found]
    for order in orders:
        random.shuffle(order)  # type: ignore[attr-defined]
    one = link(found, times, classes=CLASSES, image_size=SIZE)
    two = link([b[o] for b, o in zip(found, orders, strict=True)], times, classes=CLASSES, image_size=SIZE)
    assert one.names == two.names
    for field in ("boxes", "seen", "scores"):
        assert_array_equal(getattr(one, field), getattr(two, field))
    assert len(set(one.names)) == len(one.names)
    assert_array_equal(one.seen, one.known)
    for t, k in np.argwhere(one.seen):
        assert (one.boxes[t, k] == found[t].boxes).all(axis=1).any()
    for t in range(len(found)):  # no box in two tracks
        used = one.boxes[t, one.seen[t]]
        assert len(np.unique(used, axis=0)) == len(used)
