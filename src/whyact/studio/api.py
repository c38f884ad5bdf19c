"""The interface for machines, which the pages use too."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool

from whyact.ablation.compare import PairComparison, RunComparison, compare_pair, compare_runs, read_runs
from whyact.prediction import to_json
from whyact.report.exports import EXPORTS, export
from whyact.studio import worker_tasks
from whyact.studio.comparisons import Comparison, Comparisons
from whyact.studio.forms import (
    AblationRequest,
    ComparisonInfo,
    Demo,
    FlipResult,
    JobInfo,
    ModelInfo,
    Problem,
    Scores,
    SetChoice,
    Target,
)
from whyact.studio.jobs import Job, Jobs, Unknown
from whyact.studio.limits import MB
from whyact.studio.models import model_info
from whyact.studio.safety import REPORT_POLICY
from whyact.studio.uploads import BODY, check_models, open_job, receive, submit

COMPARED = 200 * MB  # bytes of two files of predictions
router = APIRouter(prefix="/api", responses={404: {"model": Problem}, 422: {"model": Problem}})
FileName = Annotated[str, Query(max_length=400, description="The file's name, shown beside the answer.")]
ModelName = Annotated[str, Query(max_length=200, description="One of /api/models; the first by default.")]
SecondModel = Annotated[str, Query(max_length=200, description="A second model that is asked about the same video.")]
_REFUSED: dict[int | str, dict[str, Any]] = {413: {"model": Problem}, 503: {"model": Problem}}
_PREDICTIONS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A list with the one prediction, as `whyact predict --json` prints it.",
        "content": {
            "application/json": {"schema": {"type": "array", "items": {"$ref": "#/components/schemas/Prediction"}}}
        },
    }
}
_FILE: dict[int | str, dict[str, Any]] = {200: {"content": {"application/octet-stream": {}}}}


def jobs_of(request: Request) -> Jobs:
    """Return the jobs of the studio that a request came to."""
    found: Jobs = request.app.state.jobs
    return found


def info(job: Job) -> JobInfo:
    """Return what may be said about a job."""
    return JobInfo(**{name: getattr(job, name) for name in JobInfo.model_fields})


def two_jobs(jobs: Jobs, id_: str, other: str) -> tuple[Job, Job]:
    """Return two jobs about one video.

    Raises:
        Unknown: When one of them is none, they are about two videos, or both are one model's.
    """
    a, b = jobs.get(id_), jobs.get(other)
    if b not in jobs.others(a):
        raise Unknown("these are not two answers about the same video")
    if a.model == b.model:
        raise Unknown("both answers are the same model's")
    return a, b


@router.get("/models")
def models(request: Request) -> list[ModelInfo]:
    """List the models, the default first."""
    return [model_info(name, path) for name, path in jobs_of(request).models.items()]


@router.post("/jobs", status_code=202, responses=_REFUSED, openapi_extra=BODY)
async def post_job(
    request: Request, name: FileName = "video", model: ModelName = "", against: SecondModel = ""
) -> JobInfo:
    """Send a video; ask for the job until it is done."""
    return info(await receive(request, jobs_of(request), name, model, against))


@router.post("/demo", status_code=202, responses=_REFUSED)
def post_demo(request: Request, demo: Demo) -> JobInfo:
    """Film a household clip of an action and answer it."""
    from whyact.verbs.demo import demo_actions

    if demo.action not in (*demo_actions(), "null"):
        expected = ", ".join(("null", *demo_actions()))
        raise HTTPException(422, f"action: found {demo.action!r}; expected one of {expected}")
    check_models(jobs_of(request), demo.model, demo.against)
    name = f"household clip {demo.seed}, {demo.action.replace('_', ' ')}"
    job = open_job(jobs_of(request), name, demo.model, {"action": demo.action, "seed": demo.seed})
    job.target = demo.action
    submit(jobs_of(request), job, demo.against)
    return info(job)


@router.get("/jobs/{id_}")
def get_job(request: Request, id_: str) -> JobInfo:
    """Say where a job stands."""
    return info(jobs_of(request).get(id_))


@router.delete("/jobs/{id_}", status_code=204)
def delete_job(request: Request, id_: str) -> None:
    """Forget a job, stop it if it runs, and delete its files."""
    jobs_of(request).cancel(jobs_of(request).get(id_))


@router.post("/predict", responses=_REFUSED | _PREDICTIONS | {500: {"model": Problem}}, openapi_extra=BODY)
async def post_predict(request: Request, name: FileName = "video", model: ModelName = "") -> Response:
    """Send a video and wait for its prediction; nothing of it is kept."""
    jobs = jobs_of(request)
    job = await receive(request, jobs, name, model)
    job.awaited = True
    try:
        while not await run_in_threadpool(job.ended.wait, 0.5):
            if await request.is_disconnected():
                raise HTTPException(400, "gone")
        if job.state != "done":
            raise HTTPException(422, job.error)
        return Response(to_json([jobs.prediction(job)]), media_type="application/json")
    finally:
        jobs.remove(job)


@router.get("/jobs/{id_}/prediction", responses=_PREDICTIONS)
def get_prediction(request: Request, id_: str) -> Response:
    """Return the answer with all its evidence."""
    jobs = jobs_of(request)
    return Response(to_json([jobs.prediction(jobs.done(id_))]), media_type="application/json")


@router.get("/jobs/{id_}/video", responses=_FILE)
def get_video(request: Request, id_: str) -> FileResponse:
    """Return the copy to play: the same moments, H.264, at most 960 pixels wide."""
    job = jobs_of(request).done(id_)
    if not job.playable:
        raise HTTPException(404, "there is no copy to play")
    return FileResponse(job.folder / worker_tasks.PREVIEW, media_type="video/mp4")


@router.get("/jobs/{id_}/thumbnail", responses=_FILE)
def get_thumbnail(request: Request, id_: str) -> FileResponse:
    """Return a picture of the video, as soon as there is one."""
    job = jobs_of(request).get(id_)
    if not job.thumbnail:
        raise HTTPException(404, "there is no picture yet")
    return FileResponse(job.folder / worker_tasks.THUMBNAIL, media_type="image/jpeg")


@router.get("/jobs/{id_}/strip/{cell}", responses=_FILE)
def get_cell(request: Request, id_: str, cell: int) -> FileResponse:
    """Return one of the small pictures along the video, from 0 on."""
    job = jobs_of(request).done(id_)
    if not 0 <= cell < job.cells:
        raise HTTPException(404, f"no such picture; there are {job.cells}")
    return FileResponse(job.folder / worker_tasks.STRIP / f"{cell}.jpg", media_type="image/jpeg")


@router.get("/jobs/{id_}/export/{kind}", responses=_FILE)
def get_export(request: Request, id_: str, kind: str) -> Response:
    """Return the answer as a file: html, json, csv, vtt, eaf or fiftyone."""
    jobs = jobs_of(request)
    job = jobs.done(id_)
    stem = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in job.name.rsplit(".", 1)[0])
    prediction = jobs.prediction(job)
    headers = {}
    if kind == "html":
        text, ending, media = (job.folder / worker_tasks.REPORT).read_text(encoding="utf-8"), "html", "text/html"
        headers["content-security-policy"] = REPORT_POLICY
    elif kind == "json":
        text, ending, media = to_json([prediction]), "json", "application/json"
    elif kind in EXPORTS:
        text = export([prediction], kind)
        ending, media = EXPORTS[kind].ending, EXPORTS[kind].media
    else:
        raise HTTPException(404, f"no such format; there are html, json, {', '.join(EXPORTS)}")
    headers["content-disposition"] = f'attachment; filename="{stem or "whyact"}.{ending}"'
    return Response(text, media_type=media, headers=headers)


@router.post("/jobs/{id_}/without")
def post_without(request: Request, id_: str, request_body: AblationRequest) -> Scores:
    """Answer again without some transitions, pairs, things or spans: exact removal from the model's input."""
    jobs, started = jobs_of(request), time.monotonic()
    scores = jobs.ask(jobs.done(id_), "without", removals=request_body.removals)
    return Scores(**scores, milliseconds=round(1000 * (time.monotonic() - started), 1))


@router.post("/jobs/{id_}/flip")
def post_flip(request: Request, id_: str, target: Target) -> FlipResult:
    """Say what would have to differ for another action, by default the second best, to be the answer."""
    jobs = jobs_of(request)
    return FlipResult(**jobs.ask(jobs.done(id_), "flip", target=target.target))


@router.get("/jobs/{id_}/against/{other}")
def get_against(request: Request, id_: str, other: str) -> PairComparison:
    """Put the answers of two jobs about the same video beside each other."""
    jobs = jobs_of(request)
    a, b = two_jobs(jobs, id_, other)
    return compare_pair(jobs.prediction(jobs.done(a.id)), jobs.prediction(jobs.done(b.id)))


def comparisons_of(request: Request) -> Comparisons:
    """Return the comparisons of the studio that a request came to."""
    found: Comparisons = request.app.state.comparisons
    return found


def describe(comparison: Comparison) -> ComparisonInfo:
    """Return where a comparison stands, and what was found."""
    return ComparisonInfo(**{name: getattr(comparison, name) for name in ComparisonInfo.model_fields})


@router.post("/comparisons", status_code=202)
def post_comparison(request: Request, choice: SetChoice) -> ComparisonInfo:
    """Ask two models about every film of a set, and list what changes from the first to the second."""
    return describe(comparisons_of(request).start(choice.a, choice.b, choice.films))


@router.get("/comparisons/{id_}")
def get_comparison(request: Request, id_: str) -> ComparisonInfo:
    """Say where a comparison stands, and what was found so far."""
    return describe(comparisons_of(request).get(id_))


@router.post("/comparisons/{id_}/stop")
def post_comparison_stop(request: Request, id_: str) -> ComparisonInfo:
    """Stop asking; what was found stays."""
    comparisons = comparisons_of(request)
    comparison = comparisons.get(id_)
    comparisons.stop(comparison)
    return describe(comparison)


@router.delete("/comparisons/{id_}", status_code=204)
def delete_comparison(request: Request, id_: str) -> None:
    """Stop and forget a comparison."""
    comparisons = comparisons_of(request)
    comparisons.remove(comparisons.get(id_))


@router.post("/compare", openapi_extra=BODY)
async def post_compare(request: Request) -> RunComparison:
    """Compare two runs: the body is ``{"a": [predictions], "b": [predictions]}``."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > COMPARED:
            raise HTTPException(413, f"The two files are larger than {COMPARED / MB:g} MB together.")
    return await run_in_threadpool(lambda: compare_runs(*read_runs(bytes(body))))
