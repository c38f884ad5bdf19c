"""A slot's relation over time as a linear chain: scores of each token, and a cost of every change.

One frame of boxes rarely tells "holding" from "not holding"; what the pair does before and after does. The chain gives
the likeliest sequence (Viterbi), the probability of each token's label and of each change, and its own loss.
Source: Lafferty, McCallum and Pereira, "Conditional Random Fields" (ICML 2001).
Axis letters: N slots, T frames, R labels. A label that a pair cannot carry has the score :data:`NEVER`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

NEVER = -1e4


class Posterior(NamedTuple):
    """Probabilities under the chain: ``token`` (N,T,R) labels, ``change`` (N,T-1,R,R) from a label to the next one.

    ``held`` (N,R) is the probability that the slot has this label throughout.
    """

    token: Tensor
    change: Tensor
    held: Tensor


def _moves(labels: int, switch: Tensor) -> Tensor:
    """Return (R,R) scores of going from one label to another: 0 to stay, -switch to change."""
    return -switch * (1 - torch.eye(labels, device=switch.device))


def _forward(scores: Tensor, switch: Tensor) -> Tensor:
    """Return (N,T,R) log sums over all beginnings that end in a label."""
    moves, alpha = _moves(scores.shape[-1], switch), [scores[:, 0]]
    for t in range(1, scores.shape[1]):
        alpha.append((alpha[-1][:, :, None] + moves).logsumexp(1) + scores[:, t])
    return torch.stack(alpha, 1)


def log_partition(scores: Tensor, switch: Tensor) -> Tensor:
    """Return (N,) log sums over all sequences of labels."""
    return _forward(scores, switch)[:, -1].logsumexp(-1)


def chain_loss(scores: Tensor, switch: Tensor, possible: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean of -log p(the labels of a slot).

    Args:
        scores: (N,T,R), 0 where nothing was seen.
        switch: What a change costs.
        possible: (N,T,R) bool, the labels that are true; all of them where nobody said.
        weight: (N,).
    """
    told = log_partition(scores.masked_fill(~possible, NEVER), switch)
    return (weight * (log_partition(scores, switch) - told)).sum() / weight.sum().clamp_min(1e-6)


def decode(scores: Tensor, switch: Tensor) -> Tensor:
    """Return the likeliest labels (N,T), the first of equals."""
    length, labels = scores.shape[1:]
    moves, best, back = _moves(labels, switch), scores[:, 0], []
    for t in range(1, length):
        value, origin = (best[:, :, None] + moves).max(1)
        best = value + scores[:, t]
        back.append(origin)
    path = [best.argmax(-1)]
    for origin in reversed(back):
        path.append(origin.gather(1, path[-1][:, None])[:, 0])
    return torch.stack(path[::-1], 1)


def posterior(scores: Tensor, switch: Tensor) -> Posterior:
    """Return the probability of every label, of every change, and of every label throughout."""
    alpha, beta = _forward(scores, switch), _forward(scores.flip(1), switch).flip(1)
    total = alpha[:, -1].logsumexp(-1)[:, None, None]
    token = (alpha + beta - scores - total).exp()
    move = alpha[:, :-1, :, None] + _moves(scores.shape[-1], switch) + beta[:, 1:, None, :] - total[..., None]
    return Posterior(token, move.exp(), (scores.sum(1) - total[:, 0]).exp())
