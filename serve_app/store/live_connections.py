"""Connections of a pool that have been cut are replaced before they are used, seldom at the price of a question.

SQLAlchemy's own `pool_pre_ping` asks the server before each transaction, in a transaction of its own: three messages to
and fro, as many as a short transaction has; and it waits for an answer as long as the kernel does. The driver knows by
itself that the other side has closed a connection; only one that has been idle for a while may have been lost without a
word. One that is lost in the middle of a statement is given up by the kernel, which tries for many minutes
unless told otherwise.
"""

from __future__ import annotations

import socket
import time
from typing import Any

import asyncpg
from sqlalchemy import Engine, ExceptionContext, event
from sqlalchemy.exc import InvalidatePoolError

TRUSTED_S = 5.0
"""Seconds after its last use for which a connection that the driver thinks open is not asked."""
_ANSWER_S = 5.0
"""Seconds after which a connection that does not answer is lost: what a firewall has cut off is silent for minutes."""
_USED = "darkroom_used"
_READ_ONLY_STATE = "25006"
"""SQLSTATE of a server that only reads: the one that was replaced by another, or is not the first yet."""
_KERNEL_OPTIONS = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 30_000}
"""When the kernel gives up the other side, by Linux' names: seconds, a number of tries, and milliseconds without a sign
that what was sent has come. A server that takes long for a statement gives such signs."""


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

    event.listen(engine, "connect", _watch)
    event.listen(engine, "checkout", check)
    event.listen(engine, "checkin", _note_use)
    event.listen(engine, "handle_error", _leave_standby)


def _watch(connection: Any, _record: Any) -> None:
    """Have the kernel give up a connection whose other side is gone."""
    transport = getattr(connection.driver_connection, "_transport", None)  # asyncpg shows it by no other name
    own: socket.socket | None = transport and transport.get_extra_info("socket")
    if own is None or own.family not in (socket.AF_INET, socket.AF_INET6):
        return
    own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KERNEL_OPTIONS.items():
        if hasattr(socket, name):
            own.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _note_use(_connection: Any, record: Any) -> None:
    record.info[_USED] = time.monotonic()


def _leave_standby(context: ExceptionContext) -> None:
    """Have connections to a server that does not write any more replaced: they live, and would stay."""
    if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY_STATE:
        context.is_disconnect = True


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
