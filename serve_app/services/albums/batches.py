"""One action on many images, with a result per image, and the trash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from deployments.errors import InvalidRequest
from serve_app.services.albums.service import AlbumService
from serve_app.services.images.changes import MOST_TAGS, ImageChange
from serve_app.services.images.store import ImageStore
from serve_app.store.repositories import albums, image_tags, images, trash
from serve_app.store.session import Database

Action = Literal["trash", "restore", "delete", "add_to_album", "remove_from_album", "tag"]
_OF_ALBUMS: frozenset[Action] = frozenset({"add_to_album", "remove_from_album"})


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What became of the images of a batch."""

    done: list[str]
    """In the order in which they were sent."""
    failed: dict[str, str] = field(default_factory=dict)
    """Image -> code: `not_found`, `trashed`, `not_in_album`, `too_many_tags`."""
    job_id: str | None = None
    """Of the reading of images that were added to an album."""
    changed: list[str] | None = None
    """Those of `done` of which something is not as it was; None: not known."""


class ImageBatches:
    """Use cases of many images."""

    def __init__(self, database: Database, pictures: ImageStore, album_service: AlbumService) -> None:
        self._database = database
        self._pictures = pictures
        self._albums = album_service

    async def act(
        self, user_id: str, ids: Sequence[str], action: Action, album: str | None, tags: ImageChange | None = None
    ) -> BatchOutcome:
        """Do something with each image. `tags`: those that `tag` adds and takes away.

        Raises `InvalidRequest` for an album or tags that are missing or too many, `NotFound` for an album to remove
        from that is not there.
        """
        ids = list(dict.fromkeys(ids))
        if (album is not None) != (action in _OF_ALBUMS):
            raise InvalidRequest("`album_id` is for `add_to_album` and `remove_from_album`, which need it.")
        has_tags = tags is not None and bool(tags.add_tags or tags.remove_tags)
        if has_tags != (action == "tag"):
            raise InvalidRequest("`tags` are for `tag`, which needs some to add or to remove.")
        if tags is not None and action == "tag":
            return await self._tag(user_id, ids, tags)
        if action == "add_to_album":
            return await self._add(user_id, ids, album or "")
        if action == "remove_from_album":
            return await self._take_out(user_id, ids, album or "")
        async with self._database.transaction() as session:
            if action == "trash":
                moved = await trash.put_in(session, user_id, ids)
            elif action == "restore":
                moved = await trash.restore(session, user_id, ids)
            else:
                known = await images.load(session, user_id, ids)
                await albums.lock_holders(session, user_id, None, list(known))
                # In order: two batches of the same images would else wait for one another for ever.
                gone = {one for one in sorted(known) if await images.remove(session, user_id, one)}
                moved = trash.Moved(gone, gone)
                await albums.delete_orphaned(session, sorted({image.content.sha256 for image in known.values()}))
        if action == "delete":
            await self._pictures.collect_unused()
        return _outcome(ids, moved.there, changed=moved.changed)

    async def empty_trash(self, user_id: str) -> None:
        """Delete all that lies in the user's trash."""
        removed = 1
        while removed:
            async with self._database.transaction() as session:
                removed = await trash.empty(session, user_id)
        await self._pictures.collect_unused()

    async def _add(self, user_id: str, ids: Sequence[str], album: str) -> BatchOutcome:
        async with self._database.transaction() as session:
            known = await images.load(session, user_id, ids)
        codes = {one: "trashed" for one, image in known.items() if image.trashed_at is not None}
        good = [one for one in ids if one in known and one not in codes]
        job_id = await self._albums.request_embeddings(user_id, good, album) if good else None
        return _outcome(ids, set(good), codes, job_id)

    async def _tag(self, user_id: str, ids: Sequence[str], tags: ImageChange) -> BatchOutcome:
        named = [*tags.add_tags, *tags.remove_tags]
        async with self._database.transaction() as session:
            await images.touch_albums(session, user_id, ids)  # their locks first, as everywhere
            own = sorted(await images.lock(session, user_id, ids))
            counts = await image_tags.count_verdicts(session, own, named)
            good = [one for one in own if counts[one] <= MOST_TAGS]
            before = await image_tags.load(session, good)
            await images.touch(session, good)
            await image_tags.save_verdicts(session, good, tags.add_tags, tags.remove_tags)
        added, removed = set(tags.add_tags), set(tags.remove_tags)
        had = {one: set(before.get(one, [])) for one in good}
        # What holds, not what is written: a tag that the model gave already is seen as before, and undone it would go.
        changed = {one for one, held in had.items() if not added <= held or removed & held}
        return _outcome(ids, set(good), dict.fromkeys(own, "too_many_tags"), changed=changed)

    async def _take_out(self, user_id: str, ids: Sequence[str], album: str) -> BatchOutcome:
        async with self._database.transaction() as session:
            found = await albums.find_own(session, user_id, album)
            items = await albums.find_items(session, found.id, ids)
            await albums.remove_items(session, found.id, list(items.values()))
            known = await images.load(session, user_id, ids)
        return _outcome(ids, set(items), dict.fromkeys(known.keys() - items.keys(), "not_in_album"))


def _outcome(
    ids: Sequence[str],
    done: set[str],
    codes: dict[str, str] | None = None,
    job_id: str | None = None,
    changed: set[str] | None = None,
) -> BatchOutcome:
    failed = {one: (codes or {}).get(one, "not_found") for one in ids if one not in done}
    in_order = None if changed is None else [one for one in ids if one in changed]
    return BatchOutcome([one for one in ids if one in done], failed, job_id, in_order)
