"""Eq. 1 and 2 and the pooled encoders, against straight-from-the-definition references."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from laiar_samples import close, padded, random_batch, small_model
from torch import Tensor, nn

from whyact.laiar.model import GPO, box_geometry, box_masks

SEEDS = st.integers(0, 10_000)
FEW = settings(max_examples=15)


def covered(box: list[float], union: list[float], size: int, row: int, column: int, fine: int = 40) -> float:
    """Count the sample points of a cell that the box covers."""
    (x0, y0, x1, y1), (u0, v0, u1, v1) = box, union
    hits = 0
    for i in range(fine):
        for j in range(fine):
            y = v0 + (row + (i + 0.5) / fine) / size * (v1 - v0)
            x = u0 + (column + (j + 0.5) / fine) / size * (u1 - u0)
            hits += x0 <= x < x1 and y0 <= y < y1
    return hits / fine**2


class TestBoxMasks:
    def test_by_hand(self) -> None:
        """Union 27 x 27: the subject covers 13.5 columns, the object all but nine rows and columns."""
        boxes = torch.tensor([[[10.0, 20.0, 23.5, 47.0], [19.0, 29.0, 37.0, 47.0]]])
        masks = box_masks(boxes, torch.ones(1, 2, dtype=torch.bool), 27)
        subject, thing = torch.zeros(27, 27), torch.zeros(27, 27)
        subject[:, :13], subject[:, 13] = 1, 0.5
        thing[9:, 9:] = 1
        close(masks[0], torch.stack([subject, thing]) - 0.5)

    @settings(max_examples=8)
    @given(SEEDS)
    def test_by_counting_points(self, seed: int) -> None:
        boxes = random_batch(1, 1, 1, seed=seed, gaps=0.0).boxes[0, 0]
        size = 4
        masks = box_masks(boxes, torch.ones(1, 2, dtype=torch.bool), size)[0] + 0.5
        both = boxes[0].tolist()
        union = [min(b[i] for b in both) for i in (0, 1)] + [max(b[i] for b in both) for i in (2, 3)]
        for channel, box in enumerate(both):
            for row in range(size):
                for column in range(size):
                    assert masks[channel, row, column] == pytest.approx(
                        covered(box, union, size, row, column), abs=0.06
                    )

    @FEW
    @given(SEEDS)
    def test_area_is_the_share_of_the_union(self, seed: int) -> None:
        boxes = random_batch(1, 3, 2, seed=seed, gaps=0.0).boxes[0].flatten(0, 1)
        masks = box_masks(boxes, torch.ones(6, 2, dtype=torch.bool), 9) + 0.5
        union = (boxes[..., 2:].amax(1) - boxes[..., :2].amin(1)).prod(-1)
        area = (boxes[..., 2:] - boxes[..., :2]).prod(-1)
        close(masks.mean((-1, -2)), area / union[:, None])

    def test_exchanged_boxes_exchange_channels(self) -> None:
        boxes = random_batch(1, 3, 2, gaps=0.0).boxes[0].flatten(0, 1)
        seen = torch.ones(6, 2, dtype=torch.bool)
        assert torch.equal(box_masks(boxes.flip(1), seen, 7), box_masks(boxes, seen, 7).flip(1))

    def test_neither_place_nor_scale_matters(self) -> None:
        boxes = random_batch(1, 3, 2, gaps=0.0).boxes[0].flatten(0, 1)
        seen = torch.ones(6, 2, dtype=torch.bool)
        close(box_masks(boxes * 480 + 17, seen, 7), box_masks(boxes, seen, 7), 1e-4)

    def test_a_hidden_box_covers_nothing_and_does_not_widen_the_union(self) -> None:
        boxes = torch.tensor([[[0.2, 0.2, 0.4, 0.4], [0.0, 0.0, 0.9, 0.9]]])
        masks = box_masks(boxes, torch.tensor([[True, False]]), 5)[0]
        assert (masks[0] == 0.5).all()
        assert (masks[1] == -0.5).all()
        assert (box_masks(boxes, torch.tensor([[False, False]]), 5) == -0.5).all()

    def test_boxes_without_area_are_finite(self) -> None:
        boxes = torch.tensor([[[0.3, 0.3, 0.3, 0.3], [0.3, 0.3, 0.3, 0.3]]])
        masks = box_masks(boxes, torch.ones(1, 2, dtype=torch.bool), 5)
        assert (masks == -0.5).all()


def geometry_by_definition(boxes: np.ndarray, seen: np.ndarray, t: int, k: int) -> list[float]:
    """Describe one pair with plain numbers."""

    def centre(f: int, s: int) -> list[float]:
        x0, y0, x1, y1 = boxes[f, k, s]
        return [(x0 + x1) / 2, (y0 + y1) / 2]

    def side(f: int, s: int) -> list[float]:
        x0, y0, x1, y1 = boxes[f, k, s]
        return [x1 - x0, y1 - y0]

    def mean_scale(f: int) -> float:
        return sum(math.sqrt(math.prod(side(f, s))) for s in (0, 1)) / 2

    def gap(f: int) -> float:
        a, b = boxes[f, k]
        apart = [max(0.0, max(a[i], b[i]) - min(a[i + 2], b[i + 2])) for i in (0, 1)]
        return min(8.0, math.hypot(*apart) / mean_scale(f)) / 4

    still = [x for s in (0, 1) for x in (centre(t, s) if seen[t, k, s] else [0.0, 0.0])]
    still += [x for s in (0, 1) for x in (side(t, s) if seen[t, k, s] else [0.0, 0.0])]
    pair = [0.0] * 6
    if seen[t, k].all():
        a, b = boxes[t, k]
        offset = [min(8.0, max(-8.0, (centre(t, 1)[i] - centre(t, 0)[i]) / mean_scale(t))) / 4 for i in (0, 1)]
        ratio = math.log(math.sqrt(math.prod(side(t, 0))) / math.sqrt(math.prod(side(t, 1))))
        common = math.prod(max(0.0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1))
        pair = [*offset, ratio, gap(t), common / math.prod(side(t, 0)), common / math.prod(side(t, 1))]
    gaps, moves = [], []
    for other in (t - 1, t + 1):
        sign = 1 if other < t else -1
        inside = 0 <= other < len(boxes)
        both = inside and seen[t, k].all() and seen[other, k].all()
        gaps.append(sign * (gap(t) - gap(other)) if both else 0.0)
        for s in (0, 1):
            known = inside and seen[t, k, s] and seen[other, k, s]
            moves += [10 * sign * (centre(t, s)[i] - centre(other, s)[i]) if known else 0.0 for i in (0, 1)]
    return [*still, *pair, *seen[t, k].astype(float), *gaps, *moves]


class TestBoxGeometry:
    @FEW
    @given(SEEDS)
    def test_by_definition(self, seed: int) -> None:
        batch = random_batch(2, 4, 3, seed=seed, gaps=0.4)
        found = box_geometry(batch.boxes, batch.seen)
        for b in range(2):
            boxes, seen = batch.boxes[b].numpy().astype(float), batch.seen[b].numpy()
            for t in range(4):
                for k in range(3):
                    expected = geometry_by_definition(boxes, seen, t, k)
                    assert found[b, t, k].tolist() == pytest.approx(expected, abs=1e-4)

    def test_hidden_boxes_are_not_read(self) -> None:
        batch = random_batch(gaps=0.5)
        garbage = torch.where(batch.seen[..., None], batch.boxes, torch.rand_like(batch.boxes))
        assert torch.equal(box_geometry(garbage, batch.seen), box_geometry(batch.boxes, batch.seen))

    def test_one_frame(self) -> None:
        batch = random_batch(2, 1, 3)
        assert not box_geometry(batch.boxes, batch.seen)[..., 16:].any()


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
