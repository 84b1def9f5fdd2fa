"""Control of running jobs (interrupt, skip, cancel), and their inputs."""

from __future__ import annotations

import asyncio

from sqlalchemy.ext.asyncio import AsyncSession

from serve_app.store.queue import claims, jobs
from serve_app.store.queue.events import JobEvents
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories import sd_options, users
from serve_app.store.session import Database

KINDS = ["txt2img", "img2img"]
USER = users.LOCAL_USER_ID


async def enqueue(session: AsyncSession, kind: str = "txt2img", task_id: str | None = None) -> QueuedJob:
    return await jobs.enqueue(session, user_id=USER, kind=kind, payload={"task_id": task_id}, max_attempts=3)


async def claim(session: AsyncSession) -> QueuedJob:
    job = await claims.claim(session, worker="w", kinds=[*KINDS, "tags"], lease_s=30)
    assert job is not None
    return job


async def beat(session: AsyncSession, job: QueuedJob, progress: float | None = 0.5) -> str:
    return await claims.heartbeat(session, job, lease_s=30, progress=progress)


async def test_an_interrupt_is_returned_by_every_heartbeat(session: AsyncSession) -> None:
    await enqueue(session)
    job = await claim(session)
    assert await beat(session, job) == "ok"
    await jobs.request_stop(session, USER, KINDS, "interrupt")
    assert [await beat(session, job), await beat(session, job, None)] == ["interrupt", "interrupt"]


async def test_a_skip_is_returned_once_for_each_request(session: AsyncSession) -> None:
    await enqueue(session)
    job = await claim(session)
    for _ in range(2):
        await jobs.request_stop(session, USER, KINDS, "skip")
        assert [await beat(session, job), await beat(session, job)] == ["skip", "ok"]


async def test_a_skip_does_not_revoke_an_interrupt(session: AsyncSession) -> None:
    await enqueue(session)
    job = await claim(session)
    for what in ("interrupt", "skip"):
        await jobs.request_stop(session, USER, KINDS, what)  # type: ignore[arg-type]
    assert await beat(session, job) == "interrupt"


async def test_a_cancellation_outranks_interrupt_and_skip(session: AsyncSession) -> None:
    await enqueue(session)
    job = await claim(session)
    await jobs.request_stop(session, USER, KINDS, "interrupt")
    await jobs.cancel(session, USER, job.id)
    assert await beat(session, job) == "cancel"


async def test_only_running_jobs_of_the_given_kinds_are_asked_to_stop(session: AsyncSession) -> None:
    await enqueue(session, "tags")
    other = await claim(session)
    await enqueue(session)
    assert await jobs.request_stop(session, USER, KINDS, "interrupt") == []
    assert await beat(session, other) == "ok"


async def test_a_new_attempt_begins_without_a_stop_request(session: AsyncSession) -> None:
    await enqueue(session)
    job = await claim(session)
    await jobs.request_stop(session, USER, KINDS, "interrupt")
    await claims.fail(session, job, {}, retry_in_s=0)
    assert (await claim(session)).stop_requested is None


async def test_inputs_are_there_until_the_job_ends(session: AsyncSession) -> None:
    inputs = {"init0": b"a", "mask": b"\0\xff"}
    for end in ("complete", "fail", "cancel"):
        made = await enqueue(session)
        await jobs.add_inputs(session, made.id, inputs)
        job = await claim(session)
        assert await jobs.load_inputs(session, job.id) == inputs
        if end == "complete":
            await claims.complete(session, job, {})
        elif end == "fail":
            await claims.fail(session, job, {})
        else:
            await claims.acknowledge_cancel(session, job)
        assert await jobs.load_inputs(session, job.id) == {}


async def test_inputs_outlive_an_attempt_that_is_repeated(session: AsyncSession) -> None:
    made = await enqueue(session)
    await jobs.add_inputs(session, made.id, {"init0": b"a"})
    await claims.fail(session, await claim(session), {}, retry_in_s=0)
    assert await jobs.load_inputs(session, made.id) == {"init0": b"a"}


async def test_a_job_is_found_by_the_clients_task_id(session: AsyncSession) -> None:
    first, second = await enqueue(session, task_id="mine"), await enqueue(session, task_id="mine")
    await enqueue(session)
    assert (await jobs.find_by_task(session, USER, "mine")) == second
    assert await jobs.find_by_task(session, USER, "other") is None
    assert [job.id for job in await jobs.load_unfinished(session, USER, KINDS)][:2] == [first.id, second.id]


async def test_the_worker_of_a_job_is_notified_of_requests_to_it(database: Database) -> None:
    async with database.transaction() as session:
        await enqueue(session)
        job = await claim(session)
    async with JobEvents(database.dsn, poll_s=600) as events:
        with events.work() as listening:
            await listening.wait()  # says so when it listens
        with events.calls(job.id) as called:
            async with database.transaction() as session:
                await jobs.request_stop(session, USER, KINDS, "skip")
            await asyncio.wait_for(called.wait(), 20)
            async with database.transaction() as session:
                await jobs.cancel(session, USER, job.id)
            await asyncio.wait_for(called.wait(), 20)


async def test_web_api_options_are_kept_by_user_and_replaced_by_name(session: AsyncSession) -> None:
    await sd_options.save(session, USER, {"a": 1, "b": None})
    await sd_options.save(session, USER, {"a": {"deep": [True]}})
    await sd_options.save(session, USER, {})
    assert await sd_options.load(session, USER) == {"a": {"deep": [True]}, "b": None}
