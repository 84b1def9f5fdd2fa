"""The demo album of photographs that installed packages ship."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from configs.settings import Quotas, Settings
from serve_app.services.albums import demo
from tests.api.conftest import assert_problem, embed, upload
from tests.support.builders import an_image, encoded

FILES = len(demo.PHOTOGRAPHS) + len(demo.COPIED)


async def _make(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.post("/api/v1/albums/demo", headers={"Prefer": "wait=60"})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def test_the_photographs_are_read_into_an_album(client: httpx.AsyncClient) -> None:
    made = await _make(client)
    assert (made["album_id"], made["embedded"]) == (demo.NAME, FILES)
    names = {one["filename"] for one in (await client.get("/api/v1/images")).json()["items"]}
    assert {"china.jpg", "flower.jpg", "flower (small).jpg", "astronaut.png"} <= names


async def test_asking_again_brings_no_picture_twice_and_what_was_deleted_comes_back(client: httpx.AsyncClient) -> None:
    await _make(client)
    first, *_ = (await client.get("/api/v1/images")).json()["items"]
    assert (await client.delete(f"/api/v1/images/{first['id']}")).status_code == 204
    await _make(client)
    assert len((await client.get("/api/v1/images")).json()["items"]) == FILES
    album = (await client.get(f"/api/v1/albums/{demo.NAME}")).json()
    assert album["image_count"] == FILES


async def test_two_clicks_at_once_bring_no_picture_twice(client: httpx.AsyncClient) -> None:
    await asyncio.gather(_make(client), _make(client))
    assert len((await client.get("/api/v1/images")).json()["items"]) == FILES
    assert (await client.get(f"/api/v1/albums/{demo.NAME}")).json()["image_count"] == FILES


async def test_the_photographs_that_are_always_there_are_enough(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "PHOTOGRAPHS", [one for one in demo.PHOTOGRAPHS if one.startswith("sklearn/")])
    assert (await client.get("/api/v1/capabilities")).json()["routes"]["demo"] is True
    assert (await _make(client))["embedded"] == 3


async def test_a_server_without_photographs_says_so(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PHOTOGRAPHS", ("no_such_package/a.jpg", "sklearn/no_such_file.jpg"))
    assert (await client.get("/api/v1/capabilities")).json()["routes"]["demo"] is False
    assert_problem(await client.post("/api/v1/albums/demo"), 503, "not-deployed")


@pytest.mark.parametrize("quota", [Quotas(images=4), Quotas(albums=1)], ids=["images", "albums"])
class TestAQuotaWithoutRoom:
    @pytest.fixture
    def settings(self, settings: Settings, quota: Quotas) -> Settings:
        return settings.model_copy(update={"quotas": quota})

    async def test_the_photographs_are_not_left_about_the_library(self, client: httpx.AsyncClient) -> None:
        own = await upload(client, encoded(an_image(), "PNG"))
        await embed(client, "holiday", own)
        refused = assert_problem(await client.post("/api/v1/albums/demo"), 403, "quota-exceeded")
        assert refused["quota"].startswith("quotas.")
        assert [one["url"] for one in (await client.get("/api/v1/images")).json()["items"]] == own
