"""Faithfulness: comprehensiveness, sufficiency, deletion and insertion, controls; on a model we can solve by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from whyact.metrics.faithfulness import (
    SHARES,
    comprehensiveness,
    deletion_auc,
    insertion_auc,
    over_control,
    over_predicted,
    sufficiency,
    tokens_at,
)

TOKENS = 40
scores = st.floats(0, 1)
weights = hnp.arrays(float, TOKENS, elements=st.floats(0.001, 1)).map(lambda w: w / w.sum())


def additive_model(w, order):
    """Score = sum of the weights of the tokens present. Return full, removed, only, deletion, insertion."""
    counts = tokens_at(SHARES, [len(w)])[0]
    ranked = w[order]
    full = np.array([w.sum()])
    only = np.array([[ranked[:n].sum() for n in counts]])
    insertion = np.array([ranked[:n].sum() for n in range(len(w) + 1)])
    return full, full[:, None] - only, only, insertion[-1] - insertion, insertion


def test_hand_computed_values():
    full, removed = [0.9, 0.5], [[0.7, 0.5, 0.3], [0.5, 0.5, 0.8]]
    np.testing.assert_allclose(comprehensiveness(full, removed), [0.4, -0.1])
    np.testing.assert_allclose(sufficiency(full, removed), [0.4, -0.1])
    assert deletion_auc([1.0, 0.5, 0.0]) == pytest.approx(0.5)
    assert insertion_auc([0.0, 1.0, 1.0]) == pytest.approx(0.75)
    assert deletion_auc([1.0, 0.0, 0.0], [0.0, 0.2, 1.0]) == pytest.approx(0.1)


@given(weights)
def test_true_order_beats_any_other_on_all_four(w):
    best = np.argsort(-w)
    for other in (best[::-1], np.arange(TOKENS)):
        full, removed, only, deletion, insertion = additive_model(w, best)
        _, removed2, only2, deletion2, insertion2 = additive_model(w, other)
        assert comprehensiveness(full, removed) >= comprehensiveness(full, removed2) - 1e-9
        assert sufficiency(full, only) <= sufficiency(full, only2) + 1e-9
        assert deletion_auc(deletion) <= deletion_auc(deletion2) + 1e-9
        assert insertion_auc(insertion) >= insertion_auc(insertion2) - 1e-9


@given(weights)
def test_deletion_and_insertion_mirror_each_other_in_an_additive_model(w):
    *_, deletion, insertion = additive_model(w, np.argsort(-w))
    assert deletion_auc(deletion) == pytest.approx(1 - insertion_auc(insertion))


@given(hnp.arrays(float, (3, 7), elements=scores))
def test_area_agrees_with_the_integral_of_the_joined_points(curve):
    fine = np.linspace(0, 1, 6001)
    for area, row in zip(deletion_auc(curve), curve, strict=True):
        assert area == pytest.approx(np.interp(fine, np.linspace(0, 1, 7), row).mean(), abs=1e-3)
        assert row.min() - 1e-12 <= area <= row.max() + 1e-12


@given(hnp.arrays(float, (4, 5), elements=scores), scores)
def test_a_step_in_between_on_the_line_changes_nothing(curve, at):
    shares = np.array([0, 0.25, 0.5, 0.75, 1])
    fuller = np.sort(np.append(shares, at))
    filled = np.stack([np.interp(fuller, shares, row) for row in curve])
    np.testing.assert_allclose(insertion_auc(filled, fuller), insertion_auc(curve, shares))
    per_clip = np.broadcast_to(fuller, filled.shape)
    np.testing.assert_allclose(insertion_auc(filled, per_clip), insertion_auc(curve, shares))


@given(hnp.arrays(float, 5, elements=scores), hnp.arrays(float, (5, 3), elements=scores))
def test_drop_is_bounded_and_falls_with_the_score_that_is_left(full, removed):
    drop = comprehensiveness(full, removed)
    assert (np.abs(drop) <= 1).all()
    assert (comprehensiveness(full, removed * 0.5) >= drop - 1e-12).all()
    np.testing.assert_allclose(comprehensiveness(full, np.tile(full[:, None], 3)), 0)
    np.testing.assert_allclose(sufficiency(full, removed[:, ::-1]), sufficiency(full, removed))


def test_shares_round_up_to_whole_tokens():
    assert tokens_at(SHARES, [30, 1, 0]).tolist() == [[1, 2, 3, 6, 15], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]]
    assert tokens_at([0, 1], [7]).tolist() == [[0, 7]]
    assert tokens_at([0.07], [100]).tolist() == [[7]]  # 0.07 * 100 > 7 in binary


@given(st.integers(1, 300), st.integers(0, 100))
def test_share_counts_agree_with_whole_number_arithmetic(tokens, percent):
    assert tokens_at([percent / 100], [tokens])[0, 0] == -(-percent * tokens // 100)


def test_control_is_averaged_over_draws():
    np.testing.assert_allclose(over_control([0.5, 0.2], [[0.1, 0.3], [0.2, 0.2]]), [0.3, 0.0])
    np.testing.assert_allclose(over_control([0.5, 0.2], [0.1, 0.3]), [0.4, -0.1])


@given(hnp.arrays(float, 4, elements=scores))
def test_control_against_itself_is_nothing(values):
    np.testing.assert_array_equal(over_control(values, values), 0)
    np.testing.assert_allclose(over_control(values, np.tile(values[:, None], 5)), 0, atol=1e-12)


def test_multi_label_averages_over_predicted_classes():
    values = [[0.2, 0.4, math.nan], [0.1, 0.1, 0.1]]
    result = over_predicted(values, [[True, True, False], [False] * 3])
    assert result[0] == pytest.approx(0.3)
    assert math.isnan(result[1])


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="two ends"):
        deletion_auc([0.5])
    with pytest.raises(ValueError, match="rise from 0 to 1"):
        insertion_auc([0.1, 0.2], [0.0, 0.9])
    with pytest.raises(ValueError, match="rise from 0 to 1"):
        insertion_auc([0.1, 0.2, 0.3, 0.4], [0.0, 0.8, 0.2, 1.0])
    with pytest.raises(ValueError, match="shares"):
        deletion_auc([0.1, 0.2, 0.3], [0.0, 1.0])
    with pytest.raises(ValueError, match="S > 0"):
        comprehensiveness([0.5], [[]])
    with pytest.raises(ValueError, match="S > 0"):
        sufficiency([0.5, 0.6], [0.1, 0.2])
    with pytest.raises(ValueError, match="control"):
        over_control([0.5, 0.2], [0.1])
    with pytest.raises(ValueError, match=r"\(N,C\)"):
        over_predicted([[0.5]], [True])
    with pytest.raises(ValueError, match="shares"):
        tokens_at([1.5], [3])
