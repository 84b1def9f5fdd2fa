"""The durable queue: no job is lost, none is done twice, no user starves."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from deployments.errors import Overloaded
from serve_app.store.queue import claims, jobs
from serve_app.store.queue.claims import LeaseLost
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories import albums, results, users
from serve_app.store.repositories.users import LOCAL_USER_ID
from serve_app.store.session import Database

LEASE_S = 60.0


@pytest.fixture
async def session(database: Database) -> AsyncIterator[AsyncSession]:
    """A transaction that is rolled back (the queue's clock runs on within it)."""
    async with database.transaction() as session:
        yield session
        await session.rollback()


async def enqueue(session: AsyncSession, kind: str = "tags", **values: Any) -> QueuedJob:
    options = {"user_id": LOCAL_USER_ID, "payload": {}, "max_attempts": 3, **values}
    return await jobs.enqueue(session, kind=kind, **options)


async def claim(session: AsyncSession, *kinds: str, lease_s: float = LEASE_S, **options: Any) -> QueuedJob | None:
    return await claims.claim(session, worker="test", kinds=kinds or ("tags",), lease_s=lease_s, **options)


async def claimed(session: AsyncSession, *kinds: str, **options: Any) -> QueuedJob:
    job = await claim(session, *kinds, **options)
    assert job is not None
    return job


async def now(session: AsyncSession, job: QueuedJob) -> QueuedJob:
    found = await jobs.get(session, job.id)
    assert found is not None
    return found


async def expire(session: AsyncSession, job: QueuedJob) -> None:
    await session.execute(
        text("UPDATE jobs SET lease_until = clock_timestamp() - interval '1 ms' WHERE id = :id"), {"id": job.id}
    )


# Waiting and running


async def test_a_job_goes_from_queued_over_running_to_succeeded(session: AsyncSession) -> None:
    queued = await enqueue(session, payload={"album": 1})
    running = await claimed(session)
    assert (queued.status, running.id, running.status, running.attempt) == ("queued", queued.id, "running", 1)
    assert running.payload == {"album": 1}
    await claims.complete(session, running, {"tags": []})
    done = await now(session, running)
    assert (done.status, done.progress, done.result, done.is_finished) == ("succeeded", 1.0, {"tags": []}, True)
    assert done.finished_at is not None
    assert await claim(session) is None


async def test_a_job_is_visible_only_together_with_its_rows(database: Database) -> None:
    async with database.transaction() as writing:
        await enqueue(writing)
        async with database.transaction() as reading:
            assert await claim(reading) is None
    async with database.transaction() as reading:
        assert await claim(reading) is not None


async def test_a_worker_takes_only_the_kinds_it_knows(session: AsyncSession) -> None:
    await enqueue(session, kind="people")
    assert await claim(session, "tags", "duplicates") is None
    assert await claim(session, "tags", "people") is not None


async def test_jobs_of_one_user_run_in_the_order_they_came_but_for_priority(session: AsyncSession) -> None:
    ids = [(await enqueue(session)).id for _ in range(3)]
    urgent = await enqueue(session, priority=1)
    assert [(await claimed(session)).id for _ in range(4)] == [urgent.id, *ids]


async def age(session: AsyncSession, job: QueuedJob, seconds: float) -> None:
    statement = text("UPDATE jobs SET created_at = created_at - make_interval(secs => :s) WHERE id = :id")
    await session.execute(statement, {"s": seconds, "id": job.id})


async def test_age_lifts_a_job_above_later_ones_of_higher_priority(session: AsyncSession) -> None:
    old, young = await enqueue(session), await enqueue(session)
    urgent = await enqueue(session, priority=1)
    await age(session, old, 121)
    await age(session, young, 119)
    order = [await claimed(session, head_start_s=120) for _ in range(3)]
    assert [job.id for job in order] == [old.id, urgent.id, young.id]


async def test_an_earlier_job_does_not_wait_behind_thirty_later_ones_of_another_user(session: AsyncSession) -> None:
    eva = (await users.add(session, "eva", "eva@example.org")).id
    early = await enqueue(session, kind="embeddings")
    for _ in range(30):
        await enqueue(session, user_id=eva, priority=1)
    order = [await claim(session, "tags", "embeddings") for _ in range(2)]
    assert early.id in [job.id for job in order if job is not None]


async def test_a_user_leaves_a_slot_of_the_worker_to_others(session: AsyncSession) -> None:
    eva = (await users.add(session, "eva", "eva@example.org")).id
    for _ in range(4):
        await enqueue(session)
    for _ in range(3):
        await claimed(session, slots_per_user=3)
    assert await claim(session, slots_per_user=3) is None
    hers = await enqueue(session, user_id=eva)
    assert (await claimed(session, slots_per_user=3)).id == hers.id
    elsewhere = await claims.claim(session, worker="other", kinds=("tags",), lease_s=LEASE_S, slots_per_user=3)
    assert elsewhere is not None
    assert elsewhere.user_id == LOCAL_USER_ID


async def test_a_delayed_job_waits_for_its_time(session: AsyncSession) -> None:
    await enqueue(session, delay_s=3600)
    assert await claim(session) is None


async def test_users_take_turns_however_many_jobs_one_of_them_queues(session: AsyncSession) -> None:
    eva = (await users.add(session, "eva", "eva@example.org")).id
    for _ in range(5):
        await enqueue(session)
    for _ in range(2):
        await enqueue(session, user_id=eva)
    order = [(await claimed(session)).user_id for _ in range(7)]
    assert order[:4] in ([LOCAL_USER_ID, eva] * 2, [eva, LOCAL_USER_ID] * 2)


async def test_two_jobs_of_one_kind_do_not_run_on_one_album_at_once(session: AsyncSession) -> None:
    album = await albums.open_album(session, LOCAL_USER_ID, "holiday")
    other = await albums.open_album(session, LOCAL_USER_ID, "other")
    first = await enqueue(session, album_id=album.id)
    second = await enqueue(session, album_id=album.id)
    elsewhere = await enqueue(session, album_id=other.id)
    people = await enqueue(session, kind="people", album_id=album.id)
    running = [await claimed(session, lease_s=LEASE_S) for _ in range(2)]
    assert [job.id for job in running] == [first.id, elsewhere.id]
    assert (await claim(session, "people")).id == people.id  # type: ignore[union-attr]
    assert await claim(session) is None
    await claims.complete(session, running[0], {})
    assert (await claimed(session)).id == second.id


async def test_an_analysis_waits_for_pictures_posted_to_its_album_before_it(session: AsyncSession) -> None:
    album = await albums.open_album(session, LOCAL_USER_ID, "holiday")
    before = await enqueue(session, album_id=album.id)
    await enqueue(session, kind="embeddings", album_id=album.id)
    after = await enqueue(session, kind="people", album_id=album.id)
    assert (await claimed(session)).id == before.id
    assert await claim(session, "people") is None
    reading = await claim(session, "embeddings")
    assert reading is not None
    assert await claim(session, "people") is None
    await claims.complete(session, reading, {})
    assert (await claim(session, "people")).id == after.id  # type: ignore[union-attr]


# Asking for work


async def test_the_same_work_asked_for_twice_is_one_job_until_it_ends(session: AsyncSession) -> None:
    first = await enqueue(session, dedupe_key="album 1 v1")
    assert (await enqueue(session, dedupe_key="album 1 v1")).id == first.id
    assert (await enqueue(session, dedupe_key="album 1 v2")).id != first.id
    running = await claimed(session)
    assert (await enqueue(session, dedupe_key="album 1 v1")).id == first.id
    await claims.complete(session, running, {})
    assert (await enqueue(session, dedupe_key="album 1 v1")).id != first.id


async def test_a_cancelled_job_does_not_stand_for_the_same_work_asked_for_anew(session: AsyncSession) -> None:
    await enqueue(session, dedupe_key="key")
    running = await claimed(session)
    await jobs.cancel(session, LOCAL_USER_ID, running.id)
    assert (await enqueue(session, dedupe_key="key")).id != running.id


async def test_the_same_work_asked_for_at_once_is_one_job(database: Database) -> None:
    async def ask() -> str:
        async with database.transaction() as session:
            return (await enqueue(session, dedupe_key="key")).id

    assert len(set(await asyncio.gather(*(ask() for _ in range(8))))) == 1


async def test_a_full_queue_refuses_with_a_hint_when_to_come_back(session: AsyncSession) -> None:
    for _ in range(3):
        await enqueue(session, max_queued=3, dedupe_key=None)
    known = await enqueue(session, dedupe_key="known")
    with pytest.raises(Overloaded) as refused:
        await enqueue(session, max_queued=3)
    assert 5 <= refused.value.retry_after_s <= 60
    assert (await enqueue(session, max_queued=3, dedupe_key="known")).id == known.id


async def test_a_users_waiting_jobs_take_no_place_of_another_user(session: AsyncSession) -> None:
    eva = (await users.add(session, "eva", "eva@example.org")).id
    for _ in range(3):
        await enqueue(session, max_queued=3, max_queued_total=5)
    with pytest.raises(Overloaded) as refused:
        await enqueue(session, max_queued=3, max_queued_total=5)
    assert (refused.value.extra["quota"], refused.value.extra["limit"]) == ("jobs.max_queued", 3)
    assert (await enqueue(session, user_id=eva, max_queued=3, max_queued_total=5)).user_id == eva


async def test_the_queue_of_all_users_has_a_bound_too(session: AsyncSession) -> None:
    eva = (await users.add(session, "eva", "eva@example.org")).id
    for user in (LOCAL_USER_ID, LOCAL_USER_ID, eva):
        await enqueue(session, user_id=user, max_queued=3, max_queued_total=3)
    with pytest.raises(Overloaded) as refused:
        await enqueue(session, user_id=eva, max_queued=3, max_queued_total=3)
    assert refused.value.extra["quota"] == "jobs.max_queued_total"


async def test_follow_up_jobs_take_no_place_in_the_queue(session: AsyncSession) -> None:
    for kind in ("tags", "people", "duplicates"):
        await enqueue(session, kind=kind, is_follow_up=True)
    assert (await enqueue(session, max_queued=1, max_queued_total=1)).status == "queued"


# Leases and fences


async def test_a_job_whose_lease_expired_is_claimed_again(session: AsyncSession) -> None:
    await enqueue(session)
    first = await claimed(session)
    assert await claim(session) is None
    await expire(session, first)
    second = await claimed(session)
    assert (second.id, second.attempt) == (first.id, 2)


async def test_a_heartbeat_keeps_the_job(session: AsyncSession) -> None:
    await enqueue(session)
    job = await claimed(session)
    await expire(session, job)
    assert await claims.heartbeat(session, job, lease_s=LEASE_S, progress=0.5, eta_s=9) == "ok"
    assert await claim(session) is None
    after = await now(session, job)
    assert (after.progress, after.eta_s) == (0.5, 9)
    assert await claims.heartbeat(session, job, lease_s=LEASE_S) == "ok"
    assert (await now(session, job)).progress == 0.5


async def test_a_worker_that_lost_the_job_cannot_write_to_it(session: AsyncSession) -> None:
    await enqueue(session)
    zombie = await claimed(session)
    await expire(session, zombie)
    heir = await claimed(session)
    assert await claims.heartbeat(session, zombie, lease_s=LEASE_S, progress=1.0) == "lost"
    for late_word in (
        claims.complete(session, zombie, {"from": "zombie"}),
        claims.fail(session, zombie, {}),
        claims.hand_back(session, zombie),
        claims.postpone(session, zombie, {}, pause_s=0, limit_s=60),
        claims.acknowledge_cancel(session, zombie),
    ):
        with pytest.raises(LeaseLost):
            await late_word
    assert await now(session, heir) == heir


async def test_a_late_result_is_rolled_back_with_its_refused_completion(database: Database) -> None:
    async with database.transaction() as session:
        album = await albums.open_album(session, LOCAL_USER_ID, "holiday")
        await enqueue(session, album_id=album.id)
        zombie = await claimed(session)
    async with database.transaction() as session:
        await expire(session, zombie)
        await claimed(session)

    async def finish() -> None:
        async with database.transaction() as session:
            await results.save(session, album.id, "tags", "key", 1, {"from": "zombie"})
            await claims.complete(session, zombie, {})

    with pytest.raises(LeaseLost):
        await finish()
    async with database.transaction() as session:
        assert await results.load_latest(session, album.id) == {}


async def test_a_job_that_kills_its_workers_is_given_up(session: AsyncSession) -> None:
    await enqueue(session, max_attempts=2)
    for _ in range(2):
        await expire(session, await claimed(session))
    assert await claim(session) is None
    [failed] = await jobs.load_page(session, LOCAL_USER_ID, 10)
    assert (failed.status, failed.attempt) == ("failed", 2)
    assert failed.problem is not None
    assert failed.problem["status"] == 500


async def test_a_lease_that_ran_out_while_the_database_was_away_is_no_failure(session: AsyncSession) -> None:
    await enqueue(session, max_attempts=1)
    job = await claimed(session)
    before = "UPDATE jobs SET lease_until = pg_postmaster_start_time() - interval '1 s' WHERE id = :id"
    await session.execute(text(before), {"id": job.id})
    again = await claimed(session)
    assert (again.id, again.attempt, again.failures) == (job.id, 2, 0)


async def test_a_job_without_what_it_needs_waits_however_often_and_its_failures_stay_its_own(
    session: AsyncSession,
) -> None:
    await enqueue(session, max_attempts=2)
    for number in range(1, 6):
        job = await claimed(session)
        assert await claims.postpone(session, job, {"title": "away"}, pause_s=0, limit_s=60) == "queued"
        waiting = await now(session, job)
        assert (waiting.attempt, waiting.failures, waiting.postponements) == (number, 0, number)
    assert waiting.postponed_since is not None
    assert waiting.problem == {"title": "away"}
    assert await claims.fail(session, await claimed(session), {}, retry_in_s=0) == "queued"
    tried = await now(session, job)
    assert (tried.failures, tried.postponements, tried.postponed_since) == (1, 0, None)
    assert await claims.fail(session, await claimed(session), {}, retry_in_s=0) == "failed"


async def test_a_job_that_waits_is_not_claimed_before_its_pause_is_over(session: AsyncSession) -> None:
    await enqueue(session)
    await claims.postpone(session, await claimed(session), {}, pause_s=3600, limit_s=7200)
    assert await claim(session) is None


async def test_a_job_that_has_waited_too_long_fails_with_what_it_waited_for(session: AsyncSession) -> None:
    await enqueue(session)
    job = await claimed(session)
    await claims.postpone(session, job, {"title": "away"}, pause_s=0, limit_s=3600)
    await session.execute(text("UPDATE jobs SET postponed_since = now() - interval '2 hours'"))
    job = await claimed(session)
    assert await claims.postpone(session, job, {"title": "still away"}, pause_s=0, limit_s=3600) == "failed"
    assert (await now(session, job)).problem == {"title": "still away"}


async def test_a_job_that_stores_what_it_does_keeps_its_progress(session: AsyncSession) -> None:
    for kind, kept in (("embeddings", 0.6), ("tags", 0.0)):
        await enqueue(session, kind=kind)
        job = await claimed(session, "embeddings", "tags")
        await claims.heartbeat(session, job, lease_s=LEASE_S, progress=0.6)
        await claims.postpone(session, job, {}, pause_s=0, limit_s=60)
        again = await claimed(session, "embeddings", "tags")
        assert (again.kind, again.progress) == (kind, pytest.approx(kept))
        await claims.complete(session, again, {})


async def test_a_job_that_gets_on_between_failures_is_not_given_up(session: AsyncSession) -> None:
    await enqueue(session, kind="embeddings", max_attempts=2)
    for share in (0.2, 0.4, 0.6, 0.8):
        job = await claimed(session, "embeddings", "tags")
        await claims.heartbeat(session, job, lease_s=LEASE_S, progress=share)
        await expire(session, job)
    job = await claimed(session, "embeddings", "tags")
    assert job.failures == 1
    await claims.heartbeat(session, job, lease_s=LEASE_S, progress=0.8)  # no further than before
    await expire(session, job)
    assert await claim(session, "embeddings") is None
    assert (await now(session, job)).status == "failed"


async def test_a_job_with_a_technical_failure_waits_and_is_tried_again(session: AsyncSession) -> None:
    await enqueue(session, max_attempts=2)
    assert await claims.fail(session, await claimed(session), {"title": "busy"}, retry_in_s=3600) == "queued"
    assert await claim(session) is None
    await session.execute(text("UPDATE jobs SET run_after = now()"))
    job = await claimed(session)
    assert job.attempt == 2
    assert await claims.fail(session, job, {"title": "busy"}, retry_in_s=0) == "failed"


async def test_a_job_with_a_final_failure_is_not_tried_again(session: AsyncSession) -> None:
    await enqueue(session)
    job = await claimed(session)
    assert await claims.fail(session, job, {"title": "no face", "status": 422}) == "failed"
    assert (await now(session, job)).problem == {"title": "no face", "status": 422}
    assert await claim(session) is None


async def test_a_worker_that_shuts_down_hands_its_job_back_at_no_cost(session: AsyncSession) -> None:
    await enqueue(session, max_attempts=1)
    await claims.hand_back(session, await claimed(session))
    again = await claimed(session)
    assert again.attempt == 2
    assert await claims.fail(session, again, {}, retry_in_s=0) == "failed"


def test_waits_between_attempts_grow_within_bounds() -> None:
    for attempt in range(1, 50):
        longest = min(300.0, 2.0 * 2.0 ** (attempt - 1))
        assert longest / 2 <= claims.backoff_s(attempt) <= longest


# Cancelling


async def test_a_waiting_job_is_cancelled_at_once(session: AsyncSession) -> None:
    job = await enqueue(session)
    cancelled = await jobs.cancel(session, LOCAL_USER_ID, job.id)
    assert cancelled is not None
    assert (cancelled.status, cancelled.is_finished) == ("cancelled", True)
    assert await claim(session) is None


async def test_a_running_job_is_asked_to_stop_before_it_is_cancelled(session: AsyncSession) -> None:
    await enqueue(session)
    job = await claimed(session)
    asked = await jobs.cancel(session, LOCAL_USER_ID, job.id)
    assert asked is not None
    assert (asked.status, asked.cancel_requested) == ("running", True)
    assert await claims.heartbeat(session, job, lease_s=LEASE_S) == "cancel"
    await claims.acknowledge_cancel(session, job)
    assert (await now(session, job)).status == "cancelled"


@pytest.mark.parametrize("end", ["fail", "hand_back", "expire"])
async def test_a_cancelled_job_is_not_tried_again(session: AsyncSession, end: str) -> None:
    await enqueue(session)
    job = await claimed(session)
    await jobs.cancel(session, LOCAL_USER_ID, job.id)
    if end == "fail":
        await claims.fail(session, job, {}, retry_in_s=0)
    elif end == "hand_back":
        await claims.hand_back(session, job)
    else:
        await expire(session, job)
    assert await claim(session) is None
    assert (await now(session, job)).status == "cancelled"


async def test_cancelling_an_ended_job_or_anothers_job_changes_nothing(session: AsyncSession) -> None:
    await enqueue(session)
    job = await claimed(session)
    await claims.complete(session, job, {})
    after = await jobs.cancel(session, LOCAL_USER_ID, job.id)
    assert after is not None
    assert (after.status, after.cancel_requested) == ("succeeded", False)
    eva = await users.add(session, "eva", "eva@example.org")
    waiting = await enqueue(session)
    assert await jobs.cancel(session, eva.id, waiting.id) is None
    assert await jobs.get(session, waiting.id, user_id=eva.id) is None
    assert (await now(session, waiting)).status == "queued"


# Looking at the queue


async def test_only_old_finished_jobs_are_deleted(database: Database) -> None:
    async with database.transaction() as session:
        await enqueue(session)
        await claims.complete(session, await claimed(session), {})
        waiting = await enqueue(session)
    async with database.transaction() as session:
        assert await jobs.remove_finished(session, 60) == 0
        assert await jobs.remove_finished(session, 0) == 1
        assert [job.id for job in await jobs.load_page(session, LOCAL_USER_ID, 10)] == [waiting.id]


async def test_unfinished_jobs_are_counted_by_kind_and_status(session: AsyncSession) -> None:
    for kind in ("tags", "tags", "people"):
        await enqueue(session, kind=kind)
    await claimed(session)
    counts = await jobs.count_by_status(session)
    assert counts == {("tags", "running"): 1, ("tags", "queued"): 1, ("people", "queued"): 1}


async def test_lanes_tell_what_waits_runs_and_was_put_off_and_for_how_long(session: AsyncSession) -> None:
    empty = jobs.LaneState()
    assert await jobs.load_lanes(session) == {"analyses": empty, "generations": empty}
    for kind in ("tags", "tags", "people"):
        await enqueue(session, kind=kind)
    await enqueue(session, kind="style", delay_s=60.0)
    await claims.postpone(session, await claimed(session), {}, pause_s=60.0, limit_s=3600.0)
    await claimed(session, "people")
    await session.execute(text("UPDATE jobs SET run_after = run_after - interval '90 s' WHERE kind = 'tags'"))
    lanes = await jobs.load_lanes(session)
    assert (lanes["analyses"].queued, lanes["analyses"].running, lanes["analyses"].postponed) == (2, 1, 1)
    assert 90.0 <= lanes["analyses"].oldest_s < 150.0
    assert lanes["analyses"].due == 2, "the one that was put off is due as well by now"
    assert lanes["generations"] == jobs.LaneState(queued=1), "a job that is not due yet has not waited"


async def test_a_job_keeps_the_id_of_the_request_that_it_was_made_for(session: AsyncSession) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        await enqueue(session)
    assert (await claimed(session)).request_id == "r-1"
    await enqueue(session)
    assert (await claimed(session)).request_id is None


async def test_an_albums_jobs_are_listed_newest_first(session: AsyncSession) -> None:
    album = await albums.open_album(session, LOCAL_USER_ID, "holiday")
    made = [(await enqueue(session, album_id=album.id)).id for _ in range(3)]
    await enqueue(session)
    assert [job.id for job in await jobs.load_for_album(session, album.id)] == made[::-1]


# Many at once, and death


async def test_eight_workers_run_a_hundred_jobs_once_each_and_never_two_on_one_album(database: Database) -> None:
    async with database.transaction() as session:
        places = [await albums.open_album(session, LOCAL_USER_ID, str(number)) for number in range(10)]
        made = {
            (await enqueue(session, album_id=places[number % 20].id if number % 20 < 10 else None)).id
            for number in range(100)
        }
    runs: list[str] = []
    busy: set[str] = set()

    async def work() -> None:
        while len(runs) < len(made):
            async with database.transaction() as session:
                job = await claim(session)
            if job is None:
                await asyncio.sleep(0)
                continue
            if job.album_id is not None:
                assert job.album_id not in busy
                busy.add(job.album_id)
            await asyncio.sleep(0)
            async with database.transaction() as session:
                if job.album_id is not None:
                    busy.remove(job.album_id)
                runs.append(job.id)
                await claims.complete(session, job, {})

    await asyncio.gather(*(work() for _ in range(8)))
    assert sorted(runs) == sorted(made)
    async with database.transaction() as session:
        assert await session.scalar(text("SELECT max(attempt) FROM jobs WHERE status = 'succeeded'")) == 1


WORKER = """
import asyncio, sys
from serve_app.store.queue import claims
from serve_app.store.repositories import results
from serve_app.store.session import Database

async def main():
    database = Database(sys.argv[1], application_name="victim")
    async with database.transaction() as session:
        job = await claims.claim(session, worker="victim", kinds=["tags"], lease_s=0.2)
    async with database.transaction() as session:
        await results.save(session, job.album_id, "tags", f"attempt {job.attempt}", 1, {})
        await claims.complete(session, job, {"by": "victim"})
        print("about to commit", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_a_job_whose_worker_is_killed_is_finished_once_by_another(database: Database) -> None:
    async with database.transaction() as session:
        album = await albums.open_album(session, LOCAL_USER_ID, "holiday")
        queued = await enqueue(session, album_id=album.id)
    victim = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, database.dsn, stdout=asyncio.subprocess.PIPE
    )
    assert victim.stdout is not None
    assert await victim.stdout.readline() == b"about to commit\n"
    os.kill(victim.pid, signal.SIGKILL)
    await victim.communicate()
    job = None
    while job is None:  # until the lease has run out
        async with database.transaction() as session:
            job = await claim(session)
    assert (job.id, job.attempt) == (queued.id, 2)
    async with database.transaction() as session:
        await results.save(session, album.id, "tags", f"attempt {job.attempt}", 1, {})
        await claims.complete(session, job, {"by": "heir"})
    async with database.transaction() as session:
        assert (await now(session, job)).result == {"by": "heir"}
        assert await results.find(session, album.id, "tags", "attempt 1") is None
        assert await results.find(session, album.id, "tags", "attempt 2") is not None
