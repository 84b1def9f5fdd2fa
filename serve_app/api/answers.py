"""Answers of routes: URLs for what results name, and jobs with their result when it comes in time, else 202."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated, Any

import structlog
from fastapi import Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from deployments.errors import DarkroomError, JobCancelled
from serve_app.api.context import request_id
from serve_app.api.deps import SettingsDep, WaitPreference
from serve_app.api.problems import problem_response
from serve_app.services.albums.results import ResultPages
from serve_app.services.completion import RESULTS
from serve_app.services.container import Services
from serve_app.services.jobs.results import Job, JobResult
from serve_app.services.jobs.service import QueuedJob
from serve_app.services.links import PREFIX as PREFIX
from serve_app.services.links import ServerLinks

log = structlog.get_logger(__name__)

LATER: dict[int | str, dict[str, Any]] = {202: {"model": Job, "description": "Still at work; see `Location`"}}
"""OpenAPI entry of routes that answer with a job."""


def job_href(job_id: str) -> str:
    """URL of a job, relative to the server."""
    return ServerLinks("").job(job_id)


class Links(ServerLinks):
    """URLs of this server, on the setting `public_url` or the base of the request: the context of answers."""

    def __init__(self, request: Request, settings: SettingsDep) -> None:
        super().__init__(settings.public_url or str(request.base_url))


LinksDep = Annotated[Links, Depends()]


class Answer(JSONResponse):
    """A model as an answer, with the URLs of what it names."""

    def __init__(
        self, model: BaseModel, links: Links, status_code: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(model.model_dump(mode="json", context=links), status_code, headers)
        self._model = model

    def without_urls(self) -> bytes:
        """The body with keys and ids in place of URLs, to be read back by its model."""
        return bytes(self.render(self._model.model_dump(mode="json")))


def read_result(job: QueuedJob) -> JobResult | None:
    """Read the stored result of a job; None: there is none, or it is not of the class of its kind."""
    kind = RESULTS.get(job.kind)
    if kind is None or job.result is None:
        return None
    try:
        return (ResultPages if "pages" in job.result else kind).model_validate(job.result)
    except ValidationError:  # a row of another version: still to be had, as it was stored
        log.warning("stored result does not fit", kind=job.kind, job_id=job.id)
        return None


def job_view(job: QueuedJob, links: Links) -> Job:
    """Describe the job as `GET /jobs/{id}` does, its result as its route answers it."""
    view = Job.of(job)
    if (result := read_result(job)) is not None:
        view.result = result.model_dump(mode="json", context=links)
    return view


async def wait_while_connected(
    request: Request, services: Services, user: str, job_id: str, wait_s: float
) -> QueuedJob:
    """Wait for the end of a job. -> the job when it has ended, or as it is after `wait_s` seconds.

    The job is cancelled when the client hangs up first, or the wait breaks off otherwise. Raises `ClientDisconnect`.
    """
    waiting = asyncio.create_task(services.jobs.wait(user, job_id, wait_s))
    gone = asyncio.create_task(_disconnected(request))
    job: QueuedJob | None = None
    try:
        await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            raise ClientDisconnect
        job = await waiting
        return job
    finally:
        for task in (waiting, gone):
            task.cancel()
        await asyncio.gather(waiting, gone, return_exceptions=True)
        if job is None:
            with suppress(DarkroomError):  # gone already, or the database is: what went wrong before counts
                await asyncio.shield(services.jobs.cancel(user, job_id))


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def answer_with_job(
    services: Services,
    user: str,
    job_id: str,
    wait_preference: WaitPreference,
    links: Links,
    status: int = 200,
    cancel_on_disconnect: Request | None = None,
) -> Response:
    """Wait for the job within the client's wait preference, and answer with its result, its problem or its state.

    `cancel_on_disconnect`: the request whose client must stay for the job to go on.
    """
    if cancel_on_disconnect is None or wait_preference.wait_s == 0:
        job = await services.jobs.wait(user, job_id, wait_preference.wait_s)
    else:
        job = await wait_while_connected(cancel_on_disconnect, services, user, job_id, wait_preference.wait_s)
    if job.status == "succeeded":
        result = read_result(job)
        return JSONResponse(job.result, status) if result is None else Answer(result, links, status)
    if job.status == "failed" and job.problem:
        return problem_response(job.problem | {"instance": f"urn:request:{request_id()}"})
    if job.status == "cancelled":
        raise JobCancelled("The job was cancelled before it ended.", extra={"job": job_href(job.id)})
    headers = {"Location": job_href(job.id), "Retry-After": "1"}
    return Answer(job_view(job, links), links, 202, headers)
