"""Batches, labels and a training that learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from whyact.data.untrimmed.feature_files import sequence
from whyact.data.untrimmed.sets import Annotation
from whyact.errors import UserError
from whyact.pvlr.config import Config, TrainConfig, small
from whyact.pvlr.learner import PairedBatches, label_matrix, learn, sample_snippets
from whyact.pvlr.sets import build_model

TINY = small(Config())
TINY = replace(
    TINY,
    model=replace(TINY.model, rgb_width=3, flow_width=2, hidden=4, fused=8),
    train=replace(TINY.train, iterations=3, snippets=12),
)


def video(name, labels, length=20, second=64, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(length, 5)).astype(np.float32)
    return sequence(
        Annotation(name, "train", 1.0, labels), features, 0.64, rng.normal(size=(length, second)).astype(np.float32)
    )


def videos():
    return [video(f"v{i}", (i % 2,), 10 + i, seed=i) for i in range(6)]


@given(st.integers(1, 500), st.integers(1, 120), st.integers(0, 5))
def test_sampled_snippets_are_bounded_never_fall_and_count(length, wanted, seed):
    index = sample_snippets(length, wanted, np.random.default_rng(seed))
    assert len(index) == wanted
    assert index.min() >= 0
    assert index.max() < length
    assert (np.diff(index) >= 0).all()
    base = np.floor(np.arange(wanted) * length / wanted)
    assert (index >= base).all()


def test_a_video_of_the_wanted_length_is_taken_whole():
    assert sample_snippets(7, 7, np.random.default_rng(0)).tolist() == list(range(7))


def test_pairs_lead_and_share_a_class():
    data = videos()
    batches = PairedBatches(data, label_matrix(data, 3), TINY.train)
    features, labels, target = batches.batch(np.random.default_rng(0))
    assert features.shape == (10, 12, 5)
    assert target.shape == (10, 12, 64)
    for i in range(0, 6, 2):
        assert labels[i] @ labels[i + 1] > 0


def test_features_and_target_keep_step():
    data = [replace(v, second=v.features.repeat(2, axis=1)) for v in videos()]
    features, _, target = PairedBatches(data, label_matrix(data, 2), TINY.train).batch(np.random.default_rng(0))
    assert torch.equal(features.repeat_interleave(2, dim=2), target)


def test_classes_of_one_video_leave_no_pair_but_a_full_batch():
    data = [video("a", (0,)), video("b", (1,))]
    batches = PairedBatches(data, label_matrix(data, 2), TINY.train)
    assert batches.pairs == 0
    assert len(batches.batch(np.random.default_rng(0))[0]) == 10


def test_without_a_target_nothing_is_distilled():
    data = [replace(v, second=None) for v in videos()]
    assert PairedBatches(data, label_matrix(data, 2), TINY.train).batch(np.random.default_rng(0))[2] is None


def test_segments_never_reach_training():
    data = [replace(v, segments=((0.0, 1.0, 0),)) for v in videos()]
    seen = list(PairedBatches(data, label_matrix(data, 2), TINY.train).batch(np.random.default_rng(0)))
    bare = PairedBatches(videos(), label_matrix(videos(), 2), TINY.train).batch(np.random.default_rng(0))
    assert all(torch.equal(a, b) for a, b in zip(seen, bare, strict=True))


@pytest.mark.parametrize(("labels", "message"), [((), "at least one"), ((5,), "below 2")])
def test_bad_labels_are_named(labels, message):
    with pytest.raises(UserError, match=f"video odd.*{message}"):
        label_matrix([video("odd", labels)], 2)


def weights(seed):
    torch.manual_seed(0)
    model = build_model(TINY, ["long jump", "shot put"])
    before = {k: v.clone() for k, v in model.state_dict().items()}
    learn(model, videos(), 2, TINY, seed=seed, device="cpu")
    return before, model


def test_a_seed_gives_the_same_bits_and_everything_moves():
    (before, a), (_, b), (_, c) = weights(1), weights(1), weights(2)
    assert all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())
    assert not torch.equal(a.mean.weight, c.mean.weight)
    assert all(not torch.equal(v, before[k]) for k, v in a.state_dict().items())
    assert not a.training


def test_a_target_of_another_width_is_refused():
    model = build_model(TINY, ["long jump", "shot put"])
    with pytest.raises(UserError, match="7 channels"):
        learn(model, [video(f"v{i}", (0,), second=7) for i in range(3)], 2, TINY, seed=0, device="cpu")


def test_small_keeps_what_was_chosen():
    config = small(replace(Config(), train=TrainConfig(iterations=9)))
    assert (config.train.iterations, config.train.snippets, config.model.hidden) == (9, 100, 32)


def test_processes_share_a_batch_in_whole_pairs():
    batches = PairedBatches(videos(), label_matrix(videos(), 2), TrainConfig(snippets=4, pairs=2, singles=4))
    features, labels, target = batches.batch(np.random.default_rng(0))
    parts = [batches.part((features, labels, target), rank, 2) for rank in range(2)]
    for (own, own_labels, own_target), rows in zip(parts, ([0, 1, 4, 6], [2, 3, 5, 7]), strict=True):
        assert torch.equal(own, features[rows])
        assert torch.equal(own_labels, labels[rows])
        assert torch.equal(own_target, target[rows])
        assert (own_labels[0] * own_labels[1]).any()  # a pair shares a class
    with pytest.raises(UserError, match="multiples of 3"):
        batches.part((features, labels, target), 0, 3)


def test_a_training_begun_with_other_settings_is_refused_and_a_longer_one_goes_on(tmp_path):
    def trained(**train):
        config = replace(TINY, train=replace(TINY.train, **train))
        torch.manual_seed(0)
        model = build_model(config, ("a", "b"))
        return learn(model, videos(), 2, config, seed=0, device="cpu", resume_dir=tmp_path)

    trained(iterations=2)
    with pytest.raises(UserError, match="fingerprint"):
        trained(iterations=2, learning_rate=0.5)
    with pytest.raises(UserError, match="fingerprint"):
        trained(iterations=2, snippets=5)


@pytest.mark.parametrize("stream", ["features", "second"])
def test_a_training_is_not_gone_on_with_on_other_features(tmp_path, stream):
    def trained(found):
        torch.manual_seed(0)
        learn(build_model(TINY, ("a", "b")), found, 2, TINY, seed=0, device="cpu", resume_dir=tmp_path)

    trained(videos())
    trained(videos())
    *others, last = videos()
    with pytest.raises(UserError, match="fingerprint"):
        trained([*others, replace(last, **{stream: getattr(last, stream) * 2})])
