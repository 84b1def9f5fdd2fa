"""The share of one user: what it has under way or waiting costs nobody else an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI

from configs.settings import Settings
from serve_app.api.app import build_app
from serve_app.services.container import Services
from serve_app.telemetry import Metrics
from tests.api.conftest import assert_problem, serving, upload
from tests.support.accounts import Account, a_client, bearer, with_keys
from tests.support.builders import an_image, base64_png, encoded

SHARE = 3


@pytest.fixture
def settings(settings: Settings) -> Settings:
    limits = settings.limits.model_copy(
        update={
            "max_in_flight": 2 * SHARE,
            "max_in_flight_per_user": SHARE,
            "max_streams_per_user": SHARE,
            "max_body_bytes": 2**20,  # what each half-sent body counts
        }
    )
    return with_keys(settings).model_copy(update={"limits": limits})


@asynccontextmanager
async def half_sent(client: httpx.AsyncClient, count: int, path: str = "/api/v1/images") -> AsyncIterator[None]:
    """Requests whose bodies have begun and do not go on."""
    begun, end = asyncio.Semaphore(0), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"--x\r\n"
        begun.release()
        await end.wait()

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    calls = [asyncio.create_task(client.post(path, content=body(), headers=headers)) for _ in range(count)]
    try:
        for _ in range(count):
            await asyncio.wait_for(begun.acquire(), 20)
        yield
    finally:
        end.set()
        await asyncio.gather(*calls)


async def test_half_sent_bodies_of_one_user_leave_the_server_to_another(eva: Account, bob: Account) -> None:
    async with half_sent(eva.client, SHARE):
        refused = assert_problem(await eva.client.get("/api/v1/history"), 429, "overloaded")
        assert refused["quota"] == "limits.max_in_flight_per_user"
        assert (await bob.client.get("/api/v1/history")).status_code == 200
    assert (await eva.client.get("/api/v1/history")).status_code == 200


async def test_a_user_at_its_share_still_sees_its_jobs(eva: Account) -> None:
    async with half_sent(eva.client, SHARE):
        assert_problem(await eva.client.get("/api/v1/jobs/job_none"), 404)


async def test_a_refused_request_leaves_the_count_as_it_was(eva: Account) -> None:
    async with half_sent(eva.client, SHARE):
        for _ in range(2 * SHARE):
            assert_problem(await eva.client.get("/api/v1/history"), 429)
    async with half_sent(eva.client, SHARE - 1):
        assert (await eva.client.get("/api/v1/history")).status_code == 200


async def test_bytes_of_the_web_api_that_one_user_holds_have_a_share(
    services: Services, settings: Settings, eva: Account
) -> None:
    limits = settings.limits.model_copy(update={"max_sdapi_held_bytes_per_user": 1000})
    app = build_app(services, settings.model_copy(update={"limits": limits}), Metrics("ingress"))
    body = b'{"image": "' + b"A" * 2000 + b'"}'
    async with a_client(app, eva.key) as client:
        response = await client.post("/sdapi/v1/png-info", content=body, headers={"Content-Type": "application/json"})
        assert response.status_code == 429
        small = await client.post("/sdapi/v1/png-info", json={"image": base64_png(an_image((8, 8)))})
        assert small.status_code == 200


async def test_event_streams_of_one_user_have_a_share(app: FastAPI, eva: Account, bob: Account) -> None:
    """Over real connections, whose streams last until the client hangs up."""
    async with serving(app) as url, httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as client:

        async def watch(account: Account) -> httpx.Response:
            job = (await _ask(account)).json()["id"]
            request = client.build_request("GET", f"/api/v1/jobs/{job}/events", headers=bearer(account.key))
            return await client.send(request, stream=True)

        streams = [await watch(eva) for _ in range(SHARE)]
        assert [stream.status_code for stream in streams] == [200] * SHARE
        refused = await watch(eva)
        await refused.aread()
        assert assert_problem(refused, 429, "overloaded")["quota"] == "limits.max_streams_per_user"
        other = await watch(bob)
        assert other.status_code == 200
        for stream in (*streams, refused, other):
            await stream.aclose()


async def test_waiting_jobs_of_one_user_refuse_no_other(eva: Account, bob: Account, settings: Settings) -> None:
    answers = [await _ask(eva) for _ in range(settings.jobs.max_queued + 1)]
    assert {answer.status_code for answer in answers[:-1]} == {202}
    assert assert_problem(answers[-1], 429, "overloaded")["quota"] == "jobs.max_queued"
    assert (await _ask(bob)).status_code == 202


async def _ask(account: Account) -> httpx.Response:
    """Ask for an analysis that nobody runs."""
    [url] = await upload(account.client, encoded(an_image(), "PNG"))
    body = {"images": [url]}
    return await account.client.post("/api/v1/albums/quality", json=body, headers={"Prefer": "respond-async"})
