"""The studio as an ASGI application: pages for people, an interface with an OpenAPI description for machines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.requests import ClientDisconnect

from whyact.errors import UserError
from whyact.prediction import Prediction
from whyact.studio import api, film_api, pages, train_api
from whyact.studio.comparisons import Comparisons
from whyact.studio.films import Films
from whyact.studio.jobs import Jobs, Unknown
from whyact.studio.safety import Guard
from whyact.studio.trainings import Trainings
from whyact.studio.workers import Refused, WorkerLost


def create_app(
    jobs: Jobs,
    trainings: Trainings | None = None,
    *,
    token: str = "",
    hosts: tuple[str, ...] = (),
    corrections: Path | None = None,
) -> FastAPI:
    """Return the application; it closes ``jobs`` and ``trainings`` when it ends.

    Args:
        jobs: What answers.
        trainings: What teaches; by default models are kept as long as the studio runs.
        token: What callers must show; empty for none.
        hosts: Further names of this machine.
        corrections: Where corrections are saved; without it there is nothing to correct.
    """

    teaching = trainings or Trainings(jobs.models, jobs.limits)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        jobs.warm()
        yield
        comparisons.close()
        jobs.close()
        teaching.close()
        films.close()

    app = FastAPI(
        title="whyact studio",
        version=version("whyact"),
        description="Which action a video shows, the evidence for it, and what the answer is without that evidence.",
        docs_url=None,  # the usual pages load their script from elsewhere
        redoc_url=None,
        lifespan=life,
    )
    app.state.jobs, app.state.trainings, app.state.corrections = jobs, teaching, corrections
    app.state.films = films = Films(jobs.limits)
    app.state.comparisons = comparisons = Comparisons(jobs, teaching)
    app.include_router(film_api.router)
    app.include_router(api.router)
    app.include_router(train_api.router)
    app.include_router(pages.router)
    app.add_middleware(Guard, token=token, hosts=hosts)
    for kind, status in ((Unknown, 404), (Refused, 422), (UserError, 422), (WorkerLost, 500)):
        app.add_exception_handler(kind, _respond(status))
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(ClientDisconnect, lambda *_: PlainTextResponse("", 400))
    app.add_exception_handler(Exception, lambda *_: JSONResponse({"detail": "The studio failed on this."}, 500))
    described = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _, parts = msgspec.json.schema_components([list[Prediction]], ref_template="#/components/schemas/{name}")
            described().setdefault("components", {}).setdefault("schemas", {}).update(parts)
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    return app


def _malformed(_: Request, error: Any) -> JSONResponse:
    """Say where a body is wrong, in one line, without sending back what was in it."""
    said = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:5])
    return JSONResponse({"detail": said}, 422)


def _respond(status: int) -> Callable[[Request, Exception], JSONResponse]:
    return lambda _, error: JSONResponse({"detail": str(error)}, status)
