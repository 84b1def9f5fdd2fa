"""An empty library offers a demo album, which is there with one click."""

from __future__ import annotations

from playwright.async_api import expect

from serve_app.services.albums import demo
from tests.support.app_process import AppProcess
from tests.support.builders import an_image, encoded
from tests.support.visits import Visit

FILES = len(demo.PHOTOGRAPHS) + len(demo.COPIED)


async def test_an_empty_library_has_a_demo_album_with_one_click(visit: Visit) -> None:
    page = await visit.open()
    await page.get_by_role("button", name="Try it with sample photographs").click()
    await expect(page.get_by_role("heading", name="demo")).to_be_visible()
    await expect(page.get_by_role("listitem").get_by_role("img")).to_have_count(FILES)
    await expect(page.get_by_label("Being analysed")).to_have_count(0)


async def test_a_library_with_pictures_offers_none(server: AppProcess, visit: Visit) -> None:
    async with server.client() as client:
        await client.post("/api/v1/images", files=[("file", ("a.png", encoded(an_image(), "PNG")))])
    page = await visit.context.new_page()
    async with page.expect_response("**/api/v1/capabilities"):
        await page.goto(visit.url)
    await expect(page.get_by_role("listitem").get_by_role("img")).to_have_count(1)
    await expect(page.get_by_text("sample photographs")).to_have_count(0)


async def test_photographs_that_could_not_be_brought_say_why(visit: Visit) -> None:
    visit.expects("507")
    page = await visit.open()
    full = {"status": 507, "json": {"detail": "The disk is full."}}
    await page.route("**/api/v1/albums/demo", lambda route: route.fulfill(**full), times=1)
    await page.get_by_role("button", name="Try it with sample photographs").click()
    await expect(page.get_by_role("alert")).to_contain_text("The disk is full.")
    await page.get_by_role("button", name="Try it with sample photographs").click()
    await expect(page.get_by_role("heading", name="demo")).to_be_visible()
