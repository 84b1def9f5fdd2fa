"""Migration of a database to the current schema, safe from several processes at once and on every start."""

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
"""Key of the advisory lock that migrations run under."""


async def upgrade(dsn: str, revision: str = "head") -> None:
    """Upgrade the schema in one transaction. Other processes wait for it and then find nothing to do."""
    await _run(dsn, lambda config: command.upgrade(config, revision))


async def downgrade(dsn: str, revision: str) -> None:
    """Downgrade the schema to `revision`; `base` removes every table."""
    await _run(dsn, lambda config: command.downgrade(config, revision))


async def write_revision(dsn: str, message: str) -> None:
    """Write a revision into `migrations/versions`: the difference between the models and the (migrated) database."""
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
