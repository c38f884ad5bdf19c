"""The features of Eq. 1 and 2 and the pooled encoders, against straight-from-the-definition references."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from laiar_samples import close, padded, random_batch, small_model
from whyact.laiar.pooling import GPO

SEEDS = st.integers(0, 10_000)
FEW = settings(max_examples=15)


class TestRelationFeatures:
    def test_padded_pairs_are_zero(self) -> None:
        model, batch = small_model(), random_batch()
        for features in (model.v(batch), model.s(batch)):
            assert not features[~batch.valid].any()
            assert features[batch.valid].any(-1).all()

    def test_batch_norm_never_sees_padding(self) -> None:
        states = []
        for extra in (0, 5):
            model = small_model().train()
            model.v(padded(random_batch(), extra))
            states.append([m.running_mean for m in model.v.modules() if isinstance(m, nn.BatchNorm2d)])
        for a, b in zip(*states, strict=True):
            close(a, b)  # type: ignore[arg-type]

    def test_semantic_feature_by_definition(self) -> None:
        model, batch = small_model(), random_batch()
        assert batch.relations is not None
        batch.relations[0, 0, 0] = torch.tensor([1.0, 0, 1, 1, 0, 0])  # a set of three labels
        s = model.s(batch)
        for b, t, k in batch.valid.nonzero().tolist():
            rows = [model.s.relation[r] for r in range(6) if batch.relations[b, t, k, r]]
            subject, thing = batch.classes[b, k].tolist()
            expected = [model.s.subject.weight[subject], sum(rows) / len(rows), model.s.object.weight[thing]]
            close(s[b, t, k], torch.cat(expected))

    @pytest.mark.parametrize(
        ("options", "width"),
        [({}, 20), ({"geometry": False}, 14), ({"category": False}, 12), ({"app_width": 7}, 26)],
    )
    def test_terms_can_be_switched(self, options: dict[str, Any], width: int) -> None:
        model = small_model(**options)
        assert model.v(random_batch(appearance=7)).shape[-1] == model.v.width == width


def gru_by_definition(gru: nn.GRU, codes: Tensor) -> Tensor:
    """Run both directions of a one-layer GRU step by step and average them: (n,H)."""
    outputs = []
    for suffix, order in (("", range(len(codes))), ("_reverse", range(len(codes) - 1, -1, -1))):
        w_i, w_h = getattr(gru, f"weight_ih_l0{suffix}"), getattr(gru, f"weight_hh_l0{suffix}")
        b_i, b_h = getattr(gru, f"bias_ih_l0{suffix}"), getattr(gru, f"bias_hh_l0{suffix}")
        h, rows = torch.zeros(gru.hidden_size), {}
        for i in order:
            (ir, iz, ic), (hr, hz, hc) = (w_i @ codes[i] + b_i).chunk(3), (w_h @ h + b_h).chunk(3)
            r, z = torch.sigmoid(ir + hr), torch.sigmoid(iz + hz)
            h = (1 - z) * torch.tanh(ic + r * hc) + z * h
            rows[i] = h
        outputs.append(torch.stack([rows[i] for i in range(len(codes))]))
    return (outputs[0] + outputs[1]) / 2


def gpo_weights_by_definition(gpo: GPO, n: int) -> Tensor:
    """Return the n rank weights, from the sinusoid of ranks 1..n to the softmax."""
    steps = min(n, gpo.knots) if gpo.knots else n
    ranks = [1 + i * (n - 1) / max(1, steps - 1) for i in range(steps)]
    codes = torch.zeros(steps, gpo.codes)
    for i, rank in enumerate(ranks):
        for j in range(gpo.codes // 2):
            angle = rank / 10_000 ** (2 * j / gpo.codes)
            codes[i, 2 * j], codes[i, 2 * j + 1] = math.sin(angle), math.cos(angle)
    logits = (gru_by_definition(gpo.gru, codes) @ gpo.score.weight[0]).tolist()
    every = np.interp(np.arange(1, n + 1), ranks, logits) / gpo.temperature
    shifted = [math.exp(x - max(every)) for x in every]
    return torch.tensor([x / sum(shifted) for x in shifted])


def gpo(seed: int = 0, **options: Any) -> GPO:
    torch.manual_seed(seed)
    return GPO(**{"codes": 8, "hidden": 6, **options})


class TestGPO:
    @pytest.mark.parametrize("knots", [0, 2, 4, 30])
    def test_by_definition(self, knots: int) -> None:
        pool, x = gpo(knots=knots), torch.randn(4, 9, 3)
        mask = torch.tensor([[i < n for i in range(9)] for n in (9, 1, 5, 2)])[:, torch.randperm(9)]
        found = pool(x, mask)
        for b in range(4):
            weights = gpo_weights_by_definition(pool, int(mask[b].sum()))
            for channel in range(3):
                values = sorted((float(x[b, i, channel]) for i in range(9) if mask[b, i]), reverse=True)
                expected = sum(float(w) * v for w, v in zip(weights, values, strict=True))
                assert found[b, channel].item() == pytest.approx(expected, abs=1e-4)

    @FEW
    @given(st.lists(st.integers(0, 12), min_size=1, max_size=5), st.sampled_from([0, 3, 8]))
    def test_weights_sum_to_one_over_valid_ranks(self, counts: list[int], knots: int) -> None:
        weights = gpo(knots=knots).weights(torch.tensor(counts), 12)
        for row, n in zip(weights, counts, strict=True):
            assert row.sum().item() == pytest.approx(1.0 if n else 0.0, abs=1e-5)
            assert not row[n:].any()
            assert (row[:n] > 0).all()

    def test_order_of_the_elements_does_not_matter(self) -> None:
        pool, x, order = gpo(), torch.randn(2, 7, 5), torch.randperm(7)
        mask = torch.tensor([[True] * 4 + [False] * 3, [True] * 7])
        close(pool(x[:, order], mask[:, order]), pool(x, mask))

    def test_padding_changes_nothing(self) -> None:
        pool, x = gpo(knots=3), torch.randn(2, 7, 5)
        mask = torch.ones(2, 7, dtype=torch.bool)
        more = torch.cat([x, 100 + torch.randn(2, 4, 5)], 1)
        close(pool(more, torch.nn.functional.pad(mask, (0, 4))), pool(x, mask))

    def test_equal_weights_are_the_mean(self) -> None:
        pool, x = gpo(), torch.randn(2, 7, 5)
        nn.init.zeros_(pool.score.weight)
        mask = torch.tensor([[True] * 4 + [False] * 3, [True] * 7])
        close(pool(x, mask), torch.stack([x[0, :4].mean(0), x[1].mean(0)]))

    def test_all_weight_on_the_first_rank_is_the_maximum(self) -> None:
        class First(GPO):
            def weights(self, count: Tensor, length: int) -> Tensor:
                return torch.eye(1, length).expand(len(count), -1)

        x = torch.randn(2, 7, 5)
        close(First()(x, torch.ones(2, 7, dtype=torch.bool)), x.amax(1))

    def test_one_element_is_itself_and_none_is_zero(self) -> None:
        pool, x = gpo(knots=4), torch.randn(2, 3, 5)
        mask = torch.tensor([[False, True, False], [False] * 3])
        close(pool(x, mask), torch.stack([x[0, 1], torch.zeros(5)]))

    def test_knots_do_not_matter_up_to_their_number(self) -> None:
        x, mask = torch.randn(2, 7, 5), torch.ones(2, 7, dtype=torch.bool)
        close(gpo(1, knots=7)(x, mask), gpo(1)(x, mask))
        assert not torch.allclose(gpo(1, knots=3)(x, mask), gpo(1)(x, mask), atol=1e-4)
