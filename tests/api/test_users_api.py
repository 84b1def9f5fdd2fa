"""Users over HTTP: made once, found, listed and given keys."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.settings import Auth, Settings
from serve_app.services.accounts.users import clean_email, clean_username
from serve_app.services.container import Services
from serve_app.store.repositories import history
from serve_app.store.repositories.users import LOCAL_USER_ID, folded
from tests.api.conftest import assert_problem
from tests.support.accounts import Account, bearer, with_keys

USERS = "/api/v1/users"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return with_keys(settings)


async def create(client: httpx.AsyncClient, username: str, email: str) -> httpx.Response:
    return await client.post(USERS, json={"username": username, "email": email})


async def test_a_new_user_gets_a_key_that_is_shown_once(admin: httpx.AsyncClient, nobody: httpx.AsyncClient) -> None:
    response = await create(admin, "eva", "eva@example.org")
    assert response.status_code == 201
    assert response.headers["cache-control"] == "no-store"
    made = response.json()
    assert list(made) == ["id", "username", "email", "created_at", "api_key"]
    assert re.fullmatch(r"dk_[A-Za-z0-9_-]{43}", made["api_key"])  # 43 letters of six bits: 256 bits and two spare
    assert (await nobody.get("/api/v1/history", headers=bearer(made["api_key"]))).status_code == 200
    shown = (await admin.get(f"{USERS}/{made['id']}")).json()
    assert shown == {key: made[key] for key in ("id", "username", "email", "created_at")}


async def test_no_two_keys_are_alike(admin: httpx.AsyncClient) -> None:
    keys = [(await create(admin, f"u{n}", f"u{n}@example.org")).json()["api_key"] for n in range(5)]
    assert len(set(keys)) == 5


@pytest.mark.parametrize(
    ("username", "email", "taken"),
    [
        ("eva", "other@example.org", ["username"]),
        ("EVA", "other@example.org", ["username"]),
        ("ｅｖａ", "other@example.org", ["username"]),  # full width
        ("other", "eva@example.org", ["email"]),
        ("other", "Eva@Example.ORG", ["email"]),
        ("Eva", "EVA@example.org", ["username", "email"]),
    ],
)
async def test_a_taken_name_or_address_is_409_and_says_which(
    admin: httpx.AsyncClient, eva: Account, username: str, email: str, taken: list[str]
) -> None:
    body = assert_problem(await create(admin, username, email), 409, "conflict")
    assert body["taken"] == taken
    assert ("user name" in body["detail"]) == ("username" in taken)
    assert ("e-mail" in body["detail"]) == ("email" in taken)


@pytest.mark.parametrize(("first", "second"), [("Éva", "éva"), ("straße", "STRASSE"), ("ﬁn", "FIN"), ("e\u0301", "É")])
async def test_names_are_equal_beyond_ascii_whatever_the_locale_of_the_database(
    admin: httpx.AsyncClient, first: str, second: str
) -> None:
    assert (await create(admin, first, "a@example.org")).status_code == 201
    assert_problem(await create(admin, second, "b@example.org"), 409, "conflict")


async def test_of_two_users_with_one_address_at_the_same_moment_one_is_made(admin: httpx.AsyncClient) -> None:
    for turn in range(5):
        spellings = (
            f"same{turn}@example.org",
            f"SAME{turn}@example.org",
            f"Same{turn}@EXAMPLE.org",
            f"sAme{turn}@example.ORG",
        )
        answers = await asyncio.gather(*(create(admin, f"u{turn}{n}", one) for n, one in enumerate(spellings)))
        assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
        assert {tuple(answer.json()["taken"]) for answer in answers if answer.status_code == 409} == {("email",)}


@pytest.mark.parametrize(
    "email",
    [
        *("", "x", "@", "a@", "@example.org", "a@b", "a b@example.org", "a@exa mple.org", "aexample.org"),
        *("a@example..org", ".a@example.org", "a.@example.org", "a..b@example.org", "a@-example.org", "a@example.org."),
        *("a\x00@example.org", "a\u200b@example.org", "a\ufe0f@example.org", "a@[127.0.0.1]", "a@127.0.0.1"),
        *(
            "x" * 65 + "@example.org",
            "a@" + "x" * 64 + ".org",
            "a@" + "x.y" * 100 + ".org",
            "<a@example.org>",
            "a,b@c.de",
        ),
    ],
)
async def test_a_malformed_address_is_422(admin: httpx.AsyncClient, email: str) -> None:
    body = assert_problem(await create(admin, "eva", email), 422, "invalid-request")
    assert body["errors"][0]["pointer"] == "/email"


@pytest.mark.parametrize(
    "email", ["a@example.org", "first.last+tag@sub.example.co.uk", "o'hara@example.org", "zoë@exämple.org", "a@b-c.io"]
)
async def test_ordinary_addresses_are_taken(admin: httpx.AsyncClient, email: str) -> None:
    assert (await create(admin, "eva", email)).json()["email"] == email


@pytest.mark.parametrize(
    "username",
    [
        *("", " ", "x" * 65, "a\x00b", "a\nb", "a\u200bb", "a\u202eb", "\ud800"),
        *("a\u3164b", "a\u115fb", "a\u17b4b", "a\u2800b"),  # invisible letters and symbols
        *("a\ufe0fb", "a\u034fb", "a\u180bb", "a\U000e0101b", "\ufe0f"),  # invisible marks
        *("a\u2028b", "a\u2029b"),  # ends of lines
    ],
)
async def test_a_malformed_name_is_422(admin: httpx.AsyncClient, username: str) -> None:
    body = b'{"username": %s, "email": "a@example.org"}' % json.dumps(username).encode()
    response = await admin.post(USERS, content=body, headers={"Content-Type": "application/json"})
    assert_problem(response, 422, "invalid-request")


@pytest.mark.parametrize(
    "body", [{}, {"username": "a"}, {"username": "a", "email": "a@b.org", "id": "usr_x"}, [], "x", {"username": 1}]
)
async def test_a_body_of_another_form_is_422(admin: httpx.AsyncClient, body: Any) -> None:
    assert_problem(await admin.post(USERS, json=body), 422, "invalid-request")


@given(st.text(max_size=80))
def test_a_name_that_is_taken_is_kept_as_it_is_ever_after(text: str) -> None:
    try:
        name = clean_username(text)
    except ValueError:
        return
    assert clean_username(name) == name
    assert folded(folded(name)) == folded(name)


@given(st.text(st.characters(codec="utf-8"), max_size=30), st.text(st.characters(codec="utf-8"), max_size=30))
def test_an_address_that_is_taken_has_a_name_and_a_domain(name: str, domain: str) -> None:
    try:
        email = clean_email(f"{name}@{domain}")
    except ValueError:
        return
    local, _, host = email.rpartition("@")
    assert local
    assert "." in host
    assert not re.search(r"\s", email)


async def test_users_are_listed_page_by_page(admin: httpx.AsyncClient) -> None:
    made = [(await create(admin, f"u{n}", f"u{n}@example.org")).json()["id"] for n in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await admin.get(USERS, params=query)).json()
        assert all(list(item) == ["id", "username", "email", "created_at"] for item in page["items"])
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [LOCAL_USER_ID, *reversed(made)]


async def test_a_cursor_that_is_none_is_422(admin: httpx.AsyncClient) -> None:
    for cursor in ("x", "usr_", "gen_" + "0" * 26, "usr_' OR 1=1"):
        assert_problem(await admin.get(USERS, params={"cursor": cursor}), 422, "invalid-request")


async def test_the_tutorials_spellings_have_the_tutorials_shapes(admin: httpx.AsyncClient) -> None:
    made = await admin.post("/users/", json={"username": "eva", "email": "eva@example.org"})
    assert made.status_code == 201
    listed = (await admin.get("/users/")).json()
    assert listed[1] == {"id": made.json()["id"], "username": "eva", "email": "eva@example.org"}
    assert (await admin.get(f"/users/{made.json()['id']}/history")).json() == {"items": [], "next_cursor": None}


class TestAUser:
    async def test_sees_itself_and_its_history(self, eva: Account) -> None:
        assert (await eva.client.get(f"{USERS}/{eva.id}")).json()["email"] == "eva@example.org"
        assert (await eva.client.get(f"{USERS}/{eva.id}/history")).json()["items"] == []

    async def test_is_forbidden_to_make_and_list_users(self, eva: Account) -> None:
        assert_problem(await create(eva.client, "x", "x@example.org"), 403, "forbidden")
        assert_problem(await eva.client.get(USERS), 403, "forbidden")
        assert_problem(await eva.client.get("/users/"), 403, "forbidden")
        assert_problem(
            await eva.client.post("/users/", json={"username": "x", "email": "x@example.org"}), 403, "forbidden"
        )

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", f"{USERS}/{{}}"),
            ("GET", f"{USERS}/{{}}/history"),
            ("GET", "/users/{}/history"),
            ("DELETE", f"{USERS}/{{}}"),
            ("POST", f"{USERS}/{{}}/api-key"),
            ("DELETE", f"{USERS}/{{}}/api-key"),
        ],
    )
    async def test_finds_anothers_id_like_one_that_does_not_exist(
        self, eva: Account, bob: Account, method: str, path: str
    ) -> None:
        answers = [await eva.client.request(method, path.format(user)) for user in (bob.id, LOCAL_USER_ID, "usr_none")]
        details = {
            assert_problem(answer, 404, "not-found")["detail"].replace(user, "?")
            for answer, user in zip(answers, (bob.id, LOCAL_USER_ID, "usr_none"), strict=True)
        }
        assert details == {"There is no user '?'."}
        assert (await bob.client.get(f"{USERS}/{bob.id}")).status_code == 200


async def test_the_built_in_user_cannot_be_deleted(admin: httpx.AsyncClient) -> None:
    body = assert_problem(await admin.delete(f"{USERS}/{LOCAL_USER_ID}"), 409, "conflict")
    assert "built-in" in body["detail"]


async def test_the_built_in_users_pictures_are_reached_by_a_key_of_its_own(
    admin: httpx.AsyncClient, nobody: httpx.AsyncClient
) -> None:
    key = (await admin.post(f"{USERS}/{LOCAL_USER_ID}/api-key")).json()["api_key"]
    assert (await nobody.get("/api/v1/albums", headers=bearer(key))).status_code == 200
    assert (await admin.delete(f"{USERS}/{LOCAL_USER_ID}/api-key")).status_code == 204


async def test_history_pages_stay_complete_while_rows_are_added(eva: Account, services: Services) -> None:
    async def add(count: int) -> list[str]:
        made = []
        for n in range(count):
            async with services.database.transaction() as session:
                kind: Any = ("style", "avatar")[n % 2]
                made.append((await history.start(session, eva.id, kind, {})).id)
        return made

    before = await add(25)
    going = True

    async def keep_adding() -> None:
        while going:
            await add(1)

    writers = [asyncio.create_task(keep_adding()) for _ in range(3)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": "3"} | ({"cursor": cursor} if cursor else {})
        page = (await eva.client.get(f"{USERS}/{eva.id}/history", params=query)).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    going = False
    await asyncio.gather(*writers)
    assert len(seen) == len(set(seen))
    assert set(before) <= set(seen)
    assert seen == sorted(seen, reverse=True)
    styles = (await eva.client.get(f"{USERS}/{eva.id}/history", params={"kind": "style", "limit": 500})).json()["items"]
    assert {item["kind"] for item in styles} == {"style"}
    assert {item["user"] for item in styles} == {eva.id}


class TestWithoutAuthentication:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"auth": Auth()})

    async def test_users_are_made_listed_and_deleted_by_anybody(self, nobody: httpx.AsyncClient) -> None:
        made = (await create(nobody, "eva", "eva@example.org")).json()
        assert [user["username"] for user in (await nobody.get("/users/")).json()] == ["local", "eva"]
        assert (await nobody.get(f"{USERS}/{made['id']}/history")).json()["items"] == []
        assert (await nobody.delete(f"{USERS}/{made['id']}")).status_code == 204

    @pytest.mark.parametrize("header", ["", "Bearer nonsense", "Basic !!!", "\xff"])
    async def test_whatever_is_in_the_header_does_not_matter(self, nobody: httpx.AsyncClient, header: str) -> None:
        for path in ("/api/v1/history", "/sdapi/v1/samplers", f"{USERS}/{LOCAL_USER_ID}"):
            answer = await nobody.get(path, headers={"Authorization": header.encode("latin-1")})
            assert answer.status_code == 200, path
