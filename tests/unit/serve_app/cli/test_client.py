"""The client of the commands against a server that is busy, loses answers, or goes away."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from bench.server import free_port
from serve_app.cli import client as client_module
from serve_app.cli.client import Client, CommandError

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
LOST = b""


def problem(status: int, *headers: str) -> bytes:
    body = f'{{"title": "Problem", "detail": "of {status}"}}'
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close", *headers, "", body]
    return "\r\n".join(lines).encode()


class Scripted:
    """A server that gives these answers in turn; `LOST` closes the connection without one."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)
        self.heads: list[bytes] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"

    def run(self) -> None:
        for answer in self._answers:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as received:
                head = b"".join(iter(received.readline, b"\r\n"))
                lengths = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                received.read(int(lengths[0]) if lengths else 0)
                self.heads.append(head.lower())
                connection.sendall(answer)

    def close(self) -> None:
        with suppress(OSError):  # it may be closed already
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    @property
    def keys(self) -> list[bytes]:
        lines = (line for head in self.heads for line in head.split(b"\r\n"))
        return [line for line in lines if line.startswith(b"idempotency-key")]


@contextmanager
def serving(*answers: bytes) -> Iterator[Scripted]:
    server = Scripted(*answers)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join(20)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, in seconds, without their time."""
    made: list[float] = []
    monkeypatch.setattr(client_module.time, "sleep", made.append)
    return made


@pytest.mark.parametrize("end", [LOST, problem(503), problem(429)], ids=["lost", "503", "429"])
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/albums"), ("POST", "/albums/tags"), ("POST", "/images"), ("POST", "/style")]
)
def test_a_request_that_is_safe_to_repeat_is_repeated(end: bytes, method: str, path: str) -> None:
    with serving(end, OK) as server, Client(server.url) as client:
        assert client.call(method, path, **({} if method == "GET" else {"json": {}})).status_code == 200
    assert len(server.heads) == 2


def test_a_repeated_post_has_the_key_of_the_first() -> None:
    with serving(LOST, OK, OK) as server, Client(server.url) as client:
        client.call("POST", "/images", json={})
        client.call("POST", "/images", json={})
    first, again, another = server.keys
    assert first == again != another


def test_a_post_about_an_album_needs_no_key() -> None:
    with serving(OK) as server, Client(server.url) as client:
        client.call("POST", "/albums/tags", json={})
    assert server.keys == []


@pytest.mark.parametrize("end", [LOST, problem(503)], ids=["lost", "503"])
@pytest.mark.parametrize(("method", "path"), [("POST", "/users"), ("DELETE", "/albums/a")])
def test_a_request_that_may_have_been_carried_out_is_not_repeated(end: bytes, method: str, path: str) -> None:
    with serving(end, OK) as server, Client(server.url) as client, pytest.raises(CommandError):
        client.call(method, path)
    assert len(server.heads) == 1


def test_the_pause_that_the_server_names_is_kept_and_others_grow_at_random(pauses: list[float]) -> None:
    with serving(problem(503, "Retry-After: 7"), problem(503), LOST, OK) as server, Client(server.url) as client:
        client.call("GET", "/albums")
    told, second, third = pauses
    assert 7 <= told <= 7 * 1.25
    assert 1 <= second <= 2 <= third <= 4


def test_no_pause_is_longer_than_half_a_minute_and_a_quarter(pauses: list[float]) -> None:
    with serving(problem(429, "Retry-After: 3600"), OK) as server, Client(server.url) as client:
        client.call("GET", "/albums")
    assert 30 <= pauses[0] <= 37.5


def test_trying_again_ends(pauses: list[float]) -> None:
    with serving(*[problem(503)] * 9) as server, Client(server.url) as client, pytest.raises(CommandError, match="503"):
        client.call("GET", "/albums")
    assert len(server.heads) == 6
    assert len(pauses) == 5


def test_answers_that_are_lost_again_and_again_end_with_one_line() -> None:
    with serving(*[LOST] * 9) as server, Client(server.url) as client, pytest.raises(CommandError, match="lost"):
        client.call("GET", "/albums")
    assert len(server.heads) == 6


def test_a_repeat_waits_while_the_first_try_is_still_being_answered() -> None:
    with serving(LOST, problem(409), OK) as server, Client(server.url) as client:
        assert client.call("POST", "/images", json={}).status_code == 200
    assert len(server.heads) == 3


def test_a_conflict_at_the_first_try_is_an_error() -> None:
    with serving(problem(409), OK) as server, Client(server.url) as client, pytest.raises(CommandError, match="409"):
        client.call("POST", "/images", json={})


def test_a_server_that_never_answered_is_said_at_once_to_be_missing(pauses: list[float]) -> None:
    with Client(f"http://127.0.0.1:{free_port()}") as client, pytest.raises(CommandError, match="No Darkroom answers"):
        client.call("GET", "/albums")
    assert pauses == []


def test_a_server_that_went_away_is_waited_for(pauses: list[float]) -> None:
    with serving(OK) as server, Client(server.url) as client:
        client.call("GET", "/albums")
        server.close()
        with pytest.raises(CommandError):
            client.call("GET", "/albums")
    assert len(pauses) == 5
