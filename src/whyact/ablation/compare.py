"""Two runs on the same clips: what they differ in class by class, with intervals, and the clips that changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from whyact import sentences, wording
from whyact.errors import UserError, malformed
from whyact.metrics.intervals import bootstrap_difference
from whyact.prediction import SCHEMA_VERSION, Prediction

SEED = 0  # of the bootstrap: the same two files give the same intervals
MAX_CHANGED = 200  # changed clips that are listed


@dataclass(frozen=True)
class ClassDifference:
    """A class in both runs: the share of its clips answered right (or the answer's share, without targets)."""

    label: str
    clips: int
    a: float
    b: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class AnswerSummary:
    """One run's answer about a clip, and why, in words; ``text`` says how the answer is to be taken."""

    text: str
    label: str
    score: float
    right: bool | None
    because: str
    evidence: list[str]


@dataclass(frozen=True)
class ChangedClip:
    """A clip that the two runs answer differently."""

    id: str
    target: str
    a: AnswerSummary
    b: AnswerSummary


@dataclass(frozen=True)
class RunComparison:
    """Two runs beside each other: ``b`` minus ``a``, bootstrapped over clips at the stated level.

    ``measure`` says what is compared: ``recall`` where the clips have targets, else ``share`` of answers.
    """

    clips: int
    only_a: int
    only_b: int
    measure: str
    level: float
    overall: ClassDifference | None
    classes: list[ClassDifference]
    changed: list[ChangedClip]
    changed_count: int
    gained: int
    lost: int


@dataclass(frozen=True)
class LabelPair:
    """A label's score in each of two answers; ``None`` where the model does not know the label."""

    label: str
    a: float | None
    b: float | None


@dataclass(frozen=True)
class PairComparison:
    """Two answers about one video: what each says and why, what changed, and the best labels of either."""

    agree: bool
    a: AnswerSummary
    b: AnswerSummary
    changes: list[str]
    labels: list[LabelPair]
    shared: int


class _RunPair(msgspec.Struct, forbid_unknown_fields=True):
    a: list[Prediction]
    b: list[Prediction]


def read_runs(body: bytes) -> tuple[list[Prediction], list[Prediction]]:
    """Decode ``{"a": [...], "b": [...]}``, two lists as ``whyact predict --json`` prints them.

    Raises:
        UserError: When they are not that.
    """
    try:
        two = msgspec.json.decode(body, type=_RunPair)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # The next step says it even where a field is at fault.
        step = "send what `whyact predict --json` prints"
        raise malformed("the two files", error, "lists of predictions", step) from error
    for p in (*two.a, *two.b):
        if p.version != SCHEMA_VERSION:
            raise UserError("version", p.version, f"predictions of schema version {SCHEMA_VERSION}")
    return two.a, two.b


def compare_runs(
    a: list[Prediction], b: list[Prediction], *, level: float = 0.95, resamples: int = 2000
) -> RunComparison:
    """Compare two runs on the clips that both answered, matched by id.

    Args:
        a: One run.
        b: The other; differences are ``b`` minus ``a``.
        level: Of the bootstrap intervals over clips.
        resamples: How many.

    Raises:
        UserError: When no clip is in both, or an id is twice in one.
    """
    first, second = _by_id("a", a), _by_id("b", b)
    ids = [id_ for id_ in first if id_ in second]
    if not ids:
        raise UserError("the two files", "no clip that is in both", "two runs on the same clips")
    pairs = [(first[id_], second[id_]) for id_ in ids]
    targets = [x.target or y.target for x, y in pairs]
    judged = [i for i, target in enumerate(targets) if target]
    rng = np.random.default_rng(SEED)

    def difference(label: str, rows: list[int], hit: Any) -> ClassDifference:
        ours = np.array([float(hit(pairs[i][1], i)) for i in rows])
        theirs = np.array([float(hit(pairs[i][0], i)) for i in rows])
        found = bootstrap_difference(ours, theirs, rng, level, resamples)
        return ClassDifference(
            label=label,
            clips=len(rows),
            a=float(theirs.mean()),
            b=float(ours.mean()),
            difference=found.mean,
            low=found.low,
            high=found.high,
        )

    def right(p: Prediction, i: int) -> bool:
        return _right(p, targets[i])

    if judged:
        names = sorted({t for i in judged for t in targets[i].split("; ")})
        classes = [difference(n, [i for i in judged if n in targets[i].split("; ")], right) for n in names]
        overall = difference("all classes", judged, right)
    else:
        names = sorted({p.label for pair in pairs for p in pair if p.label})
        classes = [difference(n, list(range(len(pairs))), lambda p, i, n=n: p.label == n) for n in names]
        overall = None
    changed = [i for i, (x, y) in enumerate(pairs) if x.label != y.label]
    verdicts = [(_right(pairs[i][0], targets[i]), _right(pairs[i][1], targets[i])) for i in changed if targets[i]]
    return RunComparison(
        clips=len(ids),
        only_a=len(first) - len(ids),
        only_b=len(second) - len(ids),
        measure="recall" if judged else "share",
        level=level,
        overall=overall,
        classes=sorted(classes, key=lambda d: -abs(d.difference)),
        changed=[
            ChangedClip(
                id=ids[i],
                target=wording.format_label(targets[i]),
                a=_summarize(pairs[i][0], targets[i]),
                b=_summarize(pairs[i][1], targets[i]),
            )
            for i in changed[:MAX_CHANGED]
        ],
        changed_count=len(changed),
        gained=sum(not x and y for x, y in verdicts),
        lost=sum(x and not y for x, y in verdicts),
    )


def compare_pair(a: Prediction, b: Prediction, *, max_labels: int = 10) -> PairComparison:
    """Compare two answers about one video; ``shared`` counts the labels that both models know."""
    ours, theirs = ({s.label: s.score for s in p.labels} for p in (a, b))
    names = sorted({**ours, **theirs}, key=lambda name: -max(ours.get(name, 0.0), theirs.get(name, 0.0)))
    return PairComparison(
        agree=bool(a.label) and a.label == b.label,
        a=_summarize(a, a.target),
        b=_summarize(b, b.target),
        changes=_list_changes(a, b),
        labels=[LabelPair(wording.format_label(name), ours.get(name), theirs.get(name)) for name in names[:max_labels]],
        shared=len(ours.keys() & theirs.keys()),
    )


def _list_changes(a: Prediction, b: Prediction) -> list[str]:
    """Say in sentences what differs from answer A to answer B: the label and its score, words, evidence."""
    ours, theirs = ({s.label: s.score for s in p.labels} for p in (a, b))
    lines = []
    for label in dict.fromkeys(name for name in (a.label, b.label) if name):
        shown = wording.format_label(label)
        if label in ours and label in theirs:
            before, after = wording.format_apart(ours[label], theirs[label])
            verb = "stays at" if before == after else "rises" if theirs[label] > ours[label] else "falls"
            lines.append(f"The score of {shown} {verb} {before if before == after else f'from {before} to {after}'}.")
        else:
            lines.append(f"{'B' if label in ours else 'A'} does not know the action {shown}.")
    stated = [{wording.summarize_evidence(e)[0]: None for e in wording.sort_evidence(p) if e.stated} for p in (a, b)]
    both = [what for what in stated[0] if what in stated[1]]
    for who, rows in (
        ("Both rest on", both),
        ("Only A rests on", [what for what in stated[0] if what not in both]),
        ("Only B rests on", [what for what in stated[1] if what not in both]),
    ):
        if rows:
            more = f", and {len(rows) - 3} more" if len(rows) > 3 else ""
            lines.append(f"{who} {'; '.join(rows[:3])}{more}.")
    return lines


def _by_id(name: str, predictions: list[Prediction]) -> dict[str, Prediction]:
    found: dict[str, Prediction] = {}
    for p in predictions:
        key = p.id or p.video.path
        if key in found:
            raise UserError(f"file {name}", key, "each clip once")
        found[key] = p
    return found


def _right(p: Prediction, target: str) -> bool:
    return bool(p.label) and p.label in target.split("; ")


def _summarize(p: Prediction, target: str) -> AnswerSummary:
    listed = []
    for place, e in wording.number_evidence(p)[:5]:
        what, when = wording.summarize_evidence(e)
        listed.append(f"{place}. {what}{f', {when}' if when else ''} ({wording.format_contribution(e.contribution)})")
    return AnswerSummary(
        text=sentences.summarize_answer(p),
        label=wording.format_label(p.label) or "no answer",
        score=p.score,
        right=_right(p, target) if target else None,
        because=sentences.join_parts(sentences.explain_answer(p)),
        evidence=listed,
    )
