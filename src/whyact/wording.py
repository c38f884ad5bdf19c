"""Numbers, times and reasons in plain words. Nothing here knows HTML.

A sentence is a list of parts ``(kind, text)``; ``kind`` is ``""`` for plain words, else ``"name"``, ``"state"``,
``"time"``, ``"label"`` or ``"score"``, so that a page can set each in its own type. :func:`plain` joins them.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from whyact.prediction import Evidence, Prediction

Part = tuple[str, str]

LONG_LABEL = 80  # letters; a longer label is cut in sentences and has a line of its own in lists
NOTHING = ("null", "none", "background")  # labels that stand for none of the other actions
_LONG = 600.0  # seconds; above it a clock reads better than a count of seconds
# fmt: off
_TAKES_OBJECT = frozenset((
    "in", "on", "at", "by", "of", "from", "to", "with", "above", "behind", "below", "beneath", "under", "over",
    "inside", "near", "beside", "against", "into", "onto",
))
# fmt: on
_NEEDS_WITH = frozenset(("view",))
_NEEDS_FROM = frozenset(("apart", "separate", "away"))


def format_score(value: float | None) -> str:
    """Write a score with two decimals, more where two would read as 0 or 1; ``n/a`` when it is not finite."""
    if value is None or not math.isfinite(value):
        return "n/a"
    size = abs(value)
    if 0.995 <= size < 1:
        text = f"{size:.3f}" if size < 0.9995 else "0.999+"
    elif 0.0005 <= size < 0.01:
        text = f"{size:.3f}"
    else:
        text = f"{size:.2f}"
    return f"−{text}" if value < 0 and text != "0.00" else text


def format_contribution(value: float | None) -> str:
    """Write a contribution with its sign in front."""
    text = format_score(value)
    return text if text in ("n/a", "0.00") or text.startswith("−") else f"+{text}"


def format_time(seconds: float, *, unit: bool = True, clock: bool | None = None) -> str:
    """Write a time: ``1.2 s`` below ten minutes, else ``h:mm:ss`` with tenths where there are any.

    ``clock`` forces one or the other, so that times that stand together are written alike; see :func:`needs_clock`.
    """
    if not math.isfinite(seconds):
        return "n/a"
    sign = "−" if round(seconds, 2) < 0 else ""
    if not (needs_clock(seconds) if clock is None else clock):
        text = f"{abs(seconds):.2f}".rstrip("0").rstrip(".")
        return f"{sign}{text} s" if unit else f"{sign}{text}"
    tenths = round(abs(seconds) * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    tail = f"{rest // 10:02d}" + (f".{rest % 10}" if rest % 10 else "")
    return f"{sign}{hours}:{minutes:02d}:{tail}" if hours else f"{sign}{minutes}:{tail}"


def needs_clock(*seconds: float) -> bool:
    """Tell whether any of these times is so long that all of them should be written as ``h:mm:ss``."""
    return any(abs(value) >= _LONG for value in seconds if math.isfinite(value))


def format_span(start: float, end: float) -> str:
    """Write a time span, or one moment when both ends read the same: ``1.2 – 1.8 s``."""
    clock = needs_clock(start, end)
    first, last = format_time(start, clock=clock), format_time(end, clock=clock)
    if first == last:
        return first
    return f"{format_time(start, unit=not last.endswith(' s'), clock=clock)} – {last}"


def format_label(label: str) -> str:
    """Write a label as words: underscores become spaces."""
    return " ".join(label.replace("_", " ").split())


def format_headline(label: str) -> str:
    """Write an answer as words for people who do not know what ``null`` is; empty without an answer."""
    return f"{format_label(label)} (none of its actions)" if label.lower() in NOTHING else format_label(label)


def shorten_label(label: str) -> str:
    """Write a label as words for a sentence: a very long one is cut, for its whole stands in the headline."""
    told = format_label(label)
    return told if len(told) <= LONG_LABEL else f"{told[: LONG_LABEL - 1].rstrip()}…"


def format_relation(state: str, thing: str) -> str:
    """Write a relation with its object (``holding cup_1``), or return ``""`` where grammar gives no safe way."""
    words = format_label(state).split()
    if not words or not thing or not all(word.replace("-", "").isalpha() for word in words):
        return ""
    last = words[-1].lower()
    if last in _NEEDS_WITH:
        return f"{' '.join(words)} with {thing}"
    if last in _NEEDS_FROM:
        return f"{' '.join(words)} from {thing}"
    if last in _TAKES_OBJECT or (last.endswith("ing") and len(words) <= 2):
        return f"{' '.join(words)} {thing}"
    return ""


def list_pair(subject: str, thing: str) -> tuple[str, ...]:
    """Return the one or two names of a pair; a pair of a thing with itself carries an attribute and has one."""
    return tuple(dict.fromkeys(name for name in (subject, thing) if name))


def sort_evidence(evidence: list[Evidence]) -> list[Evidence]:
    """Sort evidence by rank where it is given (1 first), then by falling contribution; NaN counts as nothing."""
    return sorted(
        evidence,
        key=lambda e: (e.rank if e.rank > 0 else math.inf, -e.contribution if math.isfinite(e.contribution) else 0.0),
    )


def find_deciding(prediction: Prediction) -> Evidence | None:
    """Return the first stated evidence in order that is about the answer itself, else the first stated of all."""
    ranked = [e for e in sort_evidence(prediction.evidence) if e.stated]
    return next((e for e in ranked if e.action in ("", prediction.label)), ranked[0] if ranked else None)


def list_targets(prediction: Prediction) -> list[str]:
    """Return the annotated labels: none, one, or several that ``; `` joins."""
    if any(s.label == prediction.target for s in prediction.labels):
        return [prediction.target]
    return [label for label in prediction.target.split("; ") if label]


def number_evidence(evidence: list[Evidence]) -> list[tuple[int, Evidence]]:
    """Return the evidence in order with the number that a reader sees: its rank, or its place where it has none."""
    return [(e.rank if e.rank > 0 else place, e) for place, e in enumerate(sort_evidence(evidence), 1)]


def _being(state: str) -> str:
    words = [word for word in state.split() if word.lower() != "not"]
    return state if words and words[0].lower().endswith("ing") else f"being {state}"


def describe_evidence(evidence: Evidence) -> list[Part]:
    """Say in words, without a leading capital, what one piece of evidence is."""
    names = list_pair(evidence.subject, evidence.object)
    clock = needs_clock(evidence.start, evidence.end)
    start, end = (("time", format_time(time, clock=clock)) for time in (evidence.start, evidence.end))
    if evidence.kind == "transition" and names and evidence.from_state and evidence.to_state:
        when = [("", " at "), start] if start == end else [("", " between "), start, ("", " and "), end]
        return [*_transition(evidence, names), *when]
    if evidence.kind == "state" and names and (state := evidence.label or evidence.to_state or evidence.from_state):
        told = format_relation(state, names[1]) if len(names) == 2 else format_label(state)
        parts = [("name", names[0]), ("", " was ")]
        if told and len(names) == 2:
            parts += [("state", told.removesuffix(names[1])), ("name", names[1])]
        elif told:
            parts += [("state", told)]
        else:
            parts += [("state", f"“{format_label(state)}”"), ("", " to "), ("name", names[1])]
        if start == end:
            return [*parts, ("", " at "), start]
        return [*parts, ("", " from "), start, ("", " to "), end]
    if evidence.kind == "frame":
        return [("", "of the frame at "), start]
    if evidence.kind == "snippet":
        return [("", "of the snippet "), ("time", format_span(evidence.start, evidence.end))]
    if evidence.kind == "neighbour" and evidence.label:
        return [("", "of the related known action "), ("label", format_label(evidence.label))]
    return [("", f"of this evidence: {evidence.text or evidence.kind}")]


def _transition(evidence: Evidence, names: tuple[str, ...]) -> list[Part]:
    before, after = format_label(evidence.from_state), format_label(evidence.to_state)
    if len(names) == 1:
        return [("name", names[0]), ("", " went from "), ("state", before), ("", " to "), ("state", after)]
    subject, thing = names
    told_before, told_after = format_relation(before, thing), format_relation(after, thing)
    if not told_before or not told_after:
        parts: list[Part] = [("", "the relation of "), ("name", subject), ("", " to "), ("name", thing)]
        return [*parts, ("", " changed from "), ("state", f"“{before}”"), ("", " to "), ("state", f"“{after}”")]
    return [
        ("name", subject),
        ("", " went from "),
        ("state", _being(told_before).removesuffix(thing)),
        ("name", thing),
        ("", " to "),
        ("state", _being(told_after).removesuffix(thing)),
        ("name", thing),
    ]


def describe_effect(prediction: Prediction, evidence: Evidence) -> list[Part]:
    """Say what removing this evidence does to the answer's score; empty without an answer or a finite number."""
    about = evidence.action or prediction.label
    score = next((s.score for s in prediction.labels if s.label == about), math.nan)
    if not math.isfinite(score) or not math.isfinite(evidence.contribution):
        return []
    now, then = format_score(score), format_score(min(1.0, max(0.0, score - evidence.contribution)))
    parts: list[Part] = [("", f"without {evidence.removed or 'it'} the score of "), ("label", shorten_label(about))]
    if now == then:
        return [*parts, ("", " stays at "), ("score", now)]
    verb = " falls from " if evidence.contribution > 0 else " rises from "
    parts += [("", verb), ("score", now), ("", " to "), ("score", then)]
    if evidence.control is None or not math.isfinite(evidence.control):
        return parts
    least = format_score(min(1.0, max(0.0, score - evidence.control)))
    return [*parts, ("", " (as much removed at random leaves at least "), ("score", least), ("", ")")]


def explain_answer(prediction: Prediction) -> list[Part]:
    """Write the one sentence that names the deciding evidence and what the score is without it."""
    first = find_deciding(prediction)
    if first is None:
        return [("", _why_nothing(prediction))]
    effect = describe_effect(prediction, first)
    happened = describe_evidence(first)
    if effect and not first.contribution > 0:
        lead = "No listed evidence raises this score. First in rank: "
        return [("", lead), *_trim(happened), ("", "; "), *effect, ("", ".")]
    if any("stays" in text for kind, text in effect if not kind):
        lead = "No listed evidence alone moves this score. First in rank: "
        return [("", lead), *_trim(happened), ("", "; "), *effect, ("", ".")]
    tail: list[Part] = [("", "; "), *effect] if effect else []
    return [("", "Because "), *happened, *tail, ("", ".")]


def _why_nothing(prediction: Prediction) -> str:
    if prediction.evidence:
        count = len(prediction.evidence)
        return (
            "No single moment decides this: "
            + ("what is listed is not" if count == 1 else f"of the {count} things listed, none is both")
            + (" both" if count == 1 else "")
            + " likely enough to be true and needed for this answer."
        )
    if prediction.tokens_valid and not prediction.tokens_kept:
        return f"There is no evidence: the model kept none of the {prediction.tokens_valid} tokens that it saw."
    if prediction.provenance.method == "laiar" and prediction.labels and not prediction.tokens_valid:
        return "There is no evidence: nothing was seen whose relations the model knows."
    return "No evidence is recorded for this answer."


def format_evidence_line(place: int, evidence: Evidence) -> str:
    """Write one piece of evidence in one line, with its number and what it is worth, for other tools."""
    what = summarize_evidence(evidence)[0] if evidence.subject else evidence.text or evidence.kind
    return f"{place}. {what} ({format_contribution(evidence.contribution)}{'' if evidence.stated else ', not stated'})"


def summarize_evidence(evidence: Evidence) -> tuple[str, str]:
    """Name one piece of evidence in a few words, and its time, for an index."""
    names = " – ".join(list_pair(evidence.subject, evidence.object))
    what = format_change(evidence) or format_label(evidence.label) or evidence.text
    if not names:
        what = f"{evidence.kind} {what}" if evidence.label or not what else f"{evidence.kind} ({what})"
    when = "" if evidence.kind == "neighbour" else format_span(evidence.start, evidence.end)
    return f"{names}: {what}" if names else what, when


def summarize_answer(prediction: Prediction) -> tuple[str, str]:
    """Name the deciding evidence in a few words, and its time, for an index."""
    deciding = find_deciding(prediction)
    if deciding is not None:
        return summarize_evidence(deciding)
    return ("no single moment decides" if prediction.evidence else "no evidence recorded"), ""


def format_change(evidence: Evidence) -> str:
    """Write a change of state with an arrow; empty where a state is missing or nothing changes."""
    before, after = format_label(evidence.from_state), format_label(evidence.to_state)
    return f"{before} → {after}" if before and after and before != after else ""


def join_parts(parts: list[Part]) -> str:
    """Join the parts of a sentence to plain text."""
    return "".join(text for _, text in parts)


def judge_answer(prediction: Prediction) -> tuple[str, str]:
    """Compare the answer with the target: ``("right" | "wrong" | "", sentence)``; empty when no target is known."""
    true = list_targets(prediction)
    if not true:
        return "", ""
    target = " and ".join(shorten_label(label) for label in true)
    if not prediction.labels:
        return "wrong", f"The annotation says {target}; there is no answer."
    if prediction.label in true:
        return "right", f"The annotation says {target}: the answer is {'right' if len(true) == 1 else 'one of them'}."
    place = next((i for i, s in enumerate(prediction.labels, 1) if s.label in true), None)
    where = "which is not among the scored labels" if len(true) == 1 else "of which none is among the scored labels"
    if place is not None:
        best = "which comes" if len(true) == 1 else "of which the best comes"
        where = f"{best} at place {place} with score {format_score(prediction.labels[place - 1].score)}"
    return "wrong", f"The annotation says {target}, {where}: the answer is wrong."


def _trim(parts: list[Part]) -> list[Part]:
    """Drop the ``of`` that only follows ``Because``."""
    (kind, text), *rest = parts
    return [(kind, text.removeprefix("of ")), *rest]


def replace_path(text: str, path: Path | str, name: str) -> str:
    """Return a text with ``name`` in place of a path and of what lies below it; other words that hold it stay whole."""
    pattern = rf"(?<![\w./\\-]){re.escape(str(path))}(?:[/\\][^\s'\"<>|:;,]*|(?![\w-]))"
    return re.sub(pattern, lambda _: name, text)
