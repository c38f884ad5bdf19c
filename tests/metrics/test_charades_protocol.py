"""Charades' protocol: submissions by name, scene groups, summary of folds. The mAP itself has its own tests."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyact.metrics.average_precision import charades_map
from whyact.metrics.charades import multi_hot, scene_folds, scene_groups, submission_map


def test_the_fixture_with_every_trap():
    """Six videos, three classes; the values are worked out by hand."""
    labels = [[0], [], [0, 1], [1], [0], [1]]
    submitted = {
        "a": [0.9, 0.5, 0.1],
        "b": [1.0, 1.0, 1.0],  # empty list of actions: ranks last although it is scored highest
        "c": [0.7, 0.5, 0.2],
        "d": [0.8, 0.5, 0.3],
        # "e" is missing: minus infinity, behind b only by the order of the list
        "f": [0.1, 0.6, 0.4],
        "z": [9.0, 9.0, 9.0],  # no test video
    }
    result = submission_map(submitted, list("abcdef"), labels, 3)
    # class 0: a + | d - | c + | f - | b - | e +   -> (1 + 2/3 + 3/6) / 3
    # class 1: f + | a - | c + | d + | b - | e -   (a, c, d tie and keep their order) -> (1 + 2/3 + 3/4) / 3
    expected = [(1 + 2 / 3 + 1 / 2) / 3, (1 + 2 / 3 + 3 / 4) / 3]
    np.testing.assert_allclose(result.per_class[:2], expected)
    assert math.isnan(result.per_class[2])
    assert result.absent == (2,)
    assert result.mean == pytest.approx(np.mean(expected))
    assert result.weighted == pytest.approx(np.mean(expected))  # three positives each


def test_a_complete_submission_is_the_plain_call():
    rng = np.random.default_rng(0)
    scores, labels = rng.random((20, 4)), [sorted(set(rng.integers(0, 4, 2).tolist())) for _ in range(20)]
    names = [f"v{i}" for i in range(20)]
    ours = submission_map(dict(zip(names, scores, strict=True)), names, labels, 4)
    np.testing.assert_allclose(ours.per_class, charades_map(scores, multi_hot(labels, 4)).per_class)


def test_wrong_submissions_are_refused():
    with pytest.raises(ValueError, match="video a"):
        submission_map({"a": [0.1]}, ["a"], [[0]], 2)
    with pytest.raises(ValueError, match="NaN"):
        submission_map({"a": [math.nan, 0.1]}, ["a"], [[0]], 2)


def test_groups_by_hand():
    scenes = ["kitchen"] * 7 + ["bed"] * 5 + ["stairs"] * 4 + ["hall"] * 3 + ["attic"] * 3
    # kitchen -> 0 (7), bed -> 1 (5), stairs -> 2 (4), attic before hall by name -> 2 (7), hall -> 1 (8)
    assert scene_groups(scenes, 3) == {"kitchen": 0, "bed": 1, "stairs": 2, "attic": 2, "hall": 1}
    with pytest.raises(ValueError, match="5 scenes"):
        scene_groups(scenes, 6)


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=60), st.integers(1, 8))
def test_every_scene_has_one_group_and_no_group_is_larger_than_need_be(scenes, groups):
    if len(set(scenes)) < groups:
        return
    found = scene_groups(scenes, groups)
    assert set(found) == set(scenes)
    assert set(found.values()) == set(range(groups))
    size = [sum(found[s] == g for s in scenes) for g in range(groups)]
    largest = max(scenes.count(s) for s in set(scenes))
    assert max(size) - min(size) <= largest  # the greedy rule
    assert scene_groups(list(reversed(scenes)), groups) == found


def test_summary_of_folds():
    target = np.array([[1, 0, 0], [0, 1, 0]])
    good = charades_map([[1.0, 0, 0], [0, 1.0, 0]], target)
    bad = charades_map([[0, 1.0, 0], [1.0, 0, 0]], target)
    result = scene_folds([good, bad], [good, good])
    assert result.per_fold == (100.0, 50.0)
    assert result.classes == (2, 2)
    assert result.mean == 75.0
    assert result.variance == pytest.approx(625.0)
    assert result.variance_of_fractions == pytest.approx(0.0625)
    assert result.gap == 25.0
    assert math.isnan(scene_folds([good]).gap)
    with pytest.raises(ValueError, match="no fold"):
        scene_folds([])
