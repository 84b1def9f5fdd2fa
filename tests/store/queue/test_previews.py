"""Previews of running jobs in the database: asked for, made, and gone."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from serve_app.store.queue import claims, jobs, previews
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories import users
from serve_app.store.session import Database


async def running(session: AsyncSession) -> QueuedJob:
    await jobs.enqueue(session, user_id=users.LOCAL_USER_ID, kind="txt2img", payload={}, max_attempts=3)
    job = await claims.claim(session, worker="w", kinds=["txt2img"], lease_s=30)
    assert job is not None
    return job


async def test_a_preview_that_was_asked_for_is_stored_and_numbered(session: AsyncSession) -> None:
    job = await running(session)
    assert not await previews.is_asked(session, job.id)
    assert await previews.ask(session, job.id) is None
    assert await previews.is_asked(session, job.id)
    for number in (1, 2):
        assert await previews.store(session, job.id, b"image %d" % number)
        assert await previews.ask(session, job.id) == previews.JobPreview(number, b"image %d" % number)


async def test_a_preview_that_nobody_asked_for_is_not_stored(session: AsyncSession) -> None:
    job = await running(session)
    assert not await previews.store(session, job.id, b"image")
    assert await previews.ask(session, job.id) is None


async def test_a_question_counts_for_some_seconds(session: AsyncSession) -> None:
    job = await running(session)
    await previews.ask(session, job.id)
    await session.execute(text("UPDATE job_previews SET asked_at = now() - interval '11 s'"))
    assert not await previews.is_asked(session, job.id)
    assert not await previews.store(session, job.id, b"image")
    await previews.ask(session, job.id)
    assert await previews.is_asked(session, job.id)


async def test_the_previews_of_a_job_go_when_it_ends_and_none_comes_after(session: AsyncSession) -> None:
    job = await running(session)
    await previews.ask(session, job.id)
    await claims.complete(session, job, {})
    assert not await previews.is_asked(session, job.id)
    assert await previews.ask(session, job.id) is None
    assert not await previews.is_asked(session, job.id)


async def test_a_waiting_job_has_no_previews(database: Database) -> None:
    async with database.transaction() as session:
        job = await jobs.enqueue(session, user_id=users.LOCAL_USER_ID, kind="txt2img", payload={}, max_attempts=3)
        assert await previews.ask(session, job.id) is None
        assert not await previews.is_asked(session, job.id)
        await session.rollback()
