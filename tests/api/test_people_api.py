"""People over HTTP: who is in all albums, what users say of them, and that it holds."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from configs.settings import Settings
from serve_app.services.container import Services
from serve_app.services.people import effects
from serve_app.services.runner import JobRunner
from serve_app.store.repositories.users import LOCAL_USER_ID
from tests.api.conftest import assert_problem
from tests.api.test_quiet_queue import statements
from tests.support.accounts import Account, with_keys
from tests.support.builders import an_image, encoded
from tests.support.people import FACES, PEOPLE, decide, faces, fill_album, group, people, state

NAME = "👩‍🚀 <b>Éva</b> ‮avE"


async def test_a_person_spans_albums_and_is_listed_with_its_counts_and_cover(client: httpx.AsyncClient) -> None:
    await fill_album(client, "a", (1, 2), (1,))
    await fill_album(client, "b", (1,), (3,), seed=10)
    listed = await people(client)
    assert [one["face_count"] for one in listed] == [3, 1, 1]
    assert [one["image_count"] for one in listed] == [3, 1, 1]
    assert sorted(one["face_count"] for one in await people(client, album_id="b")) == [1, 1]
    crop = await client.get(listed[0]["cover"]["url"])
    assert crop.status_code == 200
    assert crop.headers["content-type"] == "image/webp"
    first = (await client.get(PEOPLE, params={"limit": 1})).json()
    following = (await client.get(PEOPLE, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [one["id"] for one in first["items"] + following["items"]] == [one["id"] for one in listed]
    assert following["next_cursor"] is None
    assert_problem(await client.get(PEOPLE, params={"cursor": "yesterday"}), 422)


async def test_a_persons_faces_are_listed_by_likeness_or_time_and_its_images_are_found(
    client: httpx.AsyncClient,
) -> None:
    images = await fill_album(client, "a", (1,), (1, 2), (1,))
    [person] = [one["id"] for one in await people(client) if one["face_count"] == 3]
    for sort in ("likeness", "time"):
        listed: list[dict[str, Any]] = []
        cursor = None
        for _ in range(3):
            query = {"sort": sort, "limit": 1} | ({"cursor": cursor} if cursor else {})
            page = (await client.get(f"{PEOPLE}/{person}/faces", params=query)).json()
            listed += page["items"]
            cursor = page["next_cursor"]
        assert cursor is None
        assert {one["image_id"] for one in listed} == set(images)
        assert all(one["person_id"] == person for one in listed)
    shown = (await client.get(f"{PEOPLE}/{person}/images")).json()["items"]
    assert {one["id"] for one in shown} == set(images)
    also = (await client.get("/api/v1/images", params={"person_id": person})).json()["items"]
    assert {one["id"] for one in also} == set(images)


async def test_the_faces_in_an_image_are_listed_from_left_to_right_with_the_names_of_their_people(
    client: httpx.AsyncClient,
) -> None:
    [alone, together] = await fill_album(client, "a", (2,), (1, 2))
    [person] = [one["id"] for one in await people(client) if one["face_count"] == 2]
    await client.patch(f"{PEOPLE}/{person}", json={"name": "Eva"})
    [face] = (await client.get(f"/api/v1/images/{alone}/faces")).json()["items"]
    assert (face["person_id"], face["name"], face["image_id"]) == (person, "Eva", alone)
    left, right = (await client.get(f"/api/v1/images/{together}/faces")).json()["items"]
    assert left["bbox"][0] < right["bbox"][0]
    assert (left["name"], right["name"]) == (None, "Eva")
    await client.post(f"{FACES}/{right['id']}/reject", json={"person_id": person})
    _, right = (await client.get(f"/api/v1/images/{together}/faces")).json()["items"]
    assert (right["person_id"], right["name"]) == (None, None)
    assert_problem(await client.get("/api/v1/images/img_01m80cw92wytpj416mh8yyxn5m/faces"), 404, "not-found")


async def test_the_faces_of_a_crowd_take_no_more_queries_than_those_of_one(
    client: httpx.AsyncClient, services: Services
) -> None:
    [alone, crowd] = await fill_album(client, "a", (1,), (2, 3, 4, 5))
    asked = {}
    for image in (alone, crowd):
        with statements(services) as sent:
            faces = (await client.get(f"/api/v1/images/{image}/faces")).json()["items"]
        asked[len(faces)] = [one for one in sent if " FROM people " in one]
    assert {count: len(of) for count, of in asked.items()} == {1: 1, 4: 1}


async def test_an_image_that_was_in_no_album_has_no_faces_yet(client: httpx.AsyncClient) -> None:
    picture = encoded(an_image(), "PNG")
    [image] = (await client.post("/api/v1/images", files={"file": ("a.png", picture)})).json()["images"]
    assert (await client.get(f"/api/v1/images/{image['id']}/faces")).json() == {"items": []}


async def test_a_name_is_kept_as_it_was_sent_and_survives_everything_else(
    client: httpx.AsyncClient, services: Services
) -> None:
    await fill_album(client, "a", (1, 2), (1,))
    person = (await people(client))[0]["id"]
    [first, _] = await faces(client, person)
    body = {"name": f" {NAME} ", "birth_date": "1990-05-17", "cover_face_id": first}
    changed = (await client.patch(f"{PEOPLE}/{person}", json=body)).json()
    assert (changed["name"], changed["birth_date"], changed["cover"]["face_id"]) == (NAME, "1990-05-17", first)
    assert [one["id"] for one in await people(client, named=True)] == [person]

    await services.grouping.update(LOCAL_USER_ID, anew=True)
    assert (await client.get(f"{PEOPLE}/{person}")).json()["name"] == NAME

    for image in (await client.get("/api/v1/images")).json()["items"]:
        await client.delete(f"/api/v1/images/{image['id']}")
    assert await people(client) == []
    assert (await client.get(f"{PEOPLE}/{person}")).json()["face_count"] == 0
    await fill_album(client, "again", (1, 2), (1,))
    [found] = await people(client, named=True)
    assert (found["id"], found["name"], found["face_count"]) == (person, NAME, 2)
    assert found["cover"]["face_id"] != first, "the face was found anew"


@pytest.mark.parametrize(
    "body",
    [
        {"name": ""},
        {"name": "a\nb"},
        {"name": "x" * 2**19},
        {"birth_date": "soon"},
        {"birth_date": 5},
        {"birth_date": "9999-01-01"},
        {"cover_face_id": "fac_1"},
        {"nickname": "a"},
    ],
    ids=lambda body: str(body)[:40],
)
async def test_what_means_nothing_of_a_person_is_refused(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    await fill_album(client, "a", (1,))
    before = await state(client)
    answer = await client.patch(f"{PEOPLE}/{next(iter(before))}", json=body)
    assert answer.status_code in (404, 422), answer.text
    assert await state(client) == before


async def test_merged_people_are_one_in_all_albums_and_lead_to_each_other(client: httpx.AsyncClient) -> None:
    await fill_album(client, "a", (1,), (1,), (2,))
    await fill_album(client, "b", (1,), (2,), seed=10)
    before = await state(client)
    large, small = (one["id"] for one in await people(client))
    merged = await decide(client, f"{PEOPLE}/{large}/merge", people=[small])
    assert (merged["id"], merged["face_count"]) == (large, 5)
    assert len(await group(client, "a")) == 1
    assert len(await group(client, "b")) == 1
    moved = await client.get(f"{PEOPLE}/{small}")
    assert moved.status_code == 308
    assert moved.headers["location"] == f"{PEOPLE}/{large}"
    for path, ids in ((large, [large]), (large, [small]), (small, [large])):
        assert_problem(await client.post(f"{PEOPLE}/{path}/merge", json={"people": ids}), 422)
    assert (await client.post("/api/v1/undo")).json()["correction_id"] == merged["correction_id"]
    assert await state(client) == before
    assert len(await group(client, "a")) == len(await group(client, "b")) == 2


async def test_a_merge_keeps_the_first_ones_name_else_the_others(client: httpx.AsyncClient) -> None:
    await fill_album(client, "a", (1,), (1,), (1,), (2,), (2,), (3,))
    one, two, three = (person["id"] for person in await people(client))
    await client.patch(f"{PEOPLE}/{two}", json={"name": "Bob"})
    assert (await decide(client, f"{PEOPLE}/{one}/merge", people=[two]))["name"] == "Bob"
    await client.patch(f"{PEOPLE}/{three}", json={"name": "Ida"})
    assert (await decide(client, f"{PEOPLE}/{one}/merge", people=[three]))["name"] == "Bob"
    await client.post("/api/v1/undo")
    assert sorted(person["name"] for person in await people(client)) == ["Bob", "Ida"]


class Moved:
    """What was said of five people, and the states before each of these sentences."""

    def __init__(self) -> None:
        self.states: list[dict[str, Any]] = []

    async def say(self, client: httpx.AsyncClient) -> None:
        await fill_album(client, "a", *(4 * [(1,)]), *(3 * [(2,)]), (3,), (3,), (4,), (5,))
        first, second, third, fourth, fifth = (one["id"] for one in await people(client))
        self.ones, self.twos = await faces(client, first), await faces(client, second)
        self.threes = await faces(client, third)
        [self.four], [self.five] = await faces(client, fourth), await faces(client, fifth)
        self.states.append(await state(client))
        self.split = (await decide(client, f"{PEOPLE}/{first}/split", 201, faces=self.ones[:2]))["id"]
        self.states.append(await state(client))
        await decide(client, f"{FACES}/{self.twos[2]}/assign", person_id=fourth)
        self.states.append(await state(client))
        self.zoe = (await decide(client, f"{FACES}/{self.threes[1]}/assign", new=True, name="Zoë"))["person"]["id"]
        self.states.append(await state(client))
        assert (await decide(client, f"{FACES}/{self.five}/assign", person_id=None))["person"] is None


async def test_split_and_assigned_faces_are_where_they_were_put_and_go_back_one_by_one(
    client: httpx.AsyncClient,
) -> None:
    moved = Moved()
    await moved.say(client)
    assert await faces(client, moved.split) == moved.ones[:2]
    assert await faces(client, moved.zoe) == [moved.threes[1]]
    now = (await client.get(f"{FACES}/{moved.four}")).json()["person_id"]
    assert await faces(client, now) == sorted([moved.twos[2], moved.four])
    for expected in reversed(moved.states):
        assert (await client.post("/api/v1/undo")).status_code == 200
        assert await state(client) == expected
    assert_problem(await client.get(f"{PEOPLE}/{moved.split}"), 404, "not-found")


async def test_what_was_said_of_faces_holds_when_all_are_grouped_anew(
    client: httpx.AsyncClient, services: Services
) -> None:
    moved = Moved()
    await moved.say(client)
    await services.grouping.update(LOCAL_USER_ID, anew=True)
    whose = {face: one["id"] for one in (await state(client)).values() for face in one["faces"]}
    assert whose[moved.ones[0]] == whose[moved.ones[1]] != whose[moved.ones[2]]
    assert whose[moved.twos[2]] == whose[moved.four] != whose[moved.twos[0]]
    assert whose[moved.threes[1]] == moved.zoe != whose[moved.threes[0]]
    assert moved.five not in whose
    assert (await client.get(f"{PEOPLE}/{moved.zoe}")).json()["name"] == "Zoë"
    assert len(await group(client, "a")) == len(set(whose.values()))


async def test_a_rejected_face_is_nobodys_and_no_grouping_brings_it_back(
    client: httpx.AsyncClient, services: Services
) -> None:
    await fill_album(client, "a", (1,), (1,))
    [person] = [one["id"] for one in await people(client)]
    [face, other] = await faces(client, person)
    answer = await decide(client, f"{FACES}/{face}/reject", person_id=person)
    assert answer["person"] is None
    await services.grouping.update(LOCAL_USER_ID, anew=True)
    assert await faces(client, person) == [other]
    assert len(await group(client, "a")) == 2


async def test_a_chain_that_contradicts_itself_is_409_and_shown_and_nothing_is_done(client: httpx.AsyncClient) -> None:
    await fill_album(client, "a", (1,), (2,), (3,))
    one, two, three = (person["id"] for person in await people(client))
    [face] = await faces(client, one)
    [apart] = await faces(client, three)
    await decide(client, f"{PEOPLE}/{two}/merge", people=[three])
    rejected = await decide(client, f"{FACES}/{face}/reject", person_id=two)
    before = await state(client)
    problem = assert_problem(await client.post(f"{PEOPLE}/{one}/merge", json={"people": [two]}), 409, "conflict")
    assert {step["face_id"] for step in problem["chain"]} >= {face}
    assert rejected["correction_id"] in problem["corrections"]
    assert await state(client) == before
    assert apart in (await state(client))[two]["faces"]


async def test_links_are_bounded_and_what_goes_beyond_does_nothing(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill_album(client, "a", (1,), (2,), (3,))
    one, two, three = (person["id"] for person in await people(client))
    made = await decide(client, f"{PEOPLE}/{one}/merge", people=[two])
    links = len((await client.get("/api/v1/corrections", params={"kind": "must"})).json()["items"])
    monkeypatch.setattr(effects, "MOST_LINKS", links)
    before = await state(client)
    problem = assert_problem(await client.post(f"{PEOPLE}/{one}/merge", json={"people": [three]}), 409, "conflict")
    assert problem["limit"] == links
    assert await state(client) == before
    assert (await client.delete(f"/api/v1/corrections/{made['correction_id']}")).status_code == 204
    await decide(client, f"{PEOPLE}/{one}/merge", people=[three])


async def test_of_two_clients_that_correct_the_same_face_at_once_one_is_told(client: httpx.AsyncClient) -> None:
    await fill_album(client, "a", (1,), (1,), (2,), (3,))
    person, two, three = (one["id"] for one in await people(client))
    face = (await faces(client, person))[0]
    match = {"If-Match": (await client.get(f"{FACES}/{face}")).headers["etag"]}
    answers = await asyncio.gather(
        *(client.post(f"{FACES}/{face}/assign", json={"person_id": target}, headers=match) for target in (two, three))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412]
    assert_problem(next(one for one in answers if one.status_code == 412), 412, "changed-meanwhile")
    renamed = await client.patch(f"{PEOPLE}/{person}", json={"name": "a"}, headers={"If-Match": '"other"'})
    assert_problem(renamed, 412, "changed-meanwhile")
    now = {"If-Match": (await client.get(f"{PEOPLE}/{person}")).headers["etag"]}
    assert (await client.patch(f"{PEOPLE}/{person}", json={"name": "a"}, headers=now)).status_code == 200


async def test_what_cannot_be_done_to_faces_is_422(client: httpx.AsyncClient) -> None:
    await fill_album(client, "a", (1,), (1,), (2,))
    person, other = (one["id"] for one in await people(client))
    ids, [strange] = await faces(client, person), await faces(client, other)
    for path, body in (
        (f"{PEOPLE}/{person}/split", {"faces": ids}),
        (f"{PEOPLE}/{person}/split", {"faces": [strange]}),
        (f"{PEOPLE}/{person}/split", {"faces": []}),
        (f"{FACES}/{strange}/reject", {"person_id": other}),
        (f"{FACES}/{strange}/assign", {}),
        (f"{FACES}/{strange}/assign", {"new": True, "person_id": person}),
        (f"{FACES}/{strange}/assign", {"person_id": person, "name": "Eva"}),
    ):
        assert_problem(await client.post(path, json=body), 422)


async def test_hidden_people_are_listed_apart_and_what_is_said_of_them_is_taken_back(client: httpx.AsyncClient) -> None:
    await fill_album(client, "a", (1,), (2,))
    before = await state(client)
    person = next(iter(before))
    changed = await client.patch(f"{PEOPLE}/{person}", json={"hidden": True, "name": "Eva"})
    assert changed.json()["hidden"]
    assert [one["id"] for one in await people(client, hidden=True)] == [person]
    assert person not in [one["id"] for one in await people(client)]
    await client.patch(f"{PEOPLE}/{person}", json={"name": None})
    await client.post("/api/v1/undo")
    assert (await client.get(f"{PEOPLE}/{person}")).json()["name"] == "Eva"
    assert (await client.delete(f"/api/v1/corrections/{changed.json()['correction_id']}")).status_code == 204
    assert await state(client) == before


async def test_a_change_of_a_person_is_an_event(client: httpx.AsyncClient, services: Services) -> None:
    await fill_album(client, "a", (1,))
    [person] = [one["id"] for one in await people(client)]
    _, place = await services.changes.begin(LOCAL_USER_ID, None, None)
    await client.patch(f"{PEOPLE}/{person}", json={"name": "Eva"})
    async for item in services.changes.follow(place, 30):
        assert item.change
        assert (item.change.kind, item.change.id, item.change.href) == ("person", person, person)
        break


async def test_images_in_the_trash_show_nobody_until_they_are_restored(client: httpx.AsyncClient) -> None:
    images = await fill_album(client, "a", (1,), (1,), (2,))
    before = await state(client)
    await client.post("/api/v1/images/batch", json={"ids": images, "action": "trash"})
    assert await people(client) == []
    await client.post("/api/v1/images/batch", json={"ids": images, "action": "restore"})
    assert await state(client) == before


async def test_answers_to_suggestions_are_corrections_and_what_was_answered_is_not_asked_again(
    client: httpx.AsyncClient,
) -> None:
    await fill_album(client, "a", (1,), (1,), (1,), (1,))
    [person] = [one["id"] for one in await people(client)]
    path = f"{PEOPLE}/suggestions"
    asked = (await client.get(path)).json()["items"]
    assert {(one["kind"], one["person"]) for one in asked} == {("is", person)}
    yes, no, skipped = asked
    for question, answer in ((yes, "yes"), (no, "no"), (skipped, "skip")):
        answered = await client.post(f"{path}/{question['id']}", json={"answer": answer})
        assert answered.status_code == 200, answered.text
        assert (answered.json()["correction_id"] is None) == (answer == "skip")
    assert (await client.get(path)).json()["items"] == []
    assert no["face"] not in await faces(client, person)
    assert yes["face"] in await faces(client, person)
    assert_problem(await client.post(f"{path}/{yes['id']}", json={"answer": "no"}), 404, "not-found")
    assert_problem(await client.post(f"{path}/{yes['id']}", json={"answer": "maybe"}), 422)


class TestWithKeys:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return with_keys(settings)

    async def test_another_users_people_and_faces_are_not_there(
        self, eva: Account, bob: Account, worker: JobRunner
    ) -> None:
        await fill_album(eva.client, "a", (1,), (1,), (2,))
        await fill_album(bob.client, "a", (5,))
        person, second = (one["id"] for one in await people(eva.client))
        face = (await faces(eva.client, person))[0]
        [own] = await people(bob.client)
        before = await state(eva.client)
        attempts: list[tuple[str, str, Any]] = [
            *(("GET", f"{PEOPLE}/{person}{rest}", None) for rest in ("", "/faces", "/images")),
            *(("GET", f"{FACES}/{face}{rest}", None) for rest in ("", "/crop")),
            ("PATCH", f"{PEOPLE}/{person}", {"name": "mine"}),
            ("POST", f"{PEOPLE}/{person}/merge", {"people": [second]}),
            ("POST", f"{PEOPLE}/{own['id']}/merge", {"people": [person]}),
            ("POST", f"{PEOPLE}/{person}/split", {"faces": [face]}),
            ("POST", f"{PEOPLE}/{own['id']}/split", {"faces": [face]}),
            ("POST", f"{FACES}/{face}/assign", {"person_id": own["id"]}),
            ("POST", f"{FACES}/{face}/reject", {"person_id": person}),
            ("POST", f"{PEOPLE}/suggestions/sug_1", {"answer": "yes"}),
        ]
        for method, path, body in attempts:
            assert_problem(await bob.client.request(method, path, json=body), 404, "not-found")
        assert await state(eva.client) == before
