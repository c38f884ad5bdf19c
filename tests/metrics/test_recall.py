"""mAR: per-class recall, its three means, and classes that a fold lacks."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyact.metrics.recall import class_recall, macro_recall, mean_recall

CLASSES = 5
clips = st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(-1, CLASSES)), min_size=1, max_size=40)


def by_definition(pairs, exclude=()):
    shares = []
    for c in range(CLASSES):
        of_class = [answer for truth, answer in pairs if truth == c]
        if of_class and c not in exclude:
            shares.append(sum(answer == c for answer in of_class) / len(of_class))
    return sum(shares) / len(shares) if shares else math.nan


def test_hand_computed_fold():
    # Class 0 (null): 2 of 4; class 1: 1 of 1; class 2: 0 of 2; class 3 has no clip.
    target = [0, 0, 0, 0, 1, 2, 2]
    predicted = [0, 0, 1, 3, 1, 0, 1]
    with np.errstate(all="raise"):  # an absent class is no division by zero
        result = mean_recall(target, predicted, 4, null=0)
    assert result.per_class[:3].tolist() == [0.5, 1.0, 0.0]
    assert math.isnan(result.per_class[3])
    assert result.absent == (3,)
    assert result.with_null == pytest.approx(0.5)
    assert result.without_null == pytest.approx(0.5)
    assert result.weighted == pytest.approx(3 / 7)


def test_null_answers_count_against_the_other_classes():
    """Excluding null drops its recall from the mean, not the clips that were answered null."""
    assert macro_recall([0, 1, 1], [0, 0, 1], 2, exclude=(0,)) == pytest.approx(0.5)
    assert macro_recall([0, 1, 1], [0, 0, 1], 2) == pytest.approx(0.75)


def test_macro_mean_weighs_a_rare_class_like_a_common_one():
    target = [0] * 99 + [1]
    result = mean_recall(target, [0] * 100, 2)
    assert result.with_null == pytest.approx(0.5)
    assert result.weighted == pytest.approx(0.99)
    assert result.without_null == result.with_null  # no null class named


@given(clips, st.sets(st.integers(0, CLASSES - 1)))
def test_agrees_with_the_definition(pairs, exclude):
    target, predicted = zip(*pairs, strict=True)
    ours = macro_recall(target, predicted, CLASSES, exclude)
    np.testing.assert_allclose(ours, by_definition(pairs, exclude), equal_nan=True)


@given(clips, st.randoms())
def test_order_of_clips_and_names_of_classes_do_not_matter(pairs, random):
    target, predicted = np.array(pairs).T
    before = mean_recall(target, predicted, CLASSES)
    shuffled = list(pairs)
    random.shuffle(shuffled)
    names = np.array(random.sample(range(CLASSES), CLASSES))
    truth, answer = np.array(shuffled).T
    renamed = np.where((answer >= 0) & (answer < CLASSES), names[np.clip(answer, 0, CLASSES - 1)], -1)
    after = mean_recall(names[truth], renamed, CLASSES)
    assert after.with_null == pytest.approx(before.with_null)
    assert after.weighted == pytest.approx(before.weighted)
    np.testing.assert_allclose(after.per_class[names], before.per_class, equal_nan=True)


@given(clips)
def test_bounds_and_perfection(pairs):
    target, predicted = np.array(pairs).T
    result = mean_recall(target, predicted, CLASSES, null=0)
    assert 0 <= result.with_null <= 1
    perfect = mean_recall(target, target, CLASSES)
    assert (perfect.with_null, perfect.weighted) == (1.0, 1.0)
    wrong = mean_recall(target, (target + 1) % CLASSES, CLASSES)
    assert (wrong.with_null, wrong.weighted) == (0.0, 0.0)


@given(clips, st.integers(0, 39))
def test_correcting_one_clip_never_lowers_recall(pairs, which):
    target, predicted = np.array(pairs).T
    better = predicted.copy()
    better[which % len(pairs)] = target[which % len(pairs)]
    assert macro_recall(target, better, CLASSES) >= macro_recall(target, predicted, CLASSES) - 1e-12


def test_nothing_left_to_average_is_nan():
    assert math.isnan(macro_recall([], [], 3))
    assert math.isnan(macro_recall([0, 0], [0, 0], 3, exclude=(0,)))
    assert math.isnan(mean_recall([], [], 3).weighted)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"must both be \(N,\)"):
        class_recall([0, 1], [0], 2)
    with pytest.raises(ValueError, match=r"expected 0\.\.1"):
        class_recall([0, 2], [0, 0], 2)
    with pytest.raises(ValueError, match=r"expected 0\.\.1"):
        class_recall([-1], [0], 2)
