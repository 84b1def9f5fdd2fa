"""Sessions of web pages: opened with a key, named by a cookie, ended with either."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime

from configs.settings import Auth
from serve_app.services.accounts.users import Caller
from serve_app.store.repositories import sessions
from serve_app.store.session import Database

_TOKEN_BYTES = 32
MOST = 100
"""Sessions of a user; of more the oldest end."""


class SessionService:
    """Use cases of sessions. The database holds hashes of their tokens only."""

    def __init__(self, database: Database, settings: Auth) -> None:
        self._database = database
        self._lives_s = settings.session_s

    async def open(self, user_id: str, key_hash: str) -> tuple[str, datetime]:
        """Open a session of a user, who came with this key. -> its token, shown this once, and when it ends"""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        async with self._database.transaction() as session:
            ends_at = await sessions.add(session, _digest(token), user_id, key_hash, self._lives_s)
            await sessions.remove_oldest(session, user_id, keep=MOST)
        return token, ends_at

    async def find_caller(self, token: str) -> Caller | None:
        """Find whose session a token names. None: of nobody, of nobody any more, or of a key that is void now."""
        async with self._database.transaction() as session:
            found = await sessions.find(session, digest := _digest(token))
        return None if found is None else Caller(found.user_id, key_hash=found.key_hash, session_hash=digest)

    async def close(self, token: str) -> None:
        """End a session. That there is none is no error."""
        async with self._database.transaction() as session:
            await sessions.remove(session, _digest(token))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
