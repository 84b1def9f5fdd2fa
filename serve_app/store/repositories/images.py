"""Images (one upload each) and file contents (equal bytes, stored once).

Putting bytes and collecting them are safe against one another under this protocol:

- upload: `announce` in a transaction of its own, so that from here on the collector knows of the file; put the file
  into storage; then, in one transaction, `add`, and where it says `check_file`, see that the file is still there (and
  put it again if not) before the transaction ends. An upload that dies on the way leaves nothing that stays;
- collection: in one transaction, `lock_unused`, `collect_unused`, delete the files of what that returns, end the
  transaction.

`add` holds a lock on the content until the transaction ends, and `lock_unused` skips locked ones; the other way
round `add` waits for the collector and then reports `check_file`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, delete, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from deployments.contracts.albums import Shown
from deployments.contracts.pictures import Capture
from serve_app.store.arrays import any_text
from serve_app.store.ids import new_id
from serve_app.store.models import AlbumImageRow, AlbumRow, ContentRow, ImageRow, PictureQualityRow


@dataclass(frozen=True, slots=True)
class Content:
    """A file content. `width` and `height` are those of the upright image, pixels."""

    sha256: str
    size_bytes: int
    content_type: str
    width: int
    height: int
    pixel_sha256: str | None = None
    """Hash of all that the file shows; null as `frames`, `bits` and `has_alpha` until it was decoded in full."""
    has_preview: bool = False
    frames: int | None = None
    bits: int | None = None
    has_alpha: bool | None = None


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image with its file content."""

    id: str
    user_id: str
    filename: str | None
    source_url: str | None
    created_at: datetime
    trashed_at: datetime | None
    capture: Capture
    content: Content


@dataclass(frozen=True, slots=True)
class NewImage:
    """One upload or fetch for `add`."""

    content: Content
    filename: str | None = None
    source_url: str | None = None
    temporary: bool = False
    """Whether the image is removed after a while, unless an album holds it."""
    capture: Capture = field(default_factory=Capture)


@dataclass(frozen=True, slots=True)
class AddedImage:
    """An image that `add` has made."""

    id: str
    sha256: str
    check_file: bool
    """Whether no other image held these bytes: check that the file is in storage before the transaction ends."""


_CONTENT = (
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
_CAPTURE = (ImageRow.taken_at, ImageRow.zone_min, ImageRow.camera, ImageRow.latitude, ImageRow.longitude)
_IMAGE = (
    ImageRow.id,
    ImageRow.user_id,
    ImageRow.filename,
    ImageRow.source_url,
    ImageRow.created_at,
    ImageRow.trashed_at,
    *_CAPTURE,
)

_IS_IDLE = text("""
    NOT EXISTS (SELECT FROM album_images WHERE album_images.image_id = images.id)
    AND NOT EXISTS (
        SELECT FROM jobs LEFT JOIN generations ON generations.job_id = jobs.id
        WHERE jobs.user_id = images.user_id AND jobs.status IN ('queued', 'running')
        AND (generations.input_image_id = images.id OR strpos(CAST(jobs.payload AS text), images.id) > 0)
    )
""")
_KEEP = text("""
    WITH held AS (
        SELECT id FROM images WHERE id = ANY(CAST(:ids AS text[])) AND temporary ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE images SET temporary = false FROM held WHERE images.id = held.id
""")
"""Locks images in order, see `lock`."""


IMAGE_COLUMNS = (*_IMAGE, *_CONTENT)
"""Columns that `image_of` reads, of `images` and `contents`."""


def _select_images() -> Select[*tuple[Any, ...]]:
    return select(*IMAGE_COLUMNS).join(ContentRow, ContentRow.sha256 == ImageRow.sha256)


def image_of(row: Sequence[Any]) -> StoredImage:
    """Make an image of its columns."""
    image_id, user_id, filename, source_url, created_at, trashed_at, *more = row
    capture, content = Capture(*more[: len(_CAPTURE)]), Content(*more[len(_CAPTURE) :])
    return StoredImage(image_id, user_id, filename, source_url, created_at, trashed_at, capture, content)


async def announce(session: AsyncSession, content: Content) -> None:
    """Add a file content before its file is stored. Until an image holds it, `collect_unused` may delete it."""
    await session.execute(insert(ContentRow).values(asdict(content)).on_conflict_do_nothing())


async def add(session: AsyncSession, user_id: str, new: Sequence[NewImage]) -> list[AddedImage]:
    """Add an image each, in the order given; file contents that are known already keep what is known of them.

    A preview, or what it shows, that the new content brings is taken over.
    """
    if not new:
        return []
    # Sorted: two uploads of the same files in different orders would wait for one another for ever.
    contents = sorted({image.content.sha256: image.content for image in new}.items())
    upsert = insert(ContentRow)
    upsert = upsert.on_conflict_do_update(
        index_elements=[ContentRow.sha256],
        set_={
            "has_preview": ContentRow.has_preview | upsert.excluded.has_preview,
            **{
                name: text(f"coalesce(contents.{name}, excluded.{name})")
                for name in ("pixel_sha256", "frames", "bits", "has_alpha")
            },
        },
    )
    await session.execute(upsert, [asdict(content) for _, content in contents])
    shas = [sha for sha, _ in contents]
    known = (
        select(ContentRow.sha256, exists().where(ImageRow.sha256 == ContentRow.sha256), PictureQualityRow.score)
        .outerjoin(PictureQualityRow, PictureQualityRow.sha256 == ContentRow.sha256)
        .where(ContentRow.sha256 == any_text(shas))
    )
    scores: dict[str, float | None] = {}
    used: set[str] = set()
    for sha, is_used, score in await session.execute(known):
        scores[sha] = score
        used |= {sha} if is_used else set()
    rows = [
        {
            "id": new_id("img"),
            "user_id": user_id,
            "sha256": image.content.sha256,
            "filename": image.filename,
            "source_url": image.source_url,
            "temporary": image.temporary,
            "quality": scores[image.content.sha256],
            **asdict(image.capture),
        }
        for image in new
    ]
    await session.execute(insert(ImageRow), rows)
    return [AddedImage(str(row["id"]), str(row["sha256"]), row["sha256"] not in used) for row in rows]


async def get(session: AsyncSession, user_id: str, image_id: str) -> StoredImage | None:
    """Get one of the user's own images."""
    statement = _select_images().where(ImageRow.id == image_id, ImageRow.user_id == user_id)
    found = (await session.execute(statement)).one_or_none()
    return None if found is None else image_of(found)


async def lock(session: AsyncSession, user_id: str, image_ids: Sequence[str]) -> set[str]:
    """Lock those of the images that are the user's against other changes until the transaction ends. -> which"""
    own = select(ImageRow.id).where(ImageRow.id == any_text(image_ids), ImageRow.user_id == user_id)
    # In order, as whatever else changes many images: two changes of the same would else wait for one another for ever.
    return set(await session.scalars(own.order_by(ImageRow.id).with_for_update(key_share=True)))


async def change(session: AsyncSession, image_id: str, **columns: object) -> None:
    """Set columns of an image."""
    if columns:
        await session.execute(update(ImageRow).where(ImageRow.id == image_id).values(columns))


async def touch(session: AsyncSession, image_ids: Sequence[str]) -> None:
    """Tell those who follow changes of images of these, of which something in another table changed."""
    await session.execute(update(ImageRow).where(ImageRow.id == any_text(image_ids)).values(filename=ImageRow.filename))


async def find_by_content(session: AsyncSession, user_id: str, sha256: str) -> StoredImage | None:
    """Find the latest of the user's images, temporary and trashed ones left out, that holds these bytes."""
    lasting = ~ImageRow.temporary, ImageRow.trashed_at.is_(None)
    own = ImageRow.user_id == user_id, ImageRow.sha256 == sha256, *lasting
    found = (await session.execute(_select_images().where(*own).order_by(ImageRow.id.desc()).limit(1))).one_or_none()
    return None if found is None else image_of(found)


async def load(session: AsyncSession, user_id: str, image_ids: Sequence[str]) -> dict[str, StoredImage]:
    """Load those of the ids that are the user's images."""
    statement = _select_images().where(ImageRow.id == any_text(image_ids), ImageRow.user_id == user_id)
    return {image.id: image for image in map(image_of, await session.execute(statement))}


async def load_page(session: AsyncSession, user_id: str, limit: int, cursor: str | None = None) -> list[StoredImage]:
    """Load the user's images, newest first, those after the id `cursor`."""
    statement = _select_images().where(ImageRow.user_id == user_id).order_by(ImageRow.id.desc()).limit(limit)
    if cursor is not None:
        statement = statement.where(ImageRow.id < cursor)
    return [image_of(row) for row in await session.execute(statement)]


async def measure(session: AsyncSession, user_id: str) -> tuple[int, int]:
    """Count the user's images and the bytes of their files. -> images, bytes"""
    sizes = select(func.count(), func.coalesce(func.sum(ContentRow.size_bytes), 0))
    statement = sizes.select_from(ImageRow).join(ContentRow, ContentRow.sha256 == ImageRow.sha256)
    count, stored_bytes = (await session.execute(statement.where(ImageRow.user_id == user_id))).one()
    return count, int(stored_bytes)


async def find_content(session: AsyncSession, sha256: str) -> Content | None:
    """Find a file content by its SHA-256."""
    found = (await session.execute(select(*_CONTENT).where(ContentRow.sha256 == sha256))).one_or_none()
    return None if found is None else Content(*tuple[Any, ...](found))


async def owns_content(session: AsyncSession, user_id: str, sha256: str) -> bool:
    """Whether one of the user's images holds these bytes."""
    statement = select(exists().where(ImageRow.user_id == user_id, ImageRow.sha256 == sha256))
    return bool(await session.scalar(statement))


async def describe_content(
    session: AsyncSession,
    sha256: str,
    *,
    shown: Shown | None = None,
    has_preview: bool | None = None,
) -> None:
    """Set what a file content shows or its preview flag; None leaves one as it is."""
    values: dict[str, object] = {}
    if shown is not None:
        values |= {
            "pixel_sha256": shown.digest,
            "frames": shown.frames,
            "bits": shown.bits,
            "has_alpha": shown.has_alpha,
        }
    if has_preview is not None:
        values["has_preview"] = has_preview
    if values:
        await session.execute(update(ContentRow).where(ContentRow.sha256 == sha256).values(values))


async def remove(session: AsyncSession, user_id: str, image_id: str) -> bool:
    """Delete the user's image and take it out of every album; False when there was none.

    Its vectors and faces go with the file content, which `collect_unused` deletes once no image holds it; before that,
    with `albums.delete_orphaned`.
    """
    await touch_albums(session, user_id, [image_id])
    removed = await session.execute(
        delete(ImageRow).where(ImageRow.id == image_id, ImageRow.user_id == user_id).returning(ImageRow.id)
    )
    return removed.one_or_none() is not None


async def touch_albums(session: AsyncSession, user_id: str, image_ids: Sequence[str]) -> None:
    """Give the user's albums that hold any of the images their next version, and lock them until the transaction
    ends."""
    holders = select(AlbumImageRow.album_id).where(AlbumImageRow.image_id == any_text(image_ids))
    albums = select(AlbumRow.id).where(AlbumRow.id.in_(holders), AlbumRow.user_id == user_id)
    # In order: two images in the same albums, deleted at once, would else wait for one another for ever.
    locked = list(await session.scalars(albums.order_by(AlbumRow.id).with_for_update(key_share=True)))
    await session.execute(
        update(AlbumRow)
        .where(AlbumRow.id == any_text(locked))
        .values(version=AlbumRow.version + 1, updated_at=text("now()"))
    )


async def keep(session: AsyncSession, image_ids: Sequence[str]) -> None:
    """Make temporary images permanent."""
    await session.execute(_KEEP, {"ids": list(image_ids)})


async def remove_temporary(session: AsyncSession, older_than_s: float, limit: int = 1000) -> int:
    """Delete temporary images of that age. -> how many

    Images that an album holds or an unfinished job names stay. The history keeps its rows, without their input.
    """
    old = (ImageRow.temporary, ImageRow.created_at < func.now() - timedelta(seconds=older_than_s), _IS_IDLE)
    locked = select(ImageRow.id).where(*old).limit(limit).with_for_update(skip_locked=True)
    ids = list(await session.scalars(locked))
    # A second look with a fresh snapshot, for an album may have taken one before it was locked.
    gone = delete(ImageRow).where(ImageRow.id == any_text(ids), _IS_IDLE).returning(ImageRow.id)
    return len((await session.scalars(gone.execution_options(synchronize_session=False))).all())


_IS_UNUSED = ~exists().where(ImageRow.sha256 == ContentRow.sha256)


async def lock_unused(session: AsyncSession, limit: int = 100) -> list[str]:
    """Lock file contents that no image holds: from here on nothing can be made of them. -> their SHA-256"""
    locked = select(ContentRow.sha256).where(_IS_UNUSED).limit(limit).with_for_update(skip_locked=True)
    return list(await session.scalars(locked))


async def collect_unused(session: AsyncSession, shas: Sequence[str] | None = None) -> list[Content]:
    """Delete file contents that no image holds, with their vectors, faces and verdicts. -> what they were

    `shas`: of `lock_unused`, which is called where they are not given. Delete the files before the transaction ends
    (see the protocol above).
    """
    if shas is None:
        shas = await lock_unused(session)
    # A second look with a fresh snapshot: an upload may have ended between the first one and the lock. From the lock
    # on none can begin.
    gone = delete(ContentRow).where(ContentRow.sha256 == any_text(shas), _IS_UNUSED).returning(*_CONTENT)
    return [Content(*row) for row in await session.execute(gone)]
