"""Kinds of jobs: their handlers and result classes, and the completion of a job."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from serve_app.services.accounts.history import GenerationResult, record_success
from serve_app.services.albums.items import DEFAULTS, FOLLOW_UPS, TOLD_FOLLOW_UPS, analysis_key
from serve_app.services.albums.results import ANALYSIS_RESULTS, AnalysisResult, DuplicatesResolved, EmbeddingsResult
from serve_app.services.edits.results import AvatarResult, SegmentationResult, StyleResult
from serve_app.services.jobs.progress import Progress
from serve_app.services.jobs.results import JobLink, JobResult
from serve_app.store.queue import claims, jobs
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories import albums

JobHandler = Callable[[QueuedJob, Progress], Coroutine[Any, Any, JobResult | GenerationResult]]

RESULTS: Mapping[str, type[JobResult]] = {
    "embeddings": EmbeddingsResult,
    **ANALYSIS_RESULTS,
    "resolve_duplicates": DuplicatesResolved,
    "style": StyleResult,
    "segmentation": SegmentationResult,
    "avatar": AvatarResult,
}
"""Kind of job -> the class of its result. Those of `sdapi` have a wire format of their own."""


async def finish(
    session: AsyncSession, job: QueuedJob, result: JobResult | GenerationResult, max_attempts: int
) -> None:
    """End a job with what its handler returned. Raises `LeaseLost`, which rolls everything back.

    The album's lock comes before the job's, as in the deletion of an album, so that the two cannot wait for each other.
    Raises `NotFound` when the album is gone.
    """
    if job.album_id is not None:
        await albums.lock(session, job.album_id)
    answer: JobResult | dict[str, Any]
    if isinstance(result, GenerationResult):
        await record_success(session, result)
        answer = result.answer
    elif isinstance(result, EmbeddingsResult):
        started = await _start_follow_ups(session, job, max_attempts)
        links = [JobLink(id=one.id, kind=one.kind, href=one.id) for one in started if one.kind in TOLD_FOLLOW_UPS]
        answer = result.model_copy(update={"jobs": links})
    elif isinstance(result, AnalysisResult) and not job.payload.get("detail"):
        answer = result.without_details()
    else:
        answer = result
    await claims.complete(session, job, answer if isinstance(answer, dict) else answer.model_dump(mode="json"))


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
            is_follow_up=True,
            dedupe_key=analysis_key(album.id, kind, DEFAULTS[kind], album.version),
        )
        for kind in FOLLOW_UPS
    ]
