"""A user's images as a list: filtered, sorted, in pages."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from deployments.errors import InvalidRequest
from serve_app.services.images.service import ImageView, view_of
from serve_app.services.people.lookup import find_person
from serve_app.store.repositories import albums, image_tags, library
from serve_app.store.repositories.library import Filters, LibraryImage, Order, SortKey
from serve_app.store.session import Database

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR = re.compile(r"(taken|added|quality|trashed):(-?[0-9.e-]{1,25}|):(img_[0-9a-z]{1,64})")


@dataclass(frozen=True, slots=True)
class ListedImage:
    """An image of a list."""

    view: ImageView
    score: float | None
    """Quality, 0 to 1; None: not judged yet."""
    issues: list[str]
    tags: list[str] = field(default_factory=list)


class ImageLibrary:
    """Use cases of lists of images."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_images(
        self,
        user_id: str,
        filters: Filters,
        sort: Order,
        limit: int,
        cursor: str | None = None,
        fields: Collection[str] = ("tags",),
    ) -> tuple[list[ListedImage], str | None]:
        """List images, the latest or best first. -> a page, cursor of the next one

        `filters.album_id` is the client's. Tags are loaded where `fields` name them. Raises `NotFound` for an album or
        person, `InvalidRequest` for a cursor.
        """
        after = None if cursor is None else _parse_cursor(cursor, sort)
        async with self._database.transaction() as session:
            filters = await own_filters(session, user_id, filters)
            page = await library.load_page(session, user_id, filters, sort, limit + 1, after)
            shown = page[:limit]
            listed = await listed_images(session, shown, has_tags="tags" in fields)
        return listed, _cursor_of(sort, shown[-1]) if len(page) > limit else None


async def own_filters(session: AsyncSession, user_id: str, filters: Filters) -> Filters:
    """Replace the client's name of an album by our id. Raises `NotFound` for an album or person of nobody or others."""
    if filters.album_id is not None:
        filters = replace(filters, album_id=(await albums.find_own(session, user_id, filters.album_id)).id)
    if filters.person_id is not None:
        album_id = await library.find_person(session, user_id, filters.person_id)
        if album_id is None:
            filters = replace(filters, person_id=None, library_person_id=filters.person_id)
        else:
            filters = replace(filters, album_id=filters.album_id or album_id)
    if filters.library_person_id is not None:
        person = await find_person(session, user_id, filters.library_person_id)
        filters = replace(filters, library_person_id=person.id)
    return filters


async def listed_images(
    session: AsyncSession, page: Sequence[LibraryImage], *, has_tags: bool = True
) -> list[ListedImage]:
    """Describe images of a list, with their tags."""
    tags = await image_tags.load(session, [one.image.id for one in page]) if has_tags else {}
    return [ListedImage(view_of(one.image), one.score, one.issues or [], tags.get(one.image.id, [])) for one in page]


def _cursor_of(sort: Order, last: LibraryImage) -> str:
    """Name the place after an image: by what it is sorted by, so that images that come or go move no other."""
    key: SortKey = last.key
    if isinstance(key, datetime):
        key = str((key - _EPOCH) // timedelta(microseconds=1))
    elif isinstance(key, str):
        key = ""  # of `added`: the id itself
    return f"{sort}:{key}:{last.image.id}"


def _parse_cursor(cursor: str, sort: Order) -> tuple[SortKey, str]:
    match = _CURSOR.fullmatch(cursor)
    try:
        if match is None or match[1] != sort:
            raise ValueError
        if sort in ("taken", "trashed"):
            return _EPOCH + timedelta(microseconds=int(match[2])), match[3]
        return float(match[2]) if sort == "quality" else match[3], match[3]
    except (ValueError, OverflowError):
        raise InvalidRequest("`cursor` is no `next_cursor` of a list in this order.") from None
