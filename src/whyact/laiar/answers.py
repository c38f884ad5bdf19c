"""Ask a trained LaIAR about clips: scores, kept tokens, their names, the transitions and what each is worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from whyact.data.relations.packed import PackedClips, RelationBatch
from whyact.data.types import RelationClip
from whyact.laiar.batches import evaluation_batches
from whyact.laiar.clips import measured_labels
from whyact.laiar.evidence import (
    Change,
    chances,
    class_probabilities,
    have_boxes,
    list_changes,
    name_slots,
    random_masks,
    rank_changes,
    removal_masks,
    scores_without,
)
from whyact.laiar.runs import YES, Run
from whyact.metrics.calibration import calibrated

GAP = 3  # sampled frames from one end of a measured change to the other, at most, where it is stated


@dataclass
class Answer:
    """What the video model says about one clip at its T sampled frames; arrays are (T,K) unless said otherwise.

    ``positions`` (T,) are the sampled frames within the clip; ``named`` the relation of each valid token, -1 elsewhere,
    with its ``name_probability`` (NaN for a model that names token by token), the ``nearest_row`` of the bank, and how
    well the name fits (``similarity`` and ``margin``, NaN where there is no name, or none to compare it with, or where
    names are measured).
    ``changes`` are in the order of :func:`whyact.laiar.evidence.rank_changes`; each has its ``chance`` of being true
    (calibrated where the run is), the ``action`` that it is for (the likeliest, or another that the answer gives where
    its pair decides that one alone), its ``contribution`` (what removing its pair costs this action's probability), the
    ``control`` (the most that one of several random removals of as many tokens costs it), whether it is ``decisive``
    (its contribution is above its control, large enough to be seen, and both of its things have boxes there, for
    measured changes without a gap) and whether it is ``stated``.
    """

    clip: RelationClip
    positions: np.ndarray
    logits: np.ndarray
    probabilities: np.ndarray
    valid: np.ndarray
    keep: np.ndarray
    keep_probability: np.ndarray
    importance: np.ndarray
    named: np.ndarray
    name_probability: np.ndarray
    nearest_row: np.ndarray
    similarity: np.ndarray
    margin: np.ndarray
    changes: list[Change]
    chance: np.ndarray
    action: np.ndarray
    contribution: np.ndarray
    control: np.ndarray
    decisive: np.ndarray
    stated: np.ndarray
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


def has_input(run: Run, answer: Answer) -> bool:
    """Tell whether an answer depends on its video: on a token, or on whole frames where the model reads them."""
    scene = None if run.model.scene is None else answer.clip.scene
    return bool(answer.valid.any() or (scene is not None and np.any(scene[answer.positions])))


def select_clip(batch: RelationBatch, i: int) -> RelationBatch:
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
        path = run.model.video(batch, gather=selects, names=True)  # the dropped tokens are really not computed
        names = name_slots(run.model, run.bank, path, batch, len(run.vocabulary.relations))
        importance = path.used if path.selection.score is None else path.selection.score
        assert importance is not None
        positions = packed.even_positions(index, run.config.data.frames)
        logits = path.logits / run.temperature
        for i, number in enumerate(index):
            clip, k = clips[number], int(packed.slots[number])
            keep, valid = path.selection.keep[i, :, :k] > 0, batch.valid[i, :, :k].numpy()
            named = np.where(valid, names.label[i, :, :k].numpy(), -1)
            # From the boxes, at answer time as in training: true of them.
            measured = measured_labels(clip.at(positions[i])) if run.vocabulary.measured else named
            similarity, margin = names.similarity[i, :, :k].numpy(), names.margin[i, :, :k].numpy()
            if run.vocabulary.only_measured:
                named, similarity, margin = measured, np.full(valid.shape, np.nan), np.full(valid.shape, np.nan)
            changes = list_changes(named, valid)
            if run.vocabulary.measured and not run.vocabulary.only_measured:
                changes += list_changes(measured, valid)
            probabilities = class_probabilities(logits[i], several)
            if several and not valid.any():  # nothing was seen: how often each action happens at all
                probabilities = torch.tensor(run.prior)
            worth = _Worth.of_none(len(changes), int(probabilities.argmax()))
            if explain and changes:
                chosen = _chosen(probabilities.numpy(), several)
                single = select_clip(batch, i).slots(k)
                keeping = path.selection.keep[i, :, :k]
                worth = _worth(run, single, keeping, changes, chosen, probabilities[chosen].numpy())
            contribution = worth.contribution
            boxed = have_boxes(changes, batch.seen[i, :, :k].numpy())
            if run.vocabulary.measured:
                boxed &= ~_is_measured(run, changes) | _unbroken(changes, measured)
            decisive = boxed & (contribution > worth.limit) & (contribution >= run.config.evidence.least)
            chance = chances(changes, names, i, clip.times[positions[i]])
            chance = _calibrated_chances(run, changes, chance, decisive)
            likely = chance >= run.config.evidence.level
            stated = decisive & likely if run.knows_chances else decisive
            order = rank_changes(stated, contribution, chance)
            yield Answer(
                clip=clip,
                positions=positions[i],
                logits=logits[i].numpy(),
                probabilities=probabilities.numpy(),
                valid=valid,
                keep=keep.numpy(),
                keep_probability=path.selection.probability[i, :, :k].numpy(),
                importance=importance[i, :, :k].numpy(),
                named=named,
                name_probability=names.probability[i, :, :k].numpy(),
                nearest_row=names.nearest_row[i, :, :k].numpy(),
                similarity=similarity,
                margin=margin,
                changes=[changes[j] for j in order],
                chance=chance[order],
                action=worth.action[order],
                contribution=contribution[order],
                control=worth.control[order],
                decisive=decisive[order],
                stated=stated[order],
                multi_label=several,
            )


def _calibrated_chances(run: Run, changes: Sequence[Change], chance: np.ndarray, decisive: np.ndarray) -> np.ndarray:
    """Return what the chances of changes are worth by the clips held out of a second training."""
    if run.vocabulary.has_no_relations:
        return np.ones(len(changes))
    measured = _is_measured(run, changes)
    out = np.where(measured, 1.0, chance)  # measured: true of the boxes by definition
    if not run.naming_calibration:
        return out
    state = np.array([c.before == c.after for c in changes], dtype=bool)
    for kind, own in (("state", state & ~measured), ("transition", ~state & ~measured)):
        out[own] = calibrated(chance[own], decisive[own], run.naming_calibration[kind])
    return out


def _is_measured(run: Run, changes: Sequence[Change]) -> np.ndarray:
    """Return which changes (M,) are of measured relations."""
    return np.array([run.vocabulary.measured and c.after >= run.vocabulary.annotated for c in changes], dtype=bool)


def _unbroken(changes: Sequence[Change], named: np.ndarray) -> np.ndarray:
    """Return which measured changes (M,) hide nothing: a state named in every frame (T,K), a change within a few.

    Where a track is lost, as in a hug, anything may have happened in between.
    """
    out = np.zeros(len(changes), dtype=bool)
    for i, c in enumerate(changes):
        if c.before == c.after:
            out[i] = bool((named[c.t_before : c.t_after + 1, c.slot] == c.after).all())
        else:
            out[i] = c.t_after - c.t_before <= GAP
    return out


def annotated_changes(run: Run, answers: Sequence[Answer]) -> list[Answer]:
    """Return the answers with the changes that an annotation can confirm; where all are measured, with all of them."""
    if not run.vocabulary.measured or run.vocabulary.only_measured:
        return list(answers)
    out = []
    for answer in answers:
        own = np.flatnonzero(~_is_measured(run, answer.changes))
        names = ("chance", "action", "contribution", "control", "decisive", "stated")
        parts = {name: getattr(answer, name)[own] for name in names}
        out.append(replace(answer, changes=[answer.changes[i] for i in own], **parts))
    return out


class _Worth(NamedTuple):
    """Of each change (M,): the action that it is for, contribution, control, and what a reason's must be above."""

    action: np.ndarray
    contribution: np.ndarray
    control: np.ndarray
    limit: np.ndarray

    @classmethod
    def of_none(cls, changes: int, action: int) -> _Worth:
        """Return what is worth nothing, as it is before anything is removed."""
        return cls(np.full(changes, action), *([np.zeros(changes)] * 3))


def _worth(
    run: Run,
    single: RelationBatch,
    keep: torch.Tensor,
    changes: Sequence[Change],
    chosen: list[int],
    whole: np.ndarray,
) -> _Worth:
    """Return what removing each change's pair costs one of the chosen actions, whose scores are ``whole``.

    That is the likeliest, or the one that loses most where the pair decides that one alone. The latter is picked of
    several, so it must lose more than a random removal costs any of them.

    Random removals take as many of the clip's valid tokens; which ones depends on those tokens alone, never on what the
    clip or its file is called. Where the pair has all the tokens of a clip there is nothing else to remove, and the
    control is 0.
    """
    valid = single.valid[0].numpy()
    counts = np.array([len(change.tokens) for change in changes])
    random = np.random.default_rng([*valid.shape, *np.packbits(valid).tolist()])
    drawn = {int(n): random_masks(valid, int(n), run.config.evidence.draws, random) for n in np.unique(counts)}
    slots, where = np.unique([change.slot for change in changes], return_inverse=True)
    first = [int(np.flatnonzero(where == i)[0]) for i in range(len(slots))]
    removed = torch.cat([removal_masks([changes[i] for i in first], valid.shape), *drawn.values()])
    several = run.vocabulary.multi_label
    scores = scores_without(run.model, single, keep, removed, run.temperature, multi_label=several)
    drop = whole - scores[:, chosen].numpy()  # (removals, chosen)
    own, most = drop[: len(slots)][where], drop[len(slots) :].reshape(len(drawn), -1, len(chosen)).max(1)
    control = dict(zip(drawn, most, strict=True)) | {int(valid.sum()): np.zeros(len(chosen), most.dtype)}
    controls, rows = np.stack([control[int(n)] for n in counts]), np.arange(len(changes))
    likeliest, most_lost, least = int(whole.argmax()), own.argmax(1), run.config.evidence.least
    decides = (own[:, likeliest] > controls[:, likeliest]) & (own[:, likeliest] >= least)
    other = (own.max(1) > controls.max(1)) & (own.max(1) >= least) & ~decides
    best = np.where(other, most_lost, likeliest)
    limit = np.where(other, controls.max(1), controls[:, likeliest])
    return _Worth(np.array(chosen)[best], own[rows, best], controls[rows, best], limit)
