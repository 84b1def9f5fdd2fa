"""The page Generate: a part of a picture that changes, a second pass, and settings that are found again."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest_asyncio
from PIL import Image
from playwright.async_api import Browser, Page, expect

from tests.support.app_process import AppProcess, a_server
from tests.support.builders import encoded
from tests.support.visits import Visit

SIDE = 256


@pytest_asyncio.fixture()
async def server(browser: Browser, postgres: str, tmp_path: Path) -> AsyncIterator[AppProcess]:
    """A server with a diffusion engine, which makes the negative of what it may change, and a dark picture."""
    async with a_server(postgres, tmp_path, engines="diffusing") as process:
        async with process.client() as client:
            dark = encoded(np.full((SIDE, SIDE, 3), 40, np.uint8), "PNG")
            await client.post("/api/v1/images", files=[("file", ("dark.png", dark))])
        yield process


async def _begin_with_the_picture(visit: Visit) -> Page:
    page = await visit.open("/generate")
    await page.get_by_text("Start from a picture").click()
    await page.get_by_role("button", name="Use dark.png").click()
    await page.get_by_label("Change a part only").check()
    await expect(page.get_by_role("group", name="What changes")).to_be_visible()
    return page


async def _make(page: Page) -> np.ndarray:
    """-> pixels of the picture that is made"""
    await page.get_by_role("button", name="Make", exact=True).click()
    link = page.get_by_role("link", name="Download")
    await expect(link).to_be_visible()
    answer = await page.request.get(f"{page.url.partition('/#')[0]}{await link.get_attribute('href')}")
    return np.asarray(Image.open(io.BytesIO(await answer.body())).convert("RGB"))


async def test_a_part_is_chosen_by_numbers_with_the_keyboard_alone(visit: Visit) -> None:
    page = await _begin_with_the_picture(visit)
    await page.get_by_text("A rectangle by numbers").click()
    for label, share in (("From the left", 50), ("From the top", 0), ("Width", 50), ("Height", 100)):
        await page.get_by_role("group", name="What changes").get_by_label(label).fill(str(share))
    await page.get_by_role("group", name="What changes").get_by_label("Height").press("Enter")
    made = await _make(page)
    height, width = made.shape[:2]
    assert width == height, "in the proportions of the picture"
    assert made[height // 2, width // 8].max() < 60
    assert made[height // 2, width * 7 // 8].min() > 190


async def _draw(page: Page, height: float) -> None:
    """Draw a line across the picture, at this share of its height."""
    canvas = page.locator("canvas")
    await canvas.scroll_into_view_if_needed()
    box = await canvas.bounding_box()
    assert box is not None
    row = box["y"] + box["height"] * height
    await page.mouse.move(box["x"] + box["width"] * 0.2, row)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] * 0.8, row, steps=5)
    await page.mouse.up()


async def test_a_part_is_painted_and_erased(visit: Visit) -> None:
    page = await _begin_with_the_picture(visit)
    await page.get_by_label("Brush").fill("20")
    await _draw(page, 0.25)
    await _draw(page, 0.75)
    await page.get_by_role("button", name="Erase", exact=True).click()
    await _draw(page, 0.25)
    made = await _make(page)
    height, width = made.shape[:2]
    assert made[height // 4, width // 2].max() < 60, "erased"
    assert made[height * 3 // 4, width // 2].min() > 190, "painted"


async def test_where_nothing_is_painted_the_page_says_so(visit: Visit) -> None:
    page = await _begin_with_the_picture(visit)
    await page.get_by_role("button", name="Make", exact=True).click()
    await expect(page.get_by_role("alert")).to_contain_text("Paint over what is to change first")


async def test_a_second_pass_and_a_vae_are_asked_for_and_found_again_with_the_picture(visit: Visit) -> None:
    page = await visit.open("/generate")
    await page.get_by_role("textbox", name="Prompt").fill("a lighthouse")
    await page.get_by_label("Larger in a second pass").check()
    await page.get_by_label("2 times as large").fill("1.5")
    await page.get_by_label("Enlarged by").select_option("Lanczos")
    await page.get_by_label("VAE").select_option("clear")
    made = await _make(page)
    assert made.shape[:2] == (768, 768)
    await page.evaluate("sessionStorage.clear()")
    fresh = await visit.open("/generate")
    await expect(fresh.get_by_label("Larger in a second pass")).not_to_be_checked()
    await fresh.get_by_role("button", name="Settings").click()
    await expect(fresh.get_by_role("textbox", name="Prompt")).to_have_value("a lighthouse")
    await expect(fresh.get_by_label("Larger in a second pass")).to_be_checked()
    await expect(fresh.get_by_label("Enlarged by")).to_have_value("Lanczos")
    await expect(fresh.get_by_label("1.5 times as large: 768 × 768")).to_be_visible()
    await expect(fresh.get_by_label("VAE")).to_have_value("clear")


async def test_a_picture_to_start_from_stays_chosen_while_it_is_folded_together(visit: Visit) -> None:
    page = await _begin_with_the_picture(visit)
    await _draw(page, 0.5)
    await page.get_by_text("Start from a picture").click()
    await expect(page.get_by_role("group", name="What changes")).to_be_hidden()
    await expect(page.get_by_text("Start from a picture: dark.png")).to_be_visible()
    made = await _make(page)
    assert made[len(made) // 2, len(made) // 2].min() > 190, "painted"
    assert made[len(made) // 8, len(made) // 2].max() < 60, "the picture itself"


async def test_a_second_pass_is_in_sight_until_there_is_a_picture_to_start_from(visit: Visit) -> None:
    page = await visit.open("/generate")
    second = page.get_by_label("Larger in a second pass")
    await second.check()
    await page.get_by_text("Start from a picture").click()
    await expect(page.get_by_role("button", name="Use dark.png")).to_be_visible()
    await expect(second).to_be_checked()
    await page.get_by_role("button", name="Use dark.png").click()
    await expect(second).to_have_count(0)
