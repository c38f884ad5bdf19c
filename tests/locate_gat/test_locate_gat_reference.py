"""The ``reference`` preset against the authors' formulas written out, and the ways the block can start."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cosine

from whyact.data.zero_shot.synthetic import SyntheticSpec, generate
from whyact.data.zero_shot.types import partition
from whyact.locate_gat.baselines import clip_zero_shot, ridge_to_text, scores
from whyact.locate_gat.config import PRESETS, Config
from whyact.locate_gat.model import GAT, GraphAttention, LoCATe, LoCATeGAT, class_graph, scale_nodes
from whyact.locate_gat.scores import Tensors
from whyact.locate_gat.stages import choose_start, fit_split, simplest_of_best, starts, train_stages

SPEC = SyntheticSpec(seen=6, unseen=4, auxiliary=2, train_videos=5, held_out_videos=2, unseen_videos=3)
TINY = replace(PRESETS["synthetic"], epochs=2, gat_steps=5, gat_hidden=8, batch=16, graph=False)


def authors_graph(text: np.ndarray, nearest: int = 5) -> np.ndarray:
    """Divide each text by its sum, join it with the nearest by cosine distance, join back."""
    scaled = np.stack([row / (row.sum() or 1) for row in text])
    joined = np.zeros((len(text), len(text)), dtype=bool)
    for i in range(len(text)):
        distance = np.array([cosine(scaled[i], scaled[j]) for j in range(len(text))])
        joined[i, distance.argsort(kind="stable")[:nearest]] = True
    return joined | joined.T


def test_the_reference_graph_is_the_authors_and_another_than_ours() -> None:
    rng = np.random.default_rng(0)
    text = rng.standard_normal((60, 16))
    nodes = torch.from_numpy(text)
    assert np.array_equal(class_graph(scale_nodes(nodes, "sum"), 5).numpy(), authors_graph(text))
    assert (class_graph(scale_nodes(nodes, "l2"), 5).numpy() != authors_graph(text)).sum() > 60
    model = LoCATeGAT(replace(PRESETS["reference"], width=16, heads=1, grid=(1, 4, 4), mixer="none", gat_hidden=4,
                              gat_heads=(1, 1, 1)), 16, nodes.float()[:50], nodes.float()[50:])  # fmt: skip
    seen: list[torch.Tensor] = []
    model.gat.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[1]))
    model.eval().graph_rows(nodes.float()[:0])
    assert np.array_equal(seen[0].numpy(), authors_graph(text))


def test_a_text_that_adds_up_to_nothing_stays_as_it_is() -> None:
    nodes = torch.tensor([[1.0, -1.0], [1.0, 3.0]])
    assert scale_nodes(nodes, "sum").tolist() == [[1.0, -1.0], [0.25, 0.75]]


def test_scores_of_attention_start_as_one_vector_of_both_halves() -> None:
    """Xavier over (2D, 1) with gain 1.414: bound 1.414 sqrt(6 / (2D+1)), standard deviation bound / sqrt(3)."""
    torch.manual_seed(0)
    gat = GAT(Config())
    for layer, width in zip(gat.layers, (256, 256, 512), strict=True):
        assert isinstance(layer, GraphAttention)
        bound = 1.414 * (6 / (2 * width + 1)) ** 0.5
        both = torch.cat([layer.score_i.flatten(), layer.score_j.flatten()])
        assert both.abs().max() <= bound
        assert both.std().item() == pytest.approx(bound / 3**0.5, rel=0.06)
    first = gat.layers[0]
    assert torch.cat([first.score_i, first.score_j]).std().item() == pytest.approx(0.088, rel=0.06)


def test_one_head_of_the_graph_is_the_authors_formula() -> None:
    torch.manual_seed(0)
    layer = GraphAttention(1, 6, 5, dropout=0.0).eval()
    x, edges = torch.randn(7, 6), torch.rand(7, 7) > 0.5
    edges |= torch.eye(7, dtype=torch.bool)
    h = x @ layer.weight[0]
    for i in range(7):
        e = torch.tensor([
            torch.nn.functional.leaky_relu(layer.score_i[0, :, 0] @ h[i] + layer.score_j[0, :, 0] @ h[j], 0.2)
            if edges[i, j]
            else -9e15
            for j in range(7)
        ])  # fmt: skip
        torch.testing.assert_close(layer(x, edges)[0][0, i], e.softmax(0) @ h, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mixer", ["lca", "mlp", "none", "patch-lca"])
@pytest.mark.parametrize("attention", ["time", "batch", "none"])
def test_an_identity_start_is_the_mean_of_frames_and_can_learn(mixer: str, attention: str) -> None:
    torch.manual_seed(0)
    patches = {"patch_side": 2, "branches": ((1, 4, 16, 64), (2, 4, 16, 64))} if mixer == "patch-lca" else {}
    config = replace(PRESETS["synthetic"], mixer=mixer, attention=attention, start="identity", **patches)
    model = LoCATe(config, 128 * (1 + 4 * bool(patches)))
    frames = torch.randn(3, 8, 128 * (1 + 4 * bool(patches)))
    out = model(frames)
    torch.testing.assert_close(out, frames[..., :128].mean(1), rtol=1e-5, atol=1e-6)
    out.square().sum().backward()
    used = [p for name, p in model.named_parameters() if "out_proj" in name or "widen" in name or name == "positions"]
    assert all(p.grad is None or p.grad.abs().sum() > 0 for p in used if p.requires_grad)
    assert model.positions.grad.abs().sum() > 0
    if mixer != "none":
        assert sum(float(p.grad.abs().sum()) for p in model.mixer.parameters() if p.grad is not None) > 0


def test_a_random_start_is_not_the_mean() -> None:
    torch.manual_seed(0)
    frames = torch.randn(3, 8, 128)
    assert (LoCATe(PRESETS["synthetic"], 128)(frames) - frames.mean(1)).abs().max() > 0.05


@pytest.mark.parametrize("positions", [True, False])
@pytest.mark.parametrize("graph", [True, False])
def test_no_attention_and_no_mixer_train_to_the_mean_of_frames(positions: bool, graph: bool) -> None:
    data, split = generate("appearance", 0, SPEC)
    config = replace(TINY, attention="none", mixer="none", positions=positions, graph=graph, mix=0.0, calibration=0.0)
    fitted, tensors = fit_split(data, split, config)
    learned = sum(p.numel() for p in fitted.model.encoder.parameters() if p.requires_grad)
    assert learned == (config.frames * config.width if positions else 0)
    if not positions:
        plain = torch.nn.functional.normalize(tensors.frames.mean(1), dim=1)
        torch.testing.assert_close(fitted.model.embed(tensors.frames), plain)


@pytest.mark.parametrize("video_width", [128, 100])
def test_a_mean_start_is_the_closed_form_baseline_and_stays_it(video_width: int) -> None:
    """Of equal widths that is the mean frame against the name, of others ridge regression of the mean frame."""
    data, split = generate("appearance", 0, SPEC)
    tensors, part = Tensors.of(data, 8), partition(data, split, TINY.holdout, 0)
    tensors = replace(tensors, frames=tensors.frames[..., :video_width])
    seen, unseen = data.index(split.seen), data.index(split.unseen)
    videos = np.concatenate([part.seen_test, part.unseen_test])
    config = replace(TINY, start="mean", ridge=0.3)
    model, history, _ = train_stages(tensors, seen, part.train, config)
    assert not history
    assert not any(p.requires_grad for p in model.encoder.parameters())
    own = clip_zero_shot if video_width == 128 else partial(ridge_to_text, strength=0.3)
    expected = scores(own, tensors, seen, unseen, part.train, videos)
    ours = model.embed(tensors.frames[torch.from_numpy(videos)]).detach()
    text = torch.nn.functional.normalize(tensors.text[torch.from_numpy(expected.classes)], dim=1)
    np.testing.assert_allclose((ours @ text.T).numpy(), expected.text, atol=1e-5)


def test_the_start_is_chosen_on_seen_classes_and_recorded() -> None:
    data, split = generate("appearance", 0, SPEC)
    config = replace(TINY, start="choose", mixer="none", calibration=0.0, mix=0.0)
    fitted, tensors = fit_split(data, split, config)
    chosen, measured = fitted.model.config, fitted.choice.starts
    assert chosen in starts(config)
    assert list(measured) == [candidate.start for candidate in starts(config)]
    assert measured["mean"] <= measured[chosen.start], "the plain mean gives way only to what is better"
    assert chosen.learning_rate == config.learning_rate / (10 if chosen.start == "identity" else 1)
    spoiled = tensors.text.clone()
    spoiled[torch.from_numpy(fitted.unseen)] = -7
    blind = replace(tensors, text=spoiled)
    again = choose_start(blind, fitted.seen, fitted.part.train, config, data.classes)
    assert again == (chosen, measured), "no unseen class takes part"


def test_where_order_alone_tells_classes_apart_the_block_is_trained() -> None:
    data, split = generate("temporal", 0)
    config = replace(PRESETS["synthetic"], start="choose", graph=False, mixer="none", mix=0.0, calibration=0.0)
    fitted, _ = fit_split(data, split, config)
    assert fitted.model.config.start == "random"
    assert fitted.choice.starts["random"] > fitted.choice.starts["mean"] + 10


def test_the_simplest_start_within_one_standard_error_of_the_best_wins() -> None:
    base = np.array([10.0, 50.0, 30.0, 70.0])
    gap = np.array([0.0, 4.0, 0.0, 4.0])
    error = gap.std(ddof=1) / 2  # of the paired gaps, whatever the spread of the classes themselves
    for shift, chosen in ((error - 2.01, 0), (error - 1.99, 1), (20.0, 1), (-20.0, 0)):
        assert simplest_of_best([base, base + gap + shift]) == chosen
    assert simplest_of_best([base, base + 5, base + 5]) == 1, "the first of equals"
    assert simplest_of_best([base[:1], base[:1] + 5]) == 0, "one class has no standard error"
