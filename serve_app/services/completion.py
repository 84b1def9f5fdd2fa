"""Kinds of jobs: who runs them, and what their end leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from serve_app.services.accounts.history import GenerationResult, record_success
from serve_app.services.albums.embed import Embedded
from serve_app.services.albums.items import DEFAULTS, FOLLOW_UPS, analysis_key, without_details
from serve_app.services.jobs.progress import Progress
from serve_app.store.queue import claims, jobs
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories import albums

JobHandler = Callable[[QueuedJob, Progress], Coroutine[Any, Any, Any]]


async def finish(session: AsyncSession, job: QueuedJob, result: Any, max_attempts: int) -> None:
    """End a job with what its handler returned. Raises `LeaseLost`, which rolls everything back.

    The album's lock comes before the job's, as in the deletion of an album, so that the two cannot wait for each other.
    Raises `NotFound` when the album is gone.
    """
    if job.album_id is not None:
        await albums.lock(session, job.album_id)
    if isinstance(result, Embedded):
        started = await _start_follow_ups(session, job, max_attempts)
        links = [{"id": one.id, "kind": one.kind, "href": f"/api/v1/jobs/{one.id}"} for one in started]
        answer = {"album_id": result.album_id, "embedded": result.embedded, "failed": result.failed, "jobs": links}
    elif isinstance(result, GenerationResult):
        await record_success(session, result)
        answer = result.answer
    else:
        answer = result if job.payload.get("detail") else without_details(result)
    await claims.complete(session, job, answer)


async def _start_follow_ups(session: AsyncSession, job: QueuedJob, max_attempts: int) -> list[QueuedJob]:
    album = await albums.get(session, job.album_id or "")
    if album is None:
        return []
    return [
        await jobs.enqueue(
            session,
            user_id=job.user_id,
            kind=kind,
            album_id=album.id,
            payload={"parameters": DEFAULTS[kind], "detail": False},
            max_attempts=max_attempts,
            dedupe_key=analysis_key(album.id, kind, DEFAULTS[kind], album.version),
        )
        for kind in FOLLOW_UPS
    ]
