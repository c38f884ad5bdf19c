"""Which tokens the DT-Former gets to see: never too many, never none, never one that is not there."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from laiar_samples import random_batch, small_model
from whyact.laiar.config import SelectConfig
from whyact.laiar.selection import TokenSelectors, changes, gumbel, keep_best, straight_through

SEEDS = st.integers(0, 10_000)
FEW = settings(max_examples=20)
WIDTH = 8


def selectors(seed: int = 0, spread: float = 0.7, **options: Any) -> TokenSelectors:
    """Return selectors in evaluation mode that tell tokens apart."""
    torch.manual_seed(seed)
    made = TokenSelectors(WIDTH, SelectConfig(**options))
    for parameter in made.parameters():
        if parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=spread)
    return made.eval()


def tokens(clips: int = 3, frames: int = 5, slots: int = 4, seed: int = 0, gaps: float = 0.3) -> tuple[Tensor, ...]:
    """Return x0, valid and the class token."""
    g = torch.Generator().manual_seed(seed)
    valid = torch.rand(clips, frames, slots, generator=g) >= gaps
    return torch.randn(clips, frames, slots, WIDTH, generator=g), valid, torch.randn(1, 1, WIDTH, generator=g)


class TestKeepBest:
    @FEW
    @given(SEEDS, st.integers(1, 100))
    def test_by_sorting(self, seed: int, percent: int) -> None:
        g = torch.Generator().manual_seed(seed)
        score = torch.randint(-3, 4, (6, 11), generator=g).float()  # with ties
        valid = torch.rand(6, 11, generator=g) < 0.7
        keep, _ = keep_best(score, valid, percent / 100, 1.0)
        for row, there, found in zip(score.tolist(), valid.tolist(), keep.tolist(), strict=True):
            order = sorted((i for i in range(11) if there[i]), key=lambda i: (-row[i], i))
            count = -(-percent * len(order) // 100)  # the ceiling, in whole numbers
            assert [i for i in range(11) if found[i]] == sorted(order[:count])
            assert set(found) <= {0.0, 1.0}

    def test_at_least_one_of_any_and_none_of_none(self) -> None:
        valid = torch.tensor([[True, False, False], [False, False, False], [True, True, True]])
        keep, soft = keep_best(torch.tensor([[-9.0, 5, 5], [1, 2, 3], [1, 3, 2]]), valid, 0.01, 1.0)
        assert keep.tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]
        assert torch.isfinite(soft).all()

    def test_soft_decision_is_a_sigmoid_around_the_boundary(self) -> None:
        score = torch.tensor([[4.0, 1.0, 2.0, -1.0]])
        _, soft = keep_best(score, torch.ones(1, 4, dtype=torch.bool), 0.5, 0.5)
        expected = [1 / (1 + math.exp(-(s - 1.5) / 0.5)) for s in (4.0, 1.0, 2.0, -1.0)]
        assert soft[0].tolist() == pytest.approx(expected, abs=1e-5)

    @FEW
    @given(SEEDS, st.sampled_from([0.2, 0.5, 1.0]))
    def test_gradient_is_the_soft_ones_at_every_valid_token_and_only_there(self, seed: int, share: float) -> None:
        g = torch.Generator().manual_seed(seed)
        score = torch.randn(4, 9, generator=g).requires_grad_()
        valid = torch.rand(4, 9, generator=g) < 0.7
        keep, soft = keep_best(score, valid, share, 0.8)
        weight = torch.randn(4, 9, generator=g)
        (keep * weight).sum().backward()
        slope = (soft * (1 - soft) / 0.8 * weight * valid).detach()
        torch.testing.assert_close(score.grad, slope)
        assert (score.grad[valid] != 0).all()  # type: ignore[index]

    def test_a_higher_score_is_never_dropped_for_a_lower_one(self) -> None:
        score, valid = torch.randn(5, 20), torch.rand(5, 20) < 0.8
        keep, _ = keep_best(score, valid, 0.3, 1.0)
        for row in range(5):
            kept, dropped = score[row][keep[row] > 0], score[row][valid[row] & (keep[row] == 0)]
            assert kept.min() > dropped.max()


class TestPieces:
    def test_straight_through(self) -> None:
        soft = torch.tensor([0.2, 0.9], requires_grad=True)
        out = straight_through(torch.tensor([True, False]), soft)
        assert out.tolist() == [1.0, 0.0]
        out.sum().backward()
        assert soft.grad is not None
        assert soft.grad.tolist() == [1.0, 1.0]

    def test_noise_is_logistic_and_finite(self) -> None:
        torch.manual_seed(0)
        noise = gumbel(torch.zeros(200_000))
        assert torch.isfinite(noise).all()
        assert float(noise.mean()) == pytest.approx(0, abs=0.02)
        assert float(noise.var()) == pytest.approx(math.pi**2 / 3, rel=0.02)
        assert float((noise < 1).float().mean()) == pytest.approx(1 / (1 + math.exp(-1)), abs=0.005)

    def test_changes_by_loops(self) -> None:
        x, valid, _ = tokens()
        deviation, following, previous = changes(x, valid)
        for b in range(3):
            for k in range(4):
                there = [t for t in range(5) if valid[b, t, k]]
                mean = sum((x[b, t, k] for t in there), torch.zeros(WIDTH)) / max(1, len(there))
                for t in range(5):
                    zero = torch.zeros(WIDTH)
                    after = x[b, t + 1, k] - x[b, t, k] if t in there and t + 1 in there else zero
                    before = x[b, t, k] - x[b, t - 1, k] if t in there and t - 1 in there else zero
                    torch.testing.assert_close(deviation[b, t, k], x[b, t, k] - mean if t in there else zero)
                    torch.testing.assert_close(following[b, t, k], after)
                    torch.testing.assert_close(previous[b, t, k], before)

    def test_as_made_every_token_is_as_likely(self) -> None:
        x, valid, cls = tokens()
        temporal, spatial = TokenSelectors(WIDTH, SelectConfig()).logits(x, valid, cls)
        for logits in (temporal, spatial):
            assert torch.equal(logits, torch.full_like(logits, 2.0))  # type: ignore[arg-type]

    def test_schedule(self) -> None:
        made = selectors(share=0.2, warmup=0.3, ramp=0.4, noise=0.5)
        shares = [made.schedule(p)[0] for p in (0.0, 0.3, 0.5, 0.7, 1.0)]
        assert shares == pytest.approx([1.0, 1.0, 0.6, 0.2, 0.2])
        assert [made.schedule(p)[1] for p in (0.0, 0.5, 1.0)] == pytest.approx([0.5, 0.25, 0.0])

    def test_literal_selector_by_definition(self) -> None:
        """Eq. 3 with the class token as context, product of the two decisions."""
        made, (x, valid, cls) = selectors(context="class", rule="threshold"), tokens()
        keep = made(x, valid, cls, 1.0).keep
        assert made.temporal is not None
        assert made.spatial is not None

        def likely(head: Any, token: Tensor) -> bool:
            joined = torch.cat([head.compress[0](token), head.compress[1](cls[0, 0])])
            keeping, dropping = head.mlp(joined)
            return bool(keeping >= dropping)

        for b in range(3):
            expected = torch.zeros(5, 4)
            for t in range(5):
                there = [k for k in range(4) if valid[b, t, k]]
                if there and likely(made.temporal, torch.stack([x[b, t, k] for k in there]).mean(0)):
                    for k in there:
                        expected[t, k] = likely(made.spatial, x[b, t, k])
            if expected.any():
                assert torch.equal(keep[b], expected)


RULES: dict[str, dict[str, Any]] = {
    "budget": {"rule": "budget", "share": 0.3},
    "budget, class": {"rule": "budget", "share": 0.3, "context": "class"},
    "budget, tokens only": {"rule": "budget", "share": 0.3, "temporal": False},
    "budget, frames only": {"rule": "budget", "share": 0.3, "spatial": False},
    "threshold": {"rule": "threshold"},
    "threshold, mean": {"rule": "threshold", "context": "mean"},
    "threshold, tokens only": {"rule": "threshold", "temporal": False},
    "threshold, frames only": {"rule": "threshold", "spatial": False},
}


class TestRules:
    @pytest.mark.parametrize("rule", RULES)
    @settings(max_examples=8)
    @given(seed=SEEDS)
    def test_keeps_valid_tokens_only_and_never_none(self, rule: str, seed: int) -> None:
        x, valid, cls = tokens(seed=seed, gaps=0.7)
        found = selectors(seed, spread=1.5, **RULES[rule])(x, valid, cls, 1.0)
        assert set(found.keep.unique().tolist()) <= {0.0, 1.0}
        assert not (found.keep * ~valid).any()
        assert torch.equal(found.keep.flatten(1).any(1), valid.flatten(1).any(1))
        assert not (found.probability * ~valid).any()
        assert ((found.probability >= 0) & (found.probability <= 1)).all()

    @pytest.mark.parametrize("bias", [-1.0, -40.0, -300.0])
    def test_threshold_keeps_the_likeliest_where_all_are_unlikely(self, bias: float) -> None:
        made, (x, valid, cls) = selectors(rule="threshold"), tokens()
        valid[:, 0, 0] = False  # what the likeliest of equally hopeless ones would be
        for head in (made.temporal, made.spatial):
            torch.nn.init.constant_(head.mlp[-1].bias, 0.0)  # type: ignore[union-attr]
            head.mlp[-1].bias.data[0] = bias * 10  # type: ignore[union-attr]
        found = made(x, valid, cls, 1.0)
        assert found.keep.flatten(1).sum(1).tolist() == [1, 1, 1]
        assert (valid[found.keep > 0]).all()
        if bias == -1.0:  # still told apart by their probabilities
            best = found.probability.flatten(1).argmax(1)
            assert torch.equal(found.keep.flatten(1).argmax(1), best)

    @FEW
    @given(SEEDS, st.integers(1, 100))
    def test_budget_keeps_exactly_its_share(self, seed: int, percent: int) -> None:
        x, valid, cls = tokens(seed=seed)
        keep = selectors(seed, share=percent / 100)(x, valid, cls, 1.0).keep
        n = valid.flatten(1).sum(1).tolist()
        assert keep.flatten(1).sum(1).tolist() == [-(-percent * m // 100) for m in n]

    def test_budget_ranks_by_the_product_of_the_two_probabilities(self) -> None:
        made, (x, valid, cls) = selectors(share=0.5), tokens()
        temporal, spatial = made.logits(x, valid, cls)
        assert temporal is not None
        assert spatial is not None
        product = torch.sigmoid(temporal)[..., None] * torch.sigmoid(spatial)
        found = made(x, valid, cls, 1.0)
        torch.testing.assert_close(found.score.exp(), product)  # type: ignore[union-attr]
        for b in range(3):
            kept, dropped = product[b][found.keep[b] > 0], product[b][valid[b] & (found.keep[b] == 0)]
            assert kept.min() > dropped.max()

    @pytest.mark.parametrize("rule", ["budget", "threshold"])
    @pytest.mark.parametrize("gated", [True, False])
    def test_tells_the_order_of_tokens_under_every_rule(self, rule: str, gated: bool) -> None:
        made, (x, valid, cls) = selectors(rule=rule), tokens()
        found = made(x, valid, cls, 1.0, gated)
        temporal, spatial = made.logits(x, valid, cls)
        assert temporal is not None
        assert spatial is not None
        assert found.score is not None  # evidence orders its removals by it
        torch.testing.assert_close(found.score.exp(), torch.sigmoid(temporal)[..., None] * torch.sigmoid(spatial))

    def test_frames_go_whole_when_only_frames_are_chosen(self) -> None:
        made, (x, valid, cls) = selectors(spatial=False, share=0.4), tokens(gaps=0.2)
        keep = made(x, valid, cls, 1.0).keep
        frames = keep.any(2)
        assert torch.equal(keep, frames[..., None] * valid)
        assert frames.sum(1).tolist() == [math.ceil(0.4 * n) for n in valid.any(2).sum(1).tolist()]

    @pytest.mark.parametrize("rule", ["budget", "budget, frames only", "budget, tokens only"])
    def test_training_without_noise_is_evaluation(self, rule: str) -> None:
        made, (x, valid, cls) = selectors(noise=0.0, **RULES[rule]), tokens()
        trained = made.train()(x, valid, cls, 0.9)
        tested = made.eval()(x, valid, cls, 0.9)
        assert torch.equal(trained.keep, tested.keep)
        assert torch.equal(trained.probability, tested.probability)

    def test_noise_changes_what_is_kept_but_not_how_much(self) -> None:
        made, (x, valid, cls) = selectors(noise=5.0, share=0.3, ramp=0.0), tokens()
        made.train()
        drawn = [made(x, valid, cls, 0.5).keep for _ in range(5)]
        assert any(not torch.equal(drawn[0], other) for other in drawn[1:])
        assert len({tuple(keep.flatten(1).sum(1).tolist()) for keep in drawn}) == 1

    @pytest.mark.parametrize("rule", RULES)
    def test_evaluation_is_deterministic_and_draws_nothing(self, rule: str) -> None:
        made, (x, valid, cls) = selectors(**RULES[rule]), tokens()
        state = torch.get_rng_state()
        first = made(x, valid, cls, 1.0).keep
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.equal(made(x, valid, cls, 1.0).keep, first)

    @pytest.mark.parametrize("rule", RULES)
    def test_everything_is_kept_before_the_selectors_open(self, rule: str) -> None:
        made, (x, valid, cls) = selectors(**RULES[rule], warmup=0.3), tokens()
        assert torch.equal(made.train()(x, valid, cls, 0.29).keep, valid.float())
        assert torch.equal(made(x, valid, cls, 0.9, gated=False).keep, valid.float())
        drawn = [made(x, valid, cls, 0.9).keep for _ in range(20)]
        assert any(not torch.equal(keep, valid.float()) for keep in drawn)

    def test_off_means_everything(self) -> None:
        x, valid, cls = tokens()
        made = selectors(temporal=False, spatial=False)
        for training in (True, False):
            assert torch.equal(made.train(training)(x, valid, cls, 1.0).keep, valid.float())

    @pytest.mark.parametrize("rule", RULES)
    def test_content_of_invalid_tokens_does_not_matter(self, rule: str) -> None:
        made, (x, valid, cls) = selectors(**RULES[rule]), tokens()
        garbage = torch.where(valid[..., None], x, torch.randn_like(x) * 50)
        assert torch.equal(made(x, valid, cls, 1.0).keep, made(garbage, valid, cls, 1.0).keep)


class TestGradient:
    @pytest.mark.parametrize("rule", ["budget", "threshold"])
    @pytest.mark.parametrize("context", ["class", "mean", "change"])
    def test_classification_moves_every_parameter_of_both_selectors(self, rule: Any, context: Any) -> None:
        model = small_model(select=SelectConfig(rule=rule, context=context)).train()
        path = model.video(random_batch(4), progress=0.9)
        torch.nn.functional.cross_entropy(path.logits, torch.tensor([0, 1, 2, 3])).backward()
        for name in ("temporal", "spatial"):
            for parameter, p in getattr(model.dt_former.selectors, name).named_parameters():
                assert p.grad is not None, (name, parameter)
                assert torch.isfinite(p.grad).all()
                assert p.grad.any(), (name, parameter)

    @pytest.mark.parametrize("gate", ["mask", "multiply"])
    def test_kept_and_dropped_tokens_are_both_judged(self, gate: Any) -> None:
        model, batch = small_model(gate=gate), random_batch(gaps=0.0)
        keep = (torch.rand(batch.valid.shape) < 0.5).float() * batch.valid
        keep[:, 0, :2] = torch.tensor([1.0, 0.0])
        gate_in = keep.clone().requires_grad_()
        model.video(batch, keep=gate_in).logits.square().sum().backward()
        assert gate_in.grad is not None
        assert (gate_in.grad[batch.valid] != 0).all()
        assert not gate_in.grad[~batch.valid].any()

    def test_everything_kept_still_teaches_the_selectors(self) -> None:
        model = small_model(select=SelectConfig(warmup=0.0)).train()
        path = model.video(random_batch(), progress=0.0)
        assert torch.equal(path.selection.keep, random_batch().valid.float())
        path.logits.square().sum().backward()
        assert model.dt_former.selectors.spatial.compress[0].weight.grad.any()  # type: ignore[union-attr]
