"""Homeworld as a study sees it: kept as it was made, filmed the same twice, and nobody tested on whom it trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hand_clips import clip
from whyact.data.types import RelationClip, RoiFeatures
from whyact.homeworld.film_set import FOLDS, fold_of
from whyact.homeworld.scenes import SCENES
from whyact.homeworld.vocabulary import VOCABULARY
from whyact.homeworld.write import Recording, draw_world
from whyact.perception.centre import CentreNet
from whyact.perception.small import SmallDetector
from whyact.perception.types import Detections, Frames, detections
from whyact.reproduce import homeworld_clips as module
from whyact.reproduce.homeworld_clips import TEST_WORLDS, film_clips, prepare, read_clips, write_clips


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Make worlds of two people with one video each, and small pictures; return the seeds that are drawn."""
    seeds: list[int] = []

    def drawn(*, seed: int, **_: Any) -> Iterator[Recording]:
        seeds.append(seed)
        return draw_world(seed=seed, subjects=2, videos_per_subject=1)

    monkeypatch.setattr(module, "draw_world", drawn)
    monkeypatch.setattr(module, "SIZE", (64, 48))
    monkeypatch.setattr(module, "FRAMES", 4)
    return seeds


def same(a: RelationClip, b: RelationClip, *, but: tuple[str, ...] = ()) -> None:
    for field in fields(a):
        left, right = getattr(a, field.name), getattr(b, field.name)
        if field.name in but:
            continue
        if isinstance(left, np.ndarray):
            assert left.dtype == right.dtype, field.name
            np.testing.assert_array_equal(left, right, err_msg=field.name)
        else:
            assert left == right, field.name


def test_clips_are_read_as_they_were_written(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    bare = clip("ffhh", "aaan", action="pick", group="Kitchen")
    pixels = RoiFeatures(
        random.normal(size=(4, 2, 3)), random.normal(size=(4, 2, 3)), random.normal(size=(4, 2, 5, 2, 2))
    )
    made = [bare, replace(bare, id="b", pixels=pixels), clip("ff", action="null", group="Hall")]
    write_clips(tmp_path / "a.safetensors", made)
    found = read_clips(tmp_path / "a.safetensors")
    assert len(found) == 3
    for a, b in zip(made, found, strict=True):
        same(a, b, but=("pixels",))
    assert found[0].pixels is None
    assert found[1].pixels is not None
    for name in ("subject", "object", "union"):
        np.testing.assert_allclose(getattr(found[1].pixels, name), getattr(pixels, name), atol=2e-3)  # half precision
    write_clips(tmp_path / "b.safetensors", made)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize("part", ["train", "test"])
def test_the_same_call_films_the_same_clips(small: list[int], part: str) -> None:
    one, other = (list(islice(film_clips(3, 2, part), 2)) for _ in range(2))
    assert len(one) == 2
    for (a, frames, scene), (b, more, where) in zip(one, other, strict=True):
        same(a, b)
        assert scene == where
        assert frames.shape == (4, 48, 64, 3)
        assert frames.tobytes() == more.tobytes()
        assert a.image_size == (64, 48)
        assert (a.object_boxes <= np.array([64, 48, 64, 48])).all()
    (third, _, _), *_ = film_clips(4, 2, part)
    assert third.subject_boxes.tobytes() != one[0][0].subject_boxes.tobytes()


@pytest.mark.parametrize("fold", range(1, FOLDS + 1))
def test_scenes_and_people_of_the_test_part_are_not_trained_on(
    small: list[int], fold: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "render_frames", lambda *_: np.zeros((4, 48, 64, 3), np.uint8))
    own = {name for i, name in enumerate(SCENES) if fold_of(i) == fold}
    train = {scene for _, _, scene in film_clips(fold, fold, "train")}
    test = {scene for _, _, scene in film_clips(fold, fold, "test")}
    assert train
    assert not train & own
    assert test
    assert test <= own
    assert small == [fold, TEST_WORLDS + fold]  # people are drawn from their world's seed; no training one is so high


def made_detector() -> SmallDetector:
    torch.manual_seed(0)
    return SmallDetector(CentreNet(len(VOCABULARY.objects)), VOCABULARY.objects, long_side=64)


def test_a_world_is_filmed_once(small: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original: Callable[..., Any] = film_clips
    monkeypatch.setattr(module, "film_clips", lambda *given: islice(original(*given), 2))
    detector = made_detector()
    both = prepare(tmp_path, seed=1, fold=2, detector=detector, kinds=("oracle", "detected"))
    assert len(small) == 2  # once for both kinds of boxes
    assert prepare(tmp_path, seed=1, fold=2, detector=detector, kinds=("oracle",)) == {"oracle": both["oracle"]}
    assert len(small) == 2
    assert len({path for paths in both.values() for path in paths}) == 4
    for path in both["oracle"]:
        for found in read_clips(path):
            assert found.pixels is not None
            assert found.pixels.subject.shape == (*found.valid.shape, 64)
            assert found.group in SCENES
    other = prepare(tmp_path, seed=1, fold=2, detector=detector, kinds=("oracle",), rho=0.0)
    assert other["oracle"][0] != both["oracle"][0]


class Perfect:
    """A detector that knows the annotated boxes of one clip."""

    name, classes = "perfect", VOCABULARY.objects

    def __init__(self, clip: RelationClip) -> None:
        self.clip = clip

    def __call__(self, frames: Frames) -> list[Detections]:
        c, out = self.clip, []
        for t in range(len(frames)):
            there = {}
            for k, (a, b) in enumerate(c.slots):
                there[a] = c.subject_boxes[t, k], c.subject_class[k]
                there[b] = c.object_boxes[t, k], c.object_class[k]
            seen = [(box, kind) for box, kind in there.values() if box[2] > box[0]]
            out.append(detections([b for b, _ in seen], [0.9] * len(seen), [k for _, k in seen]))
        return out


def test_detected_boxes_take_over_the_labels(small: list[int]) -> None:
    for clip_, frames, _ in islice(film_clips(3, 2, "train"), 2):
        found = module._detected(clip_, frames, Perfect(clip_), labelled_only=True)
        assert len(found.slots) >= len(clip_.slots) * 0.6
        assert found.relations is not None
        assert found.valid.all()
        assert (found.relations.sum(-1) == 1).all()
        assert found.target == clip_.target
