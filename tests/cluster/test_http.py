"""HTTP through Ray Serve: its control headers, heads, parts of files, foreign hosts, and what its log says."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from bench.server import Server
from tests.support.album_client import upload
from tests.support.builders import an_image, encoded

pytestmark = [pytest.mark.cluster, pytest.mark.weights]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Request-Timeout-Seconds", b"0.000001"),
        ("X-Request-Timeout-Seconds", b"\xff"),
        ("X-Request-Disconnect-Disabled", b"\xff"),
        ("serve_multiplexed_model_id", b"\xff"),
        ("X-Session-Id", b"\xff"),
        ("X-Request-Id", b"\xff"),
    ],
)
def test_a_control_header_of_a_client_changes_nothing(client: httpx.Client, name: str, value: bytes) -> None:
    answer = client.get("/albums", headers=[(name.encode(), value)])
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-request-id"].isascii()


def test_head_and_ranges_pass_through_serve(client: httpx.Client) -> None:
    data = encoded(an_image(), "PNG")
    url = upload(client, {"a.png": data})["a.png"]
    for _ in range(2):  # on one connection: a body that was sent would be taken for the next answer
        head = client.head(url)
        assert (head.status_code, head.headers["content-length"]) == (200, str(len(data)))
    part = client.get(url, headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, data[4:8])
    known = client.get(url, headers={"If-None-Match": head.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")


def test_head_of_an_event_stream_ends_through_serve(client: httpx.Client) -> None:
    ref = upload(client, {"a.png": encoded(an_image(), "PNG")})["a.png"]
    posted = client.post("/albums/embeddings", json={"images": [ref]}, headers={"Prefer": "respond-async"})
    assert client.head(f"/jobs/{posted.json()['id']}/events", timeout=20).status_code == 200


def test_foreign_hosts_and_pages_are_refused_through_serve(client: httpx.Client) -> None:
    assert client.get("/albums", headers={"Host": "evil.example"}).status_code == 421
    assert client.post("/albums/quality", json={}, headers={"Origin": "https://evil.example"}).status_code == 403


def test_a_search_for_an_unknown_word_leaves_no_traceback_in_rays_log(server: Server, client: httpx.Client) -> None:
    ref = upload(client, {"a.png": encoded(an_image(), "PNG")})["a.png"]
    client.post("/albums/embeddings", json={"images": [ref], "album_id": "words"}).raise_for_status()
    answer = client.get("/albums/words/search", params={"q": "zyzzyvaqx"})
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/not-supported")
    logs = [path for path in Path(server.data_dir, "logs").rglob("*") if path.is_file()]
    assert logs
    assert not [path.name for path in logs if b"NotSupported" in path.read_bytes()]
