"""The contrast terms of ``official``, switch by switch, against the authors' formulas written out pair by pair."""

from dataclasses import replace
from itertools import product

import pytest
import torch

from whyact.pvlr import losses
from whyact.pvlr.config import OFFICIAL_LOSS

FLOOR = 1e-5  # what the authors add to variances
BASE = replace(OFFICIAL_LOSS, easy=4, hard=3, inner=9, outer=3, mask_dropout=0.0)


def made(seed=0, videos=5, snippets=30, width=7):
    """Snippets whose variances hold exact zeros, as a ReLU leaves them."""
    g = torch.Generator().manual_seed(seed)
    mean = 0.05 * torch.randn(videos, snippets, width, generator=g)
    variance = torch.randn(videos, snippets, width, generator=g).relu() / 4
    attention = torch.rand(videos, snippets, generator=g)
    labels = torch.tensor([[1.0, 0, 0], [1, 1, 0], [0, 0, 1], [0, 1, 1], [0, 0, 1]])
    return mean, variance, attention, labels


def kl(mp, vp, mq, vq):
    """KL of Gaussians with variances that already hold the floor, in double precision."""
    d = mp - mq
    return 0.5 * ((d * d / vq).sum() + vq.log().sum() - vp.log().sum() + (vp / vq).sum() - len(mp))


def snippet_similarity(metric, mp, vp, mq, vq):
    d = mp - mq
    if metric == "mahalanobis":
        distance = (d * d * 2 / (vp + vq + FLOOR)).sum()
    else:
        vp, vq = vp + FLOOR, vq + FLOOR
        if metric == "kl":
            distance = kl(mp, vp, mq, vq)
        else:
            second = ((vp + vq) / 2).log().sum() - (vp.log().sum() + vq.log().sum())
            distance = (d * d * 2 / (vp + vq)).sum() / 8 + second / 2
    return 1 / (1 + distance)


@pytest.mark.parametrize(
    ("metric", "contrast", "symmetric"),
    list(product(["kl", "bhattacharyya", "mahalanobis"], ["neg-log", "frobenius"], [True, False])),
)
def test_intra_contrast_is_the_authors(metric, contrast, symmetric):
    mean, variance, attention, _ = made()
    cfg = replace(BASE, metric=metric, contrast=contrast, symmetric=symmetric)
    ea, eb, ha, hb = losses.mine(attention, cfg)
    m, v = mean.double(), variance.double()

    def set_similarity(b, queries, keys):
        values = []
        for i, j in product(queries[b].tolist(), keys[b].tolist()):
            s = snippet_similarity(metric, m[b, i], v[b, i], m[b, j], v[b, j])
            if symmetric:
                s = (s + snippet_similarity(metric, m[b, j], v[b, j], m[b, i], v[b, i])) / 2
            values.append(s)
        return torch.stack(values).mean()

    got = losses.intra_contrast(mean, variance, attention, cfg)
    for value, query, near, far in zip(got, (ha, hb), (ea, eb), (eb, ea), strict=True):
        pos = torch.stack([set_similarity(b, query, near) for b in range(len(m))])
        neg = torch.stack([set_similarity(b, query, far) for b in range(len(m))])
        if contrast == "frobenius":
            expected = (1 - pos).square().sum().sqrt() + neg.square().sum().sqrt()
        else:
            expected = -(pos.log() + (1 - neg).log()).mean()
        torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("compared", "contrast", "moments", "metric"),
    list(product(["distribution", "cosine"], ["neg-log", "frobenius"], ["definition", "naive"], ["kl", "mahalanobis"])),
)
def test_inter_contrast_is_the_authors(compared, contrast, moments, metric):
    mean, variance, attention, labels = made()
    cfg = replace(BASE, inter_metric=compared, contrast=contrast, mixture_variance=moments, metric=metric)
    m, v, a = mean.double(), variance.double(), attention.double()
    videos, snippets = a.shape
    centres, spreads = [], []
    for b in range(videos):
        centre = sum(a[b, t] * m[b, t] for t in range(snippets)) / snippets
        if moments == "definition":
            spread = sum(a[b, t] * (m[b, t] ** 2 + v[b, t]) for t in range(snippets)) / snippets - centre**2
        else:
            spread = sum(a[b, t] * v[b, t] for t in range(snippets)) / snippets
        centres.append(centre)
        spreads.append(spread + FLOOR)
    squares, same, other = 0.0, [], []
    for i, j in product(range(videos), repeat=2):
        if compared == "cosine":
            s = (1 + centres[i] @ centres[j] / (centres[i].norm() * centres[j].norm())) / 2
        else:
            s = 1 / (1 + kl(centres[i], spreads[i], centres[j], spreads[j]))
        shared = float(labels[i] @ labels[j] > 0)
        squares = squares + (shared - s) ** 2
        (same if shared else other).append(s)
    if contrast == "frobenius":
        expected = squares.sqrt()
    else:
        expected = -torch.stack(same).log().mean() - (1 - torch.stack(other)).log().mean()
    got = losses.inter_contrast(mean, variance, attention, labels, cfg)
    torch.testing.assert_close(got.double(), expected, rtol=1e-5, atol=1e-5)


def test_frobenius_is_another_number_than_neg_log():
    inputs = made()
    values = {c: float(losses.inter_contrast(*inputs, replace(BASE, contrast=c))) for c in ("neg-log", "frobenius")}
    assert abs(values["neg-log"] - values["frobenius"]) > 0.1


def test_the_metric_moves_the_snippets_terms_and_not_the_videos():
    mean, variance, attention, labels = made()
    other = replace(BASE, metric="mahalanobis")
    assert losses.inter_contrast(mean, variance, attention, labels, BASE) == losses.inter_contrast(
        mean, variance, attention, labels, other
    )
    before, after = (losses.intra_contrast(mean, variance, attention, c)[0] for c in (BASE, other))
    assert abs(float(before - after)) > 1e-3


def test_the_divergence_of_equal_distributions_is_exactly_zero_in_single_precision():
    g = torch.Generator().manual_seed(0)
    mean = 3 + torch.randn(6, 1024, generator=g)
    variance = torch.randn(6, 1024, generator=g).relu() + FLOOR  # half the units are dead
    assert losses.kl(mean, variance, mean, variance).diagonal().tolist() == [0.0] * 6


def test_near_equal_distributions_keep_their_small_divergence():
    g = torch.Generator().manual_seed(0)
    mean = 3 + torch.randn(4, 1024, generator=g)
    variance = torch.randn(4, 1024, generator=g).relu() + FLOOR
    moved = mean + 1e-4
    exact = torch.stack([
        torch.stack([kl(*(x.double() for x in (p, v, q, w))) for q, w in zip(moved, variance, strict=True)])
        for p, v in zip(mean, variance, strict=True)
    ])  # fmt: skip
    torch.testing.assert_close(losses.kl(mean, variance, moved, variance).double(), exact, rtol=1e-4, atol=1e-5)


def test_ties_at_zero_go_to_the_earliest_snippets():
    attention = torch.linspace(0.1, 0.9, 40)[None]  # one edge: the swapped rings hold next to nothing
    _, _, hard_action, _ = losses.mine(attention, replace(BASE, inner=9, outer=3, hard=3))
    assert hard_action.tolist() == [[0, 1, 2]]
