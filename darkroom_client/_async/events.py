"""Streams of what changes, opened again where they broke off."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2

from darkroom_client._async import waiting
from darkroom_client._async.http import AsyncHttp
from darkroom_client.changes import Change
from darkroom_client.errors import AnswerLost, ApiError
from darkroom_client.retries import MAY_PASS

_QUIET_S = 45.0
"""Seconds without a sign of life after which a stream is opened anew: the server sends one every 15 s."""
_REOPENED_S = (0.2, 5.0)
"""Pause before a stream is opened again after it broke off, seconds: the first, and the longest."""
_BREAKS = 20
"""Times that a stream may break off in a row, without an event in between."""


async def follow(http: AsyncHttp, path: str, last_event_id: str | None) -> AsyncIterator[tuple[str, Change | None]]:
    """Yield the id to go on after and what changed, for ever; None: events were missed, read everything anew.

    Raises `AnswerLost` where the stream breaks off again and again, and what the client raises.
    """
    breaks, last = 0, last_event_id
    while True:
        try:
            headers = {"Last-Event-ID": last} if last else {}
            async with http.stream(path, _QUIET_S, headers) as response:
                async for event in httpx2.EventSource(response):
                    breaks, last = 0, event.id or last
                    if event.event == "reset":
                        yield last or "", None
                    elif event.event != "ready":
                        yield last or "", Change.model_validate_json(event.data)
        except (httpx2.TransportError, httpx2.SSEError, ApiError) as error:
            breaks += 1
            if isinstance(error, ApiError) and error.status not in MAY_PASS:
                raise
            if breaks > _BREAKS:
                raise AnswerLost(f"The events of {http.base_url} break off again and again: {error}") from None
        await waiting.sleep(min(_REOPENED_S[0] * 2**breaks, _REOPENED_S[1]))
