"""What changed for a user, as a stream that can be resumed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from pydantic import BaseModel, Field, SerializationInfo, field_serializer
from sqlalchemy.ext.asyncio import AsyncSession

from serve_app.services.jobs.results import JobSummary, Links
from serve_app.services.jobs.service import summarize
from serve_app.store.queue import jobs
from serve_app.store.queue.events import JobEvents
from serve_app.store.repositories import albums, events
from serve_app.store.repositories.events import Event, EventKind, EventPage, Position
from serve_app.store.session import Database

_SOON_S = 0.2
"""Seconds until events are looked for again that a transaction which still runs holds back."""

StreamWord = Literal["ready", "reset", "idle"]
"""ready: the stream begins here. reset: events between the position that was named and this one were removed. idle:
nothing has changed."""


class Change(BaseModel):
    """Something of the user's that changed. What it is now is at `href`; of several changes the last is told."""

    kind: EventKind
    id: str
    gone: bool = Field(description="whether it is not there any more")
    album_id: str | None = Field(description="the album that it is about")
    href: str | None = Field(description="where it is; null: it is gone")
    job: JobSummary | None = Field(None, description="of a job: how far it is")

    @field_serializer("href")
    def _url(self, href: str | None, info: SerializationInfo) -> str | None:
        links: Links | None = info.context
        if links is None or href is None:
            return href
        makers = {
            "job": links.job,
            "album": links.album,
            "image": links.image,
            "duplicate": links.album,
            "person": links.person,
        }
        return makers[self.kind](href)


@dataclass(frozen=True, slots=True)
class StreamItem:
    """An item of a stream: a change, or a word about the stream itself."""

    position: str
    """Where the stream goes on after this item."""
    change: Change | None = None
    word: StreamWord | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """What a stream is about and how far it was read."""

    user_id: str
    after: Position
    album_id: str | None

    def at(self, position: Position) -> Place:
        return Place(self.user_id, position, self.album_id)


class EventService:
    """Use cases of events."""

    def __init__(self, database: Database, notices: JobEvents) -> None:
        self._database = database
        self._notices = notices

    async def begin(self, user_id: str, last_event_id: str | None, album: str | None) -> tuple[StreamItem, Place]:
        """Find where a stream begins: after the event that was seen last, or now. -> what it says first, its place

        Raises `NotFound` for an album that is not the user's, `InvalidRequest` for an id that is none.
        """
        named = None if last_event_id is None else Position.parse(last_event_id)
        async with self._database.transaction() as session:
            album_id = None if album is None else (await albums.find_own(session, user_id, album)).id
            now = await events.load_now(session)
            if named is None:
                return StreamItem(str(now), word="ready"), Place(user_id, now, album_id)
            if named.transaction > now.transaction or await events.has_missed(session, user_id, named):
                return StreamItem(str(now), word="reset"), Place(user_id, now, album_id)
        return StreamItem(str(named), word="ready"), Place(user_id, named, album_id)

    async def follow(self, place: Place, quiet_s: float) -> AsyncIterator[StreamItem]:
        """Yield changes as they come; `idle` whenever there were none for `quiet_s` seconds. Raises `Unavailable`."""
        loop = asyncio.get_running_loop()
        spoke = loop.time()
        with self._notices.user(place.user_id) as signal:
            while True:
                async with self._database.transaction() as session:
                    now = await events.load_now(session)  # before the page: what it does not hold comes later
                    page = await events.load_after(session, place.user_id, place.after, album_id=place.album_id)
                    changes = await describe_events(session, place.user_id, last_of_each(page))
                for event, change in changes:
                    yield StreamItem(str(event.position), change)
                    spoke = loop.time()
                place = place.at(_end_of(page, now, place.after))
                if loop.time() - spoke >= quiet_s:
                    yield StreamItem(str(place.after), word="idle")
                    spoke = loop.time()
                if page.is_settled:
                    await signal.wait(max(0.0, spoke + quiet_s - loop.time()))
                elif not page.events:
                    await signal.wait(_SOON_S)


def _end_of(page: EventPage, now: Position, after: Position) -> Position:
    if page.is_settled:
        return max(now, page.events[-1].position if page.events else after)
    return page.events[-1].position if page.events else after


def last_of_each(page: EventPage) -> list[Event]:
    """Keep the last event of each subject, in their order."""
    last = {(event.kind, event.subject_id): event for event in page.events}
    return sorted(last.values(), key=lambda event: event.position)


async def describe_events(session: AsyncSession, user_id: str, found: Sequence[Event]) -> list[tuple[Event, Change]]:
    """Describe what changed as it is now. A job that has been forgotten since is left out."""
    job_ids = [event.subject_id for event in found if event.kind == "job"]
    summaries = await summarize(session, await jobs.load_several(session, user_id, job_ids)) if job_ids else []
    known = {summary.id: summary for summary in summaries}
    of_albums = [event.album_id for event in found if event.kind == "duplicate" and event.album_id]
    named = await albums.load_public_ids(session, of_albums)
    changes = []
    for event in found:
        summary = known.get(event.subject_id)
        if event.kind != "job" or summary is not None:
            changes.append((event, _change(event, summary, named.get(event.album_id or ""))))
    return changes


def _change(event: Event, job: JobSummary | None, named: str | None) -> Change:
    album = event.subject_id if event.kind == "album" else named
    href = quote(event.subject_id, safe="") if event.kind == "album" else event.subject_id
    if event.kind == "duplicate" and named is not None:
        href = f"{quote(named, safe='')}/duplicates"
    return Change(
        kind=event.kind,
        id=event.subject_id,
        gone=event.is_gone,
        album_id=job.album_id if job else album,
        href=None if event.is_gone or (event.kind == "duplicate" and named is None) else href,
        job=job,
    )
