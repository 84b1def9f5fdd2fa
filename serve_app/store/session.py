"""Database connections and short, visible transactions.

    async with database.transaction() as session:
        album = await albums.get(session, user_id, name)

Leaving the block commits; an exception rolls back. Repositories never commit. Never hold a transaction across a model
call or a fetch.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from deployments.errors import ConnectionsInUse, DarkroomError, InvalidRequest, NotFound, Unavailable
from serve_app import tracing
from serve_app.store import sql_spans
from serve_app.store.live_connections import TRUSTED_S, keep_live

_UNAVAILABLE_CLASSES = ("08", "53", "57", "58")
"""SQLSTATE classes for a lost connection, resources, operator intervention (shutdown, cancelled statement), system
errors."""
_UNAVAILABLE_STATES = {"40001", "40P01", "55P03"}
"""SQLSTATE of serialization failure, deadlock and lock not available: trying again helps."""
_NO_PARENT_STATE = "23503"
"""SQLSTATE of a foreign key violation: an album or a user that was there a moment ago."""
_BAD_TEXT_STATES = {"22021", "22P05"}
"""SQLSTATE of text that PostgreSQL cannot hold, such as a NUL."""


class Database:
    """Connection pool of one process. Nothing is opened before the first transaction."""

    def __init__(
        self,
        dsn: str,
        *,
        application_name: str,
        pool_size: int = 5,
        max_overflow: int = 5,
        pool_timeout_s: float = 10.0,
        connect_timeout_s: float = 10.0,
        statement_timeout_s: float = 60.0,
        lock_timeout_s: float = 10.0,
    ) -> None:
        """`application_name` tells in `pg_stat_activity` who holds a connection. Behind PgBouncer the DSN is one of
        `behind_pgbouncer`: then nothing lives longer than a transaction."""
        self.dsn = dsn
        self._limits = {
            "statement_timeout": f"{round(statement_timeout_s * 1000)}ms",
            "lock_timeout": f"{round(lock_timeout_s * 1000)}ms",
            "idle_in_transaction_session_timeout": f"{round(statement_timeout_s * 1000)}ms",
        }
        self._pooled_elsewhere = make_url(dsn).query.get("prepared_statement_cache_size") == "0"
        server_settings = {"application_name": application_name}
        connect_args: dict[str, Any] = {"timeout": connect_timeout_s, "server_settings": server_settings}
        if self._pooled_elsewhere:  # pgbouncer refuses start-up parameters that it does not know
            connect_args["statement_cache_size"] = 0
        else:
            server_settings.update(self._limits)
        self._engine = create_async_engine(
            dsn,
            pool_size=pool_size,
            max_overflow=max_overflow,
            pool_timeout=pool_timeout_s,
            hide_parameters=True,  # an error's text may be logged
            connect_args=connect_args,
        )
        # PgBouncer's side stays open whatever becomes of the server's.
        keep_live(self._engine.sync_engine, trusted_s=0.0 if self._pooled_elsewhere else TRUSTED_S)
        if tracing.is_on():
            sql_spans.observe(self._engine.sync_engine)
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Open a READ COMMITTED transaction: committed at the end of the block, rolled back on any exception.

        Raises `Unavailable` when the database cannot be reached, is too slow or gives up on the transaction,
        `InvalidRequest` when a text holds characters that it cannot store, and `NotFound` when what a new row belongs
        to was deleted in the meantime.
        """
        try:
            async with self._sessions() as session:
                await self._connect(session)
                yield session
                await session.commit()
        except SQLAlchemyError as error:
            if (known := _translate(error)) is not None:
                raise known from error
            raise

    async def ping(self) -> None:
        """Send a query. Raises `Unavailable` when the database does not answer."""
        async with self.transaction() as session:
            await session.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()

    async def _connect(self, session: AsyncSession) -> None:
        try:
            await session.connection()
        # Not inside `transaction`: there the same exceptions may come from the caller's own files and sockets.
        except (OSError, TimeoutError, ssl.SSLError) as error:
            raise Unavailable("The database cannot be reached") from error
        if self._pooled_elsewhere:
            for name, value in self._limits.items():
                await session.execute(text("SELECT set_config(:name, :value, true)"), {"name": name, "value": value})


def behind_pgbouncer(dsn: str) -> str:
    """Add to a DSN that PgBouncer stands before the database, which keeps no prepared statement from one transaction to
    the next."""
    url = make_url(dsn).update_query_dict({"prepared_statement_cache_size": "0"})
    return url.render_as_string(hide_password=False)


def _translate(error: SQLAlchemyError) -> DarkroomError | None:
    if isinstance(error, PoolTimeout):
        return ConnectionsInUse("Every database connection of this process is in use; try again shortly.")
    if not isinstance(error, DBAPIError):
        return None
    state: str = getattr(error.orig, "sqlstate", None) or ""
    if state in _BAD_TEXT_STATES or _is_caused_by(error, UnicodeEncodeError):
        return InvalidRequest("A text holds a character that cannot be stored")
    if state == _NO_PARENT_STATE:
        return NotFound("What this belongs to was deleted meanwhile.")
    if state == "54000":
        return InvalidRequest("A text is too long")  # for an index: user and album names, idempotency keys
    if error.connection_invalidated or state[:2] in _UNAVAILABLE_CLASSES or state in _UNAVAILABLE_STATES:
        return Unavailable("The database is not available")
    return None


def _is_caused_by(error: BaseException | None, kind: type[BaseException]) -> bool:
    while error is not None and not isinstance(error, kind):
        error = error.__cause__
    return error is not None
