"""First answers for repeated requests (`Idempotency-Key`); the rules are in the store."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import datetime

from configs.settings import Quotas
from deployments.errors import Unavailable
from serve_app.services.quotas import check_kept_answers
from serve_app.store.repositories import idempotency
from serve_app.store.repositories.idempotency import LAPSE_S, BeingAnswered, StoredAnswer, Ticket
from serve_app.store.session import Database

__all__ = ["IdempotencyService", "StoredAnswer", "Ticket"]

_RENEW_S = LAPSE_S / 5
_LOOK_S = 0.5


class IdempotencyService:
    """First answers in the database. Tickets that this process holds are renewed, so that those of a dead one lapse."""

    def __init__(self, database: Database, quotas: Quotas) -> None:
        self._database = database
        self._quotas = quotas
        self._held: set[Ticket] = set()
        self._renewing: asyncio.Task[None] | None = None

    async def begin(self, user_id: str, key: str, route: str, request_sha256: str) -> Ticket | StoredAnswer:
        """Claim the key. -> a ticket to answer, or the first answer.

        Waits until it is known whether the first request is still being answered or died with its process, which takes
        at most `LAPSE_S`. Raises `Conflict` in the first case, `InvalidRequest`, and `Overloaded` when too many answers
        are kept for the user.
        """
        seen: datetime | None = None
        while True:
            try:
                return await self._begin(user_id, key, route, request_sha256)
            except BeingAnswered as first:
                if seen is not None and first.renewed_at != seen:
                    raise
                seen = first.renewed_at
            await asyncio.sleep(_LOOK_S)

    async def finish(self, ticket: Ticket, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Store the first answer."""
        self._held.discard(ticket)
        async with self._database.transaction() as session:
            await idempotency.finish(session, ticket, status=status, headers=headers, body=body)

    async def abandon(self, ticket: Ticket) -> None:
        """Give the key back: no answer was given, and the client may repeat the request."""
        self._held.discard(ticket)
        async with self._database.transaction() as session:
            await idempotency.abandon(session, ticket)

    async def close(self) -> None:
        """End the renewing of tickets."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait({self._renewing})

    async def _begin(self, user_id: str, key: str, route: str, request_sha256: str) -> Ticket | StoredAnswer:
        async with self._database.transaction() as session:
            first = await idempotency.begin(session, user_id, key, route, request_sha256)
            if isinstance(first, Ticket):
                await check_kept_answers(session, self._quotas, user_id)
        if isinstance(first, Ticket):
            self._held.add(first)
            if self._renewing is None or self._renewing.done():
                self._renewing = asyncio.create_task(self._renew_while_held(), name="idempotency-tickets")
        return first

    async def _renew_while_held(self) -> None:
        """Renew the tickets that are held, however many in one statement."""
        while self._held:
            await asyncio.sleep(_RENEW_S)
            if held := list(self._held):
                with contextlib.suppress(Unavailable):
                    async with self._database.transaction() as session:
                        await idempotency.renew(session, held)
