"""Keys: which requests are let in or refused, and that no body of a refused one is read."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import hashlib
import re
from collections.abc import MutableMapping
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import text
from starlette.routing import Mount, Route
from structlog.testing import capture_logs

from configs.settings import Auth, Settings
from serve_app.api.app import build_app
from serve_app.services.accounts.users import UserService
from serve_app.services.container import Services
from serve_app.services.jobs.progress import Progress
from serve_app.services.runner import JobRunner
from serve_app.store.queue.jobs import QueuedJob
from serve_app.telemetry import Metrics, configure_logging
from tests.api.conftest import assert_problem, upload
from tests.api.sdapi.conftest import assert_webui_error
from tests.support.accounts import ADMIN_KEY, Account, a_client, bearer, with_keys
from tests.support.builders import an_image, encoded
from tests.support.openapi import WEBUI_DOCUMENT, documents, operations

HISTORY = "/api/v1/history"
OPEN = {"/", "/healthz", "/readyz", "/metrics", "/docs", "/docs/oauth2-redirect", "/redoc", "/problems/x", "/app/x"}
OPEN |= {"/openapi.json", "/docs/sdapi", WEBUI_DOCUMENT}
WEB_UI = ("/sdapi/", "/controlnet/", "/internal/")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return with_keys(settings)


def basic(key: str, name: str = "anybody") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{key}".encode()).decode()}


def routes(router: Any) -> list[tuple[str, str]]:
    """Method and path of everything that the application answers, with something in the place of parameters."""
    found: list[tuple[str, str]] = []
    for route in router.routes:
        if (included := getattr(route, "original_router", None)) is not None:  # how FastAPI keeps `include_router`
            found += routes(included)
        elif isinstance(route, Mount):
            assert route.path == "/static-offline-docs", "a new mounted application: is it closed?"
        else:
            assert isinstance(route, Route), f"a new kind of route: {route}"
            path = re.sub(r"{[^}]+}", "x", route.path)
            found += [(method, path) for method in sorted(route.methods or ())]
    return found


async def test_every_route_but_the_open_ones_asks_for_a_key(app: FastAPI, nobody: httpx.AsyncClient) -> None:
    walked = routes(app)
    closed = [(method, path) for method, path in walked if path not in OPEN]
    assert len(closed) > 60
    assert {path for _, path in walked} >= OPEN
    documented = {re.sub(r"{[^}]+}", "x", path) for document in documents(app) for path in document["paths"]}
    assert documented <= {path for _, path in walked}, "the walk has missed a route"
    for method, path in closed:
        response = await nobody.request(method, path)
        assert response.status_code == 401, (method, path, response.status_code)
        wanted = 'Basic realm="Darkroom"' if path.startswith(WEB_UI) else "Bearer"
        assert response.headers["www-authenticate"] == wanted


async def test_a_path_without_a_route_asks_for_a_key_too(nobody: httpx.AsyncClient) -> None:
    for path in ("/api/v1/nowhere", "/healthz/", "/metrics/x", "//api/v1/history", "/docs/../api/v1/history"):
        assert (await nobody.get(path)).status_code == 401, path


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/redoc", "/docs/sdapi", WEBUI_DOCUMENT]
)
async def test_those_who_watch_the_server_need_no_key(nobody: httpx.AsyncClient, path: str) -> None:
    assert (await nobody.get(path)).status_code in {200, 503}


async def test_the_scripts_of_the_documentation_need_no_key(nobody: httpx.AsyncClient) -> None:
    [script] = re.findall(r'<script src="([^"]+)"', (await nobody.get("/docs")).text)
    assert (await nobody.get(script)).status_code == 200


async def test_a_user_is_let_in_by_the_key(eva: Account) -> None:
    assert (await eva.client.get(HISTORY)).json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize("scheme", ["bearer", "BEARER"])
async def test_the_scheme_is_known_in_any_case(eva: Account, nobody: httpx.AsyncClient, scheme: str) -> None:
    assert (await nobody.get(HISTORY, headers={"Authorization": f"{scheme} {eva.key}"})).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer dk_" + "A" * 43,
        "Bearer dk_",
        "Bearer " + "x" * 100_000,
        "Bearer dk_\xff\xfe",
        "Bearer a b",
        "Token abc",
        "Basic !!!",
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Basic " + base64.b64encode(b"\xff\xff:\xff").decode(),
        ADMIN_KEY,
        "Bearer Bearer x",
    ],
)
@pytest.mark.parametrize("path", [HISTORY, "/sdapi/v1/progress"])
async def test_a_forged_or_malformed_key_is_401(nobody: httpx.AsyncClient, path: str, header: str) -> None:
    response = await nobody.get(path, headers={"Authorization": header.encode("latin-1")})
    assert response.status_code == 401, response.text
    assert "www-authenticate" in response.headers
    if path == HISTORY:
        assert_problem(response, 401, "unauthenticated")


async def test_a_changed_letter_makes_a_key_void(eva: Account, nobody: httpx.AsyncClient) -> None:
    for place in (3, 20, len(eva.key) - 1):
        other = "A" if eva.key[place] != "A" else "B"
        forged = eva.key[:place] + other + eva.key[place + 1 :]
        assert_problem(await nobody.get(HISTORY, headers=bearer(forged)), 401, "unauthenticated")


async def test_two_headers_are_no_key(eva: Account, nobody: httpx.AsyncClient) -> None:
    twice = [("Authorization", f"Bearer {eva.key}"), ("Authorization", "Bearer dk_other")]
    assert_problem(await nobody.get(HISTORY, headers=twice), 401)


async def test_the_hash_of_a_key_is_no_key(eva: Account, services: Services, nobody: httpx.AsyncClient) -> None:
    stored = hashlib.sha256(eva.key.encode()).hexdigest()
    assert_problem(await nobody.get(HISTORY, headers=bearer(stored)), 401)


async def test_a_revoked_key_is_401_from_the_next_request_on(eva: Account) -> None:
    assert (await eva.client.delete(f"/api/v1/users/{eva.id}/api-key")).status_code == 204
    assert_problem(await eva.client.get(HISTORY), 401, "unauthenticated")


async def test_a_revoked_key_hears_no_more_of_a_job_that_it_watches(
    eva: Account, services: Services, live_url: str, worker: JobRunner
) -> None:
    go = asyncio.Event()

    async def work(job: QueuedJob, progress: Progress) -> dict[str, Any]:
        await go.wait()
        return {"tags": {}}

    services.handlers["tags"] = work
    refs = await upload(eva.client, encoded(an_image(), "PNG"))
    later = {"Prefer": "respond-async"}
    job = (await eva.client.post("/api/v1/albums/tags", json={"images": refs}, headers=later)).json()["id"]
    async with (
        httpx.AsyncClient(base_url=live_url, headers=bearer(eva.key), timeout=20) as client,
        client.stream("GET", f"/api/v1/jobs/{job}/events") as stream,
    ):
        lines = stream.aiter_lines()
        assert await anext(lines) == "event: job"
        await services.users.revoke_key(eva.id)
        go.set()
        rest = [line async for line in lines]
    assert "succeeded" not in "".join(rest)
    assert (await services.jobs.wait(eva.id, job, 20)).status == "succeeded"


async def test_a_new_key_ends_the_old_one(eva: Account, app: FastAPI) -> None:
    response = await eva.client.post(f"/api/v1/users/{eva.id}/api-key")
    assert response.status_code == 201
    assert response.headers["cache-control"] == "no-store"
    assert_problem(await eva.client.get(HISTORY), 401)
    async with a_client(app, response.json()["api_key"]) as renewed:
        assert (await renewed.get(HISTORY)).status_code == 200


async def test_the_key_of_a_deleted_user_is_401(eva: Account) -> None:
    assert (await eva.client.delete(f"/api/v1/users/{eva.id}")).status_code == 204
    assert_problem(await eva.client.get(HISTORY), 401)


async def test_a_body_is_not_read_before_the_key_is_known(app: FastAPI) -> None:
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError("the body was read")

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    for key in (None, ADMIN_KEY):
        headers = [(b"content-type", b"multipart/form-data; boundary=b"), (b"idempotency-key", b"k")]
        if key:
            headers.append((b"authorization", f"Bearer {key}".encode()))
        scope = {"type": "http", "method": "POST", "path": "/api/v1/images", "raw_path": b"/api/v1/images"}
        await app({**scope, "query_string": b"", "headers": headers, "root_path": ""}, receive, send)
    starts = [message["status"] for message in sent if message["type"] == "http.response.start"]
    assert starts == [401, 403]


class TestWebApiKeys:
    @pytest.mark.parametrize(
        ("method", "path"),
        [("GET", "/sdapi/v1/samplers"), ("GET", "/controlnet/version"), ("GET", "/internal/ping")],
    )
    async def test_a_key_is_the_password_of_basic_authentication(
        self, eva: Account, nobody: httpx.AsyncClient, method: str, path: str
    ) -> None:
        assert (await nobody.request(method, path, headers=basic(eva.key))).status_code == 200
        assert (await nobody.request(method, path, headers=bearer(eva.key))).status_code == 200

    async def test_errors_have_the_shape_that_its_clients_know(self, nobody: httpx.AsyncClient) -> None:
        missing = await nobody.get("/sdapi/v1/samplers")
        assert_webui_error(missing, 401, "HTTPException", detail="Not authenticated")
        wrong = await nobody.get("/sdapi/v1/samplers", headers=basic("dk_wrong"))
        assert_webui_error(wrong, 401, "HTTPException", detail="Incorrect username or password")

    async def test_basic_authentication_is_for_the_web_api_only(self, eva: Account, nobody: httpx.AsyncClient) -> None:
        assert_problem(await nobody.get(HISTORY, headers=basic(eva.key)), 401)

    async def test_the_administrator_makes_no_pictures(self, nobody: httpx.AsyncClient) -> None:
        response = await nobody.post("/sdapi/v1/txt2img", json={}, headers=basic(ADMIN_KEY))
        assert_webui_error(response, 403, "Forbidden")


class TestTheAdministrator:
    @pytest.mark.parametrize("path", [HISTORY, "/api/v1/albums", "/api/v1/styles", "/api/v1/usersx", "/upload-image/"])
    async def test_has_no_pictures_and_is_told_so(self, admin: httpx.AsyncClient, path: str) -> None:
        body = assert_problem(await admin.get(path), 403, "forbidden")
        assert "a user's key" in body["detail"]

    async def test_sees_and_deletes_any_user_and_reads_the_history(
        self, admin: httpx.AsyncClient, eva: Account
    ) -> None:
        assert (await admin.get(f"/api/v1/users/{eva.id}")).json()["username"] == "eva"
        assert (await admin.get(f"/api/v1/users/{eva.id}/history")).json()["items"] == []
        assert (await admin.delete(f"/api/v1/users/{eva.id}")).status_code == 204
        assert_problem(await admin.get(f"/api/v1/users/{eva.id}"), 404, "not-found")

    async def test_alone_is_told_where_rays_dashboard_is(self, admin: httpx.AsyncClient, eva: Account) -> None:
        ports = [(await one.get("/api/v1/capabilities")).json()["dashboard_port"] for one in (admin, eva.client)]
        assert ports == [8265, None]

    async def test_may_have_a_key_beyond_ascii(self, services: Services, settings: Settings) -> None:
        key = "schlüssel des verwalters"
        auth = Auth(mode="api_key", admin_key=SecretStr(key))
        users = UserService(services.database, services.pictures, auth)
        other = build_app(dataclasses.replace(services, users=users), settings, Metrics("ingress"))
        async with a_client(other) as client:
            answer = await client.get("/api/v1/users", headers={"Authorization": f"Bearer {key}".encode()})
        assert answer.status_code == 200

    async def test_gives_a_user_whose_key_was_lost_another(
        self, admin: httpx.AsyncClient, eva: Account, app: FastAPI
    ) -> None:
        key = (await admin.post(f"/api/v1/users/{eva.id}/api-key")).json()["api_key"]
        async with a_client(app, key) as client:
            assert (await client.get(HISTORY)).status_code == 200


async def test_no_key_is_in_the_log(eva: Account, admin: httpx.AsyncClient, settings: Settings) -> None:
    configure_logging(settings.model_copy(update={"log_level": "DEBUG"}))
    try:
        with capture_logs() as lines:
            await eva.client.get(HISTORY)
            await eva.client.get(HISTORY, headers=bearer(eva.key + "x"))
            made = (await admin.post("/api/v1/users", json={"username": "n", "email": "n@example.org"})).json()
            await admin.get(HISTORY)
    finally:
        configure_logging(settings)
    assert len(lines) >= 4
    for secret in (eva.key, made["api_key"], ADMIN_KEY):
        assert secret not in str(lines)


async def test_users_are_no_labels_of_metrics(eva: Account, nobody: httpx.AsyncClient) -> None:
    await eva.client.get(f"/api/v1/users/{eva.id}")
    metrics = (await nobody.get("/metrics")).text
    assert "eva" not in metrics
    assert eva.id not in metrics


async def test_no_key_is_in_the_database(eva: Account, services: Services) -> None:
    await upload(eva.client, encoded(an_image(), "PNG"))
    async with services.database.transaction() as session:
        tables = list(await session.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")))
        for table in tables:
            rows = await session.scalar(text(f"SELECT coalesce(string_agg(one::text, ' '), '') FROM {table} AS one"))
            assert eva.key not in rows, table


@pytest.mark.parametrize(
    ("address", "names"), [("/openapi.json", ["bearer"]), (WEBUI_DOCUMENT, ["bearer", "basic"])], ids=["ours", "webui"]
)
async def test_the_document_says_which_routes_want_which_key(
    nobody: httpx.AsyncClient, address: str, names: list[str]
) -> None:
    document = (await nobody.get(address)).json()
    schemes = document["components"]["securitySchemes"]
    assert {name: (one["type"], one["scheme"]) for name, one in schemes.items()} == {
        name: ("http", name) for name in names
    }
    for template, method, operation in operations(document):
        path = template.replace("{slug}", "x")
        brings_the_key = (path, method) == ("/api/v1/session", "post")
        wanted = None if path in OPEN or brings_the_key else [{name: []} for name in names]
        assert operation.get("security") == wanted, (method, path)
        assert ("401" in operation["responses"]) == (path not in OPEN), (method, path)
