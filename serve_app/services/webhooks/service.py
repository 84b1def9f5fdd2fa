"""Webhooks as clients see them: add, list, try again, delete."""

from __future__ import annotations

from collections.abc import Sequence

from deployments.errors import ImageError, InvalidRequest, NotFound
from serve_app.services.guarded_http import GuardedHttp
from serve_app.services.webhooks.signatures import new_secret
from serve_app.store.repositories import events, webhooks
from serve_app.store.repositories.events import EventKind
from serve_app.store.repositories.webhooks import StoredWebhook
from serve_app.store.session import Database

MOST = 10
"""Webhooks of a user."""


class WebhookService:
    """Use cases of webhooks. Every method that takes an id raises `NotFound` for one that is not the user's."""

    def __init__(self, database: Database, http: GuardedHttp) -> None:
        self._database = database
        self._http = http

    async def add(self, user_id: str, url: str, kinds: Sequence[EventKind], secret: str | None) -> StoredWebhook:
        """Add a webhook that is told of what comes from now on.

        Raises `InvalidRequest` for an address that may not be opened, `Conflict` for one too many.
        """
        try:
            await self._http.addresses(self._http.guard.check_url(url))
        except ImageError as error:
            raise InvalidRequest(f"body /url: {error.message}.", extra={"code": error.code}) from error
        async with self._database.transaction() as session:
            now = await events.load_now(session)
            return await webhooks.add(
                session, user_id, url, list(dict.fromkeys(kinds)), secret or new_secret(), now, MOST
            )

    async def load_all(self, user_id: str) -> list[StoredWebhook]:
        """Load the user's webhooks, the oldest first."""
        async with self._database.transaction() as session:
            return await webhooks.load_all(session, user_id)

    async def get(self, user_id: str, webhook_id: str) -> StoredWebhook:
        """Load a webhook."""
        async with self._database.transaction() as session:
            return _found(await webhooks.get(session, user_id, webhook_id), webhook_id)

    async def enable(self, user_id: str, webhook_id: str) -> StoredWebhook:
        """Try a webhook again at once, also one that was given up."""
        async with self._database.transaction() as session:
            return _found(await webhooks.enable(session, user_id, webhook_id), webhook_id)

    async def delete(self, user_id: str, webhook_id: str) -> None:
        """Delete a webhook: nothing more is sent to it."""
        async with self._database.transaction() as session:
            if not await webhooks.remove(session, user_id, webhook_id):
                raise _missing(webhook_id)


def _found(hook: StoredWebhook | None, webhook_id: str) -> StoredWebhook:
    if hook is None:
        raise _missing(webhook_id)
    return hook


def _missing(webhook_id: str) -> NotFound:
    return NotFound(f"There is no webhook '{webhook_id}'.")
