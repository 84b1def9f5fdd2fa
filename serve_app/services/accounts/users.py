"""Users and their keys: identification, permissions, deletion."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import unicodedata
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from configs.settings import Auth
from deployments.errors import Conflict, Forbidden, NotFound, Unavailable
from deployments.kit.turns import acting_for
from serve_app.services.images.store import ImageStore
from serve_app.store.queue import jobs
from serve_app.store.repositories import sessions, users, webhooks
from serve_app.store.repositories.users import LOCAL_USER_ID, StoredUser
from serve_app.store.session import Database

__all__ = ["Caller", "StoredUser", "UserService", "clean_email", "clean_username", "is_made_here"]

_KEY = re.compile(r"dk_[A-Za-z0-9_-]{43}")
_KEY_BYTES = 32
_TRIES = 3

_MAX_NAME, _MAX_LOCAL, _MAX_EMAIL = 64, 64, 254
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2028\u2029\u2800\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)
"""Invisible characters that Unicode files under letters, marks, separators and symbols."""
_LOCAL_PART = re.compile(r"[^\s.@\"(),:;<>\[\\\]]+(\.[^\s.@\"(),:;<>\[\\\]]+)*")
_DOMAIN = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_][\w-]{0,61}[^\W_]")


@dataclass(frozen=True, slots=True)
class Caller:
    """The user or administrator on whose behalf a request acts."""

    user_id: str | None
    """None: the administrator, who has no images."""
    is_admin: bool = False
    """May create, list, read and delete every user."""
    key_hash: str | None = field(default=None, repr=False)
    """SHA-256 of the user's key that came with the request, or that its session was opened with."""
    session_hash: str | None = field(default=None, repr=False)
    """SHA-256 of the token of the session that the request came by; None: it came by a key."""

    def acting(self) -> AbstractContextManager[None]:
        """Let what the block starts take its turns at threads and models as this caller."""
        return acting_for(self.user_id)

    def check_admin(self) -> None:
        """Raise `Forbidden` unless the caller is the administrator."""
        if not self.is_admin:
            raise Forbidden("This needs the administrator's key.")

    def check_may_see(self, user_id: str) -> None:
        """Raise `NotFound`, as for an id that does not exist, unless it is the caller's own or the caller is admin."""
        if not self.is_admin and self.user_id != user_id:
            raise _no_user(user_id)


LOCAL_CALLER = Caller(LOCAL_USER_ID, is_admin=True)
"""The caller of every request while authentication is off."""
_ADMIN = Caller(None, is_admin=True)


class UserService:
    """Use cases of users. Every method that takes a user's id raises `NotFound` when there is no such user."""

    def __init__(self, database: Database, pictures: ImageStore, settings: Auth) -> None:
        self._database = database
        self._pictures = pictures
        self._admin = None if settings.admin_key is None else _digest(settings.admin_key.get_secret_value())

    async def identify(self, key: str) -> Caller | None:
        """Find the caller by key. None: no valid key."""
        digest = _digest(key)
        if self._admin is not None and hmac.compare_digest(digest, self._admin):
            return _ADMIN
        if not is_made_here(key):
            return None
        async with self._database.transaction() as session:
            user = await users.find_by_key(session, digest)
        return None if user is None else Caller(user.id, key_hash=digest)

    async def still_holds_key(self, caller: Caller) -> bool:
        """Whether a user's key or session is still valid, for requests that go on after they were let in."""
        if caller.key_hash is None:
            return True
        async with self._database.transaction() as session:
            if caller.session_hash is not None:
                return await sessions.find(session, caller.session_hash) is not None
            return await users.find_by_key(session, caller.key_hash) is not None

    async def create(self, username: str, email: str) -> tuple[StoredUser, str]:
        """Create a user. -> the user and the key, shown this once. Raises `Conflict` for a taken name or address."""
        key = _new_key()
        async with self._database.transaction() as session:
            return await users.add(session, username, email, _digest(key)), key

    async def get(self, user_id: str) -> StoredUser:
        async with self._database.transaction() as session:
            user = await users.get(session, user_id)
        if user is None:
            raise _no_user(user_id)
        return user

    async def load_page(self, limit: int, cursor: str | None) -> tuple[list[StoredUser], str | None]:
        """Load users, newest first, and the cursor of the next page.

        Raises `InvalidRequest` for a cursor that is none.
        """
        async with self._database.transaction() as session:
            page = await users.load_page(session, limit + 1, cursor)
        return page[:limit], page[limit - 1].id if len(page) > limit else None

    async def renew_key(self, user_id: str) -> str:
        """Make a new key; the one before is void at once."""
        key = _new_key()
        await self._set_key(user_id, _digest(key))
        return key

    async def revoke_key(self, user_id: str) -> None:
        await self._set_key(user_id, None)

    async def delete(self, user_id: str) -> None:
        """Delete a user with images, albums, faces, vectors, results, jobs and history.

        Running jobs are stopped: their workers are notified at once, and nothing that they still write counts. A file
        that one of them was just writing goes with the next housekeeping. Raises `Conflict` for the local user.
        """
        if user_id == LOCAL_USER_ID:
            raise Conflict("The built-in user, who acts while authentication is disabled, cannot be deleted.")
        for attempt in range(1, _TRIES + 1):
            try:
                async with self._database.transaction() as session:
                    ended = await users.remove(session, user_id)
                    if ended is None:
                        raise _no_user(user_id)
                    await jobs.publish_gone(session, ended)
                break
            except Unavailable:  # a worker that ends a job locks in another order: one of the two is sent away
                if attempt == _TRIES:
                    raise
        await self._pictures.collect_unused()

    async def _set_key(self, user_id: str, digest: str | None) -> None:
        async with self._database.transaction() as session:
            if not await users.set_key(session, user_id, digest):
                raise _no_user(user_id)
            if digest is None:
                await webhooks.disable_all(session, user_id, "The key of their user was revoked")


def clean_username(text: str) -> str:
    """Normalize a user's name as it is kept and shown. Raises `ValueError`."""
    name = unicodedata.normalize("NFKC", text).strip()
    if not 0 < len(name) <= _MAX_NAME:
        raise ValueError(f"a name has 1 to {_MAX_NAME} characters")
    if _has_unseen(name):  # two names that look the same would be two users
        raise ValueError("a name has no invisible characters")
    return name


def clean_email(text: str) -> str:
    """Normalize an e-mail address as it is kept. Raises `ValueError`.

    Its form alone is checked: only a mail would show that the address exists.
    """
    email = unicodedata.normalize("NFKC", text).strip()
    local, _, domain = email.rpartition("@")
    fits = len(email) <= _MAX_EMAIL and len(local) <= _MAX_LOCAL
    if not (fits and not _has_unseen(email) and _LOCAL_PART.fullmatch(local) and _DOMAIN.fullmatch(domain)):
        raise ValueError("this is no e-mail address (name@example.org)")
    return email


def _has_unseen(text: str) -> bool:
    """Whether there are control, invisible or unassigned characters."""
    return bool(_UNSEEN.search(text)) or any(unicodedata.category(character)[0] == "C" for character in text)


def is_made_here(key: str) -> bool:
    """Whether a key has the form of those that are made here, which nobody can guess."""
    return _KEY.fullmatch(key) is not None


def _new_key() -> str:
    return "dk_" + secrets.token_urlsafe(_KEY_BYTES)


def _digest(key: str) -> str:
    """Hash a key for storage. Not slow as for passwords: 2^256 keys cannot be tried, however fast each try is."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


def _no_user(user_id: str) -> NotFound:
    return NotFound(f"There is no user '{user_id}'.")
