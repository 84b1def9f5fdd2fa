"""Counts of the images of albums, which triggers keep up."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from serve_app.store.repositories import albums, images
from serve_app.store.repositories.albums import Outcome
from serve_app.store.repositories.users import LOCAL_USER_ID
from tests.support.rows import an_image

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "embed", "fail", "take out", "delete image", "delete album"]),
        st.sampled_from(["a", "b"]),
        st.lists(st.sampled_from("pqrst"), min_size=1, max_size=4),
    ),
    max_size=12,
)
_COUNTED = text("""
    SELECT count(*) FILTER (WHERE status = 'pending'), count(*) FILTER (WHERE status = 'embedded'),
        count(*) FILTER (WHERE status = 'failed')
    FROM album_images WHERE album_id = :album
""")


async def take(session: AsyncSession, step: str, name: str, refs: list[str]) -> None:
    album = await albums.open_album(session, LOCAL_USER_ID, name)
    items = await albums.load_items(session, album.id, refs=refs)
    if step == "add":
        await albums.add_refs(session, album.id, refs)
    elif step == "embed":
        made = [(await an_image(session, item.ref)).id for item in items]
        outcomes = [Outcome(item.id, image_id) for item, image_id in zip(items, made, strict=True)]
        await albums.record_outcomes(session, album.id, outcomes)
    elif step == "fail":
        await albums.record_outcomes(session, album.id, [Outcome(item.id, code="empty", detail="") for item in items])
    elif step == "take out":
        await albums.remove_items(session, album.id, [item.id for item in items])
    elif step == "delete image":
        for item in items:
            if item.image_id is not None:
                await images.remove(session, LOCAL_USER_ID, item.image_id)
    else:
        await albums.remove(session, album.id)


@given(steps=STEPS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_counts_are_those_of_the_images_whatever_happens_to_them(
    session: AsyncSession, steps: list[tuple[str, str, list[str]]]
) -> None:
    async with session.begin_nested() as point:
        for step in steps:
            await take(session, *step)
        for album in await albums.load_page(session, LOCAL_USER_ID, 10):
            counted = (await session.execute(_COUNTED, {"album": album.id})).one()
            assert (album.pending_count, album.embedded_count, album.failed_count) == tuple(counted)
        await point.rollback()
