"""Pages hear of changes by one stream of events, whatever happens to it, and ask by themselves where there is none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.browser.test_jobs import ask_for_tags
from tests.support.app_process import AppProcess, a_server
from tests.support.builders import an_image, encoded
from tests.support.visits import AWAY, Visit, a_visit

STREAM = "**/api/v1/events"
JOBS = "**/api/v1/jobs?*"
HIDE = """(isHidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => isHidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest_asyncio.fixture()
async def server(browser: Browser, postgres: str, tmp_path: Path) -> AsyncIterator[AppProcess]:
    """A server whose jobs wait."""
    async with a_server(postgres, tmp_path, engines="none") as process:
        yield process


async def _jobs(visit: Visit) -> Page:
    """Open the page of jobs, and wait until it is told of changes."""
    page = await visit.context.new_page()
    async with page.expect_response(lambda answer: answer.url.endswith("/events") and answer.ok):
        await page.goto(f"{visit.url}/#/jobs")
    async with page.expect_response(JOBS):  # it looks once more as soon as it is told
        pass
    return page


def _asked(visit: Visit) -> int:
    return sum("/api/v1/jobs?" in url for url in visit.requests)


async def test_a_page_that_is_told_of_changes_shows_them_and_asks_for_nothing_between(
    server: AppProcess, visit: Visit
) -> None:
    page = await visit.context.new_page()
    await page.clock.install()
    async with page.expect_response(STREAM):
        await page.goto(f"{visit.url}/#/jobs")
    await expect(page.get_by_role("main")).to_contain_text("No jobs.")
    await visit.settle(page)
    before = _asked(visit)
    await page.clock.run_for(30_000)
    await visit.settle(page)
    assert _asked(visit) == before
    await ask_for_tags(server)
    while not await page.get_by_text("waiting").count():
        await page.clock.run_for(100)
    await expect(page.get_by_role("main")).to_contain_text("Tags waiting")


async def test_after_a_restart_of_the_server_the_stream_goes_on_after_what_it_has_told(
    server: AppProcess, visit: Visit
) -> None:
    visit.expects(AWAY)
    page = await _jobs(visit)
    await ask_for_tags(server)
    await expect(page.get_by_role("main")).to_contain_text("Tags waiting")
    server.kill()
    await expect(page.get_by_role("alert")).to_contain_text("The server does not answer")
    async with page.expect_response(lambda answer: answer.url.endswith("/events") and answer.ok) as back:
        server.start("fake")
    assert await (await back.value).request.header_value("last-event-id")
    await expect(page.get_by_role("main")).to_contain_text("Tags done")
    await expect(page.get_by_role("alert")).to_have_count(0)


async def test_several_tabs_share_a_stream_and_the_next_takes_over_when_one_is_closed(
    server: AppProcess, visit: Visit
) -> None:
    first = await _jobs(visit)
    tabs = [await visit.open("/jobs") for _ in range(7)]
    for tab in tabs:
        await expect(tab.get_by_role("main")).to_contain_text("No jobs.")
    await ask_for_tags(server)
    for tab in (first, *tabs):
        await expect(tab.get_by_role("main")).to_contain_text("Tags waiting")
    assert len(visit.streams) == 1
    async with visit.context.expect_event("response", lambda answer: answer.url.endswith("/events")):
        await first.close()
    await ask_for_tags(server)
    for tab in tabs:
        await expect(tab.get_by_role("main").get_by_text("Tags", exact=True)).to_have_count(2)
    assert len(visit.streams) == 2


async def test_a_tab_that_is_out_of_sight_for_long_ends_its_stream_and_takes_it_up_when_it_is_seen(
    server: AppProcess, visit: Visit
) -> None:
    page = await visit.context.new_page()
    await page.clock.install()
    async with page.expect_response(STREAM):
        await page.goto(f"{visit.url}/#/jobs")
    await page.evaluate(HIDE, True)
    async with page.expect_event("requestfailed", lambda request: request.url.endswith("/events")):
        await page.clock.run_for(61_000)
    await ask_for_tags(server)
    await expect(page.get_by_role("main")).to_contain_text("No jobs.")
    async with page.expect_response(STREAM):
        await page.evaluate(HIDE, False)
    await expect(page.get_by_role("main")).to_contain_text("Tags waiting")


async def test_where_streams_are_refused_a_page_asks_by_itself_and_seldom_for_a_stream(
    server: AppProcess, visit: Visit
) -> None:
    visit.expects("429")
    page = await visit.context.new_page()
    await page.clock.install()
    said = {"title": "Overloaded", "detail": "Too many event streams are open."}
    await page.route(STREAM, lambda route: route.fulfill(status=429, headers={"Retry-After": "5"}, json=said))
    async with page.expect_response(STREAM):
        await page.goto(f"{visit.url}/#/jobs")
    await expect(page.get_by_role("main")).to_contain_text("No jobs.")
    await ask_for_tags(server)
    await page.clock.run_for(5000)
    await expect(page.get_by_role("main")).to_contain_text("Tags waiting")
    for _ in range(20):
        await page.clock.run_for(30_000)
        await visit.settle(page)
    assert 2 <= len(visit.streams) <= 7, "ten minutes, and each pause twice as long as the one before"
    await page.unroute(STREAM)
    async with page.expect_response(lambda answer: answer.url.endswith("/events") and answer.ok):
        await page.clock.run_for(400_000)


async def test_over_http_from_another_machine_a_tab_holds_a_stream_while_it_is_in_sight(
    browser: Browser, server: AppProcess
) -> None:
    async with a_visit(browser, server.url) as visit:
        await visit.context.add_init_script("Object.defineProperty(navigator, 'locks', { value: undefined })")
        page = await _jobs(visit)
        await ask_for_tags(server)
        await expect(page.get_by_role("main")).to_contain_text("Tags waiting")
        async with page.expect_event("requestfailed", lambda request: request.url.endswith("/events")):
            await page.evaluate(HIDE, True)
        async with page.expect_response(STREAM):
            await page.evaluate(HIDE, False)
        visit.judge()


async def test_pictures_that_come_from_elsewhere_are_shown_in_the_library(server: AppProcess, visit: Visit) -> None:
    page = await visit.context.new_page()
    async with page.expect_response(STREAM):
        await page.goto(visit.url)
    async with server.client() as client:
        await client.post("/api/v1/images", files=[("file", ("a.png", encoded(an_image(), "PNG")))])
    await expect(page.get_by_role("listitem").get_by_role("img")).to_have_count(1)


async def test_pictures_that_came_while_a_tab_was_out_of_sight_are_shown_once_it_is_seen(
    server: AppProcess, visit: Visit
) -> None:
    tabs = []
    for _ in range(2):
        tabs.append(await visit.context.new_page())
        await tabs[-1].goto(visit.url)
        await expect(tabs[-1].get_by_role("button", name="Try it")).to_be_visible()
    unseen, seen = tabs
    await seen.wait_for_function("async () => (await navigator.locks.query()).pending.length === 1")
    await unseen.evaluate(HIDE, True)
    async with server.client() as client:
        await client.post("/api/v1/images", files=[("file", ("a.png", encoded(an_image(), "PNG")))])
    pictures = [tab.get_by_role("listitem").get_by_role("img") for tab in tabs]
    await expect(pictures[1]).to_have_count(1)
    await expect(pictures[0]).to_have_count(0)
    await unseen.evaluate(HIDE, False)
    await expect(pictures[0]).to_have_count(1)
