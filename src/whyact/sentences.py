"""An answer in sentences: how it is to be taken, what happens when, why, and what the score is without that reason.

A sentence is a list of parts ``(kind, text)``; ``kind`` is ``""`` for plain words, else ``"name"``, ``"state"``,
``"time"``, ``"label"`` or ``"score"``, so that a page can set each in its own type. :func:`join_parts` joins them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from whyact.prediction import Evidence, Prediction
from whyact.wording import (
    format_apart,
    format_headline,
    format_label,
    format_relation,
    format_score,
    format_span,
    format_time,
    list_pair,
    needs_clock,
    shorten_label,
    sort_evidence,
    uses_clock,
)

Part = tuple[str, str]
State = Literal["none", "unfamiliar", "unsure", "sure"]
LINES = 20  # segments that a terminal shows at most
UNFAMILIAR = "Not a video that this model knows"


@dataclass(frozen=True)
class AnswerText:
    """What is said about an answer, the same on every surface.

    ``headline`` stands largest, ``score`` beside it (empty where there is none, and for an unfamiliar video), ``guess``
    small beneath it, ``doubt`` as a warning; ``sentence`` gives the reason.
    """

    state: State
    headline: str
    score: str
    guess: str
    doubt: str
    sentence: list[Part]


def find_state(prediction: Prediction) -> State:
    """Tell how an answer is to be taken.

    An answer whose score is at or above the threshold can be unsure for two reasons only: the model saw nothing, or the
    video is unlike what it knows. Answers written before :attr:`Prediction.unfamiliar` existed are recognised by that.
    """
    if not format_label(prediction.label):
        return "none"
    above = prediction.threshold is None or prediction.score >= prediction.threshold
    saw_nothing = prediction.provenance.method == "laiar" and not prediction.tokens_valid
    if prediction.unfamiliar or (prediction.unsure and above and prediction.threshold is not None and not saw_nothing):
        return "unfamiliar"
    return "unsure" if prediction.unsure or not above else "sure"


def describe_answer(prediction: Prediction) -> AnswerText:
    """Return the headline, the doubt and the reason of an answer."""
    state, sentence = find_state(prediction), explain_answer(prediction)
    if state == "none":
        return AnswerText(state, "No answer", "", "", "", sentence)
    label, score = format_headline(prediction.label), format_score(prediction.score)
    if state == "unfamiliar":
        return AnswerText(state, UNFAMILIAR, "", f"Its guess is {label}, score {score}.", "", sentence)
    doubt = ""
    if state == "unsure":
        doubt = "The model is unsure of this answer."
        if prediction.threshold is not None and prediction.score < prediction.threshold:
            score, threshold = format_apart(prediction.score, prediction.threshold)
            doubt = f"The best score, {score}, is below the model’s own threshold of {threshold}."
    return AnswerText(state, label, score, "", doubt, sentence)


def summarize_answer(prediction: Prediction) -> str:
    """Write an answer in a few words that say how it is to be taken."""
    text = describe_answer(prediction)
    return {
        "none": "no answer",
        "unfamiliar": f"{text.headline}. {text.guess}",
        "unsure": f"unsure, perhaps {text.headline}, score {text.score}",
        "sure": f"{text.headline} {text.score}",
    }[text.state]


def format_answer(prediction: Prediction) -> str:
    """Write an answer as lines for a terminal: what, how sure, why, and what a reader must know beside it."""
    text = describe_answer(prediction)
    name = prediction.id or prediction.video.path
    lines = [f"{name}: {summarize_answer(prediction)}", *_timeline(prediction), f"  {join_parts(text.sentence)}"]
    lines += [f"  note: {note}" for note in (text.doubt, prediction.video.degraded, *prediction.notes) if note]
    return "\n".join(lines)


def _timeline(prediction: Prediction) -> list[str]:
    """Write segments in the order of time, a line each; the best :data:`LINES` where there are more.

    Of an unfamiliar video the guesses alone: scores of parts that contradict each other would look sure.
    """
    if prediction.segments and find_state(prediction) == "unfamiliar":
        in_order = sorted(prediction.segments, key=lambda s: (s.start, s.end))
        guesses = list(dict.fromkeys(format_headline(s.label) for s in in_order))
        rest = f" and {len(guesses) - LINES} more" if len(guesses) > LINES else ""
        return [f"  Its guesses for parts of the video: {', '.join(guesses[:LINES])}{rest}."]
    best, clock = sorted(prediction.segments, key=lambda s: -s.score)[:LINES], uses_clock(prediction)
    lines = []
    for s in sorted(best, key=lambda s: (s.start, s.end)):
        ends = f" (± {s.interval[0]:.1f} s, ± {s.interval[1]:.1f} s)" if s.interval else ""
        span = format_span(s.start, s.end, clock=clock)
        lines.append(f"  {span}  {format_headline(s.label)} {format_score(s.score)}{ends}")
    more = len(prediction.segments) - len(best)
    return lines + ([f"  and {more} that score less"] if more else [])


def describe_evidence(evidence: Evidence, *, segment: bool = False, clock: bool | None = None) -> list[Part]:
    """Say in words, without a leading capital, what one piece of evidence is; ``segment``: it is a whole one."""
    names = list_pair(evidence.subject, evidence.object)
    clock = needs_clock(evidence.start, evidence.end) if clock is None else clock
    start, end = (("time", format_time(time, clock=clock)) for time in (evidence.start, evidence.end))
    if evidence.kind == "transition" and names and evidence.from_state and evidence.to_state:
        when = [("", " at "), start] if start == end else [("", " between "), start, ("", " and "), end]
        return [*_transition(evidence, names), *when]
    if evidence.kind == "state" and names and (state := evidence.label or evidence.to_state or evidence.from_state):
        text = format_relation(state, names[1]) if len(names) == 2 else format_label(state)
        parts = [("name", names[0]), ("", " was ")]
        if text and len(names) == 2:
            parts += [("state", text.removesuffix(names[1])), ("name", names[1])]
        elif text:
            parts += [("state", text)]
        else:
            parts += [("state", f"“{format_label(state)}”"), ("", " to "), ("name", names[1])]
        if start == end:
            return [*parts, ("", " at "), start]
        return [*parts, ("", " from "), start, ("", " to "), end]
    if evidence.kind == "frame":
        return [("", "of the frame at "), start]
    if evidence.kind == "snippet":
        what = "of the stretch " if segment else "of the snippet "
        return [("", what), ("time", format_span(evidence.start, evidence.end, clock=clock))]
    if evidence.kind == "neighbour" and evidence.label:
        return [("", "of the related known action "), ("label", format_label(evidence.label))]
    return [("", f"of this evidence: {evidence.text or evidence.kind}")]


def _transition(evidence: Evidence, names: tuple[str, ...]) -> list[Part]:
    before, after = format_label(evidence.from_state), format_label(evidence.to_state)
    if len(names) == 1:
        return [("name", names[0]), ("", " went from "), ("state", before), ("", " to "), ("state", after)]
    subject, thing = names
    before_text, after_text = format_relation(before, thing), format_relation(after, thing)
    if not before_text or not after_text:
        parts: list[Part] = [("", "the relation of "), ("name", subject), ("", " to "), ("name", thing)]
        return [*parts, ("", " changed from "), ("state", f"“{before}”"), ("", " to "), ("state", f"“{after}”")]
    return [
        ("name", subject),
        ("", " went from "),
        ("state", _being(before_text).removesuffix(thing)),
        ("name", thing),
        ("", " to "),
        ("state", _being(after_text).removesuffix(thing)),
        ("name", thing),
    ]


def find_effect(prediction: Prediction, evidence: Evidence) -> tuple[str, float, float] | None:
    """Return a label with its score and the score without this evidence; ``None`` where either is not a number.

    The score is the one that the contribution was taken from: of a window, where the video was answered in windows.
    """
    about = evidence.action or prediction.label
    score = _find_score(prediction, about) if evidence.score is None else evidence.score
    if not math.isfinite(score) or not math.isfinite(evidence.contribution):
        return None
    return about, score, min(1.0, max(0.0, score - evidence.contribution))


def is_in_window(prediction: Prediction, evidence: Evidence) -> bool:
    """Tell whether the score that evidence moves is a window's, and not the one that the answer shows for the label."""
    if evidence.score is None:
        return False
    score = _find_score(prediction, evidence.action or prediction.label)
    return format_score(evidence.score) != format_score(score)


def _find_score(prediction: Prediction, label: str) -> float:
    return next((s.score for s in prediction.labels if s.label == label), math.nan)


def describe_effect(prediction: Prediction, evidence: Evidence) -> list[Part]:
    """Say what removing this evidence does to the answer's score; empty without an answer or a finite number."""
    effect = find_effect(prediction, evidence)
    if effect is None:
        return []
    now, then = format_score(effect[1]), format_score(effect[2])
    parts: list[Part] = [("", f"without {evidence.removed or 'it'} the score of "), ("label", shorten_label(effect[0]))]
    parts += [("", " in its window")] if is_in_window(prediction, evidence) else []
    if now == then:
        return [*parts, ("", " stays at "), ("score", now)]
    verb = " falls from " if effect[2] < effect[1] else " rises from "
    parts += [("", verb), ("score", now), ("", " to "), ("score", then)]
    control = find_control(prediction, evidence)
    if control is None:
        return parts
    return [*parts, ("", " (as much removed at random leaves at least "), ("score", format_score(control)), ("", ")")]


def find_control(prediction: Prediction, evidence: Evidence) -> float | None:
    """Return the least score that is left where as much of the input is removed at random, if that was measured."""
    effect = find_effect(prediction, evidence)
    if effect is None or evidence.control is None or not math.isfinite(evidence.control):
        return None
    return min(1.0, max(0.0, effect[1] - evidence.control))


def explain_answer(prediction: Prediction) -> list[Part]:
    """Write what happens when, where the answer has segments; the deciding evidence, and what the score is without it.

    "Because" is said of stated evidence that raises the score of an answer about a familiar video, and of nothing else:
    evidence for another action that the video also shows is named with that action. Nor is it said where it was never
    measured how often the model's names are true: removal shows what carries the answer, not that it is named rightly.
    """
    found, ranked = _describe_segments(prediction), [e for e in sort_evidence(prediction) if e.stated]
    if not ranked:
        return [*found, ("", _why_nothing(prediction))]
    first, effect = ranked[0], describe_effect(prediction, ranked[0])
    what = describe_evidence(first, segment=is_segment(prediction, first), clock=uses_clock(prediction))
    moves = [e for e in ranked if e.action == first.action and format_score(e.contribution) not in ("0.00", "n/a")]
    if first.action not in ("", prediction.label):
        answer, other = shorten_label(prediction.label), shorten_label(first.action)
        lead = f"No stated evidence is about {answer}. What {other} rests on: "
    elif find_state(prediction) == "unfamiliar":
        lead = "What the guess rests on: "
    elif effect and not any(e.contribution > 0 for e in moves):
        lead = "No listed evidence raises this score. " if moves else "No listed evidence alone moves this score. "
        lead += "First in rank: "
    elif effect and first not in moves:
        lead = "First in rank: "
    elif first.control is not None and first.probability is None:
        lead = "What carries this answer, in names that were never checked: "
    else:
        lead = "Because " if not effect or first.contribution > 0 else "First in rank: "
    if lead != "Because ":
        what = [(what[0][0], what[0][1].removeprefix("of ")), *what[1:]]
    tail: list[Part] = [("", "; "), *effect] if effect else []
    return [*found, ("", lead), *what, *tail, ("", "."), *_describe_next(prediction, ranked)]


def is_segment(prediction: Prediction, evidence: Evidence) -> bool:
    """Tell whether a piece of evidence spans a whole segment of its action."""
    return evidence.kind == "snippet" and any(
        s.label == evidence.label and abs(s.start - evidence.start) < 1e-6 and s.end <= evidence.end + 1e-6
        for s in prediction.segments
    )


def _describe_segments(prediction: Prediction) -> list[Part]:
    """Say when the answer happens: its three best segments in the order of time, and how many more there are."""
    own = sorted((s for s in prediction.segments if s.label == prediction.label), key=lambda s: -s.score)
    if not own:
        return []
    clock = uses_clock(prediction)
    spans = [("time", format_span(s.start, s.end, clock=clock)) for s in sorted(own[:3], key=lambda s: s.start)]
    parts: list[Part] = [("label", shorten_label(prediction.label)), ("", " at "), *_enumerate(spans)]
    more = f", and {len(own) - 3} more time{'s' if len(own) > 4 else ''}" if len(own) > 3 else ""
    return [*parts, ("", f"{more}. ")]


def _describe_next(prediction: Prediction, ranked: list[Evidence]) -> list[Part]:
    """Name the frames and the known actions that raise the score next, after a first frame or known action."""
    if ranked[0].kind not in ("frame", "neighbour"):
        return []
    raising = [e for e in ranked[1:] if e.contribution > 0 and format_score(e.contribution) != "0.00"]
    frames: list[Part] = [
        ("time", format_time(e.start, clock=uses_clock(prediction))) for e in raising if e.kind == "frame"
    ][:2]
    known: list[Part] = [("label", format_label(e.label)) for e in raising if e.kind == "neighbour"][:2]
    parts: list[Part] = []
    for what, names in (("frame", frames), ("known action", known)):
        if names:
            plural = what + ("s" if len(names) > 1 else "") + (" at " if what == "frame" else " ")
            parts += [("", " and the " if parts else " Next: the "), ("", plural), *_enumerate(names)]
    return [*parts, ("", ".")] if parts else []


def _enumerate(parts: list[Part]) -> list[Part]:
    out: list[Part] = []
    for i, part in enumerate(parts):
        out += [("", " and " if i == len(parts) - 1 else ", ")] if i else []
        out.append(part)
    return out


def _why_nothing(prediction: Prediction) -> str:
    if prediction.evidence:
        count = len(prediction.evidence)
        listed = "what is listed is not both" if count == 1 else f"of the {count} things listed, none is both"
        return f"No single moment decides this: {listed} likely enough to be true and needed for this answer."
    if prediction.tokens_valid and not prediction.tokens_kept:
        return f"There is no evidence: the model kept none of the {prediction.tokens_valid} tokens that it saw."
    if prediction.provenance.method == "laiar" and prediction.labels and not prediction.tokens_valid:
        return "There is no evidence: the model knows no relation of what was found."
    return "No evidence is recorded for this answer."


def _being(state: str) -> str:
    words = [word for word in state.split() if word.lower() != "not"]
    return state if words and words[0].lower().endswith("ing") else f"being {state}"


def join_parts(parts: list[Part]) -> str:
    """Join the parts of a sentence to plain text."""
    return "".join(text for _, text in parts)
