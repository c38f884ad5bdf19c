"""Losses against sums written out from the definition."""

from __future__ import annotations

import math

import torch

from whyact.locate_gat.losses import cosine, cosine_softmax, graph_regression, mse, prototypes


def test_cosine_softmax_is_the_mean_negative_log_probability() -> None:
    torch.manual_seed(0)
    video, text, target = torch.randn(4, 5), torch.randn(3, 5), torch.tensor([0, 2, 1, 1])
    total = 0.0
    for v, y in zip(video.tolist(), target.tolist(), strict=True):
        logits = [
            sum(a * b for a, b in zip(v, t, strict=True)) / math.hypot(*v) / math.hypot(*t) / 0.05
            for t in text.tolist()
        ]
        total -= logits[y] - math.log(sum(math.exp(z) for z in logits))
    assert math.isclose(cosine_softmax(video, text, target, 0.05).item(), total / 4, rel_tol=1e-4)


def test_mse_keeps_lengths_and_cosine_softmax_does_not() -> None:
    torch.manual_seed(0)
    video, text, target = torch.randn(4, 5), torch.randn(3, 5), torch.tensor([0, 2, 1, 1])
    expected = ((video - text[[0, 2, 1, 1]]) ** 2).sum() / 20
    torch.testing.assert_close(mse(video, text, target), expected)
    assert not torch.isclose(mse(2 * video, text, target), expected)
    torch.testing.assert_close(
        cosine_softmax(2 * video, 3 * text, target, 0.1), cosine_softmax(video, text, target, 0.1)
    )


def test_graph_losses_agree_on_unit_rows() -> None:
    torch.manual_seed(0)
    a = torch.nn.functional.normalize(torch.randn(6, 10), dim=1)
    b = torch.nn.functional.normalize(torch.randn(6, 10), dim=1)
    # |a - b|^2 = 2 (1 - cos), and the MSE divides by the width
    torch.testing.assert_close(graph_regression(a, b, "mse") * 10 / 2, graph_regression(a, b, "cosine"))
    assert graph_regression(a, a, "cosine").abs() < 1e-6


def test_prototypes_are_mean_directions() -> None:
    video = torch.tensor([[2.0, 0.0], [0.0, 5.0], [-3.0, 0.0]])
    rows = prototypes(video, torch.tensor([0, 0, 2]), 4)
    expected = torch.tensor([[0.5**0.5, 0.5**0.5], [0, 0], [-1, 0], [0, 0]])
    torch.testing.assert_close(rows, expected)
    torch.testing.assert_close(cosine(video, video).diagonal(), torch.ones(3))
