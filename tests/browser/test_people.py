"""People: named in place, merged, and still known afterwards."""

from __future__ import annotations

from playwright.async_api import Locator, Page, expect

from tests.support.app_process import AppProcess
from tests.support.people import PEOPLE, decide, fill_album, people
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


async def _page_of(page: Page, place: int) -> None:
    await _cards(page).nth(place).get_by_role("link").click()
    await expect(_faces(page).first).to_be_visible()


def _faces(page: Page) -> Locator:
    return page.get_by_role("region", name="face").get_by_role("listitem")


async def test_a_person_has_a_page_with_faces_and_pictures(server: AppProcess, visit: Visit) -> None:
    await _three_people(server)
    page = await visit.open("/people")
    await _name(page, 0, "Éva 김")
    await _page_of(page, 0)
    await page.reload()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Éva 김")
    await expect(_faces(page)).to_have_count(3)
    await expect(page.get_by_role("heading", name="3 faces")).to_be_visible()
    pictures = page.get_by_role("region", name="3 pictures").get_by_role("listitem")
    await expect(pictures).to_have_count(3)
    await pictures.first.get_by_role("button").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.get_by_label("Name").fill("Eva")
    await page.get_by_label("Name").press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Eva")
    await page.get_by_role("main").get_by_role("link", name="People").click()
    await expect(_cards(page).first.get_by_label("Name")).to_have_value("Eva")


async def test_faces_are_split_off_and_come_back(server: AppProcess, visit: Visit) -> None:
    await _three_people(server)
    page = await visit.open("/people")
    await _page_of(page, 0)
    await _faces(page).nth(0).get_by_role("checkbox").check()
    await _faces(page).nth(1).get_by_role("checkbox").check()
    await page.get_by_role("button", name="Split off as another person").click()
    await expect(_faces(page)).to_have_count(1)
    await expect(page.get_by_role("heading", name="1 face", exact=True)).to_be_visible()
    async with server.client() as client:
        assert len(await people(client)) == 4
    await page.get_by_role("button", name="Undo").click()
    await expect(_faces(page)).to_have_count(3)
    async with server.client() as client:
        assert sorted(one["face_count"] for one in await people(client)) == [1, 2, 3]


async def test_who_was_split_off_is_shown_and_taken_back_from_there(server: AppProcess, visit: Visit) -> None:
    await _three_people(server)
    page = await visit.open("/people")
    await _page_of(page, 0)
    await _faces(page).nth(0).get_by_role("checkbox").check()
    await page.get_by_role("button", name="Split off as another person").click()
    visit.expects("404")
    await page.get_by_role("status").get_by_role("link", name="Show").click()
    await expect(_faces(page)).to_have_count(1)
    await page.go_back()
    await expect(_faces(page)).to_have_count(2)
    await page.go_forward()
    await expect(_faces(page)).to_have_count(1)
    await page.keyboard.press("u")
    await expect(_faces(page)).to_have_count(3)
    await expect(page.get_by_role("alert")).to_have_count(0)


async def test_all_faces_of_a_person_are_no_split(server: AppProcess, visit: Visit) -> None:
    await _three_people(server)
    page = await visit.open("/people")
    await _page_of(page, 1)
    for place, may_split in ((0, True), (1, False)):
        await _faces(page).nth(place).get_by_role("checkbox").check()
        await expect(page.get_by_role("button", name="Split off")).to_be_enabled(enabled=may_split)


async def test_a_face_that_is_not_the_persons_leaves_and_comes_back(server: AppProcess, visit: Visit) -> None:
    await _three_people(server)
    page = await visit.open("/people")
    await _page_of(page, 0)
    await _faces(page).nth(2).get_by_role("checkbox").check()
    await page.get_by_role("button", name="Not this person").click()
    await expect(_faces(page)).to_have_count(2)
    async with server.client() as client:
        assert [one["face_count"] for one in await people(client)] == [2, 2, 1]
    await page.keyboard.press("u")
    await expect(_faces(page)).to_have_count(3)


async def test_several_faces_that_are_not_the_persons_come_back_at_once(server: AppProcess, visit: Visit) -> None:
    await _three_people(server)
    page = await visit.open("/people")
    await _page_of(page, 0)
    for place in (1, 2):
        await _faces(page).nth(place).get_by_role("checkbox").check()
    await page.get_by_role("button", name="Not this person").click()
    await expect(_faces(page)).to_have_count(1)
    await page.keyboard.press("u")
    await expect(_faces(page)).to_have_count(3)
    await expect(page.get_by_role("button", name="Undo")).to_be_disabled()


async def test_a_cover_is_chosen_and_a_person_hidden(server: AppProcess, visit: Visit) -> None:
    await _three_people(server)
    page = await visit.open("/people")
    await _page_of(page, 0)
    cover, third = page.locator(".cover"), _faces(page).nth(2)
    wanted = await third.get_by_role("img").get_attribute("src")
    assert await cover.get_attribute("src") != wanted
    await third.get_by_role("checkbox").check()
    await page.get_by_role("button", name="Use as cover").click()
    await expect(cover).to_have_attribute("src", str(wanted))
    await page.get_by_role("button", name="Hide").click()
    await expect(page.get_by_role("button", name="Show")).to_be_visible()
    await page.get_by_role("main").get_by_role("link", name="People").click()
    await expect(_cards(page)).to_have_count(2)


async def test_the_address_of_who_was_merged_leads_to_the_person(server: AppProcess, visit: Visit) -> None:
    await _three_people(server)
    async with server.client() as client:
        kept, gone, _ = await people(client)
        await decide(client, f"{PEOPLE}/{kept['id']}/merge", people=[gone["id"]])
    page = await visit.open(f"/people/{gone['id']}")
    await expect(_faces(page)).to_have_count(5)
    assert page.url.endswith(kept["id"])
