"""Diagnostics that all methods share: figures with intervals, calibration, risk against coverage, learning curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from whyact.arrays import Bool, Float64, Index
from whyact.metrics.calibration import reliability
from whyact.metrics.intervals import bootstrap_draws
from whyact.metrics.selective import risk_coverage
from whyact.report.diagnostics import Confusion, Figure, Line, Mistake, Plot, Scale
from whyact.training.checkpoint import BEST, HISTORY
from whyact.training.log import MEASURED, read_history

MISTAKES = 12  # in the gallery
UNIT = (0.0, 1.0)
BINS = 10


def figure(
    name: str,
    measure: Callable[[Index], float],
    items: int,
    text: str,
    *,
    scale: Scale = "share",
    resamples: int = 1000,
    lower_is_better: bool = False,
    groups: Index | None = None,
) -> Figure:
    """Return a figure with its bootstrap over test items, or over whole groups of them.

    Args:
        name: What it is called.
        measure: From positions of items, some of them several times, to a number.
        items: How many test items there are.
        text: What it means, for somebody who meets it here first.
        scale: Whether it is in 0..1 or in 0..100.
        resamples: How often to resample.
        lower_is_better: For errors.
        groups: The group of each item (N,), see :func:`resampled_groups`.
    """
    draws = bootstrap_draws(measure, items, resamples=resamples, groups=groups)
    return Figure(name, measure(np.arange(items)), draws, scale, text, lower_is_better)


def resampled_groups(names: Sequence[str], items: str) -> tuple[Index | None, list[str]]:
    """Return the group (N,) of each test item to resample by, and what a page says about that.

    There is none to resample by where every item is a group of its own, or all are of one.

    Args:
        names: The group of each item, such as the film that it was cut from.
        items: What an item is: "clips", "videos".
    """
    known, of = np.unique(np.asarray(names, dtype=str), return_inverse=True)
    if len(known) == len(names):
        return None, []
    if len(known) == 1:
        return None, [f"All {len(names)} test {items} are of one group, {known[0]}: no interval speaks for others."]
    what = f"{len(known)} groups of test {items} (of one person, place or film)"
    return of, [f"Intervals resample the {what} as wholes, for {items} of one group are alike."]


def calibration_plots(confidence: Float64, correct: Bool, of_what: str, threshold: float | None = None) -> list[Plot]:
    """Return reliability, and risk against coverage.

    Args:
        confidence: Probability of each answer (N,).
        correct: Whether it was right (N,).
        of_what: What an answer is: "clips", "videos".
        threshold: The confidence under which an answer is called unsure.
    """
    if not len(confidence):
        return []
    table = reliability(np.clip(confidence, 0, 1), correct, BINS)
    used = table.count > 0
    points = list(zip(table.confidence[used].tolist(), table.accuracy[used].tolist(), strict=True))
    curve = risk_coverage(confidence, correct)
    mark = None
    if threshold is not None and (confidence >= threshold).any():
        answered = confidence >= threshold
        mark = (float(answered.mean()), float((~correct[answered]).mean()), "where answers become unsure")
    return [
        Plot(
            "Calibration",
            "confidence",
            "share right",
            [Line(f"{of_what}, {BINS} bins of confidence", points, dots=True)],
            "On the diagonal a probability means what it says; below it the model is too sure.",
            UNIT,
            UNIT,
            diagonal=True,
        ),
        Plot(
            "Risk against coverage",
            "coverage",
            "risk",
            [Line("share of wrong answers", list(zip(curve.coverage.tolist(), curve.risk.tolist(), strict=True)))],
            f"If only the surest {of_what} are answered, how many of these answers are wrong.",
            UNIT,
            UNIT,
            mark=mark,
        ),
    ]


def confusion(
    title: str, target: Index, predicted: Index, names: Sequence[str], text: str = "", extra: str = ""
) -> Confusion:
    """Count how often each class (N,) was answered as each; ``extra`` names one more column, past the last class."""
    columns = [*names, *([extra] if extra else [])]
    counts = np.zeros((len(names), len(columns)), dtype=np.int64)
    np.add.at(counts, (target, predicted), 1)
    return Confusion(title, names, columns, counts, text)


def confident_mistakes(
    confidence: Float64, correct: Bool, answered: Sequence[str], annotated: Sequence[str]
) -> list[Mistake]:
    """Return the most confident wrong answers (N,), the surest first."""
    wrong = np.flatnonzero(~correct)
    chosen = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]
    return [Mistake(int(i), answered[i], annotated[i], float(confidence[i])) for i in chosen]


def learning_curves(run: Path) -> dict[str, list[Line]]:
    """Return a curve for each term of each stage that a run's history logs; none for a run without a history.

    The best epoch's are those of the run that it was chosen from.
    """
    path = run / HISTORY
    if not path.is_file() and run.name == BEST:
        path = run.parent / HISTORY
    if not path.is_file():
        return {}
    stages: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for row in read_history(path):
        terms = stages.setdefault(str(row["stage"]), {})
        for name, value in row.items():
            if name not in ("stage", "epoch", "step", *MEASURED) and isinstance(value, int | float):
                terms.setdefault(name, []).append((float(row.get("epoch") or 0), float(value)))
    # What validation measured first, then the loss, then what the loss is made of.
    return {
        stage: [
            Line(name, terms[name]) for name in sorted(terms, key=lambda n: (not n.startswith("val_"), n != "loss"))
        ]
        for stage, terms in stages.items()
    }
