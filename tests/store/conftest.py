"""Databases of the tests about the schema."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine


@pytest.fixture
async def empty(postgres: str) -> AsyncIterator[str]:
    """The DSN of a database without a table."""
    admin = create_async_engine(postgres, isolation_level="AUTOCOMMIT")
    async with admin.connect() as connection:
        await connection.execute(text("DROP DATABASE IF EXISTS empty"))
        await connection.execute(text("CREATE DATABASE empty"))
        yield make_url(postgres).set(database="empty").render_as_string(hide_password=False)
        await connection.execute(text("DROP DATABASE empty"))
    await admin.dispose()
