"""Albums and the image references in them.

Every change of an album locks its row first, so that changes to one album come one after the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Row, Select, delete, func, null, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from deployments.errors import NotFound
from serve_app.store.arrays import any_number, any_text, like
from serve_app.store.ids import new_id
from serve_app.store.models import AlbumImageRow, AlbumRow, ContentRow, ImageRow, JobRow
from serve_app.store.repositories.images import Content

ItemStatus = Literal["pending", "embedded", "failed"]


@dataclass(frozen=True, slots=True)
class StoredAlbum:
    """An album's row."""

    id: str
    user_id: str
    name: str | None
    version: int
    """Grows whenever images come, go or are embedded."""
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    pending_count: int
    """Number of its images that are pending."""
    embedded_count: int
    failed_count: int
    title: str | None = None

    @property
    def image_count(self) -> int:
        """Number of its images."""
        return self.pending_count + self.embedded_count + self.failed_count

    @property
    def public_id(self) -> str:
        """The id that clients use: their own `album_id`, or ours when they gave none."""
        return self.name if self.name is not None else self.id


@dataclass(frozen=True, slots=True)
class AlbumItem:
    """One reference of an album, with its image as far as it is known."""

    id: int
    ref: str
    status: ItemStatus
    code: str | None
    detail: str | None
    image_id: str | None
    content: Content | None
    """Its file content; None: not known yet, or not asked for."""
    filename: str | None = None
    """Its file's name, of a page of items only."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one item: an image, or the code and detail of its failure."""

    item_id: int
    image_id: str | None = None
    code: str | None = None
    detail: str | None = None


_ALBUM = (
    AlbumRow.id,
    AlbumRow.user_id,
    AlbumRow.name,
    AlbumRow.version,
    AlbumRow.created_at,
    AlbumRow.updated_at,
    AlbumRow.expires_at,
    AlbumRow.pending_count,
    AlbumRow.embedded_count,
    AlbumRow.failed_count,
    AlbumRow.title,
)
_ITEM = (
    AlbumImageRow.id,
    AlbumImageRow.ref,
    AlbumImageRow.status,
    AlbumImageRow.code,
    AlbumImageRow.detail,
    AlbumImageRow.image_id,
    ContentRow.sha256,
    ContentRow.size_bytes,
    ContentRow.content_type,
    ContentRow.width,
    ContentRow.height,
    ContentRow.pixel_sha256,
    ContentRow.has_preview,
    ContentRow.frames,
    ContentRow.bits,
    ContentRow.has_alpha,
)
_ITEMS_AT_ONCE = 1000
_NEXT_VERSION: dict[Any, Any] = {"version": AlbumRow.version + 1, "updated_at": func.now()}

_HOLD_IMAGES = text("""
    SELECT id FROM images WHERE id = ANY(CAST(:ids AS text[])) ORDER BY id FOR SHARE
""")
"""Lets no image of an addition come into the trash before it ends: it would be in both."""
_ADD = text("""
    INSERT INTO album_images AS old (album_id, ref, ref_sha256, image_id)
    SELECT :album_id, ref, hash, images.id
    FROM unnest(CAST(:refs AS text[]), CAST(:hashes AS bytea[]), CAST(:image_ids AS text[]))
        WITH ORDINALITY AS new (ref, hash, image_id, place)
    LEFT JOIN images ON images.id = new.image_id AND images.trashed_at IS NULL
    WHERE NOT EXISTS (
        SELECT FROM album_images AS twin
        WHERE twin.album_id = :album_id AND twin.image_id = images.id AND twin.ref_sha256 <> hash
    )
    ORDER BY place
    ON CONFLICT (album_id, ref_sha256) DO UPDATE
    SET status = 'pending', code = NULL, detail = NULL, image_id = excluded.image_id
    WHERE old.status = 'failed'
    RETURNING id
""")
_RECORD_OUTCOMES = text("""
    WITH new AS (
        SELECT given.id, images.id AS image_id, details,
            CASE WHEN given.image_id IS NOT NULL AND images.id IS NULL THEN 'not_found' ELSE code END AS code
        FROM unnest(
            CAST(:ids AS bigint[]), CAST(:image_ids AS text[]), CAST(:codes AS text[]), CAST(:details AS text[])
        ) AS given (id, image_id, code, details)
        LEFT JOIN images ON images.id = given.image_id
    )
    UPDATE album_images AS item
    SET image_id = new.image_id, code = new.code, detail = new.details,
        status = CASE WHEN new.image_id IS NULL THEN 'failed' ELSE 'embedded' END
    FROM new
    WHERE item.id = new.id AND item.album_id = :album_id
    AND (
        item.status = 'pending'
        OR (item.image_id, item.code, item.detail) IS DISTINCT FROM (new.image_id, new.code, new.details)
    )
    RETURNING item.id
""")


_END_JOBS = text("""
    UPDATE jobs SET status = 'cancelled', album_id = NULL, payload = '{}', result = NULL, problem = NULL, eta_s = NULL,
        lease_until = NULL, worker = NULL, dedupe_key = NULL, finished_at = coalesce(finished_at, clock_timestamp())
    WHERE album_id = :album_id
    RETURNING id
""")


ID_PREFIX = "alb_"
"""Beginning of our ids of albums."""


async def open_album(
    session: AsyncSession, user_id: str, name: str | None, *, lives_s: float | None = None
) -> StoredAlbum:
    """Find or create the user's album of this name, and lock it until the transaction ends.

    The id of an album is no other album's name: it opens that album. Without a name: a new one, known by our id. With
    `lives_s` it is the hidden album of an ad-hoc call: no list shows it, and `remove_expired` deletes it after so many
    seconds.
    """
    if name is not None and name.startswith(ID_PREFIX):
        known = await find(session, user_id, name, any_by_id=True)
        if known is not None and known.expires_at is None:
            await lock(session, known.id)
            return known
    expires_at = None if lives_s is None else func.now() + timedelta(seconds=lives_s)
    statement = (
        insert(AlbumRow)
        .values(id=new_id("alb"), user_id=user_id, name=name, expires_at=expires_at)
        .on_conflict_do_update(index_elements=[AlbumRow.user_id, AlbumRow.name], set_={"updated_at": func.now()})
    )
    return _album((await session.execute(statement.returning(*_ALBUM))).one())


async def create(session: AsyncSession, user_id: str, name: str | None, title: str | None) -> StoredAlbum | None:
    """Create an album without images. -> None where the user has one of this name"""
    statement = insert(AlbumRow).values(id=new_id("alb"), user_id=user_id, name=name, title=title)
    made = (await session.execute(statement.on_conflict_do_nothing().returning(*_ALBUM))).one_or_none()
    return None if made is None else _album(made)


async def change_title(session: AsyncSession, album_id: str, title: str | None) -> StoredAlbum:
    """Set the title of an album, which has been locked."""
    statement = update(AlbumRow).where(AlbumRow.id == album_id).values(title=title, updated_at=func.now())
    return _album((await session.execute(statement.returning(*_ALBUM))).one())


async def find(session: AsyncSession, user_id: str, public_id: str, *, any_by_id: bool = False) -> StoredAlbum | None:
    """Find the user's album by the name that the client gave it, or by our id if it gave none; `any_by_id`: also if it
    gave one, unless that is another album's name."""
    is_it = AlbumRow.id == public_id
    by_id = is_it if any_by_id else is_it & AlbumRow.name.is_(None)
    statement = select(*_ALBUM).where(AlbumRow.user_id == user_id, or_(AlbumRow.name == public_id, by_id))
    by_name_first = (AlbumRow.name == public_id).desc().nulls_last()
    found = (await session.execute(statement.order_by(by_name_first).limit(1))).one_or_none()
    return None if found is None else _album(found)


async def find_own(session: AsyncSession, user_id: str, public_id: str) -> StoredAlbum:
    """Find the user's album by its name, or else by our id. Raises `NotFound`."""
    album = await find(session, user_id, public_id, any_by_id=True)
    if album is None:
        raise NotFound(f"There is no album '{public_id}'.")
    return album


async def get(session: AsyncSession, album_id: str) -> StoredAlbum | None:
    """Get an album of any user by our id: for jobs."""
    found = (await session.execute(select(*_ALBUM).where(AlbumRow.id == album_id))).one_or_none()
    return None if found is None else _album(found)


async def load_public_ids(session: AsyncSession, album_ids: Sequence[str]) -> dict[str, str]:
    """Load what users call these albums, by our ids; hidden ones are left out."""
    if not album_ids:
        return {}
    shown = select(*_ALBUM).where(AlbumRow.id == any_text(sorted(set(album_ids))), AlbumRow.expires_at.is_(None))
    found = [_album(row) for row in await session.execute(shown)]
    return {album.id: album.public_id for album in found}


async def load_page(session: AsyncSession, user_id: str, limit: int, cursor: str | None = None) -> list[StoredAlbum]:
    """Load the user's albums, newest first, those after the id `cursor` (`StoredAlbum.id`), without hidden ones."""
    statement = select(*_ALBUM).where(AlbumRow.user_id == user_id, AlbumRow.expires_at.is_(None))
    if cursor is not None:
        statement = statement.where(AlbumRow.id < cursor)
    return [_album(row) for row in await session.execute(statement.order_by(AlbumRow.id.desc()).limit(limit))]


async def find_like(session: AsyncSession, user_id: str, words: str, limit: int) -> list[StoredAlbum]:
    """Find the user's albums whose name or title holds these words, in any case, the newest first."""
    pattern = f"%{like(words)}%"
    fits = or_(AlbumRow.name.ilike(pattern, escape="!"), AlbumRow.title.ilike(pattern, escape="!"))
    own = select(*_ALBUM).where(AlbumRow.user_id == user_id, AlbumRow.expires_at.is_(None), fits)
    return [_album(row) for row in await session.execute(own.order_by(AlbumRow.id.desc()).limit(limit))]


async def count(session: AsyncSession, user_id: str) -> int:
    """Count the user's albums, without hidden ones."""
    own = select(func.count()).where(AlbumRow.user_id == user_id, AlbumRow.expires_at.is_(None))
    return await session.scalar(own) or 0


async def add_refs(
    session: AsyncSession, album_id: str, refs: Sequence[str], image_ids: Sequence[str | None] | None = None
) -> int:
    """Add references at the end, in the order given, and set failed ones back to pending. -> how many of both

    `image_ids`: the stored image that a reference names, where that is known already. A reference that the album holds
    keeps its place and its outcome; another name of an image that it holds adds nothing. Raises `NotFound`.
    """
    await lock(session, album_id)
    await session.execute(_HOLD_IMAGES, {"ids": [image_id for image_id in image_ids or () if image_id]})
    known: dict[str, str | None] = {}
    named: set[str] = set()
    for ref, image_id in zip(refs, image_ids or [None] * len(refs), strict=True):
        if ref not in known and image_id not in named:
            known[ref] = image_id
            named |= set() if image_id is None else {image_id}
    unique = list(known)
    parameters = {
        "album_id": album_id,
        "refs": unique,
        "image_ids": list(known.values()),
        "hashes": [_hash(ref) for ref in unique],
    }
    changed = len((await session.scalars(_ADD, parameters)).all())
    if changed:
        await session.execute(update(AlbumRow).where(AlbumRow.id == album_id).values(_NEXT_VERSION))
    return changed


async def lock_item(session: AsyncSession, album_id: str, item_id: int) -> str | None:
    """Lock the album and return the image of an item in it. Raises `NotFound` when either is gone."""
    await lock(session, album_id)
    item = (await session.execute(select(AlbumImageRow.image_id).where(AlbumImageRow.id == item_id))).one_or_none()
    if item is None:
        raise NotFound("The picture was taken out of the album")
    image_id: str | None = item[0]
    return image_id


async def attach_image(session: AsyncSession, item_id: int, image_id: str) -> None:
    """Set the image that was fetched for an item, which stays pending. Lock the item first."""
    await session.execute(update(AlbumImageRow).where(AlbumImageRow.id == item_id).values(image_id=image_id))


async def record_outcomes(session: AsyncSession, album_id: str, outcomes: Sequence[Outcome]) -> None:
    """Record the outcomes of items: embedded with their image, or failed. Recording one twice changes nothing.

    An image that no longer exists makes its item a failed one, `not_found`. Raises `NotFound`.
    """
    await lock(session, album_id)
    parameters = {
        "album_id": album_id,
        "ids": [outcome.item_id for outcome in outcomes],
        "image_ids": [outcome.image_id for outcome in outcomes],
        "codes": [outcome.code for outcome in outcomes],
        "details": [outcome.detail for outcome in outcomes],
    }
    if (await session.scalars(_RECORD_OUTCOMES, parameters)).all():
        await session.execute(update(AlbumRow).where(AlbumRow.id == album_id).values(_NEXT_VERSION))


async def load_items(
    session: AsyncSession, album_id: str, *, status: ItemStatus | None = None, refs: Sequence[str] | None = None
) -> list[AlbumItem]:
    """Load items in the order in which they were first added: all, those of a status, or those with certain refs.

    Some at a time, since making objects of 100,000 rows at once would keep the event loop for a second or two.
    """
    statement = _select_items().where(AlbumImageRow.album_id == album_id)
    if status is not None:
        statement = statement.where(AlbumImageRow.status == status)
    parameters: dict[str, Any] = {}
    if refs is not None:
        parameters["hashes"] = [_hash(ref) for ref in set(refs)]
        statement = statement.where(text("album_images.ref_sha256 = ANY(CAST(:hashes AS bytea[]))"))
    items: list[AlbumItem] = []
    while True:
        after = AlbumImageRow.id > (items[-1].id if items else 0)
        page = statement.where(after).order_by(AlbumImageRow.id).limit(_ITEMS_AT_ONCE)
        rows = (await session.execute(page, parameters)).all()
        items += map(_item, rows)
        if len(rows) < _ITEMS_AT_ONCE:
            return items


async def load_page_of_items(session: AsyncSession, album_id: str, after: int, limit: int) -> list[AlbumItem]:
    """Load the first `limit` items with ids greater than `after`, with their names and without their contents."""
    statement = (
        select(*_ITEM[:6], null(), ImageRow.filename)
        .outerjoin(ImageRow, ImageRow.id == AlbumImageRow.image_id)
        .where(AlbumImageRow.album_id == album_id, AlbumImageRow.id > after)
    )
    rows = await session.execute(statement.order_by(AlbumImageRow.id).limit(limit))
    return [AlbumItem(*row) for row in rows]


async def find_items(session: AsyncSession, album_id: str, image_ids: Sequence[str]) -> dict[str, int]:
    """Find the items of images in an album. -> image id -> item id"""
    its = AlbumImageRow.album_id == album_id, AlbumImageRow.image_id == any_text(image_ids)
    rows = await session.execute(select(AlbumImageRow.image_id, AlbumImageRow.id).where(*its))
    return {image_id: item_id for image_id, item_id in rows if image_id is not None}


async def remove_items(session: AsyncSession, album_id: str, item_ids: Sequence[int]) -> None:
    """Remove items from the album; their images stay. Raises `NotFound`."""
    await lock(session, album_id)
    statement = delete(AlbumImageRow).where(
        AlbumImageRow.album_id == album_id, AlbumImageRow.id == any_number(item_ids)
    )
    if (await session.execute(statement.returning(AlbumImageRow.id))).all():
        await session.execute(update(AlbumRow).where(AlbumRow.id == album_id).values(_NEXT_VERSION))


async def remove(session: AsyncSession, album_id: str) -> list[str] | None:
    """Delete the album with all that belongs to it alone. -> ids of its jobs; None when there is no such album

    That is its results and persons, the vectors and faces of images that are in no other album, and the images that
    were fetched for it alone. Uploads stay, for clients know their ids. So do its jobs, as cancelled ones without
    contents, for those who still ask about them.
    """
    statement = select(AlbumRow.id).where(AlbumRow.id == album_id).with_for_update()  # no job may join it any more
    if await session.scalar(statement) is None:
        return None
    ended = list(await session.scalars(_END_JOBS, {"album_id": album_id}))
    members = (
        await session.execute(
            select(AlbumImageRow.image_id, ImageRow.sha256, ImageRow.source_url)
            .join(ImageRow, ImageRow.id == AlbumImageRow.image_id)
            .where(AlbumImageRow.album_id == album_id)
        )
    ).all()
    await session.execute(delete(AlbumRow).where(AlbumRow.id == album_id))
    fetched = [image_id for image_id, _, source_url in members if source_url is not None]
    await session.execute(_DELETE_FETCHED, {"fetched": fetched})
    await delete_orphaned(session, sorted({sha for _, sha, _ in members}))
    return ended


async def delete_orphaned(session: AsyncSession, shas: Sequence[str]) -> None:
    """Delete vectors, faces, quality, texts and verdicts of those file contents that are in no album."""
    for statement in _DELETE_ORPHANED:
        await session.execute(statement, {"shas": list(shas)})


async def remove_expired(session: AsyncSession, limit: int = 20) -> list[str]:
    """Delete hidden albums that have expired, with their ended jobs. -> their ids"""
    statement = select(AlbumRow.id).where(AlbumRow.expires_at < func.now()).limit(limit)
    expired = list(await session.scalars(statement.with_for_update(skip_locked=True)))
    for album_id in expired:
        await session.execute(delete(JobRow).where(JobRow.album_id == album_id, JobRow.finished_at.is_not(None)))
        await remove(session, album_id)
    return expired


def _hash(ref: str) -> bytes:
    # Half a surrogate pair passes here, for the database to refuse it like every other unfit text.
    return hashlib.sha256(ref.encode(errors="surrogatepass")).digest()


async def lock(session: AsyncSession, album_id: str) -> None:
    """Lock the album against other writers until the transaction ends. Raises `NotFound`."""
    statement = select(AlbumRow.id).where(AlbumRow.id == album_id).with_for_update(key_share=True)
    if await session.scalar(statement) is None:
        raise NotFound("The album does not exist")


async def lock_holders(
    session: AsyncSession, user_id: str, album_id: str | None, image_ids: Sequence[str] | None = None
) -> None:
    """Lock an album and those of the user that hold any of the images (None: all of them) until the transaction ends.

    In order: two such calls about the same albums would else wait for one another for ever.
    """
    statement = select(AlbumRow.id).where(AlbumRow.user_id == user_id)
    if image_ids is not None:
        holders = select(AlbumImageRow.album_id).where(AlbumImageRow.image_id == any_text(image_ids))
        statement = statement.where(or_(AlbumRow.id == album_id, AlbumRow.id.in_(holders)))
    await session.execute(statement.order_by(AlbumRow.id).with_for_update(key_share=True))


def _select_items() -> Select[*tuple[Any, ...]]:
    return (
        select(*_ITEM)
        .select_from(AlbumImageRow)
        .outerjoin(ImageRow, ImageRow.id == AlbumImageRow.image_id)
        .outerjoin(ContentRow, ContentRow.sha256 == ImageRow.sha256)
    )


def _album(row: Any) -> StoredAlbum:
    return StoredAlbum(*row)


def _item(row: Row[*tuple[Any, ...]]) -> AlbumItem:
    item_id, ref, status, code, detail, image_id, *content = row
    return AlbumItem(item_id, ref, status, code, detail, image_id, None if content[0] is None else Content(*content))


_NOT_IN_AN_ALBUM = """
    NOT EXISTS (SELECT FROM album_images JOIN images ON images.id = album_images.image_id WHERE images.sha256 = {sha})
"""
_DELETE_FETCHED = text("""
    DELETE FROM images WHERE id = ANY(CAST(:fetched AS text[]))
    AND NOT EXISTS (SELECT FROM album_images WHERE image_id = images.id)
""")
_DELETE_ORPHANED = tuple(
    text(
        f"DELETE FROM {table} WHERE {column} = ANY(CAST(:shas AS text[])) AND "  # noqa: S608 (our own names)
        + _NOT_IN_AN_ALBUM.format(sha=f"{table}.{column}")
    )
    for table, column in (
        ("picture_vectors", "sha256"),
        ("picture_quality", "sha256"),
        ("picture_texts", "sha256"),
        ("face_scans", "sha256"),
        ("pair_verdicts", "sha_a"),
        ("pair_verdicts", "sha_b"),
    )
)
