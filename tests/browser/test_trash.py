"""The trash: what lies in it, for how long, and the way back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from playwright.async_api import Locator, Page, Route, expect

from tests.browser.test_haste import hold_back
from tests.support.app_process import AppProcess
from tests.support.builders import an_image, encoded
from tests.support.large_library import fill_library
from tests.support.scrolling import open_library, scroll_to_the_end
from tests.support.visits import Visit

STAY = timedelta(days=30)
AT_ONCE = 500
"""What the server takes of one action."""
MANY = 520
BATCH = "**/api/v1/images/batch"


async def throw_away(server: AppProcess, many: int) -> list[str]:
    """Upload pictures and put them into the trash. -> their ids"""
    files = [("file", (f"old-{seed}.png", encoded(an_image(seed=900 + seed), "PNG"))) for seed in range(many)]
    async with server.client() as client:
        stored = (await client.post("/api/v1/images", files=files)).json()["images"]
        ids = [image["id"] for image in stored]
        answer = await client.post("/api/v1/images/batch", json={"ids": ids, "action": "trash"})
    assert answer.json()["done"] == ids, answer.text
    return ids


async def _trashed(server: AppProcess) -> set[str]:
    async with server.client() as client:
        return {image["id"] for image in (await client.get("/api/v1/trash")).json()["items"]}


def _tiles(page: Page) -> Locator:
    return page.get_by_role("main").get_by_role("listitem")


async def test_the_trash_says_when_its_pictures_go(server: AppProcess, visit: Visit) -> None:
    before = datetime.now(UTC)
    await throw_away(server, 2)
    after = datetime.now(UTC)
    page = await visit.open("/trash")
    await expect(_tiles(page)).to_have_count(2)
    await expect(page.get_by_role("main")).to_contain_text("Pictures stay here for 30 days")
    days = [time + STAY for time in (before, after)]
    (said,) = await page.get_by_text("Deleted on").all_inner_texts()
    assert said in {f"Deleted on {day:%B} {day.day}, {day.year}" for day in days}


async def test_some_pictures_are_restored_and_put_back(server: AppProcess, visit: Visit) -> None:
    thrown = await throw_away(server, 3)
    page = await visit.open("/trash")
    await _tiles(page).first.get_by_role("checkbox").check()
    await page.get_by_role("button", name="Restore 1", exact=True).click()
    await expect(page.get_by_role("status")).to_have_text("1 picture is back, in its albums too.")
    await expect(_tiles(page)).to_have_count(2)
    assert len(await _trashed(server)) == 2
    await page.keyboard.press("u")
    await expect(_tiles(page)).to_have_count(3)
    assert await _trashed(server) == set(thrown)


async def test_all_pictures_are_restored_at_once_and_put_back(server: AppProcess, visit: Visit) -> None:
    thrown = await throw_away(server, 3)
    page = await visit.open("/trash")
    await page.get_by_role("button", name="Restore all").click()
    await expect(page.get_by_role("status")).to_have_text("3 pictures are back, in their albums too.")
    await expect(page.get_by_role("main")).to_contain_text("The trash is empty.")
    await expect(page.get_by_role("button", name="Restore all")).to_have_count(0)
    assert await _trashed(server) == set()
    await page.get_by_role("button", name="Undo").click()
    await expect(_tiles(page)).to_have_count(3)
    assert await _trashed(server) == set(thrown)


async def test_the_trash_is_emptied_unless_that_is_taken_back_in_time(server: AppProcess, visit: Visit) -> None:
    thrown = await throw_away(server, 2)
    page = await visit.context.new_page()
    await page.clock.install()
    await page.goto(f"{visit.url}/#/trash")
    await visit.settle(page)  # a picture that is asked for and deleted meanwhile is one that the console misses
    await page.get_by_role("button", name="Empty the trash").click()
    await expect(_tiles(page)).to_have_count(0)
    await page.clock.run_for(6_000)
    await page.get_by_role("button", name="Undo").click()
    await expect(_tiles(page)).to_have_count(2)
    await page.clock.run_for(10_000)
    assert await _trashed(server) == set(thrown)
    await visit.settle(page)
    await page.get_by_role("button", name="Empty the trash").click()
    await page.clock.run_for(8_000)
    await expect(page.get_by_role("main")).to_contain_text("The trash is empty.")
    assert await _trashed(server) == set()


async def test_pictures_of_the_library_are_thrown_away_and_taken_back(server: AppProcess, visit: Visit) -> None:
    async with server.client() as client:
        files = [("file", (f"{seed}.png", encoded(an_image(seed=seed), "PNG"))) for seed in range(3)]
        await client.post("/api/v1/images", files=files)
    page = await visit.open()
    for place in (0, 1):
        await _tiles(page).nth(place).get_by_role("checkbox").check()
    await page.get_by_role("button", name="Trash", exact=True).click()
    await expect(page.get_by_role("status").filter(has_text="2 pictures in the trash.")).to_be_visible()
    await expect(_tiles(page)).to_have_count(1)
    assert len(await _trashed(server)) == 2
    await page.get_by_role("button", name="Undo").click()
    await expect(_tiles(page)).to_have_count(3)
    assert await _trashed(server) == set()


async def test_what_another_tab_threw_away_or_restored_is_not_taken_back(server: AppProcess, visit: Visit) -> None:
    async with server.client() as client:
        files = [("file", (f"{seed}.png", encoded(an_image(seed=seed), "PNG"))) for seed in range(2)]
        stored = (await client.post("/api/v1/images", files=files)).json()["images"]
    theirs, mine = (image["id"] for image in stored)

    async def in_both_tabs(page: Page, button: str, action: str) -> None:
        """Have another tab do it with one of the chosen pictures while the request of this one is on its way."""
        for place in (0, 1):
            await _tiles(page).nth(place).get_by_role("checkbox").check()
        may_go_on = await hold_back(page, BATCH, "POST")
        async with page.expect_request(BATCH):
            await page.get_by_role("button", name=button, exact=True).click()
        async with server.client() as client:
            await client.post("/api/v1/images/batch", json={"ids": [theirs], "action": action})
        may_go_on.set()

    page = await visit.open()
    await in_both_tabs(page, "Trash", "trash")
    await expect(page.get_by_role("status").filter(has_text="1 picture in the trash.")).to_be_visible()
    await page.get_by_role("button", name="Undo").click()
    await expect(_tiles(page)).to_have_count(1)
    await expect(page.get_by_role("button", name="Undo")).to_have_count(0)
    assert await _trashed(server) == {theirs}
    async with server.client() as client:
        await client.post("/api/v1/images/batch", json={"ids": [mine], "action": "trash"})
    page = await visit.open("/trash")
    await in_both_tabs(page, "Restore 2", "restore")
    await expect(page.get_by_role("status")).to_have_text("1 picture is back, in its albums too.")
    await page.get_by_role("button", name="Undo").click()
    await expect(_tiles(page)).to_have_count(1)
    assert await _trashed(server) == {mine}


async def test_the_key_that_takes_back_is_the_large_pictures_own_while_one_is_open(
    server: AppProcess, visit: Visit
) -> None:
    await throw_away(server, 2)
    page = await visit.open("/trash")
    await _tiles(page).get_by_role("checkbox").first.check()
    await page.get_by_role("button", name="Restore 1").click()
    await expect(_tiles(page)).to_have_count(1)
    await visit.settle(page)
    await _tiles(page).get_by_role("button").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("u")
    await visit.settle(page)
    assert len(await _trashed(server)) == 1


async def test_of_many_pictures_those_that_were_thrown_away_before_a_refusal_are_taken_back(
    server: AppProcess, visit: Visit
) -> None:
    visit.expects("503")
    await fill_library(server, MANY)
    page = await visit.context.new_page()
    await open_library(page, server.url)
    await scroll_to_the_end(page)
    await page.evaluate("scrollTo(0, 0)")
    await page.get_by_role("button", name=f"Select the {MANY} shown").click()

    async def refuse_the_rest(route: Route) -> None:
        if len((route.request.post_data_json or {})["ids"]) < AT_ONCE:
            await route.fulfill(status=503, json={"detail": "Full."})
        else:
            await route.continue_()

    await page.route(BATCH, refuse_the_rest, times=2)
    await page.get_by_role("button", name="Trash", exact=True).click()
    await expect(page.get_by_role("alert")).to_contain_text("Full.")
    await expect(page.get_by_text(f"{MANY - AT_ONCE} selected")).to_be_visible()
    await expect(page.get_by_text(f"{AT_ONCE} pictures in the trash.")).to_be_visible()
    await page.get_by_role("button", name="Undo").click()
    await expect(page.get_by_text("in the trash")).to_have_count(0)
    await visit.settle(page)
    assert await _trashed(server) == set()


async def test_nothing_is_made_of_a_picture_in_the_trash_and_the_page_says_why(
    server: AppProcess, visit: Visit
) -> None:
    [picture] = await throw_away(server, 1)
    page = await visit.open(f"/styles?picture={picture}")
    main = page.get_by_role("main")
    await expect(main).to_contain_text("This picture is in the trash")
    await expect(main.get_by_role("button", name="Try again")).to_have_count(0)
    await main.get_by_role("link", name="Trash").click()
    await page.get_by_role("button", name="Restore all").click()
    await expect(page.get_by_role("main")).to_contain_text("The trash is empty.")
    await page.go_back()
    await expect(main.get_by_role("heading", name="Your picture in each style")).to_be_visible()
