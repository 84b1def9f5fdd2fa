"""Brings a database to the current schema. Safe to call from several processes at once and on every start."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

LOCK = 0x6461726B
"""Advisory lock that migrations run under."""


async def upgrade(dsn: str, revision: str = "head") -> None:
    """All of it or nothing, in one transaction. Others wait for it and then find nothing to do."""
    await _run(dsn, lambda config: command.upgrade(config, revision))


async def downgrade(dsn: str, revision: str) -> None:
    """Back to `revision`; `base` removes every table."""
    await _run(dsn, lambda config: command.downgrade(config, revision))


async def write_revision(dsn: str, message: str) -> None:
    """A new file in `migrations/versions`: what the models have that the (migrated) database lacks."""
    await _run(dsn, lambda config: command.revision(config, message, autogenerate=True))


async def _run(dsn: str, action: Callable[[Config], object]) -> None:
    engine = create_async_engine(dsn, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            await connection.run_sync(lambda sync: action(_config(sync)))
    finally:
        await engine.dispose()


def _config(connection: Connection) -> Config:
    config = Config()
    folder = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write a migration for what changed in the models")
    parser.add_argument("dsn", help="a database at the current head")
    parser.add_argument("message")
    arguments = parser.parse_args()
    asyncio.run(write_revision(arguments.dsn, arguments.message))
