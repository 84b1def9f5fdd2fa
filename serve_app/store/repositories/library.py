"""Pages of a user's images: filtered, sorted, and found by an index whatever their number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, any_, exists, literal, literal_column, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from serve_app.store.arrays import any_text
from serve_app.store.models import (
    AlbumImageRow,
    AlbumRow,
    ContentRow,
    FaceRow,
    ImageRow,
    ImageTagRow,
    LibraryFaceRow,
    PersonFaceRow,
    PersonRow,
    PictureQualityRow,
)
from serve_app.store.repositories.images import IMAGE_COLUMNS, StoredImage, image_of

_AT_ONCE = 5000
Sort = Literal["taken", "added", "quality"]
Order = Sort | Literal["trashed"]
SortKey = datetime | float | str


@dataclass(frozen=True, slots=True)
class Filters:
    """Which of a user's images; None: all."""

    album_id: str | None = None
    """Our id."""
    tag: str | None = None
    person_id: str | None = None
    """A person of an album."""
    library_person_id: str | None = None
    """A person of the user's, in all albums."""
    taken_from: datetime | None = None
    taken_to: datetime | None = None
    """The first moment after."""
    min_quality: float | None = None
    issue: str | None = None
    sha256: str | None = None
    is_trashed: bool = False
    """Whether it lies in the trash; else it does not."""


@dataclass(frozen=True, slots=True)
class LibraryImage:
    """An image of a page, with the place of its sort in the order."""

    image: StoredImage
    score: float | None
    """Quality, 0 to 1; None: not judged yet."""
    issues: list[str] | None
    key: SortKey
    """What it is sorted by."""


# The expressions of the indexes, letter by letter: a bound parameter in one would not match its index.
_KEYS: dict[Order, ColumnElement[Any]] = {
    "taken": literal_column("coalesce(images.taken_at, images.created_at)"),
    "quality": literal_column("coalesce(images.quality, -1)"),
    "added": literal_column("images.id"),
    "trashed": literal_column("images.trashed_at"),
}


async def load_page(
    session: AsyncSession,
    user_id: str,
    filters: Filters,
    sort: Order,
    limit: int,
    after: tuple[SortKey, str] | None = None,
) -> list[LibraryImage]:
    """Load a page of images, the latest or best first, those after a key and an id. Temporary ones are left out."""
    key = _KEYS[sort]
    statement = (
        select(*IMAGE_COLUMNS, PictureQualityRow.score, PictureQualityRow.issues, key.label("key"))
        .select_from(ImageRow)
        .join(ContentRow, ContentRow.sha256 == ImageRow.sha256)
        .outerjoin(PictureQualityRow, PictureQualityRow.sha256 == ImageRow.sha256)
        .where(ImageRow.user_id == user_id, ~ImageRow.temporary, *_conditions(filters))
    )
    if after is not None:
        statement = statement.where(
            ImageRow.id < after[1] if sort == "added" else tuple_(key, ImageRow.id) < tuple_(*after)
        )
    order = (ImageRow.id.desc(),) if sort == "added" else (key.desc(), ImageRow.id.desc())
    rows = await session.execute(statement.order_by(*order).limit(limit))
    return [_listed(tuple[Any, ...](row)) for row in rows]


@dataclass(frozen=True, slots=True)
class Searchable:
    """What a search asks of an image."""

    id: str
    sha256: str
    width: int
    height: int
    filename: str | None


async def load_searchable(session: AsyncSession, user_id: str, filters: Filters) -> list[Searchable]:
    """Load all of the user's lasting images that the filters let pass, the latest upload first, some at a time."""
    columns = (ImageRow.id, ImageRow.sha256, ContentRow.width, ContentRow.height, ImageRow.filename)
    statement = (
        select(*columns)
        .join(ContentRow, ContentRow.sha256 == ImageRow.sha256)
        .outerjoin(PictureQualityRow, PictureQualityRow.sha256 == ImageRow.sha256)
        .where(ImageRow.user_id == user_id, ~ImageRow.temporary, *_conditions(filters))
        .order_by(ImageRow.id.desc())
        .limit(_AT_ONCE)
    )
    found: list[Searchable] = []
    while True:
        page = statement.where(ImageRow.id < found[-1].id) if found else statement
        rows = (await session.execute(page)).all()
        found += [Searchable(*row) for row in rows]
        if len(rows) < _AT_ONCE:
            return found


async def load_images(session: AsyncSession, user_id: str, image_ids: Sequence[str]) -> dict[str, LibraryImage]:
    """Load the user's images of these ids, as a page has them."""
    statement = (
        select(*IMAGE_COLUMNS, PictureQualityRow.score, PictureQualityRow.issues, ImageRow.id.label("key"))
        .select_from(ImageRow)
        .join(ContentRow, ContentRow.sha256 == ImageRow.sha256)
        .outerjoin(PictureQualityRow, PictureQualityRow.sha256 == ImageRow.sha256)
        .where(ImageRow.user_id == user_id, ImageRow.id == any_text(image_ids))
    )
    listed = [_listed(tuple[Any, ...](row)) for row in await session.execute(statement)]
    return {one.image.id: one for one in listed}


def _listed(row: tuple[Any, ...]) -> LibraryImage:
    *columns, score, issues, sort_key = row
    return LibraryImage(image_of(columns), score, issues, sort_key)


async def find_person(session: AsyncSession, user_id: str, person_id: str) -> str | None:
    """Find the album of one of the user's persons. -> our id of the album"""
    own = select(PersonRow.album_id).join(AlbumRow, AlbumRow.id == PersonRow.album_id)
    found: str | None = await session.scalar(own.where(PersonRow.id == person_id, AlbumRow.user_id == user_id))
    return found


def _conditions(filters: Filters) -> list[ColumnElement[bool]]:
    taken = _KEYS["taken"]
    conditions: list[ColumnElement[bool]] = [
        ImageRow.trashed_at.is_not(None) if filters.is_trashed else ImageRow.trashed_at.is_(None)
    ]
    if filters.album_id is not None:
        conditions.append(
            exists().where(AlbumImageRow.image_id == ImageRow.id, AlbumImageRow.album_id == filters.album_id)
        )
    if filters.tag is not None:
        holds = ImageTagRow.verdict.is_not(False)
        conditions.append(exists().where(ImageTagRow.image_id == ImageRow.id, ImageTagRow.tag == filters.tag, holds))
    if filters.person_id is not None:
        shown = select(FaceRow.sha256).join(PersonFaceRow, PersonFaceRow.face_id == FaceRow.id)
        conditions.append(ImageRow.sha256.in_(shown.where(PersonFaceRow.person_id == filters.person_id)))
    if filters.library_person_id is not None:
        shown = select(FaceRow.sha256).join(LibraryFaceRow, LibraryFaceRow.face_id == FaceRow.id)
        conditions.append(ImageRow.sha256.in_(shown.where(LibraryFaceRow.person_id == filters.library_person_id)))
    if filters.taken_from is not None:
        conditions.append(taken >= filters.taken_from)
    if filters.taken_to is not None:
        conditions.append(taken < filters.taken_to)
    if filters.min_quality is not None:
        conditions.append(_KEYS["quality"] >= filters.min_quality)
    if filters.sha256 is not None:
        conditions.append(ImageRow.sha256 == filters.sha256)
    if filters.issue is not None:
        conditions.append(literal(filters.issue) == any_(PictureQualityRow.issues))
    return conditions
