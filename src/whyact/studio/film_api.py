"""The interface to mark a film: its frames, what was found in it, and what a person marks in it.

The same for the video of an answer and for a clip to teach: only where the marks are kept differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response

from whyact.data.relations.own_file import FILE, OwnFile
from whyact.errors import UserError
from whyact.perception.tracks import Tracks
from whyact.report.private import replace_path
from whyact.studio.api import jobs_of
from whyact.studio.clips import Clip, load_tracks
from whyact.studio.corrections import answer_tracks, answer_words, save_correction, saved_marks
from whyact.studio.films import Films
from whyact.studio.forms import ClipInfo, Correction, FilmInfo, FilmThing, Marks, Problem, Saved
from whyact.studio.jobs import Job, Unknown
from whyact.studio.marks import FilmIndex, offered_relations
from whyact.studio.train_api import clip_info, trainings_of
from whyact.studio.trainings import Training

router = APIRouter(prefix="/api", responses={404: {"model": Problem}, 422: {"model": Problem}})
_JOB, _CLIP = "/jobs/{id_}/film", "/trainings/{id_}/clips/{clip}/film"
_Kind = Annotated[str, Query(max_length=200, description="What a thing is.")]
_JPEG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}}}


@dataclass(frozen=True)
class Film:
    """A film of the studio: its file, the user's name of it, and where pictures of its frames are kept."""

    path: Path
    name: str
    cache: Path


def films_of(request: Request) -> Films:
    """Return the reader of films of the studio that a request came to."""
    found: Films = request.app.state.films
    return found


def film_of_job(job: Job) -> Film:
    """Return the video of an answer.

    Raises:
        Unknown: When it is no longer here.
    """
    if not job.upload.is_file():
        raise Unknown("the video of this answer is no longer here; start the studio with --corrections DIR to keep it")
    return Film(job.upload, job.name, job.folder / "film")


def index_of(request: Request, film: Film) -> FilmIndex:
    """Return when the frames of a film are shown."""
    return films_of(request).describe(film.path, film.name, film.cache)


def _film_of_clip(request: Request, id_: str, clip: str) -> tuple[Training, Clip, Film]:
    trainings = trainings_of(request)
    training = trainings.get(id_)
    found = trainings.clip(training, clip)
    return training, found, Film(training.folder / found.file, found.name, trainings.pictures(training, clip))


@router.get(_JOB)
def get_job_film(request: Request, id_: str) -> FilmInfo:
    """Describe the video of an answer, to mark it."""
    jobs = jobs_of(request)
    job = jobs.done(id_)
    film = film_of_job(job)
    prediction, folder = jobs.prediction(job), request.app.state.corrections
    words = answer_words(jobs.models[job.model])
    marks = Marks() if folder is None else saved_marks(folder, prediction)
    return _describe(index_of(request, film), film, answer_tracks(prediction), words, marks)


@router.get(_CLIP)
def get_clip_film(request: Request, id_: str, clip: str) -> FilmInfo:
    """Describe a clip to teach, to mark it."""
    training, found, film = _film_of_clip(request, id_, clip)
    index = index_of(request, film)
    actions = sorted({name for one in training.clips.values() for name in one.actions if name})
    drawn = {thing.name for one in training.clips.values() for thing in one.marks.drawn}
    objects = sorted({*(thing.name for thing in training.found), *drawn})
    words = OwnFile("whyact-own", 1, objects=objects, actions=actions, videos=[], measured=True)
    return _describe(index, film, load_tracks(training.folder, found, index), words, found.marks)


def _describe(index: FilmIndex, film: Film, tracks: Tracks, words: OwnFile, marks: Marks) -> FilmInfo:
    things = []
    for k, (name, kind) in enumerate(zip(tracks.names, tracks.classes, strict=True)):
        rows = tracks.known[:, k].nonzero()[0]
        boxes = [(float(a), float(b), float(c), float(d)) for a, b, c, d in tracks.boxes[rows, k]]
        things.append(FilmThing(name=name, kind=kind, frames=tracks.frames[rows].tolist(), boxes=boxes))
    return FilmInfo(
        name=film.name,
        times=index.times,
        width=index.width,
        height=index.height,
        things=things,
        actions=words.actions,
        objects=words.objects,
        measured=not words.relations,
        marks=marks,
    )


@router.get(_JOB + "/frames/{number}", responses=_JPEG)
def get_job_frame(request: Request, id_: str, number: int) -> Response:
    """Return a frame of the video of an answer, by its number from 1."""
    return _frame(request, film_of_job(jobs_of(request).done(id_)), number)


@router.get(_CLIP + "/frames/{number}", responses=_JPEG)
def get_clip_frame(request: Request, id_: str, clip: str, number: int) -> Response:
    """Return a frame of a clip to teach, by its number from 1."""
    return _frame(request, _film_of_clip(request, id_, clip)[2], number)


def _frame(request: Request, film: Film, number: int) -> Response:
    data = films_of(request).frame(film.path, film.name, film.cache, number)
    return Response(data, media_type="image/jpeg", headers={"cache-control": "private, max-age=600"})


@router.get(_JOB + "/relations")
def get_relations(request: Request, id_: str, subject: _Kind, thing: _Kind, itself: bool = False) -> list[str]:
    """Return the relations that two things can carry, or with ``itself`` the states of one."""
    jobs = jobs_of(request)
    words = answer_words(jobs.models[jobs.done(id_).model])
    return offered_relations(words, subject, thing, itself=itself)


@router.put(_CLIP + "/marks")
def put_marks(request: Request, id_: str, clip: str, marks: Marks) -> ClipInfo:
    """Keep what a person marked in a clip, in place of what was marked before; no marks forget them."""
    training, found, film = _film_of_clip(request, id_, clip)
    return clip_info(trainings_of(request).mark(training, found.id, index_of(request, film), marks))


@router.post("/jobs/{id_}/corrections", responses={403: {"model": Problem}})
def post_correction(request: Request, id_: str, correction: Correction) -> Saved:
    """Save what a person says about an answer, in the format of own data."""
    jobs, folder = jobs_of(request), request.app.state.corrections
    if folder is None:
        raise HTTPException(403, "start the studio with --corrections DIR to save corrections")
    job = jobs.done(id_)
    try:
        film = film_of_job(job) if job.upload.is_file() else None
        marked = film is not None and bool(correction.segments or correction.drawn or correction.relations)
        index = index_of(request, film) if film is not None and marked else None
        video = None if film is None else film.path
        saved = save_correction(folder, jobs.prediction(job), jobs.models[job.model], correction, video, index)
    except UserError as error:
        raise HTTPException(422, replace_path(str(error), folder, "the folder of corrections")) from error
    job.target = "" if correction.segments else correction.action
    return saved


@router.get("/trainings/{id_}/own-data", responses={200: {"content": {"application/json": {}}}})
def get_own_data(request: Request, id_: str) -> Response:
    """Return the marked clips as own data, ``whyact.json``, which names their films."""
    path = trainings_of(request).get(id_).folder / FILE
    if not path.is_file():
        raise HTTPException(404, "no clip is marked yet")
    headers = {"content-disposition": f'attachment; filename="{FILE}"'}
    return Response(path.read_bytes(), media_type="application/json", headers=headers)
