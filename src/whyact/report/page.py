"""From predictions to the text of one HTML page, and to a file."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from whyact import wording
from whyact.errors import UserError
from whyact.prediction import Evidence, Prediction
from whyact.report.charts import Chart, Diverging, ScoreBar, chart, diverging, score_bars
from whyact.report.reading import Reading, how_to_read
from whyact.report.scene import Scene, scenes
from whyact.report.timeline import Timeline, timeline

_FIRST_HUES = (255, 155, 310, 75, 210, 340, 120, 280)  # far apart, and away from the accent
_GOLDEN_ANGLE = 137.508
_KINDS = {"state": "held state", "frame": "frame", "snippet": "snippet", "neighbour": "known action"}
_MOST_TEXTS = 5
_LEAST_SCALE = 0.01  # of a score: contributions that read as 0.00 have no bar
_WORD = re.compile(r"\w+")
_DECIMAL = re.compile(r"[-+]?\d+\.\d+")  # times and changes of score, which have columns of their own
_JOINING = frozenset(["and", "at", "between", "by", "changes", "for", "from", "it", "of", "s", "the", "to", "without"])


@dataclass(frozen=True)
class Reason:
    """One row of the evidence table."""

    place: int
    evidence: Evidence
    names: tuple[str, ...]
    what: str
    tag: str
    extra: str
    when: str
    about: str
    contribution: str
    bar: Diverging
    deciding: bool
    naming: str


@dataclass(frozen=True)
class View:
    """One prediction with everything a template needs, so that the template decides nothing."""

    anchor: str
    prediction: Prediction
    title: str
    headline: str
    because: list[wording.Part]
    in_short: tuple[str, str]
    verdict: tuple[str, str]
    runner_up: tuple[str, str] | None
    scenes: list[Scene]
    timeline: Timeline | None
    charts: list[Chart]
    scores: list[ScoreBar]
    reasons: list[Reason]
    reading: Reading
    provenance: list[tuple[str, str]]
    hues: dict[str, int]


def render(predictions: list[Prediction], *, stills: Mapping[tuple[str, int], bytes] | None = None) -> str:
    """Write predictions as one HTML page that needs no other file and no network.

    Args:
        predictions: The answers, in the order of the page; an index stands first when there are several.
        stills: JPEG bytes by (prediction id, frame number). Frames without one are drawn as boxes on a plain canvas.

    Raises:
        UserError: When a still is not a JPEG image.
    """
    views = [view(prediction, place, stills) for place, prediction in enumerate(predictions, 1)]
    return environment().get_template("report.html.j2").render(views=views)


def environment(*packages: str) -> Environment:
    """Return the templates of the report with the words they use, behind those of other packages."""
    made = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in (*packages, "whyact.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(
        number=wording.format_score,
        signed=wording.format_contribution,
        moment=wording.format_time,
        span=wording.format_span,
        spoken=wording.format_label,
    )
    return made


def write_report(
    predictions: list[Prediction], path: str | Path, stills: Mapping[tuple[str, int], bytes] | None = None
) -> Path:
    """Write :func:`render`'s page to a file, whole or not at all, and return its path.

    Missing folders are made. A file that was there is replaced only when the new one is complete.

    Raises:
        UserError: When a still is not a JPEG image, or the file cannot be written.
    """
    target = Path(path)
    if target.is_dir():
        raise UserError(target, "a folder", "a file name for the report", f"write to {target / 'report.html'}")
    text = render(predictions, stills=stills)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".report-") as folder:
            part = Path(folder) / target.name
            part.write_text(text, encoding="utf-8")
            os.replace(part, target)
    except OSError as error:
        raise UserError(target, error.strerror, "a file that can be written", "choose another path") from error
    return target


def view(prediction: Prediction, place: int = 1, stills: Mapping[tuple[str, int], bytes] | None = None) -> View:
    """Return one prediction as a template shows it, the ``place``-th of its page."""
    ranked = wording.number_evidence(prediction.evidence)
    lanes = timeline(prediction)
    bars = diverging([e.contribution for _, e in ranked], _LEAST_SCALE)
    deciding = wording.find_deciding(prediction)
    return View(
        anchor=f"p{place}",
        prediction=prediction,
        title=wording.format_label(prediction.label) or "No answer",
        headline=wording.format_headline(prediction.label) or "No answer",
        because=wording.explain_answer(prediction),
        in_short=wording.summarize_answer(prediction),
        verdict=wording.judge_answer(prediction),
        runner_up=next(
            ((wording.shorten_label(s.label), wording.format_score(s.score)) for s in prediction.labels[1:2]), None
        ),
        scenes=scenes(prediction, deciding, stills),
        timeline=lanes,
        charts=[chart(curve, lanes.axis) for curve in prediction.curves] if lanes else [],
        scores=score_bars(prediction),
        reasons=[_reason(place, e, bar, prediction) for (place, e), bar in zip(ranked, bars, strict=True)],
        reading=how_to_read(prediction, lanes),
        provenance=_provenance(prediction),
        hues=_hues(prediction, deciding),
    )


def _reason(place: int, evidence: Evidence, bar: Diverging, prediction: Prediction) -> Reason:
    names = wording.list_pair(evidence.subject, evidence.object)
    what = wording.format_change(evidence) or wording.format_label(evidence.label)
    if evidence.kind in ("frame", "snippet") and evidence.label == prediction.label:
        what = ""  # the answer's own name says nothing new
    tag = "" if evidence.kind == "transition" else _KINDS[evidence.kind]
    if evidence.kind == "snippet" and any(
        s.label == evidence.label and abs(s.start - evidence.start) < 1e-6 and s.end <= evidence.end + 1e-6
        for s in prediction.segments
    ):
        tag = "whole segment"
    when = "" if evidence.kind == "neighbour" else wording.format_span(evidence.start, evidence.end)
    shown = (*names, what, when, evidence.kind, evidence.label if evidence.kind == "frame" else "")
    told = {*_WORD.findall(wording.format_label(" ".join(shown))), *_JOINING}
    return Reason(
        place=place,
        evidence=evidence,
        names=names,
        what=what,
        tag=tag,
        # the method's own text is shown where it says more than the columns do
        extra=evidence.text
        if set(_WORD.findall(_DECIMAL.sub(" ", wording.format_label(evidence.text)))) - told
        else "",
        about=wording.format_label(evidence.action)
        if evidence.action not in ("", prediction.label, evidence.label)
        else "",
        deciding=evidence is wording.find_deciding(prediction),
        naming=_naming(evidence),
        when=when,
        contribution=wording.format_contribution(evidence.contribution),
        bar=bar,
    )


def _naming(evidence: Evidence) -> str:
    """Say how surely a thing got its name; a known action has none to get, its likeness to the answer's name counts."""
    if evidence.similarity is None:
        return ""
    if evidence.kind == "neighbour":
        return f"likeness of the two names {wording.format_score(evidence.similarity)}"
    margin = "" if evidence.margin is None else f", margin {wording.format_score(evidence.margin)}"
    return f"{_stating(evidence)}similarity {wording.format_score(evidence.similarity)}{margin}"


def _stating(evidence: Evidence) -> str:
    """Say whether evidence is stated, with the numbers that decided; nothing for methods that do not ask."""
    if evidence.control is None:
        return ""
    chance = "" if evidence.probability is None else f"probability {wording.format_score(evidence.probability)}, "
    control = f"control {wording.format_score(evidence.control)}"
    return f"{'stated' if evidence.stated else 'not stated'}: {chance}{control}; "


def _hues(prediction: Prediction, deciding: Evidence | None) -> dict[str, int]:
    """Give every named thing its own hue (degrees): the deciding pair first, then as the tracks name them."""
    names = [deciding.subject, deciding.object] if deciding else []
    names += [name for track in prediction.tracks for name in (track.subject, track.object)]
    names += [name for e in prediction.evidence for name in (e.subject, e.object)]
    spread = [round(i * _GOLDEN_ANGLE) % 360 for i in range(len(names))]
    return dict(zip(dict.fromkeys(name for name in names if name), [*_FIRST_HUES, *spread], strict=False))


def _some(texts: list[str]) -> str:
    more = f"; and {len(texts) - _MOST_TEXTS} more" if len(texts) > _MOST_TEXTS else ""
    return "; ".join(texts[:_MOST_TEXTS]) + more


def _provenance(prediction: Prediction) -> list[tuple[str, str]]:
    """Return the facts that let somebody else get the same answer; unknown ones are left out."""
    video, origin = prediction.video, prediction.provenance
    size = f"{video.width} × {video.height} px" if video.width and video.height else ""
    frames = f"{video.frames_decoded} decoded" if video.frames_decoded else ""
    if video.frames_declared:
        frames = f"{video.frames_decoded} decoded of {video.frames_declared} declared"
    tokens = f"{prediction.tokens_kept} kept of {prediction.tokens_valid}" if prediction.tokens_valid else ""
    rows = [
        ("Video", video.path),
        ("Video SHA-256", video.sha256),
        ("Length", wording.format_time(video.duration) if video.duration > 0 else ""),
        ("Frame rate", f"{round(video.fps, 3):g} frames a second" if video.fps > 0 else ""),
        ("Picture", size),
        ("Frames", frames),
        ("Tokens", tokens),
        ("Method", origin.method),
        ("Checkpoint", origin.checkpoint),
        ("Checkpoint SHA-256", origin.checkpoint_sha256),
        ("Trained on", origin.trained_on),
        ("Data", origin.data),
        ("Split SHA-256", origin.split_sha256),
        ("Prompt", "" if origin.prompt == "{}" else origin.prompt),
        ("Labels read as", _some(list(dict.fromkeys(origin.prompts.values())))),
        ("Sampler", origin.sampler),
        ("Seed", "" if origin.seed is None else str(origin.seed)),
        ("Versions", ", ".join(f"{name} {version}" for name, version in sorted(origin.versions.items()))),
        ("Prediction id", prediction.id),
    ]
    return [(name, value) for name, value in rows if value]
