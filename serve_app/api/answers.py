"""Answering with a job: its result when it ends in time, else 202 and where to look."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect

from deployments.errors import DarkroomError, JobCancelled
from serve_app.api.context import request_id
from serve_app.api.deps import WaitPreference
from serve_app.api.problems import problem_response
from serve_app.api.schemas.jobs import Job
from serve_app.services.container import Services
from serve_app.services.jobs.service import QueuedJob

PREFIX = "/api/v1"
LATER: dict[int | str, dict[str, Any]] = {202: {"model": Job, "description": "Still at work; see `Location`"}}
"""OpenAPI entry of routes that answer with a job."""


def job_view(job: QueuedJob) -> dict[str, Any]:
    """The job as `GET /jobs/{id}` shows it. What an attempt left that will be repeated is no news for the client."""
    view = Job.model_validate(job, from_attributes=True)
    if view.status != "failed":
        view.problem = None
    if job.is_finished:
        view.eta_s = 0.0 if view.status == "succeeded" else None
    return view.model_dump(mode="json")


def job_href(job_id: str) -> str:
    return f"{PREFIX}/jobs/{job_id}"


async def wait_while_connected(
    request: Request, services: Services, user: str, job_id: str, wait_s: float
) -> QueuedJob:
    """The job when it has ended, or as it is after so many seconds.

    When the client hangs up by then, or the wait breaks off otherwise, the job is cancelled: nobody would hear of it.
    Raises `ClientDisconnect`.
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
    status: int = 200,
    cancel_on_disconnect: Request | None = None,
) -> Response:
    """Wait for the job within the client's wait preference. A failed job answers with its problem.

    `cancel_on_disconnect`: the request whose client must stay for the job to go on.
    """
    if cancel_on_disconnect is None or wait_preference.wait_s == 0:
        job = await services.jobs.wait(user, job_id, wait_preference.wait_s)
    else:
        job = await wait_while_connected(cancel_on_disconnect, services, user, job_id, wait_preference.wait_s)
    if job.status == "succeeded":
        return JSONResponse(job.result, status_code=status)
    if job.status == "failed" and job.problem:
        return problem_response(job.problem | {"instance": f"urn:request:{request_id()}"})
    if job.status == "cancelled":
        raise JobCancelled("The job was cancelled before it ended.", extra={"job": job_href(job.id)})
    headers = {"Location": job_href(job.id), "Retry-After": "1"}
    return JSONResponse(job_view(job), status_code=202, headers=headers)
