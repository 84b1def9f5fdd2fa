"""Quotas of what a user keeps: the problem names the quota, and nothing that was there is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from configs.settings import Quotas, Settings
from deployments.errors import ImageQuotaExceeded
from serve_app.services.container import Services
from tests.api.conftest import assert_problem, embed, upload
from tests.api.test_housekeeping import PictureServer
from tests.support.accounts import ADMIN_KEY, Account, bearer, with_keys
from tests.support.builders import an_image, encoded

PICTURES = [encoded(an_image(seed=seed), "PNG") for seed in range(4)]


class TestAQuotaOfImages:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return with_keys(settings).model_copy(update={"quotas": Quotas(images=2)})

    async def test_an_image_more_is_refused_by_name(self, eva: Account, bob: Account) -> None:
        await upload(eva.client, *PICTURES[:2])
        refused = await _post(eva.client, PICTURES[2])
        body = assert_problem(refused, 403, "quota-exceeded")
        assert (body["quota"], body["limit"], body["code"]) == ("quotas.images", 2, "quota_exceeded")
        await upload(bob.client, PICTURES[2])

    async def test_deleting_an_image_makes_room(self, eva: Account) -> None:
        [url, _] = await upload(eva.client, *PICTURES[:2])
        image_id = url.rsplit("/", 1)[1].partition(".")[0]
        assert (await eva.client.delete(f"/api/v1/images/{image_id}")).status_code == 204
        await upload(eva.client, PICTURES[2])

    async def test_a_result_of_a_job_is_held_to_it_too(self, services: Services, eva: Account) -> None:
        await upload(eva.client, *PICTURES[:2])
        with pytest.raises(ImageQuotaExceeded):
            await services.pictures.store_result(eva.id, an_image(), "result.jpg")


class TestAQuotaOfBytes:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        quota = Quotas(stored_bytes=len(PICTURES[0]) + len(PICTURES[1]))
        return settings.model_copy(update={"quotas": quota})

    async def test_bytes_above_it_are_refused_by_name(self, idle_client: httpx.AsyncClient) -> None:
        await upload(idle_client, PICTURES[0], PICTURES[1])
        body = assert_problem(await _post(idle_client, PICTURES[2]), 403, "quota-exceeded")
        assert body["quota"] == "quotas.stored_bytes"

    async def test_a_fetched_picture_above_it_fails_by_itself(self, client: httpx.AsyncClient) -> None:
        stored = await upload(client, PICTURES[0], PICTURES[1])
        pictures = PictureServer()
        pictures.go.set()
        async with await asyncio.start_server(pictures, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/more.png"
            answer = await embed(client, "holiday", [*stored, url])
        assert [failed["code"] for failed in answer["failed"]] == ["quota_exceeded"]
        assert answer["embedded"] == 2


class TestAQuotaOfAlbums:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"quotas": Quotas(albums=1)})

    async def test_another_album_is_refused_and_the_first_one_grows(self, client: httpx.AsyncClient) -> None:
        urls = await upload(client, *PICTURES)
        await embed(client, "holiday", urls[:1])
        refused = await client.post("/api/v1/albums/embeddings", json={"images": urls[:1], "album_id": "second"})
        assert assert_problem(refused, 403, "quota-exceeded")["quota"] == "quotas.albums"
        await embed(client, "holiday", urls[1:])

    async def test_an_analysis_without_an_album_needs_none(self, client: httpx.AsyncClient) -> None:
        urls = await upload(client, *PICTURES)
        await embed(client, "holiday", urls[:1])
        assert (await client.post("/api/v1/albums/quality", json={"images": urls})).status_code == 200


class TestAQuotaOfKeptAnswers:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"quotas": Quotas(kept_answers=1)})

    async def test_a_new_key_is_refused_and_a_known_one_answered(self, idle_client: httpx.AsyncClient) -> None:
        first = await _post(idle_client, PICTURES[0], headers={"Idempotency-Key": "one"})
        refused = await _post(idle_client, PICTURES[1], headers={"Idempotency-Key": "two"})
        assert assert_problem(refused, 429, "overloaded")["quota"] == "quotas.kept_answers"
        again = await _post(idle_client, PICTURES[0], headers={"Idempotency-Key": "one"})
        assert again.json() == first.json()
        assert (await _post(idle_client, PICTURES[1])).status_code == 201


class TestWrongKeys:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        keyed = with_keys(settings)
        return keyed.model_copy(update={"auth": keyed.auth.model_copy(update={"wrong_keys": 3})})

    async def test_guesses_at_the_administrators_key_have_a_limit(
        self, nobody: httpx.AsyncClient, eva: Account
    ) -> None:
        for guess in range(3):
            refused = await nobody.get("/api/v1/users", headers=bearer(f"a likely key {guess}"))
            assert refused.status_code == 401
        late = assert_problem(await nobody.get("/api/v1/users", headers=bearer(ADMIN_KEY)), 429, "overloaded")
        assert late["quota"] == "auth.wrong_keys"
        assert (await eva.client.get("/api/v1/history")).status_code == 200  # a key that was made here

    async def test_keys_that_were_made_here_are_not_counted(self, nobody: httpx.AsyncClient) -> None:
        for _ in range(5):
            assert (await nobody.get("/api/v1/history", headers=bearer("dk_" + "A" * 43))).status_code == 401
        assert (await nobody.get("/api/v1/users", headers=bearer(ADMIN_KEY))).status_code == 200


async def _post(
    client: httpx.AsyncClient, *pictures: bytes, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    files: Any = [("file", (f"{place}.png", data)) for place, data in enumerate(pictures)]
    return await client.post("/api/v1/images", files=files, headers=headers)
