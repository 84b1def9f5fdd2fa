"""Routes of jobs: list, look, watch, cancel, try again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query
from fastapi.responses import Response, StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event

from deployments.errors import NotFound, Unavailable
from serve_app.api.answers import PREFIX, Answer, Links, LinksDep, job_href, job_view
from serve_app.api.deps import CallerDep, CurrentUser, IdempotencyKey, ServicesDep
from serve_app.api.events import STREAM_HEADERS
from serve_app.api.history import Cursor
from serve_app.api.idempotency import IdempotentRoute
from serve_app.api.problems import responses
from serve_app.services.accounts.users import Caller
from serve_app.services.container import Services
from serve_app.services.jobs.results import Job, JobPage
from serve_app.store.queue.jobs import JobStatus

log = structlog.get_logger(__name__)

_EVENTS: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}, "description": "`job` events"}}

JobStatusFilter = Annotated[JobStatus | None, Query(description="only jobs of this status")]
KindFilter = Annotated[str | None, Query(max_length=40, description="only jobs of this kind", examples=["tags"])]
AlbumFilter = Annotated[str | None, Query(max_length=512, description="only jobs of this album")]
Limit = Annotated[int, Query(ge=1, le=500)]

router = APIRouter(prefix=f"{PREFIX}/jobs", tags=["jobs"], route_class=IdempotentRoute)


@router.get("", response_model=JobPage, responses=responses(404, 422))
async def list_jobs(
    user: CurrentUser,
    services: ServicesDep,
    links: LinksDep,
    status: JobStatusFilter = None,
    kind: KindFilter = None,
    album_id: AlbumFilter = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List your jobs, the newest first, those that ended included for as long as they are kept."""
    page = await services.jobs.load_page(user, limit, cursor, status=status, kind=kind, album=album_id)
    return Answer(page, links)


@router.get("/{job_id}", response_model=Job, responses=responses(404))
async def get_job(job_id: str, user: CurrentUser, services: ServicesDep, links: LinksDep) -> Job:
    """Describe how far a job is, and its result or its problem when it ended."""
    return job_view(await services.jobs.get(user, job_id), links)


@router.get(
    "/{job_id}/events",
    response_class=StreamingResponse,  # FastAPI takes functions with `EventSourceResponse` here for generators
    responses=_EVENTS | responses(404),
)
async def watch_job(
    job_id: str, user: CurrentUser, caller: CallerDep, services: ServicesDep, links: LinksDep
) -> EventSourceResponse:
    """Stream the job as server-sent events, one on each change, until it ends or the key is void."""
    await services.jobs.get(user, job_id)  # 404 before the stream begins
    return EventSourceResponse(_events(services, user, caller, job_id, links), headers=STREAM_HEADERS)


async def _events(services: Services, user: str, caller: Caller, job_id: str, links: Links) -> AsyncIterator[bytes]:
    quiet_s = services.settings.jobs.keep_alive_s
    try:
        async for job in services.jobs.watch(user, job_id, quiet_s):
            if not await services.users.still_holds_key(caller):
                return
            if job is None:
                yield KEEPALIVE_COMMENT
            else:
                yield format_sse_event(event="job", data_str=job_view(job, links).model_dump_json())
    except (NotFound, Unavailable) as error:
        # The status went out long ago; who asks again learns that the job was deleted, or that the database is away.
        log.warning("event stream ended early", reason=error.message)


@router.post("/{job_id}/retry", status_code=201, response_model=Job, responses=responses(404, 409, 429))
async def retry_job(
    job_id: str, user: CurrentUser, services: ServicesDep, links: LinksDep, idempotency_key: IdempotencyKey = None
) -> Response:
    """Start the work of a job that failed or was cancelled anew, as a job of its own."""
    job = await services.jobs.retry(user, job_id)
    return Answer(job_view(job, links), links, 201, {"Location": job_href(job.id)})


@router.delete("/{job_id}", response_model=Job, responses=responses(404))
async def cancel_job(job_id: str, user: CurrentUser, services: ServicesDep, links: LinksDep) -> Job:
    """Ask a job to stop. One that waits is cancelled at once, one that runs within a step of its work."""
    return job_view(await services.jobs.cancel(user, job_id), links)
