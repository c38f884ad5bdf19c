"""What a reader who sees a page for the first time must know to read each part of it: plain sentences."""

from __future__ import annotations

import math
from dataclasses import dataclass

from whyact import wording
from whyact.prediction import Prediction
from whyact.report.timeline import Timeline

_ALMOST_ONE = 0.01  # scores are printed with two decimals


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
    said = [time.whole] if time.whole else []
    if time.segments:
        said.append(
            "A bar is a segment: a stretch of the video in which the model sees this action. "
            "The number in it is the segment’s score, 0 to 1; the stronger its shade, the higher."
        )
        if any(bar.whiskers for lane in time.segments for bar in lane.bars):
            said.append("The thin line at each end of a bar says how far off that end may be.")
    if time.loose:
        said.append("The row “Evidence” shows where each piece of evidence lies; the red one is in the sentence above.")
    if prediction.curves:
        said.append("A curve lies between the two values beside it.")
        if any(curve.name == "attention" for curve in prediction.curves):
            said.append("Attention says how much that moment counts for the model, whatever the action.")
        if any(curve.name == "contribution" for curve in prediction.curves):
            said.append("Contribution is what the score loses without that moment; the line under it is zero.")
        if any(curve.lower is not None and curve.upper is not None for curve in prediction.curves):
            said.append("The grey band around it is its uncertainty.")
    if prediction.tracks:
        said.append(
            "One lane is one pair of things, or one thing with its state; lanes that count most come first. "
            "Each block is a token: what the model saw of the pair at one moment. It answers from the tokens it keeps."
        )
        if time.segments:
            said.append("They are drawn where a segment scores best, and empty elsewhere.")
        if any(lane.contribution is not None for lane in [*time.shown, *time.folded]):
            said.append("A number with a sign is the lane’s largest contribution, explained under Evidence.")
    return said


def _scores(prediction: Prediction) -> list[str]:
    several = len(prediction.labels)
    said = [f"The ten best of {several} labels." if several > 10 else "Every label and its score."]
    said.append("A score says how sure the model is, from 0 (not at all) to 1 (wholly).")
    scores = [s.score for s in prediction.labels]
    if several > 1 and all(map(math.isfinite, scores)) and abs(sum(scores) - 1) < _ALMOST_ONE:
        share = wording.format_score(1 / several)
        said.append(f"They add up to 1 (an even share is {share}): they compare these labels and know no other.")
    elif sum(filter(math.isfinite, scores)) > 1 + _ALMOST_ONE:
        said.append("They need not add up to 1: several of these actions may happen.")
    if nothing := next((s.label for s in prediction.labels if s.label.lower() in wording.NOTHING), ""):
        said.append(f"The label {nothing} stands for none of the other actions.")
    if prediction.threshold is not None:
        least = wording.format_score(prediction.threshold)
        said.append(f"The upright line is the threshold, {least}; an answer under it counts as unsure.")
    return said


def _evidence(prediction: Prediction) -> list[str]:
    evidence, answer = prediction.evidence, wording.shorten_label(prediction.label) or "the answer"
    other = any(e.action not in ("", prediction.label) for e in evidence)
    whose = f"{answer}, or of the other action that a row names," if other else answer
    said = [
        f"Contribution is how far the score of {whose} drops when exactly this evidence is taken away and the model "
        "answers again; below zero, the score would rise."
    ]
    kinds = {e.kind for e in evidence}
    if "snippet" in kinds:
        said.append("A snippet is a short piece of the video that the model reads as one.")
        said.append("The raw score is what the model computes before it is turned into a score of 0 to 1.")
    if len({e.rank for e in evidence if e.rank > 0}) < sum(e.rank > 0 for e in evidence):
        said.append("Rows with the same number belong to one segment; number 1 is the best segment.")
    if "neighbour" in kinds:
        said.append("A known action is one that the model was trained on and holds to be related to the answer.")
    if any(e.similarity is not None and e.kind != "neighbour" for e in evidence):
        said.append(
            "Naming is a separate matter and not how much a thing decided: similarity (at most 1) says how well its "
            "name fits, margin how far the next name is behind."
        )
    return said
