"""Boxes: overlap against counted pixels, average precision against its definition and by hand."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyact.metrics.boxes import area, box_average_precision, iou

SMALL = st.tuples(*[st.integers(0, 8)] * 4)


def pixels(box: tuple[int, ...]) -> set[tuple[int, int]]:
    return set(product(range(box[0], box[2]), range(box[1], box[3])))


@given(st.lists(SMALL, max_size=4), st.lists(SMALL, max_size=4))
def test_overlap_equals_counted_pixels(a: list[tuple[int, ...]], b: list[tuple[int, ...]]) -> None:
    expected = [[len(pixels(p) & pixels(q)) / max(len(pixels(p) | pixels(q)), 1) for q in b] for p in a]
    np.testing.assert_allclose(iou(a, b), np.array(expected).reshape(len(a), len(b)))
    np.testing.assert_allclose(area(a), [len(pixels(p)) for p in a])


BOX, FAR, NEAR = [0, 0, 10, 10], [50, 50, 60, 60], [0, 0, 10, 8]


def ap(found: list[tuple[list[int], float]], truth: list[list[int]], counts: list[bool] | None = None) -> float:
    boxes, scores = [b for b, _ in found], [s for _, s in found]
    counts = [True] * len(truth) if counts is None else counts
    result = box_average_precision([(boxes, scores, [0] * len(boxes))], [(truth, [0] * len(truth), counts)], classes=1)
    return float(result.per_class[0])


def test_by_hand() -> None:
    assert ap([(BOX, 0.9)], [BOX]) == 1.0
    assert ap([], [BOX]) == 0.0
    assert ap([(FAR, 0.9)], [BOX]) == 0.0
    assert ap([(FAR, 0.9), (BOX, 0.5)], [BOX]) == 0.5  # the right one comes second
    assert ap([(BOX, 0.9), (FAR, 0.5)], [BOX]) == 1.0  # a wrong one after all right ones costs nothing
    assert ap([(BOX, 0.9), (NEAR, 0.8)], [BOX, FAR]) == 0.5  # found twice, the other never
    assert ap([(NEAR, 0.9), (FAR, 0.8)], [BOX, FAR]) == 1.0
    assert math.isnan(ap([(BOX, 0.9)], []))


def test_what_does_not_count_is_neither_right_nor_wrong() -> None:
    assert ap([(FAR, 0.9), (BOX, 0.5)], [BOX, FAR], [True, False]) == 1.0
    assert math.isnan(ap([(FAR, 0.9)], [FAR], [False]))


def test_classes_and_frames_do_not_mix() -> None:
    result = box_average_precision(
        [([BOX, FAR], [0.9, 0.8], [0, 1]), ([BOX], [0.7], [0])],
        [([BOX, FAR], [0, 0], [True, True]), ([BOX], [1], [True])],
        classes=3,
    )
    assert result.per_class[0] == 0.5  # one of two found first, then one in a frame without any
    assert result.per_class[1] == 0.0
    assert math.isnan(result.per_class[2])
    assert result.mean == 0.25
    with pytest.raises(ValueError, match="frames"):
        box_average_precision([], [([], [], [])], classes=1)


@given(st.integers(0, 2**32 - 1))
def test_equals_the_definition_point_by_point(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = 3

    def boxes(n: int) -> np.ndarray:
        corner = rng.integers(0, 6, (n, 2))
        return np.concatenate([corner, corner + rng.integers(2, 6, (n, 2))], axis=1)

    found = [(boxes(n), rng.permutation(n) + rng.random(), np.zeros(n, int)) for n in rng.integers(0, 5, frames)]
    truth = [(boxes(n), np.zeros(n, int), np.ones(n, bool)) for n in rng.integers(1, 4, frames)]
    ranked = sorted(((s, f, i) for f in range(frames) for i, s in enumerate(found[f][1])), reverse=True)
    used: set[tuple[int, int]] = set()
    curve: list[tuple[float, float]] = []
    total = sum(len(t[0]) for t in truth)
    for place, (_, f, i) in enumerate(ranked, start=1):
        overlaps = [
            (float(iou([found[f][0][i]], [b])[0, 0]), -j) for j, b in enumerate(truth[f][0]) if (f, j) not in used
        ]
        best = max(overlaps, default=(0.0, 0))
        if best[0] >= 0.5:
            used.add((f, -best[1]))
        curve.append((len(used) / total, len(used) / place))
    expected, before = 0.0, 0.0
    for n, (recall, _) in enumerate(curve):
        expected += (recall - before) * max(p for _, p in curve[n:])
        before = recall
    result = box_average_precision(found, truth, classes=1).per_class[0]
    assert result == pytest.approx(expected)
