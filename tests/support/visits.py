"""A visitor's browser: Debian's Chromium, which writes down what pages ask for and complain of."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import (
    Browser,
    BrowserContext,
    CDPSession,
    ConsoleMessage,
    Page,
    Request,
    async_playwright,
    expect,
)

PATIENCE_MS = 120_000
"""A busy machine takes its time, and a wait that ends early says nothing of the page."""
HOW_TO_INSTALL = "no Chromium on the PATH: install it (on Debian and Ubuntu: apt-get install chromium)"
AWAY = r"net::ERR_(CONNECTION_|EMPTY_RESPONSE|SOCKET_|INCOMPLETE_CHUNKED|CONTENT_LENGTH_MISMATCH)"
"""What the browser complains of while a server restarts, and of answers that end with it."""
_STILL = 6
"""Frames in a row without a request, after which a page has what it wants."""
_A_FRAME_WITH_PICTURES = """() => new Promise((resolve) => requestAnimationFrame(() => {
  const seen = [...document.images].filter((one) => {
    const { top, bottom } = one.getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
  });
  resolve(seen.every((one) => one.complete));
}))"""
_HAS_LEARNT = """() => performance.getEntriesByType("resource").some(
  (one) => one.name.endsWith("/api/v1/capabilities") && one.responseEnd
) && new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve(true))))"""
_FROM_PLAIN_FILES = ("data:", "blob:")
expect.set_options(timeout=PATIENCE_MS)


def find_chromium() -> str | None:
    """Find the browser's program."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Start a browser that reaches nothing but the loopback interface."""
    program = find_chromium()
    if program is None:
        raise FileNotFoundError(HOW_TO_INSTALL)
    cut_off = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    async with async_playwright() as playwright:
        options = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", cut_off]
        browser = await playwright.chromium.launch(executable_path=program, args=options, timeout=PATIENCE_MS)
        yield browser
        await browser.close()


class Visit:
    """Cookies and storage of one visitor, and what happened on the pages."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context = context
        self.url = url
        self.requests: list[str] = []
        self.streams: list[Request] = []
        self.complaints: list[str] = []
        self._expected: list[str] = []
        self._under_way: set[Request] = set()
        context.set_default_timeout(PATIENCE_MS)
        context.on("request", self._note)
        context.on("requestfinished", lambda request: self._under_way.discard(request))
        context.on("requestfailed", lambda request: self._under_way.discard(request))
        context.on("console", self._hear)
        context.on("weberror", lambda error: self.complaints.append(f"uncaught: {error.error}"))

    async def open(self, route: str = "/") -> Page:
        """Open a page of the app in a new tab."""
        page = await self.context.new_page()
        await page.goto(f"{self.url}/#{route}")
        await expect(page.get_by_role("main")).to_be_visible()
        return page

    async def show(self, page: Page, route: str) -> None:
        """Go to another page of the navigation, and wait until it has settled."""
        await page.locator(f'nav a[href="#{route}"]').click()
        await self.settle(page)

    async def settle(self, page: Page) -> None:
        """Wait until nothing is asked of the server, and all that is to be seen of pictures is there."""
        async with asyncio.timeout(PATIENCE_MS / 1000):
            still = 0
            while still < _STILL:
                has_pictures = await page.evaluate(_A_FRAME_WITH_PICTURES)
                still = still + 1 if has_pictures and not self._under_way else 0

    def expects(self, *patterns: str) -> None:
        """Complaints of the browser that match are what the test is about."""
        self._expected += patterns

    def judge(self) -> None:
        """Assert that nothing was asked of another server and that the console holds no error."""
        foreign = [url for url in self.requests if not url.startswith((self.url, *_FROM_PLAIN_FILES))]
        assert not foreign, f"asked of other servers: {foreign}"
        unexpected = [one for one in self.complaints if not any(re.search(known, one) for known in self._expected)]
        assert not unexpected, f"the console says: {unexpected}"

    def _note(self, request: Request) -> None:
        self.requests.append(request.url)
        if request.resource_type == "eventsource":
            self.streams.append(request)  # it never ends
        else:
            self._under_way.add(request)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(f"{message.text} {message.location['url']}")


@asynccontextmanager
async def a_visit(browser: Browser, url: str, **options: Any) -> AsyncIterator[Visit]:
    """Let somebody visit the app at `url` in English, whose browser is set by playwright's options of a context."""
    context = await browser.new_context(**{"locale": "en-US", "viewport": {"width": 1280, "height": 900}, **options})
    try:
        yield Visit(context, url)
    finally:
        await context.close()


async def routes_of(page: Page) -> list[str]:
    """List the pages that the app's own navigation leads to, once it has learnt what the server can do."""
    await page.wait_for_function(_HAS_LEARNT)  # later than a page that has what it shows
    links = await page.get_by_role("navigation").get_by_role("link").all()
    hrefs = [await link.get_attribute("href") for link in links]
    return [str(href).removeprefix("#") for href in hrefs]


async def drop(page: Page, paths: Sequence[Path]) -> None:
    """Drag files or folders of this machine over the page and let them go, as a hand does."""
    session: CDPSession = await page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        await session.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})
    await session.detach()
