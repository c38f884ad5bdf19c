"""The baselines answer from what they say they read, and from nothing else."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from whyact.data.relations.cad120 import read
from whyact.data.types import RelationClip, Vocabulary
from whyact.errors import UserError
from whyact.homeworld.write import write_world
from whyact.laiar import baselines as laiar_baselines
from whyact.laiar.baselines import BASELINES, measure_rivals
from whyact.metrics.recall import macro_recall

READS_RELATIONS = {"rules", "relation-logistic", "relation-forest"}
Fold = tuple[list[RelationClip], list[RelationClip], Vocabulary]
Answers = Callable[[str], NDArray[np.int64]]


@pytest.fixture(scope="module")
def fold(tmp_path_factory: pytest.TempPathFactory) -> Fold:
    """Return the first fold of a world of three subjects, with noisy relation scores as appearance."""
    world = read(write_world(tmp_path_factory.mktemp("world") / "w", seed=3, subjects=3, videos_per_subject=5))
    random = np.random.default_rng(0)
    train, test = ([_with_scores(clip, random) for clip in side] for side in world.fold(1))
    return train, test, world.vocabulary


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(laiar_baselines, "TREES", 40)
        patch.setattr(laiar_baselines, "STRENGTHS", (0.1, 1.0))
        yield


@pytest.fixture(scope="module")
def answers(fold: Fold) -> Answers:
    """Return what each baseline answers to the fold as it is, seed 0; each is asked once."""
    train, test, vocabulary = fold
    return functools.cache(lambda name: BASELINES[name].predict(train, test, vocabulary, 0))


def _with_scores(clip: RelationClip, random: np.random.Generator) -> RelationClip:
    assert clip.relations is not None
    scores = 0.6 * clip.relations + 0.4 * random.random(clip.relations.shape)
    return replace(clip, appearance=scores.astype(np.float32))


def _garbage_truth(clips: list[RelationClip], actions: int) -> list[RelationClip]:
    """Return the clips with other relations (one label a token, as in the true ones) and another target."""
    random = np.random.default_rng(1)
    out = []
    for clip in clips:
        assert clip.relations is not None
        assert clip.target is not None
        label = random.integers(clip.relations.shape[-1], size=clip.relations.shape[:2])
        relations = np.eye(clip.relations.shape[-1], dtype=bool)[label]
        out.append(replace(clip, relations=relations, target=(clip.target + 1) % actions))
    return out


def _recall(answer: NDArray[np.int64], fold: Fold) -> float:
    _, test, vocabulary = fold
    return macro_recall([clip.target for clip in test], answer, len(vocabulary.actions))


def test_rules_on_true_relations_are_always_right(fold: Fold, answers: Answers) -> None:
    assert _recall(answers("rules"), fold) == 1.0


@pytest.mark.parametrize("name", ["relation-logistic", "relation-forest", "rgb-logistic", "rgb-forest", "box-forest"])
def test_what_reads_change_beats_the_bag_of_objects_which_beats_nothing(
    fold: Fold, answers: Answers, name: str
) -> None:
    assert _recall(answers(name), fold) > _recall(answers("object-classes"), fold) + 0.1
    assert _recall(answers("object-classes"), fold) > _recall(answers("majority"), fold)


def test_true_relations_say_more_than_noisy_scores_of_them(fold: Fold, answers: Answers) -> None:
    assert _recall(answers("relation-logistic"), fold) > max(0.7, _recall(answers("rgb-logistic"), fold))


def test_majority_is_the_most_frequent_training_action(fold: Fold) -> None:
    train, test, vocabulary = fold
    rare = next(clip for clip in train if clip.target != 0)
    answer = BASELINES["majority"].predict([*train[:2], rare, rare, rare], test, vocabulary, 0)
    assert answer.tolist() == [rare.target] * len(test)


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_the_same_seed_gives_the_same_answers(fold: Fold, answers: Answers, name: str) -> None:
    train, test, vocabulary = fold
    again = BASELINES[name].predict(train, test, vocabulary, 0)
    assert again.shape == (len(test),)
    assert again.dtype == np.int64
    assert np.array_equal(again, answers(name))


def test_the_seed_reaches_the_forest(fold: Fold, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(laiar_baselines, "TREES", 1)
    train, test, vocabulary = fold
    answers = {BASELINES["box-forest"].predict(train, test, vocabulary, seed).tobytes() for seed in range(2)}
    assert len(answers) > 1


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_only_the_relation_baselines_read_the_true_relations_of_a_test_clip(
    fold: Fold, answers: Answers, name: str
) -> None:
    train, test, vocabulary = fold
    misled = BASELINES[name].predict(train, _garbage_truth(test, len(vocabulary.actions)), vocabulary, 0)
    assert np.array_equal(misled, answers(name)) == (name not in READS_RELATIONS)


@pytest.mark.parametrize("name", sorted(set(BASELINES) - READS_RELATIONS))
def test_clips_without_relations_are_enough_for_the_others(fold: Fold, answers: Answers, name: str) -> None:
    train, test, vocabulary = fold
    blind_train = [replace(clip, relations=None) for clip in train]
    blind_test = [clip.without_relations() for clip in test]
    answer = BASELINES[name].predict(blind_train, blind_test, vocabulary, 0)
    assert np.array_equal(answer, answers(name))


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_only_those_that_need_scores_read_them(fold: Fold, answers: Answers, name: str) -> None:
    train, test, vocabulary = fold
    bare = [replace(clip, appearance=None) for clip in test]
    if BASELINES[name].needs_rgb:
        with pytest.raises(UserError, match="appearance"):
            BASELINES[name].predict(train, bare, vocabulary, 0)
    else:
        answer = BASELINES[name].predict([replace(clip, appearance=None) for clip in train], bare, vocabulary, 0)
        assert np.array_equal(answer, answers(name))


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_no_test_clip_gives_no_answer(fold: Fold, name: str) -> None:
    train, _, vocabulary = fold
    assert BASELINES[name].predict(train, [], vocabulary, 0).shape == (0,)


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_an_answer_depends_neither_on_the_other_test_clips_nor_on_the_order_of_slots(
    fold: Fold, answers: Answers, name: str
) -> None:
    train, test, vocabulary = fold
    shuffled = [_shuffle_slots(clip) for clip in test[::2]]
    assert np.array_equal(BASELINES[name].predict(train, shuffled, vocabulary, 0), answers(name)[::2])


def _shuffle_slots(clip: RelationClip) -> RelationClip:
    order = np.random.default_rng(2).permutation(len(clip.slots))
    assert clip.relations is not None
    assert clip.appearance is not None
    return replace(
        clip,
        subject_boxes=clip.subject_boxes[:, order],
        object_boxes=clip.object_boxes[:, order],
        subject_class=clip.subject_class[order],
        object_class=clip.object_class[order],
        valid=clip.valid[:, order],
        slots=tuple(clip.slots[i] for i in order),
        relations=clip.relations[:, order],
        appearance=clip.appearance[:, order],
    )


def test_one_training_subject_is_enough(fold: Fold) -> None:
    train, test, vocabulary = fold
    alone = [clip for clip in train if clip.group == train[0].group]
    answer = BASELINES["relation-logistic"].predict(alone, test, vocabulary, 0)
    assert _recall(answer, fold) > 0.6


def test_a_subject_without_whom_one_action_is_left_chooses_no_strength(fold: Fold) -> None:
    """Two films of a class each: scikit-learn refused to learn from either alone, with a traceback to the user."""
    train, test, vocabulary = fold
    first, other = next((a, b) for a in train for b in train if a.target != b.target)
    two = [replace(first, group="one"), replace(other, group="two")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = measure_rivals(two, test, vocabulary)
        assert len(BASELINES["object-classes"].predict([*train[:9], *two], test, vocabulary, 0)) == len(test)
    assert set(found) == set(laiar_baselines.RIVALS)


@pytest.mark.parametrize("name", ["majority", "object-classes", "box-forest"])
def test_a_training_clip_without_its_action_is_named(fold: Fold, name: str) -> None:
    train, test, vocabulary = fold
    with pytest.raises(UserError, match=train[1].id):
        BASELINES[name].predict([train[0], replace(train[1], target=None)], test, vocabulary, 0)


@pytest.mark.parametrize("name", sorted(READS_RELATIONS))
def test_a_clip_whose_true_relations_are_unknown_is_named(fold: Fold, name: str) -> None:
    train, test, vocabulary = fold
    with pytest.raises(UserError, match=test[0].id):
        BASELINES[name].predict(train, [replace(test[0], relations=None)], vocabulary, 0)


def test_each_note_is_one_sentence() -> None:
    for baseline in BASELINES.values():
        assert baseline.note.count(".") == 1
        assert baseline.note.endswith(".")


def test_rivals_are_measured_on_the_same_clips_and_the_last_line_says_who_is_ahead(fold: Fold) -> None:
    train, test, words = fold
    rivals = laiar_baselines.measure_rivals(train, test, words)
    assert list(rivals) == list(laiar_baselines.RIVALS)
    truth = np.array([clip.target for clip in test])
    for name, value in rivals.items():
        assert value == macro_recall(truth, BASELINES[name].predict(train, test, words, 0), len(words.actions))
    best = max(rivals.values())
    assert "is behind" in laiar_baselines.compare_rivals(best - 0.01, rivals)
    assert "Next: " in laiar_baselines.compare_rivals(best - 0.01, rivals)
    assert "annotated people" in laiar_baselines.compare_rivals(best - 0.01, rivals)
    clips = laiar_baselines.compare_rivals(best - 0.01, rivals, annotated=False)
    assert "annotated" not in clips
    assert "clips of each class, from other films or groups" in clips
    assert "ahead of" in laiar_baselines.compare_rivals(best + 0.01, rivals)


def test_of_one_action_nothing_can_be_learned(fold: Fold) -> None:
    train, test, words = fold
    same = [replace(clip, target=0) for clip in train]
    assert set(laiar_baselines.measure_rivals(same, test, words)) == {"majority"}
