"""How good a trained LaIAR is: accuracy, naming, transitions, faithfulness, calibration. The one place that
holds answers against the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from whyact.data.relations.packed import PackedClips
from whyact.data.types import RelationClip
from whyact.files import sha256
from whyact.laiar.answers import Answer, select_clip
from whyact.laiar.batches import evaluation_batches
from whyact.laiar.evidence import scores_without
from whyact.laiar.runs import Run
from whyact.laiar.two_stage import predicted_relations
from whyact.metrics.calibration import expected_calibration_error, top_label
from whyact.metrics.explanation import changing_slots, kept_tokens, naming_accuracy, selection_quality
from whyact.metrics.faithfulness import SHARES, comprehensiveness, deletion_auc, insertion_auc, sufficiency, tokens_at
from whyact.metrics.recall import mean_recall
from whyact.metrics.selective import at_threshold, aurc, risk_coverage
from whyact.metrics.transitions import (
    RuleTransition,
    Transition,
    confirms_state,
    confirms_transition,
    defining_transitions,
    label_changes,
    rule_transitions,
    transition_accuracy,
)

CURVE = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)  # levels of the curve of precision against coverage
STEPS = (0.0, *SHARES, 1.0)  # shares of a clip's tokens that are removed or inserted


def score_answers(run: Run, answers: Sequence[Answer], *, null: str = "null") -> dict[str, Any]:
    """Score answers whose clips carry relations and targets.

    Returns:
        Numbers in 0..1 unless the name says otherwise; NaN becomes ``None``.
    """
    target = np.array([_target(a) for a in answers])
    predicted = np.array([a.predicted for a in answers])
    actions = run.vocabulary.actions
    recall = mean_recall(target, predicted, len(actions), actions.index(null) if null in actions else None)
    confidence, correct = top_label(np.stack([a.probabilities for a in answers]), target)
    operating = at_threshold(confidence, correct, run.threshold)
    named = transition_scores(run, answers)
    return plain(
        {
            "clips": len(answers),
            "mAR": recall.with_null,
            "mAR_without_null": recall.without_null,
            "mAR_weighted": recall.weighted,
            "recall": dict(zip(actions, recall.per_class.tolist(), strict=True)),
            **score_evidence(run, answers),
            **named,
            "ece": expected_calibration_error(confidence, correct),
            "aurc": aurc(confidence, correct),
            "coverage": operating.coverage,
            "risk": operating.risk,
            "risk_coverage": _curve(confidence, correct),
        }
    )


def score_evidence(run: Run, answers: Sequence[Answer]) -> dict[str, Any]:
    """Score what was kept and how it was named, whatever the actions are."""
    valid, keep = [a.valid for a in answers], [a.keep for a in answers]
    kept = kept_tokens(keep, valid)
    true = [_true_labels(a, run.vocabulary.naming) for a in answers]
    naming = _naming(answers, true, keep=False)
    relations = [_relations(a) for a in answers]
    moving = [np.broadcast_to(changing_slots(r, v & r.any(-1)), v.shape) for r, v in zip(relations, valid, strict=True)]
    chosen = selection_quality(keep, valid, moving)
    return plain(
        {
            "keep_ratio": kept.ratio,
            "num": kept.num,
            "tokens": kept.valid,
            "keep_changing": chosen.recall,
            "keep_unchanging": chosen.elsewhere,
            "naming": naming.micro,
            "naming_macro": naming.macro,
            "naming_kept": _naming(answers, true, keep=True).micro,
            **reason_scores(run, answers),
        }
    )


def transition_scores(run: Run, answers: Sequence[Answer]) -> dict[str, float]:
    """Score the stated transitions of correctly recognised clips whose action has a true transition."""
    stated, true, unseen = [], [], 0
    ruled = {rule.action for rule in run.vocabulary.rules}
    for answer in answers:
        if answer.predicted != answer.clip.target:
            continue
        truth = true_transitions(run, answer)
        unseen += not truth and run.vocabulary.actions[answer.predicted] in ruled
        if truth:
            stated.append([stated_transition(run, answer, i) for i in range(len(answer.changes))])
            true.append(truth)
    top = transition_accuracy(stated, true)
    top3 = transition_accuracy(stated, true, top=3)
    return {
        "transition_accuracy": top.pair,
        "transition_accuracy_classes": top.named,
        "transition_accuracy_top3": top3.pair,
        "transition_clips": top.clips,
        "transition_unseen": unseen,  # right answers of which no tracked pair makes the change: nothing true to name
    }


def confirmed(run: Run, answer: Answer) -> np.ndarray:
    """Return (M,) whether the annotation confirms each change of an answer: pair, direction, time (states: throughout).

    All frames of the clip count, not the sampled ones alone.
    """
    clip, sampled = answer.clip, answer.clip.times[answer.positions]
    if run.vocabulary.has_no_relations:
        return np.ones(len(answer.changes), dtype=bool)
    labels = whole_labels(run, answer)
    out = np.zeros(len(answer.changes), dtype=bool)
    for i, change in enumerate(answer.changes):
        own, span = labels[:, change.slot], (float(sampled[change.t_before]), float(sampled[change.t_after]))
        if change.before == change.after:
            out[i] = confirms_state(own, clip.times, change.after, span)
        else:
            out[i] = confirms_transition(label_changes(own), clip.times, (change.before, change.after), span)
    return out


def whole_labels(run: Run, answer: Answer) -> np.ndarray:
    """Return the annotated naming label of every frame and pair of an answer's clip (T,K), -1 where not exactly one."""
    clip, naming, k = answer.clip, list(run.vocabulary.naming), answer.valid.shape[1]
    if clip.relations is None:
        raise ValueError(f"clip {clip.id} has no relations to be scored against")
    named = clip.relations[:, :k][..., naming]
    single = clip.valid[:, :k] & (named.sum(-1) == 1)
    return np.where(single, np.array(naming)[named.argmax(-1)], -1)


class Claims(NamedTuple):
    """Named changes of one kind (N,): their ``chance``, whether the answer needs them, whether they are ``true``."""

    chance: np.ndarray
    decisive: np.ndarray
    true: np.ndarray


def named_changes(run: Run, answers: Sequence[Answer]) -> dict[str, Claims]:
    """Return every named "transition" and "state" of pairs that the annotation says something of."""
    rows: dict[str, list[tuple[float, bool, bool]]] = {"transition": [], "state": []}
    for answer in answers:
        known, true = (whole_labels(run, answer) >= 0).any(0), confirmed(run, answer)
        decisive = answer.contribution > answer.control
        for i, change in enumerate(answer.changes):
            if known[change.slot]:
                kind = "state" if change.before == change.after else "transition"
                rows[kind].append((float(answer.chance[i]), bool(decisive[i]), bool(true[i])))
    return {kind: Claims(*np.array(found, dtype=np.float64).reshape(-1, 3).T) for kind, found in rows.items()}


def reason_scores(run: Run, answers: Sequence[Answer]) -> dict[str, Any]:
    """Score what is stated, and every named transition.

    ``reason_precision`` is the share of stated reasons that the annotation confirms, ``reason_coverage`` that of right
    answers with a stated reason; ``reason_curve`` holds (level, precision, coverage) at other levels.
    ``transition_precision`` and ``transition_recall`` are over all slots, stated or not; ``naming_ece`` and
    ``reason_ece`` say how far the probabilities of tokens' names and of changes are from what comes true.
    """
    true = [confirmed(run, a) for a in answers]
    right = [a.predicted in _targets(a) for a in answers]
    precision, coverage = _reasons([a.stated for a in answers], true, right)
    curve = []
    for level in CURVE:
        stated = [(a.chance >= level) & (a.contribution > a.control) & run.can_state for a in answers]
        curve.append((level, *_reasons(stated, true, right)))
    named, confirmed_ones, annotated, hits = 0, 0, 0, 0
    for answer, truth in zip(answers, true, strict=True):
        changes, labels = answer.changes, whole_labels(run, answer)
        moving = np.array([c.before != c.after for c in changes], dtype=bool)
        named, confirmed_ones = named + int(moving.sum()), confirmed_ones + int((moving & truth).sum())
        times, sampled = answer.clip.times, answer.clip.times[answer.positions]
        for k in range(labels.shape[1]):
            ours = [(c.before, c.after, c.t_before, c.t_after) for c in changes if c.slot == k and c.before != c.after]
            for before, after, first, last in label_changes(labels[:, k]):
                annotated += 1
                hits += confirms_transition(ours, sampled, (before, after), (float(times[first]), float(times[last])))
    tokens = [_true_labels(a, run.vocabulary.naming) for a in answers]
    p = np.concatenate([a.name_probability[t >= 0] for a, t in zip(answers, tokens, strict=True)])
    ok = np.concatenate([(a.named == t)[t >= 0] for a, t in zip(answers, tokens, strict=True)])
    chance, _, came_true = (np.concatenate(x) for x in zip(*named_changes(run, answers).values(), strict=True))
    there = ~np.isnan(chance)
    return {
        "reason_precision": precision,
        "reason_coverage": coverage,
        "reasons": int(sum(a.stated.sum() for a in answers)),
        "reason_curve": curve,
        "transition_precision": confirmed_ones / named if named else float("nan"),
        "transition_recall": hits / annotated if annotated else float("nan"),
        "naming_ece": expected_calibration_error(p[~np.isnan(p)], ok[~np.isnan(p)]),
        "reason_ece": expected_calibration_error(chance[there], came_true[there] > 0),
    }


def _reasons(
    stated: Sequence[np.ndarray], true: Sequence[np.ndarray], right: Sequence[bool]
) -> tuple[float, float]:
    """Return the share of stated reasons that are true, and of right answers with a stated reason."""
    every = np.concatenate([t[s] for s, t in zip(stated, true, strict=True)])
    some = [bool(s.any()) for s, r in zip(stated, right, strict=True) if r]
    return (float(every.mean()) if len(every) else float("nan")), (float(np.mean(some)) if some else float("nan"))


def stated_transition(run: Run, answer: Answer, i: int) -> Transition:
    """Return the i-th change of an answer as the metrics state it."""
    change, words = answer.changes[i], run.vocabulary
    clip = answer.clip
    return Transition(
        words.objects[clip.subject_class[change.slot]],
        words.objects[clip.object_class[change.slot]],
        words.relations[change.before],
        words.relations[change.after],
        clip.slots[change.slot],
    )


def true_transitions(run: Run, answer: Answer) -> set[Transition]:
    """Return the transitions that truly make the clip's action, at the sampled frames."""
    clip = answer.clip
    k = answer.valid.shape[1]
    found: list[RuleTransition] = rule_transitions(
        _relations(answer), answer.valid, clip.subject_class[:k], clip.object_class[:k], run.vocabulary
    )
    action = run.vocabulary.actions[_target(answer)]
    return defining_transitions(
        found, action, clip.subject_class[:k], clip.object_class[:k], clip.slots[:k], run.vocabulary
    )


def faithfulness(run: Run, answers: Sequence[Answer], *, seed: int = 0) -> dict[str, float]:
    """Remove and insert tokens by importance and at random, exactly, and compare the predicted score's curves.

    Importance is the selectors' score (or class attention without selectors); the selection itself stays frozen.
    """
    return faithfulness_of(faithfulness_curves(run, answers, seed=seed))


@torch.no_grad()
def faithfulness_curves(run: Run, answers: Sequence[Answer], *, seed: int = 0) -> list[dict[str, np.ndarray]]:
    """Return each answer's score (``full``) and its curves over ``STEPS``, nothing for a clip without a token.

    The random order of a clip depends on the seed and the clip's name alone.
    """
    packed = PackedClips(
        [a.clip.without_relations() for a in answers], slots=run.config.data.slots, window=run.config.data.window
    )
    found: list[dict[str, np.ndarray]] = []
    for index, batch in evaluation_batches(packed, run.config.data.frames):
        for i, number in enumerate(index):
            answer = answers[number]
            t, k = batch.valid.shape[1:]
            where = np.flatnonzero(batch.valid[i].numpy())
            if not len(where):
                found.append({})
                continue
            keep = torch.zeros(t, k)
            keep[:, : answer.keep.shape[1]] = torch.from_numpy(answer.keep.astype(np.float32))
            worth = np.full((t, k), -np.inf)
            worth[:, : answer.keep.shape[1]] = answer.importance + 1e3 * answer.keep
            random = np.random.default_rng([seed, int(sha256(answer.clip.id)[:8], 16)])
            orders = {"": where[np.argsort(-worth.ravel()[where], kind="stable")], "_random": random.permutation(where)}
            counts = tokens_at(np.array(STEPS), np.array([len(where)]))[0]
            masks = []
            for order in orders.values():
                for n in counts:
                    first = np.zeros(t * k, dtype=bool)
                    first[order[:n]] = True
                    rest = np.zeros(t * k, dtype=bool)
                    rest[order[n:]] = True
                    masks += [first, rest]  # delete the first n; insert only the first n
            removed = torch.from_numpy(np.stack(masks)).view(-1, t, k)
            scores = scores_without(
                run.model, select_clip(batch, i), keep, removed, run.temperature, multi_label=answer.multi_label
            )[:, answer.chosen].mean(-1)
            table = scores.numpy().reshape(2, len(STEPS), 2)
            curves = {"full": np.asarray(answer.probabilities[answer.chosen].mean())}
            for row, name in enumerate(orders):
                curves |= {f"delete{name}": table[row, :, 0], f"insert{name}": table[row, :, 1]}
            found.append(curves)
    return found


def faithfulness_of(curves: Sequence[dict[str, np.ndarray]]) -> dict[str, float]:
    """Return the metrics of :func:`faithfulness_curves`."""
    rows = [one for one in curves if one]
    if not rows:
        return {}
    p = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    whole = p.pop("full")
    inner = slice(1, -1)
    steps = np.array(STEPS)
    return plain(
        {
            "comprehensiveness": comprehensiveness(whole, p["delete"][:, inner]).mean(),
            "comprehensiveness_random": comprehensiveness(whole, p["delete_random"][:, inner]).mean(),
            "sufficiency": sufficiency(whole, p["insert"][:, inner]).mean(),
            "sufficiency_random": sufficiency(whole, p["insert_random"][:, inner]).mean(),
            "deletion": deletion_auc(p["delete"], steps).mean(),
            "deletion_random": deletion_auc(p["delete_random"], steps).mean(),
            "insertion": insertion_auc(p["insert"], steps).mean(),
            "insertion_random": insertion_auc(p["insert_random"], steps).mean(),
        }
    )


@torch.no_grad()
def language_recall(run: Run, clips: Sequence[RelationClip], prior: torch.Tensor | None = None) -> float:
    """Return the language model's mAR on true relations, or with ``prior`` on predicted ones (two-stage)."""
    packed = PackedClips(clips, slots=run.config.data.slots, window=run.config.data.window)
    predicted, target = [], []
    for _, batch in evaluation_batches(packed, run.config.data.frames):
        batch = batch if prior is None else predicted_relations(batch, prior)
        predicted.append(run.model.language(batch).logits.argmax(-1).numpy())
        target.append(batch.target.numpy())
    return mean_recall(np.concatenate(target), np.concatenate(predicted), len(run.vocabulary.actions)).with_null


def _targets(answer: Answer) -> tuple[int, ...]:
    return answer.clip.targets or (() if answer.clip.target is None else (answer.clip.target,))


def _target(answer: Answer) -> int:
    if answer.clip.target is None:
        raise ValueError(f"clip {answer.clip.id} has no target to be scored against")
    return answer.clip.target


def _relations(answer: Answer) -> np.ndarray:
    if answer.clip.relations is None:
        raise ValueError(f"clip {answer.clip.id} has no relations to be scored against")
    return answer.clip.relations[answer.positions][:, : answer.valid.shape[1]]


def _true_labels(answer: Answer, naming: Sequence[int]) -> np.ndarray:
    named = _relations(answer)[..., list(naming)]
    return np.where(answer.valid & (named.sum(-1) == 1), np.array(naming)[named.argmax(-1)], -1)


def _naming(answers: Sequence[Answer], true: Sequence[np.ndarray], *, keep: bool) -> Any:
    pairs = [(t[m], a.named[m]) for a, t in zip(answers, true, strict=True) for m in [(t >= 0) & (a.keep | (not keep))]]
    labels = 1 + max((int(t.max(initial=0)) for t, _ in pairs), default=0)
    return naming_accuracy(np.concatenate([t for t, _ in pairs]), np.concatenate([n for _, n in pairs]), labels)


def _curve(confidence: np.ndarray, correct: np.ndarray) -> list[tuple[float, float]]:
    curve = risk_coverage(confidence, correct)
    return [(round(float(c), 4), round(float(r), 4)) for c, r in zip(curve.coverage, curve.risk, strict=True)]


def plain(value: Any) -> Any:
    """Turn numpy numbers into Python's, NaN into None."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float | np.floating):
        return None if np.isnan(value) else float(value)
    return int(value) if isinstance(value, np.integer) else value
