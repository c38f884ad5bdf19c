"""Every loss against a loop straight from its definition."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch.distributions import Independent, Normal, kl_divergence

from whyact.errors import UserError
from whyact.pvlr import losses
from whyact.pvlr.config import OFFICIAL_LOSS, LossConfig
from whyact.pvlr.model import Output

PLAIN = LossConfig(easy=4, hard=2, inner=3, outer=7, mask_dropout=0.0)


def gaussians(n, m, d=6, seed=0):
    g = torch.Generator().manual_seed(seed)
    return (
        torch.randn(n, d, generator=g),
        0.1 + torch.rand(n, d, generator=g),
        torch.randn(m, d, generator=g),
        0.1 + torch.rand(m, d, generator=g),
    )


def test_kl_equals_torch_distributions_pair_by_pair():
    mp, vp, mq, vq = gaussians(4, 3)
    by_hand = [
        [
            kl_divergence(Independent(Normal(a, b.sqrt()), 1), Independent(Normal(c, d.sqrt()), 1))
            for c, d in zip(mq, vq, strict=False)
        ]
        for a, b in zip(mp, vp, strict=False)
    ]
    torch.testing.assert_close(losses.kl(mp, vp, mq, vq), torch.tensor(by_hand))


def test_kl_of_a_distribution_with_itself_is_zero_and_never_negative():
    mean, var = 50 + torch.randn(8, 1024), 0.01 + torch.rand(8, 1024)
    own = losses.kl(mean, var, mean, var).diagonal()
    assert (own >= 0).all()
    assert own.max() < 0.2


@pytest.mark.parametrize("half", [True, False])
def test_bhattacharyya_and_mahalanobis_by_pairs(half):
    mp, vp, mq, vq = gaussians(3, 2)
    b, m = losses.bhattacharyya(mp, vp, mq, vq, half), losses.mahalanobis(mp, vp, mq, vq)
    for i in range(3):
        for j in range(2):
            var, delta = (vp[i] + vq[j]) / 2, mp[i] - mq[j]
            quadratic = (delta**2 / var).sum()
            second = var.log().sum() - (0.5 if half else 1) * (vp[i].log().sum() + vq[j].log().sum())
            torch.testing.assert_close(m[i, j], quadratic)
            torch.testing.assert_close(b[i, j], quadratic / 8 + second / 2)


def test_bhattacharyya_with_itself_is_zero_only_with_the_right_constant():
    mean, var = torch.randn(1, 5), torch.rand(1, 5) / 10
    assert abs(losses.bhattacharyya(mean, var, mean, var)) < 1e-5
    assert abs(losses.bhattacharyya(mean, var, mean, var, half=False)) > 1


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(1, 9))
def test_erosion_and_dilation_equal_scipy(bits, window):
    mask, ones = np.array(bits), np.ones(window)
    tensor = torch.tensor(mask[None].astype(np.float32))
    assert losses.erode(tensor, window)[0].bool().tolist() == ndimage.binary_erosion(mask, ones).tolist()
    assert losses.dilate(tensor, window)[0].bool().tolist() == ndimage.binary_dilation(mask, ones).tolist()


def test_hard_snippets_lie_in_their_rings():
    attention = torch.full((1, 40), 0.1)
    attention[0, 10:30] = 0.9  # a plateau: rings 1..3 inside and outside its edges
    attention += 0.001 * torch.randn(40, generator=torch.Generator().manual_seed(0))
    *_, hard_action, hard_background = losses.mine(attention, replace(PLAIN, hard=4))
    inside = {11, 12, 27, 28}  # erosion by 3 takes 1 snippet a side, by 7 takes 3
    outside = {7, 8, 31, 32}
    assert set(hard_action[0].tolist()) <= inside
    assert set(hard_background[0].tolist()) <= outside


def test_a_ring_too_small_is_filled_from_its_own_half():
    attention = torch.tensor([[0.1, 0.2, 0.9, 0.15, 0.3, 0.8, 0.05, 0.12]])
    *_, hard_action, hard_background = losses.mine(attention, replace(PLAIN, hard=3))
    half = attention[0] > attention[0].quantile(0.5)
    assert half[hard_action[0]].all()
    assert not half[hard_background[0]].any()


def test_official_rings_are_empty_so_it_picks_outside_them():
    torch.manual_seed(0)
    attention = torch.rand(10, 320)
    *_, hard_action, _ = losses.mine(attention, OFFICIAL_LOSS)
    half = attention > attention.quantile(0.5, dim=1, keepdim=True)
    in_half = half.gather(1, hard_action).float().mean()
    assert 0.1 < in_half < 0.9


def test_default_mining_never_leaves_the_action_half():
    torch.manual_seed(0)
    attention = torch.rand(10, 320)
    *_, hard_action, hard_background = losses.mine(attention, LossConfig())
    half = attention > attention.quantile(0.5, dim=1, keepdim=True)
    assert half.gather(1, hard_action).all()
    assert not half.gather(1, hard_background).any()


def test_swapped_rings_are_refused_unless_official():
    with pytest.raises(UserError, match="rings are empty"):
        LossConfig(inner=24, outer=3)
    assert OFFICIAL_LOSS.inner > OFFICIAL_LOSS.outer


def test_mil_on_logits_made_by_hand():
    cas = torch.zeros(1, 4, 3)
    cas[0, :, 0] = torch.tensor([4.0, 2.0, 0.0, 0.0])  # top two of four: mean 3
    cas[0, :, 2] = torch.tensor([0.0, 0.0, 1.0, 1.0])  # another two snippets: mean 1
    loss = losses.top_k_mil(cas, torch.tensor([[1.0, 0.0]]), 1, ratio=2)
    log_z = math.log(math.exp(3) + math.exp(0) + math.exp(1))
    assert float(loss) == pytest.approx(-((3 - log_z) + (1 - log_z)) / (2 + 1e-4), rel=1e-5)


def test_mil_looks_at_one_snippet_at_least():
    assert torch.isfinite(losses.top_k_mil(torch.randn(2, 1, 3), torch.ones(2, 2), 0, 7))


def test_suppression_flattens_to_the_minimum():
    cas = torch.tensor([[[3.0, -1.0, 2.0], [3.0, -1.0, 2.0]]])
    flat = losses.suppress(cas, torch.tensor([[0.0, 1.0]]))
    assert flat[0].tolist() == [[-1.0] * 3, [3.0, -1.0, 2.0]]


def test_guide_is_zero_when_attention_completes_the_background():
    cas = torch.randn(1, 5, 3)
    attention = 1 - cas.softmax(-1)[..., -1]
    assert float(losses.guide(cas, (attention,) * 3)) == pytest.approx(0, abs=1e-6)
    assert float(losses.guide(cas, (attention - 0.25,) * 3)) == pytest.approx(0.25, abs=1e-6)


def test_co_activity_by_pairs_and_shared_classes():
    torch.manual_seed(0)
    hidden, cas = torch.randn(5, 6, 4), torch.randn(5, 6, 4)
    labels = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1], [0, 1, 1], [1, 1, 1]]).float()

    def features(i, c):
        w = cas[i, :, c].softmax(0)
        return hidden[i].T @ w, hidden[i].T @ ((1 - w) / 5)

    def distance(a, b):
        return 1 - F.cosine_similarity(a, b, dim=0)

    terms = []
    for i, j, c in [(0, 1, 0), (0, 1, 1), (2, 3, 2)]:
        (h1, l1), (h2, l2) = features(i, c), features(j, c)
        near = distance(h1, h2)
        terms.append(0.5 * (F.relu(near - distance(h1, l2) + 0.5) + F.relu(near - distance(h2, l1) + 0.5)))
    torch.testing.assert_close(losses.co_activity(hidden, cas, labels, 2), sum(terms) / 3)


def test_co_activity_without_a_shared_class_is_zero_with_a_gradient():
    hidden = torch.randn(2, 3, 4, requires_grad=True)
    loss = losses.co_activity(hidden, torch.randn(2, 3, 3), torch.tensor([[1.0, 0], [0, 1.0]]), 1)
    loss.backward()
    assert float(loss) == 0
    assert losses.co_activity(hidden, torch.randn(2, 3, 3), torch.ones(2, 2), 0) == 0


def test_distillation_is_zero_for_parallel_vectors():
    mean = torch.randn(2, 3, 4)
    assert float(losses.distillation(mean, 3 * mean)) == pytest.approx(0, abs=1e-6)
    assert torch.isfinite(losses.distillation(mean, -mean))


def similarity_by_hand(mp, vp, mq, vq):
    return 1 / (1 + 0.5 * ((mq - mp) ** 2 / vq + vq.log() - vp.log() + vp / vq - 1).sum())


@pytest.mark.parametrize("symmetric", [True, False])
def test_intra_contrast_by_snippet_pairs(symmetric):
    torch.manual_seed(0)
    cfg = replace(PLAIN, symmetric=symmetric, per_dimension=False, similarity_floor=1e-12)
    mean, variance, attention = torch.randn(2, 30, 4), torch.rand(2, 30, 4), torch.rand(2, 30)
    ea, eb, ha, hb = losses.mine(attention, cfg)

    def set_similarity(b, p, q):
        pairs = [(i, j) for i in p[b].tolist() for j in q[b].tolist()]
        v = variance[b] + cfg.variance_floor
        forward = [similarity_by_hand(mean[b, i], v[i], mean[b, j], v[j]) for i, j in pairs]
        back = [similarity_by_hand(mean[b, j], v[j], mean[b, i], v[i]) for i, j in pairs]
        s = sum(forward) / len(pairs)
        return 0.5 * (s + sum(back) / len(pairs)) if symmetric else s

    for got, query, pos, neg in zip(
        losses.intra_contrast(mean, variance, attention, cfg), (ha, hb), (ea, eb), (eb, ea), strict=False
    ):
        by_hand = [-(set_similarity(b, query, pos).log() + (1 - set_similarity(b, query, neg)).log()) for b in range(2)]
        torch.testing.assert_close(got, sum(by_hand) / 2, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mixture", ["attention", "time"])
def test_inter_contrast_by_video_pairs(mixture):
    torch.manual_seed(0)
    cfg = replace(PLAIN, mixture=mixture, per_dimension=False)
    mean, variance, a = torch.randn(3, 8, 4), torch.rand(3, 8, 4), torch.rand(3, 8)
    labels = torch.tensor([[1.0, 0], [1.0, 1], [0, 1.0]])
    mass = a.sum(1) if mixture == "attention" else torch.full((3,), 8.0)
    m = torch.stack([(a[i, :, None] * mean[i]).sum(0) / mass[i] for i in range(3)])
    second = torch.stack([(a[i, :, None] * (mean[i] ** 2 + variance[i])).sum(0) / mass[i] for i in range(3)])
    v = second - m**2 + cfg.variance_floor
    same, other = [], []
    for i in range(3):
        for j in range(3):
            s = similarity_by_hand(m[i], v[i], m[j], v[j])
            (same if labels[i] @ labels[j] > 0 else other).append(s)
    by_hand = -sum(s.log() for s in same) / len(same) - sum((1 - s).log() for s in other) / len(other)
    torch.testing.assert_close(losses.inter_contrast(mean, variance, a, labels, cfg), by_hand, rtol=1e-4, atol=1e-5)


def test_inter_contrast_is_finite_when_all_videos_share_a_class():
    mean = torch.zeros(3, 4, 2, requires_grad=True)
    for cfg in (PLAIN, replace(PLAIN, inter_metric="cosine"), OFFICIAL_LOSS):
        loss = losses.inter_contrast(mean, torch.ones(3, 4, 2), torch.rand(3, 4), torch.ones(3, 2), cfg)
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(mean.grad).all()


def test_a_mixture_of_equal_gaussians_is_that_gaussian_only_when_divided_by_the_attention_mass():
    mean, variance = torch.full((1, 10, 3), 2.0), torch.full((1, 10, 3), 0.5)
    attention = torch.full((1, 10), 0.3)
    twin = (torch.cat([mean, mean]), torch.cat([variance, variance]), torch.cat([attention, attention / 3]))
    labels = torch.ones(2, 1)
    assert float(losses.inter_contrast(*twin, labels, PLAIN)) == pytest.approx(0, abs=1e-5)
    assert float(losses.inter_contrast(*twin, labels, replace(PLAIN, mixture="time"))) > 0.01


def test_orthogonality_is_zero_for_orthonormal_texts_only():
    assert float(losses.orthogonality(5 * torch.eye(4, 9))) == pytest.approx(0, abs=1e-5)
    assert float(losses.orthogonality(torch.ones(3, 4))) == pytest.approx(math.sqrt(6), rel=1e-4)


def output(b=4, t=20, c=3, d=5):
    torch.manual_seed(0)
    cas = torch.randn(b, t, c + 1, requires_grad=True)
    a = [torch.rand(b, t, requires_grad=True) for _ in range(3)]
    mean, var = torch.randn(b, t, d, requires_grad=True), torch.rand(b, t, d, requires_grad=True)
    return Output(
        cas, *a, torch.randn(b, t, 6, requires_grad=True), mean, var, var, torch.randn(c + 1, d, requires_grad=True)
    )


def test_the_total_is_the_weighted_sum_and_a_weight_of_zero_costs_nothing():
    labels = torch.tensor([[1.0, 0, 0], [1, 1, 0], [0, 0, 1], [0, 1, 1]])
    out, target = output(), torch.randn(4, 20, 5)
    terms = losses.total(out, labels, target, 2, PLAIN)
    assert set(terms) == {
        "classification", "sparsity", "guide", "co_activity", "distillation",
        "intra_action", "intra_background", "inter", "orthogonality",
    }  # fmt: skip
    twice = losses.total(out, labels, target, 2, replace(PLAIN, guide=1.6, distillation=400.0))
    torch.testing.assert_close(twice["guide"], 2 * terms["guide"])
    torch.testing.assert_close(twice["distillation"], 2 * terms["distillation"])
    assert "distillation" not in losses.total(out, labels, None, 2, PLAIN)
    assert "guide" not in losses.total(out, labels, target, 2, replace(PLAIN, guide=0.0))


@pytest.mark.parametrize(
    "cfg", [PLAIN, replace(OFFICIAL_LOSS, easy=4, hard=2, inner=9, outer=3)], ids=["default", "official"]
)
@pytest.mark.parametrize("contrast", ["neg-log", "frobenius"])
@pytest.mark.parametrize("metric", ["kl", "bhattacharyya", "mahalanobis"])
def test_gradients_are_finite_with_dead_variances(cfg, contrast, metric):
    out = output()
    with torch.no_grad():
        out.variance[:, ::2] = 0
    labels = torch.tensor([[1.0, 0, 0]] * 4)
    terms = losses.total(out, labels, None, 2, replace(cfg, contrast=contrast, metric=metric))
    torch.stack(list(terms.values())).sum().backward()
    assert torch.isfinite(out.mean.grad).all()
    assert torch.isfinite(out.cas.grad).all()


def test_a_saturated_pair_still_moves():
    mean = torch.tensor([[[0.0], [100.0], [0.0], [100.0]]], requires_grad=True)
    s = losses.similarity(mean[0, :1], torch.ones(1, 1) * 1e-5, mean[0, 1:2], torch.ones(1, 1) * 1e-5, OFFICIAL_LOSS)
    (-losses._log(s, LossConfig())).sum().backward()
    assert mean.grad.abs().sum() > 0
