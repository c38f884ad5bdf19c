"""Tracks at other moments: exact where listed, straight lines between, nothing invented beyond."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from whyact.perception.tracks import Tracks


def one_track(xs: list[float | None], times: list[float] | None = None) -> Tracks:
    """Return one thing, 10 pixels wide, at these x, unseen where None."""
    t = len(xs)
    boxes = np.array([[x, 0, x + 10, 10] if x is not None else [0] * 4 for x in xs], np.float32).reshape(t, 1, 4)
    seen = np.array([[x is not None] for x in xs], dtype=bool).reshape(t, 1)
    return Tracks(
        names=("mug_1",),
        classes=("mug",),
        boxes=boxes,
        seen=seen,
        scores=seen * np.float32(0.5),
        times=np.array(times if times is not None else np.arange(t) * 0.5, dtype=np.float64),
        frames=np.arange(t, dtype=np.int64) * 15 + 1,
        image_size=(640, 480),
    )


@given(st.lists(st.none() | st.floats(0, 600, width=32), min_size=1, max_size=6))
def test_the_listed_moments_give_the_same_back(xs: list[float | None]) -> None:
    tracks = one_track(xs)
    again = tracks.at(tracks.times)
    for field in ("boxes", "seen", "scores", "times", "frames"):
        assert_array_equal(getattr(again, field), getattr(tracks, field))


def test_between_two_listed_moments_a_box_moves_in_a_straight_line() -> None:
    there = one_track([0.0, 100.0]).at([0.125, 0.25, 0.45])
    assert_allclose(there.boxes[:, 0, 0], [25, 50, 90], atol=1e-4)
    assert_allclose(there.boxes[:, 0, 2], [35, 60, 100], atol=1e-4)
    assert there.seen.all()
    assert_array_equal(there.frames, [5, 8, 14])


def test_a_box_with_none_after_it_stays_until_the_middle() -> None:
    there = one_track([40.0, None]).at([0.1, 0.24, 0.26, 0.5])
    assert_array_equal(there.seen[:, 0], [True, True, False, False])
    assert_array_equal(there.boxes[:2, 0, 0], [40, 40])
    assert not there.boxes[2:].any()


def test_beyond_the_list_boxes_hold_for_half_a_step() -> None:
    there = one_track([40.0, 50.0], [1.0, 1.5]).at([0.5, 0.8, 1.7, 1.8, 9.0])
    assert_array_equal(there.seen[:, 0], [False, True, True, False, False])


def test_a_long_way_between_listed_frames_is_not_bridged() -> None:
    tracks = one_track([0.0, 0.0, 0.0, 100.0], [-1.0, -0.5, 0.0, 4.0])
    assert not tracks.at([2.0]).seen.any()
    assert tracks.at([2.0], longest=5.0).seen.all()


@given(st.floats(0.02, 60), st.integers(2, 40), st.integers(1, 32))
def test_all_through_a_film_that_lists_every_frame_there_is_a_box_however_slow_it_is(
    rate: float, frames: int, count: int
) -> None:
    """An answer samples evenly spaced moments, a training frames: both see the thing that never leaves."""
    tracks = one_track([5.0] * frames, [n / rate for n in range(frames)])
    assert tracks.at(np.linspace(tracks.times[0], tracks.times[-1], count)).seen.all()


def test_no_listed_frames_give_no_boxes() -> None:
    there = one_track([]).at([0.0, 1.0])
    assert there.boxes.shape == (2, 1, 4)
    assert not there.known.any()


def test_picking_reorders_everything_together() -> None:
    a = one_track([1.0, None])
    both = Tracks(
        names=("a", "b"),
        classes=("mug", "pear"),
        boxes=np.concatenate([a.boxes, a.boxes + 1], axis=1),
        seen=np.concatenate([a.seen, ~a.seen], axis=1),
        scores=np.concatenate([a.scores, a.scores + 1], axis=1),
        times=a.times,
        frames=a.frames,
        image_size=a.image_size,
    )
    picked = both.pick([1])
    assert (picked.names, picked.classes) == (("b",), ("pear",))
    assert_array_equal(picked.boxes, a.boxes + 1)
    assert_array_equal(picked.seen, ~a.seen)


def test_shapes_that_do_not_belong_together_are_refused() -> None:
    a = one_track([1.0, 2.0])
    with pytest.raises(ValueError, match="frames"):
        Tracks(a.names, a.classes, a.boxes, a.seen, a.scores, a.times, a.frames[:1], a.image_size)
