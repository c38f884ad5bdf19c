"""LaIAR where a clip shows any number of actions: targets, losses, answers, evidence, scores, the saved run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hand_clips import VOCABULARY, clip
from laiar_samples import RELATIONS, SMALL, close, random_batch, small_model
from whyact.data.relations.augment import action_spans, reversed_targets
from whyact.data.relations.packed import PackedClips
from whyact.data.types import RelationClip, RelationGroup
from whyact.laiar import losses
from whyact.laiar.answers import Answer, answer_clips
from whyact.laiar.batches import TrainingBatches
from whyact.laiar.config import Config, DataConfig, LossConfig, OptimConfig
from whyact.laiar.diagnostics import diagnose
from whyact.laiar.evidence import build_bank, removal_masks
from whyact.laiar.explain import explain
from whyact.laiar.label_scores import class_prior, language_map, objects_only_map, score_labels
from whyact.laiar.learner import Learner
from whyact.laiar.model import SemanticRelation
from whyact.laiar.runs import Run, load_run, save_run
from whyact.laiar.scoring import faithfulness
from whyact.laiar.task import train_run
from whyact.metrics.average_precision import charades_map
from whyact.sentences import find_effect

WORDS = replace(
    VOCABULARY,
    multi_label=True,
    rules=(),
    groups=(RelationGroup("state", ("shut", "open")), RelationGroup("place", ("free", "held", "apart", "near"))),
)
CONFIG = Config(
    data=DataConfig(frames=5, slots=4),
    model=SMALL,
    loss=LossConfig(sim=0.3, xm=0.2),
    optim=OptimConfig(lr=5e-3, batch=4, epochs=3),
)


def several(*words: str, actions: tuple[int, ...], **other: object) -> RelationClip:
    return clip(*words, targets=actions, **other)


CLIPS = [
    several("fffhhh", "aaaaaa", actions=(1, 3)),
    several("hhhfff", "ssssss", actions=(2,)),
    several("fffffhh", actions=(1,)),
    several("sssoo", "fffff", actions=(4,)),
    several("aaaann", "hhhhhh", actions=(3, 1)),
    several("......", actions=(5,), id="blank"),
    several("ffffff", "ssssss", "aaaaaa", actions=()),
]


@pytest.fixture(scope="module")
def run() -> Run:
    return train_run(CLIPS, WORDS, CONFIG, seed=0)


@pytest.fixture(scope="module")
def yes() -> Run:
    """Return a run that says yes to several actions of every clip."""
    config = replace(CONFIG, optim=replace(CONFIG.optim, epochs=12))
    return replace_bias(train_run(CLIPS, WORDS, config, seed=0), 2.0)


class TestTargets:
    def test_packed_targets_are_multi_hot(self) -> None:
        packed = PackedClips(CLIPS, slots=4, classes=6)
        batch = packed.batch(np.array([4, 6]), packed.even_positions(np.array([4, 6]), 3))
        assert batch.target.tolist() == [[0, 1, 0, 1, 0, 0], [0] * 6]
        assert batch.slots(1).target.shape == (2, 6)
        assert len(batch) == 2

    def test_no_clip_is_played_backwards_or_cropped(self) -> None:
        assert (reversed_targets(CLIPS, WORDS) == -1).all()
        assert action_spans(CLIPS, WORDS).tolist() == [[0, len(c.times) - 1] for c in CLIPS]

    def test_training_batches_keep_every_label(self) -> None:
        torch.manual_seed(0)
        batches = list(TrainingBatches(CLIPS, WORDS, CONFIG))
        assert sum(batch.target.sum(0) for batch in batches).tolist() == [0, 3, 1, 2, 1, 1]  # type: ignore[union-attr]

    def test_a_clip_without_relations_tells_no_actions_either(self) -> None:
        assert CLIPS[0].without_relations().targets is None


class TestLosses:
    def test_terms_take_the_bernoulli_form(self) -> None:
        batch = random_batch(4)
        target = (torch.rand(4, 4, generator=torch.Generator().manual_seed(1)) < 0.4).long()
        batch = replace(batch, target=target)
        learner = Learner(small_model().train(), CONFIG, torch.ones(4), 10)
        terms, _ = learner.terms(batch, 0.0)
        video, language = learner.model.video(batch, progress=0.0), learner.model.language(batch, progress=0.0)
        assert video.v2s_logits is not None
        p, q = language.logits.sigmoid(), video.logits.sigmoid()
        close(terms["cls_v"], -(target * q.log() + (1 - target) * (1 - q).log()).mean())
        r = video.v2s_logits.sigmoid()
        close(terms["xm"], (p * (p / r).log() + (1 - p) * ((1 - p) / (1 - r)).log()).mean())

    @pytest.mark.parametrize(("mode", "several"), [("softmax", False), ("bernoulli", True)])
    def test_the_mode_can_be_forced(self, mode: str, several: bool) -> None:
        batch = random_batch(4)
        if not several:
            batch = replace(batch, target=torch.ones(4, 4, dtype=torch.long))
        config = replace(CONFIG, loss=replace(CONFIG.loss, xm_mode=mode))  # type: ignore[arg-type]
        learner = Learner(small_model().train(), config, torch.ones(4), 10)
        terms, _ = learner.terms(batch, 0.0)
        video, language = learner.model.video(batch, progress=0.0), learner.model.language(batch, progress=0.0)
        assert video.v2s_logits is not None
        close(terms["xm"], losses.cross_modal(video.v2s_logits, language.logits, multi_label=several))


class TestPooling:
    def made(self, pooling: str) -> SemanticRelation:
        torch.manual_seed(0)
        module = SemanticRelation(replace(SMALL, relation_pooling=pooling), 3, 5, (0, 0, 1, 1, 1))  # type: ignore[arg-type]
        if module.none is not None:
            torch.nn.init.normal_(module.none)
        return module

    def test_group_sum_by_definition(self) -> None:
        module = self.made("group_sum")
        assert module.none is not None
        table, none = module.relation, module.none
        labels = torch.tensor([[1.0, 1, 0, 1, 0], [0, 0, 1, 1, 1], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]])
        expected = [
            (table[0] + table[1]) / 2 + table[3],
            none[0] + (table[2] + table[3] + table[4]) / 3,
            table[1] + none[1],
            none[0] + none[1],
        ]
        close(module.pooled(labels), torch.stack(expected))

    def test_mean_knows_no_groups(self) -> None:
        module = self.made("mean")
        assert module.none is None
        close(module.pooled(torch.tensor([1.0, 0, 1, 0, 0])), (module.relation[0] + module.relation[2]) / 2)

    def test_one_group_is_the_mean(self) -> None:
        assert SemanticRelation(SMALL, 3, 5, (0,) * 5).none is None


class TestAnswers:
    def test_each_action_has_its_own_probability(self, run: Run) -> None:
        for answer in answer_clips(run, CLIPS[:5], explain=False):
            np.testing.assert_allclose(answer.probabilities, 1 / (1 + np.exp(-answer.logits)), rtol=1e-5)
            yes = [c for c in range(6) if answer.probabilities[c] >= 0.5]
            assert answer.chosen == (yes or [answer.predicted])

    def test_without_a_token_the_answer_is_the_prior(self, run: Run) -> None:
        answer = next(iter(answer_clips(run, [CLIPS[5]])))
        expected = np.array([0, 3, 1, 2, 1, 1]) / 7  # the blank clip counts for the prior too
        np.testing.assert_allclose(answer.probabilities, expected, rtol=1e-6)
        np.testing.assert_allclose(run.prior, expected)
        assert not answer.changes

    def test_a_sentence_says_what_the_model_says_without_the_pair(self, yes: Run) -> None:
        """Of whichever action: never the mean of several, and under the name of one of them."""
        about = set()
        for shown in CLIPS[:5]:
            (answer,) = answer_clips(yes, [shown])
            assert len(answer.chosen) > 1
            made = explain(yes, answer, source="x", data="own")
            for change, evidence in zip(answer.changes, made.evidence, strict=True):
                effect = find_effect(made, evidence)
                assert effect is not None
                action = WORDS.actions.index(effect[0])
                without = scores_after(yes, answer, removal_masks([change], answer.valid.shape)[0].numpy())
                assert effect[1:] == pytest.approx((answer.probabilities[action], without[action]), abs=1e-5)
                assert action in answer.chosen
                about.add(action == answer.predicted)
        assert about == {False, True}, "some of the likeliest action, some of another one"

    @pytest.mark.parametrize("seed", range(3))
    def test_evidence_is_for_another_action_only_where_it_decides_that_one_alone(
        self, yes: Run, seed: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """That one is picked of several, so it must lose more than the random removal costs any of them."""
        drawn: dict[int, np.ndarray] = {}

        def one_removal(valid: np.ndarray, count: int, draws: int, random: np.random.Generator) -> torch.Tensor:
            pick = np.random.default_rng(seed).permutation(np.flatnonzero(valid))[:count]
            drawn[count] = np.isin(np.arange(valid.size), pick).reshape(valid.shape)
            return torch.from_numpy(drawn[count])[None]

        monkeypatch.setattr("whyact.laiar.answers.random_masks", one_removal)
        for shown in CLIPS[:5]:
            (answer,) = answer_clips(yes, [shown])
            p, chosen, least = answer.probabilities, answer.chosen, yes.config.evidence.least
            for i, change in enumerate(answer.changes):
                if len(change.tokens) == answer.valid.sum():
                    continue  # nothing else to remove
                lost = p - scores_after(yes, answer, removal_masks([change], answer.valid.shape)[0].numpy())
                random = p - scores_after(yes, answer, drawn[len(change.tokens)])
                decides = lost[answer.predicted] > max(random[answer.predicted], least)
                other = lost[chosen].max() > max(random[chosen].max(), least)
                action = chosen[int(lost[chosen].argmax())] if other and not decides else answer.predicted
                assert answer.action[i] == action
                assert answer.contribution[i] == pytest.approx(float(lost[action]), abs=1e-5)
                assert answer.control[i] == pytest.approx(float(random[action]), abs=1e-5)
                assert answer.decisive[i] == (decides or other)

    def test_the_prediction_lists_true_actions(self, run: Run) -> None:
        answer = next(iter(answer_clips(run, [CLIPS[0]])))
        made = explain(run, answer, source="x", data="own")
        assert made.target == "pick; drink"
        assert abs(sum(label.score for label in made.labels) - 1) > 0.01  # no distribution


def scores_after(run: Run, answer: Answer, tokens: np.ndarray) -> np.ndarray:
    """Return the probabilities without some tokens (T,K), by their definition."""
    packed = PackedClips([answer.clip.without_relations()], slots=4)
    batch = packed.batch(np.zeros(1, int), answer.positions[None])
    stay = torch.from_numpy(~tokens)[None]
    cut = replace(batch, valid=batch.valid & stay, seen=batch.seen & stay[..., None])
    keep = torch.from_numpy(answer.keep.astype(np.float32))[None]
    with torch.no_grad():
        return run.model.video(cut, keep=keep * stay).logits.sigmoid()[0].numpy()


def replace_bias(run: Run, value: float) -> Run:
    import copy

    model = copy.deepcopy(run.model)
    with torch.no_grad():
        model.head_v.bias += value
    return replace(run, model=model)


class TestNaming:
    def test_only_the_naming_group_names_tokens(self) -> None:
        batch = random_batch(3)
        assert batch.relations is not None
        labels = batch.relations.clone()
        labels[..., 0] = batch.valid.float()  # everybody carries label 0 too
        both = replace(batch, relations=labels)
        bank = build_bank(small_model(), [both], naming=[1, 2, 3, 4, 5])
        assert set(bank.triples[:, 1].tolist()) == set(range(1, RELATIONS))
        assert set(build_bank(small_model(), [both]).triples[:, 1].tolist()) == {0}

    def test_words(self) -> None:
        assert WORDS.naming == (0, 1, 2, 3)
        assert WORDS.group_of == (1, 1, 1, 1, 0, 0)
        assert VOCABULARY.naming == tuple(range(6))


class TestScores:
    def test_the_official_map_over_all_clips(self, run: Run) -> None:
        answers = list(answer_clips(run, CLIPS))
        found = score_labels(run, answers)
        scores = np.stack([a.probabilities for a in answers])
        truth = np.zeros((7, 6), bool)
        for i, one in enumerate(CLIPS):
            truth[i, list(one.targets or ())] = True
        official = charades_map(scores, truth)
        assert found["mAP"] == pytest.approx(100 * official.mean)
        assert found["wAP"] == pytest.approx(100 * official.weighted)
        there = np.array([i != 5 for i in range(7)])
        assert found["mAP_annotated"] == pytest.approx(100 * charades_map(scores[there], truth[there]).mean)
        assert (found["clips"], found["clips_without_token"], found["classes"]) == (7, 1, 5)
        assert 0 < found["keep_ratio"] <= 1

    def test_the_evaluation_page_has_the_same_map_and_no_confusion(self, run: Run) -> None:
        answers = list(answer_clips(run, CLIPS))
        shown, found = diagnose(run, answers), score_labels(run, answers)
        figures = {figure.name: figure for figure in shown.figures}
        assert figures["mAP"].value == pytest.approx(found["mAP"])
        assert figures["wAP"].value == pytest.approx(found["wAP"])
        low, high = figures["mAP"].interval or (0, 0)
        assert low < high
        right = [a.predicted in (one.targets or ()) for a, one in zip(answers, CLIPS, strict=True)]
        assert figures["top answer right"].value == pytest.approx(np.mean(right))
        assert shown.confusion is None
        assert [(row[0], row[1]) for row in shown.classes.rows] == [
            (WORDS.actions[c], sum(c in (one.targets or ()) for one in CLIPS)) for c in range(1, 6)
        ]
        assert {mistake.item for mistake in shown.mistakes} == {i for i in range(7) if not right[i]}
        (nothing,) = [mistake for mistake in shown.mistakes if mistake.item == 6]
        assert nothing.annotated == "none of the actions"

    def test_clips_of_one_film_are_resampled_together(self, run: Run) -> None:
        films = [replace(clip, group=f"film {i // 4}") for i, clip in enumerate(CLIPS)]
        alone = [replace(clip, group="") for clip in CLIPS]
        shown, apart = (diagnose(run, list(answer_clips(run, clips))) for clips in (films, alone))
        assert any("2 groups of test clips" in note for note in shown.notes)
        assert not any("group" in note for note in apart.notes)
        draws = [{f.name: f.draws for f in page.figures} for page in (shown, apart)]
        assert len(np.unique(draws[0]["top answer right"].round(9))) <= 3, "two films can be drawn in three ways"
        assert len(np.unique(draws[1]["top answer right"].round(9))) > 3

    def test_company(self, run: Run) -> None:
        assert class_prior(CLIPS, 6) == pytest.approx(np.array([0, 3, 1, 2, 1, 1]) / 7)
        assert 0 < language_map(run, CLIPS) <= 100
        assert 0 < objects_only_map(CLIPS, CLIPS, 6, 4) <= 100
        assert set(faithfulness(run, list(answer_clips(run, CLIPS)))) >= {"comprehensiveness", "sufficiency"}

    def test_objects_alone_tell_apart_what_differs_in_objects(self) -> None:
        cups = [several("ffff", actions=(1,), id=f"c{i}") for i in range(4)]
        boxes = [several("ssss", actions=(4,), id=f"b{i}") for i in range(4)]
        assert objects_only_map(cups + boxes, boxes + cups, 6, 4) == 100.0


def test_a_saved_run_answers_the_same(run: Run, tmp_path: Path) -> None:
    save_run(run, tmp_path / "run", {"data": "own", "split_sha256": "0", "licence": "x", "seed": 0, "metrics": {}})
    loaded = load_run(tmp_path / "run")
    assert loaded.vocabulary == WORDS
    assert loaded.prior == run.prior

    def probabilities(which: Run) -> list[list[float]]:
        answers: list[Answer] = list(answer_clips(which, CLIPS, explain=False))
        return [a.probabilities.tolist() for a in answers]

    assert probabilities(loaded) == probabilities(run)


def test_training_does_not_read_the_labels_of_what_it_predicts(run: Run) -> None:
    hidden = [replace(c, relations=None, targets=None) for c in CLIPS]
    for a, b in zip(answer_clips(run, CLIPS), answer_clips(run, hidden), strict=True):
        assert a.probabilities.tolist() == b.probabilities.tolist()
