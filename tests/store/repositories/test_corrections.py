"""Corrections in the database: added, listed, taken back."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from serve_app.store.repositories import corrections
from serve_app.store.repositories.corrections import Correction, NewCorrection, Place
from serve_app.store.repositories.users import LOCAL_USER_ID
from tests.support.rows import a_sha

FACE = Place(a_sha("a"), (0.125, 0.25, 0.5, 0.75))
OTHER = Place(a_sha("b"), (0.0, -0.125, 0.25, 1.125))


async def link(session: AsyncSession, *new: NewCorrection) -> list[Correction]:
    return await corrections.add(session, LOCAL_USER_ID, new, "test")


async def test_a_correction_is_loaded_as_it_was_made(session: AsyncSession) -> None:
    [must, name, apart] = await link(
        session,
        NewCorrection("must", FACE, OTHER),
        NewCorrection("name", FACE, value={"name": "Éva <b>"}),
        NewCorrection("not_duplicate", Place(a_sha("a")), Place(a_sha("b"))),
    )
    assert (must.kind, must.a, must.b, must.value, must.via) == ("must", FACE, OTHER, {}, "test")
    assert (name.b, name.value) == (None, {"name": "Éva <b>"})
    assert (apart.a, apart.b) == (Place(a_sha("a")), Place(a_sha("b")))
    assert {one.action_id for one in (must, name, apart)} == {must.id}
    assert must.undone_at is None


async def test_corrections_are_listed_the_newest_first_by_kind_and_page(session: AsyncSession) -> None:
    made = [(await link(session, NewCorrection(kind, FACE, OTHER)))[0] for kind in ("must", "cannot", "must")]  # type: ignore[arg-type]
    assert await corrections.load_page(session, LOCAL_USER_ID, 10) == made[::-1]
    assert await corrections.load_page(session, LOCAL_USER_ID, 10, kind="must") == [made[2], made[0]]
    assert await corrections.load_page(session, LOCAL_USER_ID, 1, made[2].id) == [made[1]]
    assert await corrections.load_page(session, "usr_other", 10) == []


async def test_an_action_is_taken_back_as_a_whole_and_once(session: AsyncSession) -> None:
    [one, two] = await link(session, NewCorrection("must", FACE, OTHER), NewCorrection("cannot", FACE, FACE))
    [kept] = await link(session, NewCorrection("must", OTHER, FACE))
    assert await corrections.find_action(session, LOCAL_USER_ID, two.id) == one.id
    assert [undone.id for undone in await corrections.undo(session, one.id)] == [one.id, two.id]
    assert await corrections.undo(session, one.id) == []
    assert await corrections.load_standing(session, LOCAL_USER_ID, ("must", "cannot")) == [kept]
    assert await corrections.find_last_action(session, LOCAL_USER_ID) == kept.id
    await corrections.undo(session, kept.id)
    assert await corrections.find_last_action(session, LOCAL_USER_ID) is None
    assert all(found.undone_at for found in await corrections.load_page(session, LOCAL_USER_ID, 10))
