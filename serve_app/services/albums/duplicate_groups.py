"""Groups of duplicates as clients see them: listed with the facts of their members, open ones and those decided."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from deployments.contracts.albums import DuplicateLevel
from deployments.errors import Conflict, InvalidRequest
from serve_app.services.albums.duplicate_report import group_id
from serve_app.services.albums.result_pages import check_cursor
from serve_app.services.albums.results import (
    DuplicateGroupEntry,
    DuplicateMember,
    DuplicateMemberEntry,
    DuplicatePage,
    GroupStatus,
)
from serve_app.services.albums.stored_results import StoredResults
from serve_app.services.images.service import view_of
from serve_app.store.repositories import albums, duplicates, images, quality, results
from serve_app.store.repositories.albums import AlbumItem, StoredAlbum
from serve_app.store.repositories.duplicates import Decided
from serve_app.store.repositories.images import StoredImage
from serve_app.store.repositories.quality import StoredQuality
from serve_app.store.session import Database

_AT_ONCE = 200
_MOST_ROUNDS = 5
"""Times that so many groups are looked at for one page: where few of them fit, it is short, or empty."""


class DuplicateGroups:
    """Use cases of looking at groups of duplicates. All raise `NotFound` where the user has no such album."""

    def __init__(self, database: Database, stored: StoredResults) -> None:
        self._database = database
        self._stored = stored

    async def load_page(
        self,
        user_id: str,
        album_name: str,
        limit: int,
        cursor: str | None,
        *,
        status: GroupStatus | None = None,
        level: DuplicateLevel | None = None,
        key: str | None = None,
    ) -> DuplicatePage:
        """List groups, the largest first; decided ones, the latest decision first.

        A page may be short, or empty, and name a next one. Without `status`: those that the search has found, whatever
        became of them. `level`: of that search; `key`: the `params_key` of its result; by default the latest. Raises
        `InvalidRequest` for a cursor of another list, `NotFound` where there was no such search.
        """
        async with self._database.transaction() as session:
            album = await albums.find_own(session, user_id, album_name)
        if status in ("resolved", "dismissed"):
            return await self._decided(album, "resolved" if status == "resolved" else "dismissed", limit, cursor)
        after = check_cursor("duplicates", cursor)
        found: list[DuplicateGroupEntry] = []
        if level is not None:
            key = results.params_key({"level": level})
        for _ in range(1 if status is None else _MOST_ROUNDS):
            most = limit if status is None else _AT_ONCE
            entries, is_last = await self._stored.load_keyed(album, "duplicates", key, "duplicates", after, most)
            async with self._database.transaction() as session:
                described = await self.describe(session, album, [entry for _, entry in entries])
            for (after, _), group in zip(entries, described, strict=True):
                if status in (None, group.status):
                    found.append(group)
                if len(found) == limit:
                    is_last = is_last and after == entries[-1][0]
                    return DuplicatePage(items=found, next_cursor=None if is_last else after)
            if is_last:
                return DuplicatePage(items=found, next_cursor=None)
        return DuplicatePage(items=found, next_cursor=after)

    async def load_entries(self, album: StoredAlbum, level: DuplicateLevel | None) -> list[dict[str, Any]]:
        """Load all groups of the latest search at a level, or at any, as it found them. Raises `NotFound` where there
        was none."""
        key = None if level is None else results.params_key({"level": level})
        after, found = "", list[dict[str, Any]]()
        while True:
            entries, following = await self._stored.load_page(album, "duplicates", key, "duplicates", after, _AT_ONCE)
            found += entries
            if following is None:
                return found
            after = following

    async def find_open(self, session: AsyncSession, album: StoredAlbum, wanted: str) -> DuplicateGroupEntry:
        """Find an open group. An id names what the members hold, so that one without a group is of a group that has
        changed: raises `Conflict`."""
        entry = await duplicates.find_entry(session, album.id, wanted)
        found = (await self.describe(session, album, [entry]))[0] if entry else None
        if found is None or found.status != "open":
            what = "was decided already" if found and found.status != "changed" else "has changed, or never was"
            raise Conflict(f"This group of duplicates {what}: list the groups anew.")
        return found

    async def describe(
        self, session: AsyncSession, album: StoredAlbum, entries: Sequence[dict[str, Any]]
    ) -> list[DuplicateGroupEntry]:
        """Describe groups that a search found, as they are now."""
        found: list[DuplicateGroupEntry] = []
        for start in range(0, len(entries), _AT_ONCE):
            found += await self._describe(session, album, entries[start : start + _AT_ONCE])
        return found

    async def _describe(
        self, session: AsyncSession, album: StoredAlbum, entries: Sequence[dict[str, Any]]
    ) -> list[DuplicateGroupEntry]:
        refs = [member["image"] for entry in entries for member in entry["members"]]
        items = {item.ref: item for item in await albums.load_items(session, album.id, refs=refs)}
        ids = [item.image_id for item in items.values() if item.image_id]
        known = await images.load(session, album.user_id, ids)
        judged = await quality.load(session, sorted({image.content.sha256 for image in known.values()}))
        held = [_contents(entry, items) for entry in entries]
        named = [None if shas is None else group_id(shas) for shas in held]
        decisions = await duplicates.load(session, album.id, [one for one in named if one])
        apart = await duplicates.load_apart(
            session, album.user_id, sorted({sha for shas in held for sha in shas or ()})
        )
        parted = _parted(held, apart)
        return [
            _entry(entry, now, place not in parted, decisions, items, known, judged)
            for place, (entry, now) in enumerate(zip(entries, named, strict=True))
        ]

    async def _decided(self, album: StoredAlbum, status: Decided, limit: int, cursor: str | None) -> DuplicatePage:
        if cursor is not None and not re.fullmatch(r"\d{1,18}", cursor, re.ASCII):
            raise InvalidRequest("query /cursor: no cursor of this list. Send `next_cursor` of the page before.")
        before = None if cursor is None else int(cursor)
        async with self._database.transaction() as session:
            page = await duplicates.load_page(session, album.id, status, before, limit + 1)
        entries = [
            DuplicateGroupEntry.model_validate(one.found | {"status": one.status, "correction_id": one.action_id})
            for one in page[:limit]
        ]
        return DuplicatePage(items=entries, next_cursor=str(page[limit - 1].seq) if len(page) > limit else None)


def _contents(entry: dict[str, Any], items: dict[str, AlbumItem]) -> list[str] | None:
    """Contents that the members of a group have now; None: not all of them are in the album."""
    members = [items.get(member["image"]) for member in entry["members"]]
    shas = [one.content.sha256 for one in members if one and one.content and one.status == "embedded"]
    return shas if len(shas) == len(members) else None


def _parted(groups: Sequence[list[str] | None], apart: Iterable[tuple[str, str]]) -> set[int]:
    """Find the groups that hold two contents, or one twice, that are no duplicates of one another. -> their places"""
    homes: dict[str, Counter[int]] = defaultdict(Counter)
    for place, shas in enumerate(groups):
        for sha in shas or ():
            homes[sha][place] += 1
    return {place for a, b in apart for place in homes[a] if homes[b][place] > (a == b)}


def _entry(
    entry: dict[str, Any],
    now: str | None,
    is_together: bool,
    decisions: dict[str, duplicates.Decision],
    items: dict[str, AlbumItem],
    known: dict[str, StoredImage],
    judged: dict[str, StoredQuality],
) -> DuplicateGroupEntry:
    found = entry.get("id") or now
    status: GroupStatus = "open" if is_together and now is not None and now == found else "changed"
    decision = decisions.get(found or "")
    if decision and decision.status == "resolved" and status == "open":  # its images came back out of the trash
        decision = None
    return DuplicateGroupEntry(
        id=found,
        level=entry["level"],
        burst=entry.get("burst", False),
        status=decision.status if decision else status,
        keep=entry["keep"],
        keep_reason=entry["keep_reason"],
        correction_id=decision.action_id if decision else None,
        members=[_member(member, items, known, judged) for member in entry["members"]],
    )


def _member(
    member: dict[str, Any],
    items: dict[str, AlbumItem],
    known: dict[str, StoredImage],
    judged: dict[str, StoredQuality],
) -> DuplicateMemberEntry:
    told = DuplicateMember.model_validate(member)
    item = items.get(told.image)
    image = known.get(item.image_id or "") if item else None
    if image is None:
        return DuplicateMemberEntry(**told.model_dump())
    view, score = view_of(image), judged.get(image.content.sha256)
    return DuplicateMemberEntry(
        **told.model_dump(),
        id=view.id,
        filename=view.filename,
        width=view.width,
        height=view.height,
        bytes=view.bytes,
        format=view.content_type,
        quality=score.score if score else None,
        taken_at=view.taken_at,
        thumbnails=view.thumbnails,
    )
