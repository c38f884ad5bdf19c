"""How good a trained LaIAR is: accuracy, naming, transitions, faithfulness, calibration. The one place that
holds answers against the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from whyact.data.relations.packed import PackedClips
from whyact.data.types import RelationClip
from whyact.files import sha256
from whyact.laiar.answers import Answer, annotated_changes, select_clip
from whyact.laiar.batches import evaluation_batches
from whyact.laiar.evidence import scores_without
from whyact.laiar.reasons import claims_of, reason_scores, transition_scores_of
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
    defining_transitions,
    rule_transitions,
    transition_accuracy,
)

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
    if run.vocabulary.has_no_relations:  # that a pair is in view is no name that could be wrong
        true = [np.full_like(t, -1) for t in true]
    if run.vocabulary.only_measured:  # where the boxes of the moment say something else, nothing is named
        true = [np.where(a.named >= 0, t, -1) for a, t in zip(answers, true, strict=True)]
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
            **transition_scores_of(run, answers),
            **reason_scores(claims_of(run, answers), run.config.evidence.level if run.knows_chances else 0.0),
            "naming_ece": _naming_ece(answers, true),
        }
    )


def transition_scores(run: Run, answers: Sequence[Answer]) -> dict[str, float]:
    """Score the stated transitions of correctly recognised clips whose action has a true transition."""
    stated, true, unseen = [], [], 0
    ruled = {rule.action for rule in run.vocabulary.rules}
    for answer in annotated_changes(run, answers):
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


def _naming_ece(answers: Sequence[Answer], true: Sequence[np.ndarray]) -> float:
    """Return how far the probabilities of tokens' names are from what comes true."""
    rows = [(a.name_probability[m], (a.named == t)[m]) for a, t in zip(answers, true, strict=True) for m in [t >= 0]]
    p, ok = (np.concatenate(column) for column in zip(*rows, strict=True))
    return expected_calibration_error(p[~np.isnan(p)].clip(0, 1), ok[~np.isnan(p)])


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
