"""Equal bytes are stored once, and collected exactly when no image holds them."""

from __future__ import annotations

import asyncio

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from deployments.contracts.albums import Shown
from serve_app.store.repositories import albums, images, users, vectors
from serve_app.store.repositories.images import NewImage
from serve_app.store.repositories.users import LOCAL_USER_ID
from serve_app.store.session import Database
from tests.support.rows import a_content, a_sha, an_album, an_image


async def test_two_uploads_of_the_same_bytes_are_two_images_of_one_content(session: AsyncSession) -> None:
    first, second = await an_image(session), await an_image(session)
    assert first.id != second.id
    assert first.sha256 == second.sha256
    assert await session.scalar(text("SELECT count(*) FROM contents")) == 1


async def test_only_the_first_upload_of_some_bytes_has_to_look_for_the_file(session: AsyncSession) -> None:
    assert [(await an_image(session)).check_file for _ in range(2)] == [True, False]


async def test_one_call_may_add_the_same_bytes_twice(session: AsyncSession) -> None:
    new = [NewImage(a_content("a"), filename="1"), NewImage(a_content("b")), NewImage(a_content("a"), filename="2")]
    added = await images.add(session, LOCAL_USER_ID, new)
    assert [image.sha256 for image in added] == [a_sha("a"), a_sha("b"), a_sha("a")]
    stored = await images.load(session, LOCAL_USER_ID, [image.id for image in added])
    assert [stored[image.id].filename for image in added] == ["1", None, "2"]


async def test_a_file_content_keeps_what_is_known_of_it_and_gains_the_rest(session: AsyncSession) -> None:
    await images.add(session, LOCAL_USER_ID, [NewImage(a_content(pixel_sha256="pixels"))])
    await images.add(session, LOCAL_USER_ID, [NewImage(a_content(has_preview=True, pixel_sha256="others"))])
    assert await images.find_content(session, a_sha("picture")) == a_content(pixel_sha256="pixels", has_preview=True)


async def test_a_file_content_gains_what_it_shows_and_a_preview_later(session: AsyncSession) -> None:
    await an_image(session)
    await images.describe_content(session, a_sha("picture"), shown=Shown("pixels", frames=3, bits=16, has_alpha=True))
    await images.describe_content(session, a_sha("picture"), has_preview=True)
    known = a_content(pixel_sha256="pixels", has_preview=True, frames=3, bits=16, has_alpha=True)
    assert await images.find_content(session, a_sha("picture")) == known


async def test_an_image_is_found_by_its_user_only(session: AsyncSession) -> None:
    other = await users.add(session, "eva", "eva@example.org")
    image = await an_image(session)
    found = await images.get(session, LOCAL_USER_ID, image.id)
    assert found is not None
    assert (found.filename, found.content) == ("picture.jpg", a_content())
    assert await images.get(session, other.id, image.id) is None
    assert await images.load(session, other.id, [image.id]) == {}
    assert await images.owns_content(session, LOCAL_USER_ID, image.sha256)
    assert not await images.owns_content(session, other.id, image.sha256)
    assert not await images.remove(session, other.id, image.id)


async def test_pages_go_through_every_image_once_newest_first(session: AsyncSession) -> None:
    made = [(await an_image(session, f"picture {number}")).id for number in range(5)]
    seen: list[str] = []
    while page := await images.load_page(session, LOCAL_USER_ID, 2, seen[-1] if seen else None):
        seen += [image.id for image in page]
    assert seen == made[::-1]


async def test_a_content_goes_with_its_last_image_and_takes_its_vectors_along(session: AsyncSession) -> None:
    first, second = await an_image(session), await an_image(session)
    await session.execute(text("INSERT INTO picture_vectors VALUES (:sha, 'model', 1, '')"), {"sha": a_sha("picture")})
    assert await images.remove(session, LOCAL_USER_ID, first.id)
    assert await images.collect_unused(session) == []
    assert await images.remove(session, LOCAL_USER_ID, second.id)
    assert await images.collect_unused(session) == [a_content()]
    assert await session.scalar(text("SELECT count(*) FROM picture_vectors")) == 0


async def test_a_removed_image_leaves_its_albums_and_changes_their_version(session: AsyncSession) -> None:
    album = await an_album(session, refs=["a", "b"])
    items = await albums.load_items(session, album.id)
    assert items[0].image_id is not None
    await images.remove(session, LOCAL_USER_ID, items[0].image_id)
    after = await albums.get(session, album.id)
    assert after is not None
    assert after.version > album.version
    assert [item.ref for item in await albums.load_items(session, album.id)] == ["b"]


async def test_a_collector_passes_over_bytes_that_are_being_uploaded_again(database: Database) -> None:
    async with database.transaction() as session:
        image = await an_image(session)
        await images.remove(session, LOCAL_USER_ID, image.id)
    async with database.transaction() as uploading:
        assert (await an_image(uploading)).check_file
        async with database.transaction() as collecting:
            assert await images.collect_unused(collecting) == []
    async with database.transaction() as collecting:
        assert await images.collect_unused(collecting) == []


async def test_an_upload_waits_for_the_collector_of_its_bytes_and_then_looks_for_the_file(database: Database) -> None:
    async with database.transaction() as session:
        image = await an_image(session)
        await images.remove(session, LOCAL_USER_ID, image.id)

    async def upload() -> bool:
        async with database.transaction() as session:
            return (await an_image(session)).check_file

    async with database.transaction() as collecting:
        assert len(await images.collect_unused(collecting)) == 1
        uploading = asyncio.create_task(upload())
        await _until_somebody_waits_for_a_lock(collecting)
        assert not uploading.done()
    assert await uploading
    async with database.transaction() as session:
        assert await images.find_content(session, a_sha("picture")) == a_content()


async def test_uploads_and_collections_that_race_never_lose_a_content(database: Database) -> None:
    stored: set[str] = set()  # what a storage would hold

    async def upload(name: str) -> str:
        stored.add(a_sha(name))
        async with database.transaction() as session:
            image = await an_image(session, name)
            await asyncio.sleep(0)
            if image.check_file and image.sha256 not in stored:
                stored.add(image.sha256)
        return image.id

    async def remove(image_id: str) -> None:
        async with database.transaction() as session:
            await images.remove(session, LOCAL_USER_ID, image_id)

    async def collect() -> None:
        async with database.transaction() as session:
            for content in await images.collect_unused(session):
                await asyncio.sleep(0)
                stored.discard(content.sha256)

    async def visit(name: str) -> None:
        for _ in range(5):
            kept = await upload(name)
            gone = await upload(name)
            await asyncio.gather(remove(gone), collect())
            async with database.transaction() as session:
                assert await images.get(session, LOCAL_USER_ID, kept) is not None
                assert a_sha(name) in stored
            await asyncio.gather(remove(kept), collect())

    await asyncio.gather(*(visit(name) for name in ("a", "b", "a")))


async def test_ten_thousand_contents_are_asked_for_at_once(session: AsyncSession) -> None:
    shas = [a_sha(str(number)) for number in range(40_000)]
    assert await vectors.find_missing(session, "model", shas) == shas


async def _until_somebody_waits_for_a_lock(session: AsyncSession) -> None:
    for _ in range(2000):
        if await session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")):
            return
    raise AssertionError("nobody waits")
