"""From predictions to the text of one HTML page, and to a file."""

from __future__ import annotations

import base64
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from whyact import sentences, wording
from whyact.errors import UserError
from whyact.prediction import Evidence, Prediction, TrackPoint
from whyact.report.charts import Chart, Diverging, ScoreBar, chart, diverging, score_bars, stack_rows
from whyact.report.private import without_paths
from whyact.report.reading import TIPS, Reading, how_to_read, judge_answer
from whyact.report.scene import Scene, scenes
from whyact.report.timeline import Timeline, timeline

_KINDS = {"state": "held state", "frame": "frame", "snippet": "snippet", "neighbour": "known action"}
_MOST_TEXTS = 5
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
class Effect:
    """A label's score with the deciding evidence and without it, as bars; widths in percent.

    ``control`` is the least score left where as much is removed at random; empty where that was not measured.
    """

    label: str
    score: str
    width: float
    without: str
    without_width: float
    control: str
    control_width: float


@dataclass(frozen=True)
class View:
    """One prediction with everything a template needs, so that the template decides nothing.

    ``loop`` is a data URI of the moment that decided, playing; empty where the video is not at hand.
    """

    anchor: str
    prediction: Prediction
    title: str
    text: sentences.AnswerText
    in_short: tuple[str, str]
    verdict: tuple[str, str]
    effect: Effect | None
    loop: str
    runner_up: tuple[str, str] | None
    scenes: list[Scene]
    timeline: Timeline | None
    charts: list[Chart]
    scores: list[ScoreBar]
    reasons: list[Reason]
    reading: Reading
    provenance: list[tuple[str, str]]
    hues: dict[str, int]


def render(
    predictions: list[Prediction],
    *,
    stills: Mapping[tuple[str, float], bytes] | None = None,
    loops: Mapping[str, bytes] | None = None,
) -> str:
    """Write predictions as one HTML page that needs no other file and no network, and names files without folders.

    Args:
        predictions: The answers, in the order of the page; an index stands first when there are several.
        stills: JPEG bytes by (prediction id, frame number); of a moment without a track by
            :func:`~whyact.report.scene.place_moment`. Frames without one are drawn as boxes on a plain canvas.
        loops: WebP bytes by prediction id: the moment that decided, playing.

    Raises:
        UserError: When a still is not a JPEG image, or a loop not a WebP image.
    """
    views = []
    for place, (given, shown) in enumerate(zip(predictions, without_paths(predictions), strict=True), 1):
        pictures = {(shown.id, frame): data for (id_, frame), data in (stills or {}).items() if id_ == given.id}
        views.append(view(shown, place, pictures, (loops or {}).get(given.id)))
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
        stack_rows=stack_rows,
        token_lines=token_lines,
        tips=TIPS,
        report_script=_script,
    )
    return made


@lru_cache(maxsize=1)
def _script() -> str:
    """Return the page's script: the modules that the studio loads one by one, in one text."""
    folder = files("whyact.report").joinpath("templates")
    texts = (
        folder.joinpath(f"{name}.js").read_text(encoding="utf-8") for name in ("format", "zoom", "tokens", "script")
    )
    return "\n".join(re.sub(r"^(?:import |\s*// ).*\n", "", text, flags=re.MULTILINE) for text in texts)


def token_lines(points: Sequence[TrackPoint]) -> str:
    """Write tokens in numbers, one a line with tabs between the columns: text that a script reads too."""
    score = wording.format_score
    head = "time\tframe\tnamed\tkept\tkeep probability\tsimilarity\tmargin"
    return "\n".join(
        [
            head,
            *(
                f"{wording.format_time(p.time, clock=False)}\t{p.frame}\t{wording.format_label(p.label)}\t"
                f"{'yes' if p.kept else 'no'}\t{score(p.keep_probability)}\t{score(p.similarity)}\t{score(p.margin)}"
                for p in points
            ),
        ]
    )


def write_report(
    predictions: list[Prediction],
    path: str | Path,
    stills: Mapping[tuple[str, float], bytes] | None = None,
    loops: Mapping[str, bytes] | None = None,
) -> Path:
    """Write :func:`render`'s page to a file, whole or not at all, and return its path.

    Missing folders are made. A file that was there is replaced only when the new one is complete.

    Raises:
        UserError: When a still is not a JPEG image, or the file cannot be written.
    """
    target = Path(path)
    if target.is_dir():
        raise UserError(target, "a folder", "a file name for the report", f"write to {target / 'report.html'}")
    text = render(predictions, stills=stills, loops=loops)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".report-") as folder:
            part = Path(folder) / target.name
            part.write_text(text, encoding="utf-8")
            os.replace(part, target)
    except OSError as error:
        raise UserError(target, error.strerror, "a file that can be written", "choose another path") from error
    return target


def view(
    prediction: Prediction,
    place: int = 1,
    stills: Mapping[tuple[str, float], bytes] | None = None,
    loop: bytes | None = None,
) -> View:
    """Return one prediction as a template shows it, the ``place``-th of its page."""
    ranked = wording.number_evidence(prediction)
    lanes, clock = timeline(prediction), wording.uses_clock(prediction)
    bars = diverging([e.contribution for _, e in ranked], 1.0)  # on the scale of the scores
    deciding = wording.find_deciding(prediction)
    return View(
        anchor=f"p{place}",
        prediction=prediction,
        title=wording.format_label(prediction.label) or "No answer",
        text=sentences.describe_answer(prediction),
        in_short=(
            wording.summarize_evidence(deciding, clock=clock) if deciding else wording.summarize_answer(prediction)
        ),
        verdict=judge_answer(prediction),
        effect=_effect(prediction, deciding),
        loop="" if loop is None else _webp(prediction, loop),
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
        hues=wording.assign_hues(prediction),
    )


def _effect(prediction: Prediction, deciding: Evidence | None) -> Effect | None:
    """Return what the deciding evidence does to the score; ``None`` where it does nothing that can be read."""
    found = sentences.find_effect(prediction, deciding) if deciding is not None else None
    if found is None or wording.format_score(found[1]) == wording.format_score(found[2]):
        return None
    label, score, without = found
    control = sentences.find_control(prediction, deciding) if deciding is not None else None
    window = " in its window" if deciding is not None and sentences.is_in_window(prediction, deciding) else ""
    return Effect(
        wording.shorten_label(label) + window,
        wording.format_score(score),
        round(100 * min(1.0, max(0.0, score)), 2),
        wording.format_score(without),
        round(100 * without, 2),
        "" if control is None else wording.format_score(control),
        round(100 * (control or 0.0), 2),
    )


def _webp(prediction: Prediction, loop: bytes) -> str:
    if loop[:4] != b"RIFF" or loop[8:12] != b"WEBP":
        raise UserError(f"loop of prediction {prediction.id!r}", f"{len(loop)} bytes", "the bytes of a WebP image")
    return "data:image/webp;base64," + base64.b64encode(loop).decode("ascii")


def _reason(place: int, evidence: Evidence, bar: Diverging, prediction: Prediction) -> Reason:
    names = wording.list_pair(evidence.subject, evidence.object)
    what = wording.format_change(evidence) or wording.format_label(evidence.label)
    if evidence.kind in ("frame", "snippet") and evidence.label == prediction.label:
        what = ""  # the answer's own name says nothing new
    tag = "" if evidence.kind == "transition" else _KINDS[evidence.kind]
    if sentences.is_segment(prediction, evidence):
        tag = "whole segment"
    when = (
        ""
        if evidence.kind == "neighbour"
        else wording.format_span(evidence.start, evidence.end, clock=wording.uses_clock(prediction))
    )
    shown = (*names, what, when, evidence.kind, evidence.label if evidence.kind == "frame" else "")
    repeated = {*_WORD.findall(wording.format_label(" ".join(shown))), *_JOINING}
    return Reason(
        place=place,
        evidence=evidence,
        names=names,
        what=what,
        tag=tag if evidence.stated else f"{tag}, not stated".lstrip(", "),
        # the method's own text is shown where it says more than the columns do
        extra=evidence.text
        if set(_WORD.findall(_DECIMAL.sub(" ", wording.format_label(evidence.text)))) - repeated
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
    """Say how surely a thing got its name and whether that is stated; of a known action, how alike the names are."""
    chance = "" if evidence.probability is None else f"probability {wording.format_score(evidence.probability)}"
    if evidence.control is not None:  # a method that states only what passes both tests
        verdict = "stated" if evidence.stated else "not stated"
        control = f"control {wording.format_score(evidence.control)}"
        chance = f"{verdict}: {', '.join(filter(None, [chance, control]))}"
    if evidence.similarity is None:
        return chance
    if evidence.kind == "neighbour":
        return f"likeness of the two names {wording.format_score(evidence.similarity)}"
    margin = "" if evidence.margin is None else f", margin {wording.format_score(evidence.margin)}"
    return "; ".join(filter(None, [chance, f"similarity {wording.format_score(evidence.similarity)}{margin}"]))


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
