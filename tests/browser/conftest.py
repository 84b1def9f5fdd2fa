"""The web app in a real browser, before a real server: `python -m pytest tests/browser`.

Chromium is Debian's. Each test has a server with an empty database; its visitors may reach nothing else, and a test
fails where a page asked for more or where the console holds an error.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from configs.settings import Settings
from tests.support.app_process import AppProcess, a_database
from tests.support.visits import HOW_TO_INSTALL, Visit, a_visit, chromium, find_chromium

Visiting = Callable[..., AbstractAsyncContextManager[Visit]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.browser)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    if find_chromium() is None:
        pytest.skip(HOW_TO_INSTALL)
    async with chromium() as opened:
        yield opened


def settings_of(folder: Path, dsn: str, **values: Any) -> Settings:
    return Settings(data_dir=folder, database_url=dsn, log_level="ERROR", **values)


@pytest_asyncio.fixture()
async def server(browser: Browser, postgres: str, tmp_path: Path) -> AsyncIterator[AppProcess]:
    """A server with predictable engines."""
    async with a_server(postgres, tmp_path) as process:
        yield process


@asynccontextmanager
async def a_server(postgres: str, folder: Path, **values: Any) -> AsyncIterator[AppProcess]:
    """Start a server with an empty database; `engines` and settings may be given."""
    engines = values.pop("engines", "fake")
    async with a_database(postgres) as dsn:
        process = AppProcess(settings_of(folder, dsn, **values), engines)
        process.start()
        try:
            yield process
        finally:
            process.stop()


@pytest_asyncio.fixture()
async def visit(browser: Browser, server: AppProcess) -> AsyncIterator[Visit]:
    """Somebody who visits the server."""
    async with a_visit(browser, server.url) as visit:
        yield visit
        visit.judge()
