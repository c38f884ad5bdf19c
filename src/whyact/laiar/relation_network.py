"""Relations predicted from what the video model sees, for training without relation labels ("prediction" mode).

A small network on Eq. 1 features, frame by frame: a two-layer MLP with one output a relation. What is exclusive (the
attention group; all of a vocabulary's relations where each pair carries exactly one) is a softmax, the rest are
sigmoids. Predictions for training clips are out of fold, for a network that has seen a clip names it too well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from whyact.data.relations.packed import PackedClips, RelationBatch
from whyact.data.types import RelationClip, Vocabulary
from whyact.errors import UserError
from whyact.laiar.config import Config, ModelConfig
from whyact.laiar.learner import possible_relations, sized_for
from whyact.laiar.model import VisualRelation
from whyact.training.numerics import seed_everything

FOLDS, RATE, BATCH, HIDDEN = 5, 2e-3, 16, 128
EPOCHS, STEPS = 6, 300  # few clips are shown more often: at least so many steps
_NEVER = -1e4


class RelationNetwork(nn.Module):
    """Eq. 1 features -> relation logits of each pair in each frame."""

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary, exclusive: Sequence[Sequence[int]]) -> None:
        super().__init__()
        relations = len(vocabulary.relations)
        self.v = VisualRelation(config, len(vocabulary.objects))
        self.head = nn.Sequential(nn.Linear(self.v.width, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, relations))
        self.exclusive = [list(group) for group in exclusive]
        alone = {r for group in self.exclusive for r in group}
        self.free = [r for r in range(relations) if r not in alone]
        self.register_buffer("possible", possible_relations(vocabulary))

    def forward(self, batch: RelationBatch) -> Tensor:
        """Return logits (B,T,K,R); very low where the pair's classes cannot carry the relation."""
        logits = self.head(self.v(batch))
        possible = self.possible[batch.classes[..., 0], batch.classes[..., 1]][:, None]  # type: ignore[index]
        return logits.masked_fill(~possible, _NEVER)

    def loss(self, batch: RelationBatch) -> Tensor:
        """Return softmax cross-entropy of the exclusive groups plus mean binary cross-entropy of the rest."""
        assert batch.relations is not None
        named = batch.valid & batch.relations.any(-1)  # where nobody named a relation, there is nothing to learn
        logits, truth = self(batch)[named], batch.relations[named]
        total = logits.sum() * 0.0
        for group in self.exclusive:
            labels = truth[:, group]
            known = labels.sum(1) > 0  # a frame in which nobody said anything about this group teaches nothing
            if known.any():
                target = labels[known] / labels[known].sum(1, keepdim=True)
                total = total + F.cross_entropy(logits[known][:, group], target)
        if self.free and len(logits):
            fits = (logits[:, self.free] > _NEVER / 2).to(logits.dtype)
            each = F.binary_cross_entropy_with_logits(logits[:, self.free], truth[:, self.free], reduction="none")
            total = total + (each * fits).sum() / fits.sum().clamp_min(1)
        return total


def determined(logits: Tensor, groups: Sequence[int]) -> Tensor:
    """Return the top label of each group (...,R) as booleans; a group of which the pair can carry none gets none."""
    out = torch.zeros_like(logits, dtype=torch.bool)
    group_of = torch.tensor(groups)
    for g in sorted(set(groups)):
        own = torch.nonzero(group_of == g)[:, 0]
        part = logits[..., own]
        out[..., own] = F.one_hot(part.argmax(-1), len(own)).bool() & (part > _NEVER / 2)
    return out


def exclusive_groups(clips: Sequence[RelationClip], vocabulary: Vocabulary) -> list[list[int]]:
    """Return the groups of which exactly one relation is true: as the words say, or all where no token has two."""
    if vocabulary.groups:
        group_of = vocabulary.group_of
        return [
            [r for r, own in enumerate(group_of) if own == g]
            for g, group in enumerate(vocabulary.groups)
            if group.exclusive
        ]
    single = all(c.relations is None or (c.relations.sum(-1) <= 1).all() for c in clips)
    return [list(range(len(vocabulary.relations)))] if single else []


def train_network(
    clips: Sequence[RelationClip], vocabulary: Vocabulary, config: Config, *, seed: int, epochs: int | None = None
) -> RelationNetwork:
    """Train a network on clips with relations; the same seed gives the same weights on a CPU.

    Raises:
        UserError: When no clip has a token with relations.
    """
    usable = [clip for clip in clips if clip.relations is not None and clip.valid.any()]
    if not usable:
        raise UserError("training clips", "no pair with relations", "some: the relation network learns from them")
    seed_everything(seed)
    packed = PackedClips(usable, slots=config.data.slots, window=config.data.window)
    network = RelationNetwork(sized_for(config, usable).model, vocabulary, exclusive_groups(usable, vocabulary))
    batches = -(-len(usable) // BATCH)
    epochs = max(EPOCHS, -(-STEPS // batches)) if epochs is None else epochs
    steps = epochs * batches
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps + 1)
    random = np.random.default_rng(seed)
    network.train()
    for _ in range(epochs):
        for index in np.array_split(random.permutation(len(usable)), batches):
            batch = packed.batch(index, packed.jittered_positions(index, config.data.frames, 0.5, random))
            if not batch.valid.any():
                continue
            optimizer.zero_grad()
            network.loss(batch).backward()
            nn.utils.clip_grad_norm_(network.parameters(), config.optim.clip)
            optimizer.step()
            schedule.step()
    return network.eval()


@torch.no_grad()
def with_predictions(
    network: RelationNetwork, clips: Sequence[RelationClip], vocabulary: Vocabulary, config: Config
) -> list[RelationClip]:
    """Return the clips with the network's relations in place of their own, in every frame."""
    out = []
    for clip in clips:
        k = min(config.data.slots, len(clip.slots))
        relations = np.zeros((*clip.valid.shape, len(vocabulary.relations)), bool)
        if clip.valid.any():
            one = PackedClips([clip.without_relations()], slots=config.data.slots, window=config.data.window)
            batch = one.batch(np.zeros(1, np.int64), np.arange(len(clip.times))[None])
            found = determined(network(batch), vocabulary.group_of)[0].numpy()
            relations[:, :k] = found[:, :k] & clip.valid[:, :k, None]
        out.append(replace(clip, relations=relations))
    return out


def out_of_fold(
    clips: Sequence[RelationClip],
    vocabulary: Vocabulary,
    config: Config,
    *,
    seed: int,
    folds: int = FOLDS,
    epochs: int | None = None,
) -> list[RelationClip]:
    """Return the clips with relations predicted by networks that were not trained on them.

    Clips of one group (a person) stay in one fold where there are at least as many groups as folds; else single
    clips are dealt out.

    Raises:
        UserError: When there are fewer clips than two.
    """
    if len(clips) < 2:
        raise UserError("training clips", len(clips), "at least 2 to predict relations out of fold")
    groups = sorted({clip.group for clip in clips})
    names = groups if len(groups) >= folds else [clip.id for clip in clips]
    key = [clip.group if len(groups) >= folds else clip.id for clip in clips]
    folds = min(folds, len(names))
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = {names[n]: i % folds for i, n in enumerate(order)}
    out: list[RelationClip | None] = [None] * len(clips)
    for fold in range(folds):
        held = [i for i, name in enumerate(key) if fold_of[name] == fold]
        rest = [clip for clip, name in zip(clips, key, strict=True) if fold_of[name] != fold]
        network = train_network(rest, vocabulary, config, seed=seed, epochs=epochs)
        for i, clip in zip(held, with_predictions(network, [clips[i] for i in held], vocabulary, config), strict=True):
            out[i] = clip
    return [clip for clip in out if clip is not None]
