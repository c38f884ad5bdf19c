"""The chain of names against every sequence of labels, one by one."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from laiar_samples import close
from whyact.laiar import losses
from whyact.laiar.chain import NEVER, chain_loss, decode, log_partition, posterior

SEEDS = st.integers(0, 10_000)


def drawn(seed: int, n: int = 2, length: int = 4, labels: int = 3) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, length, labels, generator=g) * 2, torch.rand((), generator=g) * 3


def sequences(scores: Tensor, switch: Tensor) -> dict[tuple[int, ...], float]:
    """Return the score of every sequence of one slot (T,R)."""
    length, labels = scores.shape
    return {
        path: float(sum(scores[t, r] for t, r in enumerate(path)))
        - float(switch) * sum(a != b for a, b in itertools.pairwise(path))
        for path in itertools.product(range(labels), repeat=length)
    }


@settings(max_examples=15)
@given(SEEDS)
def test_by_every_sequence(seed: int) -> None:
    scores, switch = drawn(seed)
    found, best, total = posterior(scores, switch), decode(scores, switch), log_partition(scores, switch)
    for n in range(len(scores)):
        score = sequences(scores[n], switch)
        weight = {path: torch.tensor(value).exp() for path, value in score.items()}
        z = sum(weight.values(), torch.tensor(0.0))
        close(total[n], z.log(), 1e-4)
        assert score[tuple(best[n].tolist())] == pytest.approx(max(score.values()), abs=1e-4)
        for t, r in itertools.product(range(4), range(3)):
            close(found.token[n, t, r], sum(w for p, w in weight.items() if p[t] == r) / z, 1e-4)
        for t, a, b in itertools.product(range(3), range(3), range(3)):
            close(found.change[n, t, a, b], sum(w for p, w in weight.items() if p[t : t + 2] == (a, b)) / z, 1e-4)
        for r in range(3):
            close(found.held[n, r], weight[(r,) * 4] / z, 1e-4)


@settings(max_examples=10)
@given(SEEDS)
def test_loss_is_what_the_true_sequences_lack(seed: int) -> None:
    """A frame of which nobody said anything may carry any label."""
    scores, switch = drawn(seed)
    truth = torch.tensor([[0, 1, 1, 2], [2, -1, 2, 0]])
    possible = torch.nn.functional.one_hot(truth.clamp_min(0), 3).bool() | (truth < 0)[..., None]
    weight = torch.tensor([1.0, 3.0])
    each = []
    for n in range(2):
        score = sequences(scores[n], switch)
        fits = [v for p, v in score.items() if all(possible[n, t, r] for t, r in enumerate(p))]
        each.append(torch.tensor(list(score.values())).logsumexp(0) - torch.tensor(fits).logsumexp(0))
    close(chain_loss(scores, switch, possible, weight), (each[0] + 3 * each[1]) / 4, 1e-4)


def test_a_flicker_is_no_change_where_a_change_costs_more_than_it_shows() -> None:
    scores = torch.tensor([[[2.0, 0], [2, 0], [0, 1], [2, 0], [2, 0]]])
    assert decode(scores, torch.tensor(0.2)).tolist() == [[0, 0, 1, 0, 0]]
    assert decode(scores, torch.tensor(2.0)).tolist() == [[0, 0, 0, 0, 0]]


def test_a_label_that_a_pair_cannot_carry_is_never_its_name() -> None:
    scores, switch = drawn(1)
    scores[..., 1] = NEVER
    assert (decode(scores, switch) != 1).all()
    assert posterior(scores, switch).token[..., 1].max() == 0


def test_naming_loss_teaches_nothing_about_unnamed_slots() -> None:
    g = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 4, 3, 5, generator=g).requires_grad_()
    relations = torch.zeros(2, 4, 3, 5)
    relations[0, :, 0, 1] = relations[0, :2, 1, 2] = relations[0, 2:, 1, 3] = 1.0
    valid = torch.ones(2, 4, 3, dtype=torch.bool)
    loss = losses.naming(scores, torch.tensor(1.0), relations, valid, 2.0)
    (gradient,) = torch.autograd.grad(loss, scores)
    assert gradient[0, :, :2].abs().sum() > 0
    assert gradient[0, :, 2].abs().sum() == gradient[1].abs().sum() == 0


def test_a_slot_that_changes_weighs_more() -> None:
    scores = torch.zeros(1, 2, 2, 2)
    scores[0, :, 0, 0] = 5.0  # the slot that stays is known already
    relations = torch.zeros(1, 2, 2, 2)
    relations[0, :, 0, 0] = relations[0, 0, 1, 0] = relations[0, 1, 1, 1] = 1.0
    valid = torch.ones(1, 2, 2, dtype=torch.bool)
    weak, strong = (losses.naming(scores, torch.tensor(1.0), relations, valid, e) for e in (1.0, 4.0))
    assert strong > weak
