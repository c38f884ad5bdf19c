"""AP and the rules of the official Charades mAP: ties, empty videos, missing videos, absent classes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from whyact.metrics.average_precision import charades_map, mean_average_precision

rows = st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=25)


def charades_by_definition(scores, target, submitted=None):
    """Per class: a stable sort by falling score, the mean over positives of the precision down to each."""
    videos, classes = len(target), len(target[0])
    aps = []
    for c in range(classes):
        keyed = []
        for v in range(videos):
            ranked_last = not any(target[v]) or (submitted is not None and not submitted[v])
            keyed.append((-math.inf if ranked_last else scores[v][c], v))
        keyed.sort(key=lambda pair: -pair[0])  # Python's sort is stable
        hits, precisions = 0, []
        for rank, (_, v) in enumerate(keyed, start=1):
            if target[v][c]:
                hits += 1
                precisions.append(hits / rank)
        aps.append(sum(precisions) / len(precisions) if precisions else math.nan)
    return aps


def test_hand_computed_ranking():
    # Ranked: + - + - ; precision at the positives 1 and 2/3.
    result = mean_average_precision([[0.9], [0.8], [0.7], [0.1]], [[1], [0], [1], [0]])
    assert result.mean == pytest.approx((1 + 2 / 3) / 2)


def test_ties_by_the_official_script_keep_the_order_of_the_rows():
    scores = [[0.5, 1], [0.5, 1], [0.5, 1]]
    late = charades_map(scores, [[0, 1], [0, 1], [1, 1]])
    early = charades_map(scores, [[1, 1], [0, 1], [0, 1]])
    assert late.per_class[0] == pytest.approx(1 / 3)
    assert early.per_class[0] == pytest.approx(1.0)
    # The plain form retrieves the three together, whatever their order.
    assert mean_average_precision(scores, [[0, 1], [0, 1], [1, 1]]).per_class[0] == pytest.approx(1 / 3)
    assert mean_average_precision(scores, [[1, 1], [0, 1], [0, 1]]).per_class[0] == pytest.approx(1 / 3)


def test_stable_order_holds_for_many_ties():
    """A quicksort breaks the order of equal scores only on longer inputs."""
    n = 500
    target = np.zeros((n, 2))
    target[:, 1] = 1
    target[7, 0] = 1
    assert charades_map(np.ones((n, 2)), target).per_class[0] == pytest.approx(1 / 8)


def test_video_without_actions_ranks_last_even_if_scored_high():
    # Row 0 has no action and the top score. Official: it ranks last; plain: it costs precision.
    scores, target = [[0.9, 0.9], [0.5, 0.2], [0.4, 0.6]], [[0, 0], [1, 0], [0, 1]]
    assert charades_map(scores, target).per_class.tolist() == [1.0, 1.0]
    assert mean_average_precision(scores, target).per_class.tolist() == [0.5, 0.5]


def test_missing_video_ranks_last_in_the_order_of_the_rows():
    # Rows 0 and 2 were not submitted, row 3 is empty: they follow the ranked rows 1 and 4 as 0, 2, 3.
    scores = [[math.nan], [0.1], [math.nan], [0.8], [0.2]]
    target = [[1], [1], [1], [0], [1]]
    submitted = [False, True, False, True, True]
    result = charades_map(scores, target, submitted)
    assert result.per_class[0] == pytest.approx(1.0)  # ranked 4, 1, 0, 2, 3
    target = [[1, 0], [0, 1], [1, 0], [0, 0], [0, 1]]
    scores = [[math.nan] * 2, [0.1, 0.1], [math.nan] * 2, [0.8, 0.8], [0.2, 0.2]]
    result = charades_map(scores, target, submitted)
    assert result.per_class[0] == pytest.approx((1 / 3 + 2 / 4) / 2)


def test_class_without_positives_is_skipped_and_listed():
    result = charades_map([[0.9, 0.3], [0.1, 0.2]], [[1, 0], [1, 0]])
    assert math.isnan(result.per_class[1])
    assert (result.mean, result.weighted, result.absent) == (1.0, 1.0, (1,))
    nothing = mean_average_precision([[0.9, 0.3]], [[0, 0]])
    assert math.isnan(nothing.mean)
    assert nothing.absent == (0, 1)


def test_weighted_mean_counts_positives():
    # Class 0: AP 1 with three positives; class 1: AP 1/4 with one.
    scores = [[4, 4], [3, 3], [2, 2], [1, 1]]
    target = [[1, 0], [1, 0], [1, 0], [0, 1]]
    result = mean_average_precision(scores, target)
    assert result.mean == pytest.approx((1 + 0.25) / 2)
    assert result.weighted == pytest.approx((3 * 1 + 0.25) / 4)


@given(rows, rows)
def test_plain_form_agrees_with_scikit_learn(first, second):
    n = min(len(first), len(second))
    data = np.array([first[:n], second[:n]], dtype=float)  # (2,n,2)
    scores, target = data[..., 0].T, data[..., 1].T
    result = mean_average_precision(scores, target)
    for c in range(2):
        if target[:, c].any():
            assert result.per_class[c] == pytest.approx(average_precision_score(target[:, c], scores[:, c]))
        else:
            assert c in result.absent


@given(rows, rows, st.lists(st.booleans(), min_size=25, max_size=25))
def test_official_form_agrees_with_the_definition(first, second, mask):
    n = min(len(first), len(second))
    data = np.array([first[:n], second[:n]], dtype=float)
    scores, target = data[..., 0].T, data[..., 1].T.astype(bool)
    ours = charades_map(scores, target, mask[:n]).per_class
    np.testing.assert_allclose(ours, charades_by_definition(scores, target, mask[:n]), equal_nan=True)


@given(rows, st.randoms())
def test_plain_form_ignores_the_order_of_the_rows_and_any_rising_map_of_scores(pairs, random):
    data = np.array(pairs, dtype=float)
    if not data[:, 1].any():
        return
    before = mean_average_precision(data[:, :1], data[:, 1:]).mean
    random.shuffle(pairs)
    after = np.array(pairs, dtype=float)
    assert mean_average_precision(np.exp(3 * after[:, :1]) - 7, after[:, 1:]).mean == pytest.approx(before)
    assert 0 < before <= 1


@given(rows)
def test_scoring_the_truth_is_perfect(pairs):
    truth = np.array([[p, True] for _, p in pairs])
    assert mean_average_precision(truth, truth).mean == 1.0
    assert charades_map(truth, truth).mean == 1.0


def test_the_caller_keeps_its_scores():
    scores = np.array([[0.9], [0.5]])
    charades_map(scores, [[0], [1]])
    assert scores.tolist() == [[0.9], [0.5]]


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="1 videos hold NaN"):
        charades_map([[math.nan], [0.1]], [[1], [1]])
    with pytest.raises(ValueError, match="NaN"):
        mean_average_precision([[math.nan]], [[1]])
    with pytest.raises(ValueError, match=r"\(N,C\)"):
        mean_average_precision([[1.0, 2.0]], [[1]])
    with pytest.raises(ValueError, match="submitted"):
        charades_map([[1.0]], [[1]], [True, False])
