"""The page Settings: keys that end, and where the administrator looks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.browser.test_sign_in import UNSIGNED, an_account, server_with_keys, sign_in
from tests.support.accounts import ADMIN_KEY, bearer
from tests.support.app_process import AppProcess
from tests.support.visits import Visit


@pytest_asyncio.fixture()
async def server(browser: Browser, postgres: str, tmp_path: Path) -> AsyncIterator[AppProcess]:
    async with server_with_keys(postgres, tmp_path) as process:
        yield process


async def _settings(visit: Visit, key: str) -> Page:
    page = await visit.open("/albums")
    await sign_in(page, key)
    await visit.show(page, "/settings")
    return page


async def _is_valid(server: AppProcess, key: str) -> bool:
    async with server.client() as client:
        return (await client.get("/api/v1/images", headers=bearer(key))).status_code == 200


async def test_a_new_key_ends_the_old_one_at_the_second_press_only(server: AppProcess, visit: Visit) -> None:
    visit.expects(UNSIGNED)
    key = await an_account(server, "eva", "mountains")
    page = await _settings(visit, key)
    await page.get_by_role("button", name="New key").press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("ends at once")
    await page.get_by_role("button", name="Leave it").press("Enter")
    await expect(page.get_by_role("button", name="New key")).to_be_focused()
    assert await _is_valid(server, key)
    await page.get_by_role("button", name="New key").click()
    await page.get_by_role("group", name="New key").get_by_role("button", name="New key").click()
    box = page.get_by_role("textbox", name="Key of eva")
    await expect(box).to_be_visible()
    assert not await _is_valid(server, key)
    assert await _is_valid(server, await box.input_value())
    await visit.show(page, "/albums")
    await expect(page.get_by_role("link", name="mountains")).to_be_visible()


async def test_the_dashboard_is_shown_to_the_administrator_alone(server: AppProcess, visit: Visit) -> None:
    visit.expects(UNSIGNED)
    page = await _settings(visit, await an_account(server, "eva"))
    await expect(page.get_by_role("link", name="API documentation")).to_be_visible()
    await expect(page.get_by_role("link", name="Ray dashboard")).to_have_count(0)
    await page.get_by_label("Key of the administrator").fill(ADMIN_KEY)
    await page.get_by_role("button", name="Manage users").click()
    dashboard = page.get_by_role("link", name="Ray dashboard")
    await expect(dashboard).to_have_attribute("href", f"http://127.0.0.1:{server.settings.dashboard_port}")
