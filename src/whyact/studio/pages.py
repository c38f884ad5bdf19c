"""The pages for people. Everything on them comes from this process: no script, font or picture from elsewhere."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from whyact.ablation.compare import compare_pair
from whyact.data.relations.own_file import FILE
from whyact.prediction import Prediction
from whyact.report.exports import EXPORTS
from whyact.report.page import environment, view
from whyact.studio.api import comparisons_of, info, jobs_of, two_jobs
from whyact.studio.corrections import offered_for, saved_marks
from whyact.studio.forms import JobInfo, Marks, ModelInfo
from whyact.studio.jobs import Unknown
from whyact.studio.models import model_info
from whyact.studio.train_api import trainings_of
from whyact.studio.worker_tasks import preview_rate
from whyact.verbs.demo import demo_actions

router = APIRouter(include_in_schema=False)
_SHARED = {"report.css": "style.css", "format.js": "format.js", "zoom.js": "zoom.js", "tokens.js": "tokens.js"}
_OWN = ["studio.css", "shared.js", "drop.js", "start.js", "job.js", "player.js", "question.js", "correct.js", "mark.js"]
_OWN += ["marks.js", "boxes.js", "picture.js", "clip.js", "compare.js", "set.js", "sides.js", "teach.js"]
_STATIC = {name: ("whyact.report", f"templates/{file}") for name, file in _SHARED.items()}
_STATIC |= {name: ("whyact.studio", f"static/{name}") for name in _OWN}
_MEDIA = {"css": "text/css", "js": "text/javascript"}
_EXPORT_NAMES = {
    "html": "Report (HTML)",
    "json": "JSON",
    "csv": "Table (CSV)",
    "vtt": "Subtitles (WebVTT)",
    "eaf": "ELAN (.eaf)",
    "fiftyone": "FiftyOne (labels.json)",
}


@lru_cache(maxsize=1)
def _templates() -> Any:
    return environment("whyact.studio")


def _page(name: str, status: int = 200, **values: Any) -> HTMLResponse:
    return HTMLResponse(_templates().get_template(name).render(**values), status)


@router.get("/")
def start(request: Request) -> HTMLResponse:
    """Show where to drop a video, and the answers so far."""
    jobs = jobs_of(request)
    return _page(
        "start.html.j2",
        models=[model_info(name, path) for name, path in jobs.models.items()],
        actions=list(demo_actions()),
        jobs=[job for job in reversed(jobs.jobs.values()) if job.state != "arriving"],
        trainings=[one for one in reversed(trainings_of(request).trainings.values()) if one.clips],
        limits=jobs.limits,
        keeps_uploads=jobs.keep_uploads,
    )


@router.get("/jobs/{id_}")
def job(request: Request, id_: str) -> Response:
    """Show a job: its progress, why it failed, or its answer."""
    jobs = jobs_of(request)
    try:
        found = jobs.get(id_)
        if found.state != "done":
            return _page("waiting.html.j2", job=info(found), two=[])
        prediction = jobs.prediction(found)
    except Unknown as error:
        return _page("gone.html.j2", 404, why=str(error))
    others = [info(other) for other in jobs.others(found) if other.state != "failed" and other.model != found.model]
    others = list({other.model: other for other in others}.values())  # never a model against itself, and each once
    model = model_info(found.model, jobs.models[found.model])
    folder = request.app.state.corrections
    offered = {} if folder is None else offered_for(prediction, jobs.models[found.model])
    marked = folder is not None and saved_marks(folder, prediction) != Marks()
    page = render_answer(
        prediction, info(found), model, others, folder is not None, offered, film=found.upload.is_file(), marked=marked
    )
    return HTMLResponse(page)


def render_answer(
    prediction: Prediction,
    job: JobInfo,
    model: ModelInfo,
    others: list[JobInfo],
    can_correct: bool,
    offered: dict[str, list[str]] | None = None,
    *,
    film: bool = False,
    marked: bool = False,
) -> str:
    """Return the page of an answered video.

    Args:
        prediction: The answer.
        job: Its job.
        model: The model that gave it.
        others: Jobs of other models about the same video.
        can_correct: Corrections are saved.
        offered: The relations that each pair can carry.
        film: The video is still here, so that its frames can be marked.
        marked: They have been.
    """
    page: str = (
        _templates()
        .get_template("answer.page.html.j2")
        .render(
            job=job,
            view=view(prediction),
            model=model,
            exports=[(kind, _EXPORT_NAMES[kind]) for kind in ("html", "json", *EXPORTS)],
            things=_things(prediction),
            correctable=can_correct,
            offered=offered or {},
            film=film,
            marked=marked,
            others=others,
            rate=preview_rate(prediction.video.duration, prediction.video.fps),
            second=prediction.labels[1].label if len(prediction.labels) > 1 else "",
        )
    )
    return page


@router.get("/jobs/{id_}/against/{other}")
def against(request: Request, id_: str, other: str) -> Response:
    """Show what two models say about one video, once both have answered."""
    jobs = jobs_of(request)
    try:
        two = two_jobs(jobs, id_, other)
        waits = next((one for one in two if one.state not in ("done", "failed")), None)
        if waits is not None:
            return _page("waiting.html.j2", job=info(waits), two=[info(one) for one in two])
        failed = next((one for one in two if one.state == "failed"), None)
        if failed is not None:
            return _page("waiting.html.j2", job=info(failed), two=[info(one) for one in two])
        both = [jobs.prediction(one) for one in two]
    except Unknown as error:
        return _page("gone.html.j2", 404, why=str(error))
    return _page(
        "beside.html.j2",
        jobs=[info(one) for one in two],
        found=compare_pair(*both),
        video=both[0].video,
        models=[model_info(one.model, jobs.models[one.model]) for one in two],
    )


@router.get("/teach")
def teach(request: Request) -> HTMLResponse:
    """Show where to put clips, to teach a model."""
    return _teach(request, "")


@router.get("/teach/{id_}")
def training(request: Request, id_: str) -> Response:
    """Show a training: its clips, then how far it is, then its model."""
    try:
        found = trainings_of(request).get(id_)
    except Unknown as error:
        return _page("gone.html.j2", 404, why=str(error))
    return _teach(request, found.id, found.model if found.state == "done" else "")


@router.get("/teach/{id_}/clips/{clip}")
def clip(request: Request, id_: str, clip: str) -> Response:
    """Show a clip of a training, to mark it."""
    trainings = trainings_of(request)
    try:
        training = trainings.get(id_)
        found = trainings.clip(training, clip)
    except Unknown as error:
        return _page("gone.html.j2", 404, why=str(error))
    looked = training.state == "done" or bool(training.found)
    saved = (training.folder / FILE).is_file()
    return _page("clip.html.j2", training=training.id, clip=found, looked=looked, saved=saved)


def _teach(request: Request, training: str, model: str = "") -> HTMLResponse:
    trainings, models = trainings_of(request), jobs_of(request).models
    info = model_info(model, models[model]) if model in models else None
    others = [name for name in models if name != model]
    return _page(
        "teach.html.j2", training=training, info=info, others=others, limits=trainings.limits, kept=trainings.kept
    )


@router.get("/compare")
def compare(request: Request) -> HTMLResponse:
    """Show what can be compared: two models over films that are here, or two runs from files."""
    comparisons = comparisons_of(request)
    sets = [(name, title, len(films)) for name, (title, films) in comparisons.sets().items()]
    before = list(reversed(comparisons.comparisons.values()))
    return _page("compare.html.j2", models=list(jobs_of(request).models), sets=sets, before=before)


@router.get("/compare/{id_}")
def comparison(request: Request, id_: str) -> Response:
    """Show two models over a set of films."""
    try:
        found = comparisons_of(request).get(id_)
    except Unknown as error:
        return _page("gone.html.j2", 404, why=str(error))
    return _page("set.html.j2", it=found)


@router.get("/static/{name}")
def static(name: str) -> Response:
    """Return a style or a script of the pages."""
    if name not in _STATIC:
        raise HTTPException(404, "no such file")
    package, path = _STATIC[name]
    headers = {"cache-control": "no-cache"}
    media = _MEDIA[name.rpartition(".")[2]]
    return Response(files(package).joinpath(path).read_bytes(), media_type=media, headers=headers)


@router.get("/favicon.ico")
def icon() -> Response:
    """Return the tab's picture: a transition between two states."""
    drawn = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3" '
        'fill="#fbfaf7"/><path d="M2 11h5V5h7" fill="none" stroke="#a62f1c" stroke-width="2.5"/></svg>'
    )
    return Response(drawn, media_type="image/svg+xml")


@router.get("/docs")
def docs() -> RedirectResponse:
    """Send people who look for the usual place to the description."""
    return RedirectResponse("/openapi.json", 307)


def _things(prediction: Prediction) -> list[str]:
    """Return the things that pairs of the answer are made of, a hand too; those of the evidence first."""
    named = [t for t in prediction.tracks if any(q.label for q in t.points)]
    pairs = [(e.object, e.subject) for e in prediction.evidence] + [(t.object, t.subject) for t in named]
    return list(dict.fromkeys(name for pair in pairs for name in pair if name))
