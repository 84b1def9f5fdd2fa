"""Cookies that name the session of a web page: HttpOnly, for this host and its own pages only.

`SameSite=Strict` keeps them from requests that other sites start; since ports make no other site, whatever changes
something has to name its page too (`browsers.check_own_page`).
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import Response
from starlette.types import Message, Scope, Send

from configs.settings import Settings
from serve_app.api.browsers import SAFE_METHODS, check_own_page
from serve_app.services.accounts.users import Caller
from serve_app.services.container import Services

_NAME = "darkroom_session"
_HOST_ONLY = "__Host-"
"""Prefix of cookies that browsers take only over https, without a domain: no neighbour can plant one."""


class SessionCookies:
    """Reader and writer of the cookie. It is `Secure` where pages come over https."""

    def __init__(self, services: Services, settings: Settings) -> None:
        self._services = services
        self._public_url = settings.public_url
        self._max_age_s = round(settings.auth.session_s)

    async def find_caller(self, scope: Scope) -> Caller | None:
        """Find whose session a request is of; None: of none.

        Raises `CrossOrigin` where a foreign page wants to change something.
        """
        headers = Headers(scope=scope)
        token = self.token(scope)
        caller = None if token is None else await self._services.sessions.find_caller(token)
        if caller is not None and scope["method"] not in SAFE_METHODS:
            check_own_page(headers, self._public_url)
        return caller

    def token(self, scope: Scope) -> str | None:
        """Read what the cookie holds; None: there is none."""
        sent = "; ".join(Headers(scope=scope).getlist("cookie"))
        return cookie_parser(sent).get(self._name(scope)) or None  # reads on past neighbours' odd cookies

    @staticmethod
    def keeping_private(send: Send) -> Send:
        """Tell caches on the way that an answer by cookie is one user's: of `Authorization` they know by themselves."""

        async def send_private(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("Cache-Control", "private")
            await send(message)

        return send_private

    def hand_out(self, scope: Scope, response: Response, token: str) -> None:
        """Let a response set the cookie."""
        self._write(scope, response, token, self._max_age_s)

    def take_back(self, scope: Scope, response: Response) -> None:
        """Let a response remove the cookie."""
        self._write(scope, response, "", 0)

    def _write(self, scope: Scope, response: Response, value: str, max_age_s: int) -> None:
        response.set_cookie(
            self._name(scope),
            value,
            max_age=max_age_s,
            path="/",
            secure=self._is_secure(scope),
            httponly=True,
            samesite="strict",
        )

    def _name(self, scope: Scope) -> str:
        return f"{_HOST_ONLY}{_NAME}" if self._is_secure(scope) else _NAME

    def _is_secure(self, scope: Scope) -> bool:
        return scope.get("scheme") == "https" or (self._public_url or "").startswith("https://")
