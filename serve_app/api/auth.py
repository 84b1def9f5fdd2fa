"""Authentication of each request, before anything of its body is read."""

from __future__ import annotations

import base64
import binascii

import structlog
from fastapi.security.http import HTTPBase
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from configs.settings import Settings
from deployments.errors import DarkroomError, Forbidden, Unauthenticated
from serve_app.api.answers import PREFIX
from serve_app.api.cookies import SessionCookies
from serve_app.api.middleware import error_answer
from serve_app.api.networks import check_network
from serve_app.api.paths import IMMICH_PATHS
from serve_app.api.sdapi import errors as webui
from serve_app.api.tries import Tries, address_of
from serve_app.services.accounts.users import LOCAL_CALLER, Caller, is_made_here
from serve_app.services.container import Services

OPEN = frozenset(
    {"/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc"}
    | {"/openapi/sdapi.json", "/docs/sdapi"}
)
"""Paths that need no key; all others do."""
OPEN_FOLDERS = ("/app/", "/static-offline-docs/", "/problems/")
"""The files of the web app, the scripts of the pages that document the API, and what its errors mean."""
SESSION_PATH = f"{PREFIX}/session"
ADMIN_PATHS = (f"{PREFIX}/users", "/users", f"{PREFIX}/capabilities")

bearer = HTTPBase(scheme="bearer", scheme_name="bearer", description="a user's key", auto_error=False)
basic = HTTPBase(scheme="basic", scheme_name="basic", description="any name, and the key as password", auto_error=False)
"""For the OpenAPI document: `Authentication` has looked at the header by the time that routes are called."""
OURS = {"bearer": bearer.model.model_dump(by_alias=True, exclude_none=True, mode="json")}
WEBUI = OURS | {"basic": basic.model.model_dump(by_alias=True, exclude_none=True, mode="json")}
"""Security schemes of the documents."""

_LONGEST_HEADER = 1024
_IMMICH = Caller("immich")
"""Immich's server: its calls take their turns beside users', and it has no images."""


class Keys:
    """Finder of callers by their keys. Wrong keys are counted by address, wherever they are sent."""

    def __init__(self, services: Services, settings: Settings) -> None:
        self._services = services
        self._tries = Tries(settings.auth.wrong_keys, settings.auth.wrong_keys_s)

    async def find(self, key: str, scope: Scope) -> Caller | None:
        """Find the caller by key. Raises `Overloaded` after too many wrong keys that somebody may have thought up."""
        users = self._services.users
        if is_made_here(key):
            return await users.identify(key)
        address = address_of(scope)
        self._tries.check(address)
        caller = await users.identify(key)
        if caller is None:
            self._tries.count(address)
        return caller


class Authentication:
    """Middleware that puts the `Caller` into the state of each request, or answers 401, or 403 for the administrator's
    key where images are. Every path that is not named here is closed, those without a route included.

    The caller is found by the key, or where none is sent by the cookie of a session (`sessions`). Immich's server,
    where it may call at all, is known by its network instead, keys or not."""

    def __init__(self, app: ASGIApp, *, services: Services, settings: Settings, keys: Keys) -> None:
        self._app = app
        self._keys = keys
        self._cookies = SessionCookies(services, settings)
        self._is_disabled = settings.auth.mode == "disabled"
        self._immich = settings.immich

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_open(scope):
            await self._app(scope, receive, send)
            return
        try:
            caller = await self._find(scope)
        except DarkroomError as error:
            await error_answer(scope["path"], error)(scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        if not self._is_disabled and "authorization" not in Headers(scope=scope):
            send = self._cookies.keeping_private(send)
        with caller.acting(), structlog.contextvars.bound_contextvars(user=caller.user_id):
            await self._app(scope, receive, send)

    async def _find(self, scope: Scope) -> Caller:
        if self._immich.enabled and scope["path"] in IMMICH_PATHS:
            check_network(scope, self._immich.allow_from, "DARKROOM_IMMICH__ALLOW_FROM")
            return _IMMICH
        return LOCAL_CALLER if self._is_disabled else await self._identify(scope)

    async def _identify(self, scope: Scope) -> Caller:
        is_webui = webui.is_webui(scope["path"])
        sent = Headers(scope=scope).getlist("authorization")
        if not sent or sent == [""]:
            if (caller := await self._cookies.find_caller(scope)) is not None:
                return caller
            missing = Unauthenticated("Send your key: `Authorization: Bearer dk_...`.")
            raise webui.not_authenticated() if is_webui else missing
        key = _key_in(sent[0], is_webui) if len(sent) == 1 else None
        caller = await self._keys.find(key, scope) if key else None
        if caller is None:
            raise webui.wrong_password() if is_webui else Unauthenticated("This is no valid key.")
        if caller.user_id is None and not _is_below(scope["path"], ADMIN_PATHS):
            raise Forbidden("The administrator's key is for users only: it has no pictures. Send a user's key.")
        return caller


def _is_open(scope: Scope) -> bool:
    """Whether a request needs no key: it is one of those who watch, or brings the key in its body."""
    path = scope["path"]
    return path in OPEN or path.startswith(OPEN_FOLDERS) or (path == SESSION_PATH and scope["method"] == "POST")


def _key_in(header: str, takes_basic: bool) -> str | None:
    if len(header) > _LONGEST_HEADER:
        return None
    scheme, _, value = header.encode("latin-1").decode(errors="replace").partition(" ")  # as HTTP servers hand it on
    if scheme.lower() == "bearer":
        return value.strip(" ")
    if scheme.lower() != "basic" or not takes_basic:
        return None
    try:
        return base64.b64decode(value.strip(" "), validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return None


def _is_below(path: str, folders: tuple[str, ...]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)
