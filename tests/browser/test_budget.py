"""What the app may weigh, ask for and hold, however many pictures there are. `bench.speed.web_grid` has the times."""

from __future__ import annotations

import gzip
import re

from playwright.async_api import Browser, Response, expect

from serve_app.api.web import FOLDER
from tests.support.app_process import AppProcess
from tests.support.large_library import fill_library
from tests.support.scrolling import TILES, open_library, scroll, scroll_to_the_end
from tests.support.visits import Visit, a_visit

MANY = 10_000
A_SCROLL = 2_000
"""Pictures to scroll through: many times the tiles that there may be, and each page of them takes a second."""
A_PAGE = 100
"""Pictures that one answer of a list may hold."""
ALL_SCRIPTS, FIRST_SCRIPTS = 180_000, 60_000
"""Most bytes of compressed JavaScript, of all pages and of the first one."""


def _compressed(content: bytes) -> int:
    return len(gzip.compress(content, 9))


def test_all_scripts_together_are_small() -> None:
    sizes = {path.name: _compressed(path.read_bytes()) for path in FOLDER.rglob("*.js")}
    assert 0 < sum(sizes.values()) <= ALL_SCRIPTS, sizes


async def test_the_first_pictures_need_few_requests_and_little_script(browser: Browser, server: AppProcess) -> None:
    await fill_library(server, MANY)
    async with a_visit(browser, server.url) as visit:
        page = await visit.context.new_page()
        answers: list[Response] = []
        page.on("response", lambda answer: answers.append(answer))
        await open_library(page, server.url)
        first = [one for one in answers if "/files/" not in one.url]
        assert len(first) <= 5, [one.url for one in first]
        scripts = [await one.body() for one in first if one.url.endswith(".js")]
        assert 0 < sum(map(_compressed, scripts)) <= FIRST_SCRIPTS
        lists = [await one.json() for one in first if "/api/" in one.url]
        assert [len(one["items"]) for one in lists] == [A_PAGE]


async def test_two_thousand_pictures_are_scrolled_through_with_few_tiles_and_page_by_page(
    server: AppProcess, visit: Visit
) -> None:
    await fill_library(server, A_SCROLL)
    page = await visit.context.new_page()
    await open_library(page, server.url)
    most = await scroll_to_the_end(page)
    assert await page.get_by_role("button", name="IMG_1.jpg", exact=False).count(), "the oldest is at the end"
    by_screens = await scroll(page, 30)
    await expect(page.locator(TILES).first).to_be_visible()
    assert max(most, by_screens.most_tiles) <= 300
    asked = [url for url in visit.requests if re.search(r"/api/v1/images\?", url)]
    assert len(asked) == A_SCROLL // A_PAGE
    assert all(re.search(rf"limit={A_PAGE}\b", url) for url in asked)


async def test_a_tile_loads_a_picture_of_its_size(server: AppProcess, visit: Visit) -> None:
    await fill_library(server, 20)
    page = await visit.context.new_page()
    await open_library(page, server.url)
    sources = await page.locator(f"{TILES} img").evaluate_all("all => all.map((one) => one.getAttribute('src'))")
    assert {source.partition("?")[2] for source in sources} == {"size=512"}
