"""Cleaned tracks: one thing is one track, and what was hardly seen is none."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from whyact.perception.clean import clean_tracks
from whyact.perception.tracks import Tracks

FRAMES = 30


def tracks(*rows: tuple[str, float, float, range, float]) -> Tracks:
    """Return tracks of (class, x, side, frames in which they are seen, score), resting."""
    boxes = np.zeros((FRAMES, len(rows), 4), np.float32)
    scores = np.zeros((FRAMES, len(rows)), np.float32)
    for k, (_, x, side, frames, score) in enumerate(rows):
        boxes[list(frames), k] = [x, 10, x + side, 10 + side]
        scores[list(frames), k] = score
    return Tracks(
        names=tuple(f"{row[0]}_{k + 1}" for k, row in enumerate(rows)),
        classes=tuple(row[0] for row in rows),
        boxes=boxes,
        seen=scores > 0,
        scores=scores,
        times=np.arange(FRAMES) / 10,
        frames=np.arange(1, FRAMES + 1),
        image_size=(640, 480),
    )


ALL = range(FRAMES)


def test_two_boxes_of_one_thing_are_merged_and_the_surer_class_stays() -> None:
    found = clean_tracks(
        tracks(("person", 0, 50, ALL, 0.9), ("dog", 4, 50, ALL, 0.5), ("person", 300, 50, ALL, 0.8)), 1.0
    )
    assert found.names == ("person_1", "person_3")


def test_a_part_of_a_thing_is_no_second_one_of_its_class() -> None:
    assert clean_tracks(tracks(("person", 0, 90, ALL, 0.9), ("person", 5, 40, range(12), 0.5)), 1.0).names == (
        "person_1",
    )
    kept = clean_tracks(tracks(("person", 0, 90, ALL, 0.9), ("cup", 5, 40, ALL, 0.8)), 1.0)
    assert kept.names == ("person_1", "cup_2")


def test_two_people_one_before_the_other_stay_two() -> None:
    assert len(clean_tracks(tracks(("person", 0, 90, ALL, 0.9), ("person", 30, 70, ALL, 0.85)), 1.0).names) == 2


def test_a_track_that_breaks_off_and_begins_again_is_one_and_its_gap_is_bridged() -> None:
    found = clean_tracks(tracks(("person", 0, 50, range(12), 0.9), ("person", 8, 50, range(18, 30), 0.7)), 1.0)
    assert found.names == ("person_1",)
    assert found.known.all()
    assert found.seen[:, 0].sum() == 24
    far = clean_tracks(tracks(("person", 0, 50, range(12), 0.9), ("person", 400, 50, range(18, 30), 0.7)), 1.0)
    assert len(far.names) == 2


def test_short_and_doubtful_tracks_are_dropped() -> None:
    found = clean_tracks(
        tracks(("person", 0, 50, ALL, 0.9), ("skateboard", 100, 20, range(3), 0.9), ("phone", 200, 20, ALL, 0.3)), 1.0
    )
    assert found.names == ("person_1",)
    assert clean_tracks(tracks(("phone", 200, 20, range(2), 0.3)), 1.0).names == ()
    assert clean_tracks(tracks(), 1.0).names == ()


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.randoms())
def test_boxes_are_the_detectors_and_the_order_of_tracks_does_not_matter(seed: int, order: object) -> None:
    random = np.random.default_rng(seed)
    rows = []
    for i in range(int(random.integers(1, 6))):
        start = int(random.integers(0, 20))
        frames = range(start, min(FRAMES, start + int(random.integers(2, 25))))
        rows.append(
            (
                str(random.choice(["person", "cup"])),
                float(200 * random.integers(0, 3) + i),
                40.0,
                frames,
                0.5 + 0.07 * i,
            )
        )
    given_tracks = tracks(*rows)
    found = clean_tracks(given_tracks, 1.0)
    for k in range(len(found.names)):
        for t in np.flatnonzero(found.seen[:, k]):
            assert (given_tracks.boxes[t] == found.boxes[t, k]).all(-1).any()
    shuffled = list(range(len(rows)))
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    again = clean_tracks(given_tracks.pick(shuffled), 1.0)
    assert sorted(again.names) == sorted(found.names)
