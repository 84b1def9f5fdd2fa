"""The app in Korean."""

from __future__ import annotations

from playwright.async_api import expect

from tests.support.visits import Visit


async def test_the_language_that_is_chosen_stays(visit: Visit) -> None:
    page = await visit.open()
    await page.get_by_label("Language").select_option("ko")
    await expect(page.get_by_role("link", name="라이브러리")).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("link", name="라이브러리")).to_be_visible()
    await expect(page.locator("html")).to_have_attribute("lang", "ko")
