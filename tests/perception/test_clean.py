"""Cleaned tracks: one thing is one track, and what was hardly seen is none."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from whyact.metrics.boxes import area, paired_iou
from whyact.perception.clean import CleanSettings, clean_tracks
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


def merged_by_definition(found: Tracks) -> Tracks:
    """Merge the two most alike tracks of all, by looking at every pair again after every merge."""
    while True:
        pairs = [(i, j) for i in range(len(found.names)) for j in range(i + 1, len(found.names))]
        likeness = [alike(found, i, j, CleanSettings()) for i, j in pairs]
        if not pairs or max(likeness) <= 0:
            return found
        i, j = pairs[int(np.argmax(likeness))]
        sure, other = (i, j) if found.scores[:, i].sum() >= found.scores[:, j].sum() else (j, i)
        better = (found.scores[:, other] > found.scores[:, sure]) | (found.known[:, other] & ~found.known[:, sure])
        fields = {name: getattr(found, name).copy() for name in ("boxes", "seen", "scores")}
        for values in fields.values():
            values[better, sure] = values[better, other]
        found = replace(found, **fields).pick([k for k in range(len(found.names)) if k != other])


def alike(found: Tracks, i: int, j: int, s: CleanSettings) -> float:
    both = found.known[:, i] & found.known[:, j]
    same = found.classes[i] == found.classes[j]
    sums = sorted(float(found.scores[:, k].sum()) for k in (i, j))
    if both.sum() >= max(1, min(found.known[:, i].sum(), found.known[:, j].sum()) / 2):
        a, b = (found.boxes[both, k].astype(np.float64) for k in (i, j))
        side = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
        inside = (np.clip(side, 0, None).prod(-1) / np.minimum(area(a), area(b))).mean()
        overlap = float(paired_iou(a, b).mean())
        is_one = overlap >= s.overlap or (same and inside >= s.inside and sums[0] <= 0.5 * sums[1])
        return 1 + overlap if is_one else 0.0
    rows = sorted((np.flatnonzero(found.known[:, k]).tolist(), k) for k in (i, j))
    if not same or both.any() or not rows[0][0]:
        return 0.0
    (first, a), (second, b) = rows
    gap = found.times[second[0]] - found.times[first[-1]]
    end, start = found.boxes[first[-1], a].astype(float), found.boxes[second[0], b].astype(float)
    sizes = np.sqrt(area(np.stack([end, start])))
    if gap <= 0 or gap > s.patience or sizes.max() > 2 * sizes.min():
        return 0.0
    away = float(np.linalg.norm((end[:2] + end[2:] - start[:2] - start[2:]) / 2))
    return max(0.0, 1 - away / (float(np.mean(sizes)) * (s.jump + s.drift * gap)))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 12))
def test_tracks_are_merged_as_if_every_pair_were_looked_at_after_every_merge(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        start, stop = sorted(random.integers(0, FRAMES + 1, 2).tolist())
        seen = range(start, stop, int(random.integers(1, 3)))
        x, side = float(random.integers(0, 12) * 8), float(random.choice([30, 40, 70]))
        rows.append((str(random.choice(["person", "cup"])), x, side, seen, float(random.choice([0.55, 0.7, 0.9]))))
    rare = replace(tracks(*rows), times=np.cumsum(random.choice([0.1, 0.1, 0.5], FRAMES)))
    sums = rare.scores.sum(0)
    order = sorted(range(count), key=lambda k: (-float(sums[k]), rare.classes[k], rare.names[k]))
    expected, every = merged_by_definition(rare.pick(order)), CleanSettings(shortest=0, share=0, score=0)
    found = clean_tracks(rare, 0.0, every)
    named = [name for k, name in enumerate(expected.names) if expected.seen[:, k].any()]
    assert set(found.names) == set(named)
    again = expected.pick([expected.names.index(name) for name in found.names])
    for name in ("classes", "boxes", "seen", "scores"):
        np.testing.assert_array_equal(getattr(found, name), getattr(again, name))


def test_a_long_film_with_many_tracks_takes_seconds() -> None:
    """300 tracks of 10 minutes: to look at every pair after every merge takes many minutes."""
    random, count, length = np.random.default_rng(0), 300, 6000
    boxes = np.zeros((length, count, 4), np.float32)
    for k in range(count):
        x, y = random.uniform(0, 500, 2)
        boxes[20 * k : 20 * k + 15, k] = [x, y, x + 40, y + 80]
    seen = boxes[..., 2] > 0
    film = Tracks(
        names=tuple(f"person_{k}" for k in range(count)),
        classes=("person",) * count,
        boxes=boxes,
        seen=seen,
        scores=seen * np.float32(0.9),
        times=np.arange(length) / 10,
        frames=np.arange(1, length + 1),
        image_size=(640, 640),
    )
    started = time.process_time()
    found = clean_tracks(film, 1.0)
    assert time.process_time() - started < 5
    assert 0 < len(found.names) < count
    assert found.seen.sum() == seen.sum(), "merged, and none dropped"
