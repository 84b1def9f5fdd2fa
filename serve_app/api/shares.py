"""The share of an ingress replica that one user may have: requests in flight, event streams, and bytes of bodies that
are in memory. What is over it gets 429, and the others are answered as before."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from configs.settings import Limits
from deployments.errors import Overloaded, PayloadTooLarge
from serve_app.api.answers import PREFIX
from serve_app.api.middleware import UNBOUNDED, at_most, counting
from serve_app.api.sdapi import errors as webui

Lane = Literal["work", "webui", "watching", "stream"]
"""Requests that are counted together: those of the web API wait for minutes, those that watch must be answered while
others are at work, and an event stream lasts as long as its job."""


def lane_of(path: str) -> Lane:
    """Tell the lane of a request by its path."""
    if path.startswith(f"{PREFIX}/") and path.endswith("/events"):
        return "stream"
    if path.startswith(UNBOUNDED):
        return "watching"
    return "webui" if webui.is_webui(path) else "work"


class Shares:
    """Middleware behind `Authentication`. `has_users`: without keys there is one user, who may have everything; event
    streams have their bound all the same."""

    def __init__(self, app: ASGIApp, *, limits: Limits, has_users: bool) -> None:
        self._app = app
        self._limits = limits
        self._has_users = has_users
        self._under_way: Counter[tuple[str, Lane]] = Counter()
        self._streams = 0
        self._held_bytes: Counter[str] = Counter()
        self._uploads = _Uploads(limits, has_users=has_users)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = scope.get("state", {}).get("caller")
        if scope["type"] != "http" or caller is None:
            await self._app(scope, receive, send)
            return
        user, lane = caller.user_id or "administrator", lane_of(scope["path"])
        self._enter(user, lane)
        held = uploading = 0

        def hold(size: int) -> None:
            nonlocal held
            held += size
            self._hold(user, size)

        try:
            headers = Headers(scope=scope)
            if lane == "webui":
                receive = counting(receive, hold) if self._has_users else receive
            elif headers.get("content-type", "").lower().startswith("multipart/"):
                uploading = self._uploads.enter(user, headers)
                receive = counting(receive, at_most(uploading))
            await self._app(scope, receive, send)
        finally:
            self._uploads.leave(user, uploading)
            self._leave(user, lane, held)

    def _enter(self, user: str, lane: Lane) -> None:
        """Count the request. Raises `Overloaded` when it is over a bound."""
        name = "max_streams_per_user" if lane == "stream" else "max_in_flight_per_user"
        share: int = getattr(self._limits, name)
        if self._has_users and self._under_way[user, lane] >= share:
            what = "event streams open" if lane == "stream" else "requests under way"
            raise _over(name, share, f"You have {share} {what}, which is a user's share; end one first.")
        if lane == "stream" and self._streams >= self._limits.max_streams:
            raise _over("max_streams", self._limits.max_streams, "Too many event streams are open; ask for the job.")
        self._under_way[user, lane] += 1
        self._streams += lane == "stream"

    def _leave(self, user: str, lane: Lane, held: int) -> None:
        self._streams -= lane == "stream"
        self._under_way[user, lane] -= 1
        self._held_bytes[user] -= held
        if not self._under_way[user, lane]:
            del self._under_way[user, lane]
        if not self._held_bytes[user]:
            del self._held_bytes[user]

    def _hold(self, user: str, size: int) -> None:
        self._held_bytes[user] += size
        most = self._limits.max_sdapi_held_bytes_per_user
        if self._held_bytes[user] > most:
            name = "max_sdapi_held_bytes_per_user"
            raise _over(name, most, "Your large requests under way fill your share; try again when one has ended.")


class _Uploads:
    """The bytes of multipart requests under way.

    They count before they come: Serve's proxy and its replica take in whatever a client sends, however slowly the
    request reads it.
    """

    def __init__(self, limits: Limits, *, has_users: bool) -> None:
        self._in_all = limits.max_upload_held_bytes
        self._share = limits.max_upload_held_bytes_per_user if has_users else self._in_all
        self._most = min(limits.max_body_bytes, self._share, self._in_all)
        """Bytes of one request."""
        self._held: Counter[str] = Counter()

    def enter(self, user: str, headers: Headers) -> int:
        """Count a request. -> its bytes, or the most that it may have where it does not say them.

        Raises `Overloaded` when it is over a bound beside the others, `PayloadTooLarge` when it is so alone.
        """
        said = headers.get("content-length", "")
        size = int(said) if said.isdecimal() and "transfer-encoding" not in headers else self._most
        if size > self._most:
            raise PayloadTooLarge(f"The body has {size} bytes; at most {self._most} are taken.")
        if self._held[user] + size > self._share:
            message = "Your uploads under way fill your share; try again when one has ended."
            raise _over("max_upload_held_bytes_per_user", self._share, message)
        if self._held.total() + size > self._in_all:
            raise _over("max_upload_held_bytes", self._in_all, "Too many large uploads are under way; try again.")
        self._held[user] += size
        return size

    def leave(self, user: str, size: int) -> None:
        self._held[user] -= size
        if not self._held[user]:
            del self._held[user]


def _over(name: str, limit: int, message: str) -> Overloaded:
    return Overloaded(message, extra={"quota": f"limits.{name}", "limit": limit, "retry_after_s": 5})
