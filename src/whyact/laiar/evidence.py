"""What decided: names for kept tokens, their transitions, and what each contributes by exact removal.

Three things are kept apart because they can fail apart: which tokens were *selected*, how they are *named*
(nearest label in the joint space, not used by the classifier), and how much the answer *depends* on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from whyact.data.relations.packed import RelationBatch
from whyact.errors import UserError
from whyact.laiar.model import LaIAR

CHUNK = 128  # removals a forward pass: bounds the memory


@dataclass
class LabelBank:
    """Directions of the joint space that carry a name.

    ``vectors`` (L,D) unit rows; ``triples`` (L,3) subject class, relation label, object class. One row a triple
    seen in training.
    """

    vectors: Tensor
    triples: Tensor


class Change(NamedTuple):
    """A slot's kept tokens change their name: the last frame of the old run and the first of the new one.

    ``tokens`` are the sampled frames of both runs, whose removal is the removal of this transition. With
    ``before == after`` it is a state that held throughout.
    """

    slot: int
    before: int
    after: int
    t_before: int
    t_after: int
    tokens: tuple[int, ...]


@torch.no_grad()
def build_bank(model: LaIAR, batches: Iterable[RelationBatch], naming: Sequence[int] | None = None) -> LabelBank:
    """Build the label bank from training batches; a token counts when it carries exactly one naming label.

    Args:
        model: In evaluation mode.
        batches: With relations.
        naming: The relation labels that name tokens; all of them by default.

    A label's direction is half-way between the centroid of its semantic tokens and that of the video tokens of the
    same pairs: Eq. 8 pulls the two together but leaves an offset, which would bend every name the same way.
    """
    sums: dict[tuple[int, int, int], Tensor] = {}
    for batch in batches:
        assert batch.relations is not None
        labels = torch.arange(batch.relations.shape[-1]) if naming is None else torch.tensor(list(naming))
        named = batch.relations[..., labels]
        single = batch.valid & (named.sum(-1) == 1)
        label = labels[named.argmax(-1)[single]]
        classes = batch.classes[:, None].expand(*batch.valid.shape, 2)[single]
        triples, where = torch.stack([classes[:, 0], label, classes[:, 1]], 1).unique(dim=0, return_inverse=True)
        both = (model.language(batch).tokens, model.video(batch.without_relations()).tokens)
        tokens = torch.stack([F.normalize(t, dim=-1)[single] for t in both], 1)  # (n,2,D)
        totals = tokens.new_zeros(len(triples), 2, tokens.shape[-1]).index_add_(0, where, tokens)
        for triple, total in zip(triples.tolist(), totals, strict=True):
            key = (triple[0], triple[1], triple[2])
            sums[key] = sums[key] + total if key in sums else total
    ordered = sorted(sums)
    if not ordered:
        raise UserError("training clips", "no pair with exactly one relation", "some, for they name the evidence")
    centroids = F.normalize(torch.stack([sums[key] for key in ordered]), dim=-1)
    return LabelBank(F.normalize(centroids.sum(1), dim=-1), torch.tensor(ordered, dtype=torch.long))


def class_probabilities(logits: Tensor, multi_label: bool) -> Tensor:
    """Return probabilities (...,C): one of all classes, or each class by itself."""
    return logits.sigmoid() if multi_label else logits.softmax(-1)


@dataclass
class Names:
    """For each token (B,T,K): relation ``label`` (index, -1 where no name fits), ``similarity``, ``margin``.

    ``free`` (B,T,K) is the bank row that is nearest of all; ``likely`` (B,T,K,R) are the similarities of the
    relations that the pair can carry, -inf elsewhere.
    """

    label: Tensor
    similarity: Tensor
    margin: Tensor
    free: Tensor
    likely: Tensor


def name_tokens(bank: LabelBank, tokens: Tensor, classes: Tensor, relations: int) -> Names:
    """Name joint-space tokens by the nearest bank row of their own object classes.

    Args:
        bank: The label bank.
        tokens: (B,T,K,D).
        classes: (B,K,2) subject and object class.
        relations: R, the number of relation labels.
    """
    similarity = F.normalize(tokens, dim=-1) @ bank.vectors.T  # (B,T,K,L)
    fits = (bank.triples[:, 0] == classes[..., :1]) & (bank.triples[:, 2] == classes[..., 1:])  # (B,K,L)
    own = similarity.masked_fill(~fits[:, None], -torch.inf)
    likely = torch.full((*tokens.shape[:3], relations), -torch.inf)
    index = bank.triples[:, 1].expand_as(own)
    likely = likely.scatter_reduce(-1, index, own, "amax")
    best = likely.topk(min(2, relations), dim=-1).values
    known = best[..., 0] > -torch.inf
    label = torch.where(known, likely.argmax(-1), -1)
    runner_up = torch.where(best[..., -1] > -torch.inf, best[..., -1], -1.0)
    return Names(
        label=label,
        similarity=torch.where(known, best[..., 0], 0.0),
        margin=torch.where(known, best[..., 0] - runner_up, 0.0),
        free=similarity.argmax(-1),
        likely=likely,
    )


def list_changes(labels: np.ndarray) -> list[Change]:
    """List the changes of named tokens (T,K), -1 = not there; a slot with a single run gives one state."""
    changes = []
    for slot in range(labels.shape[1]):
        frames = np.flatnonzero(labels[:, slot] >= 0)
        if not len(frames):
            continue
        values = labels[frames, slot]
        starts = [0, *(np.flatnonzero(np.diff(values)) + 1), len(frames)]
        runs = [frames[a:b] for a, b in pairwise(starts)]
        if len(runs) == 1:
            label = int(values[0])
            changes.append(Change(slot, label, label, int(frames[0]), int(frames[-1]), tuple(frames.tolist())))
        for old, new in pairwise(runs):
            changes.append(
                Change(
                    slot,
                    int(labels[old[0], slot]),
                    int(labels[new[0], slot]),
                    int(old[-1]),
                    int(new[0]),
                    (*old.tolist(), *new.tolist()),
                )
            )
    return changes


@torch.no_grad()
def scores_without(
    model: LaIAR,
    clip: RelationBatch,
    keep: Tensor,
    removed: Tensor,
    temperature: float = 1.0,
    *,
    multi_label: bool = False,
) -> Tensor:
    """Return the class probabilities (M,C) after exact removal of tokens from one clip's input.

    Removed tokens leave no trace: they are invalid before Eq. 1, so that neither the motion of their
    neighbours nor the pooled global vector knows them. The selection of the others stays as it was.

    Args:
        model: In evaluation mode.
        clip: A batch of one.
        keep: (T,K) the clip's own selection.
        removed: (M,T,K) bool, one removal a row.
        temperature: What the logits are divided by.
        multi_label: Each class has its own probability.
    """
    out = []
    for part in removed.split(CHUNK):
        m = len(part)
        stay = ~part
        batch = clip.map(lambda x: x.expand(m, *x.shape[1:]))  # noqa: B023  (used at once)
        batch = replace(batch, valid=batch.valid & stay, seen=batch.seen & stay[..., None])
        out.append(class_probabilities(model.video(batch, keep=keep * stay).logits / temperature, multi_label))
    return torch.cat(out) if out else torch.zeros(0, model.head_v.out_features)


def removal_masks(changes: list[Change], kept: np.ndarray) -> Tensor:
    """Return (2M,T,K) bool for kept tokens (T,K): each change's own tokens, then the rest of each change's slot."""
    own = torch.zeros(len(changes), *kept.shape, dtype=torch.bool)
    rest = torch.zeros_like(own)
    for row, change in enumerate(changes):
        own[row, list(change.tokens), change.slot] = True
        rest[row, :, change.slot] = torch.from_numpy(kept[:, change.slot])
    return torch.cat([own, rest & ~own])


def rank_changes(changes: list[Change], drop: np.ndarray, rest: np.ndarray) -> list[int]:
    """Return positions of changes by importance, transitions before states.

    Args:
        changes: M changes.
        drop: (M,) fall of the answer's score when the change is removed.
        rest: (M,) its fall when the rest of the change's slot is removed instead. Where a relation goes to and fro,
            removing either change breaks the same tokens; the one that decided also carries the answer alone.
    """
    state = np.array([c.before == c.after for c in changes], dtype=bool)
    return [int(i) for i in np.lexsort((-(drop - rest), state))]
