"""What jobs, workers and waiters ask the database while nothing happens, and that they miss nothing for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import event

from configs.settings import Settings
from serve_app.services import runner
from serve_app.services.container import Services
from serve_app.services.jobs.progress import Progress
from serve_app.services.runner import JobRunner
from serve_app.store.queue import jobs
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories.users import LOCAL_USER_ID

FOR_EVER = 600.0


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """As a parameter: the mode of authentication."""
    auth = settings.auth.model_copy(update={"mode": getattr(request, "param", settings.auth.mode)})
    slots = settings.jobs.model_copy(update={"live_poll_s": FOR_EVER, "concurrency": 2})
    return settings.model_copy(update={"jobs": slots, "auth": auth})


class Held:
    """A handler that goes on until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go = asyncio.Event(), asyncio.Event()
        self.progress = Progress()

    async def __call__(self, _job: QueuedJob, progress: Progress) -> Any:
        self.progress = progress
        self.begun.set()
        await self.go.wait()
        raise ValueError("enough")


@contextmanager
def statements(services: Services) -> Iterator[list[str]]:
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    engine = services.database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


async def until_live(services: Services) -> None:
    with services.events.work() as signal:
        async with asyncio.timeout(20):
            while not signal.is_live:
                await signal.wait()


async def add_job(services: Services, *, delay_s: float = 0.0) -> str:
    async with services.database.transaction() as session:
        job = await jobs.enqueue(
            session, user_id=LOCAL_USER_ID, kind="quality", payload={}, max_attempts=1, delay_s=delay_s
        )
    return job.id


@pytest.fixture
async def held(services: Services, monkeypatch: pytest.MonkeyPatch) -> Held:
    """The handler of `quality`, whose heart beats a hundred times a second."""
    monkeypatch.setattr(runner, "_MAX_BEAT_S", 0.01)
    await until_live(services)
    handler = Held()
    services.handlers["quality"] = handler  # type: ignore[assignment]
    return handler


async def test_a_running_job_that_does_not_get_on_and_idle_workers_ask_nothing(
    held: Held, services: Services, worker: JobRunner
) -> None:
    job_id = await add_job(services)
    await held.begun.wait()
    async with asyncio.timeout(20):
        while True:  # until the workers have seen that there is nothing else to do
            with statements(services) as sent:
                await services.jobs.wait(LOCAL_USER_ID, job_id, 0.4)
            if all(one.startswith("SELECT jobs.id") for one in sent):
                break
    held.go.set()
    assert len(sent) == 2, "the job at the beginning and at the end of the wait"


async def test_progress_is_written_when_a_job_has_got_on(held: Held, services: Services, worker: JobRunner) -> None:
    job_id = await add_job(services)
    await held.begun.wait()
    changes = services.jobs.watch(LOCAL_USER_ID, job_id, quiet_s=FOR_EVER)
    await anext(changes)
    held.progress.report(0.5)
    async with asyncio.timeout(20):
        changed = await anext(changes)
    assert changed is not None
    assert changed.progress == 0.5
    held.go.set()


async def test_a_cancelled_job_ends_at_once(held: Held, services: Services, worker: JobRunner) -> None:
    job_id = await add_job(services)
    await held.begun.wait()
    await services.jobs.cancel(LOCAL_USER_ID, job_id)
    assert (await services.jobs.wait(LOCAL_USER_ID, job_id, 20)).status == "cancelled"


async def test_a_job_that_was_put_off_runs_when_it_is_due_though_nobody_says_so(
    held: Held, services: Services, worker: JobRunner
) -> None:
    held.go.set()
    job_id = await add_job(services, delay_s=0.5)
    assert (await services.jobs.wait(LOCAL_USER_ID, job_id, 20)).is_finished


@pytest.mark.parametrize("settings", ["api_key"], indirect=True)
async def test_a_user_who_has_as_many_jobs_running_as_may_be_gets_the_next_one_when_one_ends(
    held: Held, services: Services, worker: JobRunner
) -> None:
    first = await add_job(services)
    await held.begun.wait()
    second = await add_job(services)
    async with asyncio.timeout(20):
        while True:  # until the worker has looked at it
            with statements(services) as sent:
                await services.jobs.wait(LOCAL_USER_ID, second, 0.4)
            if all(one.startswith("SELECT jobs.id") for one in sent):
                break
    assert (await services.jobs.get(LOCAL_USER_ID, second)).status == "queued"
    held.go.set()
    for job_id in (first, second):
        assert (await services.jobs.wait(LOCAL_USER_ID, job_id, 20)).is_finished


async def test_a_job_whose_worker_died_is_taken_over_when_its_lease_ends(
    held: Held, services: Services, idle_client: httpx.AsyncClient, settings: Settings
) -> None:
    held.go.set()
    job_id = await add_job(services)
    async with services.database.transaction() as session:
        job = await runner.claims.claim(session, worker="dead", kinds=["quality"], lease_s=0.5)
    assert job is not None
    other = JobRunner(services, settings.jobs)
    running = asyncio.create_task(other.run())
    try:
        assert (await services.jobs.wait(LOCAL_USER_ID, job_id, 20)).is_finished
    finally:
        await other.stop()
        await asyncio.wait_for(running, 20)


async def test_a_worker_that_has_claimed_the_only_job_does_not_look_for_another(
    held: Held, services: Services, worker: JobRunner
) -> None:
    held.go.set()
    first = await add_job(services)
    await services.jobs.wait(LOCAL_USER_ID, first, 20)  # by now it has looked at what there was at its start
    with statements(services) as sent:
        second = await add_job(services)
        await services.jobs.wait(LOCAL_USER_ID, second, 20)
    assert len([one for one in sent if "turns AS" in one]) == 1
