"""Connections of a pool that have been cut are replaced before they are used, seldom at the price of a question.

SQLAlchemy's own `pool_pre_ping` asks the server before each transaction, in a transaction of its own: three messages to
and fro, as many as a short transaction has. The driver knows by itself that the other side has closed a connection;
only one that has been idle for a while may have been lost without a word.
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import InvalidatePoolError

TRUSTED_S = 5.0
"""Seconds after its last use for which a connection that the driver thinks open is not asked."""
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
            _ask(engine, connection)

    event.listen(engine, "checkout", check)
    event.listen(engine, "checkin", _note_use)


def _note_use(_connection: Any, record: Any) -> None:
    record.info[_USED] = time.monotonic()


def _ask(engine: Engine, connection: Any) -> None:
    errors: Any = engine.dialect.loaded_dbapi.Error
    try:
        engine.dialect.do_ping(connection)
    except errors as error:
        if engine.dialect.is_disconnect(error, connection, None):
            raise InvalidatePoolError("the server does not answer") from error
        raise
