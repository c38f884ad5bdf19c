"""The interface to teach: clips are sent and named one by one, then a training is started, watched and stopped."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from starlette.concurrency import run_in_threadpool

from whyact.studio.clips import Clip, missing_for
from whyact.studio.forms import ClipInfo, ClipNames, Problem, Start, ThingInfo, TrainingInfo
from whyact.studio.jobs import Busy
from whyact.studio.trainings import Training, Trainings
from whyact.studio.uploads import BODY, check_size, write_body

router = APIRouter(prefix="/api/trainings", responses={404: {"model": Problem}, 422: {"model": Problem}})
_FileName = Annotated[str, Query(max_length=400, description="The file's name, shown beside its action.")]
_Label = Annotated[str, Query(max_length=200, description="What happens in the clip; it may be named later.")]
_Group = Annotated[str, Query(max_length=200, description="The film that the clip is cut from, where that is known.")]


def trainings_of(request: Request) -> Trainings:
    """Return the trainings of the studio that a request came to."""
    found: Trainings = request.app.state.trainings
    return found


def describe(training: Training) -> TrainingInfo:
    """Return what may be said about a training."""
    own = {name: getattr(training, name) for name in TrainingInfo.model_fields if name not in ("clips", "missing")}
    clips = [clip_info(clip) for clip in list(training.clips.values())]
    return TrainingInfo(**own, missing=missing_for(training.clips.values()), clips=clips)


def clip_info(clip: Clip) -> ClipInfo:
    """Return what may be said about a clip."""
    return ClipInfo(**{name: getattr(clip, name) for name in ClipInfo.model_fields})


@router.post("", status_code=201, responses={503: {"model": Problem}})
def post_training(request: Request) -> TrainingInfo:
    """Begin a training without clips."""
    try:
        return describe(trainings_of(request).open())
    except Busy as error:
        raise HTTPException(503, "Too many trainings are open already; end one of them.") from error


@router.get("/{id_}")
def get_training(request: Request, id_: str) -> TrainingInfo:
    """Say where a training stands."""
    return describe(trainings_of(request).get(id_))


@router.delete("/{id_}", status_code=204)
def delete_training(request: Request, id_: str) -> None:
    """Stop and forget a training; its clips are deleted unless a model was made of them."""
    trainings = trainings_of(request)
    trainings.remove(trainings.get(id_))


@router.post("/{id_}/clips", status_code=201, responses={413: {"model": Problem}}, openapi_extra=BODY)
async def post_clip(
    request: Request, id_: str, name: _FileName = "clip", label: _Label = "", group: _Group = ""
) -> ClipInfo:
    """Send a clip."""
    trainings = trainings_of(request)
    training = trainings.get(id_)
    most = min(trainings.limits.size, max(1, trainings.limits.clip_bytes - training.size))
    check_size(request, most)
    clip = trainings.place(training, name, label, group)
    path = training.folder / clip.file
    try:
        size, content = await write_body(request, path, most, clip.name)
        clip = replace(clip, size=size, content=content)
        await run_in_threadpool(trainings.add, training, clip)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return clip_info(clip)


@router.delete("/{id_}/clips/{clip}", status_code=204)
def delete_clip(request: Request, id_: str, clip: str) -> None:
    """Delete a clip."""
    trainings = trainings_of(request)
    trainings.drop(trainings.get(id_), clip)


@router.put("/{id_}/names")
def put_names(request: Request, id_: str, names: ClipNames) -> TrainingInfo:
    """Note the clips' actions."""
    trainings = trainings_of(request)
    training = trainings.get(id_)
    trainings.name_clips(training, names.labels)
    return describe(training)


@router.post("/{id_}/start", status_code=202)
def post_start(request: Request, id_: str, start: Start) -> TrainingInfo:
    """Train: refused at once where nothing could come of it."""
    trainings = trainings_of(request)
    training = trainings.get(id_)
    trainings.name_clips(training, start.labels)
    trainings.start(training, start.model, start.epochs, start.things)
    return describe(training)


@router.post("/{id_}/things", status_code=202)
def post_things(request: Request, id_: str, names: ClipNames) -> TrainingInfo:
    """Look at what the detector finds in the clips, before a training; the clips' actions are noted."""
    trainings = trainings_of(request)
    training = trainings.get(id_)
    trainings.name_clips(training, names.labels)
    trainings.look(training)
    return describe(training)


@router.get("/{id_}/things")
def get_things(request: Request, id_: str) -> list[ThingInfo]:
    """Return what was found."""
    return trainings_of(request).get(id_).found


@router.post("/{id_}/stop")
def post_stop(request: Request, id_: str) -> TrainingInfo:
    """Stop a training; its clips stay, so that it can be started again."""
    trainings = trainings_of(request)
    training = trainings.get(id_)
    trainings.stop(training)
    return describe(training)
