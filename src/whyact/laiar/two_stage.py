"""The traditional rival (the paper's Figure 1b): predict relations first, then read them with the language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from whyact.data.relations.packed import RelationBatch
from whyact.data.types import RelationClip, Vocabulary


def relation_prior(clips: Sequence[RelationClip], vocabulary: Vocabulary) -> Tensor:
    """Return how often each pair of classes carries each relation in the training clips (O,O,R).

    Relations that the vocabulary does not allow for a pair get -1, so that they never win.
    """
    objects, relations = len(vocabulary.objects), len(vocabulary.relations)
    prior = torch.full((objects, objects, relations), -1.0)
    for (subject, obj), names in vocabulary.allowed.items():
        for name in names:
            prior[
                vocabulary.objects.index(subject), vocabulary.objects.index(obj), vocabulary.relations.index(name)
            ] = 0
    for clip in clips:
        assert clip.relations is not None
        counts = torch.from_numpy(clip.relations.sum(0)).float()  # (K,R)
        prior.index_put_(
            (torch.from_numpy(clip.subject_class), torch.from_numpy(clip.object_class)), counts, accumulate=True
        )
    return prior


def predicted_relations(batch: RelationBatch, prior: Tensor) -> RelationBatch:
    """Return the batch with the likeliest allowed relation of each token in place of the true ones.

    Args:
        batch: With ``appearance`` (B,T,K,R) holding relation probabilities; zeros where a box was hidden.
        prior: (O,O,R) of :func:`relation_prior`, which decides where there are no probabilities.
    """
    assert batch.appearance is not None
    usual = prior[batch.classes[..., 0], batch.classes[..., 1]][:, None]  # (B,1,K,R)
    score = batch.appearance + 1e-9 * usual / usual.sum(-1, keepdim=True).clamp_min(1)
    best = score.masked_fill(usual < 0, -1).argmax(-1)
    relations = torch.nn.functional.one_hot(best, prior.shape[-1]).to(batch.appearance.dtype)
    return replace(batch, relations=relations * batch.valid[..., None])
