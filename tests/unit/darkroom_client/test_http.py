"""The Python client against a server that is busy, loses answers, or goes away."""

from __future__ import annotations

import pickle
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from bench.server import free_port
from darkroom_client import ApiError, Darkroom, Retries
from darkroom_client.errors import AnswerLost, NotFound, Overloaded, Unreachable, error_of

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


class Hurried(Darkroom):
    """A client that notes its pauses, in seconds, and makes none."""

    def __init__(self, url: str, **options: Any) -> None:
        self.pauses: list[float] = []
        super().__init__(url, sleep=self.pauses.append, **options)


@pytest.mark.parametrize("end", [LOST, problem(503), problem(429)], ids=["lost", "503", "429"])
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/albums"), ("POST", "/albums/tags"), ("POST", "/images"), ("POST", "/style")]
)
def test_a_request_that_is_safe_to_repeat_is_repeated(end: bytes, method: str, path: str) -> None:
    with serving(end, OK) as server, Hurried(server.url) as client:
        assert client.request(method, path, **({} if method == "GET" else {"json": {}})) == {}
    assert len(server.heads) == 2


def test_a_repeated_post_has_the_key_of_the_first() -> None:
    with serving(LOST, OK, OK) as server, Hurried(server.url) as client:
        client.request("POST", "/images", json={})
        client.request("POST", "/images", json={})
    first, again, another = server.keys
    assert first == again != another


def test_a_post_about_an_album_needs_no_key() -> None:
    with serving(OK) as server, Hurried(server.url) as client:
        client.request("POST", "/albums/tags", json={})
    assert server.keys == []


@pytest.mark.parametrize("end", [LOST, problem(503)], ids=["lost", "503"])
@pytest.mark.parametrize(("method", "path"), [("POST", "/users"), ("DELETE", "/albums/a")])
def test_a_request_that_may_have_been_carried_out_is_not_repeated(end: bytes, method: str, path: str) -> None:
    with serving(end, OK) as server, Hurried(server.url) as client, pytest.raises((AnswerLost, ApiError)):
        client.request(method, path)
    assert len(server.heads) == 1


def test_the_pause_that_the_server_names_is_kept_and_others_grow_at_random() -> None:
    with serving(problem(503, "Retry-After: 7"), problem(503), LOST, OK) as server, Hurried(server.url) as client:
        client.request("GET", "/albums")
    told, second, third = client.pauses
    assert 7 <= told <= 7 * 1.25
    assert 1 <= second <= 2 <= third <= 4


def test_no_pause_is_longer_than_half_a_minute_and_a_quarter() -> None:
    with serving(problem(429, "Retry-After: 3600"), OK) as server, Hurried(server.url) as client:
        client.request("GET", "/albums")
    assert 30 <= client.pauses[0] <= 37.5


def test_trying_again_ends() -> None:
    with serving(*[problem(503)] * 9) as server, Hurried(server.url) as client, pytest.raises(ApiError) as raised:
        client.request("GET", "/albums")
    assert raised.value.status == 503
    assert len(server.heads) == 6
    assert len(client.pauses) == 5


def test_the_number_of_tries_is_the_callers() -> None:
    with serving(*[problem(503)] * 9) as server, Hurried(server.url, retries=Retries(tries=2)) as client:
        with pytest.raises(ApiError):
            client.request("GET", "/albums")
    assert len(server.heads) == 2


def test_answers_that_are_lost_again_and_again_are_an_error() -> None:
    with serving(*[LOST] * 9) as server, Hurried(server.url) as client, pytest.raises(AnswerLost):
        client.request("GET", "/albums")
    assert len(server.heads) == 6


def test_a_repeat_waits_while_the_first_try_is_still_being_answered() -> None:
    with serving(LOST, problem(409), OK) as server, Hurried(server.url) as client:
        assert client.request("POST", "/images", json={}) == {}
    assert len(server.heads) == 3


def test_a_conflict_at_the_first_try_is_an_error() -> None:
    with serving(problem(409), OK) as server, Hurried(server.url) as client, pytest.raises(ApiError) as raised:
        client.request("POST", "/images", json={})
    assert raised.value.status == 409


def test_a_server_that_never_answered_is_said_at_once_to_be_missing() -> None:
    with Hurried(f"http://127.0.0.1:{free_port()}") as client, pytest.raises(Unreachable, match="No Darkroom answers"):
        client.request("GET", "/albums")
    assert client.pauses == []


def test_a_server_that_went_away_is_waited_for() -> None:
    with serving(OK) as server, Hurried(server.url) as client:
        client.request("GET", "/albums")
        server.close()
        with pytest.raises(Unreachable):
            client.request("GET", "/albums")
    assert len(client.pauses) == 5


def test_a_problem_is_an_exception_of_its_type_with_what_it_says() -> None:
    document = {"type": "/problems/not-found", "title": "Not found", "status": 404, "detail": "There is no album 'x'."}
    error = error_of(document)
    assert type(error) is NotFound
    assert (error.status, str(error)) == (404, "Not found: There is no album 'x'.")


def test_a_problem_of_a_type_that_is_not_known_is_an_api_error_with_its_members() -> None:
    error = error_of({"type": "/problems/new", "title": "New", "status": 418, "detail": "d", "chain": [1, 2]})
    assert type(error) is ApiError
    assert error.problem["chain"] == [1, 2]


def test_an_error_survives_pickling() -> None:
    error = error_of({"type": "/problems/overloaded", "title": "T", "status": 429, "detail": "d"}, retry_after_s=7)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is Overloaded
    assert (again.retry_after_s, again.problem) == (7, error.problem)


def test_an_answer_that_is_no_problem_document_is_an_api_error_with_its_status() -> None:
    page = b"HTTP/1.1 502 X\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>"
    with serving(page) as server, Hurried(server.url) as client, pytest.raises(ApiError, match="502"):
        client.request("GET", "/albums")


_STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
_DONE = (
    b'event: job\ndata: {"id": "job_1", "kind": "tags", "status": "succeeded", "progress": 1, "eta_s": 0, '
    b'"problem": null, "created_at": "2026-03-01T12:00:00Z", "started_at": null, "finished_at": null, "result": {}}\n\n'
)
_CHANGED = b'event: image\nid: 1-2\ndata: {"kind": "image", "id": "img_1", "gone": false}\n\n'


@pytest.mark.parametrize("refusal", [503, 502, 429])
def test_a_stream_that_could_not_be_opened_for_now_is_opened_again(refusal: int) -> None:
    with serving(problem(refusal), _STREAM + _DONE) as server, Hurried(server.url) as client:
        assert client.watch_job("job_1").wait() == {}
    assert len(server.heads) == 2


def test_a_stream_of_changes_goes_on_after_the_last_event_when_it_is_opened_again() -> None:
    with serving(_STREAM + _CHANGED, problem(503), _STREAM + _CHANGED) as server, Hurried(server.url) as client:
        changes = client.watch_events()
        assert [next(changes)[0], next(changes)[0]] == ["1-2", "1-2"]
    assert b"last-event-id" not in server.heads[0]
    assert b"last-event-id: 1-2" in server.heads[2]


def test_a_stream_that_is_refused_for_good_is_not_opened_again() -> None:
    with serving(problem(404)) as server, Hurried(server.url) as client, pytest.raises(ApiError):
        client.watch_job("job_1").wait()
    assert len(server.heads) == 1


def test_a_webhook_is_not_made_twice_where_the_answer_was_lost() -> None:
    with serving(LOST, OK) as server, Hurried(server.url) as client, pytest.raises(AnswerLost):
        client.create_webhook("https://example.org/")
    assert server.keys == []
    assert len(server.heads) == 1
