"""Routes of what changed: a stream of server-sent events for a user, or for one album."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Header
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event

from deployments.errors import Unavailable
from serve_app.api.answers import PREFIX, Links, LinksDep
from serve_app.api.below_album import BelowAlbum
from serve_app.api.deps import CallerDep, CurrentUser, ServicesDep
from serve_app.api.problems import responses
from serve_app.services.accounts.users import Caller
from serve_app.services.container import Services
from serve_app.services.events import Change, StreamItem
from serve_app.services.links import ServerLinks

log = structlog.get_logger(__name__)

STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_RETRY_MS = 2000
_EXAMPLE = format_sse_event(
    data_str=Change(kind="album", id="summer", gone=False, album_id="summer", href="summer").model_dump_json(
        context=ServerLinks("")
    ),
    event="album",
    id="7352-118",
).decode()
_EVENT = {
    "type": "object",
    "properties": {
        "event": {"type": "string", "enum": ["ready", "reset", "job", "album", "image", "duplicate", "person"]},
        "data": {"type": "string", "description": "a change, as JSON"},
        "id": {"type": "string"},
        "retry": {"type": "integer"},
    },
}
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/event-stream": {"schema": _EVENT, "example": _EXAMPLE}},
        "description": "events by kind of what changed; `ready` at first, `reset` where events were missed",
    }
}
LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", max_length=40, description="`id` of the last event that was seen: go on after it"),
]

router = APIRouter(prefix=PREFIX, tags=["events"])
below = APIRouter(prefix=f"{PREFIX}/albums", tags=["events"], route_class=BelowAlbum)
"""To be included before the routes of albums, which take any path for an id."""


@router.get("/events", response_class=StreamingResponse, responses=_EVENTS | responses(422))
async def watch_events(
    user: CurrentUser, caller: CallerDep, services: ServicesDep, links: LinksDep, last_event_id: LastEventId = None
) -> StreamingResponse:
    """Stream what changes of yours as server-sent events, from now on or from the event that you saw last."""
    return await _stream(services, user, caller, links, last_event_id, None)


@below.get("/{album_id:path}/events", response_class=StreamingResponse, responses=_EVENTS | responses(404, 422))
async def watch_album_events(
    album_id: str,
    user: CurrentUser,
    caller: CallerDep,
    services: ServicesDep,
    links: LinksDep,
    last_event_id: LastEventId = None,
) -> StreamingResponse:
    """Stream what changes of one album: itself and its jobs."""
    return await _stream(services, user, caller, links, last_event_id, album_id)


async def _stream(
    services: Services, user: str, caller: Caller, links: Links, last_event_id: str | None, album: str | None
) -> StreamingResponse:
    first, place = await services.changes.begin(user, last_event_id, album)

    async def write() -> AsyncIterator[bytes]:
        yield _encode(first, links, retry=_RETRY_MS)
        try:
            async for item in services.changes.follow(place, services.settings.jobs.keep_alive_s):
                if not await services.users.still_holds_key(caller):
                    return
                yield _encode(item, links)
        except Unavailable as error:  # the status went out long ago; who comes back goes on where it ended
            log.warning("event stream ended early", reason=error.message)

    return StreamingResponse(write(), media_type="text/event-stream", headers=STREAM_HEADERS)


def _encode(item: StreamItem, links: Links, retry: int | None = None) -> bytes:
    if item.change is not None:
        text = item.change.model_dump_json(context=links)
        return format_sse_event(data_str=text, event=item.change.kind, id=item.position)
    if item.word == "idle":
        return format_sse_event(id=item.position, comment="still here")
    return format_sse_event(data_str="{}", event=item.word, id=item.position, retry=retry)
