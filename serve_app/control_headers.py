"""Removal of the request headers by which Ray Serve takes orders, before Serve reads them.

Serve's proxy obeys them from anybody: a client could switch its deadline off, stay in the books after it hung up, or
choose its replica, and a value that is no UTF-8 is a 500 in plain text. The application sees a request afterwards only,
so this is a middleware of the proxy (and of replicas that listen themselves); both load it by the variable `SETTING`.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.api.context import is_request_id
from serve_app.lost_answers import LostAnswers

SETTING = {"RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve_app.control_headers:middlewares"}
"""Environment variable that Serve's processes must start with."""
ORDERS = frozenset(
    {
        "x-request-timeout-seconds",
        "x-request-disconnect-disabled",
        "serve-multiplexed-model-id",
        "x-session-id",
    }
)
"""Read by `ray.serve._private.http_util` and `proxy` (2.60), with `_` for `-` too."""
_ROUTER = "x-serve-router-"
"""Prefix of what Serve's own router tells replicas."""
_TRACES = frozenset({"traceparent", "tracestate"})
"""Decoded by the proxy where tracing is on; W3C allows ASCII only."""
_REQUEST_ID = "x-request-id"


def middlewares() -> list[Middleware]:
    """List the middlewares of Serve's HTTP servers, as Serve asks for them."""
    return [Middleware(ControlHeaders), Middleware(LostAnswers)]


class ControlHeaders:
    """Middleware that takes Serve's control headers out of each request.

    A request id stays if it is one that the application would take over (`is_request_id`), and is sent once.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in {"http", "websocket"}:
            sent_ids = Headers(scope=scope).getlist(_REQUEST_ID)
            keeps_id = len(sent_ids) == 1 and is_request_id(sent_ids[0])
            kept = [(name, value) for name, value in scope["headers"] if _is_harmless(name, value, keeps_id)]
            scope = {**scope, "headers": kept}
        await self._app(scope, receive, send)


def _is_harmless(name: bytes, value: bytes, keeps_id: bool) -> bool:
    called = name.decode("latin-1").lower().replace("_", "-")
    if called == _REQUEST_ID:
        return keeps_id and name == _REQUEST_ID.encode()
    if called in _TRACES:
        return value.isascii()
    return called not in ORDERS and not called.startswith(_ROUTER)
