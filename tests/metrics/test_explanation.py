"""Parts of an explanation: names, kept tokens, selection against changing slots, agreement of seeds."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyact.metrics.explanation import (
    changing_slots,
    kept_tokens,
    naming_accuracy,
    seed_stability,
    selection_quality,
)

LABELS = 4
seeds = st.integers(0, 10_000)


def draw(seed, clips=3, variants=1):
    """Make ragged clips: lists over clips of valid (T,K) and, for each variant, of kept (T,K)."""
    rng = np.random.default_rng(seed)
    shapes = rng.integers(1, 5, (clips, 2))
    valid = [rng.random(shape) < 0.7 for shape in shapes]
    kept = [[v & (rng.random(v.shape) < 0.5) for v in valid] for _ in range(variants)]
    return valid, kept


def tokens_of(arrays):
    return {(clip, t, k) for clip, array in enumerate(arrays) for t, k in np.argwhere(array).tolist()}


def share(part, whole):
    return len(part & whole) / len(whole) if whole else math.nan


def test_naming_by_hand():
    result = naming_accuracy([0, 0, 0, 1, 3], [0, 0, 1, 1, 2], LABELS)
    assert result.micro == pytest.approx(3 / 5)
    assert result.macro == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert result.absent == (2,)


@given(st.lists(st.tuples(st.integers(0, LABELS - 1), st.permutations(range(LABELS))), min_size=1, max_size=20))
def test_naming_agrees_with_the_definition_and_rises_with_top(tokens):
    target, ranked = [t for t, _ in tokens], [r for _, r in tokens]
    previous = 0.0
    for top in range(1, LABELS + 1):
        result = naming_accuracy(target, ranked, LABELS, top)
        hits = [t in r[:top] for t, r in tokens]
        assert result.micro == pytest.approx(np.mean(hits))
        per_label = [np.mean([h for h, t in zip(hits, target, strict=True) if t == c]) for c in set(target)]
        assert result.macro == pytest.approx(np.mean(per_label))
        assert result.micro >= previous
        previous = result.micro
    assert previous == 1.0


def test_a_single_name_may_come_flat():
    flat = naming_accuracy([0, 1], [0, 2], 3)
    column = naming_accuracy([0, 1], [[0], [2]], 3)
    assert (flat.micro, flat.macro) == (column.micro, column.macro)


def test_counts_by_hand():
    valid = [np.ones((2, 2), bool), np.array([[True, False]])]
    kept = [np.array([[True, False], [True, False]]), np.array([[True, False]])]
    result = kept_tokens(kept, valid)
    assert (result.num, result.valid, result.ratio) == (1.5, 2.5, 0.6)
    assert math.isnan(kept_tokens([np.zeros((1, 1), bool)], [np.zeros((1, 1), bool)]).ratio)


@given(seeds)
def test_ratio_is_bounded_and_padding_does_not_count(seed):
    valid, (kept,) = draw(seed)
    result = kept_tokens(kept, valid)
    padded = kept_tokens([np.pad(k, ((0, 1), (0, 2))) for k in kept], [np.pad(v, ((0, 1), (0, 2))) for v in valid])
    assert (padded.num, padded.valid) == (result.num, result.valid)
    assert math.isnan(result.ratio) or (0 <= result.ratio <= 1 and kept_tokens(valid, valid).ratio == 1)


def test_changing_slots_by_hand():
    # Slot 0 changes; slot 1 does not; slot 2 changes only where it is not valid; slot 3 is valid once.
    relations = np.zeros((3, 4, 2), bool)
    relations[:, :, 0] = True
    relations[1, 0] = [False, True]
    relations[2, 2] = [True, True]
    valid = np.ones((3, 4), bool)
    valid[2, 2] = False
    valid[1:, 3] = False
    relations[1:, 3] = [False, True]
    assert changing_slots(relations, valid).tolist() == [True, False, False, False]


@given(seeds)
def test_changing_slots_agrees_with_sets_of_labels(seed):
    rng = np.random.default_rng(seed)
    relations, valid = rng.random((3, 4, 2)) < 0.7, rng.random((3, 4)) < 0.7
    expected = [len({tuple(relations[t, k]) for t in range(3) if valid[t, k]}) > 1 for k in range(4)]
    assert changing_slots(relations, valid).tolist() == expected
    assert changing_slots(relations[::-1], valid[::-1]).tolist() == expected


@given(seeds)
def test_selection_agrees_with_sets_of_tokens(seed):
    valid, (kept,) = draw(seed)
    rng = np.random.default_rng(seed + 1)
    slots = [rng.random(v.shape[1]) < 0.5 for v in valid]
    result = selection_quality(kept, valid, slots)
    all_valid, all_kept = tokens_of(valid), tokens_of(kept)
    relevant = {token for token in all_valid if slots[token[0]][token[2]]}
    expected = (
        share(relevant, all_kept),
        share(relevant, all_valid),
        share(all_kept, relevant),
        share(all_kept, all_valid - relevant),
    )
    np.testing.assert_allclose([result.precision, result.base_rate, result.recall, result.elsewhere], expected)
    by_token = [np.broadcast_to(s, v.shape) for s, v in zip(slots, valid, strict=True)]
    np.testing.assert_equal(vars(selection_quality(kept, valid, by_token)), vars(result))


def test_perfect_blind_and_inverse_selection():
    valid, relevant = [np.ones((2, 4), bool)], [np.array([True, False, False, False])]
    column = np.zeros((2, 4), bool)
    column[:, 0] = True
    perfect = selection_quality([column], valid, relevant)
    assert (perfect.precision, perfect.recall, perfect.elsewhere) == (1, 1, 0)
    everything = selection_quality(valid, valid, relevant)
    assert (everything.precision, everything.recall) == (everything.base_rate, everything.elsewhere) == (0.25, 1)
    inverse = selection_quality([~column], valid, relevant)
    assert (inverse.precision, inverse.recall, inverse.elsewhere) == (0, 0, 1)


@given(seeds)
def test_stability_agrees_with_sets(seed):
    valid, kept = draw(seed, variants=3)
    ious = []
    for a, b in combinations(kept, 2):
        for one, other in zip(a, b, strict=True):
            either = tokens_of([one]) | tokens_of([other])
            ious.append(len(tokens_of([one]) & tokens_of([other])) / len(either) if either else 1.0)
    assert seed_stability(kept, valid) == pytest.approx(np.mean(ious))
    assert seed_stability(kept[::-1], valid) == pytest.approx(np.mean(ious))
    assert seed_stability([kept[0]] * 3, valid) == 1.0


def test_disjoint_seeds_do_not_agree():
    valid = [np.ones((1, 2), bool)]
    assert seed_stability([[np.array([[True, False]])], [np.array([[False, True]])]], valid) == 0.0


def test_bad_input_is_refused():
    one, none = [np.ones((1, 1), bool)], [np.zeros((1, 1), bool)]
    with pytest.raises(ValueError, match="1 tokens are kept but not valid"):
        kept_tokens(one, none)
    with pytest.raises(ValueError, match="same clips"):
        kept_tokens(one, [np.ones((1, 2), bool)])
    with pytest.raises(ValueError, match="no clip"):
        kept_tokens([], [])
    with pytest.raises(ValueError, match="two seeds"):
        seed_stability([one], one)
    with pytest.raises(ValueError, match="clips of relevant"):
        selection_quality(one, one, [])
    with pytest.raises(ValueError, match="top 2"):
        naming_accuracy([0], [0], 2, top=2)
