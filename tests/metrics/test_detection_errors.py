"""Errors of detections against their definitions, and average precision against the one that is held to ActivityNet."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyact.metrics.detection_errors import KINDS, Matches, best_overlap, error_kinds, length_groups, overlaps
from whyact.metrics.localisation import Spans, detection_ap, spans, true_positives

THRESHOLDS = (0.3, 0.5, 0.7)
VIDEOS, CLASSES = 3, 2

span = st.tuples(st.integers(0, VIDEOS - 1), st.integers(0, CLASSES - 1), st.integers(0, 8), st.integers(1, 6)).map(
    lambda row: (row[0], row[1], row[2], row[2] + row[3])
)
truths = st.lists(span, min_size=1, max_size=8)
founds = st.lists(st.tuples(span, st.sampled_from([0.1, 0.2, 0.5, 0.7])), max_size=14).map(
    lambda rows: [(*one, score) for one, score in rows]
)


@given(founds, truths, st.lists(st.booleans(), min_size=14, max_size=14))
def test_average_precision_is_that_of_the_evaluator(found: list, truth: list, skipped: list[bool]) -> None:
    predictions, gt, ignored = spans(found), spans(truth), np.array(skipped[: len(found)], dtype=bool)
    matches = Matches.of(predictions, gt, THRESHOLDS, VIDEOS, CLASSES, ignored)
    expected = detection_ap(predictions, gt, THRESHOLDS, CLASSES, ignored)
    np.testing.assert_allclose(matches.average_precision(), expected, atol=1e-12)


@given(founds, truths, st.lists(st.integers(0, 3), min_size=VIDEOS, max_size=VIDEOS))
def test_a_weight_counts_a_video_so_many_times(found: list, truth: list, weight: list[int]) -> None:
    def copies(rows: list) -> list:
        return [(row[0] + VIDEOS * i, *row[1:]) for row in rows for i in range(weight[row[0]])]

    matches = Matches.of(spans(found), spans(truth), THRESHOLDS, VIDEOS, CLASSES)
    many = Matches.of(spans(copies(found)), spans(copies(truth)), THRESHOLDS, 4 * VIDEOS, CLASSES)
    weighted = matches.average_precision(np.array(weight, dtype=np.float64))
    scores = [row[-1] for row in found]
    if len(set(scores)) == len(scores):  # equal scores have an order within the copies that weights do not
        np.testing.assert_allclose(weighted, many.average_precision(), atol=1e-12)
    assert np.array_equal(np.isnan(weighted), np.isnan(many.average_precision()))


@given(founds, truths)
def test_precision_and_recall_give_back_the_average(found: list, truth: list) -> None:
    matches = Matches.of(spans(found), spans(truth), THRESHOLDS, VIDEOS, CLASSES)
    curves = matches.precision_recall()
    assert curves.shape == (3, 101)
    assert (np.diff(curves, axis=1) <= 1e-12).all()
    # AP is the area; at 101 recalls it is met to one step on each side.
    area, ap = curves.mean(1), np.nanmean(matches.average_precision(), axis=1)
    assert (np.abs(area - ap) <= 0.021).all()


@given(founds, truths)
def test_each_kind_is_what_it_says(found: list, truth: list) -> None:
    predictions, gt = spans(found), spans(truth)
    hits = true_positives(predictions, gt, (0.5,))[0]
    same, other = (best_overlap(predictions, gt, same=flag) for flag in (True, False))
    kinds = error_kinds(hits, same, other, 0.5)

    def iou(p: tuple, g: tuple) -> float:
        shared = min(p[3], g[3]) - max(p[2], g[2])
        return shared / (max(p[3], g[3]) - min(p[2], g[2])) if p[0] == g[0] and shared > 0 else 0.0

    for p, hit, kind in zip(found, hits, kinds, strict=True):
        own = max([iou(p, g) for g in truth if g[1] == p[1]], default=0.0)
        rest = max([iou(p, g) for g in truth if g[1] != p[1]], default=0.0)
        if hit:
            expected = "true"
        elif own >= 0.5:
            expected = "double"
        elif rest >= 0.5:
            expected = "wrong label"
        elif own >= 0.1:
            expected = "bad extent"
        else:
            expected = "wrong label and extent" if rest >= 0.1 else "background"
        assert KINDS[kind] == expected
    assert (np.bincount(kinds, minlength=6)[0]) == hits.sum() <= len(truth)


def test_removing_errors_of_a_kind_never_lowers_average_precision_at_its_threshold() -> None:
    truth = spans([(0, 0, 0, 10), (0, 1, 20, 30)])
    found = spans(
        [(0, 0, 50, 60, 0.9), (0, 0, 0, 10, 0.8), (0, 0, 0, 9, 0.7), (0, 0, 20, 30, 0.6), (0, 1, 20, 24, 0.5)]
    )
    matches = Matches.of(found, truth, (0.5,), 1, 2)
    same, other = (best_overlap(matches.predictions, truth, same=flag) for flag in (True, False))
    kinds = error_kinds(matches.hits[0], same, other, 0.5)
    assert [KINDS[k] for k in kinds] == ["background", "true", "double", "wrong label", "bad extent"]
    whole = matches.average_precision()
    for kind in range(1, 6):
        assert (matches.average_precision(keep=kinds != kind) >= whole).all()
    assert whole[0].tolist() == [0.5, 0.0]
    assert matches.average_precision(keep=kinds != 5)[0].tolist() == [1.0, 0.0]
    assert matches.top(1).tolist() == [True, False, False, False, True]
    assert matches.top(2).tolist() == [True, True, False, False, True]


def test_overlap_and_length_groups() -> None:
    a = Spans(np.array([0, 0]), np.array([0, 0]), np.array([0.0, 5.0]), np.array([10.0, 6.0]))
    assert overlaps(a, a).tolist() == [[1.0, 0.1], [0.1, 1.0]]
    lengths = spans([(0, 0, 0, n) for n in (5, 1, 3, 2, 4, 1)])
    groups = length_groups(lengths)
    assert groups.max() == 4
    assert Counter(groups.tolist())[0] == 2, "equal lengths share a group"
    order = np.argsort([5, 1, 3, 2, 4, 1], kind="stable")
    assert (np.diff(groups[order]) >= 0).all()


@pytest.mark.parametrize("empty", ["found", "truth"])
def test_nothing_found_or_annotated_is_no_error(empty: str) -> None:
    found = spans([] if empty == "found" else [(0, 0, 0, 1, 0.5)])
    truth = spans([] if empty == "truth" else [(0, 0, 0, 1)])
    if empty == "found":
        found = Spans(found.video, found.label, found.start, found.end, np.zeros(0))
    matches = Matches.of(found, truth, THRESHOLDS, 1, 1)
    assert np.isnan(matches.average_precision()).all() == (empty == "truth")
    assert matches.precision_recall().sum() == 0
    assert length_groups(truth).shape == (len(truth),)
