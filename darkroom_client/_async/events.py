"""Streams of what changes, opened again where they broke off."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

import httpx2

from darkroom_client._async import waiting
from darkroom_client._async.http import AsyncHttp
from darkroom_client.changes import Change
from darkroom_client.errors import AnswerLost, ApiError
from darkroom_client.retries import MAY_PASS

QUIET_S = 45.0
"""Seconds without a sign of life after which a stream is opened anew: the server sends one every 15 s."""
_REOPENED_S = (0.2, 5.0)
"""Pause before a stream is opened again after it broke off, seconds: the first, and the longest."""
_BREAKS = 20
"""Times that a stream may break off in a row, without an event in between."""


async def reopened(
    http: AsyncHttp, path: str, patience_s: Callable[[], float], last_event_id: str | None = None
) -> AsyncGenerator[httpx2.ServerSentEvent, None]:
    """Yield the events of a stream, which is opened again after the last one where it breaks off or ends.

    `patience_s`: seconds to wait for the next event, and what it raises ends the stream. Raises `AnswerLost` where the
    stream breaks off again and again, and what the client raises.
    """
    breaks, last = 0, last_event_id
    while True:
        try:
            headers = {"Last-Event-ID": last} if last else {}
            async with http.stream(path, patience_s(), headers) as response:
                async for event in httpx2.EventSource(response):
                    breaks, last = 0, event.id or last
                    yield event
                    patience_s()
        except (httpx2.TransportError, httpx2.SSEError, ApiError) as error:
            breaks += 1
            if isinstance(error, ApiError) and error.status not in MAY_PASS:
                raise
            if breaks > _BREAKS:
                raise AnswerLost(f"The events of {path} break off again and again: {error}") from None
        await waiting.sleep(min(_REOPENED_S[0] * 2**breaks, _REOPENED_S[1], patience_s()))


async def follow(http: AsyncHttp, path: str, last_event_id: str | None) -> AsyncIterator[tuple[str, Change | None]]:
    """Yield the id to go on after and what changed, for ever; None: events were missed, read everything anew.

    Raises as `reopened` does.
    """
    last = last_event_id or ""
    async with aclosing(reopened(http, path, lambda: QUIET_S, last_event_id)) as events:
        async for event in events:
            last = event.id or last
            if event.event == "reset":
                yield last, None
            elif event.event != "ready":
                yield last, Change.model_validate_json(event.data)
