"""What the household's detector learns from: boxes where things are drawn, nothing hidden, covered things marked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from whyact.homeworld.detector_samples import CLASSES, draw_samples, truth
from whyact.homeworld.scenes import SCENES
from whyact.homeworld.write import draw_world

VIDEO = next(iter(draw_world(seed=5, subjects=2, videos_per_subject=1))).video


def test_the_same_seed_gives_the_same_samples_and_boxes_lie_in_the_frame() -> None:
    def draw(seed: int) -> list:  # type: ignore[type-arg]
        world = draw_samples(seed, scenes=SCENES[:2], per_video=2, subjects=2, videos_per_subject=1, size=(64, 48))
        return list(world)

    one, two, other = draw(1), draw(1), draw(2)
    assert len(one) == 4
    for a, b in zip(one, two, strict=True):
        for field in ("frame", "boxes", "classes", "clear"):
            assert_array_equal(getattr(a, field), getattr(b, field))
    assert (one[0].frame != other[0].frame).any()
    for sample in one:
        assert sample.frame.shape == (48, 64, 3)
        assert (sample.boxes[:, 2:] > sample.boxes[:, :2]).all()
        assert (sample.boxes >= 0).all()
        assert (sample.boxes <= [64, 48, 64, 48]).all()


def test_hidden_hands_and_things_in_a_shut_cupboard_are_not_listed() -> None:
    for t in range(0, len(VIDEO), 40):
        _, classes, _ = truth(VIDEO, t)
        state = VIDEO[t]
        seen = [thing.kind for thing in state.things if thing.visible]
        expected = ["head", *seen, *(["hand"] * (2 - sum(state.person.hidden)))]
        assert sorted(CLASSES[c] for c in classes) == sorted(expected)


def test_a_thing_in_the_hand_has_the_box_of_the_state_and_lies_over_the_hand() -> None:
    held = np.argwhere(VIDEO.holder >= 0)
    t, i = (int(n) for n in held[len(held) // 2])
    boxes, classes, clear = truth(VIDEO, t)
    center, size = VIDEO.center[t, i], VIDEO.size[t, i]
    expected = np.concatenate([center - size / 2, center + size / 2])
    there = np.flatnonzero(np.abs(boxes - expected).max(axis=1) < 0.01)
    assert [CLASSES[classes[k]] for k in there] == [VIDEO.kinds[i]]
    assert clear[there].all()
    hand = VIDEO.hands[t, VIDEO.holder[t, i]]
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    assert_allclose(np.abs(middles[classes == CLASSES.index("hand")] - hand).sum(axis=1).min(), 0, atol=0.01)


def test_what_a_nearer_thing_covers_is_not_clear() -> None:
    first = VIDEO.cut(0, 1)
    one = replace(first, center=first.center.copy(), size=first.size.copy())
    standing = [i for i, k in enumerate(one.kinds) if one.visible[0, i] and k != "cupboard" and one.holder[0, i] < 0]
    behind, before = standing[:2]
    one.center[0, before] = one.center[0, behind] + [0.0, 4.0]
    one.size[0, before] = one.size[0, behind] + 4.0
    boxes, classes, clear = truth(one, 0)
    number = CLASSES.index(one.kinds[behind])
    corner = one.center[0, behind] - one.size[0, behind] / 2
    mine = (classes == number) & (np.abs(boxes[:, :2] - corner).max(axis=1) < 0.01)
    assert mine.sum() == 1
    assert not clear[mine].any()
