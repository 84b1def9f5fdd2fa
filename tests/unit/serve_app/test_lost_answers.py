"""Answers that Serve's proxy gives of its own, or not at all, behind the middleware that replaces them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from serve_app.lost_answers import LOST_STATUS, REPEATS_HEADER, LostAnswers

Messages = list[dict[str, Any]]


async def said_by(proxy: Messages, headers: list[tuple[bytes, bytes]] | None = None, path: str = "/") -> Messages:
    """Pass a request to a proxy that sends these messages. -> what the client gets"""
    sent: Messages = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in proxy:
            await send(message)

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError

    await LostAnswers(app)({"type": "http", "path": path, "headers": headers or []}, receive, send)
    return sent


def answer(status: int, media_type: bytes, body: bytes = b"text") -> Messages:
    return [
        {"type": "http.response.start", "status": status, "headers": [(b"content-type", media_type)]},
        {"type": "http.response.body", "body": body},
    ]


def read(messages: Messages) -> tuple[int, dict[bytes, bytes], Any]:
    start, body = messages
    return start["status"], dict(start["headers"]), json.loads(body["body"])


async def test_a_request_whose_replica_died_is_a_503_problem_document() -> None:
    status, headers, problem = read(await said_by([]))
    assert (status, problem["status"], problem["type"]) == (503, 503, "/problems/unavailable")
    assert headers[b"content-type"] == b"application/problem+json"
    assert int(headers[b"retry-after"]) > 0


async def test_the_front_door_is_told_which_lost_request_it_may_repeat() -> None:
    status, _, problem = read(await said_by([], [(REPEATS_HEADER.encode(), b"1")]))
    assert (status, problem["status"]) == (LOST_STATUS, 503)


@pytest.mark.parametrize(("status", "shown"), [(404, 503), (408, 504), (429, 429), (503, 503)])
async def test_plain_text_of_the_proxy_becomes_a_problem_document(status: int, shown: int) -> None:
    answered, headers, problem = read(await said_by(answer(status, b"text/plain")))
    assert (answered, problem["status"], headers[b"content-type"]) == (shown, shown, b"application/problem+json")


@pytest.mark.parametrize(
    "own",
    [
        answer(200, b"text/plain"),
        answer(404, b"application/problem+json"),
        answer(503, b"application/problem+json"),
        answer(500, b"application/json"),
    ],
)
async def test_answers_of_the_application_pass_as_they_are(own: Messages) -> None:
    assert await said_by(own) == own


async def test_an_answer_that_breaks_off_gets_no_second_beginning() -> None:
    begun = answer(200, b"image/png")[:1]
    assert await said_by(begun) == begun


async def test_serves_own_health_passes_as_it_is() -> None:
    own = answer(503, b"text/plain")
    assert await said_by(own, path="/-/healthz") == own
