"""Groups of duplicates, reviewed without a mouse."""

from __future__ import annotations

from typing import Any

import httpx
from playwright.async_api import Page, expect

from tests.support.app_process import AppProcess
from tests.support.builders import an_image, encoded
from tests.support.visits import Visit

ALBUM = "/api/v1/albums"
MANY = 100


async def pairs(server: AppProcess, many: int) -> None:
    """Fill an album with pictures in two files each, a lossless and a lossy one, and look for duplicates."""
    async with server.client() as client:
        await _make_pairs(client, many)


async def _make_pairs(client: httpx.AsyncClient, many: int) -> None:
    files = []
    for seed in range(many):
        picture = an_image(seed=seed)
        files += [(f"{seed}.png", encoded(picture, "PNG")), (f"{seed}.jpg", encoded(picture, quality=95))]
    stored = await client.post("/api/v1/images", files=[("file", file) for file in files])
    urls = [image["url"] for image in stored.json()["images"]]
    await client.post(f"{ALBUM}/embeddings", json={"images": urls, "album_id": "pairs"})
    answer = await client.post(f"{ALBUM}/duplicates", json={"album_id": "pairs", "level": "copy"})
    assert answer.status_code == 200, answer.text


async def _left(server: AppProcess, status: str) -> list[dict[str, Any]]:
    async with server.client() as client:
        answer = await client.get(f"{ALBUM}/pairs/duplicates", params={"status": status, "limit": 200})
    return list(answer.json()["items"])


async def _go_to_duplicates_by_keyboard(page: Page) -> None:
    link = page.get_by_role("link", name="Duplicates", exact=True)
    while not await link.evaluate("link => link === document.activeElement"):
        await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")


async def test_a_hundred_groups_are_reviewed_by_keyboard_alone(server: AppProcess, visit: Visit) -> None:
    await pairs(server, MANY)
    page = await visit.open()
    await _go_to_duplicates_by_keyboard(page)
    for left in range(MANY, 0, -1):
        await expect(page.get_by_role("heading", level=2)).to_have_text(f"Group 1 of {left}")
        await page.keyboard.press("n" if left % 10 == 0 else "Enter")
    await expect(page.get_by_role("main")).to_contain_text("No open groups of duplicates")
    resolved = await _left(server, "resolved")
    assert len(resolved) == MANY - MANY // 10
    assert await _left(server, "open") == []


async def test_keys_choose_what_is_kept_go_to_other_groups_and_take_back(server: AppProcess, visit: Visit) -> None:
    await pairs(server, 3)
    page = await visit.open()
    await _go_to_duplicates_by_keyboard(page)
    heading, members = page.get_by_role("heading", level=2), page.locator("[aria-pressed]")
    await expect(heading).to_have_text("Group 1 of 3")
    kept = [await one.get_attribute("aria-pressed") for one in await members.all()]
    assert sorted(map(str, kept)) == ["false", "true"]
    await page.keyboard.press("1")
    await page.keyboard.press("2")
    assert [await one.get_attribute("aria-pressed") for one in await members.all()] == kept[::-1]
    await page.keyboard.press("ArrowRight")
    await expect(heading).to_have_text("Group 2 of 3")
    await page.keyboard.press("ArrowLeft")
    await expect(heading).to_have_text("Group 1 of 3")
    await page.keyboard.press("Enter")
    await expect(heading).to_have_text("Group 1 of 2")
    await page.keyboard.press("u")
    await expect(heading).to_have_text("Group 1 of 3")
    assert len(await _left(server, "open")) == 3


async def test_neither_nothing_nor_everything_of_a_group_goes_to_the_trash(server: AppProcess, visit: Visit) -> None:
    await pairs(server, 1)
    page = await visit.open("/duplicates")
    await expect(page.get_by_role("heading", level=2)).to_have_text("Group 1 of 1")
    accept = page.get_by_role("button", name="Keep 1, trash 1")
    await expect(accept).to_be_enabled()
    best = 1 if await page.locator("[aria-pressed]").first.get_attribute("aria-pressed") == "true" else 2
    for key, name in ((best, "Keep 0, trash 2"), (best, "Keep 1, trash 1"), (3 - best, "Keep 2, trash 0")):
        await page.keyboard.press(str(key))
        button = page.get_by_role("button", name=name)
        await expect(button).to_be_enabled(enabled="1, trash 1" in name)
    await page.keyboard.press("Enter")
    await expect(button).to_be_disabled()
    assert len(await _left(server, "open")) == 1
