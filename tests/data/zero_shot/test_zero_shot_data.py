"""Zero-shot data: splits over classes, videos held out by group, the generated worlds, the gym splits."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from whyact.data.datasets import load_zero_shot
from whyact.data.types import FeatureSequence, ZeroShotOptions
from whyact.data.zero_shot import gym as gym_zero_shot
from whyact.data.zero_shot.gym import splits as gym_splits
from whyact.data.zero_shot.synthetic import SyntheticSpec, generate
from whyact.data.zero_shot.types import ClassSplit, ZeroShotData, at_rate, partition, seeded_split
from whyact.errors import UserError

GYM = Path(os.environ.get("WHYACT_DATA", Path(__file__).parents[3] / "shared" / "data")) / "gym-i3d"


def make(videos: list[tuple[int, str]], classes: tuple[str, ...] = ("a", "b", "c")) -> ZeroShotData:
    return ZeroShotData(
        name="tiny",
        classes=classes,
        text=np.eye(len(classes), 4, dtype=np.float32),
        videos=tuple(
            FeatureSequence(f"v{i}", np.ones((2, 3), np.float32), np.arange(2.0), 1.0, target=(c,), group=group)
            for i, (c, group) in enumerate(videos)
        ),
        semantics="none",
    )


def test_a_split_that_overlaps_repeats_or_is_empty_is_refused() -> None:
    with pytest.raises(UserError, match="seen and unseen"):
        ClassSplit("s", ("a", "b"), ("b",))
    with pytest.raises(UserError, match="once"):
        ClassSplit("s", ("a", "a"), ("b",))
    with pytest.raises(UserError, match="at least one class"):
        ClassSplit("s", ("a",), ())


def test_a_changed_split_is_an_error() -> None:
    split = ClassSplit("s", ("a", "b"), ("c",))
    assert split.verified(ClassSplit("other", ("b", "a"), ("c",)).sha256) is split
    with pytest.raises(UserError, match="the split was changed"):
        split.verified(ClassSplit("s", ("a", "c"), ("b",)).sha256)


def test_groups_are_held_out_whole_and_no_class_is_left_without_training() -> None:
    data = make([(0, f"g{i // 3}") for i in range(12)] + [(1, "only")] * 4 + [(2, "")] * 5)
    part = partition(data, ClassSplit("s", ("a", "b"), ("c",)), 0.25, seed=3)
    groups = [{data.videos[i].group for i in side if data.targets[i] == 0} for side in (part.train, part.seen_test)]
    assert not groups[0] & groups[1]
    assert len(groups[1]) == 1
    assert set(data.targets[part.train]) == {0, 1}
    assert sorted([*part.train, *part.seen_test, *part.unseen_test]) == list(range(21))
    assert set(data.targets[part.unseen_test]) == {2}


def test_holding_out_does_not_depend_on_the_order_of_files() -> None:
    data = make([(0, "")] * 10 + [(1, "")] * 10 + [(2, "")])
    split = ClassSplit("s", ("a", "b"), ("c",))
    backwards = replace(data, videos=data.videos[::-1])
    ids = [{d.videos[i].id for i in partition(d, split, 0.3, seed=1).seen_test} for d in (data, backwards)]
    assert ids[0] == ids[1]
    assert len(ids[0]) == 6


def test_a_seen_class_without_videos_and_unknown_classes_are_named() -> None:
    with pytest.raises(UserError, match="'b'"):
        partition(make([(0, ""), (2, "")]), ClassSplit("s", ("a", "b"), ("c",)), 0.2, seed=0)
    with pytest.raises(UserError, match="'d'"):
        partition(make([(0, "")]), ClassSplit("s", ("a",), ("d",)), 0.2, seed=0)


def test_broken_data_is_named() -> None:
    with pytest.raises(UserError, match="once"):
        make([(0, "")], classes=("a", "a", "c"))
    with pytest.raises(UserError, match="target"):
        make([(5, "")])
    with pytest.raises(UserError, match="at least one video"):
        make([])
    good = make([(0, "")])
    with pytest.raises(UserError, match="finite"):
        replace(good, text=np.full((3, 4), np.nan, np.float32))
    for wrong in (np.nan, np.inf):
        broken = replace(good.videos[0], id="broken", features=np.array([[1, 2, 3], [4, wrong, 6]], np.float32))
        with pytest.raises(UserError, match=r"video broken: .*finite features"):
            replace(good, videos=(good.videos[0], broken))
    wide = replace(good.videos[0], id="wide", features=np.ones((2, 9), np.float32))
    with pytest.raises(UserError, match="width 9"):
        replace(good, videos=(good.videos[0], wide))


@pytest.mark.parametrize(
    ("length", "expected"), [(1, [0] * 4), (2, [0, 0, 1, 1]), (4, [0, 1, 2, 3]), (10, [1, 3, 6, 8])]
)
def test_sampling_is_even_and_repeats_short_videos(length: int, expected: list[int]) -> None:
    rows, source = at_rate(np.arange(length, dtype=np.float32)[:, None], 4)
    assert source.tolist() == expected
    assert rows[:, 0].tolist() == expected


def test_generated_worlds_repeat_and_pairs_differ_in_direction_alone() -> None:
    spec = SyntheticSpec(seen=6, unseen=4, auxiliary=2)
    first, split = generate("temporal", 5, spec)
    second, _ = generate("temporal", 5, spec)
    np.testing.assert_array_equal(first.videos[7].features, second.videos[7].features)
    assert split.unseen == first.classes[6:]
    means, ends = [], []
    for c in (6, 7):
        mine = np.stack([video.features for video in first.videos if video.target == (c,)])
        means.append(mine.mean((0, 1)))
        ends.append((mine[:, -1] - mine[:, 0]).mean(0))
    apart = np.linalg.norm(means[0] - means[1]) / np.linalg.norm(ends[0])
    assert apart < 0.3, "the mean over time must not tell a pair apart"
    assert ends[0] @ ends[1] < -0.9 * np.linalg.norm(ends[0]) * np.linalg.norm(ends[1])


def test_seeded_splits_do_not_depend_on_the_order_given() -> None:
    names = [f"class {i}" for i in range(9)]
    a, b = seeded_split("s", names, 5, 2), seeded_split("s", names[::-1], 5, 2)
    assert (a.sha256, len(a.seen)) == (b.sha256, 5)
    assert a.sha256 != seeded_split("s", names, 5, 3).sha256


def test_unknown_sets_and_folds_are_named() -> None:
    with pytest.raises(UserError, match="synthetic"):
        load_zero_shot("kinetics-9000", None, 1)
    with pytest.raises(UserError, match="root"):
        load_zero_shot("gym", None, 1)
    with pytest.raises(UserError, match="fold"):
        load_zero_shot("synthetic", None, 0)
    with pytest.raises(UserError, match="patch_side"):
        load_zero_shot("synthetic", None, 1, ZeroShotOptions(patches=7))
    with pytest.raises(UserError, match="no word vectors"):
        load_zero_shot("synthetic", None, 1, ZeroShotOptions(names="words"))


@pytest.mark.skipif(not (GYM / "gym21_i3d.npz").is_file(), reason="set WHYACT_DATA to the folder of gym-i3d/")
def test_the_ten_gym_splits_are_those_of_the_results() -> None:
    from whyact.data.untrimmed.gym import load

    classes = tuple(sorted(set(load(GYM).labels)))
    splits = gym_splits(classes)
    assert {(len(split.seen), len(split.unseen)) for split in splits} == {(11, 10)}
    assert len({split.sha256 for split in splits}) == 10
    with pytest.raises(UserError, match="changed"):
        gym_splits((*classes[:-1], "another exercise"))


def test_gym_clips_with_both_halves_of_equal_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((5, 2048)).astype(np.float32) * np.repeat([1.0, 30.0], 1024).astype(np.float32)
    rows[4, 1024:] = 0  # flow that shows nothing
    np.savez(tmp_path / "gym21_i3d.npz", features=rows, lengths=[2, 3], clip=["x", "y"], label=["squat", "plank"])
    asked: list[str] = []

    def encode(sentences: list[str]) -> np.ndarray:
        asked.extend(sentences)
        return np.eye(len(sentences), 8, dtype=np.float32)

    monkeypatch.setattr("whyact.features.text.encode_sentences", encode)
    found = gym_zero_shot.read(tmp_path, ("lunge",))
    assert found.classes == ("plank", "squat")
    assert [sentence.count(name) for sentence, name in zip(asked, ("plank", "squat", "lunge"), strict=True)] == [1] * 3
    assert (len(found.text), len(found.auxiliary_text)) == (2, 1)
    assert [(video.id, found.classes[video.target[0]], len(video.features)) for video in found.videos] == [
        ("x", "squat", 2),
        ("y", "plank", 3),
    ]
    for video, raw in zip(found.videos, (rows[:2], rows[2:]), strict=True):
        for half in (slice(0, 1024), slice(1024, 2048)):
            length = np.linalg.norm(raw[:, half], axis=1, keepdims=True)
            expected = np.divide(raw[:, half], length, out=np.zeros_like(raw[:, half]), where=length > 0)
            np.testing.assert_allclose(video.features[:, half], expected, atol=1e-6)
