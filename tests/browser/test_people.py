"""People: named in place, merged, and still known afterwards."""

from __future__ import annotations

from playwright.async_api import Locator, Page, expect

from tests.support.app_process import AppProcess
from tests.support.people import fill_album
from tests.support.visits import AWAY, Visit


async def _three_people(server: AppProcess) -> None:
    async with server.client() as client:
        await fill_album(client, "holiday", (1, 2), (1,), (3,), (1, 2))


def _cards(page: Page) -> Locator:
    return page.get_by_role("main").get_by_role("listitem")


async def _name(page: Page, place: int, name: str) -> None:
    field = _cards(page).nth(place).get_by_label("Name")
    await field.fill(name)
    await field.press("Enter")
    await expect(page.get_by_role("status")).to_have_text("Saved.")


async def test_a_name_is_kept_over_a_reload_and_a_restart_of_the_server(server: AppProcess, visit: Visit) -> None:
    await _three_people(server)
    page = await visit.open("/people")
    await expect(_cards(page)).to_have_count(3)
    await _name(page, 0, "Éva 김")
    await page.reload()
    await expect(_cards(page).first.get_by_label("Name")).to_have_value("Éva 김")
    visit.expects(AWAY)
    server.kill()
    server.start()
    await page.reload()
    await expect(_cards(page).first.get_by_label("Name")).to_have_value("Éva 김")


async def test_people_are_merged_and_the_merge_is_taken_back(server: AppProcess, visit: Visit) -> None:
    await _three_people(server)
    page = await visit.open("/people")
    await _name(page, 1, "Ben")
    for place in (0, 1):
        await _cards(page).nth(place).get_by_role("checkbox").check()
    await page.get_by_role("button", name="These 2 are the same person").click()
    await expect(_cards(page)).to_have_count(2)
    await expect(_cards(page).first.get_by_label("Name")).to_have_value("Ben")
    await expect(_cards(page).first).to_contain_text("5 faces")
    await page.get_by_role("button", name="Undo").click()
    await expect(_cards(page)).to_have_count(3)
    await page.reload()
    await expect(_cards(page)).to_have_count(3)


async def test_who_is_hidden_is_shown_with_the_hidden_and_brought_back(server: AppProcess, visit: Visit) -> None:
    await _three_people(server)
    page = await visit.open("/people")
    await _cards(page).nth(2).get_by_role("button", name="Hide").click()
    await expect(_cards(page)).to_have_count(2)
    await page.get_by_label("Hidden people").check()
    await expect(_cards(page)).to_have_count(1)
    await _cards(page).first.get_by_role("button", name="Show").click()
    await expect(_cards(page)).to_have_count(0)
    await page.get_by_label("Hidden people").uncheck()
    await expect(_cards(page)).to_have_count(3)


async def test_every_face_is_shown(server: AppProcess, visit: Visit) -> None:
    await _three_people(server)
    page = await visit.open("/people")
    for place in range(3):
        picture = _cards(page).nth(place).get_by_role("img")
        await picture.scroll_into_view_if_needed()
        await expect(picture).to_have_js_property("complete", True)
        assert await picture.evaluate("image => image.naturalWidth") > 0
