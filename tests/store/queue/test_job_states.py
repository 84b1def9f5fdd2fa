"""The queue against a model of it: whatever happens in whatever order, the two agree."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from serve_app.store.queue import claims, jobs
from serve_app.store.queue.claims import LeaseLost
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories import albums
from serve_app.store.repositories.users import LOCAL_USER_ID
from serve_app.store.session import Database

KINDS = ("tags", "people")


@dataclass
class Expected:
    kind: str
    album_id: str | None
    max_attempts: int
    status: str = "queued"
    attempt: int = 0
    failures: int = 0
    postponements: int = 0
    cancel: bool = False
    silent: bool = False
    """Its lease has run out and nobody has noticed yet."""

    def stop(self, *, again: bool) -> None:
        self.silent = False
        if self.cancel:
            self.status = "cancelled"
        else:
            self.status = "queued" if again else "failed"

    def count_failure(self, *, may_retry: bool = True) -> None:
        self.failures += 1
        self.stop(again=may_retry and self.failures < self.max_attempts)


class Queue(RuleBasedStateMachine):
    claims = Bundle("claims")
    """What workers once claimed, long lost ones too."""

    def __init__(self, dsn: str) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.database = Database(dsn, application_name="model", pool_size=1, max_overflow=0)
        self.model: dict[str, Expected] = {}
        self.album = self.run(lambda s: albums.open_album(s, LOCAL_USER_ID, "holiday")).id

    def run(self, work: Callable[[AsyncSession], Coroutine[Any, Any, Any]]) -> Any:
        async def in_transaction() -> Any:
            async with self.database.transaction() as session:
                return await work(session)

        return self.loop.run_until_complete(in_transaction())

    def teardown(self) -> None:
        self.run(lambda s: s.execute(text("TRUNCATE jobs, albums CASCADE")))
        self.loop.run_until_complete(self.database.close())
        self.loop.close()

    @rule(kind=st.sampled_from(KINDS), in_album=st.booleans(), max_attempts=st.integers(1, 3))
    def enqueue(self, kind: str, in_album: bool, max_attempts: int) -> None:
        album_id = self.album if in_album else None
        job = self.run(
            lambda s: jobs.enqueue(
                s, user_id=LOCAL_USER_ID, kind=kind, payload={}, album_id=album_id, max_attempts=max_attempts
            )
        )
        self.model[job.id] = Expected(kind, album_id, max_attempts)

    @rule(target=claims, kinds=st.sampled_from([KINDS, ("tags",)]))
    def claim(self, kinds: tuple[str, ...]) -> Any:
        job = self.run(lambda s: claims.claim(s, worker="w", kinds=kinds, lease_s=3600))
        for expected in self.model.values():
            if expected.silent:
                expected.count_failure()
        busy = {(e.album_id, e.kind) for e in self.model.values() if e.status == "running" and e.album_id}
        free = [
            job_id
            for job_id, e in self.model.items()
            if e.status == "queued" and e.kind in kinds and (e.album_id, e.kind) not in busy
        ]
        assert (job.id if job else None) == (free[0] if free else None)
        if job is None:
            return multiple()
        expected = self.model[job.id]
        expected.status, expected.attempt = "running", expected.attempt + 1
        return job

    @rule(job=claims)
    def fall_silent(self, job: QueuedJob) -> None:
        if self.holds(job):
            self.run(
                lambda s: s.execute(
                    text("UPDATE jobs SET lease_until = clock_timestamp() - interval '1 ms' WHERE id = :i"),
                    {"i": job.id},
                )
            )
            self.model[job.id].silent = True

    @rule(job=claims, progress=st.none() | st.floats(-1, 2))
    def beat(self, job: QueuedJob, progress: float | None) -> None:
        pulse = self.run(lambda s: claims.heartbeat(s, job, lease_s=3600, progress=progress))
        if not self.holds(job):
            assert pulse == "lost"
        else:
            assert pulse == ("cancel" if self.model[job.id].cancel else "ok")
            self.model[job.id].silent = False

    @rule(job=claims)
    def complete(self, job: QueuedJob) -> None:
        if self.write(job, lambda s: claims.complete(s, job, {"attempt": job.attempt})):
            self.model[job.id].status, self.model[job.id].silent = "succeeded", False

    @rule(job=claims, again=st.booleans())
    def fail(self, job: QueuedJob, again: bool) -> None:
        if self.write(job, lambda s: claims.fail(s, job, {}, retry_in_s=0 if again else None)):
            self.model[job.id].count_failure(may_retry=again)
            self.model[job.id].postponements = 0

    @rule(job=claims, is_too_long=st.booleans())
    def postpone(self, job: QueuedJob, is_too_long: bool) -> None:
        limit_s = -1 if is_too_long else 3600
        if self.write(job, lambda s: claims.postpone(s, job, {}, pause_s=0, limit_s=limit_s)):
            self.model[job.id].postponements += 1
            self.model[job.id].stop(again=not is_too_long)

    @rule(job=claims)
    def hand_back(self, job: QueuedJob) -> None:
        if self.write(job, lambda s: claims.hand_back(s, job)):
            self.model[job.id].stop(again=True)

    @rule(job=claims)
    def acknowledge(self, job: QueuedJob) -> None:
        if self.write(job, lambda s: claims.acknowledge_cancel(s, job)):
            self.model[job.id].status, self.model[job.id].silent = "cancelled", False

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if not self.model:
            return
        job_id = data.draw(st.sampled_from(list(self.model)))
        expected = self.model[job_id]
        self.run(lambda s: jobs.cancel(s, LOCAL_USER_ID, job_id))
        if expected.status in ("queued", "running"):
            expected.cancel = True
            expected.status = "cancelled" if expected.status == "queued" else "running"

    @invariant()
    def the_table_is_what_the_model_says(self) -> None:
        table = self.run(self._whole_table)
        assert {
            job.id: (job.status, job.attempt, job.failures, job.postponements, job.cancel_requested) for job in table
        } == {job_id: (e.status, e.attempt, e.failures, e.postponements, e.cancel) for job_id, e in self.model.items()}
        for job in table:
            assert (job.postponements > 0) == (job.postponed_since is not None)
            assert job.is_finished == (job.finished_at is not None)
            assert 0 <= job.progress <= 1
            assert (job.result is not None) == (job.status == "succeeded")

    async def _whole_table(self, session: AsyncSession) -> list[QueuedJob]:
        listed = await jobs.load_page(session, LOCAL_USER_ID, 1000)  # without what they found
        found = [await jobs.get(session, job.id) for job in listed]
        return [job for job in found if job is not None]

    def holds(self, job: QueuedJob) -> bool:
        expected = self.model[job.id]
        return expected.status == "running" and expected.attempt == job.attempt

    def write(self, job: QueuedJob, work: Callable[[AsyncSession], Coroutine[Any, Any, Any]]) -> bool:
        """Whether the worker's word counted, which it must exactly while it holds the job."""
        counted = False
        with suppress(LeaseLost):
            self.run(work)
            counted = True
        assert counted == self.holds(job)
        return counted


def test_the_queue_agrees_with_its_model(postgres: str) -> None:
    run_state_machine_as_test(
        lambda: Queue(postgres),
        settings=settings(
            max_examples=20, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
