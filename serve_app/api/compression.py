"""Compression of JSON answers, where the client accepts it."""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.api.sdapi.errors import is_webui

MINIMUM_BYTES = 1024
"""Size of an answer below which compressing it saves no packet."""
_LEVEL = 4
"""Of 1 to 9: a page of 500 images takes 4 ms and becomes a fifth; 9 takes 2.6 times as long for 3 % less."""
_ALREADY_COMPRESSED = (*DEFAULT_EXCLUDED_CONTENT_TYPES, "image/*", "application/octet-stream")
_REFUSAL = re.compile(r"(?:gzip|\*)\s*;\s*q=0(?:\.0*)?\s*(?:,|$)", re.IGNORECASE)


class Compression:
    """Middleware that compresses answers by Starlette's gzip.

    Not those of the Stable Diffusion web API, whose bodies are images as text: much time for little.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._compressing = GZipMiddleware(
            app, minimum_size=MINIMUM_BYTES, compresslevel=_LEVEL, exclude_content_types=_ALREADY_COMPRESSED
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_webui(scope["path"]):
            await self._app(scope, receive, send)
            return
        accepts = Headers(scope=scope).get("accept-encoding", "")
        app = self._app if _REFUSAL.search(accepts) else self._compressing
        await app(scope, receive, send)
