"""`HEAD` on every route that has `GET`: the same status and headers, without a body."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAnswered(Exception):
    """The end of a request of which only the headers were wanted: nothing that streams a body goes on with it."""


class HeadAsGet:
    """Middleware that answers `HEAD` with the headers of `GET`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_headers(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start":
                await send({"type": "http.response.body", "body": b""})
                raise HeadAnswered

        # A copy, for the HTTP server looks into its own for whether a body is due.
        headers = [(name, value) for name, value in scope["headers"] if name != b"range"]  # means nothing to HEAD
        as_get = {**scope, "method": "GET", "headers": headers}
        try:
            await self._app(as_get, receive, send_headers)
        except HeadAnswered:
            pass
        finally:
            scope.update({name: as_get[name] for name in ("route", "endpoint") if name in as_get})
