"""A video on its way in: straight to its file, never more of it than is allowed."""

from __future__ import annotations

import hashlib

from fastapi import HTTPException, Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from whyact.studio.jobs import Busy, Job, Jobs, Unknown

BODY = {
    "requestBody": {
        "required": True,
        "description": "The bytes of the video file.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def open_job(jobs: Jobs, name: str, model: str, demo: dict[str, object] | None = None) -> Job:
    """Make a job, by default for the first model.

    Raises:
        HTTPException: When the model is unknown or too many jobs wait.
    """
    try:
        return jobs.open(name, model or next(iter(jobs.models), ""), demo)
    except Unknown as error:
        raise HTTPException(404, str(error)) from error
    except Busy as error:
        raise _full() from error


def check_models(jobs: Jobs, model: str, against: str) -> None:
    """Refuse a second model that is none, or the first again, before a video is sent in vain.

    Raises:
        HTTPException: Then.
    """
    if against and against not in jobs.models:
        raise HTTPException(404, f"no model {against!r}; there are {', '.join(jobs.models)}")
    if against and against == (model or next(iter(jobs.models), "")):
        raise HTTPException(422, f"against: found {against!r} twice; expected another model than the first")


def submit(jobs: Jobs, job: Job, against: str) -> None:
    """Queue a job, and behind it one that asks a second model about the same video, if one is named.

    Raises:
        HTTPException: When too many jobs wait; the first is removed then.
    """
    second = None
    if against:
        try:
            second = jobs.add_second(job, against)
        except Busy as error:
            jobs.remove(job)
            raise _full() from error
    jobs.submit(job)
    if second is not None:
        jobs.submit(second)


def _full() -> HTTPException:
    return HTTPException(503, "Too many videos wait already; try again soon.", {"Retry-After": "10"})


async def receive(request: Request, jobs: Jobs, name: str, model: str, against: str = "") -> Job:
    """Write the body of a request to a new job's file, and queue the job when it is complete.

    Raises:
        HTTPException: When it is too large or empty, the model is unknown, or too many jobs wait.
        ClientDisconnect: When the sender goes away; nothing is left then.
    """
    check_models(jobs, model, against)
    most = jobs.limits.size
    too_large = HTTPException(413, f"The file is larger than {most / 2**20:g} MB, the most that is taken here.")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most:
        raise too_large
    job = open_job(jobs, name, model)
    try:
        size, digest = 0, hashlib.sha256()
        with open(job.upload, "xb") as stream:
            async for chunk in request.stream():
                size += len(chunk)
                if size > most:
                    raise too_large
                await run_in_threadpool(stream.write, chunk)
                digest.update(chunk)
        if not size:
            raise HTTPException(422, f"{job.name}: found an empty file; expected a video file")
        if declared.isdecimal() and size < int(declared):
            raise ClientDisconnect
    except BaseException:
        jobs.remove(job)
        raise
    job.content = digest.hexdigest()
    submit(jobs, job, against)
    return job
