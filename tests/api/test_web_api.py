"""The web app as the server hands it out: to browsers at `/`, with headers that keep it safe and quick."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from bench.tools.web_bundle import STAMP, sources_hash
from configs.settings import Settings
from serve_app.api.app import build_app
from serve_app.api.web import FOLDER
from serve_app.services.container import Services
from serve_app.telemetry import Metrics
from tests.api.conftest import assert_problem
from tests.support.accounts import a_client, with_keys

WORDS = Path(__file__).parents[2] / "web/src/lib"
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


async def _page(client: httpx.AsyncClient) -> httpx.Response:
    return await client.get("/", headers=BROWSER)


def _files_of(page: httpx.Response) -> list[str]:
    return sorted(set(re.findall(r'"\.(/app/[^"]+)"', page.text)))


async def test_a_browser_that_opens_the_server_gets_the_app(idle_client: httpx.AsyncClient) -> None:
    page = await _page(idle_client)
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["vary"].startswith("Accept")
    assert "<title>Darkroom</title>" in page.text


@pytest.mark.parametrize("accept", ["*/*", "application/json"])
async def test_other_clients_are_led_to_the_documentation(idle_client: httpx.AsyncClient, accept: str) -> None:
    answer = await idle_client.get("/", headers={"Accept": accept})
    assert answer.status_code == 307
    assert answer.headers["location"] == "/docs"
    assert "Accept" in answer.headers["vary"]


async def test_all_that_the_page_names_is_served_and_kept_forever(idle_client: httpx.AsyncClient) -> None:
    names = _files_of(await _page(idle_client))
    assert len(names) >= 2
    for name in names:
        file = await idle_client.get(name)
        assert file.status_code == 200, name
        assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
        kind = "text/css" if name.endswith(".css") else "text/javascript"
        assert file.headers["content-type"] == f"{kind}; charset=utf-8"


async def test_the_page_is_asked_for_anew_and_sent_again_only_if_it_changed(idle_client: httpx.AsyncClient) -> None:
    page = await _page(idle_client)
    assert page.headers["cache-control"] == "no-cache"
    again = await idle_client.get("/", headers=BROWSER | {"If-None-Match": f"W/{page.headers['etag']}"})
    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["etag"] == page.headers["etag"]


async def test_the_page_runs_no_script_but_its_own_and_in_no_frame(idle_client: httpx.AsyncClient) -> None:
    page = await _page(idle_client)
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert re.fullmatch(r"'self'( 'sha256-[A-Za-z0-9+/]{43}=')+", policy["script-src"])
    assert policy["frame-ancestors"] == "'none'"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "no-referrer"


async def test_the_page_names_no_other_server(idle_client: httpx.AsyncClient) -> None:
    page = await _page(idle_client)
    assert not re.search(r"""(?:src|href|import\()\s*=?\s*["'](?:https?:)?//""", page.text)


@pytest.mark.parametrize("name", ["../index.html", "../../api/app.py", "%2e%2e/index.html", "nope.js", "", "immutable"])
async def test_nothing_but_files_of_the_app_is_below_its_folder(idle_client: httpx.AsyncClient, name: str) -> None:
    assert_problem(await idle_client.get(f"/app/{quote(name, safe='%')}"), 404, "not-found")


async def test_head_answers_as_get_does_without_a_body(idle_client: httpx.AsyncClient) -> None:
    page = await _page(idle_client)
    for path in ("/", _files_of(page)[0]):
        got, head = [await idle_client.request(method, path, headers=BROWSER) for method in ("GET", "HEAD")]
        assert (head.status_code, head.content) == (200, b"")
        assert {name: head.headers[name] for name in ("etag", "cache-control", "content-type")} == {
            name: got.headers[name] for name in ("etag", "cache-control", "content-type")
        }


async def test_where_keys_are_asked_for_the_page_needs_none_and_its_calls_do(
    services: Services, settings: Settings
) -> None:
    app = build_app(services, with_keys(settings), Metrics("ingress"))
    async with a_client(app) as stranger:
        page = await _page(stranger)
        assert page.status_code == 200
        assert (await stranger.get(_files_of(page)[0])).status_code == 200
        assert_problem(await stranger.get("/api/v1/images"), 401, "unauthenticated")


def test_the_bundle_is_of_the_sources_beside_it() -> None:
    stamped = (FOLDER / STAMP).read_text(encoding="utf-8").strip()
    assert stamped == sources_hash(), "the app's sources changed: run `make web`, and commit what it builds"


async def test_the_app_has_words_for_all_jobs_and_for_all_that_is_checked(
    services: Services, idle_client: httpx.AsyncClient
) -> None:
    first, later = ((WORDS / folder / "en.ts").read_text(encoding="utf-8") for folder in ("messages", "later"))
    checks = (await idle_client.get("/readyz")).json()["checks"]
    assert checks
    assert [kind for kind in services.handlers if f"  job_{kind}: " not in first] == []
    assert [check for check in checks if f"  check_{check}: " not in later] == []
