"""Stored results over HTTP: they hold ids, and every answer names the server as it is known now."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, get_args

import httpx
import pytest
import pytest_asyncio
from fastapi.routing import APIRoute
from sqlalchemy import text

from configs.settings import Settings
from serve_app.api import albums, avatars, duplicates, segmentations, styles
from serve_app.api.app import build_app
from serve_app.services.completion import RESULTS
from serve_app.services.container import Services
from serve_app.services.runner import JobRunner
from serve_app.telemetry import Metrics
from tests.api.conftest import BASE, embed, upload
from tests.support.accounts import a_client
from tests.support.builders import a_flat_image, an_image, encoded
from tests.support.fakes import with_face

NEW = "https://photos.example.org"
OLD_URL = "http://old.example.org/base/api/v1/files/"
PORTRAIT = encoded(with_face(a_flat_image((96, 64)), person=56, at=(8, 4)), "PNG")


@pytest_asyncio.fixture()
async def moved(services: Services, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The server after the operator has given it another public URL."""
    settings = settings.model_copy(update={"public_url": NEW + "/"})
    async with a_client(build_app(services, settings, Metrics("moved"))) as client:
        yield client


async def an_id(client: httpx.AsyncClient, data: bytes = PORTRAIT) -> str:
    [url] = await upload(client, data)
    return url.rsplit("/", 1)[1].partition(".")[0]


async def style(client: httpx.AsyncClient, ref: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    body = {"image_url": ref, "style_name": "ink", "seed": 3}
    response = await client.post("/api/v1/style", json=body, headers=headers)
    assert response.status_code == 200, response.text
    return dict(response.json())


async def last_job(client: httpx.AsyncClient) -> str:
    """The URL of the job of the newest history entry."""
    return str((await client.get("/api/v1/history")).json()["items"][0]["job"])


async def stored(services: Services) -> str:
    """Payloads and results of jobs, results of analyses, the history, and first answers to requests with a key."""
    columns = {
        "jobs": "payload, result",
        "results": "payload",
        "result_parts": "entries",
        "generations": "input_ref, parameters",
        "idempotency_keys": "convert_from(body, 'UTF8')",
    }
    async with services.database.transaction() as session:
        rows = [(await session.execute(text(f"SELECT {what} FROM {table}"))).all() for table, what in columns.items()]
    assert all(rows)
    return str(rows)


async def rewrite(services: Services, table: str, column: str, value: str | bytes) -> None:
    async with services.database.transaction() as session:
        kept = await session.execute(text(f"UPDATE {table} SET {column} = :value"), {"value": value})
        assert kept.rowcount  # type: ignore[attr-defined]


async def test_what_is_stored_of_jobs_and_answers_holds_no_url(client: httpx.AsyncClient, services: Services) -> None:
    image_id = await an_id(client)
    await client.post("/api/v1/images", files={"file": ("a.png", PORTRAIT)}, headers={"Idempotency-Key": "upload"})
    await embed(client, "a", [image_id])
    await client.post("/api/v1/albums/tags?detail=true", json={"album_id": "a"})
    await style(client, image_id, {"Idempotency-Key": "style"})
    for path, fields in (("avatars", {"animal": "fox"}), ("segmentations", {})):
        sent = await client.post(f"/api/v1/{path}", files={"file": ("a.png", PORTRAIT)}, data=fields)
        assert sent.status_code == 200, sent.text
    kept = await stored(services)
    assert image_id in kept
    assert "http" not in kept
    assert "/api/" not in kept


async def test_an_old_result_names_the_new_host(client: httpx.AsyncClient, moved: httpx.AsyncClient) -> None:
    made = await style(client, await an_id(client))
    assert made["image_url"].startswith(BASE)
    expected = made["image_url"].replace(BASE, NEW)
    job = await last_job(client)
    assert (await moved.get(job)).json()["result"] == made | {"image_url": expected}
    events = (await moved.get(f"{job}/events")).text
    assert json.loads(events.strip().rsplit("data: ", 1)[1])["result"]["image_url"] == expected
    assert (await moved.get("/api/v1/history")).json()["items"][0]["output_urls"] == [expected]


async def test_masks_and_cut_outs_name_the_new_host(client: httpx.AsyncClient, moved: httpx.AsyncClient) -> None:
    body, later = {"image_url": await an_id(client)}, {"Prefer": "respond-async"}
    job = (await client.post("/api/v1/segmentations", json=body, headers=later)).headers["location"]
    await client.get(f"{job}/events")
    result = (await moved.get(job)).json()["result"]
    assert all(result[name].startswith(f"{NEW}/api/v1/files/img_") for name in ("mask_url", "cutout_url"))


async def test_an_image_that_was_sent_along_is_the_input_of_its_history_entry_while_it_is_stored(
    client: httpx.AsyncClient, moved: httpx.AsyncClient
) -> None:
    await client.post("/api/v1/avatars", files={"file": ("a.png", PORTRAIT)}, data={"animal": "fox"})
    [entry] = (await moved.get("/api/v1/history")).json()["items"]
    assert entry["input"].startswith(f"{NEW}/api/v1/files/img_")
    assert (await client.get(entry["input"].removeprefix(NEW))).content == PORTRAIT
    await client.delete("/api/v1/images/" + entry["input"].rsplit("/", 1)[1].removesuffix(".png"))
    assert (await moved.get(f"/api/v1/history/{entry['id']}")).json()["input"] is None


@pytest.mark.parametrize("ref", ["id", "url"])
async def test_a_reference_comes_back_as_it_was_sent(
    client: httpx.AsyncClient, moved: httpx.AsyncClient, ref: str
) -> None:
    image_id = await an_id(client)
    sent = image_id if ref == "id" else f"{OLD_URL}{image_id}.png"
    await embed(client, "a", [sent])
    await style(client, sent)
    result = (await moved.post("/api/v1/albums/quality", json={"album_id": "a"})).json()
    assert [entry["image"] for entry in result["quality"]] == [sent]
    assert (await moved.get("/api/v1/history")).json()["items"][0]["input"] == sent


async def test_a_repeated_request_gets_its_first_answer_at_the_new_host(
    client: httpx.AsyncClient, moved: httpx.AsyncClient
) -> None:
    image_id, key = await an_id(client), {"Idempotency-Key": "k"}
    made = await style(client, image_id, key)
    body = {"image_url": image_id, "style_name": "ink", "seed": 3}
    again = await moved.post("/api/v1/style", json=body, headers=key)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == made | {"image_url": made["image_url"].replace(BASE, NEW)}


async def test_a_repeated_upload_gets_its_first_answer_byte_for_byte(client: httpx.AsyncClient) -> None:
    files = [("file", ("a.png", encoded(an_image(), "PNG"))), ("file", ("b.png", b"no image"))]
    first, again = [
        await client.post("/api/v1/images", files=files, headers={"Idempotency-Key": "k"}) for _ in range(2)
    ]
    assert again.headers["idempotent-replayed"] == "true"
    assert (again.status_code, again.content) == (first.status_code, first.content)


async def test_a_result_of_an_earlier_version_loses_its_old_host(client: httpx.AsyncClient, services: Services) -> None:
    made = await style(client, await an_id(client))
    old = made | {"image_url": made["image_url"].replace(f"{BASE}/api/v1/files/", OLD_URL)}
    await rewrite(services, "jobs", "result", json.dumps(old))
    assert (await client.get(await last_job(client))).json()["result"] == made


async def test_links_to_jobs_of_an_earlier_version_stay(client: httpx.AsyncClient, services: Services) -> None:
    later = {"Prefer": "respond-async"}
    body = {"images": [await an_id(client)], "album_id": "a"}
    job = (await client.post("/api/v1/albums/embeddings", json=body, headers=later)).headers["location"]
    await client.get(f"{job}/events")
    result = (await client.get(job)).json()["result"]
    assert [link["href"] for link in result["jobs"]] == [f"/api/v1/jobs/{link['id']}" for link in result["jobs"]]
    await rewrite(services, "jobs", "result", json.dumps(result))
    assert (await client.get(job)).json()["result"] == result


async def test_a_first_answer_of_an_earlier_version_loses_its_old_host(
    client: httpx.AsyncClient, services: Services
) -> None:
    image_id, key = await an_id(client), {"Idempotency-Key": "k"}
    made = await style(client, image_id, key)
    old = json.dumps(made).replace(f"{BASE}/api/v1/files/", OLD_URL)
    await rewrite(services, "idempotency_keys", "body", old.encode())
    assert await style(client, image_id, key) == made


async def test_a_result_that_does_not_fit_its_class_is_answered_as_it_is_stored(
    client: httpx.AsyncClient, services: Services
) -> None:
    await style(client, await an_id(client))
    await rewrite(services, "jobs", "result", '{"picture": "img_1"}')
    assert (await client.get(await last_job(client))).json()["result"] == {"picture": "img_1"}


async def test_a_job_of_an_earlier_version_is_still_run(
    idle_client: httpx.AsyncClient, services: Services, settings: Settings
) -> None:
    body = {"image_url": await an_id(idle_client), "style_name": "ink", "seed": 3}
    job = (await idle_client.post("/api/v1/style", json=body, headers={"Prefer": "respond-async"})).headers["location"]
    payload = {**body, "prompt": None, "negative_prompt": None, "strength": None, "engine": None, "files_url": OLD_URL}
    await rewrite(services, "jobs", "payload", json.dumps(payload))
    runner = JobRunner(services, settings.jobs)
    running = asyncio.create_task(runner.run())
    try:
        await asyncio.wait_for(idle_client.get(f"{job}/events"), 20)  # until it has ended
    finally:
        await runner.stop()
        await running
    assert (await idle_client.get(job)).json()["result"]["image_url"].startswith(f"{BASE}/api/v1/files/img_")


def test_each_class_of_a_result_is_what_a_route_answers_with() -> None:
    routes = [route for part in (albums, duplicates, styles, segmentations, avatars) for route in part.router.routes]
    models = [route.response_model for route in routes if isinstance(route, APIRoute)]
    answered = {one for model in models for one in get_args(model) or (model,)}
    assert set(RESULTS.values()) <= answered
