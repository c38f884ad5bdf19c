"""The forest beside the tokens: by definition, as sklearn answers, exact under removal, weighed on clips held out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hand_clips import VOCABULARY, clip
from laiar_samples import CLASSES, CONFIG, OBJECTS, close, random_batch, small_model
from whyact.data.relations.packed import RelationBatch
from whyact.data.types import RelationClip
from whyact.laiar.answers import answer_clips
from whyact.laiar.calibration import calibration_of
from whyact.laiar.evidence import scores_without
from whyact.laiar.forest import (
    RARE,
    SHARES,
    TERM_TREES,
    ForestSize,
    ForestTerm,
    box_features,
    grow,
    kinds_of,
    measures,
    pooled,
)
from whyact.laiar.runs import load_run, save_run
from whyact.laiar.task import train_run
from whyact.training.numerics import numerics

FOREST = replace(CONFIG, model=replace(CONFIG.model, box_forest=True))


def moving(action: int, seed: int, frames: int = 6) -> RelationClip:
    """Return a clip whose object moves to the right (0), to the left (1) or not at all (2); relations say nothing."""
    random = np.random.default_rng(seed)
    found = clip("ffffff"[:frames], action=VOCABULARY.actions[action], id=str(seed), group=str(seed % 4))
    step = (1.0, -1.0, 0.0)[action] * np.linspace(0, 0.25, frames) * found.image_size[0]
    boxes = found.object_boxes.copy()
    start = np.array([0.4, 0.4, 0.5, 0.5]) * np.tile(found.image_size, 2) + random.normal(0, 2, 4)
    boxes[:] = start
    boxes[:, 0, [0, 2]] += step[:, None]
    return replace(found, object_boxes=boxes)


def clips(count: int = 36, first: int = 0) -> list[RelationClip]:
    return [moving(i % 3, first + i) for i in range(count)]


def learnable(batch: RelationBatch) -> RelationBatch:
    """Return a batch of random clips with actions that their classes' order gives."""
    return replace(batch, target=torch.arange(len(batch)) % 3)


def test_pooled_features_follow_their_definition() -> None:
    random = np.random.default_rng(5)
    n, t, k, f, objects = 3, 4, 5, 2, 3
    values = random.normal(size=(n, t, k, f))
    there = random.random((n, t, k)) < 0.6
    classes = random.integers(objects, size=(n, k, 2))
    every = torch.arange(objects**2 + objects + 2)
    tensors = (torch.from_numpy(x) for x in (values, there, classes))
    features = pooled(*tensors, objects, every).numpy().reshape(n, -1, 4 * f)
    for i in range(n):
        kinds: dict[int, list[np.ndarray]] = {}
        for slot, (s, o) in enumerate(classes[i]):
            own = values[i, there[i, :, slot], slot]
            if len(own):
                stats = np.concatenate([own[0], own.mean(0), own[-1], own[-1] - own[0]])
                role = objects if s == o else s
                for kind in (s * objects + o, objects**2 + role, objects**2 + objects + 1):
                    kinds.setdefault(int(kind), []).append(stats)
        for kind in range(features.shape[1]):
            expected = np.max(kinds[kind], axis=0) if kind in kinds else np.zeros(4 * f)
            np.testing.assert_allclose(features[i, kind], expected)


def test_geometry_of_two_boxes_worked_out_by_hand() -> None:
    boxes = np.array([[[0.0, 0.0, 0.4, 0.2], [0.2, 0.1, 0.4, 0.5]], [[0.0, 0.0, 0.1, 0.1], [0.4, 0.5, 0.5, 0.6]]])
    overlapping, apart = measures(torch.from_numpy(boxes)).numpy()
    #           offset       distance        gap  shares        IoU
    expected = [-0.1, -0.2, np.hypot(0.1, 0.2), 0.0, 0.25, 0.25, 0.02 / 0.14, 0.2, 0.1, 0.3, 0.3, 0.2, 0.4]
    np.testing.assert_allclose(overlapping, expected, atol=1e-9)
    np.testing.assert_allclose(apart[3], 0.5)
    np.testing.assert_allclose(apart[4:7], 0.0)


def test_a_kind_that_nobody_asked_for_is_left_out() -> None:
    batch = random_batch(4)
    every = torch.arange(OBJECTS**2 + OBJECTS + 2)
    some = kinds_of(batch.classes, batch.valid, OBJECTS)
    values = torch.randn(*batch.valid.shape, 3, dtype=torch.float64)
    of_all = pooled(values, batch.valid, batch.classes, OBJECTS, every).unflatten(1, (len(every), -1))
    of_some = pooled(values, batch.valid, batch.classes, OBJECTS, some).unflatten(1, (len(some), -1))
    assert torch.equal(of_all[:, some], of_some)
    rest = torch.ones(len(every), dtype=torch.bool)
    rest[some] = False
    assert not of_all[:, rest].any(), "a kind of no valid token says nothing"


def test_tensors_answer_as_sklearn_does() -> None:
    batch = learnable(random_batch(40, seed=1))
    term = ForestTerm.grown(batch, OBJECTS, CLASSES, seed=3)
    assert term is not None
    kinds = kinds_of(batch.classes, batch.valid, OBJECTS)
    known = box_features(batch, OBJECTS, kinds).numpy()
    columns = np.flatnonzero((known != known[:1]).any(0))
    reference = grow(known[:, columns], batch.target.numpy(), 3, trees=TERM_TREES)
    fresh = random_batch(30, seed=2)
    shown = box_features(fresh, OBJECTS, kinds).numpy()[:, columns]
    expected = np.zeros((30, CLASSES))
    expected[:, reference.classes_] = reference.predict_proba(shown)
    there = fresh.valid.flatten(1).any(1).numpy()
    logs = np.log(np.maximum(expected, RARE))
    logs -= np.log(np.exp(logs).sum(1, keepdims=True))
    np.testing.assert_allclose(term(fresh).numpy()[there], logs[there], atol=1e-4)


def test_a_clip_without_a_token_is_answered_by_the_rest() -> None:
    batch = learnable(random_batch(40))
    term = ForestTerm.grown(batch, OBJECTS, CLASSES, seed=0)
    assert term is not None
    empty = replace(batch, valid=torch.zeros_like(batch.valid), seen=torch.zeros_like(batch.seen))
    logits = torch.randn(len(batch), CLASSES)
    close(term.joined(logits, empty).softmax(-1), logits.softmax(-1))


def test_clips_that_all_look_alike_or_show_one_action_grow_no_forest() -> None:
    batch = random_batch(6)
    alike = batch.map(lambda x: x[:1].expand_as(x))
    assert ForestTerm.grown(replace(alike, target=torch.arange(6) % 2), OBJECTS, CLASSES, seed=0) is None
    assert ForestTerm.grown(replace(batch, target=torch.zeros(6, dtype=torch.long)), OBJECTS, CLASSES, seed=0) is None


def test_a_removal_takes_tokens_from_the_forest_too() -> None:
    """What is left after a removal is what both would say of a clip that never had these tokens."""
    batch = random_batch(1, seed=4)
    model = small_model()
    plain = small_model()
    plain.load_state_dict(model.state_dict())
    term = model.forest = ForestTerm.grown(learnable(random_batch(40)), OBJECTS, CLASSES, seed=0)
    assert term is not None
    removed = torch.zeros(3, *batch.valid.shape[1:], dtype=torch.bool)
    removed[0, :, 0], removed[1, 2:], removed[2] = True, True, True
    keep = batch.valid[0].float()
    found = scores_without(model, batch, keep, removed)
    for mask, row in zip(removed, found, strict=True):
        left = replace(batch, valid=batch.valid & ~mask, seen=batch.seen & ~mask[..., None])
        # Nothing of what was removed may be read, whatever it was.
        left = replace(left, boxes=torch.where(mask[None, ..., None, None], torch.rand_like(left.boxes), left.boxes))
        tokens = plain.video(left, keep=(keep * ~mask)[None]).logits
        close(row[None], (tokens + term.share * term(left)).softmax(-1))


@numerics()
def test_a_training_grows_it_and_the_run_keeps_it(tmp_path: Path) -> None:
    run = train_run(clips(), VOCABULARY, FOREST, seed=0, progress=False)
    assert run.model.forest is not None
    assert run.config.model.forest_size[0] == TERM_TREES
    run.model.head_v.weight.data.zero_()
    tested = clips(12, first=500)
    answers = list(answer_clips(run, tested, explain=False))
    assert np.mean([a.predicted == a.clip.target for a in answers]) > 0.9, "the measures tell them apart"
    save_run(run, tmp_path / "run", {"data": "own", "split_sha256": "0" * 64, "seed": 0, "metrics": {}, "licence": ""})
    loaded = load_run(tmp_path / "run")
    for one, other in zip(answers, answer_clips(loaded, tested, explain=False), strict=True):
        np.testing.assert_array_equal(one.logits, other.logits)
    again = train_run(clips(), VOCABULARY, loaded.config, seed=0, progress=False)
    assert again.config == run.config, "the settings of a run train another like it"


@pytest.mark.parametrize("wrong", [False, True])
@numerics()
def test_its_weight_is_what_clips_held_out_ask_for(wrong: bool) -> None:
    run = train_run(clips(), VOCABULARY, FOREST, seed=0, progress=False)
    assert run.model.forest is not None
    run.model.head_v.weight.data.zero_()
    if wrong:
        run.model.forest.value.copy_(run.model.forest.value.roll(1, dims=-1))
    found = calibration_of(run, clips(30, first=900), "on these")
    assert (found.shares["forest"] == 0.0) is wrong
    assert found.shares["forest"] in SHARES
    other = train_run(clips(), VOCABULARY, FOREST, seed=0, progress=False)
    found.give_to(other)
    assert other.model.forest is not None
    assert float(other.model.forest.share) == found.shares["forest"]


def test_there_is_none_without_the_setting_and_none_in_an_untrained_model() -> None:
    assert small_model().forest is None
    assert ForestSize().trees == 0
