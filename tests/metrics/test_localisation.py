"""Detection mAP against the protocol's own loop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyact.errors import UserError
from whyact.metrics.localisation import Spans, detection_ap, drop_overlapping, mean_ap, spans

THRESHOLDS = [0.1, 0.3, 0.5, 0.7]
CLASSES = 3
number = st.integers(0, 12)
truth_rows = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), number, st.integers(1, 6)), max_size=12)
found_rows = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 2), number, st.integers(1, 6), st.integers(0, 4)), max_size=25
)


def by_hand(found, truth, thresholds, classes):
    """Walk down the predictions of a class; area under the envelope by recall steps."""
    ap = np.full((len(thresholds), classes), np.nan)
    for c in range(classes):
        positives = [i for i, row in enumerate(truth) if row[1] == c]
        if not positives:
            continue
        ranked = sorted((row for row in found if row[1] == c), key=lambda row: -row[4])
        for k, threshold in enumerate(thresholds):
            taken, hits = set(), []
            for video, _, start, end, _ in ranked:
                candidates = []
                for i in positives:
                    if truth[i][0] != video:
                        continue
                    overlap = max(0.0, min(end, truth[i][3]) - max(start, truth[i][2]))
                    union = (end - start) + (truth[i][3] - truth[i][2]) - overlap
                    candidates.append((-overlap / union, i))
                hit = next((i for iou, i in sorted(candidates) if -iou >= threshold and i not in taken), None)
                taken.add(hit)
                hits.append(hit is not None)
            recall, precision = [0.0], [0.0]
            for n in range(1, len(hits) + 1):
                recall.append(sum(hits[:n]) / len(positives))
                precision.append(sum(hits[:n]) / n)
            envelope = [max(precision[n:]) for n in range(len(precision))]
            ap[k, c] = sum((recall[n] - recall[n - 1]) * envelope[n] for n in range(1, len(recall)))
    return ap


@given(found_rows, truth_rows)
def test_equals_the_loop_ties_included(found, truth):
    found = [(v, c, s, s + length, score) for v, c, s, length, score in found]
    truth = [(v, c, s, s + length) for v, c, s, length in truth]
    got = detection_ap(spans(found), spans([(*row, 0.0) for row in truth]), THRESHOLDS, CLASSES)
    np.testing.assert_allclose(got, by_hand(found, truth, THRESHOLDS, CLASSES), atol=1e-12)


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


def test_predictions_over_an_ambiguous_span_of_their_own_video_go():
    found = spans([(0, 0, 0, 10, 1), (0, 0, 20, 30, 1), (1, 0, 0, 10, 1), (0, 0, 9.6, 20, 1)])
    left = drop_overlapping(found, spans([(0, 0, 9.4, 10.4)]))  # rounds to [9, 10)
    assert left.start.tolist() == [20, 0, 9.6]


def test_predictions_without_scores_are_refused():
    with pytest.raises(UserError, match="score"):
        detection_ap(spans([(0, 0, 0, 1)]), spans([(0, 0, 0, 1)]), [0.5], 1)


def test_columns_of_different_length_are_refused():
    with pytest.raises(UserError, match="same length"):
        Spans(np.zeros(2, int), np.zeros(1, int), np.zeros(2), np.zeros(2))
