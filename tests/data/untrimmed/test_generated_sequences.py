"""The generated world and the composed gym sequences keep their promises."""

import numpy as np
import pytest

from whyact.data.untrimmed import gym
from whyact.data.untrimmed.synthetic import SyntheticSpec, generate
from whyact.errors import UserError

TEXT = np.eye(8, 16)
SMALL = SyntheticSpec(train_videos=8, test_videos=4)


def test_a_seed_fixes_everything_and_another_changes_it():
    a, b, c = (generate(TEXT, seed, SMALL)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(a[3].features, b[3].features)
    np.testing.assert_array_equal(a[3].second, b[3].second)
    assert a[3].segments == b[3].segments
    assert a[3].features.shape != c[3].features.shape or (a[3].features != c[3].features).any()


def test_segments_lie_on_the_grid_apart_and_give_the_labels():
    spec = SyntheticSpec(train_videos=24, test_videos=0)
    for i, video in enumerate(generate(TEXT, 0, spec)[0]):
        assert video.target == tuple(sorted({c for _, _, c in video.segments}))
        assert video.features.shape[1] == 2 * spec.width
        assert len(video.features) == len(video.second) in range(80, 201)
        previous = 0.0
        for start, end, _ in video.segments:
            assert previous < start < end <= len(video.features) * 0.64 + 1e-9
            assert start / 0.64 == pytest.approx(round(start / 0.64))
            assert 4 <= round((end - start) / 0.64) <= 15
            previous = end
        assert i % 8 in video.target or len(video.target) == 1


def test_image_language_rows_point_at_the_class_inside_segments():
    train, _ = generate(TEXT, 0, SMALL)
    video = train[0]
    inside = np.zeros(len(video.features), bool)
    for s, e, _ in video.segments:
        inside[round(s / 0.64) : round(e / 0.64)] = True
    along = video.second @ TEXT[video.segments[0][2]]
    assert along[inside].mean() > along[~inside].mean() + 0.3


def test_a_zero_class_vector_is_refused():
    with pytest.raises(UserError, match="non-zero"):
        generate(np.zeros((2, 4)), 0)


def clips():
    """Make clips whose first number is the clip and whose second is the snippet: traceable after splicing."""
    names = [*gym.BACKGROUND, "alpha", "beta", "gamma"]
    features, labels = [], []
    for label in names:
        for _ in range(4):
            i = len(features)
            features.append(np.array([[i, t] for t in range(1 + i % 5)], np.float32))
            labels.append(label)
    return gym.GymClips(tuple(features), tuple(labels), tuple(f"{i}" for i in range(len(labels))))


def test_no_clip_on_both_sides_and_every_snippet_is_labelled_right():
    data = clips()
    train, test = gym.compose(data, 0, gym.ComposeSpec(train_videos=6, test_videos=6))
    used = []
    for side in (train, test):
        used.append({int(i) for video in side for i in video.features[:, 0]})
        for video in side:
            truth = [-1] * len(video.features)
            for s, e, c in video.segments:
                truth[round(s / 0.64) : round(e / 0.64)] = [c] * round((e - s) / 0.64)
            labels = [data.labels[int(i)] for i in video.features[:, 0]]
            assert truth == [data.classes.index(x) if x in data.classes else -1 for x in labels]
            assert "composed" in video.id
    assert not used[0] & used[1]
    assert not set(data.classes) & set(gym.BACKGROUND)


def test_a_class_of_one_clip_cannot_be_split():
    data = clips()
    lone = gym.GymClips((*data.features, np.zeros((1, 2), np.float32)), (*data.labels, "lone"), (*data.names, "x"))
    with pytest.raises(UserError, match="lone"):
        gym.compose(lone, 0)


def test_bad_files_are_named(tmp_path):
    with pytest.raises(UserError, match="gym21_i3d"):
        gym.load(tmp_path)
    (tmp_path / gym.FILE).write_bytes(b"no zip")
    with pytest.raises(UserError, match="lengths"):
        gym.load(tmp_path)
    np.savez(tmp_path / gym.FILE, features=np.zeros((3, 2)), lengths=[1, 1], clip=["a", "b"], label=["a", "b"])
    with pytest.raises(UserError, match="add up"):
        gym.load(tmp_path)
