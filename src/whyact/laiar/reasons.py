"""What a model claims about clips, held against the annotation: calibration, and how often reasons are true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from whyact.laiar.answers import Answer, annotated_changes
from whyact.laiar.runs import Run
from whyact.metrics.calibration import ClaimFit, calibrated, expected_calibration_error, fit_calibration
from whyact.metrics.transitions import confirms_state, confirms_transition, label_changes

LEVELS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)  # of the curve of precision against coverage
Fits = dict[str, ClaimFit]
KINDS = ("transition", "state")


@dataclass(frozen=True)
class Claims:
    """Every named change of some answers (N,), and what the annotation says of it.

    ``clip`` the position of its answer, ``state`` whether it is a state, its ``chance`` of being true, ``decisive``
    whether it has boxes and removing its pair costs enough, and more than each random removal, ``known`` whether the
    annotation says anything of the pair, ``true`` whether it confirms the claim; ``right`` (answers,) whether the
    answer is right.
    """

    clip: np.ndarray
    state: np.ndarray
    chance: np.ndarray
    decisive: np.ndarray
    known: np.ndarray
    true: np.ndarray
    right: np.ndarray

    def stated(self, level: float) -> np.ndarray:
        """Return which claims (N,) are stated as reasons at a level; a chance that nobody knows stops none."""
        return ((self.chance >= level) | np.isnan(self.chance)) & self.decisive

    def to_lists(self) -> dict[str, list[Any]]:
        """Return plain lists, for JSON."""
        lists = {name: np.round(values.astype(float), 6).tolist() for name, values in asdict(self).items()}
        return {name: [None if x != x else x for x in values] for name, values in lists.items()}  # JSON has no NaN

    @classmethod
    def from_lists(cls, lists: Mapping[str, Sequence[float | None]]) -> Claims:
        """Return the claims that :meth:`to_lists` was given."""
        arrays = {name: np.asarray(values, dtype=np.float64) for name, values in lists.items()}
        flags = {name: arrays[name] > 0 for name in ("state", "decisive", "known", "true", "right")}
        return cls(clip=arrays["clip"].astype(np.int64), chance=arrays["chance"], **flags)


def claims_of(run: Run, answers: Sequence[Answer]) -> Claims:
    """Return what a run claims about clips whose relations are known, with the chances that its answers bring."""
    rows: list[tuple[float, ...]] = []
    for number, answer in enumerate(annotated_changes(run, answers)):
        known = np.asarray((whole_labels(run, answer) >= 0).any(0))
        true = confirmed(run, answer)
        for i, change in enumerate(answer.changes):
            state = change.before == change.after
            chance = float(answer.chance[i])
            rows.append((number, state, chance, bool(answer.decisive[i]), bool(known[change.slot]), bool(true[i])))
    table = np.array(rows, dtype=np.float64).reshape(-1, 6)
    held, decisive, known_pair, truth = (np.asarray(table[:, column] > 0) for column in (1, 3, 4, 5))
    right = np.array([a.predicted in (a.clip.targets or (a.clip.target,)) for a in answers], dtype=bool)
    return Claims(table[:, 0].astype(np.int64), held, table[:, 2], decisive, known_pair, truth, right)


def fit_claims(claims: Claims) -> Fits:
    """Fit what the chances of uncalibrated claims about held-out clips are worth, states and transitions apart."""
    out = {}
    for kind in KINDS:
        own = claims.known & (claims.state == (kind == "state")) & ~np.isnan(claims.chance)
        out[kind] = fit_calibration(claims.chance[own], claims.decisive[own], claims.true[own])
    return out


def with_calibration(claims: Claims, fits: Fits) -> Claims:
    """Return uncalibrated claims with what their chances are worth."""
    chance = claims.chance.copy()
    for kind in KINDS:
        own = claims.state == (kind == "state")
        chance[own] = calibrated(chance[own], claims.decisive[own], fits[kind])
    return replace(claims, chance=chance)


def reason_scores(claims: Claims, level: float) -> dict[str, Any]:
    """Score what is stated as a reason at a level.

    Returns:
        ``reason_precision``: the share of stated reasons that the annotation confirms; ``reason_coverage``: the share
        of right answers with a stated reason; ``reason_decisive``: the share of them of which any named pair decides,
        however likely its name, so that no level covers more; ``reason_curve``: (level, precision, coverage) at other
        levels; ``reason_ece``: how far chances are from what comes true, over all claims.
    """
    known = claims.known & ~np.isnan(claims.chance)
    precision, coverage, count = _reasons(claims, level)
    return {
        "reason_precision": precision,
        "reason_coverage": coverage,
        "reason_decisive": _covered(claims, claims.decisive),
        "reasons": count,
        "reason_curve": [(at, *_reasons(claims, at)[:2]) for at in LEVELS],
        "reason_ece": expected_calibration_error(claims.chance[known], claims.true[known]),
    }


def _reasons(claims: Claims, level: float) -> tuple[float, float, int]:
    stated = claims.stated(level)
    judged = claims.true[stated & claims.known]
    return float(judged.mean()) if len(judged) else float("nan"), _covered(claims, stated), int(stated.sum())


def _covered(claims: Claims, chosen: np.ndarray) -> float:
    """Return the share of right answers with one of the chosen claims (N,)."""
    told = np.isin(np.flatnonzero(claims.right), claims.clip[chosen])
    return float(told.mean()) if len(told) else float("nan")


def transition_scores_of(run: Run, answers: Sequence[Answer]) -> dict[str, float]:
    """Return the share of named transitions that are true, and of true ones that are named, over all pairs."""
    named = right = annotated = hits = 0
    for answer in annotated_changes(run, answers):
        true, labels = confirmed(run, answer), whole_labels(run, answer)
        known = (labels >= 0).any(0)
        changes = answer.changes
        moving = np.array([c.before != c.after and bool(np.take(known, c.slot)) for c in changes], dtype=np.bool_)
        named, right = named + int(moving.sum()), right + int((moving & true).sum())
        times, sampled = answer.clip.times, answer.clip.times[answer.positions]
        for k in range(labels.shape[1]):
            ours = [(c.before, c.after, c.t_before, c.t_after) for c in answer.changes if c.slot == k]
            for before, after, first, last in label_changes(labels[:, k]):
                annotated += 1
                hits += confirms_transition(ours, sampled, (before, after), (float(times[first]), float(times[last])))
    return {
        "transition_precision": right / named if named else float("nan"),
        "transition_recall": hits / annotated if annotated else float("nan"),
    }


def confirmed(run: Run, answer: Answer) -> np.ndarray:
    """Return (M,) whether the annotation confirms each change of an answer: pair, direction, time (states: throughout).

    All frames of the clip count, not the sampled ones alone.
    """
    clip, sampled = answer.clip, answer.clip.times[answer.positions]
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
    """Return the annotated naming label of every frame and pair of an answer's clip (T,K), -1 where not exactly one.

    Where no relation is annotated, that a pair is in view is true by construction and no annotation.
    """
    clip, naming, k = answer.clip, list(run.vocabulary.naming), answer.valid.shape[1]
    if clip.relations is None:
        raise ValueError(f"clip {clip.id} has no relations to be scored against")
    named = clip.relations[:, :k][..., naming]
    single = clip.valid[:, :k] & (named.sum(-1) == 1) & (not run.vocabulary.has_no_relations)
    return np.where(single, np.array(naming)[named.argmax(-1)], -1)
