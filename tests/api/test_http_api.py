"""HTTP as browsers and clients expect it, on every route: HEAD, slashes, parts of files, types of problems."""

from __future__ import annotations

import asyncio
import re
from itertools import chain

import httpx
import pytest
from fastapi import FastAPI

from deployments import errors
from serve_app.api.problem_types import load_problem_types
from serve_app.api.sdapi.errors import is_webui
from serve_app.services.container import Services
from tests.api.conftest import BASE, assert_problem, embed, upload
from tests.support.builders import an_image, encoded
from tests.support.openapi import ENDLESS, documents, every_call, operations

VARYING = {"x-request-id", "x-process-time", "content-length"}
"""Headers that differ from request to request; numbers in a body may have more digits the next time."""


async def test_head_answers_as_get_does_without_a_body(app: FastAPI, idle_client: httpx.AsyncClient) -> None:
    for call in every_call(app):
        if call.method == "GET":
            got, head = [await idle_client.request(method, call.path) for method in ("GET", "HEAD")]
            assert head.status_code == got.status_code, call
            assert head.content == b"", call
            for answer in (got, head):
                for name in VARYING:
                    answer.headers.pop(name, None)
            assert head.headers == got.headers, call


async def test_head_of_what_has_no_get_names_the_methods(idle_client: httpx.AsyncClient) -> None:
    answer = await idle_client.head("/api/v1/style")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert (await idle_client.put("/api/v1/styles")).headers["allow"] == "GET, HEAD"


async def test_head_of_an_event_stream_ends_at_once(idle_client: httpx.AsyncClient) -> None:
    refs = await upload(idle_client, encoded(an_image(), "PNG"))
    posted = await idle_client.post(
        "/api/v1/albums/embeddings", json={"images": refs}, headers={"Prefer": "respond-async"}
    )
    answer = await idle_client.head(f"{posted.headers['location']}/events", timeout=20)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")


async def test_head_of_a_stream_without_end_ends_at_once(idle_client: httpx.AsyncClient) -> None:
    await embed_later(idle_client)
    for path in ENDLESS:
        answer = await asyncio.wait_for(idle_client.head(path.format(album_id="summer")), 20)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"].startswith("text/event-stream")


async def embed_later(client: httpx.AsyncClient) -> None:
    refs = await upload(client, encoded(an_image(), "PNG"))
    body = {"images": refs, "album_id": "summer"}
    response = await client.post("/api/v1/albums/embeddings", json=body, headers={"Prefer": "respond-async"})
    assert response.status_code == 202


async def test_head_over_the_wire_has_the_length_and_no_body(live_url: str) -> None:
    async with httpx.AsyncClient(base_url=live_url, timeout=20) as client:
        data = encoded(an_image(), "PNG")
        [url] = await upload(client, data)
        for _ in range(2):  # on one connection: a body that was sent would be taken for the next answer
            head = await client.head(url, headers={"Range": "bytes=0-3"})
            assert (head.status_code, head.headers["content-length"]) == (200, str(len(data)))
        assert (await client.get(url)).content == data


async def test_a_trailing_slash_redirects_on_every_route(app: FastAPI, idle_client: httpx.AsyncClient) -> None:
    for call in every_call(app):
        other = call.path.rstrip("/") if call.path.endswith("/") else f"{call.path}/"
        if other == "/generate-animal-avatar":  # a route of its own, for clients that follow no redirect
            continue
        answer = await idle_client.request(call.method, f"{other}?a=%2F", content=call.content, headers=call.headers)
        assert (answer.status_code, answer.headers.get("location")) == (307, f"{call.path}?a=%2F"), call


async def test_an_album_id_may_end_in_a_slash_that_is_encoded(client: httpx.AsyncClient) -> None:
    refs = await upload(client, encoded(an_image(), "PNG"))
    for name in ("trip/", "trip/search", "a/b"):
        await embed(client, name, refs)
        answer = await client.get(f"/api/v1/albums/{name.replace('/', '%2F')}")
        assert answer.json()["album_id"] == name
    moved = await client.get("/api/v1/albums/a%2Fb/")
    assert (moved.status_code, moved.headers["location"]) == (307, "/api/v1/albums/a%2Fb")


@pytest.mark.parametrize("name", [".", "..", "a/..", "../b", "a/./b"])
async def test_an_album_id_to_which_no_url_leads_is_refused(idle_client: httpx.AsyncClient, name: str) -> None:
    body = {"images": ["https://example.org/a.jpg"], "album_id": name}
    assert_problem(await idle_client.post("/api/v1/albums/embeddings", json=body), 422, "invalid-request")


@pytest.mark.parametrize("name", ["...", ".a", "a..b", "..a/b"])
async def test_other_dots_are_names(idle_client: httpx.AsyncClient, name: str) -> None:
    body = {"images": ["https://example.org/a.jpg"], "album_id": name}
    answer = await idle_client.post("/api/v1/albums/embeddings", json=body, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202


@pytest.mark.parametrize("path", ["/api/v1/images", "/upload-image/", "/api/v1/avatars", "/api/v1/segmentations"])
@pytest.mark.parametrize("size", [20, 2**20 + 1], ids=["short", "long"])
async def test_a_file_that_is_sent_as_text_gets_one_clear_sentence(
    idle_client: httpx.AsyncClient, path: str, size: int
) -> None:
    files = {"file": (None, b"\xff" * size), "animal": (None, "fox")}
    body = assert_problem(await idle_client.post(path, files=files), 422)
    assert "a file part has a filename" in body["detail"]
    assert "UploadFile" not in str(body)


async def test_every_type_of_problem_is_explained(idle_client: httpx.AsyncClient) -> None:
    for kind in _kinds(errors.DarkroomError):
        answer = await idle_client.get(f"/problems/{kind.slug}")
        assert answer.status_code == 200, f"{kind.slug} is missing in serve_app/api/problem_types.toml"
        told = answer.json()
        assert (told["type"], told["title"], told["status"]) == (f"/problems/{kind.slug}", kind.title, kind.status)
        assert len(told["meaning"]) > 20
    assert_problem(await idle_client.get("/problems/nothing"), 404)


def _kinds(base: type[errors.DarkroomError]) -> list[type[errors.DarkroomError]]:
    return [base, *(kind for one in base.__subclasses__() if one.__module__ == base.__module__ for kind in _kinds(one))]


async def test_the_type_of_a_problem_leads_to_its_explanation(idle_client: httpx.AsyncClient) -> None:
    for path in ("/nothing", "/api/v1/albums?limit=0", "/api/v1/jobs/x"):
        told = (await idle_client.get(path)).json()
        assert (await idle_client.get(told["type"])).json()["title"] == told["title"]


def test_each_error_in_the_document_has_an_example_of_its_own_status(app: FastAPI) -> None:
    seen = 0
    for path, method, operation in chain.from_iterable(map(operations, documents(app))):
        for status, response in operation["responses"].items():
            if status < "400":
                continue
            [(kind, content)] = response["content"].items()
            where = f"{method} {path} {status}"
            if not is_webui(path):
                assert kind == "application/problem+json", where
                assert content["example"]["status"] == int(status), where
                assert content["example"]["type"].removeprefix("/problems/") in load_problem_types(), where
            assert content["example"], where
            seen += 1
    assert seen > 300


async def test_a_file_that_the_client_has_is_304(idle_client: httpx.AsyncClient) -> None:
    [url] = await upload(idle_client, encoded(an_image(), "PNG"))
    tag = (await idle_client.get(url)).headers["etag"]
    for sent in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        answer = await idle_client.get(url, headers={"If-None-Match": sent, "Range": "bytes=0-1"})
        assert (answer.status_code, answer.content) == (304, b"")
        assert (answer.headers["etag"], answer.headers["cache-control"][:7]) == (tag, "private")
    assert (await idle_client.get(url, headers={"If-None-Match": '"x"'})).status_code == 200
    assert (await idle_client.get("/api/v1/files/img_nothing", headers={"If-None-Match": "*"})).status_code == 404


class TestRanges:
    """On local storage; `test_object_storage_api` has the same on S3."""

    DATA = encoded(an_image(), "PNG")

    @pytest.fixture
    async def url(self, idle_client: httpx.AsyncClient) -> str:
        [url] = await upload(idle_client, self.DATA)
        return url

    @pytest.mark.parametrize(
        ("wanted", "start", "stop"), [("bytes=0-3", 0, 4), ("bytes=5-", 5, None), ("bytes=-4", -4, None)]
    )
    async def test_a_range_is_206(
        self, idle_client: httpx.AsyncClient, url: str, wanted: str, start: int, stop: int | None
    ) -> None:
        answer = await idle_client.get(url, headers={"Range": wanted})
        part = self.DATA[start:stop]
        assert (answer.status_code, answer.content) == (206, part)
        first = self.DATA.index(part)
        assert answer.headers["content-range"] == f"bytes {first}-{first + len(part) - 1}/{len(self.DATA)}"
        assert answer.headers["accept-ranges"] == "bytes"

    async def test_the_parts_of_a_broken_download_fit(self, idle_client: httpx.AsyncClient, url: str) -> None:
        whole = await idle_client.get(url)
        rest = {"Range": "bytes=100-"}
        for same in (whole.headers["etag"], whole.headers["last-modified"]):
            answer = await idle_client.get(url, headers=rest | {"If-Range": same})
            assert (answer.status_code, whole.content[:100] + answer.content) == (206, self.DATA)
        changed = await idle_client.get(url, headers=rest | {"If-Range": '"another"'})
        assert (changed.status_code, changed.content) == (200, self.DATA)

    @pytest.mark.parametrize("wanted", ["bytes=9-5", "bytes=a-b", "bytes", "items=0-4", "bytes=-", ""])
    async def test_a_range_that_cannot_be_read_is_ignored(
        self, idle_client: httpx.AsyncClient, url: str, wanted: str
    ) -> None:
        answer = await idle_client.get(url, headers={"Range": wanted})
        assert (answer.status_code, answer.content) == (200, self.DATA)

    async def test_a_range_behind_the_end_is_416(self, idle_client: httpx.AsyncClient, url: str) -> None:
        answer = await idle_client.get(url, headers={"Range": "bytes=999999-"})
        assert_problem(answer, 416, "range-not-satisfiable")
        assert answer.headers["content-range"] == f"bytes */{len(self.DATA)}"


async def test_the_date_of_a_file_is_that_of_the_users_own_upload(
    idle_client: httpx.AsyncClient, services: Services
) -> None:
    """The bytes lie there since somebody sent them first; that is nobody else's business."""
    first, second = await upload(idle_client, encoded(an_image(), "PNG"), encoded(an_image(), "PNG"))
    async with services.database.transaction() as session:
        connection = await session.connection()
        image = re.search(r"img_[0-9a-z]+", first)
        assert image
        await connection.exec_driver_sql(
            f"UPDATE images SET created_at = '2001-02-03 04:05:06Z' WHERE id = '{image[0]}'"
        )
    assert (await idle_client.get(first)).headers["last-modified"] == "Sat, 03 Feb 2001 04:05:06 GMT"
    assert not (await idle_client.get(second)).headers["last-modified"].endswith("2001 04:05:06 GMT")


async def test_names_of_animals_and_styles_are_known_in_any_case(client: httpx.AsyncClient) -> None:
    [url] = await upload(client, encoded(an_image(), "PNG"))
    made = await client.post("/api/v1/style", json={"image_url": url, "style_name": "INK"})
    assert (made.status_code, made.json()["style_name"]) == (200, "ink")
    wrong = await client.post("/api/v1/style", json={"image_url": url, "style_name": "inks"})
    assert_problem(wrong, 404)
    body = {"image_url": url, "animal": "Fox"}
    job = await client.post("/api/v1/avatars", json=body, headers={"Prefer": "respond-async"})
    assert job.status_code == 202
    [entry, _] = (await client.get("/api/v1/history")).json()["items"]
    assert entry["parameters"]["animal"] == "fox"
    assert url.startswith(BASE)
