"""Corrections over HTTP: listed, taken back one by one and the last first; what they do is told to their effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from configs.settings import Settings
from deployments.errors import Conflict
from serve_app.services.container import Services
from serve_app.services.corrections import CorrectionService
from serve_app.store.repositories import corrections
from serve_app.store.repositories.corrections import Correction, NewCorrection, Place
from serve_app.store.repositories.users import LOCAL_USER_ID
from tests.api.conftest import assert_problem
from tests.support.accounts import Account, with_keys
from tests.support.rows import a_sha

PATH = "/api/v1/corrections"
APART = NewCorrection("not_duplicate", Place(a_sha("a")), Place(a_sha("b")))


@dataclass
class Told:
    """An effect that remembers what it was told."""

    made_kinds: list[list[str]] = field(default_factory=list)
    undone_kinds: list[list[str]] = field(default_factory=list)
    refuses: bool = False

    async def made(self, session: AsyncSession, user_id: str, made: Sequence[Correction]) -> None:
        self.made_kinds.append([one.kind for one in made])
        if self.refuses:
            raise Conflict("No.")

    async def undone(self, session: AsyncSession, user_id: str, undone: Sequence[Correction]) -> None:
        self.undone_kinds.append([one.kind for one in undone])


async def decide(services: Services, user: str = LOCAL_USER_ID, *new: NewCorrection) -> str:
    async with services.database.transaction() as session:
        return await services.corrections.make(session, user, new or [APART], "dismiss_duplicates")


async def test_decisions_are_listed_and_the_last_one_is_taken_back_first(
    services: Services, idle_client: httpx.AsyncClient
) -> None:
    first, last = await decide(services), await decide(services)
    listed = (await idle_client.get(PATH, params={"limit": 1})).json()
    assert [item["id"] for item in listed["items"]] == [last]
    following = (await idle_client.get(PATH, params={"cursor": listed["next_cursor"]})).json()
    assert [item["id"] for item in following["items"]] == [first]
    assert following["items"][0]["a"] == {"sha256": a_sha("a"), "box": None}
    for expected in (last, first):
        undone = await idle_client.post("/api/v1/undo")
        assert undone.json()["correction_id"] == expected
        assert undone.json()["items"][0]["undone_at"]
    assert_problem(await idle_client.post("/api/v1/undo"), 404, "not-found")


async def test_a_decision_is_taken_back_by_its_id_and_again_changes_nothing(
    services: Services, idle_client: httpx.AsyncClient
) -> None:
    made = await decide(services)
    for _ in range(2):
        assert (await idle_client.delete(f"{PATH}/{made}")).status_code == 204
    assert_problem(await idle_client.delete(f"{PATH}/cor_none"), 404, "not-found")


async def test_an_effect_is_told_once_of_what_an_action_made_and_took_back(services: Services) -> None:
    told = Told()
    service = CorrectionService(services.database, {"must": told, "cannot": told})
    face = Place(a_sha("a"), (0, 0, 1, 1))
    action = [NewCorrection("must", face, face), NewCorrection("name", face), NewCorrection("cannot", face, face)]
    async with services.database.transaction() as session:
        made = await service.make(session, LOCAL_USER_ID, action, "test")
    assert told.made_kinds == [["must", "cannot"]]
    for _ in range(2):
        await service.undo(LOCAL_USER_ID, made)
    assert told.undone_kinds == [["must", "cannot"]]


async def test_a_decision_that_its_effect_refuses_is_not_remembered(services: Services) -> None:
    service = CorrectionService(services.database, {"not_duplicate": Told(refuses=True)})
    with pytest.raises(Conflict):
        async with services.database.transaction() as session:
            await service.make(session, LOCAL_USER_ID, [APART], "test")
    async with services.database.transaction() as session:
        assert await corrections.load_page(session, LOCAL_USER_ID, 10) == []


class TestWithKeys:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return with_keys(settings)

    async def test_another_users_decisions_are_not_there(self, services: Services, eva: Account, bob: Account) -> None:
        made = await decide(services, eva.id)
        assert (await bob.client.get(PATH)).json()["items"] == []
        assert_problem(await bob.client.delete(f"{PATH}/{made}"), 404, "not-found")
        assert_problem(await bob.client.post("/api/v1/undo"), 404, "not-found")
        assert (await eva.client.get(PATH)).json()["items"][0]["undone_at"] is None
