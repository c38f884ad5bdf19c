"""Packed clips cut the same batches that a loop over clips and frames would cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hand_clips import clip
from whyact.data.relations.packed import PackedClips


def appearance(t: int, k: int, seed: int = 0, gaps: float = 0.2) -> np.ndarray:
    random = np.random.default_rng(seed)
    values = random.random((t, k, 3)).astype(np.float32)
    values[random.random((t, k)) < gaps] = np.nan
    return values


CLIPS = [
    clip("ffffhhh", "a.aaaan", "ssssooo", action="pick", appearance=appearance(7, 3, 1)),
    clip("hhhff", action="place", appearance=appearance(5, 1, 2)),
    clip("a", "f", action="null", appearance=appearance(1, 2, 3)),
]


def window_mean(values: np.ndarray, positions: list[int], i: int) -> np.ndarray:
    """Average the frames nearer to sample i than to its neighbours (ties go to the earlier one), gaps left out."""
    p = sorted(positions)
    j = p.index(positions[i]) if positions.count(positions[i]) == 1 else None
    assert j is not None, "for positions without repeats"
    low = p[j] if j == 0 else (p[j - 1] + p[j]) // 2 + 1
    high = p[j] if j == len(p) - 1 else (p[j] + p[j + 1]) // 2
    out = np.zeros(values.shape[1:], np.float32)
    for k in range(values.shape[1]):
        rows = [values[t, k] for t in range(low, high + 1) if not np.isnan(values[t, k]).any()]
        if rows:
            out[k] = np.mean(rows, axis=0)
    return out


class TestBatch:
    def test_is_what_a_loop_over_clips_gives(self) -> None:
        packed = PackedClips(CLIPS, slots=2)
        index = np.array([1, 0, 2, 0])
        positions = np.array([[0, 2, 4], [0, 3, 6], [0, 0, 0], [6, 1, 1]])
        batch = packed.batch(index, positions)
        assert batch.valid.shape == (4, 3, 2)
        for b, i in enumerate(index):
            one = CLIPS[i]
            for t, p in enumerate(positions[b]):
                for k in range(2):
                    if k >= len(one.slots):
                        assert not batch.valid[b, t, k]
                        assert not batch.boxes[b, t, k].any()
                        continue
                    scale = np.array([640, 480, 640, 480], np.float32)
                    assert batch.boxes[b, t, k, 0].numpy() == pytest.approx(one.subject_boxes[p, k] / scale)
                    assert batch.boxes[b, t, k, 1].numpy() == pytest.approx(one.object_boxes[p, k] / scale)
                    assert batch.valid[b, t, k] == one.valid[p, k]
                    assert batch.relations is not None
                    assert one.relations is not None
                    assert (batch.relations[b, t, k].numpy() == one.relations[p, k]).all()
                    assert batch.classes[b, k].tolist() == [one.subject_class[k], one.object_class[k]]
            assert batch.target[b] == one.target

    def test_has_as_many_slots_as_its_widest_clip(self) -> None:
        packed = PackedClips(CLIPS, slots=28)
        assert packed.batch(np.array([1]), np.array([[0]])).valid.shape == (1, 1, 1)
        assert packed.batch(np.array([1, 0]), np.array([[0], [0]])).valid.shape == (2, 1, 3)

    def test_hidden_boxes_are_not_seen(self) -> None:
        one = clip("fff")
        one.object_boxes[1] = 0
        batch = PackedClips([one], slots=1).batch(np.array([0]), np.array([[0, 1, 2]]))
        assert batch.seen[0, :, 0].tolist() == [[True, True], [True, False], [True, True]]
        assert batch.valid.all()

    def test_backwards_is_the_reversed_clip(self) -> None:
        packed = PackedClips(CLIPS, slots=3)
        positions = np.array([[0, 2, 5], [0, 1, 4]])
        both = packed.batch(np.array([0, 1]), positions, backwards=np.array([True, False]))
        forward = packed.batch(np.array([0, 1]), positions)
        for name in ("boxes", "seen", "valid", "relations", "appearance"):
            a, b = getattr(both, name), getattr(forward, name)
            assert torch.equal(a[0], b[0].flip(0)), name
            assert torch.equal(a[1], b[1]), name

    def test_a_clip_without_slots_or_target(self) -> None:
        packed = PackedClips([clip("ff"), clip("ff").without_relations()], slots=4)
        batch = packed.batch(np.array([0, 1]), np.array([[0, 1], [0, 1]]))
        assert batch.target.tolist() == [-1, -1]
        assert batch.relations is not None
        assert not batch.relations[1].any()
        assert PackedClips([clip("ff").without_relations()], slots=1).relations is None

    def test_without_relations_keeps_everything_else(self) -> None:
        batch = PackedClips(CLIPS, slots=3).batch(np.array([0]), np.array([[0, 3, 6]]))
        blind = batch.without_relations()
        assert blind.relations is None
        assert blind.appearance is batch.appearance
        assert blind.boxes is batch.boxes


class TestWindows:
    @settings(max_examples=30)
    @given(st.integers(0, 50), st.integers(2, 6), st.sampled_from([0.0, 0.3, 0.9]))
    def test_mean_over_the_frames_nearest_to_a_sample(self, seed: int, frames: int, gaps: float) -> None:
        one = clip("f" * 13, "a" * 13, appearance=appearance(13, 2, seed, gaps))
        assert one.appearance is not None
        positions = np.random.default_rng(seed).choice(13, frames, replace=False)
        packed = PackedClips([CLIPS[0], one], slots=3)  # not the first clip: offsets matter
        found = packed.batch(np.array([1]), positions[None]).appearance
        assert found is not None
        for i in range(frames):
            assert found[0, i].numpy() == pytest.approx(window_mean(one.appearance, positions.tolist(), i), abs=1e-5)

    @settings(max_examples=30)
    @given(st.lists(st.integers(0, 12), min_size=2, max_size=8))
    def test_windows_cover_every_frame_between_the_ends(self, positions: list[int]) -> None:
        packed = PackedClips([clip("f" * 13)], slots=1)
        low, high = packed._windows(np.array([0]), np.array([positions]))
        covered = [set(range(a, b)) for a, b in zip(low[0], high[0], strict=True)]
        assert all(p in window for p, window in zip(positions, covered, strict=True))
        assert set.union(*covered) == set(range(min(positions), max(positions) + 1))
        for i, a in enumerate(covered):
            for j in range(i):
                assert positions[i] == positions[j] or not a & covered[j]

    def test_off_reads_the_sampled_frames_alone(self) -> None:
        one = clip("f" * 6, appearance=appearance(6, 1, gaps=0))
        assert one.appearance is not None
        positions = np.array([[0, 2, 5]])
        alone = PackedClips([one], slots=1, window=False).batch(np.array([0]), positions).appearance
        assert alone is not None
        assert alone[0].numpy() == pytest.approx(one.appearance[[0, 2, 5]], abs=1e-6)

    def test_a_gap_is_zero_and_never_a_nan(self) -> None:
        one = clip("ffff", appearance=np.full((4, 1, 3), np.nan, np.float32))
        found = PackedClips([one], slots=1).batch(np.array([0]), np.array([[0, 3]])).appearance
        assert found is not None
        assert not found.any()


class TestPositions:
    @settings(max_examples=30)
    @given(st.integers(1, 40), st.integers(2, 12))
    def test_even_ones_include_both_ends(self, length: int, frames: int) -> None:
        found = PackedClips([clip("f" * length)], slots=1).even_positions(np.array([0]), frames)[0]
        assert (found[0], found[-1]) == (0, length - 1)
        gap = (length - 1) / (frames - 1)
        assert np.abs(found - gap * np.arange(frames)).max() <= 0.5
        assert (np.diff(found) >= 0).all()

    def test_a_single_frame_is_the_middle_one(self) -> None:
        packed = PackedClips([clip("f" * 9)], slots=1)
        assert packed.even_positions(np.array([0]), 1).tolist() == [[4]]
        random = np.random.default_rng(0)
        drawn = [packed.jittered_positions(np.array([0]), 1, 0.25, random)[0, 0] for _ in range(200)]
        assert min(drawn) == 2
        assert max(drawn) == 6

    @settings(max_examples=30)
    @given(st.integers(1, 40), st.integers(2, 12), st.floats(0, 0.5), st.integers(0, 1000))
    def test_jittered_ones_stay_in_order_and_near(self, length: int, frames: int, jitter: float, seed: int) -> None:
        packed = PackedClips([clip("f" * length)], slots=1)
        found = packed.jittered_positions(np.array([0]), frames, jitter, np.random.default_rng(seed))[0]
        assert (np.diff(found) >= 0).all()
        assert found.min() >= 0
        assert found.max() < length
        gap = (length - 1) / (frames - 1)
        assert np.abs(found - gap * np.arange(frames)).max() <= jitter * gap + 0.5 + 1e-9

    def test_no_jitter_is_even(self) -> None:
        packed = PackedClips(CLIPS, slots=3)
        index = np.array([0, 1, 2])
        jittered = packed.jittered_positions(index, 4, 0.0, np.random.default_rng(0))
        assert (jittered == packed.even_positions(index, 4)).all()

    def test_an_end_moves_inwards_about_half_the_time(self) -> None:
        packed = PackedClips([clip("f" * 1001)], slots=1)
        index = np.zeros(400, dtype=int)
        found = packed.jittered_positions(index, 5, 0.5, np.random.default_rng(0))
        # Half of the shifts are switched off, and half of the others point outwards.
        assert 0.15 < (found[:, 0] > 0).mean() < 0.35
        assert 0.15 < (found[:, -1] < 1000).mean() < 0.35
        assert (found[:, 2] != 500).mean() > 0.9
