"""The web app in a real browser, before a real server: `python -m pytest tests/browser`.

Chromium is Debian's. Each test has a server with an empty database; its visitors may reach nothing else, and a test
fails where a page asked for more or where the console holds an error.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.support.app_process import AppProcess, a_server
from tests.support.visits import HOW_TO_INSTALL, Visit, a_visit, chromium, find_chromium


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


@pytest_asyncio.fixture()
async def server(browser: Browser, postgres: str, tmp_path: Path) -> AsyncIterator[AppProcess]:
    """A server with predictable engines."""
    async with a_server(postgres, tmp_path) as process:
        yield process


@pytest_asyncio.fixture()
async def visit(browser: Browser, server: AppProcess) -> AsyncIterator[Visit]:
    """Somebody who visits the server."""
    async with a_visit(browser, server.url) as visit:
        yield visit
        visit.judge()
