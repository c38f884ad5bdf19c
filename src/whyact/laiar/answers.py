"""Ask a trained LaIAR about clips: scores, kept tokens, their names, the transitions and what each is worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from whyact.data.relations.packed import PackedClips, RelationBatch
from whyact.data.types import RelationClip
from whyact.laiar.batches import evaluation_batches
from whyact.laiar.clips import measured_labels
from whyact.laiar.evidence import (
    Change,
    class_probabilities,
    list_changes,
    name_tokens,
    rank_changes,
    removal_masks,
    scores_without,
)
from whyact.laiar.runs import Run

YES = 0.5  # where a clip may show several actions: the probability from which an answer gives one


@dataclass
class Answer:
    """What the video model says about one clip at its T sampled frames; arrays are (T,K) unless said otherwise.

    ``positions`` (T,) are the sampled frames within the clip; ``labels`` the relation each kept token is named by,
    -1 elsewhere; ``named`` the same token by token, for every valid token; ``free`` the nearest bank row of all.
    ``changes`` come with their ``contribution`` and are ranked by it, transitions first.
    """

    clip: RelationClip
    positions: np.ndarray
    logits: np.ndarray
    probabilities: np.ndarray
    valid: np.ndarray
    keep: np.ndarray
    keep_probability: np.ndarray
    importance: np.ndarray
    labels: np.ndarray
    named: np.ndarray
    free: np.ndarray
    similarity: np.ndarray
    margin: np.ndarray
    changes: list[Change]
    contribution: list[float]
    multi_label: bool = False

    @property
    def predicted(self) -> int:
        """Return the likeliest action."""
        return int(self.probabilities.argmax())

    @property
    def chosen(self) -> list[int]:
        """Return the actions that the answer gives, which its evidence is for: the likeliest and all it says yes to."""
        return _chosen(self.probabilities, self.multi_label)


def _chosen(probabilities: np.ndarray, multi_label: bool) -> list[int]:
    """Return one action, or every action with at least even odds (the likeliest where none has)."""
    yes = [int(c) for c in np.flatnonzero(probabilities >= YES)] if multi_label else []
    return yes or [int(probabilities.argmax())]


def one(batch: RelationBatch, i: int) -> RelationBatch:
    """Return the i-th clip of a batch as a batch of one."""
    return batch.map(lambda x: x[i : i + 1])


@torch.no_grad()
def answer_clips(run: Run, clips: Sequence[RelationClip], *, explain: bool = True) -> Iterator[Answer]:
    """Answer each clip with the video model alone; the clips' relations are never looked at.

    Args:
        run: The trained model.
        clips: Clips with all their frames; frames are sampled evenly, both ends included.
        explain: Also compute contributions by exact removal.
    """
    packed = PackedClips(
        [clip.without_relations() for clip in clips], slots=run.config.data.slots, window=run.config.data.window
    )
    several = run.vocabulary.multi_label
    selects = run.config.select.temporal or run.config.select.spatial
    for index, batch in evaluation_batches(packed, run.config.data.frames):
        path = run.model.video(batch, gather=selects)  # the dropped tokens are really not computed
        names = name_tokens(run.bank, path.tokens, batch.classes, len(run.vocabulary.relations))
        importance = path.used if path.selection.score is None else path.selection.score
        assert importance is not None
        positions = packed.even_positions(index, run.config.data.frames)
        logits = path.logits / run.temperature
        for i, number in enumerate(index):
            k = int(packed.slots[number])
            keep, valid = path.selection.keep[i, :, :k] > 0, batch.valid[i, :, :k]
            named = np.where(valid.numpy(), names.label[i, :, :k].numpy(), -1)
            if run.vocabulary.measured:  # measured from the boxes, at answer time as in training: true of them
                named = measured_labels(clips[number].at(positions[i]))
            labels = np.where(keep.numpy(), named, -1)
            changes = list_changes(labels)
            probabilities = class_probabilities(logits[i], several)
            if several and not valid.any():  # nothing was seen: how often each action happens at all
                probabilities = torch.tensor(run.prior)
            contribution: list[float] = []
            if explain and changes:
                best = _chosen(probabilities.numpy(), several)
                single = one(batch, i)
                single = single.slots(k)
                removed = removal_masks(changes, keep.numpy())
                without = scores_without(
                    run.model, single, path.selection.keep[i, :, :k], removed, run.temperature, multi_label=several
                )
                drop, rest = (probabilities[best] - without[:, best]).mean(-1).view(2, -1).numpy()
                order = rank_changes(changes, drop, rest)
                changes, contribution = [changes[j] for j in order], [float(drop[j]) for j in order]
            yield Answer(
                clip=clips[number],
                positions=positions[i],
                logits=logits[i].numpy(),
                probabilities=probabilities.numpy(),
                valid=valid.numpy(),
                keep=keep.numpy(),
                keep_probability=path.selection.probability[i, :, :k].numpy(),
                importance=importance[i, :, :k].numpy(),
                labels=labels,
                named=named,
                free=names.free[i, :, :k].numpy(),
                similarity=names.similarity[i, :, :k].numpy(),
                margin=names.margin[i, :, :k].numpy(),
                changes=changes,
                contribution=contribution,
                multi_label=several,
            )
