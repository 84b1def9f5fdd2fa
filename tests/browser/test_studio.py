"""Pictures made of pictures: a style and an avatar, beside the original, kept and found again."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.support.app_process import AppProcess, a_server
from tests.support.builders import a_photo, encoded
from tests.support.visits import Visit

pytestmark = pytest.mark.weights


@pytest_asyncio.fixture()
async def server(browser: Browser, postgres: str, tmp_path: Path) -> AsyncIterator[AppProcess]:
    """A server with the engines that an installation has, and one portrait."""
    async with a_server(postgres, tmp_path, engines="real") as process:
        async with process.client() as client:
            portrait = encoded(a_photo("astronaut", 320))
            answer = await client.post("/api/v1/images", files=[("file", ("astronaut.jpg", portrait))])
            assert answer.status_code == 201, answer.text
        yield process


@pytest.mark.parametrize(("route", "thing"), [("/styles", "Watercolor"), ("/avatars", "Fox")])
async def test_a_picture_is_made_compared_kept_and_found_in_the_history(
    server: AppProcess, visit: Visit, route: str, thing: str
) -> None:
    page = await visit.open(route)
    await page.get_by_role("button", name="Use astronaut.jpg").click()
    await page.get_by_role("button", name=thing, exact=False).first.click()
    compare = page.get_by_label("Before and after")
    await expect(compare).to_be_visible()
    await compare.press("End")
    await expect(compare).to_have_attribute("aria-valuetext", "100 % before")
    await page.get_by_role("button", name="Keep in library").click()
    await expect(page.get_by_text("It is in your library.")).to_be_visible()
    await visit.settle(page)
    await visit.show(page, "/history")
    entry = page.get_by_role("main").get_by_role("listitem")
    await expect(entry).to_have_count(1)
    await expect(entry.get_by_role("heading")).to_contain_text(thing)
    await page.reload()
    await expect(entry).to_have_count(1)
    await visit.show(page, "/")
    await expect(page.get_by_role("listitem").get_by_role("img")).to_have_count(2)
    await visit.show(page, "/history")
    await entry.get_by_role("button", name="Take out").click()
    await expect(page.get_by_role("status").filter(has_text="Taken out")).to_be_visible()
    await visit.show(page, "/")
    await expect(page.get_by_role("listitem").get_by_role("img")).to_have_count(1)


async def test_a_double_click_makes_one_picture(server: AppProcess, visit: Visit) -> None:
    page = await visit.open("/styles")
    await page.get_by_role("button", name="Use astronaut.jpg").click()
    await page.get_by_role("button", name="Watercolor").click()
    await expect(page).to_have_url(re.compile("name=watercolor"))
    await page.get_by_role("spinbutton", name="Seed").fill("7")
    make = page.get_by_role("button", name="Make", exact=True)
    await make.dblclick()
    versions = page.get_by_role("button", name=re.compile(r"Watercolor, seed (7|…)"))
    await expect(versions).to_have_count(1)
    await expect(page.get_by_role("button", name="Watercolor, seed 7")).to_be_visible()
    await make.click()  # one that is made is made again by whoever asks again
    await expect(versions).to_have_count(2)


async def _shows(page: Page, style: str, strength: str, seed: str) -> None:
    await expect(page.get_by_role("heading", level=2, name=style)).to_be_visible()
    await expect(page.get_by_label("Strength")).to_have_value(strength)
    await expect(page.get_by_role("spinbutton", name="Seed")).to_have_value(seed)


async def test_the_style_and_how_it_is_made_are_in_the_address(server: AppProcess, visit: Visit) -> None:
    page = await visit.open("/styles")
    await page.get_by_role("button", name="Use astronaut.jpg").click()
    await page.get_by_role("button", name="Pencil drawing").click()
    await page.get_by_role("button", name="Watercolor").click()
    await page.get_by_label("Strength").fill("0.4")
    await page.get_by_role("spinbutton", name="Seed").fill("7")
    await expect(page).to_have_url(re.compile(r"picture=img_\w+&name=watercolor&seed=7&strength=0.4$"))
    await page.get_by_role("button", name="Make", exact=True).click()
    await expect(page.get_by_text("In your library", exact=False)).to_be_visible()
    await page.reload()
    await _shows(page, "Watercolor", "0.4", "7")
    await expect(page.get_by_text("In your library", exact=False)).to_be_visible()
    shared = await visit.open(page.url.partition("#")[2])
    await _shows(shared, "Watercolor", "0.4", "7")
    await page.go_back()
    await _shows(page, "Pencil drawing", "0.75", "1")
    await page.go_forward()
    await _shows(page, "Watercolor", "0.4", "7")
