"""Lists of jobs, and jobs that are tried again, over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from configs.settings import Settings
from deployments.errors import NotFound
from serve_app.services.container import Services
from serve_app.services.jobs.progress import Progress
from serve_app.services.runner import JobRunner
from serve_app.store.queue import jobs
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories.users import LOCAL_USER_ID
from tests.api.conftest import assert_problem, upload
from tests.support.accounts import Account, with_keys
from tests.support.builders import an_image, encoded

ASYNC = {"Prefer": "respond-async"}


async def _start(client: httpx.AsyncClient, kind: str = "tags", **body: Any) -> dict[str, Any]:
    if "album_id" not in body:
        body["images"] = await upload(client, encoded(an_image(), "PNG"))
    await client.post(f"/api/v1/albums/{kind}", json=body, headers=ASYNC)
    newest = (await client.get("/api/v1/jobs?limit=1")).json()["items"][0]
    assert newest["kind"] == kind
    return dict(newest)


async def _album(client: httpx.AsyncClient, name: str) -> None:
    refs = await upload(client, encoded(an_image(), "PNG"))
    body = {"images": refs, "album_id": name}
    assert (await client.post("/api/v1/albums/embeddings", json=body, headers=ASYNC)).status_code == 202


async def test_jobs_are_listed_by_page_the_newest_first(idle_client: httpx.AsyncClient) -> None:
    made = [(await _start(idle_client))["id"] for _ in range(3)]
    first = (await idle_client.get("/api/v1/jobs?limit=2")).json()
    rest = (await idle_client.get("/api/v1/jobs", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [job["id"] for job in first["items"] + rest["items"]] == made[::-1]
    assert rest["next_cursor"] is None
    assert first["items"][0]["href"] == f"/api/v1/jobs/{made[2]}"
    assert "result" not in first["items"][0]


async def test_jobs_are_filtered_by_status_kind_and_album(idle_client: httpx.AsyncClient) -> None:
    await _album(idle_client, "trip/may")
    ended = (await _start(idle_client))["id"]
    await idle_client.delete(f"/api/v1/jobs/{ended}")
    await _start(idle_client, "quality")

    async def listed(**filters: str) -> list[tuple[str, str | None]]:
        page = (await idle_client.get("/api/v1/jobs", params=filters)).json()
        return [(job["kind"], job["album_id"]) for job in page["items"]]

    assert await listed(album_id="trip/may") == [("embeddings", "trip/may")]
    assert await listed(kind="quality") == [("quality", None)]  # the hidden album of a call without a name
    assert await listed(status="cancelled") == [("tags", None)]
    assert await listed(status="queued", kind="tags") == []


async def test_a_list_of_jobs_refuses_what_it_does_not_know(idle_client: httpx.AsyncClient) -> None:
    assert_problem(await idle_client.get("/api/v1/jobs?status=lost"), 422)
    assert_problem(await idle_client.get("/api/v1/jobs?cursor=yesterday"), 422)
    assert_problem(await idle_client.get("/api/v1/jobs?album_id=nowhere"), 404)


async def test_a_failed_job_is_tried_again_as_a_job_of_its_own(
    client: httpx.AsyncClient, services: Services, worker: JobRunner
) -> None:
    sound = services.handlers["tags"]

    async def broken(_job: QueuedJob, _progress: Progress) -> Any:
        raise NotFound("It was not there.")

    services.handlers["tags"] = broken
    old = await _start(client)
    await client.get(f"/api/v1/jobs/{old['id']}/events")
    services.handlers["tags"] = sound
    again = await client.post(f"/api/v1/jobs/{old['id']}/retry")
    assert again.status_code == 201
    assert again.headers["location"] == f"/api/v1/jobs/{again.json()['id']}"
    await client.get(f"{again.headers['location']}/events")
    assert (await client.get(again.headers["location"])).json()["result"]["tags"]
    assert (await client.get(f"/api/v1/jobs/{old['id']}")).json()["status"] == "failed"


async def test_a_retry_is_in_the_history_before_a_worker_has_it(idle_client: httpx.AsyncClient) -> None:
    [url] = await upload(idle_client, encoded(an_image(), "PNG"))
    body = {"image_url": url, "style_name": "ink", "seed": 7}
    made = await idle_client.post("/api/v1/style", json=body, headers={"Prefer": "respond-async"})
    await idle_client.delete(made.headers["location"])
    again = await idle_client.post(f"{made.headers['location']}/retry")
    new, old = (await idle_client.get("/api/v1/history")).json()["items"]
    assert (new["job"], new["status"], old["status"]) == (again.headers["location"], "started", "cancelled")
    same = ("kind", "input", "parameters")
    assert [new[name] for name in same] == [old[name] for name in same]


async def test_a_retry_with_an_idempotency_key_starts_one_job(idle_client: httpx.AsyncClient) -> None:
    job = await _start(idle_client)
    await idle_client.delete(f"/api/v1/jobs/{job['id']}")
    answers = [
        await idle_client.post(f"/api/v1/jobs/{job['id']}/retry", headers={"Idempotency-Key": "again"})
        for _ in range(2)
    ]
    assert answers[0].json()["id"] == answers[1].json()["id"]


async def test_a_job_that_goes_on_or_succeeded_is_not_tried_again(client: httpx.AsyncClient) -> None:
    job = await _start(client)
    await client.get(f"/api/v1/jobs/{job['id']}/events")
    refused = assert_problem(await client.post(f"/api/v1/jobs/{job['id']}/retry"), 409, "conflict")
    assert "succeeded" in refused["detail"]
    assert_problem(await client.post("/api/v1/jobs/job_nothing/retry"), 404)


@pytest.mark.parametrize(
    ("kind", "payload"), [("img2img", {"request": {}, "units": []}), ("txt2img", {"units": [{}]}), ("tags", {})]
)
async def test_a_job_whose_pictures_are_gone_is_not_tried_again(
    idle_client: httpx.AsyncClient, services: Services, kind: str, payload: dict[str, Any]
) -> None:
    async with services.database.transaction() as session:
        job = await jobs.enqueue(session, user_id=LOCAL_USER_ID, kind=kind, payload=payload, max_attempts=1)
        await jobs.cancel(session, LOCAL_USER_ID, job.id)
    refused = assert_problem(await idle_client.post(f"/api/v1/jobs/{job.id}/retry"), 409)
    assert "send its request again" in refused["detail"]


class TestWithKeys:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return with_keys(settings)

    async def test_jobs_of_others_are_neither_listed_nor_tried_again(self, eva: Account, bob: Account) -> None:
        job = await _start(eva.client)
        await eva.client.delete(f"/api/v1/jobs/{job['id']}")
        assert (await bob.client.get("/api/v1/jobs")).json()["items"] == []
        assert_problem(await bob.client.post(f"/api/v1/jobs/{job['id']}/retry"), 404)
