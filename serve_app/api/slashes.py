"""Redirects between a path and the same path with a slash at its end.

Starlette's own name the client's Host header in the location, and cannot tell `a%2F`, an id that ends in a slash, from
`a/`, a slash too many.
"""

from __future__ import annotations

from starlette.responses import RedirectResponse
from starlette.routing import Match, Router
from starlette.types import ASGIApp, Receive, Scope, Send


def ends_in_slash(scope: Scope) -> bool:
    """Whether the path was sent with a slash at its end; `%2F` is none."""
    sent: bytes | None = scope.get("raw_path")
    return scope["path"].endswith("/") if sent is None else sent.partition(b"?")[0].endswith(b"/")


def redirecting(router: Router) -> ASGIApp:
    """Make the answer to paths without a route: a redirect if one slash more or less makes it a route, else 404."""

    async def redirect_or_404(scope: Scope, receive: Receive, send: Send) -> None:
        other = _other_spelling(scope) if scope["type"] == "http" else None
        if other is None or all(route.matches(other)[0] is Match.NONE for route in router.routes):
            await router.not_found(scope, receive, send)
            return
        query = b"?" + scope["query_string"] if scope.get("query_string") else b""
        location = (other["raw_path"] + query).decode("latin-1")
        await RedirectResponse(location)(scope, receive, send)

    return redirect_or_404


def _other_spelling(scope: Scope) -> Scope | None:
    """The scope with a slash more or less at the end of its path; None: there is no other."""
    sent: bytes | None = scope.get("raw_path")
    if sent is None or scope["path"] == "/":
        return None
    path, raw = scope["path"], sent.partition(b"?")[0]
    if not ends_in_slash(scope):
        return {**scope, "path": path + "/", "raw_path": raw + b"/"}
    return {**scope, "path": path.rstrip("/"), "raw_path": raw.rstrip(b"/")}
