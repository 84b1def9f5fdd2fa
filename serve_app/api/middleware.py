"""The outermost layer: request ids, one log line and one metric a request, bounds on bodies and on concurrency, and
the answer to unexpected errors."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from configs.settings import Limits
from deployments.errors import DarkroomError, Overloaded, PayloadTooLarge
from serve_app import tracing
from serve_app.api.context import adopt_request_id
from serve_app.api.problems import problem_of, problem_response, unexpected_problem
from serve_app.api.sdapi import errors as webui
from serve_app.telemetry import Metrics

if TYPE_CHECKING:
    from opentelemetry.trace import Span

log = structlog.get_logger("darkroom.access")

UNBOUNDED = (
    *("/healthz", "/readyz", "/metrics", "/ping", "/api/v1/jobs"),
    *("/sdapi/v1/progress", "/sdapi/v1/interrupt", "/sdapi/v1/skip", "/internal/"),
)
"""Paths that are answered however busy the server is, so that a watcher sees that it is busy."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_KEEPABLE = ("/static-offline-docs/", "/problems/")
"""Folders whose answers are the same for all and may be kept by browsers."""
_CLIENT_GONE = 499
"""Status in logs and metrics, as in other servers, of requests whose client hung up before the answer."""
_WATCHERS = frozenset({"/healthz", "/readyz", "/metrics", "/ping"})
"""Routes of probes and scrapers, which leave neither log lines nor traces."""


class HttpEdge:
    """The outermost middleware. Pure ASGI, so that streamed bodies and server-sent events pass through untouched.

    `behind_serve`: Serve's proxy adds an id to each request that has none, and appends it to each answer.
    """

    def __init__(self, app: ASGIApp, *, limits: Limits, metrics: Metrics, behind_serve: bool = False) -> None:
        self._app = app
        self._behind_serve = behind_serve
        self._limits = limits
        self._metrics = metrics
        self._in_flight = {False: 0, True: 0}
        """Requests in flight. Those of the Stable Diffusion web API (True) count apart: they wait for minutes."""
        self._held_bytes = 0
        """Bytes of the web API's bodies, which stay in memory until they are answered."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = adopt_request_id(headers.get("x-request-id"))
        structlog.contextvars.bind_contextvars(request_id=request_id)
        scope.setdefault("state", {})  # where `Authentication` leaves the caller
        try:
            if scope["path"] in _WATCHERS:
                await self._answer(scope, receive, send, headers, request_id, None)
                return
            with tracing.span(
                "request", "server", parent=headers, may_begin=True, darkroom__request_id=request_id
            ) as span:
                await self._answer(scope, receive, send, headers, request_id, span)
        finally:
            structlog.contextvars.unbind_contextvars("request_id")

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, headers: Headers, request_id: str, span: Span | None
    ) -> None:
        started, status, has_begun, held = time.monotonic(), 500, False, 0
        bounded = not scope["path"].startswith(UNBOUNDED)
        is_webui = webui.is_webui(scope["path"])

        def hold(size: int) -> None:
            nonlocal held
            held += size
            self._held_bytes += size
            if self._held_bytes > self._limits.max_sdapi_held_bytes:
                raise Overloaded("Too many large requests are under way; try again shortly.")

        async def send_with_id(message: Message) -> None:
            nonlocal status, has_begun
            if message["type"] == "http.response.start":
                status, has_begun = message["status"], True
                sent = MutableHeaders(scope=message)
                _guard_answer(sent, scope["path"])
                if not (self._behind_serve and headers.get("x-request-id") == request_id):
                    sent["X-Request-ID"] = request_id
                if is_webui:
                    sent["X-Process-Time"] = f"{time.monotonic() - started:.4f}"
            await send(message)

        self._in_flight[is_webui] += bounded
        try:
            if bounded and self._in_flight[is_webui] > self._limits.max_in_flight:
                raise Overloaded("The server is busy; try again shortly.", extra={"retry_after_s": 5})
            await self._app(scope, self._counting(headers, receive, hold if is_webui else None), send_with_id)
        except (Overloaded, PayloadTooLarge) as error:
            await error_answer(scope["path"], error)(scope, receive, send_with_id)
        except ClientDisconnect:
            status = _CLIENT_GONE
        except Exception as error:  # the border of HTTP: Starlette's own handler knows neither request id nor metrics
            log.error("unexpected error", exc_info=error)
            if has_begun:
                raise  # the server cuts the connection, so that half an answer is not taken for a whole one
            await error_answer(scope["path"], None)(scope, receive, send_with_id)
        finally:
            self._in_flight[is_webui] -= bounded
            self._held_bytes -= held
            seconds = time.monotonic() - started
            route = getattr(scope.get("route"), "path", "unmatched")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(method, route, str(status)).inc()
            self._metrics.request_seconds.labels(route).observe(seconds)
            user = getattr(scope["state"].get("caller"), "user_id", None)
            if route not in _WATCHERS:
                whose = {} if user is None else {"user": user}
                log.info("request", method=method, route=route, status=status, seconds=round(seconds, 4), **whose)
            if span is not None:
                _describe(span, method, route, status, user)

    def _counting(self, headers: Headers, receive: Receive, hold: Callable[[int], None] | None) -> Receive:
        """Refuse a body over its limit, declared or received. `hold`: called with the size of each part (web API)."""
        is_form = headers.get("content-type", "").startswith("multipart/")
        limit = self._limits.max_body_bytes if is_form else self._limits.max_json_bytes
        if hold is not None:
            limit = self._limits.max_sdapi_bytes
        said = headers.get("content-length", "")
        if said.isdecimal() and int(said) > limit:
            raise PayloadTooLarge(f"The body has {said} bytes; at most {limit} are taken.")
        counted = counting(receive, at_most(limit))
        return counted if hold is None else counting(counted, hold)


def _describe(span: Span, method: str, route: str, status: int, user: str | None) -> None:
    """Name the span of a request, and say how it was answered."""
    span.update_name(f"{method} {route}")
    span.set_attributes({"http.request.method": method, "http.route": route, "http.response.status_code": status})
    if user is not None:
        span.set_attribute("user.id", user)
    if status >= 500:
        tracing.mark_failed(span, str(status))


def at_most(limit: int) -> Callable[[int], None]:
    """Make a counter that raises `PayloadTooLarge` above `limit` bytes."""
    seen = 0

    def count(size: int) -> None:
        nonlocal seen
        seen += size
        if seen > limit:
            raise PayloadTooLarge(f"The body has more than {limit} bytes.")

    return count


def counting(receive: Receive, count: Callable[[int], None]) -> Receive:
    """Wrap `receive` so that `count` is called with the bytes of each part of a body, and may refuse it by raising."""

    async def counted() -> Message:
        message = await receive()
        count(len(message.get("body", b"")))
        return message

    return counted


def _guard_answer(sent: MutableHeaders, path: str) -> None:
    """Keep an answer from other sites' pages, and from caches unless it says otherwise itself."""
    sent.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    sent.setdefault("X-Content-Type-Options", "nosniff")
    if not path.startswith(_KEEPABLE):
        sent.setdefault("Cache-Control", "no-store")


def error_answer(path: str, error: DarkroomError | None) -> Response:
    """Answer an error as the path's clients expect it; None: a bug."""
    if webui.is_webui(path):
        return webui.answer(error)
    return problem_response(unexpected_problem() if error is None else problem_of(error))
