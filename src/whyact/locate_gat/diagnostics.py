"""What the evaluation page shows of LoCATe-GAT: unseen and seen classes, their balance, calibration."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from whyact.arrays import Bool, Float64, Index
from whyact.locate_gat.scores import ScoreParts
from whyact.metrics.zero_shot import generalised, mean_per_class, per_class, seen_unseen_curve, top_k
from whyact.prediction import Table
from whyact.report.diagnostics import Diagnostics, Figure, Line, Plot
from whyact.training.diagnostics import calibration_plots, confident_mistakes, confusion, figure, resampled_groups

POINTS = 200  # of the curve of seen against unseen classes
PERCENT = (0.0, 100.0)
FEWER = 500  # resamples


def diagnose(
    parts: ScoreParts,
    mix: float,
    calibration: float,
    sharpness: float,
    names: Sequence[str],
    groups: Sequence[str],
) -> Diagnostics:
    """Return what the page shows of scores.

    Args:
        parts: Text and graph scores of all test videos.
        mix: The graph's share.
        calibration: The handicap of seen classes.
        sharpness: What a score is multiplied by before the softmax that makes probabilities.
        names: Of the classes (C,), as ``parts.classes`` has them.
        groups: Of the videos (N,): what each was cut from.
    """
    scores, unseen = parts.at(mix).astype(np.float64), parts.unseen_videos()
    first = int(parts.seen.sum())
    narrow, target = scores[unseen][:, first:], parts.target[unseen] - first
    unseen_names = list(names[first:])
    probability = softmax(narrow * sharpness)
    predicted, confidence = narrow.argmax(1), probability.max(1)
    correct = predicted == target
    chosen = (scores - calibration * parts.seen).argmax(1)
    answered = [unseen_names[c] for c in predicted]
    annotated = [unseen_names[c] for c in target]
    # Items are positions among all test videos.
    items = np.flatnonzero(unseen)
    mistakes = [
        type(m)(int(items[m.item]), m.answered, m.annotated, m.confidence)
        for m in confident_mistakes(confidence, correct, answered, annotated)
    ]
    _, notes = resampled_groups(groups, "videos")
    return Diagnostics(
        _figures(parts, scores, narrow, target, calibration, groups),
        _classes(parts, predicted, target, chosen, names),
        [
            *_balance(scores, parts.target, parts.seen, calibration),
            *calibration_plots(confidence.astype(np.float64), correct, "videos of unseen classes"),
        ],
        confusion=confusion(
            "Confusion matrix of unseen classes",
            target,
            predicted,
            unseen_names,
            "Rows are annotated, columns answered, with unseen classes alone to choose from.",
        )
        if len(target)
        else None,
        mistakes=mistakes,
        notes=notes,
    )


def _figures(
    parts: ScoreParts, scores: Float64, narrow: Float64, target: Index, calibration: float, groups: Sequence[str]
) -> list[Figure]:
    n, classes = len(parts.target), narrow.shape[1]
    of_all, _ = resampled_groups(groups, "videos")
    of_unseen, _ = resampled_groups([groups[i] for i in np.flatnonzero(parts.unseen_videos()).tolist()], "videos")

    def balanced(field: str) -> Callable[[Index], float]:
        return lambda i: float(getattr(generalised(scores[i], parts.target[i], parts.seen, calibration), field))

    figures = []
    if len(target):
        figures = [
            figure(
                "top-1",
                lambda i: top_k(narrow[i], target[i]),
                len(target),
                "unseen videos, among unseen classes",
                scale="percent",
                groups=of_unseen,
            ),
            figure(
                "top-5",
                lambda i: top_k(narrow[i], target[i], 5),
                len(target),
                "the class is among the best five",
                scale="percent",
                groups=of_unseen,
            ),
            figure(
                "mean per class",
                lambda i: mean_per_class(narrow[i].argmax(1), target[i], classes),
                len(target),
                "top-1, averaged over unseen classes",
                scale="percent",
                groups=of_unseen,
            ),
        ]
    about = {
        "harmonic": ("H", "harmonic mean of the next two: every class is a candidate"),
        "unseen": ("unseen", "mean per unseen class, among all classes"),
        "seen": ("seen", "mean per seen class, among all classes"),
    }
    for field, (name, text) in about.items():
        if 0 < len(target) < n:
            figures.append(figure(name, balanced(field), n, text, scale="percent", resamples=FEWER, groups=of_all))
    return figures


def _classes(parts: ScoreParts, predicted: Index, target: Index, chosen: Index, names: Sequence[str]) -> Table:
    first = int(parts.seen.sum())
    alone = per_class(predicted, target, len(names) - first)
    among_all = per_class(chosen, parts.target, len(names))
    videos = np.bincount(parts.target, minlength=len(names))
    rows: list[list[str | float]] = []
    for c, name in enumerate(names):
        if videos[c]:
            own = float(alone[c - first]) if c >= first else float("nan")
            rows.append([name, int(videos[c]), own, float(among_all[c]), "unseen" if c >= first else "seen"])
    return Table("Classes", ["class", "videos", "among unseen", "among all", "kind"], rows)


def _balance(scores: Float64, target: Index, seen: Bool, calibration: float) -> list[Plot]:
    """Return the accuracies of seen and unseen classes at every handicap."""
    there = np.isin(target, np.flatnonzero(seen))
    if there.all() or not there.any():
        return []
    s, u = seen_unseen_curve(scores, target, seen)
    thin = np.unique(np.linspace(0, len(s) - 1, POINTS).round().astype(int))
    here = generalised(scores, target, seen, calibration)
    points = sorted(zip(s[thin].tolist(), u[thin].tolist(), strict=True))
    return [
        Plot(
            "Seen against unseen classes",
            "seen, %",
            "unseen, %",
            [Line("every handicap of seen classes", points)],
            "Accuracy averaged over classes, when all classes compete. More handicap moves to the upper left.",
            PERCENT,
            PERCENT,
            mark=(here.seen, here.unseen, f"the run's handicap, {calibration:.2f}"),
        )
    ]


def softmax(x: Float64) -> Float64:
    """Return the softmax over the last axis."""
    e = np.exp(x - x.max(axis=-1, keepdims=True, initial=-np.inf))
    whole: Float64 = e / e.sum(axis=-1, keepdims=True)
    return whole
