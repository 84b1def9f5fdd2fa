"""Sessions of web pages: a cookie in place of the key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http.cookies import SimpleCookie

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import text

from configs.settings import Auth, Settings
from serve_app.api.app import build_app
from serve_app.services.accounts.sessions import MOST
from serve_app.services.container import Services
from serve_app.telemetry import Metrics
from tests.api.conftest import assert_problem
from tests.api.test_housekeeping import count
from tests.support.accounts import ADMIN_KEY, BASE, Account, a_client, with_keys
from tests.support.event_streams import listening

SESSION = "/api/v1/session"
HISTORY = "/api/v1/history"
OWN = {"Origin": BASE}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return with_keys(settings)


@pytest_asyncio.fixture()
async def page(app: FastAPI, eva: Account) -> AsyncIterator[httpx.AsyncClient]:
    """A browser in which Eva has opened a session."""
    async with a_client(app) as client:
        assert (await client.post(SESSION, json={"api_key": eva.key}, headers=OWN)).status_code == 200
        yield client


def cookie_of(answer: httpx.Response) -> tuple[str, dict[str, str]]:
    """Name and attributes of the cookie that an answer sets."""
    [(name, morsel)] = SimpleCookie(answer.headers["set-cookie"]).items()
    return name, {key: str(value) for key, value in morsel.items() if value}


async def test_a_page_gets_a_cookie_for_the_key_that_scripts_and_other_sites_cannot_use(
    nobody: httpx.AsyncClient, eva: Account
) -> None:
    answer = await nobody.post(SESSION, json={"api_key": eva.key}, headers=OWN)
    assert answer.json()["user"] == eva.id
    assert eva.key not in answer.text + str(answer.headers)
    name, attributes = cookie_of(answer)
    assert name == "darkroom_session"
    assert attributes == {"path": "/", "max-age": "43200", "httponly": "True", "samesite": "strict"}
    assert answer.headers["cache-control"] == "no-store"


async def test_over_https_the_cookie_is_for_https_and_this_host_alone(services: Services, settings: Settings) -> None:
    _, key = await services.users.create("https", "https@example.org")
    public = settings.model_copy(update={"public_url": "https://photos.example"})
    async with a_client(build_app(services, public, Metrics("ingress"))) as client:
        page = {"Origin": "https://photos.example"}
        answer = await client.post(SESSION, json={"api_key": key}, headers=page)
        name, attributes = cookie_of(answer)
        assert name == "__Host-darkroom_session"
        assert attributes["secure"] == "True"
        token = answer.headers["set-cookie"].partition("=")[2].partition(";")[0]
        for sent, status in ((name, 200), ("darkroom_session", 401)):
            assert (await client.get(HISTORY, headers={"Cookie": f"{sent}={token}"})).status_code == status
        changed = await client.delete("/api/v1/trash", headers=page | {"Cookie": f"{name}={token}"})
        assert changed.status_code == 204


async def test_a_session_reads_without_a_key_and_caches_keep_its_answers_to_one_user(page: httpx.AsyncClient) -> None:
    answer = await page.get(HISTORY)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "private"


async def test_by_cookie_only_a_page_of_this_server_changes_anything(page: httpx.AsyncClient) -> None:
    assert (await page.post("/api/v1/albums", json={"album_id": "a"}, headers=OWN)).status_code == 201
    for foreign in ({}, {"Origin": "null"}, {"Origin": "http://localhost:3000"}, {"Origin": "https://evil.example"}):
        for method, path in (("DELETE", "/api/v1/albums/a"), ("POST", "/api/v1/albums"), ("PATCH", "/api/v1/albums/a")):
            answer = await page.request(method, path, json={"title": "b"}, headers=foreign)
            assert_problem(answer, 403, "cross-origin")
    assert (await page.get("/api/v1/albums/a")).json()["title"] is None


async def test_a_page_that_may_call_from_elsewhere_may_not_by_cookie(services: Services, settings: Settings) -> None:
    _, key = await services.users.create("cors", "cors@example.org")
    app = build_app(
        services, settings.model_copy(update={"cors_origins": ("https://app.example",)}), Metrics("ingress")
    )
    async with a_client(app) as client:
        await client.post(SESSION, json={"api_key": key}, headers=OWN)
        answer = await client.delete("/api/v1/trash", headers={"Origin": "https://app.example"})
        assert_problem(answer, 403, "cross-origin")


async def test_a_key_goes_before_a_cookie(page: httpx.AsyncClient, bob: Account) -> None:
    headers = {"Authorization": f"Bearer {bob.key}"}
    assert (await page.delete(f"/api/v1/users/{bob.id}", headers=headers)).status_code == 204
    assert_problem(await page.get(HISTORY, headers={"Authorization": "Bearer dk_wrong"}), 401)


@pytest.mark.parametrize("body", [{"api_key": "dk_" + "A" * 43}, {"api_key": "\u0000"}, {"api_key": ADMIN_KEY + "x"}])
async def test_a_wrong_key_opens_nothing(nobody: httpx.AsyncClient, body: dict[str, str], services: Services) -> None:
    answer = await nobody.post(SESSION, json=body)
    assert_problem(answer, 401, "unauthenticated")
    assert "set-cookie" not in answer.headers
    assert await count(services, "sessions") == 0


async def test_the_administrator_has_no_session(nobody: httpx.AsyncClient) -> None:
    assert_problem(await nobody.post(SESSION, json={"api_key": ADMIN_KEY}), 403, "forbidden")


async def test_guesses_of_the_administrators_key_have_a_limit_here_too(services: Services, settings: Settings) -> None:
    auth = Auth(mode="api_key", admin_key=SecretStr(ADMIN_KEY), wrong_keys=2)
    app = build_app(services, settings.model_copy(update={"auth": auth}), Metrics("ingress"))
    async with a_client(app) as client:
        statuses = [(await client.post(SESSION, json={"api_key": "guess"})).status_code for _ in range(3)]
        assert statuses == [401, 401, 429]
        header = {"Authorization": "Bearer guess"}
        assert (await client.get(HISTORY, headers=header)).status_code == 429, "one count for both ways"


async def test_a_session_that_was_ended_is_void_and_its_cookie_removed(
    page: httpx.AsyncClient, nobody: httpx.AsyncClient
) -> None:
    token = page.cookies["darkroom_session"]
    assert_problem(await page.delete(SESSION), 403, "cross-origin")
    answer = await page.delete(SESSION, headers=OWN)
    assert answer.status_code == 204
    assert "darkroom_session" not in page.cookies
    assert_problem(await nobody.get(HISTORY, headers={"Cookie": f"darkroom_session={token}"}), 401)


async def test_a_stream_that_was_opened_by_cookie_ends_with_its_session(
    page: httpx.AsyncClient, eva: Account, live_url: str
) -> None:
    async with listening(live_url, cookie=f"darkroom_session={page.cookies['darkroom_session']}") as ears:
        await ears.next()
        assert (await eva.client.post("/api/v1/albums", json={"album_id": "a"})).status_code == 201
        await ears.until(lambda one: one.name == "album")
        assert (await page.delete(SESSION, headers=OWN)).status_code == 204
        assert (await eva.client.post("/api/v1/albums", json={"album_id": "b"})).status_code == 201
        assert await ears.next() is None


@pytest.mark.parametrize("change", ["renewed", "revoked"])
async def test_a_session_ends_with_its_key(page: httpx.AsyncClient, eva: Account, change: str) -> None:
    method = "POST" if change == "renewed" else "DELETE"
    await eva.client.request(method, f"/api/v1/users/{eva.id}/api-key")
    assert_problem(await page.get(HISTORY), 401)


async def test_a_session_ends_after_its_time_and_is_forgotten(page: httpx.AsyncClient, services: Services) -> None:
    async with services.database.transaction() as session:
        await session.execute(text("UPDATE sessions SET expires_at = now() - interval '1 second'"))
    assert_problem(await page.get(HISTORY), 401)
    await services.run_housekeeping()
    assert await count(services, "sessions") == 0


async def test_a_user_has_so_many_sessions_and_of_more_the_oldest_end(services: Services, eva: Account) -> None:
    caller = await services.users.identify(eva.key)
    assert caller is not None
    tokens = [(await services.sessions.open(eva.id, caller.key_hash or ""))[0] for _ in range(MOST + 1)]
    assert await services.sessions.find_caller(tokens[0]) is None
    assert await services.sessions.find_caller(tokens[-1]) is not None


@pytest.mark.parametrize(
    "cookie", ["darkroom_session=x", "darkroom_session=", "darkroom_session", ";;=", '"\\', "a=" * 999]
)
async def test_a_cookie_that_names_no_session_is_no_key(nobody: httpx.AsyncClient, cookie: str) -> None:
    assert_problem(await nobody.get(HISTORY, headers={"Cookie": cookie}), 401, "unauthenticated")


async def test_odd_cookies_of_neighbours_hide_no_session(page: httpx.AsyncClient, nobody: httpx.AsyncClient) -> None:
    odd = f'prefs={{"a":1}}; x; darkroom_session={page.cookies["darkroom_session"]}'
    assert (await nobody.get(HISTORY, headers={"Cookie": odd})).status_code == 200


class TestWithoutKeys:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"auth": Auth()})

    async def test_there_is_no_session_to_open(self, idle_client: httpx.AsyncClient, services: Services) -> None:
        answer = await idle_client.post(SESSION, json={"api_key": "whatever"})
        assert answer.json() == {"user": None, "expires_at": None}
        assert "set-cookie" not in answer.headers
        assert (await idle_client.delete(SESSION)).status_code == 204
        assert await count(services, "sessions") == 0
