"""What the evaluation page shows of LaIAR: recall or mAP by class, calibration, and how true its stated reasons are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from whyact.arrays import Index
from whyact.laiar.answers import Answer
from whyact.laiar.reasons import Claims, claims_of, reason_scores
from whyact.laiar.runs import Run
from whyact.metrics.average_precision import charades_map
from whyact.metrics.calibration import expected_calibration_error
from whyact.metrics.charades import multi_hot
from whyact.metrics.recall import class_recall, macro_recall
from whyact.metrics.selective import aurc
from whyact.prediction import Table
from whyact.report.diagnostics import Confusion, Diagnostics, Figure, Line, Mistake, Plot
from whyact.training.diagnostics import (
    UNIT,
    calibration_plots,
    confident_mistakes,
    confusion,
    figure,
    resampled_groups,
)


def diagnose(run: Run, answers: Sequence[Answer]) -> Diagnostics:
    """Return what the page shows of a run's answers about annotated clips."""
    several = run.vocabulary.multi_label
    groups, notes = resampled_groups([a.clip.group or a.clip.id for a in answers], "clips")
    figures, classes, plots, matrix, mistakes = (_labels if several else _one_label)(run, answers, groups)
    reasons, curve = _reasons(run, answers, groups)
    if several:
        notes.append("A clip shows any number of actions, so there is no confusion matrix.")
    if run.vocabulary.has_no_relations:
        notes.append("No relation is annotated in these data, so nothing says how often reasons are true.")
    if not run.knows_chances:
        notes.append("How often this model names a relation correctly was not measured when it was trained.")
    return Diagnostics(
        [*figures, *reasons], classes, [*plots, *curve], confusion=matrix, mistakes=mistakes, notes=notes
    )


Shown = tuple[list[Figure], Table, list[Plot], Confusion | None, list[Mistake]]


def _one_label(run: Run, answers: Sequence[Answer], groups: Index | None) -> Shown:
    actions, n = run.vocabulary.actions, len(answers)
    target = np.array([a.clip.target for a in answers])
    predicted = np.array([a.predicted for a in answers])
    confidence = np.array([a.probabilities.max() for a in answers], dtype=np.float64)
    correct = predicted == target
    figures = [
        figure(
            "mAR",
            lambda i: macro_recall(target[i], predicted[i], len(actions)),
            n,
            "recall of each action, averaged over actions",
            groups=groups,
        ),
        figure("accuracy", lambda i: float(correct[i].mean()), n, "share of clips answered right", groups=groups),
        figure(
            "AURC",
            lambda i: aurc(confidence[i], correct[i]),
            n,
            "area under risk against coverage: 0 is best, the error rate is what a constant confidence gives",
            lower_is_better=True,
            groups=groups,
        ),
        Figure(
            "ECE",
            expected_calibration_error(confidence.clip(0, 1), correct),
            text="expected calibration error: how far confidence is from accuracy, over 15 bins",
            lower_is_better=True,
        ),
    ]
    recall = class_recall(target, predicted, len(actions))
    answered = np.bincount(predicted, minlength=len(actions))
    right = np.bincount(target[correct], minlength=len(actions))
    precision = np.divide(right, answered, out=np.full(len(actions), np.nan), where=answered > 0)
    clips = np.bincount(target, minlength=len(actions))
    rows: list[list[str | float]] = [
        [a, int(clips[i]), float(recall[i]), float(precision[i])] for i, a in enumerate(actions) if clips[i]
    ]
    names = [actions[c] for c in target], [actions[c] for c in predicted]
    return (
        figures,
        Table("Actions", ["action", "clips", "recall", "precision"], rows),
        calibration_plots(confidence, correct, "clips", run.threshold),
        confusion("Confusion matrix", target, predicted, actions, "Rows are annotated, columns answered."),
        confident_mistakes(confidence, correct, names[1], names[0]),
    )


def _labels(run: Run, answers: Sequence[Answer], groups: Index | None) -> Shown:
    actions, n = run.vocabulary.actions, len(answers)
    truth = multi_hot([a.clip.targets or () for a in answers], len(actions))
    scores = np.stack([a.probabilities for a in answers]).astype(np.float64)
    best = scores.argmax(1)
    confidence, correct = scores.max(1), truth[np.arange(n), best] > 0
    whole = charades_map(scores, truth)

    def mean(i: Index) -> float:
        return 100 * charades_map(scores[i], truth[i]).mean

    def weighted(i: Index) -> float:
        return 100 * charades_map(scores[i], truth[i]).weighted

    figures = [
        figure(
            "mAP",
            mean,
            n,
            "by the official Charades rules, mean over actions",
            scale="percent",
            resamples=200,
            groups=groups,
        ),
        figure(
            "wAP",
            weighted,
            n,
            "the same, weighted by how frequent an action is",
            scale="percent",
            resamples=200,
            groups=groups,
        ),
        figure(
            "top answer right",
            lambda i: float(correct[i].mean()),
            n,
            "share of clips that show the likeliest action",
            groups=groups,
        ),
    ]
    clips = truth.sum(0)
    rows: list[list[str | float]] = [
        [a, int(clips[c]), 100 * float(whole.per_class[c])] for c, a in enumerate(actions) if clips[c]
    ]
    annotated = ["; ".join(actions[c] for c in np.flatnonzero(row)) or "none of the actions" for row in truth]
    return (
        figures,
        Table("Actions", ["action", "clips", "AP"], rows),
        calibration_plots(confidence, correct, "top answers"),
        None,
        confident_mistakes(confidence, correct, [actions[c] for c in best], annotated),
    )


def _reasons(run: Run, answers: Sequence[Answer], groups: Index | None) -> tuple[list[Figure], list[Plot]]:
    """Return how often stated reasons are true, and precision against coverage at other levels."""
    claims, level = claims_of(run, answers), run.config.evidence.level if run.knows_chances else 0.0
    found = reason_scores(claims, level)
    by = "the boxes confirm" if run.vocabulary.only_measured else "the annotation confirms, where it says anything"
    precision = Figure(
        "precision of reasons",
        found["reason_precision"],
        _draws(claims, level, "reason_precision", groups),
        text=f"share of the stated reasons that {by}",
        of=f"{found['reasons']} stated",
    )
    coverage = Figure(
        "coverage of reasons",
        found["reason_coverage"],
        _draws(claims, level, "reason_coverage", groups),
        text="share of right answers with a stated reason",
    )
    figures = [coverage] if run.vocabulary.has_no_relations else [precision, coverage]
    points = [(c, p) for _, p, c in found["reason_curve"] if np.isfinite(p) and np.isfinite(c)]
    if not run.knows_chances or not points:
        return figures, []
    here = (found["reason_coverage"], found["reason_precision"])
    curve = Plot(
        "Precision against coverage of stated reasons",
        "coverage",
        "precision",
        [Line("levels 0.5 to 0.98", sorted(set(points)))],
        "A higher level states fewer reasons, and they should be true more often.",
        UNIT,
        UNIT,
        mark=(*here, f"level {level:g}, which this run states at") if np.isfinite(here).all() else None,
    )
    return figures, [curve]


def _draws(claims: Claims, level: float, name: str, groups: Index | None) -> np.ndarray:
    """Resample clips: a clip is drawn with all of its reasons."""
    clips, stated = len(claims.right), claims.stated(level)
    judged = stated & claims.known
    if name == "reason_precision":
        part = np.bincount(claims.clip[judged & claims.true], minlength=clips)
        whole = np.bincount(claims.clip[judged], minlength=clips)
    else:
        told = np.isin(np.arange(clips), claims.clip[stated])
        part, whole = (claims.right & told).astype(np.int64), claims.right.astype(np.int64)

    def share(i: Index) -> float:
        return float(part[i].sum() / whole[i].sum()) if whole[i].sum() else float("nan")

    return figure(name, share, clips, "", groups=groups).draws
