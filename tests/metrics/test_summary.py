"""The measures that are offered in ``whyact.metrics``, against references written from their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyact.metrics import charades_map, mean_recall, temporal_map

NAMES = ("drink", "pick", "place")
Row = tuple[str, str, float, float, float]
SEGMENT = st.tuples(
    st.sampled_from(("a.mp4", "b.mp4")), st.sampled_from(NAMES), st.integers(0, 8), st.integers(1, 5), st.integers(0, 9)
).map(lambda r: (r[0], r[1], float(r[2]), float(r[2] + r[3]), float(r[4])))


def test_recall_of_names_by_hand() -> None:
    assert mean_recall(["drink", "drink", "pick"], ["drink", "pick", "pick"]) == 0.75
    assert mean_recall([3, 3, 7], np.array([3, 9, 9])) == 0.25  # 9 is no class of the target: a miss
    assert math.isnan(mean_recall([], []))
    with pytest.raises(ValueError, match=r"predicted: found shape \(1,\)"):
        mean_recall(["a", "b"], ["a"])


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), min_size=1))
def test_recall_is_the_mean_of_the_classes_that_occur(pairs: list[tuple[str, str]]) -> None:
    target, predicted = zip(*pairs, strict=True)
    recalls = [np.mean([p == name for t, p in pairs if t == name]) for name in sorted(set(target))]
    assert mean_recall(target, predicted) == pytest.approx(np.mean(recalls))


@given(st.data())
def test_charades_map_of_named_videos_is_that_of_the_arrays(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 6))
    target = np.array(data.draw(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=n, max_size=n)))
    scores = np.array([[data.draw(st.integers(0, 5)) / 5 for _ in range(3)] for _ in range(n)])
    names = [f"v{i}" for i in range(n)]
    mixed = data.draw(st.permutations(range(n)))
    named = charades_map({names[i]: scores[i] for i in mixed}, dict(zip(names, target, strict=True)))
    assert named == pytest.approx(charades_map(scores, target), nan_ok=True)


def test_charades_map_ranks_a_missing_video_last_and_refuses_an_unknown_one() -> None:
    target = {"a": [1, 0], "b": [0, 1], "c": [1, 0]}
    scores = {"a": [0.9, 0.0], "b": [0.5, 1.0], "c": [0.1, 0.0]}
    assert charades_map(scores, target) == pytest.approx((5 / 6 + 1) / 2)
    del scores["a"]  # now class 0 has b, c, a
    assert charades_map(scores, target) == pytest.approx(((1 / 2 + 2 / 3) / 2 + 1) / 2)
    with pytest.raises(ValueError, match="scores: found 'd', expected a video of target"):
        charades_map({"d": [1.0, 0.0]}, target)
    with pytest.raises(ValueError, match="scores: found 'list', expected a dict as target is"):
        charades_map([[1.0]], target)


def tiou(a: Row | tuple, b: Row | tuple) -> float:
    both = min(a[3], b[3]) - max(a[2], b[2])
    return both / (a[3] - a[2] + b[3] - b[2] - both) if both > 0 else 0.0


def reference(predictions: list[Row], truth: list[Row], threshold: float) -> float:
    """Match greedily by falling score, the later of equals first; AP is the area under the precision envelope."""
    areas = []
    for label in sorted({row[1] for row in truth}):
        left = [row for row in truth if row[1] == label]
        count, hits = len(left), []
        ranked = sorted(enumerate(p for p in predictions if p[1] == label), key=lambda item: (-item[1][4], -item[0]))
        for _, row in ranked:
            choices = [i for i, gt in enumerate(left) if gt[0] == row[0] and tiou(row, gt) >= threshold]
            best = max(choices, key=lambda i: (tiou(row, left[i]), i), default=None)
            hits.append(best is not None)
            if best is not None:
                del left[best]
        precision = [sum(hits[: i + 1]) / (i + 1) for i in range(len(hits))]
        areas.append(sum(max(precision[i:]) for i, hit in enumerate(hits) if hit) / count)
    return float(np.mean(areas)) if areas else 0.0


@given(st.lists(SEGMENT, max_size=8), st.lists(SEGMENT, max_size=6), st.sampled_from([0.1, 0.5, 0.75]))
def test_temporal_map_is_its_definition(predictions: list[Row], truth: list[Row], threshold: float) -> None:
    found = temporal_map(predictions, [row[:4] for row in truth], thresholds=[threshold])
    assert found == pytest.approx(reference(predictions, truth, threshold))
    assert 0 <= found <= 1


@given(st.lists(SEGMENT, min_size=1, max_size=6))
def test_temporal_map_of_the_truth_itself_is_1_whatever_the_names(truth: list[Row]) -> None:
    once = list({row[:4]: row for row in truth}.values())
    plain = [row[:4] for row in once]
    assert temporal_map(once, plain) == 1.0
    numbers = {name: i for i, name in enumerate(("a.mp4", "b.mp4", *NAMES))}
    renamed = [(numbers[v], numbers[label], *rest) for v, label, *rest in once]
    assert temporal_map(renamed, [row[:4] for row in renamed]) == 1.0


def test_temporal_map_names_the_row_at_fault() -> None:
    with pytest.raises(ValueError, match=r"truth\[0\]: found 3 values, expected \(video, label, start, end\)"):
        temporal_map([], [("a", "pick", 1.0)])
    with pytest.raises(ValueError, match=r"predictions\[1\]: found 3.0 to 2.0"):
        temporal_map([("a", "pick", 1.0, 2.0, 0.5), ("a", "pick", 3.0, 2.0, 0.5)], [("a", "pick", 1.0, 2.0)])
    assert temporal_map([], []) == 0.0


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("column", [2, 3, 4])
def test_temporal_map_refuses_what_cannot_be_ranked_or_overlapped(wrong: float, column: int) -> None:
    row: list[float | str] = ["a", "pick", 1.0, 2.0, 0.5]
    row[column] = wrong
    with pytest.raises(ValueError, match=r"predictions\[1\]: .*finite numbers for start, end and score"):
        temporal_map([("a", "pick", 1.0, 2.0, 0.5), row], [("a", "pick", 1.0, 2.0)])
    if column < 4:
        with pytest.raises(ValueError, match=r"truth\[0\]: .*finite numbers for start and end"):
            temporal_map([], [row[:4]])
