"""Relations measured from boxes: what they mean, what leaves them as they are, and where there are none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whyact.data.types import DISTANCE, MEASURED, MOTION
from whyact.perception.relations import MeasureSettings, certain_frames, measured_relations, true_of_boxes

RATE = 10
FRAMES = 30


def box(x: float, y: float, side: float) -> list[float]:
    return [x, y, x + side, y + side]


def names(found: np.ndarray, group: tuple[str, ...]) -> list[str]:
    """Return the relation of a group that holds in each frame of the one pair, empty where none does."""
    held = [[name for name in group if found[t, 0, MEASURED.index(name)]] for t in range(len(found))]
    assert all(len(row) <= 1 for row in held)
    return [row[0] if row else "" for row in held]


def measure(a: list[list[float]], b: list[list[float]]) -> np.ndarray:
    return measured_relations(np.array(a)[:, None], np.array(b)[:, None], np.arange(len(a)) / RATE)


def walk(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return two things that move smoothly about (T,1,4), with some frames unknown, and the times."""
    random = np.random.default_rng(seed)
    out = []
    for _ in range(2):
        center = 100 + np.cumsum(np.cumsum(random.normal(0, 0.4, (FRAMES, 2)), 0), 0)
        side = random.uniform(10, 60, 2)
        boxes = np.concatenate([center - side / 2, center + side / 2], -1)
        boxes[random.random(FRAMES) < 0.1] = 0
        out.append(boxes[:, None])
    return out[0], out[1], np.arange(FRAMES) / RATE


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (box(120, 0, 20), "apart"),
        (box(25, 0, 20), "near"),
        (box(18, 0, 20), "touching"),
        (box(10, 0, 20), "overlapping"),
        (box(5, 5, 8), "containing"),
        (box(-10, -10, 60), "inside"),
    ],
)
def test_how_far_two_things_are_from_each_other(other: list[float], expected: str) -> None:
    found = measure([box(0, 0, 20)] * FRAMES, [other] * FRAMES)
    assert names(found, DISTANCE) == [expected] * FRAMES
    assert names(found, MOTION) == ["still"] * FRAMES


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [(0, -30, "approaching"), (0, 30, "leaving"), (30, 30, "moving_together"), (0, 0, "still")],
)
def test_how_two_things_move(first: float, second: float, expected: str) -> None:
    seconds = np.arange(FRAMES) / RATE
    found = measure([box(first * t, 0, 20) for t in seconds], [box(200 + second * t, 0, 20) for t in seconds])
    assert names(found, MOTION) == [expected] * FRAMES


def test_coming_near_and_touching_are_passed_one_after_the_other() -> None:
    count = 100
    found = measure([box(0, 0, 20)] * count, [box(max(0.0, 80 - t), 0, 20) for t in range(count)])
    assert list(dict.fromkeys(names(found, DISTANCE))) == ["apart", "near", "touching", "overlapping", "inside"]


def test_a_state_that_does_not_last_is_passed_over() -> None:
    """A thing that comes over in a third of a second goes from apart to overlapping; one that comes by is not there."""
    quick = [box(80 - 30 * max(0, min(t - 10, 2)), 0, 20) for t in range(FRAMES)]
    assert list(dict.fromkeys(names(measure([box(10, 0, 20)] * FRAMES, quick), DISTANCE))) == ["apart", "overlapping"]
    by = [box(80 if abs(t - 15) > 1 else 10, 0, 20) for t in range(FRAMES)]
    assert set(names(measure([box(0, 0, 20)] * FRAMES, by), DISTANCE)) == {"apart"}


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.floats(0.2, 5), st.floats(-500, 500), st.floats(-500, 500))
def test_size_and_place_of_the_image_do_not_matter(seed: int, scale: float, x: float, y: float) -> None:
    a, b, times = walk(seed)
    move = np.array([x, y, x, y])
    other = [np.where(boxes.any(-1, keepdims=True), boxes * scale + move, 0) for boxes in (a, b)]
    np.testing.assert_array_equal(measured_relations(a, b, times), measured_relations(*other, times))


@settings(max_examples=60)
@given(st.integers(0, 10_000))
def test_a_mirror_changes_nothing_and_exchanging_the_two_only_what_is_inside(seed: int) -> None:
    a, b, times = walk(seed)
    mirrored = [
        np.where(x.any(-1, keepdims=True), 1000 - x[..., [2, 1, 0, 3]] * [1, -1, 1, -1] * 1.0, 0) for x in (a, b)
    ]
    for boxes, source in zip(mirrored, (a, b), strict=True):
        there = source.any(-1)
        boxes[there] = np.stack([1000 - source[..., 2], source[..., 1], 1000 - source[..., 0], source[..., 3]], -1)[
            there
        ]
    found = measured_relations(a, b, times)
    np.testing.assert_array_equal(found, measured_relations(*mirrored, times))
    exchanged = measured_relations(b, a, times)
    same = [i for i, name in enumerate(MEASURED) if name not in ("inside", "containing")]
    np.testing.assert_array_equal(found[..., same], exchanged[..., same])
    either = [MEASURED.index("inside"), MEASURED.index("containing")]
    np.testing.assert_array_equal(found[..., either].any(-1), exchanged[..., either].any(-1))


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.floats(10, 80), st.floats(0, 120))
def test_jitter_below_the_margins_makes_no_change(seed: int, side: float, away: float) -> None:
    """Every corner trembles by a hundredth of the size: far below each margin, whatever the boxes are."""
    random = np.random.default_rng(seed)
    low = np.array([box(0, 0, 40)]), np.array([box(away, 5, side)])
    tremble = [random.uniform(-0.01, 0.01, (FRAMES, 4)) * min(side, 40) for _ in low]
    a, b = (boxes + t for boxes, t in zip(low, tremble, strict=True))
    found = measured_relations(a[:, None], b[:, None], np.arange(FRAMES) / RATE)
    assert len(set(names(found, DISTANCE))) == 1
    assert set(names(found, MOTION)) == {"still"}


def test_one_wrong_box_makes_no_change() -> None:
    boxes = [box(100, 0, 20)] * FRAMES
    boxes[12] = box(5, 5, 20)
    found = measure([box(0, 0, 20)] * FRAMES, boxes)
    assert names(found, DISTANCE) == ["apart"] * FRAMES
    assert names(found, MOTION) == ["still"] * FRAMES


def test_there_is_no_relation_where_a_track_is_uncertain() -> None:
    a, b, times = walk(3)
    known = a.any(-1) & b.any(-1)
    found = measured_relations(a, b, times)
    for group in (MOTION, DISTANCE):
        index = [MEASURED.index(name) for name in group]
        np.testing.assert_array_equal(found[..., index].sum(-1), known.astype(int))
    assert not measured_relations(a, b, times, np.zeros_like(known)).any()
    assert measured_relations(a[:0], b[:0], times[:0]).shape == (0, 1, len(MEASURED))


def test_a_gap_is_certain_only_where_it_is_short() -> None:
    times = np.arange(12) / RATE
    seen = np.ones((12, 1), bool)
    seen[2:4] = seen[6:11] = False
    found = certain_frames(seen, np.ones_like(seen), times)[:, 0]
    assert found.tolist() == [True] * 6 + [False] * 5 + [True]
    assert MeasureSettings().bridge < 0.6


def test_hysteresis_changes_a_state_only_past_its_margin() -> None:
    """Closeness swings about the threshold of touching by less than the margin, then passes it."""
    margin = MeasureSettings().margins[1]
    gaps = [0.05 + 0.9 * margin * np.sin(t) for t in range(20)] + [-2 * margin] * 10
    found = measure([box(0, 0, 20)] * 30, [box(20 + 20 * g, 0, 20) for g in gaps])
    states = names(found, DISTANCE)
    assert len(set(states[:18])) == 1
    assert states[-1] == "touching"


def test_what_is_named_is_true_of_the_boxes_of_the_moment() -> None:
    """By the thresholds, each with its margin: two boxes of size 10 at gaps of 7 to -10."""
    still = np.tile(np.array([0.0, 0, 10, 10]), (18, 1, 1))
    other = np.stack([np.array([[10.0 + gap, 0, 20 + gap, 10]]) for gap in range(7, -11, -1)])
    s = MeasureSettings()
    closeness = np.array([-gap / 10 for gap in range(7, -11, -1)])
    bounds = [-np.inf, s.near, s.touching, s.overlapping, s.inside, np.inf]
    margins = [0, *s.margins, 0]
    for name, level in (
        ("apart", 0),
        ("near", 1),
        ("touching", 2),
        ("overlapping", 3),
        ("inside", 4),
        ("containing", 4),
    ):
        found = true_of_boxes(still, other, np.full((18, 1), DISTANCE.index(name)))[:, 0]
        low, high = bounds[level] - margins[level], bounds[level + 1] + margins[level + 1]
        np.testing.assert_array_equal(found, (closeness >= low) & (closeness <= high), err_msg=name)
    assert not true_of_boxes(still, other, np.full((18, 1), -1)).any()
    assert not true_of_boxes(still, 0 * other, np.zeros((18, 1), np.int64)).any(), "a hidden box"
