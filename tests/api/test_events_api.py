"""Streams of what changes for a user, over a real HTTP server."""

from __future__ import annotations

import httpx
import pytest
from sqlalchemy import text

from configs.settings import Settings
from serve_app.services.container import Services
from tests.api.conftest import assert_problem, embed, upload
from tests.support.accounts import Account, with_keys
from tests.support.builders import an_image, encoded
from tests.support.event_streams import listening


async def _picture(client: httpx.AsyncClient, seed: int = 0) -> list[str]:
    return await upload(client, encoded(an_image(seed=seed), "PNG"))


async def test_a_stream_tells_of_images_albums_and_jobs_as_they_change(
    client: httpx.AsyncClient, live_url: str
) -> None:
    async with listening(live_url) as ears:
        begun = await ears.next()
        assert begun is not None
        assert (begun.name, begun.data) == ("ready", {})
        refs = await _picture(client)
        await embed(client, "trip/may", refs)
        heard = await ears.until(lambda one: one.name == "job" and one.data["job"]["status"] == "succeeded")
    [image] = [one for one in heard if one.name == "image"]
    assert refs[0].rpartition("/")[2].startswith(image.data["id"])
    assert image.data["href"] == f"/api/v1/images/{image.data['id']}"
    [album, *_] = [one for one in heard if one.name == "album"]
    assert (album.data["id"], album.data["href"]) == ("trip/may", "/api/v1/albums/trip%2Fmay")
    done = heard[-1].data
    assert (done["job"]["kind"], done["album_id"], done["job"]["progress"]) == ("embeddings", "trip/may", 1.0)
    assert done["href"] == done["job"]["href"] == f"/api/v1/jobs/{done['id']}"
    assert "result" not in done["job"]


async def test_a_stream_goes_on_after_the_event_that_was_seen_last(client: httpx.AsyncClient, live_url: str) -> None:
    async with listening(live_url) as ears:
        await _picture(client)
        [*_, seen] = await ears.until(lambda one: one.name == "image")
    missed = await _picture(client, seed=1)
    async with listening(live_url, last_id=seen.id) as ears:
        heard = await ears.until(lambda one: one.name == "image")
    assert heard[0].name == "ready"
    assert missed[0].rpartition("/")[2].startswith(heard[-1].data["id"])
    assert heard[-1].data["id"] != seen.data["id"]


async def test_what_is_deleted_is_told_as_gone(client: httpx.AsyncClient, live_url: str) -> None:
    [ref] = await _picture(client)
    image = ref.rpartition("/")[2].partition(".")[0]
    async with listening(live_url) as ears:
        await ears.next()
        await client.delete(f"/api/v1/images/{image}")
        heard = await ears.until(lambda one: one.name == "image")
    assert heard[-1].data == {
        "kind": "image", "id": image, "gone": True, "album_id": None, "href": None, "job": None,
    }  # fmt: skip


async def test_changes_of_an_image_by_its_user_are_told(client: httpx.AsyncClient, live_url: str) -> None:
    [ref] = await _picture(client)
    image = ref.rpartition("/")[2].partition(".")[0]
    async with listening(live_url) as ears:
        await ears.next()
        for change in ({"filename": "unchanged"}, {"tags": {"add": ["sea"]}}):
            assert (await client.patch(f"/api/v1/images/{image}", json=change)).status_code == 200
            assert (await ears.until(lambda one: one.name == "image"))[-1].data["id"] == image
        for action in ("trash", "restore"):
            await client.post("/api/v1/images/batch", json={"ids": [image], "action": action})
            assert (await ears.until(lambda one: one.name == "image"))[-1].data["gone"] is False
    assert (await client.get(f"/api/v1/images/{image}")).json()["filename"] == "unchanged"


async def test_the_stream_of_an_album_tells_of_it_alone(client: httpx.AsyncClient, live_url: str) -> None:
    refs = await _picture(client)
    await embed(client, "a/b", refs)
    async with listening(live_url, "/api/v1/albums/a%2Fb/events") as ears:
        await ears.next()
        await embed(client, "other", refs)
        await embed(client, "a/b", await _picture(client, seed=1))
        heard = await ears.until(lambda one: one.name == "job" and one.data["job"]["status"] == "succeeded")
    assert {one.data["album_id"] for one in heard} == {"a/b"}


async def test_whoever_missed_events_that_were_removed_is_told_so(
    client: httpx.AsyncClient, live_url: str, services: Services
) -> None:
    async with listening(live_url) as ears:
        begun = await ears.next()
    assert begun is not None
    await _picture(client)
    async with services.database.transaction() as session:
        await session.execute(text("UPDATE events SET created_at = now() - interval '1 year'"))
    await services.run_housekeeping()
    async with listening(live_url, last_id=begun.id) as ears:
        again = await ears.next()
    assert again is not None
    assert again.name == "reset"
    assert again.id != begun.id


async def test_an_id_of_a_database_that_was_replaced_is_told_to_begin_anew(live_url: str) -> None:
    async with listening(live_url, last_id="999999999999-1") as ears:
        begun = await ears.next()
    assert begun is not None
    assert begun.name == "reset"


async def test_streams_refuse_what_they_do_not_know(live_url: str) -> None:
    async with httpx.AsyncClient(base_url=live_url) as client:
        assert_problem(await client.get("/api/v1/events", headers={"Last-Event-ID": "yesterday"}), 422)
        assert_problem(await client.get("/api/v1/albums/nowhere/events"), 404)


class TestQuiet:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"jobs": settings.jobs.model_copy(update={"keep_alive_s": 0.2})})

    async def test_a_quiet_stream_says_that_it_is_still_here_and_where_it_goes_on(self, live_url: str) -> None:
        async with listening(live_url) as ears:
            begun, quiet = await ears.next(), await ears.next()
        assert begun is not None
        assert quiet is not None
        assert (quiet.name, quiet.data) == ("", {})
        assert quiet.id >= begun.id


class TestWithKeys:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return with_keys(settings)

    async def test_users_hear_of_their_own_alone(self, eva: Account, bob: Account, live_url: str) -> None:
        async with listening(live_url, key=eva.key) as ears:
            await ears.next()
            await _picture(bob.client)
            [ref] = await _picture(eva.client, seed=1)
            heard = await ears.until(lambda one: one.name == "image")
        assert len(heard) == 1
        assert ref.rpartition("/")[2].startswith(heard[0].data["id"])

    async def test_a_revoked_key_hears_no_more(self, eva: Account, live_url: str, services: Services) -> None:
        async with listening(live_url, key=eva.key) as ears:
            await ears.next()
            await _picture(eva.client)
            await ears.until(lambda one: one.name == "image")
            await services.users.revoke_key(eva.id)
            async with services.database.transaction() as session:
                await session.execute(
                    text("INSERT INTO albums (id, user_id, name) VALUES ('alb_x', :user, 'late')"), {"user": eva.id}
                )
            assert await ears.next() is None
