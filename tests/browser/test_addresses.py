"""What the address of a page asks for: the same after a reload, and a page where it is nonsense."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.support.app_process import AppProcess
from tests.support.builders import an_image, encoded
from tests.support.people import fill_album
from tests.support.visits import Visit

UNREADABLE = r"404 \(Not Found\)"


async def _a_picture(server: AppProcess) -> str:
    async with server.client() as client:
        stored = await client.post("/api/v1/images", files=[("file", ("1.png", encoded(an_image(seed=1), "PNG")))])
    return str(stored.json()["images"][0]["id"])


async def test_words_with_signs_of_addresses_are_the_same_after_a_reload(server: AppProcess, visit: Visit) -> None:
    await _a_picture(server)
    page = await visit.open()
    box = page.get_by_role("searchbox")
    await box.fill("cats & dogs #1 at 50%")
    await box.press("Enter")
    await expect(page).to_have_url(f"{visit.url}/#/?q=cats+%26+dogs+%231+at+50%25")
    await page.reload()
    await expect(box).to_have_value("cats & dogs #1 at 50%")
    await expect(page).to_have_url(f"{visit.url}/#/?q=cats+%26+dogs+%231+at+50%25")


@pytest.mark.parametrize("name", ["spring/summer", "100% fun", "what? & why #1"])
async def test_an_album_of_any_name_is_there_after_a_reload(server: AppProcess, visit: Visit, name: str) -> None:
    await _a_picture(server)
    page = await visit.open()
    await page.get_by_role("listitem").get_by_role("checkbox").check()
    await page.get_by_label("Name of the album").fill(name)
    await page.get_by_role("button", name="Add to album").click()
    heading = page.get_by_role("heading", level=1)
    await expect(heading).to_have_text(name)
    await page.reload()
    await expect(heading).to_have_text(name)
    await expect(page.get_by_role("listitem").get_by_role("img")).to_have_count(1)


@pytest.mark.parametrize("route", ["/albums/%", "/people/%E0", "/duplicates?album=%"])
async def test_an_address_that_cannot_be_read_leads_to_a_page_that_says_so(visit: Visit, route: str) -> None:
    visit.expects(UNREADABLE)
    page = await visit.open(route)
    await expect(page.get_by_role("alert")).to_contain_text("There is no")


async def test_numbers_of_an_address_that_are_none_are_as_if_not_given(server: AppProcess, visit: Visit) -> None:
    picture = await _a_picture(server)
    page = await visit.open(f"/styles?picture={picture}&name=oil&seed=abc&strength=7&engine=nobody")
    await expect(page.get_by_role("spinbutton", name="Seed")).to_have_value("1")
    await expect(page.get_by_label("Strength")).to_have_value("0.75")
    await expect(page).to_have_url(f"{visit.url}/#/styles?picture={picture}&name=oil")


async def test_an_order_that_there_is_not_shows_the_usual_one(server: AppProcess, visit: Visit) -> None:
    async with server.client() as client:
        await fill_album(client, "holiday", (1,), (2,))
    page = await visit.open("/?sort=loudest&min_quality=much")
    await expect(page.get_by_role("listitem").get_by_role("img")).to_have_count(2)
