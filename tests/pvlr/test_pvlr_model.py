"""The network against its definition, and its invariances."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from whyact.errors import UserError
from whyact.features.towers import StandInTower, encode_texts
from whyact.pvlr.config import ModelConfig
from whyact.pvlr.inference import curves
from whyact.pvlr.model import PVLR, Consensus, FixedText, ProjectedText, PromptedText, sampled_activation

SMALL = ModelConfig(rgb_width=6, flow_width=4, hidden=5, fused=8, width=64, samples=4)
NAMES = ["long jump", "shot put", "clean and jerk"]


def build(**changes):
    torch.manual_seed(0)
    cfg = replace(SMALL, **changes)
    return PVLR(cfg, PromptedText(StandInTower(), NAMES, cfg)).eval()


def conv_by_hand(conv, x):
    """Slide a window over (C,T) with zeros outside."""
    w, b = conv.weight, conv.bias
    pad = w.shape[2] // 2
    padded = torch.cat([torch.zeros(len(x), pad), x, torch.zeros(len(x), pad)], dim=1)
    return torch.stack([(w * padded[:, t : t + w.shape[2]]).sum((1, 2)) + b for t in range(x.shape[1])], dim=1)


def leaky(x):
    return torch.where(x > 0, x, 0.2 * x)


@torch.no_grad()
@pytest.mark.parametrize("gate", ["cosine", "product"])
def test_consensus_follows_its_definition(gate):
    torch.manual_seed(1)
    part = Consensus(6, 4, replace(SMALL, gate=gate)).eval()
    m, x = torch.randn(1, 6, 9), torch.randn(1, 4, 9)
    gated, attention = part(m, x, m.mean(2, keepdim=True))
    e = leaky(conv_by_hand(part.auxiliary[0], x[0]))
    b = leaky(conv_by_hand(part.bit[0], e))
    g = leaky(conv_by_hand(part.channel[0], m[0].mean(1, keepdim=True)))
    if gate == "cosine":
        s = torch.stack([(g[:, 0] @ b[:, t]) / (g.norm() * b[:, t].norm()) for t in range(9)])
        by_hand = torch.sigmoid(b * s) * m[0]
    else:
        by_hand = torch.sigmoid(b * g) * m[0]
    torch.testing.assert_close(gated[0], by_hand)
    layers = part.attention
    hidden = leaky(conv_by_hand(layers[0], by_hand))
    hidden = leaky(conv_by_hand(layers[3], hidden))
    torch.testing.assert_close(attention[0], torch.sigmoid(conv_by_hand(layers[5], hidden))[0])


@torch.no_grad()
def test_the_test_activation_is_the_cosine_of_the_mean():
    model = build()
    out = model(torch.randn(2, 7, 10))
    by_hand = [[float(F.cosine_similarity(out.mean[0, t], c, dim=0)) / 0.03 for c in out.text] for t in range(7)]
    torch.testing.assert_close(out.cas[0], torch.tensor(by_hand), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(out.attention, 0.5 * (out.attention_rgb + out.attention_flow))


def test_one_noise_of_the_mean_is_the_mean_of_k_samples_in_distribution():
    torch.manual_seed(0)
    mean, std, text = torch.randn(1, 1, 16), torch.rand(1, 1, 16), torch.randn(3, 16)
    fast = torch.stack([sampled_activation(mean, std, text, 5)[0, 0] for _ in range(4000)])
    z = mean + std * torch.randn(4000, 5, 16)
    slow = (z @ text.T).mean(1)
    torch.testing.assert_close(fast.mean(0), mean[0, 0] @ text.T, atol=0.15, rtol=0)
    torch.testing.assert_close(fast.T.cov(), slow.T.cov(), rtol=0.15, atol=0.15)


def test_the_mean_of_the_scores_is_the_score_of_the_mean_sample():
    generator = torch.Generator().manual_seed(0)
    z, text = (torch.randn(*size, generator=generator, dtype=torch.float64) for size in ((2, 20, 7, 16), (4, 16)))
    by_samples = torch.einsum("bktd,cd->bktc", z, text).mean(1)
    torch.testing.assert_close(sampled_activation(z.mean(1), torch.zeros(2, 7, 16).double(), text, 20), by_samples)


def test_without_noise_the_training_score_is_the_inner_product():
    model = build(noise=0.0, dropout=0.0, fusion_dropout=0.0).train()
    out = model(torch.randn(1, 5, 10))
    torch.testing.assert_close(out.cas, out.mean @ out.text.T / 8)


@torch.no_grad()
def test_the_first_order_deviation_matches_sampling():
    model = build(noise=0.02)
    out = model(torch.randn(1, 3, 10))
    z = out.mean[0] + out.sampling_std[0] * torch.randn(20000, *out.mean.shape[1:])
    sampled = (F.normalize(z, dim=-1) @ F.normalize(out.text, dim=-1).T / 0.03).std(0)
    torch.testing.assert_close(model.activation_std(out)[0], sampled, rtol=0.05, atol=1e-4)


@torch.no_grad()
def test_a_video_scores_the_same_alone_and_in_a_batch():
    model = build()
    x = torch.randn(3, 11, 10)
    together = model(x)
    for i in range(3):
        alone = model(x[i : i + 1])
        torch.testing.assert_close(alone.cas[0], together.cas[i], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(alone.attention[0], together.attention[i])


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 40), st.integers(1, 15), st.sampled_from([1, 5]))
def test_pieces_give_the_curves_of_the_whole(length, chunk, pool):
    model = build(attention_pool=pool)
    features = np.random.default_rng(length).normal(size=(length, 10)).astype(np.float32)
    text = model.text().detach()
    whole, pieces = curves(model, features, text, chunk=1000), curves(model, features, text, chunk=chunk)
    for name in ("cas", "std", "attention"):
        np.testing.assert_allclose(getattr(pieces, name), getattr(whole, name), rtol=1e-3, atol=2e-4)


def test_one_encoder_can_play_both_streams():
    one = build(flow_width=0)
    x = torch.randn(1, 5, 6)
    assert one(x).cas.shape == (1, 5, 4)
    assert one.rgb.channel[0].weight.shape == one.flow.channel[0].weight.shape


def test_features_of_another_width_are_refused():
    with pytest.raises(UserError, match="6 \\+ 4"):
        build()(torch.randn(1, 5, 9))


@torch.no_grad()
def test_zero_features_give_numbers():
    out = build()(torch.zeros(1, 4, 10))
    assert torch.isfinite(out.cas).all()
    assert torch.isfinite(build().activation_std(out)).all()


def test_official_reads_one_number_two_ways():
    model = build(variance="relu", noise=0.005)
    out = model(torch.randn(1, 6, 10))
    torch.testing.assert_close(out.sampling_std, 0.005 * torch.exp(out.variance / 2))
    assert (out.variance == 0).any()


def test_default_reads_a_log_variance_within_bounds():
    model = build(log_variance=(-0.01, 0.01), noise=1.0)
    out = model(100 * torch.randn(1, 6, 10))
    torch.testing.assert_close(out.sampling_std.square(), out.variance)
    assert out.variance.log().abs().max() <= 0.0101


# Texts


def gradient_rows(text, column):
    text.table.weight.grad = None
    text()[column].square().sum().backward()
    return text.table.weight.grad.abs().sum(1).nonzero().flatten().tolist()


def test_official_background_moves_row_zero_alone_and_classes_never_do():
    text = PromptedText(StandInTower(), NAMES, replace(SMALL, background="first-row"))
    assert gradient_rows(text, -1) == [0]
    assert gradient_rows(text, 0) == [1, 2, 3, 4, 7, 8, 9, 10]  # four before two words, four after
    assert gradient_rows(text, 2) == [1, 2, 3, 4, 8, 9, 10, 11]  # three words: the rows after move on


def test_default_background_reads_all_context_vectors():
    text = PromptedText(StandInTower(), NAMES, SMALL)
    assert gradient_rows(text, -1) == list(range(1, 9))


def test_without_prompts_a_class_is_its_plain_name():
    text = PromptedText(StandInTower(), NAMES, replace(SMALL, prefix=0, postfix=0))
    torch.testing.assert_close(text()[:-1].detach(), encode_texts(StandInTower(), NAMES), rtol=1e-4, atol=1e-4)


def test_the_frozen_tower_stays_out_of_the_checkpoint_and_does_not_learn():
    model = build().train()
    tower = model.text._tower[0]
    before = {name: value.clone() for name, value in tower.state_dict().items()}
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model(torch.randn(1, 5, 10)).cas.sum().backward()
    optimizer.step()
    assert all(torch.equal(value, before[name]) for name, value in tower.state_dict().items())
    assert [name for name in model.state_dict() if name.startswith("text.")] == ["text.table.weight"]


def test_a_name_longer_than_the_tower_is_refused_by_name():
    with pytest.raises(UserError, match="very very"):
        PromptedText(StandInTower(), ["jump", "very " * 30], SMALL)


def test_projected_texts_learn_a_projection_and_a_background():
    text = ProjectedText(torch.randn(3, 12), 64)
    assert text().shape == (4, 64)
    text().square().sum().backward()
    assert text.projection.weight.grad.abs().sum() > 0
    assert text.background.grad.abs().sum() > 0


def test_saved_texts_need_no_tower():
    model = build()
    text = model.text().detach()
    fixed = PVLR(model.cfg, FixedText(text)).eval()
    own = {k: v for k, v in model.state_dict().items() if not k.startswith("text.")}
    fixed.load_state_dict({**own, "text.features": text})
    x = torch.randn(1, 5, 10)
    assert torch.equal(fixed(x).cas, model(x).cas)


def test_stand_in_names_point_in_different_directions():
    vectors = F.normalize(encode_texts(StandInTower(), [f"word{i} thing{i}" for i in range(40)]), dim=1)
    off = vectors @ vectors.T - torch.eye(40)
    assert abs(off.sum() / (40 * 39)) < 0.1
    assert math.isclose(float(encode_texts(StandInTower(), NAMES).norm(dim=1).mean()), 8, rel_tol=0.4)
