"""Jobs, wait preferences and repeated requests over HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from configs.settings import Settings
from deployments.errors import NotFound, Unavailable
from serve_app.services.container import Services
from serve_app.services.jobs.progress import Progress
from serve_app.services.runner import JobRunner
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories.users import LOCAL_USER_ID
from tests.api.conftest import assert_problem, upload
from tests.support.builders import an_image, encoded
from tests.support.fakes import FakeCapabilities

ASYNC = {"Prefer": "respond-async"}


async def _job(client: httpx.AsyncClient) -> dict[str, object]:
    refs = await upload(client, encoded(an_image(), "PNG"))
    response = await client.post("/api/v1/albums/tags", json={"images": refs}, headers=ASYNC)
    assert response.status_code == 202
    assert response.headers["location"] == f"/api/v1/jobs/{response.json()['id']}"
    return dict(response.json())


async def test_prefer_respond_async_answers_202_with_the_jobs_address(idle_client: httpx.AsyncClient) -> None:
    job = await _job(idle_client)
    assert (job["kind"], job["status"], job["progress"], job["result"]) == ("tags", "queued", 0, None)


async def test_a_job_that_outlasts_the_clients_wait_answers_202(idle_client: httpx.AsyncClient) -> None:
    refs = await upload(idle_client, encoded(an_image(), "PNG"))
    response = await idle_client.post("/api/v1/albums/tags", json={"images": refs}, headers={"Prefer": "wait=0"})
    assert response.status_code == 202


@pytest.mark.parametrize(
    "prefer",
    [
        ["respond-async"],
        ["Respond-Async"],
        ["return=minimal", "respond-async"],
        ["handling=lenient, respond-async; q=1"],
        ["wait=0"],
        ['wait = "0"'],
        ["respond-async, wait=0"],
        ["wait=0", "wait=30"],
    ],
)
async def test_preferences_are_read_as_rfc_7240_spells_them(idle_client: httpx.AsyncClient, prefer: list[str]) -> None:
    refs = await upload(idle_client, encoded(an_image(), "PNG"))
    headers = [("Prefer", value) for value in prefer]
    response = await asyncio.wait_for(
        idle_client.post("/api/v1/albums/tags", json={"images": refs}, headers=headers), 10
    )
    assert response.status_code == 202


async def test_respond_async_with_a_wait_gives_the_answer_that_comes_within_it(client: httpx.AsyncClient) -> None:
    refs = await upload(client, encoded(an_image(), "PNG"))
    headers = {"Prefer": "respond-async, wait=15"}
    assert (await client.post("/api/v1/albums/tags", json={"images": refs}, headers=headers)).status_code == 200


async def test_an_unknown_preference_changes_nothing(client: httpx.AsyncClient) -> None:
    refs = await upload(client, encoded(an_image(), "PNG"))
    headers = {"Prefer": "wait=soon, no-respond-async, =, ;"}
    assert (await client.post("/api/v1/albums/tags", json={"images": refs}, headers=headers)).status_code == 200


async def test_a_finished_job_holds_what_the_call_would_have_answered(client: httpx.AsyncClient) -> None:
    refs = await upload(client, encoded(an_image(), "PNG"))
    later = await client.post("/api/v1/albums/quality", json={"images": refs}, headers=ASYNC)
    at_once = await client.post("/api/v1/albums/quality", json={"images": refs})
    events = await client.get(later.headers["location"] + "/events")
    last = json.loads(events.text.strip().rsplit("data: ", 1)[1])
    assert last["status"] == "succeeded"
    assert last["result"] == at_once.json()
    assert last["progress"] == 1


async def test_events_stream_until_the_job_ends(
    idle_client: httpx.AsyncClient, services: Services, settings: Settings
) -> None:
    job = await _job(idle_client)
    watching = asyncio.create_task(idle_client.get(f"/api/v1/jobs/{job['id']}/events"))
    runner = JobRunner(services, settings.jobs)
    running = asyncio.create_task(runner.run())
    try:
        events = await asyncio.wait_for(watching, 20)
    finally:
        await runner.stop()
        await running
    assert events.headers["content-type"].startswith("text/event-stream")
    states = [json.loads(line[6:])["status"] for line in events.text.splitlines() if line.startswith("data: ")]
    assert states[-1] == "succeeded"


async def test_a_worker_tells_of_jobs_that_wait_and_run_and_of_its_slots_for_them(
    idle_client: httpx.AsyncClient, services: Services, settings: Settings
) -> None:
    held = asyncio.Event()

    async def handle(_job: QueuedJob, _progress: Progress) -> Any:
        await held.wait()

    services.handlers["tags"] = handle
    await _job(idle_client)
    runner = JobRunner(services, settings.jobs)
    running = asyncio.create_task(runner.run())
    try:
        async with asyncio.timeout(20):
            while not (lanes := runner.lanes()):  # noqa: ASYNC110 (they are counted once)
                await asyncio.sleep(0.01)
    finally:
        await runner.stop()
        await running
    assert lanes["analyses"].waiting + lanes["analyses"].running == 1
    assert lanes["analyses"].slots == settings.jobs.concurrency
    assert (lanes["generations"].waiting, lanes["generations"].slots) == (0, settings.jobs.generations)


async def test_work_is_not_done_again_because_the_database_was_away_when_it_ended(
    idle_client: httpx.AsyncClient, services: Services, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await _job(idle_client)
    runner = JobRunner(services, settings.jobs)
    work, calls = services.handlers["tags"], 0

    async def handle(job: QueuedJob, progress: Progress) -> Any:
        nonlocal calls
        calls += 1
        result = await work(job, progress)
        monkeypatch.setattr(runner, "_database", Away())
        return result

    class Away:
        def transaction(self) -> Any:
            monkeypatch.setattr(runner, "_database", services.database)
            raise Unavailable("The database cannot be reached")

    services.handlers["tags"] = handle
    running = asyncio.create_task(runner.run())
    try:
        await asyncio.wait_for(idle_client.get(f"/api/v1/jobs/{job['id']}/events"), 20)  # until it has ended
    finally:
        await runner.stop()
        await running
    assert calls == 1


async def test_a_quiet_stream_says_that_it_is_still_there_and_ends_with_its_job(
    idle_client: httpx.AsyncClient, services: Services, settings: Settings
) -> None:
    job = await _job(idle_client)
    changes = services.jobs.watch(LOCAL_USER_ID, str(job["id"]), quiet_s=0.01)
    first = await anext(changes)
    assert first is not None
    assert first.status == "queued"
    assert await anext(changes) is None
    await idle_client.delete(f"/api/v1/jobs/{job['id']}")
    async with asyncio.timeout(20):
        rest = [change async for change in changes]
    assert [change.status for change in rest if change] == ["cancelled"]


async def test_the_job_of_a_deleted_album_is_cancelled_for_those_who_ask_wait_or_watch(
    idle_client: httpx.AsyncClient, services: Services
) -> None:
    refs = await upload(idle_client, encoded(an_image(), "PNG"))
    body = {"images": refs, "album_id": "a"}
    posted = await idle_client.post("/api/v1/albums/embeddings", json=body, headers=ASYNC)
    job = posted.headers["location"]
    changes = services.jobs.watch(LOCAL_USER_ID, job.rpartition("/")[2], quiet_s=20)
    await anext(changes)
    waiting = asyncio.create_task(services.jobs.wait(LOCAL_USER_ID, job.rpartition("/")[2], 20))
    await idle_client.delete("/api/v1/albums/a")
    async with asyncio.timeout(20):
        assert [change.status for change in [one async for one in changes] if change] == ["cancelled"]
        assert (await waiting).status == "cancelled"
    assert (await idle_client.get(job)).json()["status"] == "cancelled"


async def test_an_albums_jobs_come_without_their_results(client: httpx.AsyncClient) -> None:
    refs = await upload(client, encoded(an_image(), "PNG"))
    await client.post("/api/v1/albums/embeddings", json={"images": refs, "album_id": "a"})
    jobs = (await client.get("/api/v1/albums/a")).json()["jobs"]
    assert "embeddings" in {job["kind"] for job in jobs}
    assert all("result" not in job and "payload" not in job for job in jobs)


async def test_a_waiting_job_is_cancelled_at_once(idle_client: httpx.AsyncClient) -> None:
    job = await _job(idle_client)
    cancelled = await idle_client.delete(f"/api/v1/jobs/{job['id']}")
    assert cancelled.status_code == 200
    assert cancelled.json()["status"] == "cancelled"
    assert (await idle_client.get(f"/api/v1/jobs/{job['id']}")).json()["status"] == "cancelled"


async def test_an_unknown_job_is_404(idle_client: httpx.AsyncClient) -> None:
    for call in (idle_client.get, idle_client.delete):
        assert_problem(await call("/api/v1/jobs/job_nothing"), 404)
    assert_problem(await idle_client.get("/api/v1/jobs/job_nothing/events"), 404)


async def test_a_full_queue_answers_429_with_retry_after(idle_client: httpx.AsyncClient) -> None:
    for _ in range(20):
        await _job(idle_client)
    response = await idle_client.post("/api/v1/albums/tags", json={"images": ["img_0000000000x"]}, headers=ASYNC)
    assert_problem(response, 429, "overloaded")
    assert int(response.headers["retry-after"]) > 0


async def test_a_repeated_post_with_its_key_gets_the_first_answer(client: httpx.AsyncClient) -> None:
    files = {"file": ("a.png", encoded(an_image(), "PNG"))}
    headers = {"Idempotency-Key": "upload-1"}
    first = await client.post("/api/v1/images", files=files, headers=headers)
    second = await client.post("/api/v1/images", files=files, headers=headers)
    assert second.status_code == 201
    assert second.json() == first.json()
    assert second.headers["idempotent-replayed"] == "true"


async def test_a_key_used_for_another_request_is_refused(idle_client: httpx.AsyncClient) -> None:
    headers = ASYNC | {"Idempotency-Key": "k"}
    [one] = await upload(idle_client, encoded(an_image(), "PNG"))
    assert (await idle_client.post("/api/v1/albums/tags", json={"images": [one]}, headers=headers)).status_code == 202
    other = await idle_client.post("/api/v1/albums/tags", json={"images": ["img_0000000000x"]}, headers=headers)
    assert_problem(other, 422)


async def test_a_key_used_for_another_upload_is_refused(idle_client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k"}
    one, other = ({"file": ("a.png", encoded(an_image(seed=seed), "PNG"))} for seed in (1, 2))
    assert (await idle_client.post("/api/v1/images", files=one, headers=headers)).status_code == 201
    assert_problem(await idle_client.post("/api/v1/images", files=other, headers=headers), 422)


async def test_of_two_equal_requests_at_once_one_is_answered_and_one_told_to_wait(
    client: httpx.AsyncClient, services: Services
) -> None:
    refs = await upload(client, encoded(an_image(), "PNG"))
    headers = {"Idempotency-Key": "k"}
    body = {"images": refs, "album_id": "a"}
    both = await asyncio.gather(
        *(client.post("/api/v1/albums/embeddings", json=body, headers=headers) for _ in range(2))
    )
    assert sorted(response.status_code for response in both) in ([201, 201], [201, 409])
    again = await client.post("/api/v1/albums/embeddings", json=body, headers=headers)
    assert again.headers["idempotent-replayed"] == "true"
    kinds = [job["kind"] for job in (await client.get("/api/v1/albums/a")).json()["jobs"]]
    assert kinds.count("embeddings") == 1


async def test_a_failed_request_does_not_use_up_its_key(client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k"}
    assert (await client.post("/api/v1/albums/tags", json={"album_id": "later"}, headers=headers)).status_code == 404
    assert (await client.post("/api/v1/albums/tags", json={"album_id": "later"}, headers=headers)).status_code == 404


async def test_the_clients_request_id_comes_back(idle_client: httpx.AsyncClient) -> None:
    response = await idle_client.get("/api/v1/albums/none", headers={"X-Request-ID": "abc-1"})
    assert response.headers["x-request-id"] == "abc-1"
    assert response.json()["instance"] == "urn:request:abc-1"
    hostile = await idle_client.get("/healthz", headers={"X-Request-ID": 'x" onload="'})
    assert hostile.headers["x-request-id"] != 'x" onload="'


async def test_operations_answer(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    ready = await client.get("/readyz")
    assert ready.status_code == 200, ready.text
    assert all(check["ok"] for check in ready.json()["checks"].values())
    metrics = (await client.get("/metrics")).text
    assert "darkroom_ingress_http_requests_total" in metrics or "darkroom_test" in metrics


async def test_readiness_names_what_is_broken(idle_client: httpx.AsyncClient, capabilities: FakeCapabilities) -> None:
    async def broken(_: object) -> None:
        raise ValueError("no")

    capabilities.find_faces = broken  # type: ignore[method-assign, assignment]
    body = assert_problem(await idle_client.get("/readyz"), 503, "not-ready")
    assert body["checks"]["faces"]["ok"] is False
    assert "no" not in body["checks"]["faces"]["detail"].split()


async def test_attempts_failures_and_the_queue_are_counted(client: httpx.AsyncClient, services: Services) -> None:
    async def handle(job: QueuedJob, progress: Progress) -> Any:
        raise NotFound("It was deleted.") if job.attempt > 1 else Unavailable("No replica answers just now.")

    services.handlers["quality"] = handle
    refs = await upload(client, encoded(an_image(), "PNG"))
    job = (await client.post("/api/v1/albums/quality", json={"images": refs}, headers=ASYNC)).json()
    while (seen := (await client.get(f"/api/v1/jobs/{job['id']}")).json())["waiting"] is None:
        assert seen["status"] in {"queued", "running"}
    async with services.database.transaction() as session:  # its pause is over
        await session.execute(text("UPDATE jobs SET run_after = now()"))
    await client.get(f"/api/v1/jobs/{job['id']}/events")
    page = services.metrics.render().decode()
    assert 'darkroom_test_job_attempts_total{kind="quality"} 2.0' in page
    assert 'darkroom_test_job_wait_seconds_count{kind="quality"} 1.0' in page
    assert 'darkroom_test_jobs_postponed_total{kind="quality",slug="unavailable"} 1.0' in page
    assert 'darkroom_test_job_failures_total{kind="quality",slug="not-found"} 1.0' in page
    for lane in ("analyses", "generations"):
        assert f'darkroom_test_queue_oldest_seconds{{lane="{lane}"}}' in page


async def test_a_job_whose_capability_is_away_waits_and_says_why(client: httpx.AsyncClient, services: Services) -> None:
    work, away = services.handlers["quality"], asyncio.Event()
    tries = 0

    async def handle(job: QueuedJob, progress: Progress) -> Any:
        nonlocal tries
        tries += 1
        if not away.is_set():
            raise Unavailable("No replica answers just now.")
        return await work(job, progress)

    services.handlers["quality"] = handle
    refs = await upload(client, encoded(an_image(), "PNG"))
    job = (await client.post("/api/v1/albums/quality", json={"images": refs}, headers=ASYNC)).json()
    while (seen := (await client.get(f"/api/v1/jobs/{job['id']}")).json())["waiting"] is None:
        assert seen["status"] in {"queued", "running"}
    assert seen["status"] == "queued"
    assert seen["problem"] is None
    assert seen["waiting"]["reason"]["detail"] == "No replica answers just now."
    assert seen["waiting"]["since"] <= seen["waiting"]["next_try_at"]
    away.set()
    async with services.database.transaction() as session:  # its pause is over
        await session.execute(text("UPDATE jobs SET run_after = now()"))
    events = await client.get(f"/api/v1/jobs/{job['id']}/events")
    last = json.loads(events.text.strip().rsplit("data: ", 1)[1])
    assert (last["status"], last["waiting"]) == ("succeeded", None)
    assert tries >= 2
