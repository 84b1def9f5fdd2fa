"""Durable jobs, the workers' side: claim, renew, end.

A claim is a lease: its holder renews it while it works (`heartbeat`), and loses the job when it does not. The attempt
number is the fence: whatever a worker writes counts only while the job is running on the attempt that it claimed, so a
worker that was thought dead and comes back can spoil nothing. `complete` belongs into the same transaction as the
results: then both are there once or not at all.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Update, case, false, func, literal, select, text, update
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from deployments.errors import Conflict
from serve_app.store.arrays import any_text
from serve_app.store.models import JobRow
from serve_app.store.queue.jobs import RESUMABLE_KINDS, JobStatus, QueuedJob, change

Pulse = Literal["ok", "cancel", "lost", "interrupt", "skip"]
LOST_PROBLEM = {
    "type": "/problems/internal-error",
    "title": "Internal error",
    "status": 500,
    "detail": "The job was given up: every process that worked on it died or stopped answering",
}

_NEXT = text("""
    WITH turns AS (
        SELECT user_id, (SELECT max(started_at) FROM jobs AS past WHERE past.user_id = waiting.user_id) AS last_turn
        FROM (
            SELECT DISTINCT user_id FROM jobs
            WHERE status = 'queued' AND run_after <= clock_timestamp() AND kind = ANY(CAST(:kinds AS text[]))
        ) AS waiting
        WHERE CAST(:slots AS integer) IS NULL OR CAST(:slots AS integer) > (
            SELECT count(*) FROM jobs AS held
            WHERE held.status = 'running' AND held.worker = :worker AND held.user_id = waiting.user_id
            AND held.kind = ANY(CAST(:kinds AS text[]))
        )
    )
    SELECT id, album_id FROM jobs AS job JOIN turns USING (user_id)
    WHERE status = 'queued' AND run_after <= clock_timestamp() AND kind = ANY(CAST(:kinds AS text[]))
    AND NOT EXISTS (
        SELECT FROM jobs AS busy
        WHERE busy.status = 'running' AND busy.album_id = job.album_id AND busy.kind = job.kind
    )
    AND NOT EXISTS (
        SELECT FROM jobs AS reading
        WHERE reading.album_id = job.album_id AND reading.kind = 'embeddings' AND job.kind <> 'embeddings'
        AND reading.status IN ('queued', 'running') AND (reading.created_at, reading.id) < (job.created_at, job.id)
    )
    ORDER BY last_turn NULLS FIRST, created_at - priority * make_interval(secs => :head_start_s), id
    LIMIT 1
    FOR UPDATE OF job SKIP LOCKED
""")
"""Query for the next job. Users take turns, the one who has waited longest for a start first; a user who holds `slots`
of this worker's already has none. Among one user's jobs the oldest comes first, where each step of priority counts as
`head_start_s` seconds of age. An analysis waits for images that were posted to its album before it was."""


_DUE = text("""
    SELECT extract(epoch FROM min(due) - clock_timestamp()) FROM (
        SELECT min(run_after) AS due FROM jobs
        WHERE status = 'queued' AND kind = ANY(CAST(:kinds AS text[]))
        AND (CAST(:is_now_too AS boolean) OR run_after > clock_timestamp())
        UNION ALL SELECT min(lease_until) FROM jobs WHERE status = 'running'
    ) AS times
""")


class LeaseLost(Conflict):
    """Another worker has the job, or it has ended: this worker's writes no longer count."""


async def claim(
    session: AsyncSession,
    *,
    worker: str,
    kinds: Sequence[str],
    lease_s: float,
    slots_per_user: int | None = None,
    head_start_s: float = 120.0,
    requeues: bool = True,
) -> QueuedJob | None:
    """Claim the next waiting job of these kinds for this worker; None when there is none.

    `slots_per_user`: jobs of these kinds that one user may have running on this worker (None: any number).
    `head_start_s`: seconds of age that a step of priority is worth.
    `requeues`: whether jobs of other workers whose lease has expired are requeued first. Two jobs of one kind never run
    on one album at once. Commit before working on it.
    """
    if requeues:
        await requeue_expired(session)
    while True:
        given = {"kinds": list(kinds), "worker": worker, "slots": slots_per_user, "head_start_s": head_start_s}
        found = (await session.execute(_NEXT, given)).one_or_none()
        if found is None:
            return None
        job_id, album_id = found
        start = (
            update(JobRow)
            .where(JobRow.id == job_id)
            .values(
                status="running",
                attempt=JobRow.attempt + 1,
                worker=worker,
                lease_until=_after(lease_s),
                started_at=func.clock_timestamp(),
                progress=case((JobRow.kind.in_(RESUMABLE_KINDS), JobRow.progress), else_=0.0),
                eta_s=None,
                stop_requested=None,
            )
        )
        if album_id is None:
            return (await change(session, start))[0]
        try:
            async with session.begin_nested():
                return (await change(session, start))[0]
        except IntegrityError as error:
            if "jobs_one_running_key" not in str(error.orig):
                raise
            # Another worker has just started the same kind on this album; the next look sees it.


async def seconds_until_due(session: AsyncSession, kinds: Sequence[str], *, is_now_too: bool = False) -> float | None:
    """Seconds until time alone makes a job claimable: one of these kinds that was put off, or any whose worker may have
    died. None: there is none. `is_now_too`: those that are due already count as well, claimable or not."""
    due = await session.scalar(_DUE, {"kinds": list(kinds), "is_now_too": is_now_too})
    return None if due is None else float(due)


async def heartbeat(
    session: AsyncSession, job: QueuedJob, *, lease_s: float, progress: float | None = None, eta_s: float | None = None
) -> Pulse:
    """Renew the lease, and store the progress (0 to 1).

    A resumable job that has got on since it was claimed has the failures and the waiting before that forgiven.
    `cancel`: the client has cancelled the job; stop, and call `acknowledge_cancel`. `lost`: stop, and write nothing.
    `interrupt`: end with what there is. `skip`: leave out what is being worked on; returned once for each request.
    """
    values: dict[str, Any] = {"lease_until": _after(lease_s)}
    if progress is None:
        renewing = _held(job).values(values).returning(JobRow.cancel_requested, JobRow.stop_requested)
        renewed = (await session.execute(renewing.execution_options(synchronize_session=False))).one_or_none()
        held, cancel, stop = renewed is not None, bool(renewed and renewed[0]), renewed[1] if renewed else None
    else:
        share = min(1.0, max(0.0, progress))
        got_on = (JobRow.progress < share) & JobRow.kind.in_(RESUMABLE_KINDS)
        values |= {"progress": share, "eta_s": eta_s, "failures": case((got_on, 0), else_=JobRow.failures)}
        values |= _postponed(case((got_on, 0), else_=JobRow.postponements), case((~got_on, JobRow.postponed_since)))
        changed = await change(session, _held(job).values(values))
        held = bool(changed)
        cancel, stop = (changed[0].cancel_requested, changed[0].stop_requested) if changed else (False, None)
    if not held:
        return "lost"
    if cancel:
        return "cancel"
    if stop == "skip":
        await session.execute(_held(job).values(stop_requested=None))
    return stop or "ok"  # type: ignore[return-value]  # the table allows only these


async def complete(session: AsyncSession, job: QueuedJob, result: Mapping[str, Any]) -> None:
    """End the job with its result.

    Raises `LeaseLost`, which must roll back what the worker wrote in this transaction.
    """
    await _record_end(session, job, "succeeded", result=dict(result), problem=None, progress=1.0, eta_s=0.0)


async def fail(
    session: AsyncSession, job: QueuedJob, problem: Mapping[str, Any], *, retry_in_s: float | None = None
) -> JobStatus:
    """Count a failure: queue the job again if `retry_in_s` is given and it has failed fewer than `max_attempts` times,
    else fail it. -> its new status

    A job whose cancellation was requested is cancelled instead. Raises `LeaseLost`.
    """
    failures = JobRow.failures + 1
    again = (failures < JobRow.max_attempts) if retry_in_s is not None else false()
    status = case((JobRow.cancel_requested, "cancelled"), (again, "queued"), else_="failed")
    values = {"problem": dict(problem), "run_after": _after(retry_in_s or 0.0), "failures": failures}
    left = await _record_end(session, job, status, **values, **_postponed(0, None))
    return left.status


async def postpone(
    session: AsyncSession, job: QueuedJob, problem: Mapping[str, Any], *, pause_s: float, limit_s: float
) -> JobStatus:
    """Queue the job again in `pause_s`, for `problem` is that what it needs is away or full, which is no failure of
    its own; fail it when it has been put off for `limit_s`. -> its new status

    A job whose cancellation was requested is cancelled instead. Raises `LeaseLost`.
    """
    since = func.coalesce(JobRow.postponed_since, func.clock_timestamp())
    again = since > _after(-limit_s)
    status = case((JobRow.cancel_requested, "cancelled"), (again, "queued"), else_="failed")
    values = {"problem": dict(problem), "run_after": _after(pause_s)}
    left = await _record_end(session, job, status, **values, **_postponed(JobRow.postponements + 1, since))
    return left.status


async def acknowledge_cancel(session: AsyncSession, job: QueuedJob) -> None:
    """End a job whose cancellation was requested as cancelled. Raises `LeaseLost`."""
    await _record_end(session, job, "cancelled")


async def hand_back(session: AsyncSession, job: QueuedJob) -> None:
    """Queue the job of a worker that shuts down again, which is no failure. Raises `LeaseLost`."""
    await _record_end(session, job, case((JobRow.cancel_requested, "cancelled"), else_="queued"))


async def requeue_expired(session: AsyncSession) -> list[QueuedJob]:
    """Queue jobs with an expired lease again; those that have failed `max_attempts` times by this fail, where requested
    they are cancelled.

    A lease that ran out while the database was away says nothing about the worker, and is no failure.
    """
    expired = select(JobRow.id).where(JobRow.status == "running", JobRow.lease_until < func.clock_timestamp())
    ids = list(await session.scalars(expired.with_for_update(skip_locked=True)))
    if not ids:
        return []
    outage = JobRow.lease_until < func.pg_postmaster_start_time()
    failures = JobRow.failures + case((outage, 0), else_=1)
    is_last = failures >= JobRow.max_attempts
    status = case((JobRow.cancel_requested, "cancelled"), (is_last, "failed"), else_="queued")
    problem = case((is_last & ~JobRow.cancel_requested, literal(LOST_PROBLEM, JSON)), else_=JobRow.problem)
    return await change(
        session,
        update(JobRow).where(JobRow.id == any_text(ids)).values(**_left(status), problem=problem, failures=failures),
    )


def backoff_s(attempt: int, *, base_s: float = 2.0, cap_s: float = 300.0) -> float:
    """Seconds to wait after the given failure or postponement (1, 2, ...): exponential backoff with jitter.

    Half of it is random, so that jobs which failed together do not come back together.
    """
    longest = min(cap_s, base_s * 2.0 ** (min(attempt, 30) - 1))
    return longest * random.uniform(0.5, 1.0)


def _held(job: QueuedJob) -> Update:
    """Start an update that counts only while the worker that claimed `job` holds it."""
    return update(JobRow).where(JobRow.id == job.id, JobRow.attempt == job.attempt, JobRow.status == "running")


async def _record_end(
    session: AsyncSession, job: QueuedJob, status: str | ColumnElement[str], **values: Any
) -> QueuedJob:
    changed = await change(session, _held(job).values(**_left(status), **values))
    if not changed:
        raise LeaseLost("The job is no longer this worker's")
    return changed[0]


def _postponed(times: Any, since: Any) -> dict[str, Any]:
    return {"postponements": times, "postponed_since": since}


def _left(status: str | ColumnElement[str]) -> dict[str, Any]:
    """Values of a job that stops running."""
    is_queued = false() if isinstance(status, str) else status == "queued"
    return {
        "status": status,
        "lease_until": None,
        "worker": None,
        "finished_at": case((is_queued, None), else_=func.clock_timestamp()),
    }


def _after(seconds: float) -> ColumnElement[Any]:
    """Time in so many seconds by the database's clock, the only one that all workers share."""
    return func.clock_timestamp() + timedelta(seconds=seconds)
