"""Gated attention and the DT-Former: one query at a time, over nothing but the kept tokens."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from laiar_samples import FRAMES, SLOTS, close, random_batch, random_keep, small_model
from whyact.laiar.attention import Block, gated_attention
from whyact.laiar.model import DTFormer

SEEDS = st.integers(0, 10_000)
FEW = settings(max_examples=15)


def first(found: Any) -> Tensor:
    """Return z, whether or not attention shares come with it."""
    return found[0] if isinstance(found, tuple) else found


def attention_by_definition(q: Tensor, k: Tensor, v: Tensor, keep: Tensor, allowed: Tensor) -> Tensor:
    """Attend for one head: each query by itself, over the keys it may see."""
    rows, first = [], len(k) - len(q)
    for i, query in enumerate(q):
        weight = {}
        for j, key in enumerate(k):
            p = 1.0 if j == first + i else keep[j]
            if p and allowed[i, j]:
                weight[j] = torch.exp(query @ key / math.sqrt(len(query))) * p
        rows.append(sum(w * v[j] for j, w in weight.items()) / sum(weight.values()))
    return torch.stack(rows)


class TestGatedAttention:
    @pytest.mark.parametrize("queries", [6, 1])
    @pytest.mark.parametrize("training", [False, True])
    def test_by_definition(self, training: bool, queries: int) -> None:
        torch.manual_seed(0)
        q, k, v = torch.randn(2, 3, queries, 4), torch.randn(2, 3, 6, 4), torch.randn(2, 3, 6, 4)
        keep = torch.tensor([[1.0, 0, 1, 1, 0, 1], [0, 0, 0, 0, 0, 0]], requires_grad=training)
        allowed = (torch.rand(2, queries, 6) < 0.6) | torch.eye(6, dtype=torch.bool)[6 - queries :]
        for extra in (None, allowed):
            found = gated_attention(q, k, v, keep, extra)
            for b in range(2):
                for h in range(3):
                    which = torch.ones(queries, 6) if extra is None else extra[b]
                    expected = attention_by_definition(q[b, h], k[b, h], v[b, h], keep[b], which)
                    close(found[b, h], expected)

    def test_gradient_of_the_gate(self) -> None:
        torch.manual_seed(0)
        q, k, v = (torch.randn(1, 2, 4, 3, dtype=torch.float64) for _ in range(3))
        keep = torch.rand(1, 4, dtype=torch.float64).requires_grad_()
        assert torch.autograd.gradcheck(lambda gate: gated_attention(q, k, v, gate), (keep,))

    def test_a_dropped_token_of_huge_weight_leaves_values_and_gradients_finite(self) -> None:
        q, k, v = torch.ones(1, 1, 3, 2), torch.ones(1, 1, 3, 2), torch.randn(1, 1, 3, 2)
        k[0, 0, 1] = 1e4
        keep = torch.tensor([[1.0, 0.0, 1.0]], requires_grad=True)
        out = gated_attention(q, k, v, keep)
        close(out[0, 0, 0], (v[0, 0, 0] + v[0, 0, 2]) / 2)
        out.sum().backward()
        assert torch.isfinite(keep.grad).all()  # type: ignore[arg-type]


def block_by_definition(block: Block, tokens: Tensor, allowed: list[list[bool]]) -> Tensor:
    """Run one pre-norm block over tokens (N,D) with plain loops over heads and queries."""
    q, k, v = block.qkv(block.norm1(tokens)).chunk(3, -1)
    n, width = len(tokens), tokens.shape[1] // block.heads
    heads = []
    for h in range(block.heads):
        part = slice(h * width, (h + 1) * width)
        heads.append(attention_by_definition(q[:, part], k[:, part], v[:, part], torch.ones(n), torch.tensor(allowed)))
    tokens = tokens + block.out(torch.cat(heads, -1))
    return tokens + block.mlp(block.norm2(tokens))


def encode_by_definition(former: DTFormer, x0: Tensor, keep: Tensor) -> Tensor:
    """Encode one clip (T,K,D): take the kept tokens out and run the blocks over nothing but them."""
    where = [(t, k) for t in range(x0.shape[0]) for k in range(x0.shape[1]) if keep[t, k]]
    tokens = [x0[t, k] for t, k in where]
    if tokens:
        rows = torch.stack(tokens)
        for block in former.slot_blocks:
            rows = block_by_definition(block, rows, [[a[1] == b[1] for b in where] for a in where])
        tokens = list(rows)
    rows = torch.stack([*tokens, former.cls[0, 0]])
    for block in former.joint_blocks:
        rows = block_by_definition(block, rows, [[True] * len(rows)] * len(rows))
    return former.norm(rows[-1])


class TestDTFormer:
    @pytest.mark.parametrize("attention", ["joint", "slot_then_joint"])
    def test_both_paths_by_definition(self, attention: str) -> None:
        model, batch = small_model(attention=attention), random_batch(4)
        keep = random_keep(batch)
        keep[2] = 0
        for path in (model.video(batch, keep=keep), model.video(batch, keep=keep, gather=True)):
            x0 = model.dt_former.positioned(path.tokens)
            for b in range(4):
                close(path.z[b], encode_by_definition(model.dt_former, x0[b], keep[b]))

    @FEW
    @given(SEEDS, st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), st.sampled_from(["joint", "slot_then_joint"]))
    def test_masked_equals_gathered(self, seed: int, share: float, attention: str) -> None:
        model, batch = small_model(attention=attention), random_batch(seed=seed)
        keep = random_keep(batch, seed, share)
        close(model.video(batch, keep=keep).logits, model.video(batch, keep=keep, gather=True).logits)

    def test_masked_equals_gathered_with_one_token_or_all_of_them(self) -> None:
        model, batch = small_model(), random_batch(gaps=0.0)
        one = torch.zeros_like(batch.valid, dtype=torch.float)
        one[:, 2, 1] = 1
        for keep in (one, batch.valid.float()):
            close(model.video(batch, keep=keep).z, model.video(batch, keep=keep, gather=True).z)

    def test_masked_path_of_training_equals_that_of_evaluation(self) -> None:
        model, batch = small_model(), random_batch()
        keep = random_keep(batch)
        trained = model.video(batch, keep=keep.clone().requires_grad_())
        close(trained.z, model.video(batch, keep=keep).z)

    def test_dropped_tokens_have_no_say(self) -> None:
        model, batch = small_model(), random_batch()
        keep = random_keep(batch)
        x0 = model.dt_former.positioned(model.video(batch).tokens)
        garbage = torch.where(keep[..., None] > 0, x0, torch.randn_like(x0) * 10)
        close(first(model.dt_former(garbage, keep, batch.valid)), first(model.dt_former(x0, keep, batch.valid)))

    def test_multiplying_by_zero_is_not_removing(self) -> None:
        """The paper's gate leaves each dropped token behind as a constant one, which still takes attention."""
        mask, multiply = small_model(), small_model(gate="multiply")
        batch = random_batch()
        some, every = random_keep(batch), batch.valid.float()
        close(multiply.video(batch, keep=every).logits, mask.video(batch, keep=every).logits)
        difference = (multiply.video(batch, keep=some).logits - mask.video(batch, keep=some).logits).abs()
        assert difference.amax(-1).min() > 1e-3

    def test_gathering_changes_nothing_under_the_multiplying_gate(self) -> None:
        model, batch = small_model(gate="multiply"), random_batch()
        keep = random_keep(batch)
        close(model.video(batch, keep=keep, gather=True).logits, model.video(batch, keep=keep).logits)

    @pytest.mark.parametrize("layers", [1, 2, 4])
    def test_any_number_of_layers(self, layers: int) -> None:
        model = small_model(layers=layers)
        assert len(model.dt_former.slot_blocks) + len(model.dt_former.joint_blocks) == layers
        assert torch.isfinite(model.video(random_batch()).logits).all()

    @pytest.mark.parametrize(
        ("position", "frames", "slots"), [("full", 5, 5), ("factorised", 5, 5), ("temporal", 6, 4)]
    )
    def test_refuses_sizes_its_positions_do_not_know(self, position: str, frames: int, slots: int) -> None:
        model = small_model(position=position)
        with pytest.raises(ValueError, match=f"{FRAMES} frames and {SLOTS} slots got {frames} and {slots}"):
            model.video(random_batch(1, frames, slots))

    @pytest.mark.parametrize("position", ["full", "factorised", "temporal"])
    def test_positions_tell_frames_apart_and_slots_as_their_name_says(self, position: str) -> None:
        x0 = small_model(position=position).dt_former.positioned(torch.zeros(1, FRAMES, SLOTS, 16))[0]
        assert (x0[0] != x0[1]).all()
        assert bool((x0[:, 0] != x0[:, 1]).any()) == (position != "temporal")
