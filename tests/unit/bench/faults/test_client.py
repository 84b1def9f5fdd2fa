"""The honest client against an HTTP server of this machine: what it asks again, and what it does not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bench.faults.client import Client, NotAcknowledged
from bench.faults.journal import Answer, Journal, read

Reply = tuple[int, dict[str, str]]


@contextmanager
def answering(*replies: Reply | None) -> Iterator[str]:
    """Serve the replies one after another; None hangs up. -> the URL"""
    left = iter(replies)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reply = next(left)
            if reply is None:
                self.close_connection = True
                return
            self.send_response(reply[0])
            for item in {"Content-Length": "0", **reply[1]}.items():
                self.send_header(*item)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Callable[[str], Client]]:
    opened: list[Client] = []
    with Journal(tmp_path / "journal") as journal:

        def make(url: str) -> Client:
            opened.append(Client(url, "key", 0, journal))
            return opened[0]

        yield make
        for one in opened:
            one.close()


def seen(tmp_path: Path) -> list[tuple[str, bool]]:
    return [(entry.status, entry.says_when) for entry in read(tmp_path / "journal") if isinstance(entry, Answer)]


@pytest.mark.parametrize("status", [429, 503])
def test_a_refusal_that_says_when_is_asked_again(status: int, tmp_path: Path, client: Callable[[str], Client]) -> None:
    with answering((status, {"Retry-After": "0"}), (200, {})) as url:
        assert client(url).call("file", "GET", "/x").status_code == 200
    assert seen(tmp_path) == [(str(status), True), ("200", False)]


@pytest.mark.parametrize(
    ("reply", "noted"),
    [
        ((503, {}), "503 plain"),
        ((502, {"Retry-After": "0", "Content-Type": "application/problem+json"}), "502"),
        ((500, {"Content-Type": "text/plain"}), "500 plain"),
        (None, "broken"),
    ],
)
def test_anything_else_is_noted_and_not_asked_again(
    reply: Reply | None, noted: str, tmp_path: Path, client: Callable[[str], Client]
) -> None:
    with answering(reply, (200, {})) as url, pytest.raises(NotAcknowledged):
        client(url).call("file", "GET", "/x")
    assert seen(tmp_path) == [(noted, False)]


def test_a_status_that_the_caller_expects_is_an_answer(client: Callable[[str], Client]) -> None:
    with answering((404, {})) as url:
        assert client(url).call("album", "GET", "/albums/gone", also=(404,)).status_code == 404
