"""Corrections of people in any order: links hold through all that comes, and what is taken back is as if never said."""

from __future__ import annotations

from typing import Any

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from deployments.errors import Conflict, InvalidRequest, NotFound
from serve_app.services.container import Services
from serve_app.services.people.decisions import Decided, PersonChange
from serve_app.services.people.effects import PeopleEffects
from serve_app.store.ids import public_face_id
from serve_app.store.repositories import people as people_rows
from serve_app.store.repositories.users import LOCAL_USER_ID
from tests.support.people import fill_album

ACTIONS = ("merge", "split", "assign", "new", "nobody", "reject", "name")
OTHERS = ("group", "group anew", "trash", "restore", "undo", "undo")
OWNED = "SELECT face_id, person_id FROM people_faces ORDER BY face_id"
Step = tuple[str, int, int]


class Library:
    """A user's people, corrected without HTTP."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._decisions = services.decisions
        self._effects = PeopleEffects(services.settings)

    async def rows(self, statement: str) -> list[Any]:
        async with self._services.database.transaction() as session:
            return list((await session.execute(text(statement))).all())

    async def state(self) -> dict[str, Any]:
        """Whose each face is, and what is said of whom."""
        faces = await self.rows("SELECT face_id, person_id FROM people_faces ORDER BY face_id")
        said = await self.rows("SELECT id, name, merged_into FROM people ORDER BY id")
        named = {row.id: (row.name, row.merged_into) for row in said if row.name or row.merged_into}
        return {"faces": {row.face_id: row.person_id for row in faces}, "said": named}

    async def act(self, action: str, one: int, other: int) -> Decided | None:
        """Do something; None where that is refused or means nothing."""
        faces = [row.face_id for row in await self.rows("SELECT face_id FROM people_faces ORDER BY face_id")]
        owners = await self.rows("SELECT DISTINCT person_id FROM people_faces WHERE person_id IS NOT NULL ORDER BY 1")
        people = [row.person_id for row in owners]
        if not people:
            return None
        face = public_face_id(faces[one % len(faces)])
        person, second = people[one % len(people)], people[other % len(people)]
        user = LOCAL_USER_ID
        try:
            if action == "merge":
                return await self._decisions.merge(user, person, [second])
            if action == "split":
                own = [row.face_id for row in await self.rows(OWNED) if row.person_id == person]
                some = [public_face_id(own[(one + place) % len(own)]) for place in range(1 + other % 3)]
                return await self._decisions.split(user, person, some)
            if action == "assign":
                return await self._decisions.assign(user, face, second)
            if action == "new":
                return await self._decisions.assign(user, face, None, new=True, name=f"name {other}")
            if action == "nobody":
                return await self._decisions.assign(user, face, None)
            if action == "reject":
                return await self._decisions.reject(user, face, second)
            return await self._decisions.change(user, person, PersonChange(frozenset({"name"}), f"name {other}"))
        except (Conflict, InvalidRequest, NotFound):
            return None

    async def disturb(self, what: str, images: list[str], one: int) -> None:
        """Do something that is no correction."""
        if what in ("group", "group anew"):
            await self._services.grouping.update(LOCAL_USER_ID, anew=what == "group anew")
        elif what == "undo":
            standing = await self.rows("SELECT DISTINCT action_id FROM corrections WHERE undone_at IS NULL ORDER BY 1")
            if standing:
                action = standing[one % len(standing)].action_id
                await self._services.corrections.undo(LOCAL_USER_ID, action)
        else:
            image = images[one % len(images)]
            await self._services.batches.act(LOCAL_USER_ID, [image], what, None)  # type: ignore[arg-type]

    async def assert_links_hold(self) -> None:
        async with self._services.database.transaction() as session:
            linked = await self._effects.load_linked(session, LOCAL_USER_ID)
            await people_rows.lock(session, LOCAL_USER_ID)
        owner = linked.found.people
        for one, other in linked.said.must.tolist():
            assert owner[one] == owner[other]
        for one, other in linked.said.cannot.tolist():
            assert owner[one] is None or one != other
            assert owner[one] is None or owner[one] != owner[other] or one == other


STEPS = st.lists(
    st.tuples(st.sampled_from((*ACTIONS, *ACTIONS, *OTHERS)), st.integers(0, 30), st.integers(0, 30)),
    min_size=5,
    max_size=12,
)


async def test_links_hold_through_corrections_deletions_and_groupings_and_an_undo_restores_exactly(
    client: httpx.AsyncClient, services: Services
) -> None:
    images = await fill_album(client, "a", (1, 2), (1, 2), (1,), (2, 3), (3,))
    library = Library(services)

    @given(steps=STEPS, is_undone=st.lists(st.booleans(), min_size=12, max_size=12))
    @settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    async def run(steps: list[Step], is_undone: list[bool]) -> None:
        for (what, one, other), back in zip(steps, is_undone, strict=False):
            before = await library.state()
            if what in OTHERS:
                await library.disturb(what, images, one)
                await library.assert_links_hold()
                continue
            done = await library.act(what, one, other)
            await library.assert_links_hold()
            if done is None:
                assert await library.state() == before
            elif back and done.correction_id:
                await services.corrections.undo(LOCAL_USER_ID, done.correction_id)
                assert await library.state() == before
                await library.assert_links_hold()

    await in_this_loop(run)


async def in_this_loop(property_test: Any) -> None:
    """Run a hypothesis test of coroutines on the loop of this test, where the database's connections are."""
    import asyncio

    loop = asyncio.get_running_loop()
    inner = property_test.hypothesis.inner_test

    def on_loop(**drawn: Any) -> None:
        asyncio.run_coroutine_threadsafe(inner(**drawn), loop).result(60)

    property_test.hypothesis.inner_test = on_loop
    await asyncio.to_thread(property_test)
