"""Hands that are faster than the server, and keyboards that write Korean: what is shown and done is what was meant."""

from __future__ import annotations

import asyncio
from pathlib import Path

from playwright.async_api import Page, Route, expect

from tests.browser.test_duplicates import pairs
from tests.support.app_process import AppProcess
from tests.support.builders import an_image, encoded
from tests.support.large_library import fill_library
from tests.support.people import fill_album
from tests.support.people import people as list_people
from tests.support.scrolling import open_library, scroll_to_the_end
from tests.support.visits import Visit, drop

NEW = r"404 .*/by-sha256/"
MANY = 450
HANGUL = {"KeyN": "ㅜ", "KeyU": "ㅕ"}
"""What the keys of these letters say while a Korean keyboard writes Hangul."""
PRESS = "(body, init) => body.dispatchEvent(new KeyboardEvent('keydown', { bubbles: true, ...init }))"


async def _press(page: Page, **init: object) -> None:
    await page.locator("body").evaluate(PRESS, init)


async def hold_back(page: Page, pattern: str, method: str) -> asyncio.Event:
    """Let requests of a method wait. -> set it, and they go on"""
    go_on = asyncio.Event()

    async def wait(route: Route) -> None:
        if route.request.method == method:
            await go_on.wait()
        await route.continue_()

    await page.route(pattern, wait)
    return go_on


async def test_a_key_that_is_held_resolves_one_group(server: AppProcess, visit: Visit) -> None:
    await pairs(server, 3)
    page = await visit.open("/duplicates")
    heading = page.get_by_role("heading", level=2)
    await expect(heading).to_have_text("Group 1 of 3")
    await _press(page, key="Enter", code="Enter")
    await expect(heading).to_have_text("Group 1 of 2")
    await _press(page, key="Enter", code="Enter", repeat=True)
    await visit.settle(page)
    await _press(page, key="ArrowRight", code="ArrowRight")
    await expect(heading).to_have_text("Group 2 of 2")
    async with server.client() as client:
        open_groups = await client.get("/api/v1/albums/pairs/duplicates", params={"status": "open"})
    assert len(open_groups.json()["items"]) == 2


async def test_keys_do_the_same_while_the_keyboard_writes_korean(server: AppProcess, visit: Visit) -> None:
    await pairs(server, 2)
    page = await visit.open("/duplicates")
    heading = page.get_by_role("heading", level=2)
    await expect(heading).to_have_text("Group 1 of 2")
    await _press(page, key=HANGUL["KeyN"], code="KeyN")
    await expect(heading).to_have_text("Group 1 of 1")
    await _press(page, key=HANGUL["KeyU"], code="KeyU")
    await expect(heading).to_have_text("Group 1 of 2")


async def test_enter_that_ends_a_syllable_leaves_the_name_to_be_written_on(server: AppProcess, visit: Visit) -> None:
    async with server.client() as client:
        await fill_album(client, "holiday", (1,), (1,))
    page = await visit.open("/people")
    field = page.get_by_label("Name")
    await field.focus()
    await field.evaluate(
        "field => field.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', isComposing: true, bubbles: true }))"
    )
    await expect(field).to_be_focused()
    await field.press("Enter")
    await expect(field).not_to_be_focused()


async def test_a_late_answer_shows_no_groups_of_another_album(server: AppProcess, visit: Visit) -> None:
    await pairs(server, 2)
    async with server.client() as client:
        await fill_album(client, "people alone", (1,), (2,))
        albums = {one["album_id"]: one["id"] for one in (await client.get("/api/v1/albums")).json()["items"]}
    page = await visit.open()
    held = await hold_back(page, f"**/albums/{albums['pairs']}/duplicates*", "GET")
    await page.goto(f"{visit.url}/#/duplicates?album={albums['pairs']}")
    album = page.get_by_role("combobox", name="Album", exact=True)
    await expect(album).to_have_value(albums["pairs"])
    await album.select_option("people alone")
    await expect(page.get_by_role("main")).to_contain_text("No open groups")
    async with page.expect_response(f"**/albums/{albums['pairs']}/duplicates*"):
        held.set()
    await visit.settle(page)
    await expect(page.get_by_role("main")).to_contain_text("No open groups")
    await page.reload()
    await expect(album).to_have_value(albums["people alone"])


async def test_an_album_leads_to_its_own_duplicates(server: AppProcess, visit: Visit) -> None:
    await pairs(server, 2)
    async with server.client() as client:
        await fill_album(client, "the latest", (1,), (2,))
    page = await visit.open("/albums")
    await page.get_by_role("link", name="pairs").click()
    await page.get_by_role("link", name="Review duplicates").click()
    await expect(page.get_by_role("heading", level=2)).to_have_text("Group 1 of 2")


async def test_a_name_that_is_written_while_another_is_being_saved_is_saved_too(
    server: AppProcess, visit: Visit
) -> None:
    async with server.client() as client:
        await fill_album(client, "holiday", (1, 2), (1,), (3,), (1, 2))
    page = await visit.open("/people")
    fields = page.get_by_label("Name")
    await expect(fields).to_have_count(3)
    second_is_written = await hold_back(page, "**/api/v1/people/*", "PATCH")
    await fields.nth(0).fill("Eva")
    await fields.nth(0).press("Enter")
    await fields.nth(1).fill("Ben")
    await fields.nth(1).press("Enter")
    second_is_written.set()
    async with server.client() as client:
        await expect(page.get_by_role("status")).to_have_text("Saved.")
        await visit.settle(page)
        assert {one["name"] for one in await list_people(client)} == {"Eva", "Ben", None}


async def test_who_types_and_goes_to_another_page_stays_there(server: AppProcess, visit: Visit) -> None:
    async with server.client() as client:
        await client.post("/api/v1/images", files=[("file", ("1.png", encoded(an_image(seed=1), "PNG")))])
    page = await visit.open()
    await page.clock.install()
    await page.get_by_role("searchbox").fill("dog")
    await page.get_by_role("link", name="Jobs").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
    await page.clock.run_for(2000)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")


async def test_a_picture_that_is_looked_at_stays_while_others_come_in(
    server: AppProcess, visit: Visit, tmp_path: Path
) -> None:
    visit.expects(NEW)
    async with server.client() as client:
        await client.post("/api/v1/images", files=[("file", ("first.png", encoded(an_image(seed=1), "PNG")))])
    page = await visit.open()
    await expect(page.get_by_role("listitem").get_by_role("img")).to_have_count(1)
    go_on = await hold_back(page, "**/api/v1/images", "POST")
    new = tmp_path / "new.png"
    new.write_bytes(encoded(an_image(seed=2), "PNG"))
    await drop(page, [new])
    await page.get_by_role("button", name="Open first.png").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("heading")).to_have_text("first.png")
    go_on.set()
    await expect(page.locator(".tile")).to_have_count(2)
    await expect(dialog.get_by_role("heading")).to_have_text("first.png")
    # The button has no next picture, and with that no focus: the keyboard still leads back.
    await expect(dialog.get_by_role("button", name="Next picture")).to_be_disabled()
    await dialog.get_by_role("button", name="Previous picture").click()
    await expect(dialog.get_by_role("heading")).to_have_text("new.png")
    await page.keyboard.press("ArrowRight")
    await expect(dialog.get_by_role("heading")).to_have_text("first.png")


async def test_files_that_come_in_while_another_page_is_open_are_there_on_return(
    server: AppProcess, visit: Visit, tmp_path: Path
) -> None:
    visit.expects(NEW)
    files = []
    for seed in range(3):
        files.append(tmp_path / f"{seed}.png")
        files[-1].write_bytes(encoded(an_image(seed=seed), "PNG"))
    page = await visit.open()
    go_on = await hold_back(page, "**/api/v1/images", "POST")
    await drop(page, files)
    await expect(page.get_by_label("Uploads").first).to_contain_text("sending")
    await page.get_by_role("link", name="Jobs").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
    await page.get_by_role("link", name="Library").click()
    await expect(page.get_by_label("Uploads").first).to_contain_text("sending")
    go_on.set()
    await expect(page.locator(".tile")).to_have_count(3)


async def test_who_has_scrolled_far_stays_there_while_files_come_in(
    server: AppProcess, visit: Visit, tmp_path: Path
) -> None:
    visit.expects(NEW)
    await fill_library(server, MANY)
    page = await visit.context.new_page()
    await open_library(page, server.url)
    await scroll_to_the_end(page)
    oldest = page.get_by_role("button", name="IMG_1.jpg")
    await expect(oldest).to_be_visible()
    new = tmp_path / "new.png"
    new.write_bytes(encoded(an_image(seed=99), "PNG"))
    await drop(page, [new])
    await expect(page.get_by_label("Uploads").first).to_contain_text("1 of 1 done")
    await visit.settle(page)
    await expect(oldest).to_be_visible()
    await page.evaluate("scrollTo(0, 0)")
    await expect(page.get_by_role("button", name="Open new.png")).to_be_visible()
