"""How scores, times, names and evidence are written: report, studio, overlay video, terminal and exports alike."""

from __future__ import annotations

import math

from whyact.prediction import Evidence, Prediction

LONG_LABEL = 80  # letters; a longer label is cut in sentences and has a line of its own in lists
NOTHING = ("null", "none", "background")  # labels that stand for none of the other actions
_FIRST_HUES = (255, 155, 310, 75, 210, 340, 120, 280)  # far apart, and away from the accent
_GOLDEN_ANGLE = 137.508
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


def uses_clock(prediction: Prediction) -> bool:
    """Tell whether the times of an answer are written as ``h:mm:ss``, all of them alike."""
    ends = [e.end for e in prediction.evidence if e.kind != "neighbour"] + [s.end for s in prediction.segments]
    return needs_clock(prediction.video.duration, *ends)


def format_span(start: float, end: float, *, clock: bool | None = None) -> str:
    """Write a time span, or one moment when both ends read the same: ``1.2 – 1.8 s``."""
    clock = needs_clock(start, end) if clock is None else clock
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


def format_apart(value: float, other: float) -> tuple[str, str]:
    """Write two scores with as many decimals as it takes to tell them apart, where they differ at all."""
    texts = format_score(value), format_score(other)
    for decimals in range(3, 7):
        if texts[0] != texts[1] or value == other:
            break
        texts = f"{value:.{decimals}f}", f"{other:.{decimals}f}"
    return texts


def assign_hues(prediction: Prediction) -> dict[str, int]:
    """Give every named thing a hue of its own (degrees): the deciding pair first, then as the tracks name them."""
    first = find_deciding(prediction)
    names = [first.subject, first.object] if first else []
    names += [name for track in prediction.tracks for name in (track.subject, track.object)]
    names += [name for e in prediction.evidence for name in (e.subject, e.object)]
    named = list(dict.fromkeys(name for name in names if name))
    spread = [round(i * _GOLDEN_ANGLE) % 360 for i in range(len(named))]
    return dict(zip(named, [*_FIRST_HUES, *spread], strict=False))


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


def sort_evidence(prediction: Prediction) -> list[Evidence]:
    """Sort evidence as it is said everywhere: stated first, then what is about the answer, by rank, by contribution.

    A contribution that is not a number counts as nothing.
    """
    return sorted(
        prediction.evidence,
        key=lambda e: (
            not e.stated,
            e.action not in ("", prediction.label),
            e.rank if e.rank > 0 else math.inf,
            -e.contribution if math.isfinite(e.contribution) else 0.0,
        ),
    )


def find_deciding(prediction: Prediction) -> Evidence | None:
    """Return the first stated evidence in order: one that is about the answer itself, where there is any."""
    return next((e for e in sort_evidence(prediction) if e.stated), None)


def number_evidence(prediction: Prediction) -> list[tuple[int, Evidence]]:
    """Return the evidence in order with the number that a reader sees: its place, so that each number occurs once."""
    return list(enumerate(sort_evidence(prediction), 1))


def format_evidence_line(place: int, evidence: Evidence) -> str:
    """Write one piece of evidence in one line, with its number and what it is worth, for other tools."""
    what = summarize_evidence(evidence)[0] if evidence.subject else evidence.text or evidence.kind
    return f"{place}. {what} ({format_contribution(evidence.contribution)}{'' if evidence.stated else ', not stated'})"


def summarize_evidence(evidence: Evidence, *, clock: bool | None = None) -> tuple[str, str]:
    """Name one piece of evidence in a few words, and its time, for an index."""
    names = " – ".join(list_pair(evidence.subject, evidence.object))
    what = format_change(evidence) or format_label(evidence.label) or evidence.text
    if not names:
        what = f"{evidence.kind} {what}" if evidence.label or not what else f"{evidence.kind} ({what})"
    when = "" if evidence.kind == "neighbour" else format_span(evidence.start, evidence.end, clock=clock)
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
