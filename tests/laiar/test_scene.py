"""The term of whole frames: by definition, fitted on groups, exact beside removals, weighed on clips held out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hand_clips import VOCABULARY, clip
from laiar_samples import CLASSES, CONFIG, close, random_batch, small_model
from whyact.data.relations.packed import PackedClips, RelationBatch
from whyact.data.types import RelationClip
from whyact.errors import UserError
from whyact.laiar.answers import answer_clips
from whyact.laiar.baselines import compare_rivals, measure_rivals
from whyact.laiar.calibration import calibration_of
from whyact.laiar.evidence import scores_without
from whyact.laiar.explain import explain
from whyact.laiar.runs import load_run, save_run
from whyact.laiar.scene import SHARE, SHARES, SceneTerm, describe
from whyact.laiar.task import train_run
from whyact.training.numerics import numerics

WIDTH = 4


def scene_of(target: int, seed: int, frames: int = 5) -> np.ndarray:
    """Return frames (T,WIDTH) whose mean tells the class."""
    return (np.random.default_rng(seed).normal(0, 0.3, (frames, WIDTH)) + 2 * np.eye(WIDTH)[target]).astype(np.float16)


def clips(count: int = 24) -> list[RelationClip]:
    """Return clips whose pairs say nothing of their action, and whose frames say all of it."""
    return [
        clip(
            "ffhhh",
            action=VOCABULARY.actions[i % 3],
            id=str(i),
            group=str(i // 3),
            scene=scene_of(i % 3, i),
        )
        for i in range(count)
    ]


def with_scene(batch: RelationBatch, seed: int = 0) -> RelationBatch:
    g = torch.Generator().manual_seed(seed)
    return replace(batch, scene=torch.randn(*batch.valid.shape[:2], WIDTH, generator=g))


def fitted(classes: int = CLASSES) -> SceneTerm:
    """Return a term fitted on frames of the classes 0 to 2."""
    term = SceneTerm(WIDTH, classes)
    target = np.arange(24) % 3
    frames = torch.from_numpy(np.stack([scene_of(int(c), i) for i, c in enumerate(target)])).float()
    term.fit(frames, target, [str(i // 3) for i in range(24)])
    return term


def test_frames_are_described_by_mean_and_spread_of_those_that_were_encoded() -> None:
    frames = torch.randn(2, 5, WIDTH, generator=torch.Generator().manual_seed(0))
    frames[0, 1:3] = 0
    for clip_frames, row in zip(frames.numpy(), describe(frames).numpy(), strict=True):
        seen = clip_frames[clip_frames.any(1)]
        np.testing.assert_allclose(row, np.concatenate([seen.mean(0), seen.std(0)]), atol=1e-5)


def test_until_it_is_fitted_it_changes_nothing() -> None:
    batch = with_scene(random_batch())
    model, plain = small_model(scene_width=WIDTH), small_model()
    plain.load_state_dict(model.state_dict(), strict=False)
    close(model.video(batch).logits.softmax(-1), plain.video(batch).logits.softmax(-1))


def test_it_recognises_what_it_was_fitted_on_and_never_a_class_without_clips() -> None:
    term = fitted()
    fresh = torch.from_numpy(np.stack([scene_of(c % 3, 100 + c) for c in range(30)])).float()
    found = term(fresh)
    assert (found.argmax(-1).numpy() == np.arange(30) % 3).mean() > 0.9
    assert float(found[:, 3:].exp().max()) < 1e-3 if found.shape[1] > 3 else True
    assert float(term.share) == SHARE


def test_two_classes_have_two_rows() -> None:
    term = SceneTerm(WIDTH, 2)
    target = np.arange(20) % 2
    frames = torch.from_numpy(np.stack([scene_of(int(c), i) for i, c in enumerate(target)])).float()
    term.fit(frames, target, [str(i // 2) for i in range(20)])
    assert (term(frames).argmax(-1).numpy() == target).all()


def test_a_clip_without_an_encoded_frame_is_answered_by_its_tokens() -> None:
    term, logits = fitted(), torch.randn(1, CLASSES)
    empty = torch.zeros(1, 5, WIDTH)
    close(term.joined(logits, empty).softmax(-1), (SHARE * logits).softmax(-1))
    close(term.joined(logits, None), logits)


def test_removing_tokens_leaves_it_as_it_was() -> None:
    """What is left after a removal is the tokens' logits without them, joined to the same frames."""
    batch = with_scene(random_batch(1))
    model = small_model(scene_width=WIDTH)
    assert model.scene is not None
    model.scene.load_state_dict(fitted().state_dict())
    removed = torch.zeros(2, *batch.valid.shape[1:], dtype=torch.bool)
    removed[0, :, 0], removed[1] = True, True
    keep = batch.valid[0].float()
    found = scores_without(model, batch, keep, removed)
    assert batch.scene is not None
    frames, scene = model.scene(batch.scene), model.scene
    model.scene = None
    for mask, row in zip(removed, found, strict=True):
        left = replace(batch, valid=batch.valid & ~mask, seen=batch.seen & ~mask[..., None])
        tokens = model.video(left, keep=(keep * ~mask)[None]).logits
        close(row[None], (scene.share * tokens + frames).softmax(-1))


def test_packed_clips_give_the_frames_that_were_sampled() -> None:
    first, bare = clip("ffhhh", scene=scene_of(0, 1)), clip("ff")
    batch = PackedClips([first, bare], slots=1).batch(np.array([0, 1]), np.array([[4, 1], [0, 1]]))
    assert batch.scene is not None
    assert first.scene is not None
    np.testing.assert_array_equal(batch.scene[0].numpy(), first.scene[[4, 1]])
    assert not batch.scene[1].any()
    assert batch.slots(1).scene is batch.scene
    np.testing.assert_array_equal(first.at([2]).scene, first.scene[[2]])
    with pytest.raises(UserError, match="scene"):
        clip("ff", scene=scene_of(0, 1))


@numerics()
def test_a_training_fits_it_and_the_run_keeps_it(tmp_path: Path) -> None:
    run = train_run(clips(), VOCABULARY, CONFIG, seed=0, progress=False)
    tested = [replace(c, scene=scene_of(c.target or 0, 500 + i)) for i, c in enumerate(clips())]
    answers = list(answer_clips(run, tested, explain=False))
    assert np.mean([a.predicted == a.clip.target for a in answers]) > 0.9, "the pairs say nothing, the frames do"
    found = explain(run, answers[0], source="x", data="own").notes
    label = VOCABULARY.actions[answers[0].clip.target or 0]
    assert any(f"Whole frames by themselves, without any pair, look like {label} (" in note for note in found)
    without_pairs = [replace(c, valid=np.zeros_like(c.valid)) for c in tested[:1]]
    (by_frames,) = answer_clips(run, without_pairs, explain=False)
    assert "is that of whole frames alone" in explain(run, by_frames, source="x", data="own").notes[0]
    assert not explain(run, by_frames, source="x", data="own").unsure
    bare = replace(answers[0], clip=replace(answers[0].clip, scene=None))
    assert not any("Whole frames" in note for note in explain(run, bare, source="x", data="own").notes)
    save_run(run, tmp_path / "run", {"data": "own", "split_sha256": "0" * 64, "seed": 0, "metrics": {}, "licence": ""})
    again = list(answer_clips(load_run(tmp_path / "run"), tested, explain=False))
    for one, other in zip(answers, again, strict=True):
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-6)


@numerics()
def test_tokens_that_mislead_on_held_out_clips_get_the_least_weight() -> None:
    run = train_run(clips(), VOCABULARY, CONFIG, seed=0, progress=False)
    with torch.no_grad():
        run.model.head_v.weight.zero_()
        run.model.head_v.bias.copy_(20 * torch.eye(len(VOCABULARY.actions))[5])
    found = calibration_of(run, clips(), "on these")
    assert found.shares["scene"] == min(SHARES)
    other = train_run(clips(), VOCABULARY, CONFIG, seed=0, progress=False)
    found.give_to(other)
    assert other.model.scene is not None
    assert float(other.model.scene.share) == min(SHARES)


def test_the_frames_alone_are_a_rival_that_a_training_is_compared_with() -> None:
    train, test = clips(24), [replace(c, scene=scene_of(c.target or 0, 700 + i)) for i, c in enumerate(clips(12))]
    found = measure_rivals(train, test, VOCABULARY)
    assert found["whole-frames"] > 0.9
    assert "behind whole-frames" in compare_rivals(0.5, found, annotated=False)
    bare = [replace(c, scene=None) for c in test]
    assert "whole-frames" not in measure_rivals(train, bare, VOCABULARY)
