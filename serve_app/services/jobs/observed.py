"""What is seen of jobs from outside: metrics of the queue and of each attempt, and its place in a trace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from deployments.errors import Unavailable
from serve_app import tracing
from serve_app.store.queue.jobs import LaneState, QueuedJob, load_lanes
from serve_app.store.session import Database

if TYPE_CHECKING:
    from serve_app.telemetry import Metrics

_COUNT_S = 10.0
"""Seconds between two counts of the queue, which Ray takes over as often."""


async def count_queue(database: Database, metrics: Metrics, note: Callable[[Mapping[str, LaneState]], None]) -> None:
    """Tell `note` and the metrics every so often how much is waiting: every worker tells the same, so that one is
    enough. While the database is away, `note` is told of no lane."""
    while True:
        try:
            async with database.transaction() as session:
                lanes = await load_lanes(session)
        except Unavailable:
            note({})
        else:
            note(lanes)
            for name, lane in lanes.items():
                metrics.queue_jobs.labels(name, "queued").set(lane.queued)
                metrics.queue_jobs.labels(name, "running").set(lane.running)
                metrics.queue_postponed.labels(name).set(lane.postponed)
                metrics.queue_oldest_seconds.labels(name).set(lane.oldest_s)
        await asyncio.sleep(_COUNT_S)


def note_claim(metrics: Metrics, job: QueuedJob) -> None:
    """Count an attempt, and how long a new job was due before it."""
    metrics.job_attempts.labels(job.kind).inc()
    if job.attempt == 1 and job.started_at is not None:
        metrics.job_wait_seconds.labels(job.kind).observe((job.started_at - job.run_after).total_seconds())


def span_of(job: QueuedJob) -> AbstractContextManager[Any]:
    """Record an attempt as a span in the trace of the request that the job was made for."""
    parent = {} if job.traceparent is None else {tracing.TRACEPARENT: job.traceparent}
    ids = {"darkroom__job": job.id, "darkroom__attempt": job.attempt, "darkroom__request_id": job.request_id}
    return tracing.span(f"job {job.kind}", "consumer", parent=parent, may_begin=True, user__id=job.user_id, **ids)
