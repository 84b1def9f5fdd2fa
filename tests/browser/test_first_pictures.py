"""A stranger drops a folder on the page, with the engines that an installation has."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.support.app_process import AppProcess, a_server
from tests.support.builders import a_photo, encoded
from tests.support.visits import Visit, drop

PHOTOS = (
    "astronaut brick camera cell chelsea chessboard_RGB clock_motion coffee color grass gravel horse hubble_deep_field "
    "ihc logo moon page retina rocket text microaneurysms motorcycle_left"
).split()
COPIED = ("astronaut", "chelsea", "coffee", "rocket")
"""Of each there is a smaller file and one of lower quality."""

pytestmark = pytest.mark.weights


@pytest_asyncio.fixture()
async def server(browser: Browser, postgres: str, tmp_path: Path) -> AsyncIterator[AppProcess]:
    async with a_server(postgres, tmp_path / "server", engines="real") as process:
        yield process


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty pictures in a folder, one of them below, and a letter that is called a picture."""
    folder = tmp_path / "holiday"
    (folder / "day 2").mkdir(parents=True)
    for place, name in enumerate(PHOTOS):
        below = folder / "day 2" if place == 0 else folder
        (below / f"{name}.jpg").write_bytes(encoded(a_photo(name, 640), quality=92))
    for name in COPIED:
        picture = a_photo(name, 640)
        half = np.asarray(cv2.resize(picture, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA))
        (folder / f"{name} small.jpg").write_bytes(encoded(half))
        (folder / f"{name} sent.jpg").write_bytes(encoded(picture, quality=60))
    (folder / "letter.jpg").write_bytes(b"Dear friend, this is no picture.")
    return folder


async def _add_all_to_an_album(page: Page, name: str, many: int) -> None:
    boxes = page.get_by_role("list").get_by_role("checkbox")
    await expect(boxes).to_have_count(many)
    await boxes.first.check()
    await boxes.last.click(modifiers=["Shift"])
    await expect(page.get_by_text(f"{many} selected")).to_be_visible()
    await page.get_by_role("button", name="Unselect all").click()
    await page.get_by_role("button", name=f"Select the {many} shown").click()
    await expect(page.get_by_text(f"{many} selected")).to_be_visible()
    await page.get_by_label("Name of the album").fill(name)
    await page.get_by_role("button", name="Add to album").click()
    await expect(page.get_by_role("heading", name=name)).to_be_visible()


async def test_a_stranger_drops_thirty_pictures_and_finds_the_duplicates(
    visit: Visit, folder: Path, tmp_path: Path
) -> None:
    visit.expects("404 .*/by-sha256/", "415 .*/api/v1/images$")
    page = await visit.open()
    await expect(page.get_by_role("main")).to_contain_text("nothing leaves this machine")
    await drop(page, [folder])
    await expect(page.get_by_label("Uploads").first).to_contain_text("30 of 31 done, 1 not taken")
    await expect(page.get_by_role("listitem").filter(has_text="letter.jpg")).to_contain_text("rejected: ")
    await drop(page, [folder / "coffee.jpg"])
    await expect(page.get_by_role("listitem").filter(has_text="was here already")).to_have_count(1)
    await _add_all_to_an_album(page, "Holiday", 30)
    await expect(page.get_by_label("Being analysed")).to_be_visible()
    await expect(page.get_by_label("Being analysed")).to_have_count(0)
    await page.get_by_label("Search").fill("cat")
    await page.get_by_role("button", name="Search").click()
    await expect(page.get_by_role("main").get_by_role("img").first).to_have_attribute("alt", re.compile("cat"))
    await page.get_by_role("link", name="Duplicates", exact=True).click()
    await expect(page.get_by_role("heading", level=2)).to_contain_text("Group 1 of 4")
