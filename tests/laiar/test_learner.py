"""Eq. 11 put together: which terms, which weights, which gradients; and that a seed decides everything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hand_clips import VOCABULARY, clip
from laiar_samples import CLASSES, SMALL, close, random_batch, random_keep, small_model
from whyact.data.relations.augment import reversed_targets
from whyact.data.relations.packed import RelationBatch
from whyact.errors import UserError
from whyact.laiar import learner as module
from whyact.laiar import losses
from whyact.laiar.batches import TrainingBatches, evaluation_batches
from whyact.laiar.config import PRESETS, Config, DataConfig, LossConfig, OptimConfig, SelectConfig
from whyact.laiar.learner import Learner, build_model, learn, sized_for, triple_labels
from whyact.laiar.model import LaIAR
from whyact.metrics.transitions import rule_transitions
from whyact.training.fit import FitResult

OFF = dict.fromkeys(("reverse", "crop", "time_jitter", "box_jitter", "mirror", "drop_boxes", "drop_slots"), 0.0)
PLAIN = DataConfig(frames=5, slots=4, **OFF)  # type: ignore[arg-type]
CONFIG = Config(
    data=PLAIN,
    model=SMALL,
    select=SelectConfig(noise=0.0),
    loss=LossConfig(sim=0.3, tss=0.7, xm=0.2, l1=0.5),
    optim=OptimConfig(lr=5e-3, batch=4, epochs=2),
)
CLIPS = [
    clip("fffhhh", "aaaaaa", action="pick"),
    clip("hhhfff", "ssssss", action="place"),
    clip("fffffhh", action="pick"),
    clip("sssoo", "fffff", action="open"),
    clip("aaaann", "hhhhhh", action="drink"),
    clip("ffffff", "ssssss", "aaaaaa", action="null"),
    clip("hhffff", action="place"),
]


def made(config: Config = CONFIG, steps: int = 10, seed: int = 0) -> Learner:
    model = small_model(seed, select=config.select, shared=config.model.shared).train()
    return Learner(model, config, torch.tensor([1.0, 2.0, 0.5, 1.0]), steps)


def with_(section: str, **options: Any) -> Config:
    return replace(CONFIG, **{section: replace(getattr(CONFIG, section), **options)})


class TestTripleLabels:
    def test_equal_exactly_where_the_triples_are(self) -> None:
        batch = random_batch(4)
        assert batch.relations is not None
        batch.relations[0, 0, 0] = torch.tensor([1.0, 1, 0, 0, 0, 0])
        names = triple_labels(batch)
        triples = [
            (tuple(batch.classes[b, k].tolist()), tuple(batch.relations[b, t, k].tolist()))
            for b, t, k in batch.valid.nonzero().tolist()
        ]
        assert len(names) == len(triples)
        expected = [[a == b for b in triples] for a in triples]
        assert (names[:, None] == names[None]).tolist() == expected
        assert len(set(triples)) < len(triples)  # some do repeat

    def test_refuses_more_labels_than_fit(self) -> None:
        batch = replace(random_batch(), relations=torch.zeros(3, 5, 4, 41))
        with pytest.raises(ValueError, match="41 relation labels"):
            triple_labels(batch)

    def test_forty_labels_still_fit(self) -> None:
        batch = random_batch(1, gaps=0.0)
        relations = torch.cat([torch.zeros(20, 20), torch.eye(20)], 1).view(1, 5, 4, 40)
        names = triple_labels(replace(batch, relations=relations, classes=torch.full((1, 4, 2), 1000)))
        assert len(names.unique()) == 20
        assert (names > 0).all()


class TestTerms:
    def test_values_before_the_selectors_open(self) -> None:
        learner, batch = made(), random_batch()
        terms, _ = learner.terms(batch, 0.0)
        assert set(terms) == {"cls_v", "cls_s", "sim", "xm"}
        model, weight = learner.model, learner.class_weight
        video, language = model.video(batch, progress=0.0), model.language(batch, progress=0.0)
        close(terms["cls_v"], losses.classification(video.logits, batch.target, weight))
        close(terms["cls_s"], losses.classification(language.logits, batch.target, weight))
        close(terms["xm"], losses.cross_modal(video.v2s_logits, language.logits))  # type: ignore[arg-type]
        v, s = video.tokens[batch.valid], language.tokens[batch.valid]
        close(terms["sim"], losses.similarity(v, s, triple_labels(batch), model.log_t))
        assert video.selection.keep.sum() == batch.valid.sum()

    def test_tokens_without_a_relation_are_drawn_to_nothing(self) -> None:
        """A detected pair that the annotation says nothing of stays a token; Eq. 8 has no meaning to draw it to."""
        learner, batch = made(), random_batch()
        assert batch.relations is not None
        silent = batch.valid & (torch.rand(batch.valid.shape, generator=torch.Generator().manual_seed(3)) < 0.4)
        batch = replace(batch, relations=batch.relations * ~silent[..., None])
        terms, _ = learner.terms(batch, 0.0)
        named = batch.valid & ~silent
        video, language = learner.model.video(batch, progress=0.0), learner.model.language(batch, progress=0.0)
        expected = losses.similarity(
            video.tokens[named],
            language.tokens[named],
            triple_labels(replace(batch, valid=named)),
            learner.model.log_t,
        )
        close(terms["sim"], expected)
        assert 0 < int(silent.sum()) < int(batch.valid.sum())

    def test_similarity_uses_at_most_so_many_tokens(self) -> None:
        learner, batch = made(with_("loss", sim_max=2)), random_batch()
        seen = []
        original = losses.similarity

        def spy(v: Tensor, s: Tensor, label: Tensor, log_t: Tensor, *, strict: bool) -> Tensor:
            seen.append((len(v), len(s), len(label)))
            return original(v, s, label, log_t, strict=strict)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(losses, "similarity", spy)
            learner.terms(batch, 0.0)
        assert seen == [(2, 2, 2)]

    def test_literal_selection_supervision(self) -> None:
        config = with_("select", guided=False, gated=1.0, noise=0.0)
        learner, batch = made(config), random_batch()
        terms, _ = learner.terms(batch, 0.9)
        video, language = (run(batch, progress=0.9).selection for run in (learner.model.video, learner.model.language))
        close(terms["tss"], losses.token_selection(video.keep, language.keep, batch.valid, 0.5))
        assert "tss" not in learner.terms(batch, 0.1)[0]

    def test_guided_selection_supervision(self) -> None:
        """Whole clips show what the language model attends to; both models' selectors learn from it."""
        learner, batch = made(with_("select", gated=0.0)), random_batch()
        assert "tss" not in learner.terms(batch, 0.1)[0]
        terms, _ = learner.terms(batch, 0.9)
        video = learner.model.video(batch, progress=0.9, gated=False)
        language = learner.model.language(batch, progress=0.9, gated=False)
        assert language.used is not None
        guidance = [losses.selection_guidance(p.selection.score, language.used, batch.valid) for p in (video, language)]  # type: ignore[arg-type]
        close(terms["tss"], guidance[0] + guidance[1])

    def test_ratio_guards_the_threshold_rule_only(self) -> None:
        options = {"guided": False, "gated": 1.0}
        assert "ratio" not in made(with_("select", **options)).terms(random_batch(), 0.9)[0]
        learner, batch = made(with_("select", rule="threshold", **options)), random_batch()
        terms, _ = learner.terms(batch, 0.9)
        paths = [run(batch, progress=0.9) for run in (learner.model.video, learner.model.language)]
        expected = [losses.keep_ratio(p.selection.probability, batch.valid, 0.35) for p in paths]
        close(terms["ratio"], sum(expected) / 2)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("options", "names"),
        [
            ({"guidance": False}, {"cls_v"}),
            ({"video": False}, {"cls_s"}),
            ({"sim": 0.0}, {"cls_v", "cls_s", "xm"}),
            ({"xm": 0.0}, {"cls_v", "cls_s", "sim"}),
        ],
    )
    def test_switches(self, options: dict[str, Any], names: set[str]) -> None:
        assert set(made(with_("loss", **options)).terms(random_batch(), 0.0)[0]) == names

    def test_without_guidance_the_language_modules_stay_as_they_are(self) -> None:
        learner = made(with_("loss", guidance=False))
        sum(learner.terms(random_batch(), 0.9)[0].values()).backward()  # type: ignore[union-attr]
        language = ("s.", "f_s.", "head_s.", "head_v2s.", "log_t")
        assert all(p.grad is None for n, p in learner.model.named_parameters() if n.startswith(language))

    def test_the_video_model_never_sees_relations(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = []
        original = LaIAR.video

        def spy(self: LaIAR, batch: RelationBatch, **options: Any) -> Any:
            seen.append(batch.relations)
            return original(self, batch, **options)

        monkeypatch.setattr(LaIAR, "video", spy)
        made().terms(random_batch(), 0.9)
        assert seen == [None]

    @pytest.mark.parametrize("preset", PRESETS)
    def test_every_preset_has_finite_terms_and_gradients(self, preset: str) -> None:
        config = PRESETS[preset]
        model = replace(config.model, width=16, heads=2, layers=2, box_width=6, class_width=4, mask_size=8)
        learner = made(replace(config, model=model))
        for progress in (0.0, 0.5, 0.99):
            terms = learner.terms(random_batch(), progress)[0]
            assert all(torch.isfinite(value) for value in terms.values())
            learner.zero_grad()
            sum(terms.values()).backward()  # type: ignore[union-attr]
            assert all(p.grad is None or torch.isfinite(p.grad).all() for p in learner.parameters())


class TestTotal:
    def test_is_the_weighted_sum(self) -> None:
        loss, terms, rows = made().training_step(random_batch(), 0)
        logged = {name: float(torch.as_tensor(value).detach()) for name, value in terms.items()}
        expected = logged["cls_v"] + logged["cls_s"] + 0.3 * logged["sim"] + 0.2 * logged["xm"]
        assert loss.item() == pytest.approx(expected, rel=1e-5)
        assert rows == len(random_batch())

    def test_logs_unweighted_terms(self) -> None:
        low, high = (made(with_("loss", xm=weight)).training_step(random_batch(), 0) for weight in (0.1, 5.0))
        close(torch.as_tensor(low.terms["xm"]), torch.as_tensor(high.terms["xm"]))

    def test_several_labels_train_too(self) -> None:
        batch = replace(random_batch(), target=(torch.rand(3, CLASSES) < 0.5).float())
        terms, video = made().terms(batch, 0.0)
        close(terms["cls_v"], torch.nn.functional.binary_cross_entropy_with_logits(video.logits, batch.target))
        assert all(torch.isfinite(v) for v in terms.values())


class TestOptimiser:
    def test_selectors_have_their_own_rate_and_nothing_is_left_out(self) -> None:
        learner = made(with_("optim", lr=0.01, selector_lr=0.1))
        optimizer = learner.configure_optimizers().optimizer
        rest, selectors = optimizer.param_groups
        assert selectors["lr"] == pytest.approx(rest["lr"] * 0.1)
        assert {id(p) for p in selectors["params"]} == {id(p) for p in learner.model.dt_former.selectors.parameters()}
        listed = [id(p) for group in optimizer.param_groups for p in group["params"]]
        assert sorted(listed) == sorted(id(p) for p in learner.model.parameters())

    def test_one_cycle_rises_and_falls_over_all_steps(self) -> None:
        learner = made(steps=20)
        found = learner.configure_optimizers()
        optimizer, schedule = found.optimizer, found.schedule
        assert schedule is not None
        rates = []
        for _ in range(20):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        assert max(rates) == pytest.approx(5e-3, rel=0.05)
        assert 0 < rates.index(max(rates)) < 6
        assert rates[-1] < 0.05 * max(rates)

    def test_works_without_selectors(self) -> None:
        learner = made(with_("select", temporal=False, spatial=False))
        assert len(learner.configure_optimizers().optimizer.param_groups) == 1

    def test_steps_bring_the_loss_down(self) -> None:
        learner, batch = made(steps=60), random_batch(4)
        found = learner.configure_optimizers()
        optimizer = found.optimizer
        history = []
        for step in range(60):
            terms, _ = learner.terms(batch, step / 60)
            loss = terms["cls_v"] + terms["cls_s"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found.schedule.step()  # type: ignore[union-attr]
            history.append(loss.item())
        assert np.mean(history[-5:]) < 0.5 * np.mean(history[:3])


class TestBatches:
    def epoch(self, data: DataConfig = PLAIN, seed: int = 0) -> Iterator[RelationBatch]:
        torch.manual_seed(seed)
        return iter(TrainingBatches(CLIPS, VOCABULARY, replace(CONFIG, data=data)))

    def test_an_epoch_holds_every_clip_once(self) -> None:
        batches = list(self.epoch())
        assert len(batches) == len(TrainingBatches(CLIPS, VOCABULARY, CONFIG)) == 2
        found = sorted(t for batch in batches for t in batch.target.tolist())
        assert found == sorted(c.target for c in CLIPS if c.target is not None)
        assert all(len(batch) <= 4 for batch in batches)

    def test_every_batch_shows_the_action_it_is_labelled_with(self) -> None:
        """Played backwards, cropped or thinned out: the relations of the sampled frames still say the label."""
        data = replace(PLAIN, reverse=1.0, crop=0.5, mirror=0.5, drop_slots=0.5, frames=7)
        reversed_somewhere = False
        for seed in range(5):
            for batch in self.epoch(data, seed):
                assert batch.relations is not None
                for i in range(len(batch)):
                    found = rule_transitions(
                        batch.relations[i].bool().numpy(),
                        batch.valid[i].numpy(),
                        batch.classes[i, :, 0].numpy(),
                        batch.classes[i, :, 1].numpy(),
                        VOCABULARY,
                    )
                    action = VOCABULARY.actions[int(batch.target[i])]
                    assert {f.action for f in found} == ({action} - {"null"})
                    reversed_somewhere |= action == "close"  # no clip says so forwards
        assert reversed_somewhere

    def test_reversed_ones_take_the_mirror_label(self) -> None:
        mirrored = reversed_targets(CLIPS, VOCABULARY)
        expected = sorted(m if m >= 0 else c.target for m, c in zip(mirrored.tolist(), CLIPS, strict=True))
        found = sorted(t for batch in self.epoch(replace(PLAIN, reverse=1.0)) for t in batch.target.tolist())
        assert found == expected

    def test_torch_s_seed_decides(self) -> None:
        data = replace(PLAIN, mirror=0.5, box_jitter=0.02, time_jitter=0.5, reverse=0.5)
        a, b, c = (list(self.epoch(data, seed)) for seed in (1, 1, 2))
        assert all(torch.equal(x.boxes, y.boxes) and torch.equal(x.target, y.target) for x, y in zip(a, b, strict=True))
        assert any(not torch.equal(x.boxes, y.boxes) for x, y in zip(a, c, strict=True))

    def test_evaluation_keeps_order_and_both_ends(self) -> None:
        packed = TrainingBatches(CLIPS, VOCABULARY, CONFIG).packed
        found = list(evaluation_batches(packed, 5, size=3))
        assert [index.tolist() for index, _ in found] == [[0, 1, 2], [3, 4, 5], [6]]
        for index, batch in found:
            for i, b in zip(index, batch.boxes, strict=True):
                own = CLIPS[i]
                scale = np.array(own.image_size * 2)
                for end in (0, -1):
                    assert b[end, 0, 1].numpy() == pytest.approx(own.object_boxes[end, 0] / scale, abs=1e-6)


class TestLearn:
    def test_class_weights_and_steps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        caught: dict[str, Any] = {}

        expected_result = FitResult([], 0.0)

        def instead(learner: Learner, batches: TrainingBatches, **options: Any) -> FitResult:
            caught.update(learner=learner, batches=batches, **options)
            return expected_result

        monkeypatch.setattr(module, "fit", instead)
        model, result = learn(CLIPS, VOCABULARY, with_("loss", balance=0.5), seed=0)
        counts = [max(1, sum(c.target == a for c in CLIPS)) for a in range(len(VOCABULARY.actions))]
        expected = [(n / np.mean(counts)) ** -0.5 for n in counts]
        assert caught["learner"].class_weight.tolist() == pytest.approx(expected)
        assert caught["learner"].steps == 2 * 2
        assert caught["epochs"] == 2
        assert result is expected_result
        assert not model.training

    def test_the_seed_decides_the_weights(self) -> None:
        config = replace(with_("select", noise=0.3), data=replace(PLAIN, mirror=0.5, box_jitter=0.02))
        a, b, c = (learn(CLIPS, VOCABULARY, config, seed=seed)[0].state_dict() for seed in (1, 1, 2))
        assert all(torch.equal(a[name], b[name]) for name in a)
        assert any(not torch.equal(a[name], c[name]) for name in a)

    def test_sizes_come_from_the_words_and_the_clips(self) -> None:
        seen = clip("ff", appearance=np.zeros((2, 1, 9), np.float32), context=np.zeros(7, np.float32))
        config = sized_for(CONFIG, [CLIPS[0], seen])
        assert (config.model.app_width, config.model.roi, config.model.context_width) == (9, (0, 0, 0), 7)
        model = build_model(config, VOCABULARY)
        assert model.head_v.out_features == 6
        assert model.s.relation.shape[0] == 6
        assert model.v.w_app is not None
        assert build_model(sized_for(config, CLIPS), VOCABULARY).v.w_app is None


def test_a_fixed_selection_reaches_the_former_as_given() -> None:
    """What training freezes or evaluation removes is what the model then uses."""
    model, batch = small_model(), random_batch()
    keep = random_keep(batch)
    assert torch.equal(model.video(batch, keep=keep).selection.keep, keep)
    assert torch.equal(model.language(batch, keep=torch.ones_like(keep)).selection.keep, batch.valid.float())


@pytest.mark.parametrize(
    "other",
    [
        [*CLIPS[:-1], clip("fffff", action="null")],
        [*CLIPS[:-1], replace(CLIPS[-1], target=0)],
        [*CLIPS[:-1], replace(CLIPS[-1], subject_boxes=CLIPS[-1].subject_boxes + 1)],
        [*CLIPS[:-1], replace(CLIPS[-1], image_size=(1000, 1000))],  # boxes are learned from as shares of it
    ],
    ids=["clip", "action", "boxes", "size"],
)
def test_a_training_is_not_gone_on_with_on_other_clips(other: list[Any], tmp_path: Path) -> None:
    """Else the state of one fold, stopped, would answer for the person that the next one tests."""
    learn(CLIPS, VOCABULARY, CONFIG, seed=0, resume_dir=tmp_path)
    learn(CLIPS, VOCABULARY, CONFIG, seed=0, resume_dir=tmp_path)
    with pytest.raises(UserError, match=r"clips .*remove it to train from the start"):
        learn(other, VOCABULARY, CONFIG, seed=0, resume_dir=tmp_path)


class TestStart:
    def test_weights_of_the_same_name_and_shape_are_where_it_begins(self) -> None:
        still = with_("optim", lr=1e-12, weight_decay=0.0)
        other = {name: w + 1 for name, w in learn(CLIPS, VOCABULARY, CONFIG, seed=1)[0].state_dict().items()}
        wrong = other["head_v.weight"][:, :-1]
        began = learn(CLIPS, VOCABULARY, still, seed=0, start={**other, "head_v.weight": wrong, "elsewhere": wrong})[0]
        plain = learn(CLIPS, VOCABULARY, still, seed=0)[0]
        moved = {name for name, weight in began.named_parameters() if not torch.allclose(weight, other[name])}
        assert moved == {"head_v.weight"}
        assert torch.allclose(began.head_v.weight, plain.head_v.weight)

    def test_a_training_is_not_gone_on_with_from_another_start(self, tmp_path: Path) -> None:
        start = learn(CLIPS, VOCABULARY, CONFIG, seed=1)[0].state_dict()
        learn(CLIPS, VOCABULARY, CONFIG, seed=0, resume_dir=tmp_path, start=start)
        learn(CLIPS, VOCABULARY, CONFIG, seed=0, resume_dir=tmp_path, start=start)
        with pytest.raises(UserError, match="remove it to train from the start"):
            learn(CLIPS, VOCABULARY, CONFIG, seed=0, resume_dir=tmp_path)
