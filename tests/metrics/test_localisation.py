"""Detection mAP against loops restated from what each evaluator defines."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyact.errors import UserError
from whyact.metrics.localisation import (
    Spans,
    detection_ap,
    drop_overlapping_on_grid,
    mean_ap,
    overlapping,
    spans,
    thumos_ap,
)

THRESHOLDS = [0.1, 0.3, 0.5, 0.7]
CLASSES = 3
number = st.integers(0, 12)
truth_rows = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), number, st.integers(1, 6)), max_size=12)
found_rows = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 2), number, st.integers(1, 6), st.integers(0, 4)), max_size=25
)


def activitynet_script(found, truth, thresholds, classes):
    """Restate ActivityNet's evaluation of detections, class by class and prediction by prediction.

    Where the script sorts, it sorts rising and reads the result backwards: of equals the higher index comes first.
    """
    ap = np.full((len(thresholds), classes), np.nan)
    for c in range(classes):
        own = [row for row in truth if row[1] == c]
        if not own:
            continue
        ranked = [row for row in found if row[1] == c]
        ranked = [ranked[i] for i in np.argsort([row[4] for row in ranked], kind="stable")[::-1]]
        for k, threshold in enumerate(thresholds):
            locked, tp = set(), np.zeros(len(ranked))
            for n, (video, _, start, end, _) in enumerate(ranked):
                here = [i for i, row in enumerate(own) if row[0] == video]
                tiou = []
                for i in here:
                    inter = max(min(end, own[i][3]) - max(start, own[i][2]), 0.0)
                    tiou.append(inter / ((own[i][3] - own[i][2]) + (end - start) - inter))
                for j in np.argsort(tiou, kind="stable")[::-1]:
                    if tiou[j] < threshold:
                        break
                    if here[j] not in locked:
                        locked.add(here[j])
                        tp[n] = 1
                        break
            ap[k, c] = envelope_area(tp, len(own))
    return ap


def envelope_area(tp, positives):
    precision = np.cumsum(tp) / (np.cumsum(tp) + np.cumsum(1 - tp))
    recall = np.cumsum(tp) / positives
    precision, recall = np.hstack([[0], precision, [0]]), np.hstack([[0], recall, [1]])
    for i in range(len(precision) - 1)[::-1]:
        precision[i] = max(precision[i], precision[i + 1])
    at = np.where(recall[1:] != recall[:-1])[0] + 1
    return np.sum((recall[at] - recall[at - 1]) * precision[at])


def thumos_toolkit(found, truth, unclear, thresholds, classes):
    """Restate the toolkit of THUMOS'14: ground truths choose, and ambiguous spans take false positives away."""
    ap = np.full((len(thresholds), classes), np.nan)
    for c in range(classes):
        if not any(row[1] == c for row in truth):
            continue
        for k, threshold in enumerate(thresholds):
            right, wrong, positives = [], [], 0
            for video in sorted({row[0] for row in [*truth, *found]}):
                gt = [row for row in truth if row[:2] == (video, c)]
                positives += len(gt)
                det = sorted((row for row in found if row[:2] == (video, c)), key=lambda row: -row[4])
                free = [True] * len(det)
                for _, _, start, end in gt:
                    best, choice = -1.0, None
                    for i, row in enumerate(det):
                        if free[i] and thumos_overlap(start, end, row[2], row[3]) > best:
                            best, choice = thumos_overlap(start, end, row[2], row[3]), i
                    if best > threshold:
                        free[choice] = False
                for i, row in enumerate(det):
                    if not free[i]:
                        right.append(row[4])
                    elif not any(v == video and thumos_overlap(s, e, row[2], row[3]) > 0 for v, _, s, e in unclear):
                        wrong.append(row[4])
            ranked = sorted([(-score, 0) for score in right] + [(-score, 1) for score in wrong])
            total, hits = 0.0, 0
            for n, (_, miss) in enumerate(ranked, 1):
                if not miss:
                    hits += 1
                    total += hits / n
            ap[k, c] = total / positives
    return ap


def thumos_overlap(a, b, c, d):
    shared = min(b, d) - max(a, c)
    return shared / (max(b, d) - min(a, c)) if shared > 0 else 0.0


@given(found_rows, truth_rows)
def test_equals_activitynets_script_ties_included(found, truth):
    found = [(v, c, s, s + length, score) for v, c, s, length, score in found]
    truth = [(v, c, s, s + length) for v, c, s, length in truth]
    got = detection_ap(spans(found), spans([(*row, 0.0) for row in truth]), THRESHOLDS, CLASSES)
    np.testing.assert_array_equal(got, activitynet_script(found, truth, THRESHOLDS, CLASSES))


@given(found_rows, truth_rows, truth_rows)
def test_equals_the_thumos_toolkit_ties_included(found, truth, unclear):
    found = [(v, c, s, s + length, score) for v, c, s, length, score in found]
    truth, unclear = ([(v, c, s, s + length) for v, c, s, length in rows] for rows in (truth, unclear))
    got = thumos_ap(spans(found), spans(truth), spans(unclear), THRESHOLDS, CLASSES)
    np.testing.assert_array_equal(got, thumos_toolkit(found, truth, unclear, THRESHOLDS, CLASSES))


@pytest.mark.parametrize("seed", range(6))
def test_random_files_equal_both_restatements_to_the_last_bit(seed):
    rng = np.random.default_rng(seed)
    n, m = 1500, 250

    def rows(count, digits):
        start = rng.uniform(0, 90, count).round(digits)
        end = start + rng.uniform(0.5, 20, count).round(digits)
        ids = (rng.integers(0, 12, count), rng.integers(0, CLASSES, count))
        return list(zip(*(column.tolist() for column in (*ids, start, end)), strict=True))

    digits = 1 + seed % 2 * 12  # with one digit there are ties of tIoU, with few scores ties of those
    scores = rng.random(n).round(2 + seed % 2 * 12).tolist()
    found = [(*row, score) for row, score in zip(rows(n, digits), scores, strict=True)]
    truth, unclear = rows(m, digits), rows(20, digits)
    thresholds = np.linspace(0.1, 0.95, 10).tolist()
    got = detection_ap(spans(found), spans(truth), thresholds, CLASSES)
    np.testing.assert_array_equal(got, activitynet_script(found, truth, thresholds, CLASSES))
    np.testing.assert_array_equal(mean_ap(got), 100 * got.mean(axis=1))
    got = thumos_ap(spans(found), spans(truth), spans(unclear), thresholds, CLASSES)
    np.testing.assert_array_equal(got, thumos_toolkit(found, truth, unclear, thresholds, CLASSES))


def test_of_equal_overlaps_the_higher_index_is_taken():
    truth = spans([(0, 0, 0, 10), (0, 0, 10, 20)])
    first = (0, 0, 5, 15, 0.9)  # as near to one as to the other; it takes the second
    assert detection_ap(spans([first, (0, 0, 0, 10, 0.8)]), truth, [0.3], 1)[0, 0] == 1.0
    assert detection_ap(spans([first, (0, 0, 10, 20, 0.8)]), truth, [0.3], 1)[0, 0] == 0.5


def test_only_false_positives_are_ignored():
    truth, unclear = spans([(0, 0, 0, 10)]), spans([(0, 0, 9, 30)])
    found = spans([(0, 0, 20, 30, 0.9), (0, 0, 0, 10, 0.8), (1, 0, 20, 30, 0.7)])
    assert detection_ap(found, truth, [0.5], 1)[0, 0] == 0.5
    assert detection_ap(found, truth, [0.5], 1, overlapping(found, unclear))[0, 0] == 1.0
    assert thumos_ap(found, truth, unclear, [0.5], 1)[0, 0] == 1.0
    assert len(drop_overlapping_on_grid(found, unclear)) == 1  # PVLR's evaluator drops the true one as well


def test_a_displaced_prediction_takes_its_second_choice():
    truth = spans([(0, 0, 0, 10), (0, 0, 4, 14)])
    found = spans([(0, 0, 0, 10, 0.9), (0, 0, 1, 11, 0.8)])  # both like the first best; the second settles
    assert detection_ap(found, truth, [0.3], 1)[0, 0] == 1.0


def test_a_second_detection_of_one_truth_is_a_false_positive():
    truth = spans([(0, 0, 0, 10), (1, 0, 0, 10)])
    found = spans([(0, 0, 0, 10, 0.9), (0, 0, 0, 10, 0.8), (1, 0, 0, 10, 0.7)])
    assert detection_ap(found, truth, [0.5], 1)[0, 0] == pytest.approx((1 + 2 / 3) / 2)


def test_classes_without_truth_are_left_out_of_the_mean_and_without_predictions_count_zero():
    ap = detection_ap(spans([(0, 0, 0, 10, 0.9)]), spans([(0, 0, 0, 10), (0, 2, 0, 5)]), [0.5], 3)
    assert np.isnan(ap[0, 1])
    assert mean_ap(ap).tolist() == [50.0]


def test_moving_and_stretching_time_changes_nothing():
    rng = np.random.default_rng(1)
    truth = [(v, c, s, s + 5) for v, c, s in rng.integers(0, [3, 2, 50], (30, 3))]
    found = [(v, c, s, s + w, score) for v, c, s, w, score in rng.integers([0, 0, 0, 1, 0], [3, 2, 50, 9, 99], (80, 5))]
    a = detection_ap(spans(found), spans(truth), THRESHOLDS, 2)

    def scaled(rows):
        return spans([(v, c, 4 * s + 32, 4 * e + 32, *rest) for v, c, s, e, *rest in rows])

    np.testing.assert_array_equal(detection_ap(scaled(found), scaled(truth), THRESHOLDS, 2), a)


def test_pvlrs_evaluator_drops_what_overlaps_an_ambiguous_span_of_its_video():
    found = spans([(0, 0, 0, 10, 1), (0, 0, 20, 30, 1), (1, 0, 0, 10, 1), (0, 0, 9.6, 20, 1)])
    left = drop_overlapping_on_grid(found, spans([(0, 0, 9.4, 10.4)]))  # rounds to [9, 10)
    assert left.start.tolist() == [20, 0, 9.6]


def test_predictions_without_scores_are_refused():
    with pytest.raises(UserError, match="score"):
        detection_ap(spans([(0, 0, 0, 1)]), spans([(0, 0, 0, 1)]), [0.5], 1)


def test_columns_of_different_length_are_refused():
    with pytest.raises(UserError, match="same length"):
        Spans(np.zeros(2, int), np.zeros(1, int), np.zeros(2), np.zeros(2))
