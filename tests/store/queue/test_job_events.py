"""Waiting for jobs: notifications wake waiters at once, and polling finds what they miss."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import event, text

from deployments.errors import NotFound, Unavailable
from serve_app.store import migrate
from serve_app.store.embedded.server import ensure_running
from serve_app.store.queue import claims, jobs
from serve_app.store.queue.events import JobEvents, Signal, follow, wait_until_finished
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories import albums
from serve_app.store.repositories.users import LOCAL_USER_ID
from serve_app.store.session import Database

FOR_EVER = 600.0
"""Seconds between polls: in tests with this one only a notification can wake."""


@pytest.fixture
async def events(database: Database) -> AsyncIterator[JobEvents]:
    async with JobEvents(database.dsn, poll_s=FOR_EVER) as events:
        with events.work() as signal:
            await signal.wait()  # says so when it listens
        yield events


async def enqueue(database: Database, *, kind: str = "tags", album_id: str | None = None) -> QueuedJob:
    async with database.transaction() as session:
        return await jobs.enqueue(
            session, user_id=LOCAL_USER_ID, kind=kind, payload={}, max_attempts=3, album_id=album_id
        )


async def claim(database: Database) -> QueuedJob:
    async with database.transaction() as session:
        job = await claims.claim(session, worker="test", kinds=["tags"], lease_s=60)
    assert job is not None
    return job


async def finish(database: Database) -> None:
    job = await claim(database)
    async with database.transaction() as session:
        await claims.complete(session, job, {"n": 1})


async def wait_until_watched(events: JobEvents, job: QueuedJob) -> None:
    while True:
        if job.id in events._watched:
            return
        await asyncio.sleep(0)


async def test_a_queued_job_wakes_a_waiting_worker(database: Database, events: JobEvents) -> None:
    with events.work() as signal:
        waiting = asyncio.create_task(signal.wait())
        await enqueue(database)
        async with asyncio.timeout(30):
            await waiting


async def test_a_job_of_an_album_that_ends_wakes_workers_for_the_one_behind_it(
    database: Database, events: JobEvents
) -> None:
    async with database.transaction() as session:
        album = await albums.open_album(session, LOCAL_USER_ID, "trip")
    await enqueue(database, album_id=album.id)
    job = await claim(database)
    with events.work() as signal:
        waiting = asyncio.create_task(signal.wait())
        async with database.transaction() as session:
            await claims.complete(session, job, {})
        async with asyncio.timeout(30):
            await waiting


async def test_workers_are_not_woken_for_jobs_of_the_other_lane_nor_by_the_end_of_one_without_album(
    database: Database, events: JobEvents
) -> None:
    with events.work("generations") as mine, events.work("analyses") as others:
        waiting = asyncio.create_task(mine.wait())
        job = await enqueue(database, kind="txt2img")
        async with asyncio.timeout(30):
            await waiting
        with events.watch(job.id, ends=True) as end:
            async with database.transaction() as session:
                running = await claims.claim(session, worker="test", kinds=["txt2img"], lease_s=60)
                assert running is not None
                await claims.complete(session, running, {})
            async with asyncio.timeout(30):
                await end.wait()
        assert not await mine.wait(0)
        assert not await others.wait(0)


async def test_a_notice_of_an_older_process_wakes_workers_of_either_lane(database: Database, events: JobEvents) -> None:
    with events.work("generations") as one, events.work("analyses") as other:
        waiting = asyncio.gather(one.wait(), other.wait())
        async with database.transaction() as session:
            await session.execute(text("SELECT pg_notify('darkroom_jobs', 'queued job_of_an_older_process')"))
        async with asyncio.timeout(30):
            assert await waiting == [True, True]


async def test_a_waiter_gets_the_finished_job(database: Database, events: JobEvents) -> None:
    job = await enqueue(database)
    waiting = asyncio.create_task(wait_until_finished(database, events, job.id, 30))
    await wait_until_watched(events, job)
    await finish(database)
    done = await waiting
    assert (done.status, done.result) == ("succeeded", {"n": 1})


async def test_a_wait_ends_with_its_time(database: Database, events: JobEvents) -> None:
    job = await enqueue(database)
    assert (await wait_until_finished(database, events, job.id, 0.05)).status == "queued"


async def test_a_job_that_ended_before_needs_no_waiting(database: Database, events: JobEvents) -> None:
    job = await enqueue(database)
    await finish(database)
    assert (await wait_until_finished(database, events, job.id, FOR_EVER)).status == "succeeded"


async def test_an_unknown_job_is_not_found(database: Database, events: JobEvents) -> None:
    with pytest.raises(NotFound):
        await wait_until_finished(database, events, "job_unknown", 1)


async def test_a_follower_sees_every_step_until_the_end(database: Database, events: JobEvents) -> None:
    job = await enqueue(database)
    seen: list[tuple[str, float]] = []
    changes = follow(database, events, job.id)
    seen.append(step(await anext(changes)))
    running = await claim(database)
    seen.append(step(await anext(changes)))
    async with database.transaction() as session:
        await claims.heartbeat(session, running, lease_s=60, progress=0.5)
    seen.append(step(await anext(changes)))
    async with database.transaction() as session:
        await claims.complete(session, running, {})
    seen += [step(job) async for job in changes]
    assert seen == [("queued", 0.0), ("running", 0.0), ("running", 0.5), ("succeeded", 1.0)]
    assert events._watched == {}


def step(job: QueuedJob) -> tuple[str, float]:
    return job.status, job.progress


async def test_a_rolled_back_change_sends_no_notification(database: Database, events: JobEvents) -> None:
    with events.work() as work:
        job = await enqueue(database)
        await work.wait()
        with events.watch(job.id) as signal:
            async with database.transaction() as session:
                await jobs.cancel(session, LOCAL_USER_ID, job.id)
                await session.rollback()
            await enqueue(database)  # its notice would come after the other
            await work.wait()
            assert not signal._event.is_set()


async def test_without_notifications_the_poll_finds_the_end(database: Database) -> None:
    deaf = JobEvents(database.dsn, poll_s=0.01)  # never entered: nobody listens
    job = await enqueue(database)
    waiting = asyncio.create_task(wait_until_finished(database, deaf, job.id, 30))
    await finish(database)
    assert (await waiting).status == "succeeded"


async def test_a_notice_between_two_waits_is_not_missed() -> None:
    signal = Signal(FOR_EVER)
    signal.set()
    async with asyncio.timeout(30):
        await signal.wait()
    waiting = asyncio.create_task(signal.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    signal.set()
    async with asyncio.timeout(30):
        await waiting


@pytest.mark.parametrize("ticks", range(5))
async def test_a_waiter_that_is_cancelled_while_a_notice_comes_ends(ticks: int) -> None:
    waiter_signal = Signal(FOR_EVER)

    async def wait_again_and_again() -> None:
        while True:
            await waiter_signal.wait()

    waiter = asyncio.create_task(wait_again_and_again())
    for _ in range(3):
        await asyncio.sleep(0)
    waiter_signal.set()
    for _ in range(ticks):
        await asyncio.sleep(0)
    waiter.cancel()
    ended, _ = await asyncio.wait({waiter}, timeout=10)
    assert ended == {waiter}


async def test_a_cut_connection_is_reopened_and_all_waiters_look_again(database: Database, events: JobEvents) -> None:
    with events.work() as signal:
        async with database.transaction() as session:
            cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'job-events'"
            await session.execute(text(cut))
        async with asyncio.timeout(30):
            await signal.wait()
            await enqueue(database)
            await signal.wait()


async def test_a_wait_outlives_a_killed_and_restarted_database(tmp_path: Path) -> None:
    server = await asyncio.to_thread(ensure_running, tmp_path, options={"fsync": "off"})
    database = Database(server.dsn, application_name="test")
    try:
        await migrate.upgrade(server.dsn)
        async with JobEvents(server.dsn, poll_s=0.05) as events:
            job = await enqueue(database)
            waiting = asyncio.create_task(wait_until_finished(database, events, job.id, 60))
            await wait_until_watched(events, job)
            os.kill(int((tmp_path / "postgres" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
            while True:
                try:
                    await finish(database)
                    break
                except Unavailable:
                    await asyncio.sleep(0.05)
            assert (await waiting).result == {"n": 1}
    finally:
        await database.close()
        await asyncio.to_thread(server.release)


async def test_a_wait_through_an_outage_of_the_database_is_unavailable(tmp_path: Path) -> None:
    database = Database(f"postgresql+asyncpg://postgres@/postgres?host={tmp_path}", application_name="test")
    async with JobEvents(database.dsn, poll_s=0.01) as events:
        with pytest.raises(Unavailable):
            await wait_until_finished(database, events, "job_1", 0.05)
    await database.close()


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """What is sent to the database through its pool in the block."""
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    engine = database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


async def until_live(signal: Signal) -> None:
    async with asyncio.timeout(30):
        while not signal.is_live:
            await signal.wait()


async def test_while_notices_arrive_a_waiter_reads_at_its_beginning_and_its_end_only(database: Database) -> None:
    async with JobEvents(database.dsn, poll_s=0.01, live_poll_s=FOR_EVER) as events:
        with events.work() as work:
            await until_live(work)
        job = await enqueue(database)
        with statements(database) as sent:
            await wait_until_finished(database, events, job.id, 0.3)
        assert len(sent) <= 2


async def test_progress_does_not_wake_who_waits_for_the_end(database: Database, events: JobEvents) -> None:
    job = await enqueue(database)
    waiting = asyncio.create_task(wait_until_finished(database, events, job.id, 30))
    await wait_until_watched(events, job)
    with events.watch(job.id) as progress:
        running = await claim(database)
        await progress.wait()
        with statements(database) as sent:
            async with database.transaction() as session:
                await claims.heartbeat(session, running, lease_s=60, progress=0.5)
            await progress.wait()
            async with database.transaction() as session:
                await claims.complete(session, running, {"n": 1})
            assert (await waiting).result == {"n": 1}
    assert len([one for one in sent if one.startswith("SELECT jobs")]) == 1


async def test_a_cut_connection_makes_waiters_look_often_until_it_is_back(database: Database) -> None:
    async with JobEvents(database.dsn, poll_s=0.01, live_poll_s=FOR_EVER) as events:
        with events.work() as signal:
            await until_live(signal)
            async with database.transaction() as session:
                cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'job-events'"
                await session.execute(text(cut))
            async with asyncio.timeout(30):
                while signal.is_live:
                    await signal.wait()
            await until_live(signal)


async def test_through_a_pooler_notices_are_never_relied_on(database: Database) -> None:
    async with JobEvents(f"{database.dsn}&prepared_statement_cache_size=0", poll_s=FOR_EVER) as events:
        with events.work() as signal:
            await signal.wait()  # it listens
            async with database.transaction() as session:
                await session.execute(text("SELECT 1"))
            assert not signal.is_live


async def test_the_time_until_a_job_is_due_is_that_of_the_nearest_pause_or_lease(database: Database) -> None:
    async with database.transaction() as session:
        assert await claims.seconds_until_due(session, ["tags"]) is None
        for kind, delay_s in (("tags", 50.0), ("tags", 20.0), ("quality", 5.0)):
            await jobs.enqueue(session, user_id=LOCAL_USER_ID, kind=kind, payload={}, max_attempts=3, delay_s=delay_s)
    async with database.transaction() as session:
        assert 15 < (await claims.seconds_until_due(session, ["tags"]) or 0) <= 20
    await enqueue(database)
    async with database.transaction() as session:
        assert await claims.claim(session, worker="other", kinds=["tags"], lease_s=10)
    async with database.transaction() as session:
        assert 5 < (await claims.seconds_until_due(session, ["tags"]) or 0) <= 10
