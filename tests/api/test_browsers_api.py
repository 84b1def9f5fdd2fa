"""Web pages of other sites and the browsers of their visitors, on every route of the OpenAPI document."""

from __future__ import annotations

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from configs.settings import Settings
from deployments.errors import CrossOrigin
from serve_app.api.app import build_app
from serve_app.api.browsers import BrowserGuard
from serve_app.services.container import Services
from serve_app.telemetry import Metrics
from tests.api.conftest import assert_problem, upload
from tests.api.sdapi.conftest import V1
from tests.support.accounts import BASE, Account, a_client, with_keys
from tests.support.builders import an_image, encoded
from tests.support.openapi import Call, every_call

EVIL = "evil.example"
FOREIGN_PAGES = (
    {"Origin": f"https://{EVIL}"},
    {"Origin": f"https://{EVIL}", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "null"},
    {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "Cross-Site"},
    {"Origin": "://"},
)
PUBLIC = "https://photos.example"


async def _send(client: httpx.AsyncClient, call: Call, headers: dict[str, str]) -> httpx.Response:
    return await client.request(call.method, call.path, content=call.content, headers=call.headers | headers)


async def _assert_refused(client: httpx.AsyncClient, call: Call, headers: dict[str, str], status: int) -> None:
    answer = await _send(client, call, headers)
    assert answer.status_code == status, (call, headers, answer.text)
    assert EVIL not in answer.text + str(answer.headers), call


async def test_no_route_answers_to_a_foreign_host(app: FastAPI, idle_client: httpx.AsyncClient) -> None:
    calls = every_call(app)
    assert len(calls) > 60
    for call in calls:
        await _assert_refused(idle_client, call, {"Host": EVIL}, 421)


@pytest.mark.parametrize("page", FOREIGN_PAGES, ids=str)
async def test_no_route_does_anything_for_a_foreign_page(
    app: FastAPI, idle_client: httpx.AsyncClient, page: dict[str, str]
) -> None:
    for call in every_call(app):
        if not call.is_safe:
            await _assert_refused(idle_client, call, page, 403)


async def test_every_route_refuses_a_body_without_a_content_type(app: FastAPI, idle_client: httpx.AsyncClient) -> None:
    for call in every_call(app):
        if call.content is not None:
            for empty in ({}, {"Content-Type": ""}, {"Content-Type": "  "}):
                answer = await idle_client.request(call.method, call.path, content=call.content, headers=empty)
                assert answer.status_code == 415, call


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate, gzip"])
async def test_every_route_refuses_a_compressed_body_with_one_sentence(
    app: FastAPI, idle_client: httpx.AsyncClient, coding: str
) -> None:
    for call in every_call(app):
        if call.content is not None:
            answer = await _send(idle_client, call, {"Content-Encoding": coding})
            assert answer.status_code == 415, call
            assert answer.headers["accept-encoding"] == "identity"
            assert "without Content-Encoding" in answer.text


async def test_a_refused_page_gets_the_error_that_the_path_has(idle_client: httpx.AsyncClient) -> None:
    page = {"Origin": f"https://{EVIL}"}
    assert_problem(await idle_client.post("/api/v1/style", json={}, headers=page), 403, "cross-origin")
    answer = await idle_client.post(f"{V1}/interrupt", headers=page)
    assert (answer.status_code, answer.json()["error"]) == (403, "CrossOrigin")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:80", "[::1]:8000"])
async def test_the_names_of_this_machine_are_served(idle_client: httpx.AsyncClient, host: str) -> None:
    assert (await idle_client.get("/api/v1/albums", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host", ["", "localhost.evil.example", "0.0.0.0", "127.0.0.1.nip.io", "localhost@evil.example", "[::1", "a b", "/"]
)
async def test_no_other_host_is_served(idle_client: httpx.AsyncClient, host: str) -> None:
    assert_problem(await idle_client.get("/api/v1/albums", headers={"Host": host}), 421, "misdirected")


async def test_two_hosts_are_none(idle_client: httpx.AsyncClient) -> None:
    headers = [("Host", "localhost"), ("Host", EVIL)]
    assert_problem(await idle_client.get("/api/v1/albums", headers=headers), 421)


@pytest.mark.parametrize("page", [{}, {"Origin": BASE, "Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}])
async def test_programs_and_pages_of_this_server_are_let_in(
    idle_client: httpx.AsyncClient, page: dict[str, str]
) -> None:
    answer = await idle_client.post("/api/v1/albums/quality", json={"album_id": "nope"}, headers=page)
    assert_problem(answer, 404)
    assert (await idle_client.post(f"{V1}/interrupt", headers=page)).status_code == 200


class TestWithAPublicUrl:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"public_url": f"{PUBLIC}/"})

    async def test_its_host_is_served_and_its_pages_let_in(self, idle_client: httpx.AsyncClient) -> None:
        assert (await idle_client.get("/api/v1/albums", headers={"Host": "photos.example"})).status_code == 200
        # A proxy in front may put its own name for this server into the Host header, or pass on the browser's.
        for host in ("127.0.0.1:8000", "photos.example"):
            page = {"Origin": PUBLIC, "Host": host, "Sec-Fetch-Site": "same-origin"}
            answer = await idle_client.post("/api/v1/albums/quality", json={"album_id": "nope"}, headers=page)
            assert_problem(answer, 404)

    async def test_no_other_host_is_named_in_answers(self, idle_client: httpx.AsyncClient) -> None:
        files = {"file": ("a.png", encoded(an_image(), "PNG"))}
        answer = await idle_client.post("/api/v1/images", files=files, headers={"Host": "localhost:1234"})
        assert answer.json()["images"][0]["url"].startswith(f"{PUBLIC}/api/v1/files/")
        moved = await idle_client.get("/users", headers={"Host": "localhost:1234"})
        assert moved.headers["location"] == "/users/"


class TestWithKeys:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return with_keys(settings)

    @pytest.mark.parametrize("page", FOREIGN_PAGES, ids=str)
    async def test_no_route_does_anything_for_a_foreign_page(
        self, app: FastAPI, eva: Account, page: dict[str, str]
    ) -> None:
        for call in every_call(app):
            if not call.is_safe:
                await _assert_refused(eva.client, call, page, 403)

    async def test_any_host_is_served_and_gets_urls_of_its_own(self, eva: Account) -> None:
        files = {"file": ("a.png", encoded(an_image(), "PNG"))}
        answer = await eva.client.post("/api/v1/images", files=files, headers={"Host": "192.168.1.5:8000"})
        assert answer.json()["images"][0]["url"].startswith("http://192.168.1.5:8000/api/v1/files/")

    async def test_without_the_key_no_answer_repeats_the_host(self, app: FastAPI, nobody: httpx.AsyncClient) -> None:
        for call in every_call(app):
            answer = await _send(nobody, call, {"Host": EVIL})
            assert EVIL not in answer.text + str(answer.headers), call

    async def test_a_host_that_is_no_host_is_refused(self, eva: Account) -> None:
        answer = await eva.client.get("/api/v1/albums", headers={"Host": 'x"><script>'})
        assert_problem(answer, 421, "misdirected")


class TestCors:
    APP = "https://app.example"

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return with_keys(settings.model_copy(update={"cors_origins": (self.APP,)}))

    def _preflight(self, origin: str) -> dict[str, str]:
        wanted = {"Method": "POST", "Headers": "authorization,content-type"}
        return {"Origin": origin} | {f"Access-Control-Request-{name}": value for name, value in wanted.items()}

    async def test_a_page_that_is_named_may_call_and_read(self, nobody: httpx.AsyncClient, eva: Account) -> None:
        granted = await nobody.options("/api/v1/style", headers=self._preflight(self.APP))
        assert granted.status_code == 200
        assert granted.headers["access-control-allow-origin"] == self.APP
        page = {"Origin": self.APP, "Sec-Fetch-Site": "cross-site"}
        answer = await eva.client.post("/api/v1/albums/quality", json={"album_id": "nope"}, headers=page)
        assert_problem(answer, 404)
        assert answer.headers["access-control-allow-origin"] == self.APP
        assert "X-Request-ID" in answer.headers["access-control-expose-headers"]

    async def test_errors_before_the_routes_can_be_read_too(self, nobody: httpx.AsyncClient) -> None:
        answer = await nobody.get("/api/v1/albums", headers={"Origin": self.APP})
        assert_problem(answer, 401)
        assert answer.headers["access-control-allow-origin"] == self.APP

    async def test_no_other_page_is_granted_anything(self, nobody: httpx.AsyncClient, eva: Account) -> None:
        refused = await nobody.options("/api/v1/style", headers=self._preflight(f"https://{EVIL}"))
        assert refused.status_code == 400
        for answer in (refused, await eva.client.get("/api/v1/albums", headers={"Origin": f"https://{EVIL}"})):
            assert "access-control-allow-origin" not in answer.headers

    @pytest.mark.parametrize("origin", ["*", "null", "app.example", "https://app.example/", "https://a b", ""])
    def test_what_is_no_origin_is_found_at_the_start(self, origin: str) -> None:
        with pytest.raises(ValueError, match="is no origin"):
            Settings(cors_origins=(origin,))


async def test_without_the_setting_no_page_elsewhere_may_read(idle_client: httpx.AsyncClient) -> None:
    answer = await idle_client.get("/api/v1/albums", headers={"Origin": f"https://{EVIL}"})
    assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_answers_are_kept_from_caches_and_other_sites(idle_client: httpx.AsyncClient) -> None:
    [url] = await upload(idle_client, encoded(an_image(), "PNG"))
    own = [await idle_client.get(path) for path in ("/api/v1/albums", "/api/v1/history", f"{V1}/options", "/users/")]
    own.append(await idle_client.get("/api/v1/albums/nope"))
    for answer in own:
        assert answer.headers["cache-control"] == "no-store", answer.url
    file = await idle_client.get(url)
    assert file.headers["cache-control"].startswith("private")
    for answer in (*own, file):
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_probe_that_speaks_http_1_0_needs_no_host(services: Services, settings: Settings) -> None:
    app = build_app(services, settings, Metrics("ingress"))
    answers: list[int] = []

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            answers.append(int(str(message["status"])))

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b""}

    for version in ("1.0", "1.1"):
        scope = {"type": "http", "http_version": version, "method": "GET", "path": "/healthz", "headers": []}
        scope |= {"query_string": b"", "root_path": "", "scheme": "http", "server": ("127.0.0.1", 8000)}
        await app(scope, receive, send)  # type: ignore[arg-type]
    assert answers == [200, 421]


_HOSTS = st.from_regex(r"[a-z0-9.-]{1,12}(:[0-9]{1,5})?", fullmatch=True)


@given(host=_HOSTS, origin=st.one_of(_HOSTS.map("https://{}".format), st.text(max_size=30)))
def test_an_origin_of_another_host_is_never_taken_for_this_one(host: str, origin: str) -> None:
    guard = BrowserGuard(_never, settings=Settings())
    headers = Headers({"host": host, "origin": origin.encode(errors="replace").decode("latin-1")})
    try:
        guard._check_origin(headers)
    except CrossOrigin:
        return
    assert origin.lower().partition("://")[2].removesuffix(":443").removesuffix(":80") == host.removesuffix(
        ":443"
    ).removesuffix(":80")


async def _never(*_: object) -> None:
    raise AssertionError


async def test_a_key_does_not_help_a_foreign_page(services: Services, settings: Settings) -> None:
    user, key = await services.users.create("kim", "kim@example.org")
    async with a_client(build_app(services, with_keys(settings), Metrics("ingress")), key) as client:
        answer = await client.delete(f"/api/v1/users/{user.id}", headers={"Origin": f"https://{EVIL}"})
        assert_problem(answer, 403, "cross-origin")
        assert (await client.get(f"/api/v1/users/{user.id}")).status_code == 200
