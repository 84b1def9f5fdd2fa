"""Answers in place of those that Ray Serve's proxy gives of its own, or not at all, when a replica dies.

When the replica that answers a request dies, the proxy sends nothing, and its HTTP server says 500 in plain text; it
refuses in plain text, too. This middleware of the proxy (`control_headers.middlewares`) makes problem documents of
these, and tells the front door which requests it may send again: the application's own 503 must not be repeated there.
"""

from __future__ import annotations

import json

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.errors import DarkroomError, Overloaded, Unavailable
from serve_app.services.jobs.problems import problem_members

REPEATS_HEADER = "x-darkroom-repeats"
"""Header by which the front door says that it sends this request again if its replica is lost."""
LOST_STATUS = 425
"""Status that tells the front door to do so. Clients never see it: the door makes 503 of the last one."""
_RETRY_AFTER_S = 5
_OWN = {
    404: (503, Unavailable("The server is starting.")),
    408: (504, Unavailable("The server did not answer in time.")),
    429: (429, Overloaded("The queue of requests is full.")),
    503: (503, Unavailable("No process of the server can answer just now.")),
}
"""The proxy's own answers by status, which are plain text, and what is said instead. The application has no such
errors; 404 is a proxy that knows no application yet."""
_LOST = Unavailable("The process that was answering was lost: try again.")


class LostAnswers:
    """Middleware that answers where the proxy does not, and replaces its plain text."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope.get("path", "").startswith("/-/"):
            return await self._app(scope, receive, send)
        answer = _Answer(send)
        await self._app(scope, receive, answer.send)
        if not answer.has_started:
            repeats = REPEATS_HEADER in Headers(scope=scope)
            await _say(send, LOST_STATUS if repeats else 503, _LOST)


class _Answer:
    """One answer on its way: whether it has started, and whether it is being replaced."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._is_replaced = False
        self.has_started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_started = True
            is_text = Headers(raw=message["headers"]).get("content-type", "").startswith("text/plain")
            own = _OWN.get(message["status"]) if is_text else None
            if own is not None:
                self._is_replaced = True
                return await _say(self._send, *own)
        if not self._is_replaced:
            await self._send(message)


async def _say(send: Send, status: int, error: DarkroomError) -> None:
    shown = 503 if status == LOST_STATUS else status
    data = json.dumps(problem_members(error) | {"status": shown}).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(data)).encode()),
        (b"retry-after", str(_RETRY_AFTER_S).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})
