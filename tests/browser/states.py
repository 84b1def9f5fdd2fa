"""A server that has something of everything, and the states in which each page of the app is looked at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory

from playwright.async_api import Page, expect
from sqlalchemy import text

from serve_app.store.session import Database
from tests.browser.test_duplicates import pairs
from tests.browser.test_trash import throw_away
from tests.support.app_process import AppProcess, a_server
from tests.support.people import fill_album
from tests.support.visits import Visit, drop, routes_of

State = Callable[[Page], Awaitable[None]]


@asynccontextmanager
async def a_full_server(postgres: str) -> AsyncIterator[AppProcess]:
    """Start a server with people and a question about them, groups of duplicates, and jobs that ended badly."""
    with TemporaryDirectory() as folder:
        async with a_server(postgres, Path(folder)) as server:
            async with server.client() as client:
                await fill_album(client, "holiday", (1, 2), (1,), (3,), (1,), (1,))
                [person, *_] = (await client.get("/api/v1/people")).json()["items"]
                await client.patch(f"/api/v1/people/{person['id']}", json={"name": "Éva 김"})
            await pairs(server, 3, exact=2)
            await throw_away(server, 3)
            await _let_jobs_fail(server)
            yield server


async def _let_jobs_fail(server: AppProcess) -> None:
    database = Database(server.settings.database_url or "", application_name="tests", pool_size=1)
    async with database.transaction() as session:
        said = '{"title": "Unavailable", "detail": "No engine answers.", "status": 503}'
        change = (
            "UPDATE jobs SET status = CAST(:status AS varchar), problem = CAST(:problem AS jsonb) WHERE kind = :kind"
        )
        await session.execute(text(change), {"status": "failed", "problem": said, "kind": "tags"})
        await session.execute(text(change), {"status": "cancelled", "problem": None, "kind": "people"})
    await database.close()


async def walk(visit: Visit) -> AsyncIterator[tuple[str, Page]]:
    """Show each page that the navigation leads to, and the states that a visitor brings them into. -> name, page"""
    page = await visit.open()
    for route in await routes_of(page):
        await visit.show(page, route)
        yield route, page
    for name, (route, bring) in STATES.items():
        await visit.show(page, route)
        await bring(page)
        await visit.settle(page)
        yield name, page
        await page.goto("about:blank")
        await page.goto(visit.url)  # a reload would open a large picture again


async def _album(page: Page) -> None:
    await page.get_by_role("link", name="holiday").click()
    await expect(page.get_by_role("listitem").get_by_role("img")).to_have_count(5)


async def _large_picture(page: Page) -> None:
    await _album(page)
    await page.get_by_role("listitem").get_by_role("button").first.click()
    await expect(page.get_by_role("dialog")).to_be_visible()


async def _select_two(page: Page) -> None:
    for place in (0, 1):
        await page.get_by_role("listitem").get_by_role("checkbox").nth(place).check()


async def _tag_two(page: Page) -> None:
    await _select_two(page)
    english, korean = (page.get_by_role("button", name=name, exact=True) for name in ("Tags", "태그"))
    await english.or_(korean).click()
    await expect(page.get_by_role("combobox").last).to_be_visible()


async def _person(page: Page) -> None:
    await page.get_by_role("link", name="Éva 김").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Éva 김")
    await page.get_by_role("list").first.get_by_role("checkbox").first.check()


async def _plan(page: Page) -> None:
    await page.locator("button.all").click()
    await expect(page.get_by_role("dialog")).to_be_visible()


async def _compared(page: Page) -> None:
    await expect(page.locator("[data-id]").first).to_be_visible()
    await page.keyboard.down("Space")
    await expect(page.locator(".instead")).to_have_count(1)


async def _upload(page: Page) -> None:
    with NamedTemporaryFile(prefix="a_letter_with_quite_a_long_name_for_what_is_no_picture_", suffix=".jpg") as letter:
        letter.write(b"Dear friend, this is no picture.")
        letter.flush()
        await drop(page, [Path(letter.name)])
        await expect(page.locator("section progress")).to_have_attribute("value", "1")


async def _search_in_vain(page: Page) -> None:
    await _album(page)
    await page.get_by_role("searchbox").fill("nothing of the kind")
    await page.get_by_role("searchbox").press("Enter")


async def _paint(page: Page) -> None:
    form = page.locator("form:has(textarea)")
    await form.locator("summary").first.click()
    await form.get_by_role("listitem").get_by_role("button").first.click()
    await form.locator("details").get_by_role("checkbox").first.check()
    await form.get_by_role("group").locator("summary").last.click()
    await expect(page.locator("canvas")).to_be_visible()


async def _enlarge(page: Page) -> None:
    form = page.locator("form:has(textarea)")
    await form.get_by_role("checkbox").last.check()
    await expect(form.get_by_role("slider")).to_have_count(2)


STATES: dict[str, tuple[str, State]] = {
    "an album": ("/albums", _album),
    "a large picture": ("/albums", _large_picture),
    "selected pictures": ("/", _select_two),
    "tags of selected pictures": ("/", _tag_two),
    "merging": ("/people", _select_two),
    "a person": ("/people", _person),
    "all exact duplicates": ("/duplicates", _plan),
    "a comparison": ("/duplicates", _compared),
    "restoring": ("/trash", _select_two),
    "uploads": ("/", _upload),
    "a painted mask": ("/generate", _paint),
    "a second pass": ("/generate", _enlarge),
    "nothing found": ("/albums", _search_in_vain),
}
