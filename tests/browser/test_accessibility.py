"""Every page for everybody: read aloud, by keyboard, in both colour schemes, enlarged, on a phone, without motion."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect
from pydantic import SecretStr

from bench.tools.web_bundle import SOURCES
from configs.settings import Auth
from tests.browser.states import a_full_server, walk
from tests.support.accounts import ADMIN_KEY
from tests.support.app_process import AppProcess, a_server
from tests.support.visits import a_visit, routes_of

ROUTES = SOURCES / "src" / "routes"
BAD = {"serious", "critical"}
COMPLAINTS = ("by-sha256", "415", "422", "501")
"""Of what the states are about."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def full_server(browser: Browser, postgres: str) -> AsyncIterator[AppProcess]:
    async with a_full_server(postgres) as server:
        yield server


async def _findings(page: Page) -> list[str]:
    """What axe finds that keeps somebody out."""
    found = (await Axe().run(page)).response["violations"]
    return [_say(one, node) for one in found if one["impact"] in BAD for node in one["nodes"]]


async def _findings_in_both_schemes(page: Page) -> list[str]:
    found = []
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=cast(Any, scheme))
        found += [f"{scheme}: {one}" for one in await _findings(page)]
    return found


def _say(found: dict[str, Any], node: dict[str, Any]) -> str:
    return f"{found['impact']}: {found['help']}: {node['html'][:120]} ({node['failureSummary'][:200]})"


async def test_axe_finds_nothing_that_keeps_anybody_out(browser: Browser, full_server: AppProcess) -> None:
    found: dict[str, list[str]] = {}
    async with a_visit(browser, full_server.url) as visit:
        visit.expects(*COMPLAINTS)
        async for name, page in walk(visit):
            found[name] = await _findings_in_both_schemes(page)
        visit.judge()
    assert len(found) >= 11
    assert {name: some for name, some in found.items() if some} == {}


async def test_axe_finds_nothing_on_pages_without_content_and_at_the_door(
    browser: Browser, postgres: str, tmp_path: Path
) -> None:
    found: dict[str, list[str]] = {}
    routes: list[str] = []
    for kind, auth in (("empty", Auth()), ("door", Auth(mode="api_key", admin_key=SecretStr(ADMIN_KEY)))):
        async with a_server(postgres, tmp_path / kind, auth=auth) as server, a_visit(browser, server.url) as visit:
            visit.expects("401", "501")
            page = await visit.open()
            routes = routes or await routes_of(page)  # nobody at the door is told what the server can do
            for route in routes:
                await visit.show(page, route)
                found[f"{kind} {route}"] = await _findings_in_both_schemes(page)
            visit.judge()
    assert {name: some for name, some in found.items() if some} == {}


async def test_the_navigation_leads_to_every_page(browser: Browser, full_server: AppProcess) -> None:
    """Or these tests, which follow it, would leave one out."""
    made = {path.parent.relative_to(ROUTES).as_posix() for path in ROUTES.rglob("+page.svelte")}
    async with a_visit(browser, full_server.url) as visit:
        linked = await routes_of(await visit.open())
    assert sorted(linked) == sorted(f"/{name}".replace("/.", "/") for name in made if "[" not in name)


async def test_axe_would_find_a_fault(browser: Browser, full_server: AppProcess) -> None:
    async with a_visit(browser, full_server.url) as visit:
        page = await visit.open()
        await page.evaluate("document.querySelector('main').innerHTML = '<img src=\"data:,\"><button></button>'")
        assert len(await _findings(page)) == 2


OUTLINED = """() => {
  const at = document.activeElement;
  if (!at || at === document.body) return null;
  for (let one = at, up = 0; one && up < 2; one = one.parentElement, up++) {
    const style = getComputedStyle(one);
    const { width, height } = one.getBoundingClientRect();
    if (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 && width > 8 && height > 8) return '';
  }
  return at.outerHTML.slice(0, 160);
}"""
"""Nothing for an element whose focus shows, else the element; null once the focus has left the page."""


async def test_what_has_the_focus_shows_it(browser: Browser, full_server: AppProcess) -> None:
    async with a_visit(browser, full_server.url) as visit:
        visit.expects(*COMPLAINTS)
        async for name, page in walk(visit):
            stops = int(await page.evaluate("document.activeElement !== document.body"))  # of a dialog, its first one
            for _ in range(40):
                await page.keyboard.press("Tab")
                hidden = await page.evaluate(OUTLINED)
                if hidden is None:
                    break
                assert hidden == "", f"{name}: the focus is on what does not show it: {hidden}"
                stops += 1
            assert stops > 1, name


async def test_the_first_stop_leads_past_the_navigation(browser: Browser, full_server: AppProcess) -> None:
    async with a_visit(browser, full_server.url) as visit:
        page = await visit.open("/jobs")
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("main")).to_be_focused()
        assert page.url.endswith("#/jobs")


MOVING = """() => [...document.querySelectorAll('*')].filter((one) => {
  const style = getComputedStyle(one);
  return style.animationName !== 'none' || style.transitionDuration.split(', ').some((time) => parseFloat(time) > 0);
}).map((one) => one.outerHTML.slice(0, 120)).concat(document.getAnimations().map(String))"""


async def test_nothing_moves_for_those_who_asked_for_less_motion(browser: Browser, full_server: AppProcess) -> None:
    async with a_visit(browser, full_server.url, reduced_motion="reduce") as visit:
        visit.expects(*COMPLAINTS)
        async for name, page in walk(visit):
            assert await page.evaluate(MOVING) == [], name
        await page.evaluate("document.body.animate([{ opacity: 0 }, { opacity: 1 }], 60000)")
        assert await page.evaluate(MOVING) != [], "the search would find something"


TOO_WIDE = """() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => {
  const scrolled = [document.documentElement, ...document.querySelectorAll('dialog[open]')];
  if (scrolled.every((one) => one.scrollWidth <= one.clientWidth)) return resolve([]);
  const wide = [...document.querySelectorAll('body *')].filter((one) => one.getBoundingClientRect().right > innerWidth);
  resolve(['the window scrolls', ...wide.map((one) => one.outerHTML.slice(0, 120))]);
})))"""
"""What reaches out of a window that scrolls sideways, once the page has been laid out."""


SMALL = {"at 200 % zoom": (640, 450), "on a phone": (390, 844)}


@pytest.mark.parametrize("locale", ["en-US", "ko-KR"])
async def test_no_page_is_wider_than_its_window(browser: Browser, full_server: AppProcess, locale: str) -> None:
    async with a_visit(browser, full_server.url, device_scale_factor=2, has_touch=True, locale=locale) as visit:
        visit.expects(*COMPLAINTS)
        async for name, page in walk(visit):
            for window, (width, height) in SMALL.items():
                await page.set_viewport_size({"width": width, "height": height})
                assert await page.evaluate(TOO_WIDE) == [], f"{name} {window}"
