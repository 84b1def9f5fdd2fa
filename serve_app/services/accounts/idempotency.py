"""First answers for repeated requests (`Idempotency-Key`); the rules are in the store."""

from __future__ import annotations

from collections.abc import Mapping

from configs.settings import Quotas
from serve_app.services.quotas import check_kept_answers
from serve_app.store.repositories import idempotency
from serve_app.store.repositories.idempotency import StoredAnswer, Ticket
from serve_app.store.session import Database

__all__ = ["IdempotencyService", "StoredAnswer", "Ticket"]


class IdempotencyService:
    """First answers in the database."""

    def __init__(self, database: Database, quotas: Quotas) -> None:
        self._database = database
        self._quotas = quotas

    async def begin(self, user_id: str, key: str, route: str, request_sha256: str) -> Ticket | StoredAnswer:
        """Claim the key. -> a ticket to answer, or the first answer.

        Raises `Conflict`, `InvalidRequest`, and `Overloaded` when too many answers are kept for the user.
        """
        async with self._database.transaction() as session:
            first = await idempotency.begin(session, user_id, key, route, request_sha256)
            if isinstance(first, Ticket):
                await check_kept_answers(session, self._quotas, user_id)
            return first

    async def finish(self, ticket: Ticket, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Store the first answer."""
        async with self._database.transaction() as session:
            await idempotency.finish(session, ticket, status=status, headers=headers, body=body)

    async def abandon(self, ticket: Ticket) -> None:
        """Give the key back: no answer was given, and the client may repeat the request."""
        async with self._database.transaction() as session:
            await idempotency.abandon(session, ticket)
