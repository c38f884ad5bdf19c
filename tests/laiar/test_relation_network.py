"""Relations from a network: what it learns, which labels it may give, and that training clips are out of fold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from hand_clips import VOCABULARY, clip
from laiar_samples import SMALL, close
from whyact.data.relations.packed import PackedClips
from whyact.data.types import RelationClip, RelationGroup
from whyact.errors import UserError
from whyact.laiar import relation_network as module
from whyact.laiar.config import Config, DataConfig, OptimConfig
from whyact.laiar.relation_network import (
    RelationNetwork,
    determined,
    exclusive_groups,
    out_of_fold,
    possible_relations,
    train_network,
    with_predictions,
)
from whyact.laiar.task import train_run

CONFIG = Config(data=DataConfig(frames=5, slots=4), model=SMALL, optim=OptimConfig(lr=5e-3, batch=4, epochs=2))
PAIRS = replace(
    VOCABULARY,
    allowed={("hand", "cup"): ("free", "held"), ("head", "cup"): ("apart", "near"), ("box", "box"): ("shut", "open")},
)
GROUPED = replace(
    VOCABULARY,
    groups=(RelationGroup("state", ("shut", "open"), exclusive=True), RelationGroup("rest", VOCABULARY.relations[:4])),
)


def near_or_far(count: int, seed: int = 0) -> list[RelationClip]:
    """Return clips whose cup is held exactly where it touches the hand."""
    random = np.random.default_rng(seed)
    clips = []
    for i in range(count):
        held = random.random(6) < 0.5
        one = clip("".join("h" if h else "f" for h in held), action="pick", id=f"c{i}", group=f"P{i % 6}")
        one.subject_boxes[:, 0] = [100, 100, 160, 160]
        one.object_boxes[:, 0] = np.where(held[:, None], [120, 120, 150, 150], [400, 300, 430, 330])
        clips.append(one)
    return clips


def test_it_learns_what_boxes_tell() -> None:
    network = train_network(near_or_far(40), PAIRS, CONFIG, seed=0, epochs=30)
    test = near_or_far(10, seed=1)
    found = with_predictions(network, test, PAIRS, CONFIG)
    right = [np.array_equal(a.relations[:, 0], b.relations[:, 0]) for a, b in zip(found, test, strict=True)]  # type: ignore[index]
    assert np.mean(right) >= 0.9
    assert all((a.valid == b.valid).all() and a.target == b.target for a, b in zip(found, test, strict=True))


def test_the_same_seed_gives_the_same_weights() -> None:
    clips = near_or_far(8)
    a, b = (train_network(clips, PAIRS, CONFIG, seed=3, epochs=1).state_dict() for _ in range(2))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_pair_gets_only_what_it_can_carry_and_one_of_each_group() -> None:
    possible = possible_relations(PAIRS)
    assert possible[0, 2].tolist() == [True, True, False, False, False, False]
    assert possible[1, 0].all()  # nothing is said of this pair
    logits = torch.tensor([[5.0, 1, -3, 2, 0.5, 0.4], [-1e4, -1e4, -1e4, -1e4, 0, 1]])
    assert determined(logits, [0] * 6).tolist() == [[True] + [False] * 5, [False] * 5 + [True]]
    assert determined(logits, [1, 1, 1, 1, 0, 0]).tolist() == [
        [True, False, False, False, True, False],
        [False, False, False, False, False, True],
    ]


def test_what_is_exclusive() -> None:
    single, double = near_or_far(2), near_or_far(2)
    assert double[0].relations is not None
    double[0].relations[0, 0, 3] = True
    assert exclusive_groups(single, PAIRS) == [list(range(6))]
    assert exclusive_groups(double, PAIRS) == []
    assert exclusive_groups(double, GROUPED) == [[4, 5]]


def test_the_loss_by_definition() -> None:
    clips = [clip("fhf", "sos"), clip("ff.", "ooo")]
    torch.manual_seed(0)
    network = RelationNetwork(SMALL, GROUPED, exclusive_groups(clips, GROUPED)).eval()
    packed = PackedClips(clips, slots=2)
    batch = packed.batch(np.arange(2), packed.even_positions(np.arange(2), 3))
    assert batch.relations is not None
    logits, truth = network(batch)[batch.valid], batch.relations[batch.valid]
    states = truth[:, 4:].sum(1) > 0
    softmax = -(logits[states, 4:].log_softmax(1) * truth[states, 4:]).sum(1).mean()
    p = logits[:, :4].sigmoid()
    bernoulli = -(truth[:, :4] * p.log() + (1 - truth[:, :4]) * (1 - p).log()).mean()
    close(network.loss(batch), softmax + bernoulli)


def test_no_network_predicts_what_it_was_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = near_or_far(12)
    trained: dict[int, set[str]] = {}
    predicted: list[tuple[int, str]] = []
    real_train, real_predict = module.train_network, module.with_predictions

    def train(rest: list[RelationClip], *other: Any, **options: Any) -> RelationNetwork:
        network = real_train(rest, *other, **options)
        trained[id(network)] = {c.group for c in rest}
        keep.append(network)
        return network

    def predict(network: RelationNetwork, held: list[RelationClip], *other: Any) -> list[RelationClip]:
        predicted.extend((id(network), c.group) for c in held)
        return real_predict(network, held, *other)

    keep: list[RelationNetwork] = []
    monkeypatch.setattr(module, "train_network", train)
    monkeypatch.setattr(module, "with_predictions", predict)
    out = out_of_fold(clips, PAIRS, CONFIG, seed=0, epochs=1)
    assert [c.id for c in out] == [c.id for c in clips]
    assert len(predicted) == len(clips)
    assert len(trained) == module.FOLDS
    assert all(group not in trained[network] for network, group in predicted)  # people stay in one fold


def test_few_groups_are_dealt_out_clip_by_clip() -> None:
    clips = [replace(c, group="one") for c in near_or_far(4)]
    assert [c.id for c in out_of_fold(clips, PAIRS, CONFIG, seed=0, epochs=1)] == [c.id for c in clips]
    with pytest.raises(UserError, match="at least 2"):
        out_of_fold(clips[:1], PAIRS, CONFIG, seed=0)
    with pytest.raises(UserError, match="no pair with relations"):
        train_network([clip("...", action="pick")], PAIRS, CONFIG, seed=0)


def test_training_by_predictions_reads_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEPS", 5)
    clips = near_or_far(8)
    config = replace(CONFIG, data=replace(CONFIG.data, relations="prediction"))
    run = train_run(clips, PAIRS, config, seed=0)
    direct = train_run(out_of_fold(clips, PAIRS, config, seed=0), PAIRS, CONFIG, seed=0)
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, direct.model.state_dict()[name]), name
