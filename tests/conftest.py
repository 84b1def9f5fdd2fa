"""What every test may use."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest
from fastapi.dependencies import models as fastapi_dependencies
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from deployments.providers import policy
from serve_app.store import migrate
from serve_app.store.embedded.server import ensure_running
from serve_app.store.models import Base
from serve_app.store.session import Database

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("darkroom", deadline=None)
hypothesis.settings.load_profile("darkroom")

UNSAFE_BUT_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""What survives a killed process survives with these too; only a power failure would tell."""


def pytest_collection_finish() -> None:
    """Take the modules of all tests out of the garbage collector: each full collection would walk them for seconds."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _apps_end_with_their_tests() -> Iterator[None]:
    """FastAPI remembers thousands of functions and by those of /docs their apps, which full collections would walk."""
    yield
    for one in vars(fastapi_dependencies).values():
        if hasattr(one, "cache_clear"):
            one.cache_clear()


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_reaches_children() -> None:
    """Though the suite was started in the background: whoever ignores SIGINT passes that on to all that it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _no_paid_calls() -> Iterator[None]:
    """Whatever a test sets: no adapter calls a vendor, in this process or in those that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DARKROOM_PROVIDERS__ALLOW_PAID_CALLS", "false")
        patch.setattr(policy, "paid_calls_possible", False)
        yield


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The DSN of a real PostgreSQL, migrated from empty by Alembic, shared by the whole test session."""
    folder: Path = tmp_path_factory.mktemp("database")
    with ensure_running(folder, options=UNSAFE_BUT_FAST) as server:
        asyncio.run(migrate.upgrade(server.dsn))
        yield server.dsn


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """Of a server that speaks S3 and has the bucket `tests.support.object_stores.BUCKET`."""
    from tests.support.object_stores import s3_server

    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def gcs_endpoint() -> Iterator[str]:
    """Of a server that speaks Google Cloud Storage and has the same bucket."""
    from tests.support.object_stores import gcs_server

    with gcs_server() as endpoint:
        yield endpoint


_EMPTY = f"""
    DO $$ BEGIN
    {" ".join(f"DELETE FROM {table};" for table in Base.metadata.tables if table != "users")}
    DELETE FROM users WHERE id <> 'usr_local';
    END $$
"""
"""In one statement, and not by TRUNCATE: of tables with a few rows that takes twenty times as long."""


@pytest.fixture
async def database(postgres: str) -> AsyncIterator[Database]:
    """For tests that commit or use several connections: every table is emptied after each."""
    opened = Database(postgres, application_name="tests", pool_size=10, max_overflow=10)
    try:
        yield opened
        await _wait_for_other_connections(opened)
        async with opened.transaction() as session:
            await session.execute(text("SET LOCAL session_replication_role = replica"))  # neither keys nor triggers
            await session.execute(text(_EMPTY))
    finally:
        await opened.close()


async def _wait_for_other_connections(database: Database) -> None:
    """Until the servers that a test closed are gone: what they left running would block the clean-up."""
    others = text("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'darkroom-%'")
    async with asyncio.timeout(20):
        while True:
            async with database.transaction() as session:
                if not await session.scalar(others):
                    return
            await asyncio.sleep(0.01)


@pytest.fixture
async def session(postgres: str) -> AsyncIterator[AsyncSession]:
    """For tests of repositories: one transaction that is rolled back."""
    opened = Database(postgres, application_name="tests", pool_size=1)
    try:
        async with opened.transaction() as session:
            yield session
            await session.rollback()
    finally:
        await opened.close()
