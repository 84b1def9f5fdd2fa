"""First answers for repeated requests; the rules are in the store."""

from __future__ import annotations

from collections.abc import Mapping

from serve_app.store.repositories import idempotency
from serve_app.store.repositories.idempotency import StoredAnswer, Ticket
from serve_app.store.session import Database

__all__ = ["IdempotencyService", "StoredAnswer", "Ticket"]


class IdempotencyService:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, user_id: str, key: str, route: str, request_sha256: str) -> Ticket | StoredAnswer:
        """A ticket to answer, or the first answer. Raises `Conflict` and `InvalidRequest`."""
        async with self._database.transaction() as session:
            return await idempotency.begin(session, user_id, key, route, request_sha256)

    async def finish(self, ticket: Ticket, status: int, headers: Mapping[str, str], body: bytes) -> None:
        async with self._database.transaction() as session:
            await idempotency.finish(session, ticket, status=status, headers=headers, body=body)

    async def abandon(self, ticket: Ticket) -> None:
        async with self._database.transaction() as session:
            await idempotency.abandon(session, ticket)
