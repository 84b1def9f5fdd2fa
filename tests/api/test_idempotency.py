"""Repeats with an `Idempotency-Key` whose first request is being answered, or died with its process."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from deployments.errors import Conflict
from serve_app.services.accounts import idempotency as module
from serve_app.services.container import Services
from serve_app.store.repositories import idempotency
from serve_app.store.repositories.idempotency import LAPSE_S, StoredAnswer, Ticket
from serve_app.store.repositories.users import LOCAL_USER_ID

REQUEST = (LOCAL_USER_ID, "key", "POST /api/v1/style", "hash")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RENEW_S", 0.05)
    monkeypatch.setattr(module, "_LOOK_S", 0.01)


async def test_a_repeat_whose_first_request_died_waits_until_its_ticket_lapses_and_is_begun(services: Services) -> None:
    async with services.database.transaction() as session:
        dead = await idempotency.begin(session, *REQUEST)  # by a process that is gone: nobody renews it
        old = text("UPDATE idempotency_keys SET created_at = now() - make_interval(secs => :age_s)")
        await session.execute(old, {"age_s": LAPSE_S - 0.3})
    async with asyncio.timeout(20):
        ticket = await services.idempotency.begin(*REQUEST)
    assert isinstance(ticket, Ticket)
    assert ticket != dead


async def test_a_repeat_whose_first_request_is_being_answered_is_a_conflict(services: Services) -> None:
    first = await services.idempotency.begin(*REQUEST)
    assert isinstance(first, Ticket)
    async with asyncio.timeout(20):
        with pytest.raises(Conflict, match="still being answered"):
            await services.idempotency.begin(*REQUEST)
    await services.idempotency.abandon(first)


async def test_a_repeat_gets_the_answer_that_comes_while_it_waits(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RENEW_S", 600.0)
    first = await services.idempotency.begin(*REQUEST)
    assert isinstance(first, Ticket)
    repeat = asyncio.create_task(services.idempotency.begin(*REQUEST))
    await asyncio.sleep(0)
    await services.idempotency.finish(first, 200, {}, b"first")
    async with asyncio.timeout(20):
        assert await repeat == StoredAnswer(200, {}, b"first")


async def test_tickets_are_renewed_only_while_they_are_held(services: Services) -> None:
    first = await services.idempotency.begin(*REQUEST)
    assert isinstance(first, Ticket)
    renewing = services.idempotency._renewing
    assert renewing is not None
    await services.idempotency.finish(first, 200, {}, b"")
    async with asyncio.timeout(20):
        await renewing
