"""Albums keep their references in the order in which they were first added."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from deployments.errors import NotFound
from serve_app.store.queue import claims, jobs
from serve_app.store.repositories import albums, faces, images, results, users, vectors
from serve_app.store.repositories.albums import Outcome
from serve_app.store.repositories.users import LOCAL_USER_ID
from serve_app.store.session import Database
from tests.support.rows import a_content, a_face, a_sha, an_album, an_image


async def refs(session: AsyncSession, album_id: str) -> list[str]:
    return [item.ref for item in await albums.load_items(session, album_id)]


async def version(session: AsyncSession, album_id: str) -> int:
    album = await albums.get(session, album_id)
    assert album is not None
    return album.version


async def test_an_album_is_one_for_each_name_and_user(session: AsyncSession) -> None:
    eva = await users.add(session, "eva", "eva@example.org")
    first = await albums.open_album(session, LOCAL_USER_ID, "holiday")
    assert (await albums.open_album(session, LOCAL_USER_ID, "holiday")).id == first.id
    assert (await albums.open_album(session, eva.id, "holiday")).id != first.id


async def test_an_album_without_a_name_is_known_by_our_id(session: AsyncSession) -> None:
    album = await albums.open_album(session, LOCAL_USER_ID, None)
    other = await albums.open_album(session, LOCAL_USER_ID, None)
    assert album.public_id == album.id != other.id
    assert (await albums.find(session, LOCAL_USER_ID, album.public_id)) == album


async def test_a_named_album_answers_to_its_name_only_and_to_its_user_only(session: AsyncSession) -> None:
    eva = await users.add(session, "eva", "eva@example.org")
    album = await albums.open_album(session, LOCAL_USER_ID, "holiday")
    assert await albums.find(session, LOCAL_USER_ID, "holiday") == album
    assert await albums.find(session, LOCAL_USER_ID, album.id) is None
    assert await albums.find(session, eva.id, "holiday") is None


async def test_references_keep_the_order_in_which_they_were_first_added(session: AsyncSession) -> None:
    album = await albums.open_album(session, LOCAL_USER_ID, "holiday")
    assert await albums.add_refs(session, album.id, ["c", "a", "c", "b"]) == 3
    assert await albums.add_refs(session, album.id, ["b", "d", "c"]) == 1
    assert await refs(session, album.id) == ["c", "a", "b", "d"]


async def test_posting_the_same_references_again_changes_nothing(session: AsyncSession) -> None:
    album = await an_album(session, refs=["a", "b"])
    before = await albums.load_items(session, album.id)
    assert await albums.add_refs(session, album.id, ["b", "a"]) == 0
    assert await albums.load_items(session, album.id) == before
    assert await version(session, album.id) == album.version


async def test_a_reference_that_failed_is_tried_again_when_posted_again(session: AsyncSession) -> None:
    album = await albums.open_album(session, LOCAL_USER_ID, "holiday")
    await albums.add_refs(session, album.id, ["a", "b"])
    [a, b] = await albums.load_items(session, album.id)
    await albums.record_outcomes(session, album.id, [Outcome(a.id, code="corrupt", detail="no picture")])
    [failed] = await albums.load_items(session, album.id, status="failed")
    assert (failed.ref, failed.code, failed.detail, failed.content) == ("a", "corrupt", "no picture", None)
    assert await albums.add_refs(session, album.id, ["a", "b"]) == 1
    assert [(item.id, item.status, item.code) for item in await albums.load_items(session, album.id)] == [
        (a.id, "pending", None),
        (b.id, "pending", None),
    ]


async def test_an_item_with_a_recorded_outcome_has_its_image(session: AsyncSession) -> None:
    album = await an_album(session, refs=["a"])
    [item] = await albums.load_items(session, album.id)
    assert (item.status, item.content) == ("embedded", a_content("a"))


async def test_the_version_changes_with_the_images_and_not_with_a_repeated_outcome(session: AsyncSession) -> None:
    album = await albums.open_album(session, LOCAL_USER_ID, "holiday")
    await albums.add_refs(session, album.id, ["a"])
    added = await version(session, album.id)
    [item] = await albums.load_items(session, album.id)
    outcome = Outcome(item.id, image_id=(await an_image(session, "a")).id)
    await albums.record_outcomes(session, album.id, [outcome])
    settled = await version(session, album.id)
    await albums.record_outcomes(session, album.id, [outcome])
    assert await version(session, album.id) == settled
    await albums.remove_items(session, album.id, [item.id])
    assert album.version < added < settled < await version(session, album.id)


async def test_an_image_that_no_longer_exists_makes_its_item_a_failed_one(session: AsyncSession) -> None:
    album = await albums.open_album(session, LOCAL_USER_ID, "holiday")
    await albums.add_refs(session, album.id, ["a"])
    [item] = await albums.load_items(session, album.id)
    await albums.record_outcomes(session, album.id, [Outcome(item.id, image_id="img_gone")])
    [after] = await albums.load_items(session, album.id)
    assert (after.status, after.code) == ("failed", "not_found")


async def test_references_of_eight_thousand_characters_are_told_apart(session: AsyncSession) -> None:
    album = await albums.open_album(session, LOCAL_USER_ID, "holiday")
    long = "https://example.org/" + "".join(f"{number:x}" for number in range(3000))
    await albums.add_refs(session, album.id, [long + "a", long + "b"])
    assert await refs(session, album.id) == [long + "a", long + "b"]
    [item] = await albums.load_items(session, album.id, refs=[long + "b", "unknown"])
    assert item.ref == long + "b"


async def test_album_lists_show_the_newest_first_and_no_hidden_album(session: AsyncSession) -> None:
    made = [(await albums.open_album(session, LOCAL_USER_ID, name)).id for name in ("a", None, "c")]
    await albums.open_album(session, LOCAL_USER_ID, None, lives_s=60)
    first = await albums.load_page(session, LOCAL_USER_ID, 2)
    rest = await albums.load_page(session, LOCAL_USER_ID, 2, first[-1].id)
    assert [album.id for album in (*first, *rest)] == made[::-1]


async def test_items_are_counted_by_status(session: AsyncSession) -> None:
    album = await an_album(session, refs=["a", "b"])
    await albums.add_refs(session, album.id, ["c"])
    empty = await albums.open_album(session, LOCAL_USER_ID, "empty")
    found = [await albums.get(session, one.id) for one in (album, empty)]
    counts = [(one.embedded_count, one.pending_count, one.failed_count) for one in found if one is not None]
    assert counts == [(2, 1, 0), (0, 0, 0)]


async def test_a_deleted_album_takes_its_results_vectors_and_faces_along(session: AsyncSession) -> None:
    album = await an_album(session, refs=["a"], fetched=["https://example.org/b"])
    shas = [a_sha("a"), a_sha("https://example.org/b")]
    await vectors.save(session, "model", shas, a_vectors(2))
    await faces.save(session, "model", {sha: [a_face()] for sha in shas})
    await results.save(session, album.id, "tags", "key", 1, {})
    assert await albums.remove(session, album.id) == []
    assert await albums.remove(session, album.id) is None
    for table in ("albums", "album_images", "results", "analysis_results", "picture_vectors", "face_scans", "faces"):
        assert await session.scalar(text(f"SELECT count(*) FROM {table}")) == 0, table
    # The upload stays; what was fetched for this album alone is no longer needed.
    assert [image.content.sha256 for image in await images.load_page(session, LOCAL_USER_ID, 10)] == [a_sha("a")]
    assert [content.sha256 for content in await images.collect_unused(session)] == [shas[1]]


async def test_the_jobs_of_a_deleted_album_end_as_cancelled_without_their_contents(session: AsyncSession) -> None:
    album = await an_album(session, refs=["a"])
    running, waiting, ended = [await _a_job(session, album.id, kind) for kind in ("tags", "people", "quality")]
    await claims.claim(session, worker="w", kinds=["tags"], lease_s=60)
    held = await claims.claim(session, worker="w", kinds=["quality"], lease_s=60)
    assert held is not None
    await claims.complete(session, held, {"quality": []})
    assert set(await albums.remove(session, album.id) or []) == {running.id, waiting.id, ended.id}
    for job in (running, waiting, ended):
        left = await jobs.get(session, job.id, user_id=LOCAL_USER_ID)
        assert left is not None
        assert (left.status, left.result, left.payload, left.album_id) == ("cancelled", None, {}, None)
        assert left.finished_at is not None


async def _a_job(session: AsyncSession, album_id: str, kind: str) -> jobs.QueuedJob:
    payload = {"refs": ["https://example.org/private"]}
    return await jobs.enqueue(
        session, user_id=LOCAL_USER_ID, kind=kind, payload=payload, album_id=album_id, max_attempts=1
    )


async def test_vectors_and_images_that_another_album_needs_survive_the_deletion_of_one(session: AsyncSession) -> None:
    first = await an_album(session, "first", refs=["a"], fetched=["https://example.org/b"])
    second = await an_album(session, "second", refs=["a"], fetched=["https://example.org/b"])
    shas = [a_sha("a"), a_sha("https://example.org/b")]
    await vectors.save(session, "model", shas, a_vectors(2))
    await albums.remove(session, first.id)
    assert await vectors.find_missing(session, "model", shas) == []
    assert [item.content is not None for item in await albums.load_items(session, second.id)] == [True, True]


async def test_expired_hidden_albums_are_removed(session: AsyncSession) -> None:
    kept = await albums.open_album(session, LOCAL_USER_ID, None, lives_s=60)
    expired = await albums.open_album(session, LOCAL_USER_ID, None, lives_s=-1)
    await albums.open_album(session, LOCAL_USER_ID, "named")
    assert await albums.remove_expired(session) == [expired.id]
    assert await albums.get(session, kept.id) is not None


async def test_an_album_that_no_longer_exists_is_not_found(session: AsyncSession) -> None:
    with pytest.raises(NotFound):
        await albums.add_refs(session, "alb_gone", ["a"])
    with pytest.raises(NotFound):
        await albums.record_outcomes(session, "alb_gone", [])


async def test_posts_to_one_album_at_once_neither_deadlock_nor_lose_a_reference(database: Database) -> None:
    names = [str(number) for number in range(50)]

    async def post(order: list[str]) -> None:
        async with database.transaction() as session:
            album = await albums.open_album(session, LOCAL_USER_ID, "holiday")
            await albums.add_refs(session, album.id, order)

    await asyncio.gather(*(post(names[shift:] + names[:shift]) for shift in range(0, 50, 7)), post(names[::-1]))
    async with database.transaction() as session:
        found = await albums.find(session, LOCAL_USER_ID, "holiday")
        assert found is not None
        assert sorted(await refs(session, found.id)) == sorted(names)


async def test_ten_thousand_references_are_added_recorded_and_loaded_in_order(session: AsyncSession) -> None:
    names = [f"https://example.org/{number}" for number in range(10_000)]
    album = await an_album(session, refs=names)
    items = await albums.load_items(session, album.id)
    assert [item.ref for item in items] == names
    assert all(item.content is not None and item.content.sha256 == a_sha(item.ref) for item in items)


def a_vectors(count: int) -> vectors.NDArray[vectors.np.float32]:
    return vectors.np.ones((count, 7, 8), vectors.np.float32)
