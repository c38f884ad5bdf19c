"""What decided: names for kept tokens, their transitions, and what each contributes by exact removal.

Three things are kept apart because they can fail apart: which tokens were *selected*, how they are *named*
(nearest label in the joint space, not used by the classifier), and how much the answer *depends* on them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from whyact.data.packed import RelationBatch
from whyact.data.types import Vocabulary
from whyact.laiar.model import LaIAR

CHUNK = 256  # clips a forward pass while removing


@dataclass
class LabelBank:
    """Directions of the joint space that carry a name.

    ``vectors`` (L,D) unit rows; ``triples`` (L,3) subject class, relation label, object class. One row is the
    normalised mean of the normalised semantic tokens of all training tokens with that triple ("centroid").
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
def build_bank(model: LaIAR, batches: Iterable[RelationBatch]) -> LabelBank:
    """Build the label bank from training batches; a token counts when it carries exactly one label."""
    sums: dict[tuple[int, int, int], Tensor] = {}
    for batch in batches:
        assert batch.relations is not None
        tokens = F.normalize(model.language(batch).tokens, dim=-1)
        single = batch.valid & (batch.relations.sum(-1) == 1)
        label = batch.relations.argmax(-1)[single]
        classes = batch.classes[:, None].expand(*batch.valid.shape, 2)[single]
        triples, where = torch.stack([classes[:, 0], label, classes[:, 1]], 1).unique(dim=0, return_inverse=True)
        totals = torch.zeros(len(triples), tokens.shape[-1]).index_add_(0, where, tokens[single])
        for triple, total in zip(triples.tolist(), totals, strict=True):
            key = (triple[0], triple[1], triple[2])
            sums[key] = sums[key] + total if key in sums else total
    ordered = sorted(sums)
    return LabelBank(
        F.normalize(torch.stack([sums[key] for key in ordered]), dim=-1), torch.tensor(ordered, dtype=torch.long)
    )


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


def steady_names(likely: np.ndarray, kept: np.ndarray, switch: float) -> np.ndarray:
    """Name one slot's kept tokens together: the sequence of labels that fits best, each change costing ``switch``.

    A single doubtful frame in the middle of a state is no transition. Solved exactly by dynamic programming.

    Args:
        likely: (T,R) similarity of each label, -inf where a pair cannot carry it.
        kept: (T,) which tokens count.
        switch: Cost of one change, in units of similarity; 0 names each token for itself.

    Returns:
        (T,) labels, -1 for tokens not kept or without a fitting name.
    """
    out = np.full(len(likely), -1, dtype=np.int64)
    frames = np.flatnonzero(kept & np.isfinite(likely).any(1))
    if not len(frames):
        return out
    score, back = likely[frames[0]].copy(), []
    for t in frames[1:]:
        stay, jump = score, score.max() - switch
        back.append(np.where(stay >= jump, np.arange(len(score)), int(score.argmax())))
        score = np.maximum(stay, jump) + likely[t]
    label = int(score.argmax())
    for i in range(len(frames) - 1, -1, -1):
        out[frames[i]] = label
        label = int(back[i - 1][label]) if i else label
    return out


def list_changes(labels: np.ndarray) -> list[Change]:
    """List the changes of named tokens (T,K), -1 = not there; a slot with a single run gives one state."""
    changes = []
    for slot in range(labels.shape[1]):
        frames = np.flatnonzero(labels[:, slot] >= 0)
        if not len(frames):
            continue
        values = labels[frames, slot]
        starts = [0, *(np.flatnonzero(np.diff(values)) + 1), len(frames)]
        runs = [frames[a:b] for a, b in zip(starts[:-1], starts[1:], strict=True)]
        if len(runs) == 1:
            label = int(values[0])
            changes.append(Change(slot, label, label, int(frames[0]), int(frames[-1]), tuple(frames.tolist())))
        for old, new in zip(runs[:-1], runs[1:], strict=True):
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
    model: LaIAR, clip: RelationBatch, keep: Tensor, removed: Tensor, temperature: float = 1.0
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
    """
    out = []
    for part in removed.split(CHUNK):
        m = len(part)
        stay = ~part
        batch = RelationBatch(
            **{name: None if x is None else x.expand(m, *x.shape[1:]) for name, x in vars(clip).items()}
        )
        batch = replace(batch, valid=batch.valid & stay, seen=batch.seen & stay[..., None])
        out.append((model.video(batch, keep=keep * stay).logits / temperature).softmax(-1))
    return torch.cat(out) if out else torch.zeros(0, model.head_v.out_features)


def removal_masks(changes: list[Change], frames: int, slots: int) -> Tensor:
    """Return (M,T,K) bool: the tokens of each change."""
    masks = torch.zeros(len(changes), frames, slots, dtype=torch.bool)
    for row, change in enumerate(changes):
        masks[row, list(change.tokens), change.slot] = True
    return masks


def rank_changes(changes: list[Change], contribution: np.ndarray) -> list[int]:
    """Return positions of changes by falling contribution, transitions before states."""
    state = np.array([c.before == c.after for c in changes], dtype=bool)
    return [int(i) for i in np.lexsort((-contribution, state))]


def possible_changes(vocabulary: Vocabulary) -> dict[str, set[tuple[str, str]]]:
    """Return action -> the (before, after) pairs by which the vocabulary's rules define it."""
    out: dict[str, set[tuple[str, str]]] = {}
    for rule in vocabulary.rules:
        out.setdefault(rule.action, set()).add((rule.before, rule.after))
    return out
