"""Embedded numbers, by loops; and that they can cut where a linear layer cannot."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch

from laiar_samples import close
from whyact.laiar.number_embedding import BINS, FREQUENCIES, REACH, NumberEmbedding, number_encoder


@pytest.mark.parametrize("kind", ["periodic", "piecewise"])
def test_by_loops(kind: Literal["periodic", "piecewise"]) -> None:
    torch.manual_seed(0)
    layer, x = NumberEmbedding(3, 5, kind), torch.randn(4, 3)
    rows = []
    for row in x:
        parts = list(row)
        for f, value in enumerate(row):
            if layer.frequency is not None:
                angles = [2 * math.pi * float(layer.frequency[f, i]) * float(value) for i in range(FREQUENCIES)]
                terms = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
            else:
                width = 2 * REACH / BINS
                terms = [min(1.0, max(0.0, (float(value) + REACH - i * width) / width)) for i in range(BINS)]
            parts += list(torch.relu(torch.tensor(terms) @ layer.weight[f] + layer.bias[f]))
        rows.append(layer.out(torch.stack(parts)))
    close(layer(x), torch.stack(rows), 1e-5)


def test_without_embedding_it_is_a_linear_layer_so_that_old_weights_fit() -> None:
    assert set(number_encoder(3, 5, "none").state_dict()) == {"weight", "bias"}


@pytest.mark.parametrize("kind", ["periodic", "piecewise"])
def test_learns_an_interval_that_no_linear_layer_can(kind: Literal["periodic", "piecewise"]) -> None:
    torch.manual_seed(0)
    x = torch.rand(512, 2) * 2 - 1
    y = ((x[:, 0] > -0.3) & (x[:, 0] < 0.2)).float()
    losses = {}
    for name in ("none", kind):
        layer = number_encoder(2, 1, name)
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.03)
        for _ in range(150):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(layer(x)[:, 0], y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses[name] = float(loss)
    assert losses[kind] < losses["none"] / 3
