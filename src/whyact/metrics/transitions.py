"""Relation transitions: what the true relations of a clip say by rule, and whether an explanation names it.

A rule reads "action = subject goes from ``before`` to ``after`` with one of ``objects``". Applied to true
relations it gives the transitions an explanation should find, and an action: the annotated-rule baseline,
the upper bound for any model that sees relations only.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

Bool = NDArray[np.bool_]
TOLERANCE = 0.5  # seconds by which a named transition may miss the annotated one


class RuleLike(Protocol):
    """What is read of a rule (``whyact.data.types.Rule``; data stands on a floor above this one)."""

    @property
    def action(self) -> str: ...
    @property
    def before(self) -> str: ...
    @property
    def after(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def objects(self) -> tuple[str, ...]: ...


class VocabularyLike(Protocol):
    """What is read of a vocabulary (``whyact.data.types.Vocabulary``)."""

    @property
    def objects(self) -> tuple[str, ...]: ...
    @property
    def relations(self) -> tuple[str, ...]: ...
    @property
    def rules(self) -> Sequence[RuleLike]: ...


class RuleTransition(NamedTuple):
    """A rule that holds in a slot: ``before`` at frame position ``t_before``, ``after`` at ``t_after``."""

    slot: int
    action: str
    before: str
    after: str
    t_before: int
    t_after: int


class Transition(NamedTuple):
    """A transition as an explanation states it. ``pair`` names the tracks, say ``("hand_1", "cup_2")``."""

    subject: str
    object: str
    before: str
    after: str
    pair: tuple[str, str]


@dataclass(frozen=True)
class TransitionAccuracy:
    """Share of clips whose stated transition is true.

    ``pair`` asks for the right tracks and states, ``named`` for the right classes and states (another cup
    counts). Clips whose action has no true transition (null) are skipped and counted in ``skipped``.
    A clip that states nothing is wrong. NaN if no clip is left.
    """

    pair: float
    named: float
    clips: int
    skipped: int


def rule_transitions(
    relations: Bool, valid: Bool, subject_class: ArrayLike, object_class: ArrayLike, vocabulary: VocabularyLike
) -> list[RuleTransition]:
    """Find every transition in a clip's true relations that a rule of the vocabulary names.

    A frame says "before" or "after" where the token is valid and carries exactly one of the two labels;
    other frames are passed over. A transition is a "before" followed by the next frame that says "after".

    Args:
        relations: True relation labels at the sampled frames (T,K,R), multi-hot.
        valid: Valid tokens (T,K).
        subject_class: Subject class of each slot (K,), index into ``vocabulary.objects``.
        object_class: Object class of each slot (K,).
        vocabulary: Words and rules. A rule without a subject applies to self-pairs (attributes),
            one without objects to any object.

    Returns:
        Transitions by time of ``t_after``, then ``t_before``, slot and order of the rules.

    Raises:
        ValueError: If a shape does not fit or a rule uses a relation that the vocabulary lacks.
    """
    labels, present = np.asarray(relations, dtype=bool), np.asarray(valid, dtype=bool)
    subjects, objects = np.asarray(subject_class, dtype=np.int64), np.asarray(object_class, dtype=np.int64)
    slots = present.shape[-1:]
    if labels.shape != (*present.shape, len(vocabulary.relations)) or subjects.shape != slots or objects.shape != slots:
        raise ValueError(
            f"relations {labels.shape}, valid {present.shape}, classes {subjects.shape} and {objects.shape}: "
            f"expected (T,K,{len(vocabulary.relations)}), (T,K), (K,), (K,)"
        )
    index = {name: i for i, name in enumerate(vocabulary.relations)}
    found = []
    for order, rule in enumerate(vocabulary.rules):
        if rule.before not in index or rule.after not in index:
            raise ValueError(f"rule of {rule.action}: {rule.before} -> {rule.after} is not among the relations")
        named = np.isin(objects, [i for i, name in enumerate(vocabulary.objects) if name in rule.objects])
        fits = named if rule.objects else np.ones_like(named)
        if rule.subject:
            fits = fits & np.isin(subjects, [i for i, name in enumerate(vocabulary.objects) if name == rule.subject])
        else:
            fits = fits & (subjects == objects)
        before, after = labels[..., index[rule.before]], labels[..., index[rule.after]]
        for t_before, t_after, slot in _changes(before & present & fits, after & present & fits):
            found.append((t_after, t_before, slot, order, rule))
    found.sort(key=lambda one: one[:4])
    return [
        RuleTransition(slot, rule.action, rule.before, rule.after, t_before, t_after)
        for t_after, t_before, slot, _, rule in found
    ]


def rule_action(found: Sequence[RuleTransition], otherwise: str) -> str:
    """Name the action that the rules give to a clip: the annotated-rule baseline.

    Args:
        found: The clip's transitions, as :func:`rule_transitions` finds them.
        otherwise: The action of a clip without a transition, say "null".

    Returns:
        The action that is completed last; of several completed at once, the first of ``found``.
    """
    return max(found, key=lambda one: one.t_after).action if found else otherwise


def defining_transitions(
    found: Sequence[RuleTransition],
    action: str,
    subject_class: ArrayLike,
    object_class: ArrayLike,
    slots: Sequence[tuple[str, str]],
    vocabulary: VocabularyLike,
) -> set[Transition]:
    """Collect the transitions that make an action true in a clip, as an explanation would state them.

    Args:
        found: The clip's transitions, as :func:`rule_transitions` finds them.
        action: The clip's true action; transitions of other actions are ignored.
        subject_class: Subject class of each slot (K,).
        object_class: Object class of each slot (K,).
        slots: Names of the two tracks of each slot (K,).
        vocabulary: The words that the classes index.
    """
    subjects, objects = np.asarray(subject_class, dtype=np.int64), np.asarray(object_class, dtype=np.int64)
    word = vocabulary.objects
    return {
        Transition(
            word[subjects[f.slot]], word[objects[f.slot]], f.before, f.after, (slots[f.slot][0], slots[f.slot][1])
        )
        for f in found
        if f.action == action
    }


def transition_accuracy(
    stated: Sequence[Sequence[Transition]], true: Sequence[Set[Transition]], top: int = 1
) -> TransitionAccuracy:
    """Compute the share of clips in which a true defining transition is among the first ``top`` stated ones.

    Args:
        stated: For each clip its transitions, most important first; may be empty.
        true: For each clip the transitions that truly make its action; any of them counts as right.
        top: How many of the stated ones are looked at.

    Raises:
        ValueError: If the numbers of clips differ or ``top`` < 1.
    """
    if len(stated) != len(true) or top < 1:
        raise ValueError(f"{len(stated)} clips stated, {len(true)} true, top {top}; expected as many, and top > 0")
    judged = [(given[:top], truth) for given, truth in zip(stated, true, strict=True) if truth]
    skipped = len(true) - len(judged)
    if not judged:
        return TransitionAccuracy(float("nan"), float("nan"), 0, skipped)
    pair = [any(t in truth for t in given) for given, truth in judged]
    named = [not {t[:4] for t in given}.isdisjoint({t[:4] for t in truth}) for given, truth in judged]
    return TransitionAccuracy(float(np.mean(pair)), float(np.mean(named)), len(judged), skipped)


def _changes(before: Bool, after: Bool) -> list[tuple[int, int, int]]:
    """List (t_before, t_after, slot) where a "before" frame is followed by the next telling frame saying "after"."""
    frames = np.arange(len(before))[:, None]
    telling = before ^ after
    # The last telling frame strictly earlier than t; -1 where there is none.
    last = np.maximum.accumulate(np.where(telling, frames, -1), axis=0)
    last = np.concatenate([np.full_like(last[:1], -1), last[:-1]])
    change = telling & after & (last >= 0) & np.take_along_axis(before, np.maximum(last, 0), axis=0)
    return [(int(last[t, k]), int(t), int(k)) for t, k in np.argwhere(change)]


def label_changes(labels: NDArray[np.int64]) -> list[tuple[int, int, int, int]]:
    """List the changes (before, after, t_before, t_after) of one pair's labels (T,); -1 where none is known.

    Frames without a label are passed over.
    """
    frames = np.flatnonzero(np.asarray(labels) >= 0)
    values = np.asarray(labels)[frames]
    where = np.flatnonzero(np.diff(values))
    return [(int(values[i]), int(values[i + 1]), int(frames[i]), int(frames[i + 1])) for i in where]


def confirms_transition(
    true: Sequence[tuple[int, int, int, int]],
    times: ArrayLike,
    named: tuple[int, int],
    span: tuple[float, float],
    tolerance: float = TOLERANCE,
) -> bool:
    """Tell whether an annotated change of the pair confirms a named one: same direction, close enough in time.

    Args:
        true: The pair's annotated changes, as :func:`label_changes` lists them.
        times: Seconds of the annotated frames (T,).
        named: The labels before and after.
        span: Seconds between which the change is named.
        tolerance: Seconds by which the annotated change may lie outside of the span.
    """
    t = np.asarray(times, dtype=np.float64)
    return any(
        (before, after) == named and t[second] >= span[0] - tolerance and t[first] <= span[1] + tolerance
        for before, after, first, second in true
    )


def confirms_state(labels: ArrayLike, times: ArrayLike, named: int, span: tuple[float, float]) -> bool:
    """Tell whether a pair's annotated labels (T,), -1 where none is known, are the named one all through a span."""
    own, t = np.asarray(labels), np.asarray(times, dtype=np.float64)
    inside = own[(t >= span[0]) & (t <= span[1]) & (own >= 0)]
    return bool(len(inside)) and bool((inside == named).all())
