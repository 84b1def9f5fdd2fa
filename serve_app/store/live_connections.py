"""Connections of a pool that have been cut are replaced before they are used, seldom at the price of a question.

SQLAlchemy's own `pool_pre_ping` asks the server before each transaction, in a transaction of its own: three messages to
and fro, as many as a short transaction has; and it waits for an answer as long as the kernel does. The driver knows by
itself that the other side has closed a connection; only one that has been idle for a while may have been lost without a
word.
"""

from __future__ import annotations

import time
from typing import Any

import asyncpg
from sqlalchemy import Engine, event
from sqlalchemy.exc import InvalidatePoolError

TRUSTED_S = 5.0
"""Seconds after its last use for which a connection that the driver thinks open is not asked."""
_ANSWER_S = 5.0
"""Seconds after which a connection that does not answer is lost: what a firewall has cut off is silent for minutes."""
_USED = "darkroom_used"


def keep_live(engine: Engine, trusted_s: float = TRUSTED_S) -> None:
    """Have the engine's pool replace lost connections from now on, with all others that are as old."""

    def check(connection: Any, record: Any, _fairy: Any) -> None:
        used = record.info.get(_USED)
        if used is None:  # it was opened just now
            return
        if connection.driver_connection.is_closed():
            raise InvalidatePoolError("the server has closed the connection")
        if time.monotonic() - used >= trusted_s:
            connection.run_async(_ask)

    event.listen(engine, "checkout", check)
    event.listen(engine, "checkin", _note_use)


def _note_use(_connection: Any, record: Any) -> None:
    record.info[_USED] = time.monotonic()


async def _ask(connection: asyncpg.Connection[Any]) -> None:
    """Ask the server for nothing: one message to and fro, and no transaction. Raises `InvalidatePoolError`."""
    has_answered = False
    try:
        await connection.execute("SELECT", timeout=_ANSWER_S)
        has_answered = True
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise InvalidatePoolError("the server does not answer") from error
    finally:
        if not has_answered:
            connection.terminate()  # to take leave of who is silent takes seconds more
