"""Eq. 7-10 by sums and loops, at their bounds, and which way their gradients go."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from laiar_samples import random_batch, small_model
from whyact.laiar import losses

SEEDS = st.integers(0, 10_000)
FEW = settings(max_examples=20)
HOT = torch.tensor(math.log(1 / 0.07))


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def softmax(row: list[float]) -> list[float]:
    shifted = [math.exp(x - max(row)) for x in row]
    return [x / sum(shifted) for x in shifted]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


class TestClassification:
    def test_single_label(self) -> None:
        logits, target, weight = rand(3, 4), torch.tensor([1, 0, 3]), torch.tensor([1.0, 2.0, 3.0, 0.5])
        cost = [-math.log(softmax(row)[t]) for row, t in zip(logits.tolist(), target.tolist(), strict=True)]
        assert losses.classification(logits, target).item() == pytest.approx(sum(cost) / 3, abs=1e-5)
        w = [2.0, 1.0, 0.5]
        weighted = sum(a * c for a, c in zip(w, cost, strict=True)) / sum(w)
        assert losses.classification(logits, target, weight).item() == pytest.approx(weighted, abs=1e-5)

    def test_several_labels(self) -> None:
        logits, target = rand(3, 4), torch.tensor([[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
        cost = [
            -math.log(sigmoid(x) if y else 1 - sigmoid(x))
            for row, truth in zip(logits.tolist(), target.tolist(), strict=True)
            for x, y in zip(row, truth, strict=True)
        ]
        assert losses.classification(logits, target).item() == pytest.approx(sum(cost) / 12, abs=1e-5)


def similarity_by_loops(v: Tensor, s: Tensor, label: list[int], log_t: float, strict: bool) -> float:
    scale = min(math.exp(log_t), 100.0)

    def cosine(a: Tensor, b: Tensor) -> float:
        return float(a @ b / (a.norm() * b.norm()))

    n, total = len(v), 0.0
    for first, second in ((v, s), (s, v)):
        for i in range(n):
            likely = softmax([scale * cosine(first[i], second[j]) for j in range(n)])
            positive = [j for j in range(n) if (j == i if strict else label[j] == label[i])]
            total -= sum(math.log(likely[j]) for j in positive) / len(positive) / n
    return total / 2


class TestSimilarity:
    @pytest.mark.parametrize("strict", [True, False])
    @pytest.mark.parametrize("log_t", [0.0, 1.0, math.log(1 / 0.07)])
    def test_by_loops(self, log_t: float, strict: bool) -> None:
        v, s, label = rand(7, 5), rand(7, 5, seed=1), [3, 1, 3, 3, 2, 1, 9]
        found = losses.similarity(v, s, torch.tensor(label), torch.tensor(log_t), strict=strict)
        assert found.item() == pytest.approx(similarity_by_loops(v, s, label, log_t, strict), rel=1e-4)

    @FEW
    @given(SEEDS)
    def test_distinct_labels_make_multi_and_strict_the_same(self, seed: int) -> None:
        v, s = rand(6, 4, seed=seed), rand(6, 4, seed=seed + 1)
        multi = losses.similarity(v, s, torch.randperm(6), HOT)
        torch.testing.assert_close(multi, losses.similarity(v, s, torch.zeros(6), HOT, strict=True))

    def test_equal_pairs_fool_the_strict_loss_only_into_a_higher_optimum(self) -> None:
        """Two identical triples: strict asks to tell them apart and cannot go below log 2."""
        v = torch.tensor([[1.0, 0], [1, 0], [-1, 0], [-1, 0]])
        label = torch.tensor([0, 0, 1, 1])
        hot = torch.tensor(math.log(100.0))
        strict = losses.similarity(v, v, label, hot, strict=True)
        assert strict.item() == pytest.approx(math.log(2), abs=1e-4)
        distinct = losses.similarity(torch.eye(4), torch.eye(4), torch.arange(4), hot, strict=True)
        assert distinct.item() == pytest.approx(0, abs=1e-4)
        v = v.clone().requires_grad_()
        losses.similarity(v, v.detach(), label, hot).backward()
        assert v.grad is not None
        assert v.grad.abs().max() < 1e-4  # multi-positive is content with it

    def test_temperature_is_clamped(self) -> None:
        v, s, label = rand(5, 3), rand(5, 3, seed=1), torch.arange(5)
        cold = torch.tensor(9.0, requires_grad=True)
        found = losses.similarity(v, s, label, cold)
        torch.testing.assert_close(found, losses.similarity(v, s, label, torch.tensor(math.log(100.0))))

    def test_length_of_a_token_does_not_matter(self) -> None:
        v, s, label = rand(5, 3), rand(5, 3, seed=1), torch.arange(5)
        torch.testing.assert_close(losses.similarity(v * 7, s / 3, label, HOT), losses.similarity(v, s, label, HOT))

    @pytest.mark.parametrize("n", [0, 1])
    def test_fewer_than_two_tokens_cost_nothing(self, n: int) -> None:
        v = rand(n, 3).requires_grad_()
        found = losses.similarity(v, rand(n, 3), torch.arange(n), HOT)
        assert found.item() == 0
        found.backward()

    def test_both_encoders_and_the_temperature_learn(self) -> None:
        v, s, t = rand(5, 3).requires_grad_(), rand(5, 3, seed=1).requires_grad_(), HOT.clone().requires_grad_()
        losses.similarity(v, s, torch.arange(5), t).backward()
        for x in (v, s, t):
            assert x.grad is not None
            assert x.grad.any()


class TestTokenSelection:
    @FEW
    @given(SEEDS, st.sampled_from([0.0, 0.1, 1.0]))
    def test_by_loops(self, seed: int, l1: float) -> None:
        g = torch.Generator().manual_seed(seed)
        video, language, valid = (torch.rand(2, 3, 4, generator=g).round() for _ in range(3))
        there = valid.bool().nonzero().tolist()
        cost = sum((video[b, t, k] - language[b, t, k]) ** 2 + l1 * abs(language[b, t, k]) for b, t, k in there)
        found = losses.token_selection(video, language, valid.bool(), l1)
        assert found.item() == pytest.approx(float(cost) / max(1, len(there)), abs=1e-5)

    def test_zero_when_equal_and_empty(self) -> None:
        nothing, valid = torch.zeros(2, 3, 4), torch.ones(2, 3, 4, dtype=torch.bool)
        assert losses.token_selection(nothing, nothing, valid, 1.0) == 0
        assert losses.token_selection(nothing + 1, nothing + 1, valid, 0.0) == 0
        assert losses.token_selection(nothing + 1, nothing + 1, valid, 1.0) == 1

    def test_no_valid_token(self) -> None:
        x = torch.ones(1, 2, 2)
        assert losses.token_selection(x, x * 0, torch.zeros(1, 2, 2, dtype=torch.bool), 1.0) == 0

    @pytest.mark.parametrize("detach", [True, False])
    def test_detach(self, detach: bool) -> None:
        video, language = torch.ones(1, 2, 2, requires_grad=True), torch.zeros(1, 2, 2, requires_grad=True)
        losses.token_selection(video, language, torch.ones(1, 2, 2, dtype=torch.bool), 0.0, detach=detach).backward()
        assert (language.grad is not None and bool(language.grad.any())) != detach
        assert video.grad is not None
        assert (video.grad == 2 / 4).all()  # 2 d / n

    def test_sparsity_pulls_at_the_language_signal_alone(self) -> None:
        video, language = torch.ones(1, 2, 2, requires_grad=True), torch.ones(1, 2, 2, requires_grad=True)
        losses.token_selection(video, language, torch.ones(1, 2, 2, dtype=torch.bool), 1.0).backward()
        assert language.grad is not None
        assert (language.grad > 0).all()
        assert video.grad is not None
        assert not video.grad.any()

    @pytest.mark.parametrize("shared", [True, False])
    def test_sparsity_moves_the_video_path_only_through_a_shared_former(self, shared: bool) -> None:
        model = small_model(shared=shared).train()
        batch = random_batch()
        keep = model.language(batch, progress=0.9).selection.keep
        losses.token_selection(keep.detach(), keep, batch.valid, 1.0).backward()
        moved = any(p.grad is not None and bool(p.grad.any()) for p in model.dt_former.parameters())
        assert moved == shared
        assert all(p.grad is None or not p.grad.any() for p in model.f_v.parameters())


class TestSelectionGuidance:
    def by_loops(self, score: Tensor, used: Tensor, valid: Tensor) -> float:
        total = 0.0
        for b in range(len(score)):
            there = valid[b].nonzero().tolist()
            if not there:
                continue
            likely = softmax([float(score[b, t, k]) for t, k in there])
            target = [float(used[b, t, k]) for t, k in there]
            target = [x / sum(target) for x in target]
            total += sum(p * math.log(p / q) for p, q in zip(target, likely, strict=True) if p)
        return total / len(score)

    @FEW
    @given(SEEDS)
    def test_by_loops(self, seed: int) -> None:
        g = torch.Generator().manual_seed(seed)
        valid = torch.rand(3, 4, 2, generator=g) < 0.7
        used = torch.rand(3, 4, 2, generator=g) * valid
        score = rand(3, 4, 2, seed=seed)
        found = losses.selection_guidance(score, used, valid).item()
        assert found == pytest.approx(self.by_loops(score, used, valid), abs=1e-4)
        assert found >= -1e-6

    def test_zero_where_the_selectors_agree_and_a_target_only(self) -> None:
        used = torch.rand(2, 3, 2).softmax(-1).requires_grad_()
        score = used.detach().log().requires_grad_()
        losses.selection_guidance(score, used, torch.ones(2, 3, 2, dtype=torch.bool)).backward()
        assert used.grad is None
        assert score.grad is not None
        assert score.grad.abs().max() < 1e-6

    def test_clips_without_tokens_cost_nothing(self) -> None:
        score = rand(2, 3, 2).requires_grad_()
        cost = losses.selection_guidance(score, torch.zeros(2, 3, 2), torch.zeros(2, 3, 2, dtype=torch.bool))
        assert cost.item() == 0
        cost.backward()
        assert torch.isfinite(score.grad).all()  # type: ignore[arg-type]


class TestKeepRatio:
    def test_by_hand(self) -> None:
        probability = torch.tensor([[[0.2, 0.9], [0.6, 0.4]]])
        valid = torch.tensor([[[True, False], [True, True]]])
        assert losses.keep_ratio(probability, valid, 0.5).item() == pytest.approx((0.4 - 0.5) ** 2)

    def test_pulls_from_both_sides(self) -> None:
        for value, sign in ((0.9, 1), (0.1, -1)):
            probability = torch.full((1, 2, 2), value, requires_grad=True)
            losses.keep_ratio(probability, torch.ones(1, 2, 2, dtype=torch.bool), 0.5).backward()
            assert (probability.grad.sign() == sign).all()  # type: ignore[union-attr]


class TestCrossModal:
    def test_softmax_by_sums(self) -> None:
        student, teacher = rand(3, 4), rand(3, 4, seed=1)
        total = 0.0
        for a, b in zip(student.tolist(), teacher.tolist(), strict=True):
            total += sum(p * math.log(p / q) for p, q in zip(softmax(b), softmax(a), strict=True))
        assert losses.cross_modal(student, teacher).item() == pytest.approx(total / 3, abs=1e-5)

    def test_bernoulli_by_sums(self) -> None:
        student, teacher = rand(3, 4), rand(3, 4, seed=1)
        total = 0.0
        for a, b in zip(student.flatten().tolist(), teacher.flatten().tolist(), strict=True):
            p, q = sigmoid(b), sigmoid(a)
            total += p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
        assert losses.cross_modal(student, teacher, multi_label=True).item() == pytest.approx(total / 12, abs=1e-5)

    @pytest.mark.parametrize("multi_label", [True, False])
    @FEW
    @given(seed=SEEDS)
    def test_never_negative_and_zero_at_equality(self, multi_label: bool, seed: int) -> None:
        student, teacher = rand(3, 4, seed=seed) * 3, rand(3, 4, seed=seed + 1) * 3
        assert losses.cross_modal(student, teacher, multi_label=multi_label) > 0
        assert abs(losses.cross_modal(teacher, teacher, multi_label=multi_label)) < 1e-6

    @pytest.mark.parametrize("multi_label", [True, False])
    @pytest.mark.parametrize("detach", [True, False])
    def test_detach(self, detach: bool, multi_label: bool) -> None:
        student, teacher = rand(3, 4).requires_grad_(), rand(3, 4, seed=1).requires_grad_()
        losses.cross_modal(student, teacher, detach=detach, multi_label=multi_label).backward()
        assert (teacher.grad is None) == detach
        assert student.grad is not None
        assert student.grad.any()

    def test_descent_brings_the_student_to_the_teacher(self) -> None:
        """The sign printed in the paper would drive it away."""
        student, teacher = torch.zeros(2, 4, requires_grad=True), rand(2, 4)
        before = losses.cross_modal(student, teacher)
        before.backward()
        after = losses.cross_modal(student - 0.5 * student.grad, teacher)  # type: ignore[operator]
        assert after < before

    def test_extreme_logits_stay_finite(self) -> None:
        student, teacher = torch.tensor([[200.0, -200.0]]), torch.tensor([[-200.0, 200.0]])
        for multi_label in (True, False):
            assert torch.isfinite(losses.cross_modal(student, teacher, multi_label=multi_label))
