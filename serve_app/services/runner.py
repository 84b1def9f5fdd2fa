"""Claims jobs and runs them: heartbeat, progress, cancellation, retries, housekeeping.

A job is run at least once and ended exactly once: whoever lost its lease cannot write any more, and what a handler
stores on the way may be stored again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from configs.settings import Jobs as JobSettings
from deployments.errors import DarkroomError, Unavailable
from deployments.kit.turns import acting_for
from serve_app import tracing
from serve_app.scaling import Lane
from serve_app.services.completion import finish
from serve_app.services.container import Services
from serve_app.services.jobs.needs import check_needs
from serve_app.services.jobs.observed import count_queue, note_claim, span_of
from serve_app.services.jobs.problems import problem_members
from serve_app.services.jobs.progress import Progress
from serve_app.store.queue import claims
from serve_app.store.queue.claims import LeaseLost
from serve_app.store.queue.jobs import LaneState, QueuedJob, lane_of

log = structlog.get_logger(__name__)

_BEATS_A_LEASE = 6
_LONGEST_PAUSE_S = 60.0
"""Longest pause of a job that waits for capacity: it should not sleep long when that is back."""
_MAX_BEAT_S = 1.0
"""Clients watch the progress that heartbeats write."""
_STEP = 0.01
"""Progress that is worth writing before the lease needs renewing."""
_REQUEUE_S = 1.0
"""Seconds between two looks for jobs whose worker has died: no claim needs one of its own."""
_SOONEST_S = 0.2
"""Seconds before a job is looked for again that is due and that another worker is about to take."""


class _Cancelled(Exception):
    """The client does not want the job any more."""


class JobRunner:
    """Runs jobs until `stop`: up to `settings.concurrency` analyses at once, and `settings.generations` that make
    pictures."""

    def __init__(self, services: Services, settings: JobSettings) -> None:
        self._services = services
        self._has_users = services.settings.auth.mode == "api_key"
        self._database = services.database
        self._settings = settings
        self._renew_s = settings.lease_s / _BEATS_A_LEASE
        self._every_s = min(_MAX_BEAT_S, self._renew_s)
        self._name = f"{socket.gethostname()}/{os.getpid()}"
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._lanes: Mapping[str, LaneState] = {}
        self._requeued = -_REQUEUE_S

    def lanes(self) -> dict[str, Lane]:
        """Tell how much is waiting, as it was last counted, and this worker's slots for it."""
        slots = {"analyses": self._settings.concurrency, "generations": self._settings.generations}
        mine = 1 if self._has_users else 0  # that a user's own jobs never fill
        return {
            name: Lane(lane.due, lane.running, lane.oldest_s, max(1, slots[name] - mine))
            for name, lane in self._lanes.items()
        }

    def _note_lanes(self, lanes: Mapping[str, LaneState]) -> None:
        self._lanes = lanes

    async def run(self) -> None:
        """Claim and run until `stop`; rides out a database that is away for a while."""
        kinds = set(self._services.handlers)
        counting = count_queue(self._database, self._services.metrics, self._note_lanes)
        telling = self._services.webhook_sender.run()
        aside = [asyncio.create_task(work) for work in (self._run_housekeeping(), counting, telling)]
        pools = [
            asyncio.create_task(self._run_pool(lane, sorted(kind for kind in kinds if lane_of(kind) == lane), slots))
            for lane, slots in (("analyses", self._settings.concurrency), ("generations", self._settings.generations))
        ]
        try:
            await asyncio.gather(*pools)
        finally:
            others: tuple[asyncio.Task[Any], ...] = (*pools, *self._running, *aside)
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            self._stopped.set()

    async def _run_pool(self, lane: str, kinds: Sequence[str], concurrency: int) -> None:
        slots = asyncio.Semaphore(concurrency)
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            with self._services.events.work(lane) as signal:
                while not self._stopping.is_set():
                    await slots.acquire()
                    job, due_s = await self._claim(kinds, concurrency)
                    if job is not None:
                        task = asyncio.create_task(self._run(job), name=job.id)
                        self._running.add(task)
                        task.add_done_callback(self._running.discard)
                        task.add_done_callback(lambda _: slots.release())
                        if self._has_users:  # one that had as many running as a user may has room for another
                            task.add_done_callback(lambda _: signal.set())
                        if due_s is not None and due_s <= 0:
                            continue
                    else:
                        slots.release()
                    waiting = asyncio.create_task(signal.wait(due_s))
                    await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
                    waiting.cancel()
        finally:
            stopping.cancel()

    async def stop(self) -> None:
        """Claim nothing more; running jobs are handed back, and another worker goes on where they stopped."""
        self._stopping.set()
        await self._stopped.wait()

    async def _claim(self, kinds: Sequence[str], concurrency: int) -> tuple[QueuedJob | None, float | None]:
        """Claim a job. -> it or None, and the seconds after which to look again even if there is no notice"""
        requeues = time.monotonic() >= self._requeued + _REQUEUE_S
        try:
            async with self._database.transaction() as session:
                job = await claims.claim(
                    session,
                    worker=self._name,
                    kinds=kinds,
                    lease_s=self._settings.lease_s,
                    slots_per_user=max(1, concurrency - 1) if self._has_users else None,
                    head_start_s=self._settings.head_start_s,
                    requeues=requeues,
                )
                self._requeued = time.monotonic() if requeues else self._requeued
                due_s = await claims.seconds_until_due(session, kinds, is_now_too=job is not None)
                return job, due_s if job or due_s is None else max(_SOONEST_S, due_s)
        except Unavailable as error:
            log.warning("no jobs can be claimed", reason=error.message)
            return None, self._settings.poll_s

    async def _run(self, job: QueuedJob) -> None:
        structlog.contextvars.bind_contextvars(job=job.id, kind=job.kind, user=job.user_id)
        if job.request_id is not None:
            structlog.contextvars.bind_contextvars(request_id=job.request_id)
        note_claim(self._services.metrics, job)
        with span_of(job) as span:
            outcome = await self._attempt(job)
            if span is not None:
                span.set_attribute("darkroom.outcome", outcome)
                if outcome == "failed":
                    tracing.mark_failed(span, outcome)

    async def _attempt(self, job: QueuedJob) -> str:
        """Run the job once. -> how that ended"""
        started, outcome = time.monotonic(), "lost"
        progress = Progress(job.progress, begun=job.progress)
        try:
            check_needs(job.payload)
            result = await self._work(job, progress)
            await self._finish(job, result)
            outcome = "succeeded"
        except asyncio.CancelledError:
            outcome = "handed back"
            await self._record_end(claims.hand_back, job)
            raise
        except _Cancelled:
            outcome = "cancelled"
            await self._record_end(claims.acknowledge_cancel, job)
        except LeaseLost:
            log.warning("job is no longer this worker's")  # another has it, or it was deleted
        except DarkroomError as error:
            outcome = await (self._postponed(job, error) if error.is_outage else self._failed(job, error))
        except Exception as error:  # the border of the worker: a bug in a handler must not end the others
            log.error("job broke", exc_info=error)
            outcome = await self._failed(job, DarkroomError("Something broke on our side."), is_bug=True)
        finally:
            seconds = time.monotonic() - started
            self._services.metrics.jobs_ended.labels(job.kind, outcome).inc()
            self._services.metrics.job_seconds.labels(job.kind).observe(seconds)
            log.info("job ended", outcome=outcome, attempt=job.attempt, seconds=round(seconds, 3))
        return outcome

    async def _work(self, job: QueuedJob, progress: Progress) -> Any:
        """The handler's result. Raises `_Cancelled` and `LeaseLost` when the heartbeat says so."""
        with acting_for(job.user_id):
            handler = self._services.handlers[job.kind]
            left = progress.part(job.progress, 1.0) if job.progress else progress
            work: asyncio.Task[Any] = asyncio.create_task(handler(job, left))
        with tracing.outside():  # else a long job's trace would be heartbeats
            beat = asyncio.create_task(self._beat(job, progress))
        try:
            await asyncio.wait({work, beat}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                beat.result()  # raises: this is the only way it ends
            return await work
        except BaseExceptionGroup as group:
            raise _first_leaf(group) from None
        finally:
            for task in (work, beat):
                task.cancel()
            await asyncio.gather(work, beat, return_exceptions=True)

    async def _beat(self, job: QueuedJob, progress: Progress) -> None:
        """Renew the lease every so often, and at once when the client wants something of the job or it has got on.

        While no notices arrive, what the client wants is looked for in each round.
        """
        last, written = time.monotonic(), progress.share
        with self._services.events.calls(job.id) as called:
            while True:
                was_called = await called.wait(self._every_s)
                is_due = time.monotonic() - last >= self._renew_s - self._every_s / 2
                share = progress.share if progress.share - written >= (0.0 if is_due else _STEP) else written
                if not (was_called or is_due or share != written or not called.is_live):
                    continue
                try:
                    async with self._database.transaction() as session:
                        pulse = await claims.heartbeat(
                            session,
                            job,
                            lease_s=self._settings.lease_s,
                            progress=share if share != written else None,
                            eta_s=progress.eta_s(),
                        )
                    last, written = time.monotonic(), share
                except Unavailable:
                    if time.monotonic() - last > self._settings.lease_s:
                        raise
                    continue
                if pulse == "cancel":
                    raise _Cancelled
                if pulse == "lost":
                    raise LeaseLost("The lease ran out.")
                if pulse == "interrupt":
                    progress.interrupted.set()
                if pulse == "skip":
                    progress.skip()

    async def _finish(self, job: QueuedJob, result: Any) -> None:
        """As patient with a database that is away as the heartbeat is: what took minutes is not thrown away."""
        began = time.monotonic()
        while True:
            try:
                async with self._database.transaction() as session:
                    await finish(session, job, result, self._settings.max_attempts)
                return
            except Unavailable:
                if time.monotonic() - began > self._settings.lease_s:
                    raise
                await asyncio.sleep(self._every_s)

    async def _failed(self, job: QueuedJob, error: DarkroomError, *, is_bug: bool = False) -> str:
        wait_s = claims.backoff_s(job.failures + 1) if error.is_transient or is_bug else None
        self._services.metrics.job_failures.labels(job.kind, error.slug).inc()
        log.warning("job failed", slug=error.slug, detail=error.message, retry_in_s=wait_s)
        return await self._record_end(claims.fail, job, _problem(job, error), retry_in_s=wait_s) or "lost"

    async def _postponed(self, job: QueuedJob, error: DarkroomError) -> str:
        pause_s = claims.backoff_s(job.postponements + 1, cap_s=_LONGEST_PAUSE_S)
        self._services.metrics.jobs_postponed.labels(job.kind, error.slug).inc()
        log.warning("job waits for capacity", slug=error.slug, detail=error.message, retry_in_s=pause_s)
        limit_s = self._settings.give_up_after_s
        return (
            await self._record_end(claims.postpone, job, _problem(job, error), pause_s=pause_s, limit_s=limit_s)
            or "lost"
        )

    async def _record_end(self, action: Any, job: QueuedJob, *arguments: Any, **options: Any) -> Any:
        """Say how it ended; without the database or the lease nothing needs saying, the lease runs out by itself."""
        with contextlib.suppress(LeaseLost, Unavailable):
            async with self._database.transaction() as session:
                return await action(session, job, *arguments, **options)

    async def _run_housekeeping(self) -> None:
        """Expired albums, old jobs and keys, files that nothing refers to: every so often, by any worker."""
        while True:
            await asyncio.sleep(self._settings.housekeeping_s)
            try:
                await self._services.run_housekeeping()
            except DarkroomError as error:
                log.warning("housekeeping failed", reason=error.message)


def _problem(job: QueuedJob, error: DarkroomError) -> dict[str, Any]:
    return problem_members(error, f"urn:job:{job.id}")


def _first_leaf(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Of what several tasks raised, the first; the others failed of the same cause or were cancelled for it."""
    first = group.exceptions[0]
    return _first_leaf(first) if isinstance(first, BaseExceptionGroup) else first
