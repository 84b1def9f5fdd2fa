"""What was said of people, beside what was said before and after: in any order, taken back, by two users."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from sqlalchemy import text

from configs.settings import Settings
from serve_app.services.container import Services
from serve_app.services.people.memory import load_memory
from serve_app.services.runner import JobRunner
from serve_app.store.repositories import people as people_rows
from serve_app.store.repositories.users import LOCAL_USER_ID
from tests.api.conftest import assert_problem
from tests.support.accounts import Account, with_keys
from tests.support.people import FACES, PEOPLE, decide, faces, fill_album, group, group_picture, people, state


async def undo(client: httpx.AsyncClient, correction: str) -> None:
    assert (await client.delete(f"/api/v1/corrections/{correction}")).status_code == 204


async def test_of_two_merges_the_first_is_taken_back_and_the_second_stands(client: httpx.AsyncClient) -> None:
    await fill_album(client, "a", (1,), (1,), (2,), (3,))
    one, two, three = (person["id"] for person in await people(client))
    owns = {person: await faces(client, person) for person in (one, two, three)}
    # The face that shows the kept person best would be one that came by the first merge.
    first = await decide(client, f"{PEOPLE}/{one}/merge", people=[two])
    await client.patch(f"{PEOPLE}/{one}", json={"cover_face_id": owns[two][0]})
    await decide(client, f"{PEOPLE}/{one}/merge", people=[three])
    await undo(client, first["correction_id"])
    assert await faces(client, one) == sorted(owns[one] + owns[three])
    assert await faces(client, two) == owns[two]


async def test_a_rejected_face_comes_back_only_after_the_rejection_is_taken_back(client: httpx.AsyncClient) -> None:
    await fill_album(client, "a", (1,), (1,), (1,))
    [person] = [one["id"] for one in await people(client)]
    face, *others = await faces(client, person)
    rejected = await decide(client, f"{FACES}/{face}/reject", person_id=person)
    before = await state(client)
    answer = await client.post(f"{FACES}/{face}/assign", json={"person_id": person})
    assert assert_problem(answer, 409, "conflict")["corrections"] == [rejected["correction_id"]]
    assert await state(client) == before
    await undo(client, rejected["correction_id"])
    await decide(client, f"{FACES}/{face}/assign", person_id=person)
    assert await faces(client, person) == sorted([face, *others])


async def test_a_rejected_face_is_grouped_again_by_the_next_job_and_questions_are_asked_anew(
    client: httpx.AsyncClient,
) -> None:
    await fill_album(client, "a", (1,), (1,), (1,))
    [person] = [one["id"] for one in await people(client)]
    asked = (await client.get(f"{PEOPLE}/suggestions")).json()["items"]
    question = asked[0]
    await client.post(f"{PEOPLE}/suggestions/{question['id']}", json={"answer": "no"})
    assert (await client.get(f"{FACES}/{question['face']}")).json()["person_id"] is None
    await group(client, "a")
    now = (await client.get(f"{FACES}/{question['face']}")).json()["person_id"]
    assert now not in (None, person)
    assert question["face"] not in await faces(client, person)


async def test_what_was_taken_back_is_doubted_until_the_next_grouping_only(
    client: httpx.AsyncClient, services: Services
) -> None:
    await fill_album(client, "a", (1,), (2,))
    one, two = (person["id"] for person in await people(client))

    async def doubted() -> int:
        async with services.database.transaction() as session:
            known = await people_rows.load_state(session, LOCAL_USER_ID)
            assert known
            return len((await load_memory(session, LOCAL_USER_ID, known.grouped_at)).undone)

    await decide(client, f"{PEOPLE}/{one}/merge", people=[two])
    await client.post("/api/v1/undo")
    assert await doubted()
    await asyncio.gather(*(services.grouping.update(LOCAL_USER_ID) for _ in range(3)))
    assert not await doubted()


async def test_a_name_is_taken_back_though_something_else_was_said_since(client: httpx.AsyncClient) -> None:
    await fill_album(client, "a", (1,), (1,))
    [person] = [one["id"] for one in await people(client)]
    named = (await client.patch(f"{PEOPLE}/{person}", json={"name": "Eva"})).json()
    await client.patch(f"{PEOPLE}/{person}", json={"birth_date": "1990-05-17"})
    await undo(client, named["correction_id"])
    now = (await client.get(f"{PEOPLE}/{person}")).json()
    assert (now["name"], now["birth_date"]) == (None, "1990-05-17")


async def test_a_merge_keeps_what_was_said_of_the_absorbed_person_also_while_it_is_in_the_trash(
    client: httpx.AsyncClient,
) -> None:
    images = await fill_album(client, "a", (1,), (1,), (2,))
    one, two = (person["id"] for person in await people(client))
    [cover] = await faces(client, two)
    await client.patch(f"{PEOPLE}/{two}", json={"birth_date": "1990-05-17", "cover_face_id": cover, "hidden": True})
    await client.post("/api/v1/images/batch", json={"ids": images[2:], "action": "trash"})
    merged = await decide(client, f"{PEOPLE}/{one}/merge", people=[two])
    assert (merged["birth_date"], merged["hidden"]) == ("1990-05-17", True)
    await client.post("/api/v1/images/batch", json={"ids": images[2:], "action": "restore"})
    assert (await client.get(f"{PEOPLE}/{one}")).json()["cover"]["face_id"] == cover
    links = (await client.get("/api/v1/corrections", params={"kind": "must"})).json()["items"]
    assert all(link["a"] != link["b"] for link in links)


async def test_a_question_whose_answer_contradicts_what_was_said_is_not_asked_again(
    client: httpx.AsyncClient, services: Services
) -> None:
    await fill_album(client, "a", (1,), (1,), (2,))
    person, other = (one["id"] for one in await people(client))
    [face] = await faces(client, other)
    await decide(client, f"{FACES}/{face}/reject", person_id=person)
    async with services.database.transaction() as session:
        rows = await session.execute(text("SELECT face_id, person_id FROM people_faces ORDER BY face_id"))
        whose = {row.person_id: row.face_id for row in rows}
        given = {"face": whose[other], "other": whose[person], "user": LOCAL_USER_ID}
        await session.execute(
            text(
                "INSERT INTO people_suggestions (user_id, id, kind, face_id, other_id, likeness, doubt) "
                "VALUES (:user, 'sug_1', 'same', :face, :other, 0.5, 0)"
            ),
            given,
        )
    path = f"{PEOPLE}/suggestions/sug_1"
    assert_problem(await client.post(path, json={"answer": "yes"}), 409, "conflict")
    assert_problem(await client.post(path, json={"answer": "yes"}), 404, "not-found")


class TestWithKeys:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return with_keys(settings)

    async def test_a_face_of_a_deleted_image_is_not_moved_though_another_user_holds_the_same_bytes(
        self, eva: Account, bob: Account, worker: JobRunner, services: Services
    ) -> None:
        [_, shared, _] = await fill_album(eva.client, "a", (1,), (1,), (2,))
        await fill_album(bob.client, "a", (5,))
        async with services.database.transaction() as session:
            found = await session.execute(text("SELECT sha256 FROM images WHERE id = :id"), {"id": shared})
            sha = found.scalar_one()
        stored = await bob.client.post("/api/v1/images", files=[("file", ("b.png", group_picture(1, (1,))))])
        assert stored.status_code == 201
        person, other = (one["id"] for one in await people(eva.client))
        faces_of = await faces(eva.client, person)
        for face in faces_of:  # what is bound to the shared picture's face
            await decide(eva.client, f"{FACES}/{face}/assign", person_id=person)
        assert (await eva.client.delete(f"/api/v1/images/{shared}")).status_code == 204
        [left] = await faces(eva.client, person)
        await decide(eva.client, f"{FACES}/{left}/assign", person_id=other)
        async with services.database.transaction() as session:
            moved = await session.execute(
                text(
                    "SELECT count(*) FROM people_moves JOIN faces ON faces.id = face_id "
                    "WHERE sha256 = :sha AND user_id = :user AND to_id = :to"
                ),
                {"sha": sha, "user": eva.id, "to": other},
            )
            assert moved.scalar_one() == 0
