"""Names, transitions and exact removal, by loops, by brute force and against the clip that never had the tokens."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from laiar_samples import OBJECTS, RELATIONS, close, pick, random_batch, small_model
from whyact.data.relations.packed import RelationBatch
from whyact.laiar import evidence
from whyact.laiar.evidence import (
    Change,
    LabelBank,
    build_bank,
    have_boxes,
    list_changes,
    name_tokens,
    random_masks,
    rank_changes,
    removal_masks,
    scores_without,
)

SEEDS = st.integers(0, 10_000)


def unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)


class TestBank:
    def test_by_loops(self) -> None:
        """Half-way between the centroids of the semantic and of the video tokens of a triple."""
        model, batch = small_model(), random_batch(4)
        assert batch.relations is not None
        batch.relations[0, 0, 0] = torch.tensor([1.0, 1, 0, 0, 0, 0])  # two labels name nothing
        bank = build_bank(model, [batch])
        assert not bank.vectors.requires_grad
        paths, found = (model.language(batch), model.video(batch)), dict[tuple[int, int, int], list[list[Tensor]]]()
        for b, t, k in batch.valid.nonzero().tolist():
            labels = batch.relations[b, t, k].nonzero().flatten().tolist()
            if len(labels) == 1:
                key = (int(batch.classes[b, k, 0]), labels[0], int(batch.classes[b, k, 1]))
                found.setdefault(key, []).append([unit(path.tokens[b, t, k]) for path in paths])
        assert [tuple(row) for row in bank.triples.tolist()] == sorted(found)
        for key, row in zip(sorted(found), bank.vectors, strict=True):
            centroids = [unit(torch.stack(column).mean(0)) for column in zip(*found[key], strict=True)]
            close(row, unit(centroids[0] + centroids[1]))

    def test_batches_do_not_matter(self) -> None:
        model, batch = small_model(), random_batch(4)
        whole, parts = build_bank(model, [batch]), build_bank(model, [pick(batch, [3]), pick(batch, [0, 1, 2])])
        assert torch.equal(whole.triples, parts.triples)
        close(whole.vectors, parts.vectors)


class TestNames:
    def bank(self, triples: list[tuple[int, int, int]]) -> LabelBank:
        torch.manual_seed(1)
        return LabelBank(unit(torch.randn(len(triples), 8)), torch.tensor(triples))

    @settings(max_examples=15)
    @given(SEEDS)
    def test_by_loops(self, seed: int) -> None:
        g = torch.Generator().manual_seed(seed)
        every = list(itertools.product(range(3), range(4), range(3)))
        chosen = [every[i] for i in torch.randperm(36, generator=g)[:20].tolist()]
        bank, tokens = self.bank(chosen), torch.randn(2, 3, 2, 8, generator=g)
        classes = torch.randint(3, (2, 2, 2), generator=g)
        names = name_tokens(bank, tokens, classes, 4)
        for b, t, k in itertools.product(range(2), range(3), range(2)):
            cosine = [float(unit(tokens[b, t, k]) @ row) for row in bank.vectors]
            assert int(names.nearest_row[b, t, k]) == int(np.argmax(cosine))
            subject, thing = classes[b, k].tolist()
            own = {r: cosine[i] for i, (s, r, o) in enumerate(chosen) if (s, o) == (subject, thing)}
            assert {r for r in range(4) if torch.isfinite(names.likely[b, t, k, r])} == set(own)
            if not own:
                assert names.label[b, t, k] == -1
                assert names.similarity[b, t, k].isnan()
                assert names.margin[b, t, k].isnan()
                continue
            ranked = sorted(own, key=lambda r: -own[r])
            assert int(names.label[b, t, k]) == ranked[0]
            assert float(names.similarity[b, t, k]) == pytest.approx(own[ranked[0]], abs=1e-5)
            margin = own[ranked[0]] - own[ranked[1]] if len(ranked) > 1 else math.nan  # no next name to be ahead of
            assert float(names.margin[b, t, k]) == pytest.approx(margin, abs=1e-5, nan_ok=True)

    def test_a_single_relation_fits_and_leads_nobody(self) -> None:
        bank = self.bank([(0, 0, 1)])
        names = name_tokens(bank, bank.vectors[None, :, None], torch.tensor([[[0, 1]]]), 1)
        assert float(names.similarity) == pytest.approx(1.0)
        assert names.margin.isnan().all()

    def test_a_bank_row_is_named_as_itself_whatever_its_length(self) -> None:
        bank = self.bank([(0, 0, 1), (0, 1, 1), (1, 0, 1)])
        names = name_tokens(bank, bank.vectors[None, :, None] * 7, torch.tensor([[[0, 1]]]), 2)
        assert names.label[0, :2, 0].tolist() == [0, 1]
        assert names.nearest_row[0, :, 0].tolist() == [0, 1, 2]
        assert names.similarity[0, :2, 0].tolist() == pytest.approx([1, 1], abs=1e-5)


def changes_by_loops(labels: np.ndarray) -> list[Change]:
    out = []
    for slot in range(labels.shape[1]):
        runs: list[list[int]] = []
        for t in range(len(labels)):
            if labels[t, slot] < 0:
                continue
            if runs and labels[runs[-1][0], slot] == labels[t, slot]:
                runs[-1].append(t)
            else:
                runs.append([t])
        if len(runs) == 1:
            name = int(labels[runs[0][0], slot])
            out.append(Change(slot, name, name, runs[0][0], runs[0][-1], tuple(runs[0])))
        every = tuple(t for run in runs for t in run)
        for old, new in itertools.pairwise(runs):
            before, after = int(labels[old[0], slot]), int(labels[new[0], slot])
            out.append(Change(slot, before, after, old[-1], new[0], every))
    return out


class TestChanges:
    @settings(max_examples=40)
    @given(SEEDS)
    def test_by_loops(self, seed: int) -> None:
        labels = np.random.default_rng(seed).integers(-1, 2, (6, 3))
        assert list_changes(labels) == changes_by_loops(labels)

    def test_by_hand(self) -> None:
        labels = np.array([[2, -1, 0], [-1, -1, 0], [2, -1, -1], [5, -1, 0]])
        assert list_changes(labels) == [Change(0, 2, 5, 2, 3, (0, 2, 3)), Change(2, 0, 0, 0, 3, (0, 1, 3))]

    def test_of_several_in_a_slot_each_removes_the_whole_pair(self) -> None:
        labels = np.array([[2], [5], [-1], [2]])
        assert list_changes(labels) == [Change(0, 2, 5, 0, 1, (0, 1, 3)), Change(0, 5, 2, 1, 3, (0, 1, 3))]

    def test_a_pair_is_removed_in_the_frames_that_have_no_name_too(self) -> None:
        labels, valid = np.array([[2], [-1], [5], [-1]]), np.array([[True], [True], [True], [False]])
        assert list_changes(labels, valid) == [Change(0, 2, 5, 0, 2, (0, 1, 2))]

    def test_a_thing_without_a_box_at_that_time_is_no_reason(self) -> None:
        changes = [
            Change(0, 2, 5, 1, 2, (0, 1, 2, 3)),
            Change(0, 5, 2, 2, 3, (0, 1, 2, 3)),
            Change(1, 0, 0, 0, 3, (0, 3)),
        ]
        seen = np.ones((4, 2, 2), bool)
        assert have_boxes(changes, seen).all()
        seen[3, 0, 1] = seen[1, 1] = False  # the first pair's object at the end; the second pair where it has no token
        assert have_boxes(changes, seen).tolist() == [True, False, True]
        assert have_boxes([], seen).shape == (0,)

    def test_masks_hold_the_tokens_of_each_change(self) -> None:
        changes = [Change(0, 2, 5, 2, 3, (0, 2)), Change(2, 0, 0, 0, 3, (1,))]
        masks = removal_masks(changes, (4, 3))
        assert masks.dtype == torch.bool
        assert masks.nonzero().tolist() == [[0, 0, 0], [0, 2, 0], [1, 1, 2]]
        assert removal_masks([], (4, 3)).shape == (0, 4, 3)

    @settings(max_examples=20)
    @given(SEEDS)
    def test_random_masks_take_so_many_valid_tokens(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        valid = random.random((5, 4)) < 0.6
        count = int(random.integers(0, valid.sum() + 1))
        masks = random_masks(valid, count, 7, random).numpy()
        assert masks.shape == (7, 5, 4)
        assert (masks.sum((1, 2)) == count).all()
        assert not masks[:, ~valid].any()

    def test_order_is_stated_then_contribution_then_chance(self) -> None:
        stated = np.array([False, True, True, False, True])
        contribution, chance = np.array([0.9, 0.1, 0.3, 0.9, 0.3]), np.array([0.2, 0.9, 0.91, 0.4, 0.95])
        assert rank_changes(stated, contribution, chance) == [4, 2, 1, 3, 0]
        assert rank_changes(stated[:0], contribution[:0], chance[:0]) == []
        unknown = np.full(2, np.nan)
        assert rank_changes(stated[[0, 3]], np.array([0.1, 0.2]), unknown) == [1, 0]


def alone(seed: int = 0, **options: Any) -> RelationBatch:
    return random_batch(1, seed=seed, **options)


def random_removals(clip: RelationBatch, m: int = 4, seed: int = 0) -> Tensor:
    return torch.rand(m, *clip.valid.shape[1:], generator=torch.Generator().manual_seed(seed)) < 0.3


class TestExactRemoval:
    def test_of_nothing_is_the_prediction(self) -> None:
        model, clip = small_model(), alone()
        path = model.video(clip)
        found = scores_without(model, clip, path.selection.keep[0], torch.zeros_like(clip.valid))
        close(found, path.logits.softmax(-1), 1e-6)

    def test_temperature_divides_the_logits(self) -> None:
        model, clip = small_model(), alone()
        path = model.video(clip)
        found = scores_without(model, clip, path.selection.keep[0], torch.zeros_like(clip.valid), 3.0)
        close(found, (path.logits / 3).softmax(-1), 1e-6)

    @pytest.mark.parametrize(
        "options", [{}, {"leak_free": True}, {"attention": "joint"}, {"app_width": 3, "endpoint_delta": True}]
    )
    def test_is_the_clip_in_which_the_tokens_never_were(self, options: dict[str, Any]) -> None:
        model, clip = small_model(**options), alone(appearance=3)
        keep = model.video(clip).selection.keep
        removed = random_removals(clip)
        found = scores_without(model, clip, keep[0], removed)
        for row, gone in zip(found, removed, strict=True):
            never = RelationBatch(
                boxes=torch.where(gone[..., None, None], 0.0, clip.boxes),
                seen=clip.seen & ~gone[..., None],
                classes=clip.classes,
                valid=clip.valid & ~gone,
                target=clip.target,
                appearance=None if clip.appearance is None else torch.where(gone[..., None], 0.0, clip.appearance),
            )
            close(row, model.video(never, keep=keep * ~gone).logits.softmax(-1)[0])

    def test_a_removed_slot_equals_a_clip_without_it(self) -> None:
        model, clip = small_model(), alone(gaps=0.0)
        keep = model.video(clip).selection.keep
        gone = torch.zeros_like(clip.valid)
        gone[..., 3] = True
        never = RelationBatch(
            clip.boxes[:, :, :3], clip.seen[:, :, :3], clip.classes[:, :3], clip.valid[:, :, :3], clip.target
        )
        expected = model.video(never, keep=keep[..., :3]).logits.softmax(-1)
        close(scores_without(model, clip, keep[0], gone), expected)

    def test_leaves_no_trace_of_what_was_there(self) -> None:
        model, clip = small_model(app_width=3, endpoint_delta=True), alone(appearance=3)
        keep, removed = model.video(clip).selection.keep, random_removals(clip, 1)
        expected = scores_without(model, clip, keep[0], removed)
        assert clip.appearance is not None
        other = replace(
            clip,
            boxes=torch.where(removed[..., None, None], torch.rand_like(clip.boxes), clip.boxes),
            appearance=torch.where(removed[..., None], 9.0, clip.appearance),
        )
        assert torch.equal(scores_without(model, other, keep[0], removed), expected)

    def test_of_dropped_tokens_shows_how_much_they_leak(self) -> None:
        """The pooled half of kept tokens, and their motion, know the dropped ones; without both they know nothing."""
        differences = {}
        for name, options in (
            ("published", {"geometry": False}),
            ("motion", {"leak_free": True}),
            ("none", {"leak_free": True, "geometry": False}),
        ):
            model, clip = small_model(**options), alone(gaps=0.0)  # type: ignore[arg-type]
            path = model.video(clip)
            dropped = clip.valid & (path.selection.keep == 0)
            found = scores_without(model, clip, path.selection.keep[0], dropped)
            differences[name] = (found - path.logits.softmax(-1)).abs().max().item()
        assert differences["none"] < 1e-5
        assert differences["published"] > 1e-4
        assert differences["motion"] > 1e-4

    def test_masking_what_was_dropped_anyway_changes_nothing(self) -> None:
        """Sufficiency of the whole kept set at the level of attention is 0."""
        model, batch = small_model(), random_batch()
        path = model.video(batch)
        close(model.video(batch, keep=path.selection.keep.detach()).logits, path.logits)

    def test_selection_of_the_others_stays(self) -> None:
        model, clip = small_model(), alone(gaps=0.0)
        keep = model.video(clip).selection.keep
        removed = (keep > 0) & (torch.arange(keep.shape[1])[:, None] < 3)
        found = scores_without(model, clip, keep[0], removed)
        # Chosen afresh, other tokens would take the place of the removed ones.
        afresh = replace(clip, valid=clip.valid & ~removed, seen=clip.seen & ~removed[..., None])
        assert (found - model.video(afresh).logits.softmax(-1)).abs().max() > 1e-4

    def test_of_everything_is_the_class_token_alone(self) -> None:
        model = small_model()
        found = [
            scores_without(model, clip, model.video(clip).selection.keep[0], torch.ones_like(clip.valid))
            for clip in (alone(1), alone(2))
        ]
        close(found[0], found[1])

    def test_many_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model, clip = small_model(), alone()
        keep, removed = model.video(clip).selection.keep[0], random_removals(clip, 7)
        whole = scores_without(model, clip, keep, removed)
        assert whole.shape == (7, 4)
        close(whole.sum(1), torch.ones(7))
        monkeypatch.setattr(evidence, "CHUNK", 3)
        close(scores_without(model, clip, keep, removed), whole)

    def test_needs_no_relations(self) -> None:
        model, clip = small_model(), alone()
        keep, removed = model.video(clip).selection.keep[0], random_removals(clip)
        blind = scores_without(model, clip.without_relations(), keep, removed)
        assert torch.equal(blind, scores_without(model, clip, keep, removed))


def test_names_of_training_tokens_come_from_the_words_the_pair_allows() -> None:
    """A whole round: bank from a batch, names for the same batch's visual tokens."""
    model, batch = small_model(), random_batch(6)
    bank = build_bank(model, [batch])
    names = name_tokens(bank, model.video(batch).tokens, batch.classes, RELATIONS)
    known = {tuple(row) for row in bank.triples.tolist()}
    assert max(bank.triples[:, [0, 2]].flatten().tolist()) < OBJECTS
    for b, t, k in batch.valid.nonzero().tolist():
        label = int(names.label[b, t, k])
        assert (int(batch.classes[b, k, 0]), label, int(batch.classes[b, k, 1])) in known
