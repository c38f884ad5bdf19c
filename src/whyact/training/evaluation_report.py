"""From an evaluation's records to its page: the facts of the run, its history, its diagnostics and its mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whyact.errors import UserError
from whyact.report.diagnostics import EvaluatedRun
from whyact.training.diagnostics import learning_curves
from whyact.training.evaluation import Evaluation, Record, answer_all, mark_watched, was_watched


@dataclass(frozen=True)
class Measured:
    """A run that was held against a test set: its folder, its card, and what came out."""

    folder: Path
    card: dict[str, Any]
    evaluation: Evaluation
    records: Sequence[Record]
    metrics: dict[str, Any]


def measure(
    folder: Path, card: dict[str, Any], evaluation: Evaluation, records: Sequence[Record] | None = None
) -> Measured:
    """Score a run's answers, and say so in the metrics where its training watched the test part.

    Args:
        folder: The run.
        card: Its card.
        evaluation: What it is held against.
        records: The answers, given here and now if they are not there yet.
    """
    found = answer_all(evaluation) if records is None else records
    return Measured(folder, card, evaluation, found, mark_watched(evaluation.score(found), card))


def check_comparable(first: Evaluation, second: Evaluation, against: Path) -> None:
    """Refuse a second run that answered other test items.

    Raises:
        UserError: When it did; two runs stand side by side only on the same items.
    """
    ours, theirs = list(first.names), list(second.names)
    if ours != theirs:
        shared = len(set(ours) & set(theirs))
        value = f"{len(theirs)} test items, {shared} of them among the {len(ours)} of the first run"
        raise UserError(f"--against {against}", value, "the same test items", "--fold N, one that neither learned from")


def combine(runs: Sequence[Measured], page: Path | None = None) -> dict[str, Any]:
    """Return the metrics of a run, those of a second one under ``against``; write the page where that is asked for.

    Raises:
        UserError: When two runs answered other test items.
    """
    first, *rest = runs
    if page is not None:
        write_page(page, runs)
    return first.metrics | ({"against": rest[0].metrics} if rest else {})


def write_page(path: Path, runs: Sequence[Measured]) -> Path:
    """Write the page about one run, or about two side by side, and the pages of their mistakes beside it.

    Raises:
        UserError: When two runs answered other test items.
    """
    from whyact.report.evaluation_page import write_evaluation

    for other in runs[1:]:
        check_comparable(runs[0].evaluation, other.evaluation, other.folder)
    return write_evaluation([_evaluated(run) for run in runs], path)


def _evaluated(run: Measured) -> EvaluatedRun:
    diagnostics = run.evaluation.diagnose(run.records)
    evidence = [run.evaluation.explain(m.item, run.records[m.item]) for m in diagnostics.mistakes]
    return EvaluatedRun(
        name=run.folder.resolve().name,
        facts=_facts(run),
        history=learning_curves(run.folder),
        diagnostics=diagnostics,
        metrics=run.metrics,
        evidence=evidence,
        watched_test=was_watched(run.card),
    )


def _facts(run: Measured) -> list[tuple[str, str]]:
    card, identity = run.card, run.evaluation.identity
    extra = card.get("extra", {})
    best = extra.get("best")
    rows = [
        ("Method", card["method"]),
        ("Trained on", ", ".join(filter(None, [card["data"], str(extra.get("trained_on", ""))]))),
        ("Seed", str(card["seed"])),
        ("Epoch", f"{best['epoch']}, the best on {best['chosen_on']}" if best else "the last"),
        ("Test part watched", "yes: it was measured while the run trained" if was_watched(card) else "no"),
        ("Measured on", f"{identity['data']}, fold {identity['fold']}: {len(run.evaluation.names)} test items"),
        ("Split SHA-256", str(identity["split"])),
        ("Weights SHA-256", str(identity["run"])),
        ("Versions", ", ".join(f"{name} {version}" for name, version in sorted(identity["versions"].items()))),
    ]
    return [(name, value) for name, value in rows if value]
