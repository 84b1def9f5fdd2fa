"""Guard against web pages that make a visitor's browser call this server.

A page may point its own name at 127.0.0.1 (DNS rebinding): the `Host` header shows it. A page may post without reading
the answer (cross-site request forgery): browsers say where such a request comes from. Programs send neither `Origin`
nor `Sec-Fetch-Site`, and are not held up.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from configs.settings import Settings
from deployments.errors import CrossOrigin, DarkroomError, Misdirected, UnsupportedMediaType
from serve_app.api.middleware import error_answer

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_AUTHORITY = re.compile(r"(?P<host>[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_OTHER_SITES = frozenset({"cross-site", "same-site"})
"""Values of `Sec-Fetch-Site` that mean another origin. Ports make no other site: a page of another server of this
machine says `same-site`."""
_NO_CODING = frozenset({"", "identity"})
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_EXPOSED = ("Content-Range", "ETag", "Idempotent-Replayed", "Link", "Location", "Retry-After", "X-Request-ID")


def cross_origin_access(origins: tuple[str, ...]) -> list[Middleware]:
    """Make the middleware that lets pages of these origins call (CORS); without origins there is none.

    No credentials: keys travel in `Authorization`, which a page sets itself.
    """
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=("GET", "HEAD", "POST", "PATCH", "DELETE"),
            allow_headers=(
                "Authorization",
                "Content-Type",
                "Idempotency-Key",
                "If-Match",
                "If-None-Match",
                "Prefer",
                "Range",
            ),
            expose_headers=_EXPOSED,
            max_age=600,
        )
    ]


class BrowserGuard:
    """Middleware that refuses foreign hosts (421), foreign pages (403), and bodies whose kind is not told (415)."""

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app = app
        own = urlsplit(settings.public_url or "")
        self._hosts = None if settings.auth.mode == "api_key" else _LOOPBACK | {_host(own.netloc) or "localhost"}
        """Hosts that are served; None: all, since a page that lies about its name has no key to send."""
        self._origins = {*settings.cors_origins}
        if settings.public_url:
            self._origins.add(f"{own.scheme}://{own.netloc}".lower())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._check(scope, Headers(scope=scope))
            except DarkroomError as error:
                response = error_answer(scope["path"], error)
                if isinstance(error, UnsupportedMediaType):
                    response.headers["Accept-Encoding"] = "identity"
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope, headers: Headers) -> None:
        """Raise the refusal of a request."""
        self._check_host(headers.getlist("host"), is_old=scope.get("http_version") == "1.0")
        if scope["method"] not in SAFE_METHODS:
            self._check_origin(headers)
            _check_body(headers)

    def _check_host(self, hosts: list[str], *, is_old: bool) -> None:
        if not hosts and (is_old or self._hosts is None):  # a probe that speaks HTTP/1.0; browsers always name a host
            return
        host = _host(hosts[0]) if len(hosts) == 1 else None
        if host is None:
            raise Misdirected("The Host header names no host.")
        if self._hosts is not None and host not in self._hosts:
            raise Misdirected(
                "Without keys this server answers to localhost, 127.0.0.1, [::1] and the host of DARKROOM_PUBLIC_URL "
                "only, so that no web page can pose as it. Name the host of your server there."
            )

    def _check_origin(self, headers: Headers) -> None:
        sent, host = headers.getlist("origin"), headers.get("host", "")
        if sent and self._origins.issuperset(origin.lower() for origin in sent):
            return
        sites = {site.strip().lower() for site in headers.getlist("sec-fetch-site")}
        if sites & _OTHER_SITES or not all(_is_own(origin, host) for origin in sent):
            raise CrossOrigin(
                "A web page of another site sent this request. Pages that may do so are named in DARKROOM_CORS_ORIGINS."
            )


def check_own_page(headers: Headers, public_url: str | None) -> None:
    """Raise `CrossOrigin` unless a page of this server sent the request, and its browser says so.

    For requests that a browser adds its cookie to: those of programs, which name no page, bring a key.
    """
    sent, host = headers.getlist("origin"), headers.get("host", "")
    own = urlsplit(public_url or "")
    named = f"{own.scheme}://{own.netloc}".lower() if own.netloc else None
    if len(sent) != 1 or not (sent[0].lower() == named or _is_own(sent[0], host)):
        raise CrossOrigin("By cookie only a page of this server may change anything: send `Origin`, or a key.")


def _check_body(headers: Headers) -> None:
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return
    if not headers.get("content-type", "").strip():
        raise UnsupportedMediaType("The request has a body, but no Content-Type that says what it is.")
    if not _NO_CODING.issuperset(coding.strip().lower() for coding in headers.getlist("content-encoding")):
        raise UnsupportedMediaType("Compressed bodies are not read here: send the body without Content-Encoding.")


def _host(authority: str) -> str | None:
    """Parse the host of `host:port`; None: it is none."""
    match = _AUTHORITY.fullmatch(authority.lower())
    return match["host"] if match else None


def _is_own(origin: str, host: str) -> bool:
    """Whether an origin is that of the host asked for. The scheme may differ: a proxy in front may end TLS."""
    scheme, _, authority = origin.lower().partition("://")
    if scheme not in _DEFAULT_PORTS:
        return False
    port = _DEFAULT_PORTS[scheme]
    return authority.removesuffix(port) == host.lower().removesuffix(port)
