"""What a reader who sees a page for the first time must know to read each part of it: plain sentences."""

from __future__ import annotations

import math
from dataclasses import dataclass

from whyact import wording
from whyact.prediction import Prediction
from whyact.report.timeline import Timeline
from whyact.sentences import find_state, is_in_window

_ALMOST_ONE = 0.01  # scores are printed with two decimals
TIPS = {
    "token": "What the model saw of one pair of things at one moment: the pair, and the relation that fits best.",
    "kept": "The model answers from the tokens that it keeps; the others are not used.",
    "naming": "How well the names of the things and states fit; it says nothing about how much they decided.",
    "similarity": "How well the name fits what was seen: the cosine of the two, at most 1.",
    "margin": "How far the next best name is behind.",
    "contribution": "How far the score falls when this evidence is removed from the input and the model answers again.",
    "attention": "How much the model weighs a moment, whatever the action.",
}


@dataclass(frozen=True)
class Reading:
    """The sentences above the drawings over time, the scores and the evidence."""

    time: str
    scores: str
    evidence: str


def how_to_read(prediction: Prediction, time: Timeline | None) -> Reading:
    """Say how each part of the page is read, as far as this prediction has it."""
    return Reading(
        time="" if time is None else " ".join(_time(prediction, time)),
        scores=" ".join(_scores(prediction)),
        evidence=" ".join(_evidence(prediction)),
    )


def _time(prediction: Prediction, time: Timeline) -> list[str]:
    lines = [time.whole] if time.whole else []
    if time.segments:
        lines.append(
            "A bar is a segment: a stretch of the video in which the model sees this action. "
            "The number in it is the segment’s score, 0 to 1; the stronger its shade, the higher."
        )
        if prediction.annotated:
            lines.append("An outlined bar is a segment of the annotation.")
        if any(bar.whiskers for lane in (*time.segments, *time.more_segments) for bar in lane.bars):
            lines.append("The thin line at each end of a bar says how far off that end may be.")
    if time.loose:
        lines.append(
            "The row “Evidence” shows where each piece of evidence lies; the red one is in the sentence above."
        )
    if prediction.curves:
        lines.append("A curve lies between the two values beside it.")
        if any(curve.name == "attention" for curve in prediction.curves):
            lines.append("Attention says how much that moment counts for the model, whatever the action.")
        if any(curve.name == "contribution" for curve in prediction.curves):
            lines.append("Contribution is what the score loses without that moment; the line under it is zero.")
        if any(curve.lower is not None and curve.upper is not None for curve in prediction.curves):
            lines.append("The grey band around it is its uncertainty.")
    if time.shown or time.folded:
        lines.append(
            "One lane is one pair of things, or one thing with its state; lanes that count most come first. "
            "Each block is a token: what the model saw of the pair at one moment. It answers from the tokens it keeps."
        )
        if time.segments:
            lines.append("They are drawn where a segment scores best, and empty elsewhere.")
        if time.unpaired:
            lines.append(f"Followed, but in no pair: {time.unpaired} thing{'s' if time.unpaired > 1 else ''}.")
        if any(lane.contribution is not None for lane in [*time.shown, *time.folded]):
            lines.append("A number with a sign is the lane’s largest contribution, explained under Evidence.")
    return lines


def _scores(prediction: Prediction) -> list[str]:
    several = len(prediction.labels)
    lines = [f"The ten best of {several} labels." if several > 10 else "Every label and its score."]
    lines.append("A score says how sure the model is, from 0 (not at all) to 1 (wholly).")
    scores = [s.score for s in prediction.labels]
    if several > 1 and all(map(math.isfinite, scores)) and abs(sum(scores) - 1) < _ALMOST_ONE:
        share = wording.format_score(1 / several)
        lines.append(f"They add up to 1 (an even share is {share}): they compare these labels and know no other.")
    elif sum(filter(math.isfinite, scores)) > 1 + _ALMOST_ONE:
        lines.append("They need not add up to 1: several of these actions may happen.")
    if nothing := next((s.label for s in prediction.labels if s.label.lower() in wording.NOTHING), ""):
        lines.append(f"The label {nothing} stands for none of the other actions.")
    if prediction.threshold is not None:
        least = wording.format_score(prediction.threshold)
        lines.append(f"The upright line is the threshold, {least}; an answer under it counts as unsure.")
    return lines


def _evidence(prediction: Prediction) -> list[str]:
    evidence, answer = prediction.evidence, wording.shorten_label(prediction.label) or "the answer"
    other = any(e.action not in ("", prediction.label) for e in evidence)
    whose = f"{answer}, or of the other action that a row names," if other else answer
    what = "everything about its pair is removed" if any(e.removed for e in evidence) else "exactly this is removed"
    lines = [
        f"Contribution is how far the score of {whose} drops when {what} and the model answers again; below zero, the "
        "score would rise."
    ]
    if any(is_in_window(prediction, e) for e in evidence):
        lines.append("A score in its window is of that part of the video alone; the answer’s is of all parts together.")
    if any(not e.stated for e in evidence):
        lines.append("What is not stated is too likely to be wrong, or no more needed than as much removed at random.")
    if any(e.probability is not None for e in evidence):
        lines.append("The probability says how likely it is to be true.")
    kinds = {e.kind for e in evidence}
    if "snippet" in kinds:
        lines.append("A snippet is a short piece of the video that the model reads as one.")
        lines.append("The raw score is what the model computes before it is turned into a score of 0 to 1.")
    if "neighbour" in kinds:
        lines.append("A known action is one that the model was trained on and holds to be related to the answer.")
    if any(e.similarity is not None and e.kind != "neighbour" for e in evidence):
        lines.append(
            "Naming is a separate matter and not how much a thing decided: similarity (at most 1) says how well its "
            "name fits, margin how far the next name is behind."
        )
    return lines


def list_targets(prediction: Prediction) -> list[str]:
    """Return the annotated labels: none, one, or several that ``; `` joins."""
    if any(s.label == prediction.target for s in prediction.labels):
        return [prediction.target]
    return [label for label in prediction.target.split("; ") if label]


def judge_answer(prediction: Prediction) -> tuple[str, str]:
    """Compare the answer with the target: ``("right" | "wrong" | "", sentence)``; empty when no target is known."""
    true = list_targets(prediction)
    if not true:
        return "", ""
    target = " and ".join(wording.shorten_label(label) for label in true)
    answer = "guess" if find_state(prediction) == "unfamiliar" else "answer"
    if not prediction.labels:
        return "wrong", f"The annotation says {target}; there is no answer."
    if prediction.label in true:
        return "right", f"The annotation says {target}: the {answer} is {'right' if len(true) == 1 else 'one of them'}."
    place = next((i for i, s in enumerate(prediction.labels, 1) if s.label in true), None)
    where = "which is not among the scored labels" if len(true) == 1 else "of which none is among the scored labels"
    if place is not None:
        best = "which comes" if len(true) == 1 else "of which the best comes"
        where = f"{best} at place {place} with score {wording.format_score(prediction.labels[place - 1].score)}"
    return "wrong", f"The annotation says {target}, {where}: the {answer} is wrong."
