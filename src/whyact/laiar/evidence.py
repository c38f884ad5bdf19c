"""What decided: names for tokens, the transitions of each pair, and what each pair contributes by exact removal.

Three things are kept apart because they can fail apart: which tokens were *selected*, how they are *named* (not used by
the classifier), and how much the answer *depends* on them. A piece of evidence is *stated* as a reason only where its
name is likely enough to be true, and where removing it costs the answer more than random removals do.
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
from whyact.laiar.chain import NEVER, decode, posterior
from whyact.laiar.model import BranchOutput, LaIAR
from whyact.metrics.transitions import TOLERANCE

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
    """A slot's tokens change their name: the last frame of the old run and the first of the new one.

    ``tokens`` are the sampled frames in which the pair is there: what is removed is the whole pair. With
    ``before == after`` it is a state that held throughout.
    """

    slot: int
    before: int
    after: int
    t_before: int
    t_after: int
    tokens: tuple[int, ...]


@torch.no_grad()
def build_bank(
    model: LaIAR,
    batches: Iterable[RelationBatch],
    naming: Sequence[int] | None = None,
    nameable: Tensor | None = None,
) -> LabelBank:
    """Build the label bank from training batches; a token counts when it carries exactly one naming label.

    Args:
        model: In evaluation mode.
        batches: With relations.
        naming: The relation labels that name tokens; all of them by default.

        nameable: (O,O,R) what each pair of classes can carry. A model that reads names as chains has a row for every
            such combination of the classes that occur, whether a training clip shows it or not.

    For other models a label's direction is half-way between the centroid of its semantic tokens and that of the video
    tokens of the same pairs: Eq. 8 pulls the two together but leaves an offset, which would bend all names alike.
    """
    if model.naming is not None:
        return _coded_bank(model, batches, nameable)
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


def _coded_bank(model: LaIAR, batches: Iterable[RelationBatch], nameable: Tensor | None) -> LabelBank:
    assert nameable is not None
    used = torch.zeros(2, len(nameable), dtype=torch.bool)
    for batch in batches:
        there = batch.valid.any(1)
        for side in range(2):
            used[side, batch.classes[..., side][there]] = True
    classes = torch.cartesian_prod(*(row.nonzero()[:, 0] for row in used)).reshape(-1, 2)
    own = nameable[classes[:, 0], classes[:, 1]]  # (M,R)
    pair, label = own.nonzero(as_tuple=True)
    triples = torch.stack([classes[pair, 0], label, classes[pair, 1]], 1)
    return LabelBank(model.label_codes(classes)[own], triples)


def class_probabilities(logits: Tensor, multi_label: bool) -> Tensor:
    """Return probabilities (...,C): one of all classes, or each class by itself."""
    return logits.sigmoid() if multi_label else logits.softmax(-1)


@dataclass
class Names:
    """For each token (B,T,K): relation ``label`` (index, -1 where no name fits), ``similarity``, ``margin``.

    ``similarity`` is NaN without a name, and ``margin`` without a second one that the pair could carry.

    ``nearest_row`` (B,T,K) is the bank row that is nearest of all; ``likely`` (B,T,K,R) are the similarities of the
    relations that the pair can carry, -inf elsewhere. Read as chains, names have a ``probability`` (B,T,K), and slots
    the posteriors ``change`` (B,K,T-1,R,R) and ``held`` (B,K,R); NaN and ``None`` where they are not.
    """

    label: Tensor
    similarity: Tensor
    margin: Tensor
    nearest_row: Tensor
    likely: Tensor
    probability: Tensor
    change: Tensor | None = None
    held: Tensor | None = None


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
    best = likely.amax(-1)
    label = torch.where(best > -torch.inf, likely.argmax(-1), -1)
    return Names(
        label=label,
        similarity=_finite(best),
        margin=_finite(best - _others(likely, label.clamp_min(0))),
        nearest_row=similarity.argmax(-1),
        likely=likely,
        probability=torch.full(label.shape, torch.nan),
    )


def _others(likely: Tensor, label: Tensor) -> Tensor:
    """Return the highest similarity (B,T,K) of all relations but one (B,T,K), -inf where there is no other."""
    return likely.scatter(-1, label[..., None], -torch.inf).amax(-1)


def _finite(values: Tensor) -> Tensor:
    return values.where(values.isfinite(), torch.nan)


@torch.no_grad()
def name_slots(model: LaIAR, bank: LabelBank, path: BranchOutput, batch: RelationBatch, relations: int) -> Names:
    """Name all valid tokens of clips: each slot as a chain over time, or token by token (the paper's reading).

    Args:
        model: Whose head reads chains, if it has one.
        bank: The label bank.
        path: The video model's pass, with codes for chains.
        batch: The clips.
        relations: R.
    """
    if model.naming is None or path.codes is None:
        return name_tokens(bank, path.tokens, batch.classes, relations)
    names = name_tokens(bank, path.codes, batch.classes, relations)
    b, k = len(names.likely), names.likely.shape[2]
    there = names.likely > -torch.inf
    scale, switch = model.naming.scale.cpu(), model.naming.switch.cpu()
    scores = (scale * names.likely.masked_fill(~there, 0.0)) * batch.valid[..., None]
    scores = scores.masked_fill(~there, NEVER).transpose(1, 2).flatten(0, 1)  # (B*K,T,R)
    found, label = posterior(scores, switch), decode(scores, switch)
    token = found.token.gather(-1, label[..., None])[..., 0].unflatten(0, (b, k)).transpose(1, 2)
    label = label.unflatten(0, (b, k)).transpose(1, 2)
    own = names.likely.gather(-1, label[..., None])[..., 0]
    return replace(
        names,
        label=torch.where(own > -torch.inf, label, -1),
        similarity=_finite(own),
        margin=_finite(own - _others(names.likely, label)),
        probability=token,
        change=found.change.unflatten(0, (b, k)),
        held=found.held.unflatten(0, (b, k)),
    )


def chances(changes: Sequence[Change], names: Names, clip: int, times: np.ndarray) -> np.ndarray:
    """Return (M,) how likely each change of a clip is to be true by the chain; NaN where names are no chains.

    A transition is true where the same labels follow each other within :data:`TOLERANCE` seconds of where it is named.
    """
    out = np.full(len(changes), np.nan)
    if names.change is None or names.held is None:
        return out
    for i, change in enumerate(changes):
        if change.before == change.after:
            out[i] = float(names.held[clip, change.slot, change.after])
            continue
        near = (times[1:] >= times[change.t_before] - TOLERANCE) & (times[:-1] <= times[change.t_after] + TOLERANCE)
        steps = names.change[clip, change.slot, :, change.before, change.after].numpy()
        out[i] = float(steps[near].sum())
    return out.clip(0.0, 1.0)


def list_changes(labels: np.ndarray, valid: np.ndarray | None = None) -> list[Change]:
    """List the changes of named tokens (T,K), -1 = not there; a slot with a single run gives one state.

    Args:
        labels: The names.
        valid: (T,K) the tokens that a pair has, named or not; those with a name by default.
    """
    changes = []
    for slot in range(labels.shape[1]):
        frames = np.flatnonzero(labels[:, slot] >= 0)
        if not len(frames):
            continue
        values = labels[frames, slot]
        tokens = tuple((frames if valid is None else np.flatnonzero(valid[:, slot])).tolist())
        starts = [0, *(np.flatnonzero(np.diff(values)) + 1), len(frames)]
        runs = [frames[a:b] for a, b in pairwise(starts)]
        if len(runs) == 1:
            label = int(values[0])
            changes.append(Change(slot, label, label, int(frames[0]), int(frames[-1]), tokens))
        for old, new in pairwise(runs):
            changes.append(
                Change(
                    slot,
                    int(labels[old[0], slot]),
                    int(labels[new[0], slot]),
                    int(old[-1]),
                    int(new[0]),
                    tokens,
                )
            )
    return changes


def have_boxes(changes: Sequence[Change], seen: np.ndarray) -> np.ndarray:
    """Return (M,) whether both boxes of each change's pair are visible, seen (T,K,2), from its start to its end.

    A hidden thing has tokens too, for what happens to it may be known; but it is no reason that a reader could check.
    """
    out = np.zeros(len(changes), dtype=bool)
    for i, c in enumerate(changes):
        frames = [t for t in c.tokens if c.t_before <= t <= c.t_after]
        out[i] = bool(seen[frames, c.slot].all())
    return out


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


def removal_masks(changes: Sequence[Change], shape: tuple[int, ...]) -> Tensor:
    """Return (M,T,K) bool: the tokens that the removal of each change takes away."""
    own = torch.zeros(len(changes), *shape, dtype=torch.bool)
    for row, change in enumerate(changes):
        own[row, list(change.tokens), change.slot] = True
    return own


def random_masks(valid: np.ndarray, count: int, draws: int, random: np.random.Generator) -> Tensor:
    """Return (draws,T,K) bool: random removals of ``count`` of the valid tokens (T,K)."""
    where = np.flatnonzero(valid)
    out = np.zeros((draws, valid.size), dtype=bool)
    for row in out:
        row[random.permutation(where)[:count]] = True
    return torch.from_numpy(out.reshape(draws, *valid.shape))


def rank_changes(stated: np.ndarray, contribution: np.ndarray, chance: np.ndarray) -> list[int]:
    """Return positions of changes in the order of evidence, by what stands beside each.

    What is stated comes first, then what costs the answer more when its pair is removed, then what is likelier true.
    """
    return [int(i) for i in np.lexsort((-np.nan_to_num(chance, nan=-1.0), -contribution, ~stated))]
