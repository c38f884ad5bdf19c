"""Questions to an answer: exact removal beside the evidence's own numbers and beside a clip without the tokens."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hand_clips import ONE_OF_EACH, VOCABULARY
from laiar_samples import SMALL
from whyact.ablation.flips import smallest_flip
from whyact.ablation.protocol import Removal, RemovalCount, removal_of
from whyact.errors import UserError
from whyact.laiar.answers import Answer, answer_clips
from whyact.laiar.config import Config, DataConfig, EvidenceConfig, OptimConfig
from whyact.laiar.evidence import list_changes
from whyact.laiar.explain import explain
from whyact.laiar.questions import Ablation, load_questions, save_questions
from whyact.laiar.runs import Run
from whyact.laiar.task import train_run

CLIPS = ONE_OF_EACH
CONFIG = Config(
    data=DataConfig(frames=6, slots=4), model=SMALL, optim=OptimConfig(lr=5e-3, batch=6, epochs=6, calibrate=False)
)


@pytest.fixture(scope="module")
def run() -> Run:
    return train_run(CLIPS, VOCABULARY, CONFIG, seed=0)


def keeping(answer: Answer) -> Answer:
    """Return an answer that kept every token, under names that change: a small model keeps too little to ask about."""
    named = np.where(answer.valid, np.arange(6)[:, None] // 3 + np.arange(answer.valid.shape[1]), -1)
    return replace(answer, keep=answer.valid.copy(), named=named, changes=list_changes(named))


def asked(run: Run, *numbers: int, null: str = "null") -> Ablation:
    return Ablation.of(run, [keeping(a) for a in answer_clips(run, [CLIPS[n] for n in numbers])], null)


def test_neither_the_name_of_a_clip_nor_a_cost_that_cannot_be_seen_makes_a_reason(run: Run) -> None:
    answers = list(answer_clips(run, CLIPS))
    for answer, renamed in zip(
        answers, answer_clips(run, [replace(c, id=f"/mnt/{c.id}.mp4") for c in CLIPS]), strict=True
    ):
        np.testing.assert_array_equal(answer.control, renamed.control)
    visible = [a for a in answers if a.decisive.any()]
    assert visible, "nothing passes its control, so that the rest cannot fail"
    most = max(float(a.contribution[a.decisive].max()) for a in visible)
    strict = replace(run, config=replace(run.config, evidence=EvidenceConfig(least=most + 1e-6)))
    assert not any(a.decisive.any() or a.stated.any() for a in answer_clips(strict, CLIPS))


@pytest.mark.parametrize("number", range(len(CLIPS)))
def test_without_a_piece_of_evidence_the_score_is_what_the_evidence_says(run: Run, number: int) -> None:
    (answer,) = answer_clips(run, [CLIPS[number]])
    prediction = explain(run, answer, source="x", data="y")
    questions = Ablation.of(run, [answer])
    scores, best = questions.scores([()])
    assert run.vocabulary.actions[best[0]] == prediction.label
    np.testing.assert_allclose(scores[0], answer.probabilities, atol=1e-6)
    assert prediction.evidence
    for e in prediction.evidence:
        without, _ = questions.scores([[removal_of(e)]])
        assert prediction.score - without[0, best[0]] == pytest.approx(e.contribution, abs=1e-6)


def test_a_removed_pair_is_a_clip_without_the_pair(run: Run) -> None:
    """Nothing of it is left: the answer is that about a clip whose slot is invalid from the start."""
    one = CLIPS[0]
    questions = asked(run, 0)
    scores, _ = questions.scores([[Removal("pair", "s1", "o1")]])
    blank = replace(one, valid=one.valid & np.array([True, False]))
    hidden = replace(one, subject_boxes=one.subject_boxes * [[[1], [0]]], object_boxes=one.object_boxes * [[[1], [0]]])
    (gone,) = (keeping(a) for a in answer_clips(run, [replace(hidden, valid=blank.valid)]))
    np.testing.assert_allclose(scores, Ablation.of(run, [gone], "null").scores([()])[0], atol=1e-5)


@pytest.mark.parametrize(
    ("removal", "wanted"),
    [
        (Removal("span"), {(t, k) for t in range(6) for k in range(2)}),
        (Removal("span", start=1 / 30, end=2 / 30), {(t, k) for t in (1, 2) for k in range(2)}),
        (Removal("pair", "s1", "o1"), {(t, 1) for t in range(6)}),
        (Removal("pair", "s1", "o1", end=0.0), {(0, 1)}),
        (Removal("pair", "o1", "s1"), set()),
        (Removal("thing", object="s0"), {(t, 0) for t in range(6)}),
        (Removal("thing", object="o0", start=5 / 30), {(5, 0)}),
        (Removal("thing", object="nobody"), set()),
        (Removal("transition", "s0", "o0", start=2 / 30, end=3 / 30), {(t, 0) for t in range(6)}),
    ],
    ids=lambda value: value.kind if isinstance(value, Removal) else f"{len(value)}-tokens",
)
def test_what_a_removal_takes_away(run: Run, removal: Removal, wanted: set[tuple[int, int]]) -> None:
    (mask,) = asked(run, 0).masks([removal])
    assert {(int(t), int(k)) for t, k in zip(*np.nonzero(mask), strict=True)} == wanted
    assert asked(run, 0).count_removed([removal]) == [RemovalCount("token", len(wanted), 12)]


def test_removals_add_up_in_any_order_and_twice_is_once(run: Run) -> None:
    questions = asked(run, 0, 2)
    a, b = Removal("pair", "s0", "o0"), Removal("span", start=0.1, end=0.2)
    (mask, *_), (ab, *_) = questions.masks([a]), questions.masks([a, b])
    assert (ab | mask == ab).all()
    scores, _ = questions.scores([[a, b], [b, a], [a, b, a]])
    np.testing.assert_allclose(scores[1:], scores[[0, 0]], atol=1e-6)
    assert abs(questions.scores([[a]])[0] - scores[0]).max() > 1e-3


def test_a_clip_without_a_pair_can_be_asked_too(run: Run) -> None:
    """A video in which nothing is found still has an answer; nothing can be taken from it."""
    empty = replace(
        CLIPS[0],
        subject_boxes=CLIPS[0].subject_boxes[:, :0],
        object_boxes=CLIPS[0].object_boxes[:, :0],
        subject_class=CLIPS[0].subject_class[:0],
        object_class=CLIPS[0].object_class[:0],
        valid=CLIPS[0].valid[:, :0],
        slots=(),
        relations=None,
    )
    (answer,) = answer_clips(run, [empty])
    questions = Ablation.of(run, [answer])
    scores, _ = questions.scores([(), [Removal("span")]])
    np.testing.assert_allclose(scores, np.stack([answer.probabilities] * 2), atol=1e-6)
    assert questions.count_removed([Removal("span")]) == [RemovalCount("token", 0, 0)]
    assert not smallest_flip(questions).removals


def test_a_transition_of_another_time_is_refused_by_name(run: Run) -> None:
    with pytest.raises(UserError, match="a transition, pair, thing or span"):
        asked(run, 0).scores([[Removal("frame", start=0.0)]])
    with pytest.raises(UserError, match="s0 – o0 at 9 – 10 s"):
        asked(run, 0).scores([[Removal("transition", "s0", "o0", start=9.0, end=10.0)]])


def test_overlapping_windows_lose_a_transition_together(run: Run) -> None:
    """A second window that names the pair otherwise loses what it kept of it in that time, and nothing else."""
    answers = [keeping(a) for a in answer_clips(run, [CLIPS[0], CLIPS[0]])]
    still = np.where(answers[1].valid, 0, -1)
    keep = answers[1].keep.copy()
    keep[4:] = False
    other = replace(answers[1], keep=keep, named=np.where(keep, still, -1), changes=list_changes(still))
    questions = Ablation.of(run, [answers[0], other])
    first, second = questions.masks([Removal("transition", "s0", "o0", start=2 / 30, end=3 / 30)])
    assert first[:, 0].all()
    assert second[:4, 0].all()
    assert not second[4:].any()
    assert not first[:, 1].any()
    assert not second[:, 1].any()


def test_saved_questions_are_answered_the_same_to_the_bit(run: Run, tmp_path: Path) -> None:
    questions = asked(run, 0, 3)
    again = load_questions(run, save_questions(questions, tmp_path / "q.safetensors"))
    assert again.null == questions.null
    assert again.list_removals() == questions.list_removals()
    sets = [[removal] for removal in questions.list_removals()]
    np.testing.assert_array_equal(again.scores(sets)[0], questions.scores(sets)[0])


class TestFlips:
    def by_brute_force(self, questions: Ablation, target: int) -> int:
        """Return the size of the smallest flipping set of all there are, 0 for none."""
        everything = list(questions.list_removals())
        for size in range(1, len(everything) + 1):
            _, answers = questions.scores(list(itertools.combinations(everything, size)))
            if (answers == target).any():
                return size
        return 0

    @pytest.mark.parametrize("target", range(len(VOCABULARY.actions)), ids=VOCABULARY.actions)
    def test_no_smaller_set_flips(self, run: Run, target: int) -> None:
        """Every target that some set reaches, with as few removals as any; a large pool makes the search complete."""
        questions = asked(run, 0, 2)
        _, answer = questions.scores([()])
        if target == answer[0]:
            with pytest.raises(UserError, match="not the answer already"):
                smallest_flip(questions, target)
            return
        found = smallest_flip(questions, target, candidates=99, exact=99)
        assert len(found.removals) == self.by_brute_force(questions, target)
        assert found.proven == bool(found.removals)
        scores, answers = questions.scores([found.removals])
        np.testing.assert_allclose(scores[0], found.scores, atol=1e-6)
        assert (answers[0] == target) == bool(found.removals)

    def test_the_search_says_when_it_proves_nothing(self, run: Run) -> None:
        """With no exact search, the set grows one by one; where it flips, the note says that it may not be smallest."""
        questions = asked(run, 0, 2)
        reached = []
        for target in range(len(VOCABULARY.actions)):
            if target != questions.scores([()])[1][0]:
                found = smallest_flip(questions, target, exact=0)
                assert not found.proven
                if found.removals:
                    reached.append(target)
                    assert questions.scores([found.removals])[1][0] == target
        assert reached

    def test_by_default_the_second_best_is_to_win(self, run: Run) -> None:
        questions = asked(run, 0)
        scores, answer = questions.scores([()])
        order: list[Any] = [c for c in np.argsort(-scores[0]) if c != answer[0]]
        assert smallest_flip(questions).target == order[0]
