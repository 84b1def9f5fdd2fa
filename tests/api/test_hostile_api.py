"""Requests that no friendly client sends: a clear problem each, and never a 5xx."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from serve_app.services.container import Services
from tests.api.conftest import assert_problem, upload
from tests.support.builders import an_image, encoded
from tests.support.openapi import WEBUI_DOCUMENT

JSON = {"Content-Type": "application/json"}
EMBEDDINGS = "/api/v1/albums/embeddings"


@pytest.mark.parametrize(
    "body",
    [
        b'{"images": ["a"], "\\ud800": 1}',
        b'{"images": ["\\ud800"]}',
        b'{"images": ["a"], "album_id": "\\udfff"}',
        b'{"images": ["a\\u0000b"]}',
        b'{"images": ["\xff"]}',
        b"[" * 100_000,
        b'{"images": ' + b"9" * 5000 + b"}",
        b'{"images": ["a"], "album_id": "\\u0000"}',
    ],
)
async def test_text_that_cannot_be_kept_is_422(idle_client: httpx.AsyncClient, body: bytes) -> None:
    assert_problem(await idle_client.post(EMBEDDINGS, content=body, headers=JSON), 422, "invalid-request")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "-1", str(10**40), '"x"'])
async def test_a_number_out_of_bounds_is_422(idle_client: httpx.AsyncClient, number: str) -> None:
    for field in ("top_k", "threshold"):
        body = f'{{"album_id": "a", "{field}": {number}}}'
        assert_problem(await idle_client.post("/api/v1/albums/tags", content=body, headers=JSON), 422)


async def _pieces(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 2**16 + 1):
        yield b" " * 2**16


async def test_a_json_body_that_hides_its_length_is_refused_at_the_limit(idle_client: httpx.AsyncClient) -> None:
    response = await idle_client.post(EMBEDDINGS, content=_pieces(2**20), headers=JSON)
    assert_problem(response, 413, "payload-too-large")


FORM = {"Content-Type": "multipart/form-data; boundary=b"}
PART = b'--b\r\nContent-Disposition: form-data; name="file"'


@pytest.mark.parametrize("form", ["multipart/form-data", "multipart/form-data; boundary=", FORM["Content-Type"]])
@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "k"}])
@pytest.mark.parametrize(
    "content", [b"", b"no form at all", PART + b"\r\n\r\nx\r\n--b--\r\n", PART[:-13] + b"\r\n\r\nx\r\n--b--\r\n"]
)
async def test_a_broken_form_is_422(
    idle_client: httpx.AsyncClient, content: bytes, form: str, key: dict[str, str]
) -> None:
    response = await idle_client.post("/api/v1/images", content=content, headers={"Content-Type": form, **key})
    assert_problem(response, 422)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Starlette leaves closing to the GC
async def test_a_form_that_breaks_off_is_422(idle_client: httpx.AsyncClient) -> None:
    content = PART + b'; filename="a"\r\n\r\ncut'
    assert_problem(await idle_client.post("/api/v1/images", content=content, headers=FORM), 422)


@pytest.mark.parametrize(
    "host", ["[", "a b", 'x"><script>', "[::1", "evil.example:99999999", "", "a/../b", "user@host"]
)
async def test_a_hostile_host_header_breaks_nothing(idle_client: httpx.AsyncClient, host: str) -> None:
    [url] = await upload(idle_client, encoded(an_image(), "PNG"))
    image_id = url.rsplit("/", 1)[1].split(".")[0]
    for path in (f"/api/v1/images/{image_id}", "/openapi.json", "/docs"):
        response = await idle_client.get(path, headers={"Host": host})
        assert response.status_code < 500


@pytest.mark.parametrize(
    "name",
    ["a\x00b.png", "..\\..\\x.png", "../../etc/passwd", "x" * 100_000, "\ud83d\ude00.png", "é\r\nSet-Cookie: a=b"],
)
async def test_a_hostile_file_name_does_not_cost_the_picture(idle_client: httpx.AsyncClient, name: str) -> None:
    part = name.encode("utf-8", "surrogatepass")
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="'
        + part
        + b'"\r\n\r\n'
        + encoded(an_image(), "PNG")
        + b"\r\n--b--\r\n"
    )
    for path in ("/api/v1/images", "/upload-image/"):
        response = await idle_client.post(
            path, content=body, headers={"Content-Type": "multipart/form-data; boundary=b"}
        )
        assert response.status_code == (422 if len(name) > 1000 else 201)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/api/v1/nothing", 404),
        ("PUT", "/api/v1/images", 405),
        ("PUT", "/api/v1/albums/a", 405),
        ("POST", "/api/v1/jobs/x", 405),
        ("GET", "/api/v1/images/%00", 422),
        ("GET", "/api/v1/albums/%00", 422),
        ("DELETE", "/api/v1/albums/%00", 422),
        ("GET", "/api/v1/jobs/%00", 422),
        ("DELETE", "/api/v1/jobs/%00", 422),
        ("GET", "/api/v1/jobs/%00/events", 422),
        ("GET", "/api/v1/files/%00", 422),
        ("DELETE", "/api/v1/images/%00", 422),
        ("GET", "/api/v1/albums?cursor=%00", 422),
        ("GET", "/api/v1/albums?limit=0", 422),
        ("GET", "/api/v1/albums?limit=99999999999999999999999", 422),
        ("GET", "/api/v1/albums/a/search?q=%00", 404),
        ("GET", "/api/v1/images/%ff%fe", 404),
        ("GET", "/api/v1/albums/" + "x" * 9000, 404),
        ("HEAD", "/api/v1/style", 405),
        ("OPTIONS", "/api/v1/albums", 405),
    ],
)
async def test_every_refusal_is_a_problem_document(
    idle_client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    response = await idle_client.request(method, path)
    assert response.status_code == status
    if method != "HEAD":
        assert_problem(response, status)


async def test_what_breaks_unexpectedly_is_found_in_the_log_by_its_request_id(
    idle_client: httpx.AsyncClient, services: Services
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("/secret/path")

    services.albums.list_albums = broken  # type: ignore[method-assign, assignment]
    with capture_logs(processors=[merge_contextvars]) as events:
        response = await idle_client.get("/api/v1/albums")
    assert_problem(response, 500, "internal-error")
    assert "secret" not in response.text
    [event] = [event for event in events if event["log_level"] == "error"]
    assert event["request_id"] == response.headers["x-request-id"]


HALVES = (b"\\ud800", b"\\uDFFF", b"\\udc00\\ud800", b"\xed\xa0\x80")


def _routes_with_json(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Method and path of all routes that take JSON."""
    return [
        (method, path)
        for path, methods in document["paths"].items()
        for method, route in methods.items()
        if "application/json" in route.get("requestBody", {}).get("content", {})
    ]


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize(
    "body", ['{"x": "HALF"}', '{"HALF": 1}', '{"prompt": "a", "override_settings": {"x": ["HALF"]}}', '["HALF"]']
)
async def test_half_a_surrogate_anywhere_in_json_is_422_on_every_route(
    idle_client: httpx.AsyncClient, body: str, half: bytes
) -> None:
    addresses = ("/openapi.json", WEBUI_DOCUMENT)
    documents = [(await idle_client.get(address)).json() for address in addresses]
    routes = [route for document in documents for route in _routes_with_json(document)]
    assert {"/api/v1/albums/embeddings", "/sdapi/v1/options", "/sdapi/v1/txt2img"} <= {path for _, path in routes}
    content = body.encode().replace(b"HALF", half)
    for method, path in routes:
        address = path.format_map(defaultdict(lambda: "a"))
        response = await idle_client.request(method, address, content=content, headers=JSON)
        assert response.status_code == 422, (method, path, response.text)
        assert "surrogate" in response.text, (method, path, response.text)


async def test_a_whole_surrogate_pair_and_an_escaped_escape_are_text_as_any_other(
    idle_client: httpx.AsyncClient,
) -> None:
    for name in (b"\\ud83d\\ude00", b"\\\\ud800"):
        response = await idle_client.post("/sdapi/v1/options", content=b'{"%s": null}' % name, headers=JSON)
        assert response.status_code == 200, response.text
