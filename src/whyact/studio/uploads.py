"""A video on its way in: straight to its file, never more of it than is allowed."""

from __future__ import annotations

import hashlib
from pathlib import Path

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
        except BaseException as error:  # a full disk too: what never starts must not stand in the queue
            jobs.remove(job)
            if isinstance(error, Busy):
                raise _full() from error
            raise
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
    check_size(request, jobs.limits.size)
    job = open_job(jobs, name, model)
    try:
        job.size, job.content = await write_body(request, job.upload, jobs.limits.size, job.name)
    except BaseException:
        jobs.remove(job)
        raise
    submit(jobs, job, against)
    return job


def check_size(request: Request, most: int) -> None:
    """Refuse a body whose length is declared and too large.

    Raises:
        HTTPException: Then.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most:
        raise _too_large(most)


async def write_body(request: Request, path: Path, most: int, name: str) -> tuple[int, str]:
    """Write the body of a request to a new file; return its size and its SHA-256.

    Raises:
        HTTPException: When it is larger than ``most`` bytes, or empty.
        ClientDisconnect: When the sender goes away.
    """
    declared = request.headers.get("content-length", "")
    size, digest = 0, hashlib.sha256()
    with open(path, "xb") as stream:
        async for chunk in request.stream():
            size += len(chunk)
            if size > most:
                raise _too_large(most)
            await run_in_threadpool(stream.write, chunk)
            digest.update(chunk)
    if not size:
        raise HTTPException(422, f"{name}: found an empty file; expected a video file")
    if declared.isdecimal() and size < int(declared):
        raise ClientDisconnect
    return size, digest.hexdigest()


def _too_large(most: int) -> HTTPException:
    return HTTPException(413, f"The file is larger than {most / 2**20:g} MB, the most that is taken here.")
