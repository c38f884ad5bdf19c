"""Augmentation changes what may change and nothing that carries the answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hand_clips import VOCABULARY, clip
from whyact.data.relations.augment import action_spans, augment, crop_spans, reversed_targets
from whyact.data.relations.packed import PackedClips, RelationBatch
from whyact.data.types import Rule

OFF = {"mirror": 0.0, "box_jitter": 0.0, "drop_boxes": 0.0, "drop_slots": 0.0}
CLIPS = [
    clip("ffffhh", "aaaaaa", "hhhhhh", "sssooo", "ssssss"),
    clip("ffff", "aaan", "h..h", "f..h", "...."),
    clip("ff", "ss", action="null"),
]


def batch(hide: bool = True) -> RelationBatch:
    packed = PackedClips(CLIPS, slots=8)
    index = np.arange(3)
    whole = packed.batch(index, packed.even_positions(index, 4))
    if hide:  # both boxes of one token, one box of another
        seen = whole.seen.clone()
        seen[0, 1, 0] = False
        seen[0, 2, 1, 1] = False
        whole = replace(whole, seen=seen, boxes=whole.boxes * seen[..., None])
    return whole


def changed(**options: Any) -> tuple[RelationBatch, RelationBatch]:
    seed = options.pop("seed", 0)
    before = batch()
    return before, augment(before, np.random.default_rng(seed), **{**OFF, **options})


def changing_slots(b: RelationBatch) -> set[tuple[int, int]]:
    """Return (clip, slot) where two valid tokens carry different labels."""
    assert b.relations is not None
    out = set()
    for i in range(len(b)):
        for k in range(b.valid.shape[2]):
            labels = {tuple(b.relations[i, t, k].tolist()) for t in range(b.valid.shape[1]) if b.valid[i, t, k]}
            if len(labels) > 1:
                out.add((i, k))
    return out


SEEDS = st.integers(0, 2**31)


class TestAugment:
    def test_off_changes_nothing(self) -> None:
        before, after = changed()
        for name, value in vars(before).items():
            assert value is None or torch.equal(value, getattr(after, name)), name

    def test_mirror_by_hand(self) -> None:
        before, after = changed(mirror=1.0)
        x0, y0, x1, y1 = before.boxes[0, 0, 0, 1].tolist()
        assert after.boxes[0, 0, 0, 1].tolist() == pytest.approx([1 - x1, y0, 1 - x0, y1])
        assert torch.equal(after.seen, before.seen)

    @settings(max_examples=30)
    @given(SEEDS)
    def test_boxes_stay_sane(self, seed: int) -> None:
        before, after = changed(seed=seed, mirror=0.5, box_jitter=0.02, drop_boxes=0.1, drop_slots=0.2)
        low, high = after.boxes[..., :2], after.boxes[..., 2:]
        assert torch.isfinite(after.boxes).all()
        assert (high > low)[after.seen].all()
        assert not after.boxes[~after.seen].any()
        assert after.boxes.min() > -0.3
        assert after.boxes.max() < 1.3
        size = (high - low)[after.seen] / (before.boxes[..., 2:] - before.boxes[..., :2])[after.seen]
        assert (size - 1).abs().max() < 0.25  # no box changes its size by more than a few standard deviations

    @settings(max_examples=30)
    @given(SEEDS)
    def test_self_pairs_stay_self_pairs(self, seed: int) -> None:
        before, after = changed(seed=seed, mirror=0.5, box_jitter=0.1, drop_boxes=0.3)
        itself = (before.classes[..., 0] == before.classes[..., 1])[:, None] & before.valid
        assert itself.any()
        assert torch.equal(after.boxes[itself][:, 0], after.boxes[itself][:, 1])
        assert torch.equal(after.seen[itself][:, 0], after.seen[itself][:, 1])

    @settings(max_examples=30)
    @given(SEEDS)
    def test_relations_targets_and_classes_are_untouched(self, seed: int) -> None:
        before, after = changed(seed=seed, mirror=0.5, box_jitter=0.1, drop_boxes=0.3, drop_slots=0.5)
        assert torch.equal(after.relations, before.relations)
        assert torch.equal(after.target, before.target)
        assert torch.equal(after.classes, before.classes)

    @settings(max_examples=30)
    @given(SEEDS)
    def test_changing_slots_are_never_dropped(self, seed: int) -> None:
        before, after = changed(seed=seed, drop_slots=0.8)
        keep = changing_slots(before)
        assert keep == {(0, 0), (0, 3), (1, 1), (1, 3)}
        for i, k in keep:
            assert torch.equal(after.valid[i, :, k], before.valid[i, :, k])

    def test_all_others_may_be(self) -> None:
        before, after = changed(drop_slots=1.0)
        left = {(i, k) for i in range(2) for k in range(5) if after.valid[i, :, k].any()}
        assert left == changing_slots(before)

    def test_no_clip_loses_every_token(self) -> None:
        before, after = changed(drop_slots=1.0)
        assert torch.equal(after.valid[2], before.valid[2])  # nothing changes in it

    def test_the_batch_given_stays_as_it_was(self) -> None:
        given_batch = batch()
        kept = {name: value.clone() for name, value in vars(given_batch).items() if value is not None}
        augment(given_batch, np.random.default_rng(0), mirror=1.0, box_jitter=0.1, drop_boxes=0.5, drop_slots=1.0)
        for name, value in kept.items():
            assert torch.equal(value, getattr(given_batch, name)), name

    def test_hidden_boxes_stay_hidden(self) -> None:
        before, after = changed(mirror=1.0, box_jitter=0.5)
        assert not (after.seen & ~before.seen).any()

    def test_shares_are_what_they_say(self) -> None:
        before, after = changed(drop_boxes=0.25)
        lost = (before.seen & ~after.seen).sum() / before.seen.sum()
        assert 0.1 < lost < 0.4
        assert torch.equal(after.valid, before.valid)  # a token whose box is hidden is still a token

    def test_same_seed_same_batch(self) -> None:
        options = {"mirror": 0.5, "box_jitter": 0.05, "drop_boxes": 0.1, "drop_slots": 0.3}
        a, b = changed(seed=4, **options)[1], changed(seed=4, **options)[1]
        assert torch.equal(a.boxes, b.boxes)
        assert not torch.equal(a.boxes, changed(seed=5, **options)[1].boxes)

    def test_works_without_relations(self) -> None:
        blind = batch().without_relations()
        after = augment(blind, np.random.default_rng(0), **{**OFF, "drop_slots": 0.5})
        assert after.relations is None
        assert after.valid.flatten(1).any(1).all()


class TestReversedTargets:
    def backwards(self, *words: str, action: str) -> str:
        found = reversed_targets([clip(*words, action=action)], VOCABULARY)[0]
        return "-" if found < 0 else VOCABULARY.actions[found]

    @pytest.mark.parametrize(
        ("word", "action", "mirror"),
        [("ffhh", "pick", "place"), ("hhff", "place", "pick"), ("sso", "open", "close"), ("oss", "close", "open")],
    )
    def test_mirror_actions_are_exchanged(self, word: str, action: str, mirror: str) -> None:
        assert self.backwards(word, action=action) == mirror

    def test_an_action_without_a_mirror_is_not_reversed(self) -> None:
        assert self.backwards("aan", action="drink") == "-"

    def test_null_without_a_change_stays_null(self) -> None:
        assert self.backwards("ffff", "hhhh", "aaaa", action="null") == "null"

    def test_null_with_a_backwards_sip_is_not_reversible(self) -> None:
        """The cup leaves the mouth: no action forwards, but a sip when played backwards."""
        assert self.backwards("hhhh", "nnaa", action="null") == "-"
        assert self.backwards("hhhh", "n..a", action="null") == "-"

    def test_a_label_that_the_relations_do_not_show_is_not_reversed(self) -> None:
        assert self.backwards("ffff", action="pick") == "-"

    def test_other_changes_do_not_hide_the_mirror(self) -> None:
        assert self.backwards("ffhh", "aann", action="pick") == "place"  # apart after near is no action

    def test_a_mirror_needs_a_common_object(self) -> None:
        rules = (Rule("pick", "free", "held", "hand", ("cup",)), Rule("place", "held", "free", "hand", ("box",)))
        assert reversed_targets([clip("ffhh", action="pick")], replace(VOCABULARY, rules=rules)).tolist() == [-1]

    def test_several_clips_keep_their_order(self) -> None:
        clips = [clip("ffh", action="pick"), clip("aan", action="drink"), clip("hhh", action="null")]
        assert reversed_targets(clips, VOCABULARY).tolist() == [2, -1, 0]

    def test_a_clip_without_relations_is_a_mistake(self) -> None:
        with pytest.raises(ValueError, match="ff has no relations"):
            reversed_targets([clip("ff", action="null").without_relations()], VOCABULARY)


class TestCrops:
    @pytest.mark.parametrize(
        ("words", "action", "span"),
        [
            (("fffhhh",), "pick", (2, 3)),
            (("ff..hh",), "pick", (1, 4)),
            (("ffhhhh", "ffffhh"), "pick", (1, 4)),  # both transitions of the action
            (("ffhhff",), "pick", (1, 2)),  # the transition of another action does not count
            (("ffffff",), "null", (2, 2)),
            (("ffffff",), "pick", (0, 5)),  # the relations do not show it
            (("ffhhff",), "null", (0, 5)),  # they show what the label denies
            (("nnaaaa",), "null", (2, 2)),
        ],
    )
    def test_span_of_an_action(self, words: tuple[str, ...], action: str, span: tuple[int, int]) -> None:
        assert tuple(action_spans([clip(*words, action=action)], VOCABULARY)[0]) == span

    @settings(max_examples=30)
    @given(SEEDS, st.integers(1, 60))
    def test_a_crop_holds_the_span_and_half_of_the_clip(self, seed: int, length: int) -> None:
        random = np.random.default_rng(seed)
        span = np.sort(random.integers(0, length, (20, 2)), axis=1)
        crop = crop_spans(span, np.full(20, length), 1.0, random)
        assert (crop[:, 0] <= span[:, 0]).all()
        assert (crop[:, 1] >= span[:, 1]).all()
        assert (crop[:, 0] >= 0).all()
        assert (crop[:, 1] < length).all()
        assert ((crop[:, 1] - crop[:, 0]) >= (length - 1) / 2).all()

    def test_only_a_share_of_the_clips(self) -> None:
        random = np.random.default_rng(0)
        span, length = np.full((4000, 2), 50), np.full(4000, 101)
        assert (crop_spans(span, length, 0.0, random) == (0, 100)).all()
        cut = (crop_spans(span, length, 0.5, random) != (0, 100)).any(1)
        assert 0.45 < cut.mean() < 0.55
        crop = crop_spans(span, length, 1.0, random)
        assert (crop.min(0) == (0, 75)).all()
        assert (crop.max(0) == (25, 100)).all()

    @settings(max_examples=30)
    @given(SEEDS)
    def test_sampling_stays_inside_the_crop(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        packed = PackedClips(CLIPS, slots=2)
        span = np.array([[1, 4], [0, 2]])
        found = packed.jittered_positions(np.array([0, 1]), 5, 0.5, random, span)
        assert (found >= span[:, :1]).all()
        assert (found <= span[:, 1:]).all()
        assert (np.diff(found) >= 0).all()
