"""Durable jobs, the clients' side: enqueue, cancel, list. Workers' side: `claims`; waiting: `events`.

    queued ──claim──▶ running ──▶ succeeded | failed | cancelled
       ▲                 │
       └── retry, lost lease, hand-over, wait for capacity

Every function works in the caller's transaction, so a job becomes visible together with the rows that it is about, and
its listeners are notified when the transaction commits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Update, case, delete, func, null, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from deployments.errors import InvalidRequest, Overloaded
from serve_app.call_context import carried
from serve_app.store.arrays import any_text
from serve_app.store.ids import new_id
from serve_app.store.models import JobInputRow, JobRow
from serve_app.store.repositories import history
from serve_app.tracing import TRACEPARENT

JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]
StopRequest = Literal["interrupt", "skip"]
CHANNEL = "darkroom_jobs"
"""Channel of the notifications: `<status> <job id>`, or `asked <job id>` for the worker of a running job. Behind the
status, after a slash, is the lane whose workers may have something to claim, nothing where there is none: see
`_notice_of`. Without a slash, as older processes and deletions send it, it may be any."""
GENERATION_KINDS = frozenset({"txt2img", "img2img", "style", "avatar", "segmentation"})
"""Kinds of jobs that make images. They take long and a client waits for each, so they are a pool with worker slots and
places in the queue of its own, away from the analyses of albums."""
LANES = ("analyses", "generations")
"""Names of the two pools."""
RESUMABLE_KINDS = frozenset({"embeddings"})
"""Kinds of jobs that store what they have done as they go: another attempt goes on where the last one stopped."""
IS_UNFINISHED = text("status IN ('queued', 'running')")
"""Condition spelled as in the index of dedupe keys, so that PostgreSQL uses it."""
_FORGET = text("""
    WITH inputs AS (DELETE FROM job_inputs WHERE job_id = ANY(CAST(:ended AS text[])))
    DELETE FROM job_previews WHERE job_id = ANY(CAST(:ended AS text[]))
""")
_NOTIFY = text("SELECT pg_notify(:channel, notice) FROM unnest(CAST(:notices AS text[])) AS one (notice)")


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A job in any status."""

    id: str
    user_id: str
    kind: str
    album_id: str | None
    payload: dict[str, Any]
    priority: int
    status: JobStatus
    progress: float
    """0 to 1."""
    eta_s: float | None
    attempt: int
    """Number of claims."""
    max_attempts: int
    failures: int
    postponements: int
    postponed_since: datetime | None
    worker: str | None
    cancel_requested: bool
    stop_requested: StopRequest | None
    result: dict[str, Any] | None
    problem: dict[str, Any] | None
    """RFC 9457 members of what went wrong."""
    run_after: datetime
    created_at: datetime
    started_at: datetime | None
    """Start of the latest attempt."""
    finished_at: datetime | None
    request_id: str | None
    traceparent: str | None

    @property
    def is_finished(self) -> bool:
        """Whether the job has succeeded, failed or was cancelled."""
        return self.status not in ("queued", "running")


COLUMNS = (
    JobRow.id,
    JobRow.user_id,
    JobRow.kind,
    JobRow.album_id,
    JobRow.payload,
    JobRow.priority,
    JobRow.status,
    JobRow.progress,
    JobRow.eta_s,
    JobRow.attempt,
    JobRow.max_attempts,
    JobRow.failures,
    JobRow.postponements,
    JobRow.postponed_since,
    JobRow.worker,
    JobRow.cancel_requested,
    JobRow.stop_requested,
    JobRow.result,
    JobRow.problem,
    JobRow.run_after,
    JobRow.created_at,
    JobRow.started_at,
    JobRow.finished_at,
    JobRow.request_id,
    JobRow.traceparent,
)
"""Columns in the order of `QueuedJob`'s fields."""
_LIGHT = tuple(null() if column.key in {"payload", "result"} else column for column in COLUMNS)
"""The same without what weighs megabytes for a large album."""
_ID = re.compile(r"job_[0-9a-hjkmnp-tv-z]{26}")


def lane_of(kind: str) -> str:
    """The pool that jobs of this kind are run from."""
    return LANES[kind in GENERATION_KINDS]


async def enqueue(
    session: AsyncSession,
    *,
    user_id: str,
    kind: str,
    payload: Mapping[str, Any],
    max_attempts: int,
    album_id: str | None = None,
    dedupe_key: str | None = None,
    priority: int = 0,
    delay_s: float = 0.0,
    is_follow_up: bool = False,
    max_queued: int | None = None,
    max_queued_total: int | None = None,
) -> QueuedJob:
    """Add a job that runs once the transaction has committed, or return the user's unfinished one of that `dedupe_key`.

    A running job may have read what it works on before the caller's change: put what it depends on (the album's
    version) into the key. `max_queued`, `max_queued_total`: see `check_capacity`. `is_follow_up`: the server starts it
    by itself, so it takes none of the user's places. The job carries the running request's id and trace along.
    """
    context = carried()
    while True:
        if dedupe_key is not None and (existing := await _find_unfinished(session, user_id, dedupe_key)) is not None:
            return existing
        if max_queued is not None:
            await check_capacity(session, user_id, kind, max_queued, max_queued_total)
        statement = (
            insert(JobRow)
            .values(
                id=new_id("job"),
                user_id=user_id,
                kind=kind,
                album_id=album_id,
                payload=dict(payload),
                priority=priority,
                max_attempts=max_attempts,
                dedupe_key=dedupe_key,
                is_follow_up=is_follow_up,
                run_after=func.now() + timedelta(seconds=delay_s),
                request_id=context.get("request_id"),
                traceparent=context.get(TRACEPARENT),
            )
            .on_conflict_do_nothing(index_elements=[JobRow.user_id, JobRow.dedupe_key], index_where=IS_UNFINISHED)
            .returning(*COLUMNS)
        )
        made = (await session.execute(statement)).one_or_none()
        if made is not None:
            job = QueuedJob(*made)
            await publish(session, [job])
            return job
        # Another transaction made it between select and insert, and it may have finished since: look again.


async def check_capacity(
    session: AsyncSession, user_id: str, kind: str, max_queued: int, max_queued_total: int | None = None
) -> None:
    """Check that in the pool of `kind` the user has fewer than `max_queued` jobs waiting, and all users together fewer
    than `max_queued_total` (None: any number).

    Follow-up jobs are not counted. Raises `Overloaded` with the `quota`, its `limit` and `retry_after_s`.
    """
    waits = (JobRow.status == "queued", ~JobRow.is_follow_up, _is_in_pool_of(kind))
    counts = select(func.count().filter(JobRow.user_id == user_id), func.count()).where(*waits)
    own, total = (await session.execute(counts)).one()
    if own >= max_queued:
        hint = await _seconds_to_drain(session, kind, own, JobRow.user_id == user_id)
        extra = {"quota": "jobs.max_queued", "limit": max_queued, "retry_after_s": hint}
        raise Overloaded(f"You have {own} jobs waiting, and {max_queued} is a user's share of the queue.", extra=extra)
    if max_queued_total is not None and total >= max_queued_total:
        hint = await _seconds_to_drain(session, kind, total)
        extra = {"quota": "jobs.max_queued_total", "limit": max_queued_total, "retry_after_s": hint}
        raise Overloaded("The queue is full with the jobs of all users.", extra=extra)


def _is_in_pool_of(kind: str) -> ColumnElement[bool]:
    making = JobRow.kind.in_(sorted(GENERATION_KINDS))
    return making if kind in GENERATION_KINDS else ~making


async def _seconds_to_drain(session: AsyncSession, kind: str, waiting: int, *whose: ColumnElement[bool]) -> int:
    """Seconds until half of the jobs that wait have begun, going by those that ended in the last minutes."""
    window_s = 300.0
    recent = (JobRow.finished_at > func.now() - timedelta(seconds=window_s), _is_in_pool_of(kind), *whose)
    per_second = (await session.scalar(select(func.count()).where(*recent)) or 0) / window_s
    return min(60, max(5, round(waiting / 2 / per_second))) if per_second else 30


async def get(session: AsyncSession, job_id: str, *, user_id: str | None = None) -> QueuedJob | None:
    """Get a job; with `user_id` only if it is that user's."""
    statement = select(*COLUMNS).where(JobRow.id == job_id)
    if user_id is not None:
        statement = statement.where(JobRow.user_id == user_id)
    found = (await session.execute(statement)).one_or_none()
    return None if found is None else QueuedJob(*found)


async def load_for_album(session: AsyncSession, album_id: str, limit: int = 50) -> list[QueuedJob]:
    """Load the album's jobs, newest first, without payloads and results, which weigh megabytes for a large album."""
    statement = select(*_LIGHT).where(JobRow.album_id == album_id).order_by(JobRow.id.desc()).limit(limit)
    return [_light(row) for row in await session.execute(statement)]


async def load_page(
    session: AsyncSession,
    user_id: str,
    limit: int,
    cursor: str | None = None,
    *,
    status: JobStatus | None = None,
    kind: str | None = None,
    album_id: str | None = None,
) -> list[QueuedJob]:
    """Load the user's jobs, newest first, those after the id `cursor`, without payloads and results.

    Raises `InvalidRequest` for a cursor that is none.
    """
    statement = select(*_LIGHT).where(JobRow.user_id == user_id)
    if cursor is not None:
        if _ID.fullmatch(cursor) is None:
            raise InvalidRequest("The cursor is none that this server gave", extra={"parameter": "cursor"})
        statement = statement.where(JobRow.id < cursor)
    for column, wanted in ((JobRow.status, status), (JobRow.kind, kind), (JobRow.album_id, album_id)):
        if wanted is not None:
            statement = statement.where(column == wanted)
    return [_light(row) for row in await session.execute(statement.order_by(JobRow.id.desc()).limit(limit))]


async def load_several(session: AsyncSession, user_id: str, job_ids: Sequence[str]) -> list[QueuedJob]:
    """Load those of the user's jobs that there are, without payloads and results."""
    statement = select(*_LIGHT).where(JobRow.user_id == user_id, JobRow.id == any_text(job_ids))
    return [_light(row) for row in await session.execute(statement)]


async def count_by_status(session: AsyncSession) -> dict[tuple[str, JobStatus], int]:
    """Count unfinished jobs by kind and status, for metrics."""
    statement = (
        select(JobRow.kind, JobRow.status, func.count()).where(IS_UNFINISHED).group_by(JobRow.kind, JobRow.status)
    )
    return {(kind, status): count for kind, status, count in await session.execute(statement)}  # type: ignore[misc]


@dataclass(frozen=True, slots=True)
class LaneState:
    """How much there is to do in a lane: one of the two pools that jobs are run from."""

    queued: int = 0
    due: int = 0
    """Those of the queued that a worker may take now."""
    running: int = 0
    postponed: int = 0
    """Those of the queued that were put off because what they need is away or full."""
    oldest_s: float = 0.0
    """Seconds for which the longest waiting job has been due."""


async def load_lanes(session: AsyncSession) -> dict[str, LaneState]:
    """Measure the lanes `analyses` and `generations`."""
    lane = case((JobRow.kind.in_(sorted(GENERATION_KINDS)), "generations"), else_="analyses").label("lane")
    is_queued = JobRow.status == "queued"
    due = is_queued & (JobRow.run_after <= func.clock_timestamp())
    waited = func.extract("epoch", func.clock_timestamp() - func.min(JobRow.run_after).filter(due))
    statement = (
        select(
            lane,
            func.count().filter(is_queued),
            func.count().filter(due),
            func.count().filter(JobRow.status == "running"),
            func.count().filter(is_queued & JobRow.postponed_since.is_not(None)),
            func.coalesce(waited, 0),
        )
        .where(IS_UNFINISHED)
        .group_by(text("lane"))
    )
    found = {
        name: LaneState(queued, due, running, postponed, float(oldest_s))
        for name, queued, due, running, postponed, oldest_s in await session.execute(statement)
    }
    return {name: found.get(name, LaneState()) for name in LANES}


async def cancel(session: AsyncSession, user_id: str, job_id: str) -> QueuedJob | None:
    """Cancel a waiting job at once, or ask a running one to end; a finished one stays. None: not the user's job."""
    is_waiting = JobRow.status == "queued"
    asked = (
        update(JobRow)
        .where(JobRow.id == job_id, JobRow.user_id == user_id, IS_UNFINISHED)
        .values(
            cancel_requested=True,
            dedupe_key=None,  # the same work may be asked for anew
            status=case((is_waiting, "cancelled"), else_=JobRow.status),
            finished_at=case((is_waiting, func.clock_timestamp())),
        )
    )
    changed = await change(session, asked)
    await _notify_workers(session, changed)
    return changed[0] if changed else await get(session, job_id, user_id=user_id)


async def request_stop(
    session: AsyncSession, user_id: str, kinds: Sequence[str], what: StopRequest, *, job_id: str | None = None
) -> list[QueuedJob]:
    """Ask the user's running jobs of these kinds, or one of them, to end with what there is or to skip a part."""
    asked = (
        update(JobRow)
        .where(JobRow.user_id == user_id, JobRow.kind == any_text(kinds), JobRow.status == "running")
        .values(stop_requested=case((JobRow.stop_requested == "interrupt", "interrupt"), else_=what))
    )
    if job_id is not None:
        asked = asked.where(JobRow.id == job_id)
    changed = await change(session, asked)
    await _notify_workers(session, changed)
    return changed


async def load_unfinished(session: AsyncSession, user_id: str, kinds: Sequence[str]) -> list[QueuedJob]:
    """Load the user's waiting and running jobs of these kinds, oldest first."""
    statement = select(*COLUMNS).where(JobRow.user_id == user_id, JobRow.kind == any_text(kinds), IS_UNFINISHED)
    return [QueuedJob(*row) for row in await session.execute(statement.order_by(JobRow.id))]


async def find_by_task(session: AsyncSession, user_id: str, task_id: str) -> QueuedJob | None:
    """Find the user's newest job whose payload has this `task_id`, among the last hundred."""
    recent = select(JobRow.id).where(JobRow.user_id == user_id).order_by(JobRow.id.desc()).limit(100).subquery()
    statement = (
        select(*COLUMNS)
        .where(JobRow.id.in_(select(recent.c.id)), JobRow.payload["task_id"].astext == task_id)
        .order_by(JobRow.id.desc())
        .limit(1)
    )
    found = (await session.execute(statement)).one_or_none()
    return None if found is None else QueuedJob(*found)


async def add_inputs(session: AsyncSession, job_id: str, inputs: Mapping[str, bytes]) -> None:
    """Add the job's inputs, by name; they are deleted when it ends."""
    if inputs:
        rows = [{"job_id": job_id, "name": name, "data": data} for name, data in inputs.items()]
        await session.execute(insert(JobInputRow), rows)


async def load_inputs(session: AsyncSession, job_id: str) -> dict[str, bytes]:
    """Load the job's inputs, by name."""
    rows = await session.execute(select(JobInputRow.name, JobInputRow.data).where(JobInputRow.job_id == job_id))
    return {row.name: row.data for row in rows}


async def remove_finished(session: AsyncSession, older_than_s: float, limit: int = 1000) -> int:
    """Delete jobs that finished more than `older_than_s` seconds ago. -> how many"""
    old = select(JobRow.id).where(JobRow.finished_at < func.now() - timedelta(seconds=older_than_s)).limit(limit)
    ids = list(await session.scalars(old.with_for_update(skip_locked=True)))
    await session.execute(delete(JobRow).where(JobRow.id == any_text(ids)))
    return len(ids)


async def change(session: AsyncSession, statement: Update) -> list[QueuedJob]:
    """Run an update of jobs, end their inputs, previews and history rows with them, and notify listeners."""
    returning = statement.returning(*COLUMNS).execution_options(synchronize_session=False)
    changed = [QueuedJob(*row) for row in await session.execute(returning)]
    if ended := [job.id for job in changed if job.is_finished]:
        await session.execute(_FORGET, {"ended": ended})
    await history.end_with_jobs(session, [job.id for job in changed if job.status in ("failed", "cancelled")])
    await publish(session, changed)
    return changed


async def publish_gone(session: AsyncSession, job_ids: Sequence[str]) -> None:
    """Notify listeners and workers, when the transaction commits, that these jobs were deleted."""
    await _notify(session, [f"{word} {job_id}" for job_id in job_ids for word in ("cancelled", "asked")])


async def publish(session: AsyncSession, changed: Sequence[QueuedJob]) -> None:
    """Notify listeners, when the transaction commits, that these jobs changed."""
    await _notify(session, [_notice_of(job) for job in changed])


def _notice_of(job: QueuedJob) -> str:
    """The notice of a job. A job that ends makes way for others of its album; without one it stood in nobody's way."""
    if job.status == "running":
        return f"running {job.id}"
    has_work = job.status == "queued" or job.album_id is not None
    return f"{job.status}/{lane_of(job.kind) if has_work else ''} {job.id}"


async def call_worker(session: AsyncSession, job_id: str) -> None:
    """Notify the job's worker, when the transaction commits, that something is asked of it."""
    await _notify(session, [f"asked {job_id}"])


async def _notify_workers(session: AsyncSession, asked: Sequence[QueuedJob]) -> None:
    """Notify the workers of running jobs of a request, such as to stop, so that they read it at once."""
    await _notify(session, [f"asked {job.id}" for job in asked if job.status == "running"])


async def _notify(session: AsyncSession, notices: list[str]) -> None:
    if notices:
        await session.execute(_NOTIFY, {"channel": CHANNEL, "notices": notices})


def _light(row: Any) -> QueuedJob:
    return replace(QueuedJob(*row), payload={})


async def _find_unfinished(session: AsyncSession, user_id: str, dedupe_key: str) -> QueuedJob | None:
    statement = select(*COLUMNS).where(JobRow.user_id == user_id, JobRow.dedupe_key == dedupe_key, IS_UNFINISHED)
    found = (await session.execute(statement)).one_or_none()
    return None if found is None else QueuedJob(*found)
