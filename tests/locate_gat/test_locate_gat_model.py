"""The model against straight-from-the-definition references, its published sizes and its invariances."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from whyact.errors import UserError
from whyact.locate_gat.config import BRANCH_ABLATIONS, BRANCHES, PRESETS, Config, for_width
from whyact.locate_gat.model import CBAM, GAT, LCA, GraphAttention, LoCATe, PatchLCA, class_graph, quick_gelu

SMALL = for_width(128, frames=8)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_published_parameter_counts() -> None:
    model = LoCATe(PRESETS["default"], 512)
    assert count(model) == 1_130_375
    assert [count(branch) for branch in model.mixer.branches] == [22_014, 45_658, 1_839]
    assert model.positions.numel() == 8_192
    assert count(model.attention) == 1_050_624
    assert count(GAT(PRESETS["default"])) == 4_728_832
    for branches, expected in ((2, 44_028), (1, 38_654)):
        assert count(LCA((2, 16, 16), BRANCH_ABLATIONS[branches], False, 0.0)) == expected
    mlp = LoCATe(Config(mixer="mlp"), 512).mixer
    assert count(mlp) == 2_099_712


def test_the_frozen_backbone_counts_apart() -> None:
    """CLIP ViT-B/16 as open_clip builds it, without its weights."""
    open_clip = pytest.importorskip("open_clip", reason="needs the extra: pip install 'whyact[clip]'")
    with torch.device("meta"):
        frozen = count(
            open_clip.CLIP(
                **{key: value for key, value in open_clip.get_model_config("ViT-B-16").items() if key != "custom_text"}
            )
        )
    trained = count(LoCATe(PRESETS["default"], 512)) + count(GAT(PRESETS["default"]))
    assert (trained, frozen, trained + frozen) == (5_859_207, 149_620_737, 155_479_944)


def test_published_map_sizes_and_widths() -> None:
    lca = LCA((2, 16, 16), BRANCHES[512], False, 0.0)
    maps = torch.randn(1, 2, 16, 16)
    sizes = [branch.around(branch.squeeze(maps)).shape[-1] for branch in lca.branches]
    assert sizes == [14, 12, 8]
    for width in (512, 768, 1024):
        config = for_width(width)
        assert LCA(config.grid, config.branches, config.pad, 0.0)(torch.randn(1, 1, width)).shape == (1, 1, width)


def naive_convolution(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int, pad: int) -> Tensor:
    """One image (c,h,w), straight sums over the window."""
    c, h, w = x.shape
    padded = torch.zeros(c, h + 2 * pad, w + 2 * pad)
    padded[:, pad : pad + h, pad : pad + w] = x
    k = weight.shape[-1]
    rows, columns = h + 2 * pad - dilation * (k - 1), w + 2 * pad - dilation * (k - 1)
    out = torch.zeros(weight.shape[0], rows, columns)
    for i in range(k):
        for j in range(k):
            window = padded[:, i * dilation : i * dilation + rows, j * dilation : j * dilation + columns]
            out += torch.einsum("oc,chw->ohw", weight[:, :, i, j], window)
    return out if bias is None else out + bias[:, None, None]


def naive_cbam(x: Tensor, cbam: CBAM) -> Tensor:
    down, _, up = cbam.channel
    pooled = [x.flatten(1).mean(1), x.flatten(1).max(1).values]
    gate = sum(up.weight @ torch.relu(down.weight @ p + down.bias) + up.bias for p in pooled)
    x = x * (1 / (1 + torch.exp(-gate)))[:, None, None]
    where = naive_convolution(torch.stack([x.max(0).values, x.mean(0)]), cbam.spatial.weight, None, 1, 3)
    return x * (1 / (1 + torch.exp(-where)))


@pytest.mark.parametrize(("grid", "width", "pad"), [((2, 16, 16), 512, False), ((2, 8, 8), 128, True)])
def test_lca_equals_its_definition(grid: tuple[int, int, int], width: int, pad: bool) -> None:
    torch.manual_seed(0)
    config = for_width(width)
    lca = LCA(grid, config.branches, pad, 0.0)
    x = torch.randn(2, 3, width)
    expected = torch.zeros_like(x)
    for b in range(2):
        for t in range(3):
            pooled = []
            for branch, (dilation, *_) in zip(lca.branches, config.branches, strict=True):
                y = naive_convolution(x[b, t].reshape(grid), branch.squeeze.weight, branch.squeeze.bias, 1, 0)
                y = y * torch.sigmoid(1.702 * y)
                y = naive_convolution(y, branch.around.weight, branch.around.bias, dilation, dilation if pad else 0)
                y = naive_cbam(y * torch.sigmoid(1.702 * y), branch.gate)
                y = naive_convolution(y, branch.widen.weight, branch.widen.bias, 1, 0)
                pooled.append((y * torch.sigmoid(1.702 * y)).mean((1, 2)))
            expected[b, t] = torch.cat(pooled)
    torch.testing.assert_close(lca(x), expected, atol=1e-5, rtol=1e-4)


def test_quick_gelu_is_its_definition() -> None:
    x = torch.linspace(-8, 8, 101, dtype=torch.float64)
    torch.testing.assert_close(quick_gelu(x), x / (1 + torch.exp(-1.702 * x)))


def naive_locate(model: LoCATe, frames: Tensor, keep: list[int]) -> Tensor:
    """One video (T,D): attention over the kept frames of time, head by head, then LCA, then the mean."""
    x = (frames + model.positions[0])[keep]
    y = F.layer_norm(x, x.shape[-1:], model.norm1.weight, model.norm1.bias)
    heads, width = model.attention.num_heads, x.shape[-1]
    q, k, v = (y @ model.attention.in_proj_weight.T + model.attention.in_proj_bias).chunk(3, -1)
    size = width // heads
    parts = []
    for head in range(heads):
        s = slice(head * size, (head + 1) * size)
        logits = q[:, s] @ k[:, s].T / math.sqrt(size)
        parts.append((logits - logits.logsumexp(1, keepdim=True)).exp() @ v[:, s])
    x = x + torch.cat(parts, 1) @ model.attention.out_proj.weight.T + model.attention.out_proj.bias
    x = x + model.mixer(F.layer_norm(x, x.shape[-1:], model.norm2.weight, model.norm2.bias))
    return x.mean(0)


@pytest.mark.parametrize("keep", [list(range(8)), [0, 3, 4, 7], [5]])
def test_locate_equals_its_definition_with_frames_left_out(keep: list[int]) -> None:
    torch.manual_seed(1)
    model = LoCATe(SMALL, 128)
    frames = torch.randn(3, 8, 128)
    valid = torch.zeros(3, 8, dtype=torch.bool)
    valid[:, keep] = True
    expected = torch.stack([naive_locate(model, video, keep) for video in frames])
    torch.testing.assert_close(model(frames, valid), expected, atol=1e-5, rtol=1e-4)
    if len(keep) == 8:
        torch.testing.assert_close(model(frames), expected, atol=1e-5, rtol=1e-4)


def test_a_frame_left_out_cannot_matter() -> None:
    model = LoCATe(SMALL, 128)
    frames, valid = torch.randn(2, 8, 128), torch.ones(2, 8, dtype=torch.bool)
    valid[:, 2] = False
    other = frames.clone()
    other[:, 2] += 100
    torch.testing.assert_close(model(frames, valid), model(other, valid), atol=1e-6, rtol=0)
    assert not torch.allclose(model(frames), model(other), atol=1e-3)


def test_predictions_do_not_depend_on_the_batch() -> None:
    torch.manual_seed(2)
    model = LoCATe(SMALL, 128).eval()
    frames = torch.randn(9, 8, 128)
    together = model(frames)
    alone = torch.cat([model(frames[i : i + 1]) for i in range(9)])
    assert (together - alone).abs().max() <= 1e-6
    reference = LoCATe(for_width(128, frames=8, attention="batch"), 128).eval()
    together = reference(frames)
    alone = torch.cat([reference(frames[i : i + 1]) for i in range(9)])
    assert (together - alone).abs().max() > 1e-3, "the published axis mixes the batch: the preset must keep that"


@pytest.mark.parametrize("positions", [True, False])
def test_order_matters_through_positions_alone(positions: bool) -> None:
    model = LoCATe(for_width(128, frames=8, positions=positions), 128)
    frames = torch.randn(2, 8, 128)
    gap = (model(frames) - model(frames.flip(1))).abs().max()
    assert gap > 1e-4 if positions else gap < 1e-5


def test_projection_joins_widths() -> None:
    assert LoCATe(SMALL, 40)(torch.randn(2, 8, 40)).shape == (2, 128)


def test_class_graph_is_symmetric_with_self_loops_and_five_neighbours() -> None:
    nodes = torch.randn(30, 16, generator=torch.Generator().manual_seed(0))
    nodes[7] = nodes[8] = nodes[9] = nodes[10] = nodes[11] = nodes[12]
    edges = class_graph(nodes, 5)
    assert torch.equal(edges, edges.T)
    assert edges.diagonal().all()
    assert (edges.sum(1) >= 5).all()
    cosine = F.cosine_similarity(nodes[:, None], nodes[None], dim=2)
    near = cosine >= cosine.topk(5, dim=1).values[:, -1:] - 1e-6  # ties are free to fall either way
    assert not (edges & ~(near | near.T)).any()
    clear = cosine > cosine.topk(5, dim=1).values[:, -1:] + 1e-6
    assert edges[clear].all()


def test_graph_attention_equals_its_definition() -> None:
    torch.manual_seed(3)
    layer = GraphAttention(2, 6, 4, dropout=0.6).eval()
    x, edges = torch.randn(7, 6), class_graph(torch.randn(7, 6), 3)
    out, attention = layer(x, edges)
    for head in range(2):
        h = x @ layer.weight[head]
        for i in range(7):
            joined = edges[i].nonzero().flatten().tolist()
            logits = [
                F.leaky_relu((layer.score_i[head, :, 0] @ h[i]) + (layer.score_j[head, :, 0] @ h[j]), 0.2)
                for j in joined
            ]
            weights = torch.stack(logits).exp() / torch.stack(logits).exp().sum()
            torch.testing.assert_close(out[head, i], (weights[:, None] * h[joined]).sum(0), atol=1e-5, rtol=1e-4)
            assert attention[head, i][~edges[i]].eq(0).all()
    torch.testing.assert_close(attention.sum(-1), torch.ones(2, 7))


def test_gat_rows_are_unit_and_reach_sums_to_one() -> None:
    gat = GAT(SMALL).eval()
    nodes = torch.randn(12, 128)
    rows, reach = gat(nodes, class_graph(nodes, 5))
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(12))
    torch.testing.assert_close(reach.sum(1), torch.ones(12))


def test_patch_variant_sees_image_neighbours() -> None:
    lca = PatchLCA(32, 4, ((1, 8, 16, 24), (2, 8, 16, 8)))
    patches = torch.randn(2, 16, 32)
    shuffled = patches[:, torch.randperm(16, generator=torch.Generator().manual_seed(0))]
    assert lca(patches).shape == (2, 32)
    assert not torch.allclose(lca(patches), lca(shuffled), atol=1e-5)


PATCHY = for_width(128, frames=8, mixer="patch-lca", patch_side=2)


def test_patch_variant_equals_its_definition_and_reads_patches_of_its_own_frame() -> None:
    torch.manual_seed(4)
    model = LoCATe(PATCHY, 128 * 5).eval()
    assert model.own_width == 128
    frames = torch.randn(2, 8, 128 * 5)
    x = frames[..., :128] + model.positions
    y = model.norm1(x)
    x = x + model.attention(y, y, y, need_weights=False)[0]
    expected = torch.zeros(2, 8, 128)
    for b in range(2):
        for t in range(8):
            tokens = F.layer_norm(frames[b, t, 128:].reshape(4, 128), (128,), model.norm2.weight, model.norm2.bias)
            expected[b, t] = x[b, t] + model.mixer(tokens[None])[0]
    torch.testing.assert_close(model(frames), expected.mean(1), atol=1e-5, rtol=1e-4)
    swapped = frames.clone()
    swapped[:, 3, 128:256], swapped[:, 3, 256:384] = frames[:, 3, 256:384], frames[:, 3, 128:256]
    assert not torch.allclose(model(frames), model(swapped), atol=1e-6), "which patch is where must matter"


def test_patch_variant_joins_widths_and_leaves_frames_out_with_their_patches() -> None:
    model = LoCATe(PATCHY, 40 * 5).eval()
    frames, valid = torch.randn(2, 8, 200), torch.ones(2, 8, dtype=torch.bool)
    valid[:, 1] = False
    other = frames.clone()
    other[:, 1] += 10
    assert model(frames).shape == (2, 128)
    torch.testing.assert_close(model(frames, valid), model(other, valid), atol=1e-6, rtol=0)


def test_lca_reads_any_number_of_frames_at_once_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    lca = LCA(SMALL.grid, SMALL.branches, True, 0.0)
    x = torch.randn(3, 8, 128)
    whole = lca(x)
    monkeypatch.setattr("whyact.locate_gat.model.CPU_POSITIONS", 1)
    torch.testing.assert_close(lca(x), whole, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", ["ucf101", "hmdb51", "activitynet", "kinetics", "truze-ucf101", "truze-hmdb51"])
def test_published_settings_are_presets(name: str) -> None:
    epochs = {"hmdb51": 28, "truze-hmdb51": 28}.get(name, 16)
    batch = 32 if name == "kinetics" else 11
    for preset, rate, axis in ((name, 3e-4, "time"), (f"reference-{name}", 2e-7, "batch")):
        found = PRESETS[preset]
        assert (found.epochs, found.batch, found.learning_rate, found.attention) == (epochs, batch, rate, axis)
    assert (PRESETS[f"reference-{name}"].eval_batch, PRESETS[f"reference-{name}"].class_order) == (22, "ascii")


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_builds_a_model_that_runs(name: str) -> None:
    config = PRESETS[name]
    width = config.width * (1 + config.patch_side**2)
    assert LoCATe(config, width)(torch.randn(1, config.frames, width)).shape == (1, config.width)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"grid": (3, 16, 16)}, "grid"),
        ({"heads": 7}, "heads"),
        ({"branches": BRANCHES[768]}, "branches"),
        ({"grid": (8, 8, 8)}, "grid"),
        ({"mix": 1.5}, "mix"),
        ({"epochs": 0}, "epochs"),
        ({"temperature": 0.0}, "temperature"),
        ({"patch_side": 3}, "patch_side"),
        ({"mixer": "patch-lca"}, "patch_side"),
    ],
)
def test_impossible_settings_are_named(changes: dict, named: str) -> None:
    with pytest.raises(UserError, match=named):
        Config(**changes)
