"""The large picture is a step of the browser's history, which the way back takes."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, expect

from tests.support.app_process import AppProcess
from tests.support.builders import an_image, encoded
from tests.support.visits import Visit

OTHER_PAGE = re.compile(r"#/jobs$")


async def _pictures(server: AppProcess, many: int) -> None:
    async with server.client() as client:
        for seed in range(many):
            file = (f"{seed}.png", encoded(an_image(seed=seed), "PNG"))
            await client.post("/api/v1/images", files=[("file", file)])


async def _throw_away(server: AppProcess, name: str) -> None:
    async with server.client() as client:
        [image] = [one for one in (await client.get("/api/v1/images")).json()["items"] if one["filename"] == name]
        await client.post("/api/v1/images/batch", json={"ids": [image["id"]], "action": "trash"})


async def _library_after_another_page(visit: Visit) -> Page:
    page = await visit.open("/jobs")
    await visit.show(page, "/")
    return page


async def _lists(visit: Visit) -> int:
    return len([url for url in visit.requests if re.search(r"/api/v1/images\?", url)])


async def test_the_way_back_closes_the_large_picture_and_then_leaves_the_page(server: AppProcess, visit: Visit) -> None:
    await _pictures(server, 3)
    page = await _library_after_another_page(visit)
    tile = page.get_by_role("button", name="Open 1.png")
    await tile.click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_be_visible()
    await page.keyboard.press("ArrowRight")
    await expect(page.get_by_role("dialog", name="0.png")).to_be_visible()
    asked = await _lists(visit)
    await page.go_back()
    await expect(dialog).to_have_count(0)
    await expect(tile).to_be_focused()
    await expect(page).to_have_url(f"{visit.url}/#/")
    await visit.settle(page)
    assert await _lists(visit) == asked, "the library is as it was, and not read anew"
    await page.go_back()
    await expect(page).to_have_url(OTHER_PAGE)


async def test_a_large_picture_that_is_closed_leaves_no_step_behind(server: AppProcess, visit: Visit) -> None:
    await _pictures(server, 1)
    page = await _library_after_another_page(visit)
    tile = page.get_by_role("button", name="Open 0.png")
    dialog = page.get_by_role("dialog")
    before = await page.evaluate("history.length")
    for end in ("Escape", "Close", "Escape"):
        await tile.click()
        await expect(dialog).to_be_visible()
        if end == "Close":
            await dialog.get_by_role("button", name=end).click()
        else:
            await page.keyboard.press(end)
        await expect(dialog).to_have_count(0)
        await expect(tile).to_be_focused()
        await page.wait_for_function("() => !history.state['sveltekit:states']?.large")
    assert await page.evaluate("history.length") == before + 1, "the one that leads forward"
    await page.go_back()
    await expect(page).to_have_url(OTHER_PAGE)


async def test_a_picture_that_was_left_for_another_page_is_open_again_on_return(
    server: AppProcess, visit: Visit
) -> None:
    await _pictures(server, 2)
    page = await visit.open()
    await page.get_by_role("button", name="Open 1.png").click()
    await page.get_by_role("dialog").get_by_role("link", name="Styles").click()
    await expect(page.get_by_role("heading", level=1, name="Styles")).to_be_visible()
    await page.go_back()
    await expect(page.get_by_role("dialog", name="1.png")).to_be_visible()
    await page.go_back()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page).to_have_url(f"{visit.url}/#/")


async def test_after_a_reload_the_large_picture_is_open_again_and_the_way_back_closes_it(
    server: AppProcess, visit: Visit
) -> None:
    await _pictures(server, 2)
    page = await _library_after_another_page(visit)
    await page.get_by_role("button", name="Open 0.png").click()
    dialog = page.get_by_role("dialog", name="0.png")
    await expect(dialog).to_be_visible()
    for _ in range(2):
        await page.reload()
        await expect(dialog).to_be_visible()
    await page.go_back()
    await expect(dialog).to_have_count(0)
    await expect(page.get_by_role("button", name="Open 0.png")).to_be_visible()
    await page.go_back()
    await expect(page).to_have_url(OTHER_PAGE)


@pytest.mark.parametrize("way", ["a reload", "another page"])
async def test_a_large_picture_that_is_gone_on_return_leaves_no_step_behind(
    server: AppProcess, visit: Visit, way: str
) -> None:
    await _pictures(server, 2)
    page = await _library_after_another_page(visit)
    step = await page.evaluate("history.state['sveltekit:history']")
    await page.get_by_role("button", name="Open 0.png").click()
    await expect(page.get_by_role("dialog", name="0.png")).to_be_visible()
    if way == "another page":
        await page.get_by_role("dialog").get_by_role("link", name="Styles").click()
        await expect(page.get_by_role("heading", level=1, name="Styles")).to_be_visible()
    await _throw_away(server, "0.png")
    await (page.go_back() if way == "another page" else page.reload())
    await expect(page.get_by_role("button", name="Open 1.png")).to_be_visible()
    await page.wait_for_function("(step) => history.state['sveltekit:history'] === step", arg=step)
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.go_back()
    await expect(page).to_have_url(OTHER_PAGE)
