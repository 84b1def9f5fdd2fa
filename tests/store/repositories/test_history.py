"""The history has every request once, with its outcome."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from deployments.errors import InvalidRequest
from serve_app.store.queue import claims, jobs
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories import history, images, users
from serve_app.store.repositories.history import HistoryEntry
from serve_app.store.repositories.users import LOCAL_USER_ID
from tests.support.rows import an_image

PROBLEM = {"type": "/problems/provider-rejected", "status": 422, "detail": "refused"}


async def a_job(session: AsyncSession) -> QueuedJob:
    """A style job that this worker holds."""
    await jobs.enqueue(session, user_id=LOCAL_USER_ID, kind="style", payload={}, max_attempts=3)
    job = await claims.claim(session, worker="w", kinds=["style"], lease_s=30)
    assert job is not None
    return job


async def a_generation(session: AsyncSession, job_id: str | None = None, **values: object) -> HistoryEntry:
    parameters = {"style_name": "oil"}
    return await history.start(session, LOCAL_USER_ID, "style", parameters, job_id=job_id, **values)  # type: ignore[arg-type]


async def reread(session: AsyncSession, generation: HistoryEntry) -> HistoryEntry:
    found = await history.get(session, LOCAL_USER_ID, generation.id)
    assert found is not None
    return found


async def test_a_successful_row_reads_back_complete(session: AsyncSession) -> None:
    image, first, second = [await an_image(session, name) for name in ("in", "out 1", "out 2")]
    started = await a_generation(session, "job_x", input_ref="https://example.org/a.jpg")
    await history.describe(session, started.id, input_image_id=image.id, parameters={"seed": 7})
    assert await history.succeed(session, started.id, [second.id, first.id], "opencv")
    read = await reread(session, started)
    assert read.id.startswith("gen_")
    assert (read.kind, read.status, read.engine, read.problem) == ("style", "succeeded", "opencv", None)
    assert (read.input_ref, read.input_image_id) == ("https://example.org/a.jpg", image.id)
    assert read.output_image_ids == [second.id, first.id]
    assert read.parameters == {"style_name": "oil", "seed": 7}
    assert read.duration_s is not None
    assert read.duration_s >= 0


async def test_a_failed_row_keeps_its_problem(session: AsyncSession) -> None:
    started = await a_generation(session)
    assert (started.status, started.duration_s) == ("started", None)
    assert await history.fail(session, started.id, PROBLEM)
    read = await reread(session, started)
    assert (read.status, read.problem, read.output_image_ids) == ("failed", PROBLEM, [])


async def test_a_row_that_has_ended_stays_as_it_is(session: AsyncSession) -> None:
    started = await a_generation(session)
    assert await history.cancel(session, started.id)
    ended = await reread(session, started)
    assert ended.status == "cancelled"
    assert not await history.succeed(session, started.id, ["img_x"], "opencv")
    assert not await history.fail(session, started.id, PROBLEM)
    assert not await history.cancel(session, started.id)
    await history.describe(session, started.id, parameters={"late": True})
    assert await reread(session, started) == ended


async def test_another_attempt_of_a_job_finds_its_row_again(session: AsyncSession) -> None:
    first = await a_generation(session, "job_x")
    again = await history.start(session, LOCAL_USER_ID, "style", {"seed": 3}, job_id="job_x")
    assert (again.id, again.created_at) == (first.id, first.created_at)
    assert again.started_at > first.started_at
    assert again.parameters == {"seed": 3}
    assert await session.scalar(text("SELECT count(*) FROM generations")) == 1


async def test_another_attempt_of_a_job_that_has_ended_changes_nothing(session: AsyncSession) -> None:
    first = await a_generation(session, "job_x")
    await history.succeed(session, first.id, ["img_x"], "opencv")
    ended = await reread(session, first)
    assert await history.start(session, LOCAL_USER_ID, "style", {"seed": 3}, job_id="job_x") == ended


async def test_requests_without_a_job_have_a_row_each(session: AsyncSession) -> None:
    assert (await a_generation(session)).id != (await a_generation(session)).id


async def test_a_job_that_fails_ends_its_row(session: AsyncSession) -> None:
    job = await a_job(session)
    started = await a_generation(session, job.id)
    assert await claims.fail(session, job, PROBLEM) == "failed"
    read = await reread(session, started)
    assert (read.status, read.problem) == ("failed", PROBLEM)


async def test_a_job_that_is_tried_again_leaves_its_row_open_until_it_is_cancelled(session: AsyncSession) -> None:
    job = await a_job(session)
    started = await a_generation(session, job.id)
    assert await claims.fail(session, job, PROBLEM, retry_in_s=60) == "queued"
    assert (await reread(session, started)).status == "started"
    await jobs.cancel(session, LOCAL_USER_ID, job.id)
    assert (await reread(session, started)).status == "cancelled"


async def test_a_running_job_that_is_cancelled_ends_its_row_when_the_worker_stops(session: AsyncSession) -> None:
    job = await a_job(session)
    started = await a_generation(session, job.id)
    await jobs.cancel(session, LOCAL_USER_ID, job.id)
    assert (await reread(session, started)).status == "started"
    await claims.acknowledge_cancel(session, job)
    read = await reread(session, started)
    assert (read.status, read.problem) == ("cancelled", None)


async def test_a_job_that_was_given_up_ends_its_row(session: AsyncSession) -> None:
    job = await a_job(session)
    started = await a_generation(session, job.id)
    expired = "UPDATE jobs SET lease_until = now() - interval '1 second', failures = max_attempts - 1"
    await session.execute(text(expired))
    await claims.requeue_expired(session)
    read = await reread(session, started)
    assert (read.status, read.problem) == ("failed", claims.LOST_PROBLEM)


async def test_pages_go_through_every_row_of_the_kind_once_newest_first(session: AsyncSession) -> None:
    other = await users.add(session, "eva", "eva@example.org")
    made = []
    for _ in range(5):
        made.append((await a_generation(session)).id)
        await history.start(session, LOCAL_USER_ID, "txt2img", {})
        await history.start(session, other.id, "style", {})
    seen: list[str] = []
    while page := await history.load_page(
        session, LOCAL_USER_ID, limit=2, kind="style", cursor=seen[-1] if seen else None
    ):
        seen += [one.id for one in page]
    assert seen == made[::-1]
    assert len(await history.load_page(session, LOCAL_USER_ID, limit=50)) == 10


@pytest.mark.parametrize("cursor", ["", "gen_", "img_0000000000000000000000abcd", "gen_" + "u" * 26, "gen_' OR 1=1"])
async def test_a_cursor_that_is_none_is_refused(session: AsyncSession, cursor: str) -> None:
    with pytest.raises(InvalidRequest):
        await history.load_page(session, LOCAL_USER_ID, limit=2, cursor=cursor)


async def test_a_row_is_found_by_its_user_only(session: AsyncSession) -> None:
    other = await users.add(session, "eva", "eva@example.org")
    started = await a_generation(session)
    assert await history.get(session, other.id, started.id) is None


async def test_the_history_outlives_the_pictures_that_it_tells_of(session: AsyncSession) -> None:
    image = await an_image(session)
    started = await a_generation(session, input_image_id=image.id)
    await history.succeed(session, started.id, [image.id], "opencv")
    await images.remove(session, LOCAL_USER_ID, image.id)
    assert (await reread(session, started)).input_image_id is None


async def test_the_history_goes_with_its_user(session: AsyncSession) -> None:
    other = await users.add(session, "eva", "eva@example.org")
    await history.start(session, other.id, "style", {})
    await session.execute(text("DELETE FROM users WHERE id = :id"), {"id": other.id})
    assert await session.scalar(text("SELECT count(*) FROM generations")) == 0
