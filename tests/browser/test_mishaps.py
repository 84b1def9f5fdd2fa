"""What goes wrong on the way: the page says so, and goes on where it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, Route, expect

from tests.browser.test_duplicates import pairs
from tests.support.app_process import AppProcess
from tests.support.builders import an_image, encoded
from tests.support.people import fill_album
from tests.support.visits import AWAY, Visit, drop

NEW = r"404 .*/by-sha256/"
"""The browser's word on the question whether the server has a file."""


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """A dozen files."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(12):
        (folder / f"{seed}.png").write_bytes(encoded(an_image(seed=seed), "PNG"))
    return sorted(folder.iterdir())


async def _stored(server: AppProcess) -> int:
    async with server.client() as client:
        return len((await client.get("/api/v1/images", params={"limit": 100})).json()["items"])


async def _let_jobs_end(server: AppProcess) -> None:
    async with server.client() as client:
        for status in ("queued", "running"):  # in the order in which a job goes
            for job in (await client.get("/api/v1/jobs", params={"status": status})).json()["items"]:
                await client.get(f"/api/v1/jobs/{job['id']}/events")  # ends with the job


async def _hold_back(page: Page, after: int) -> None:
    """Let so many uploads pass, and keep the next one from the server until the page is gone."""
    seen = 0

    async def pass_some(route: Route) -> None:
        nonlocal seen
        seen += 1
        if seen <= after:
            await route.continue_()

    await page.route("**/api/v1/images", pass_some)


async def test_an_upload_goes_on_when_the_server_has_restarted_in_the_middle(
    server: AppProcess, visit: Visit, pictures: list[Path]
) -> None:
    visit.expects(NEW, AWAY)
    page = await visit.open()
    uploads = page.get_by_label("Uploads").first
    stopped = False

    async def stop_in_the_middle(route: Route) -> None:
        nonlocal stopped
        if not stopped and await _stored(server) == 4:
            stopped = True
            server.kill()
        await route.continue_()

    await page.route("**/api/v1/images", stop_in_the_middle)
    await drop(page, pictures)
    await expect(uploads).to_contain_text("is tried again in")
    assert stopped
    server.start()
    await expect(uploads).to_contain_text("12 of 12 done, 0 not taken")
    assert await _stored(server) == 12
    await expect(page.get_by_role("listitem").get_by_role("img")).to_have_count(12)


async def test_after_a_reload_in_the_middle_of_an_upload_the_same_folder_brings_just_the_rest(
    server: AppProcess, visit: Visit, pictures: list[Path]
) -> None:
    visit.expects(NEW, AWAY)
    page = await visit.open()
    await _hold_back(page, after=5)
    await drop(page, pictures)
    await expect(page.get_by_label("Uploads").first).to_contain_text("5 of 12 done")
    await page.reload()
    await page.unroute("**/api/v1/images")
    await expect(page.get_by_role("listitem").get_by_role("img")).to_have_count(5)
    await drop(page, pictures)
    await expect(page.get_by_label("Uploads").first).to_contain_text("12 of 12 done, 0 not taken")
    await expect(page.get_by_role("listitem").filter(has_text="was here already")).to_have_count(5)
    assert await _stored(server) == 12


async def test_a_busy_server_is_asked_again_when_it_said(
    server: AppProcess, visit: Visit, pictures: list[Path]
) -> None:
    visit.expects(NEW, "429")
    page = await visit.open()
    await page.route(
        "**/api/v1/images",
        lambda route: route.fulfill(status=429, headers={"Retry-After": "3"}, json={"title": "Too many requests"}),
        times=1,
    )
    await drop(page, pictures[:2])
    await expect(page.get_by_label("Uploads").first).to_contain_text("is tried again in 3 s")
    await expect(page.get_by_label("Uploads").first).to_contain_text("2 of 2 done, 0 not taken")
    assert await _stored(server) == 2


async def test_an_upload_that_fails_for_good_says_why_and_is_tried_again_by_hand(
    server: AppProcess, visit: Visit, pictures: list[Path]
) -> None:
    visit.expects(NEW, "507")
    page = await visit.open()
    await page.clock.install()
    full = {"status": 507, "headers": {"Retry-After": "1"}, "json": {"detail": "The disk is full."}}
    await page.route("**/api/v1/images", lambda route: route.fulfill(**full), times=6)
    await drop(page, pictures[:2])
    uploads = page.get_by_label("Uploads").first
    while not await uploads.filter(has_text="failed: The disk is full.").count():
        await page.clock.run_for(500)
    await expect(uploads).to_contain_text("1 of 2 done, 1 not taken")
    await uploads.get_by_role("button", name="Try again").click()
    await expect(uploads).to_contain_text("2 of 2 done, 0 not taken")


ROUTES = {
    "/": "**/api/v1/images?*",
    "/albums": "**/api/v1/albums?*",
    "/duplicates": "**/api/v1/albums?*",
    "/people": "**/api/v1/people?*",
    "/jobs": "**/api/v1/jobs?*",
}


@pytest.mark.parametrize("status", [429, 500])
@pytest.mark.parametrize("route", ROUTES)
async def test_a_list_that_was_refused_says_why_and_comes_when_asked_again(
    server: AppProcess, visit: Visit, route: str, status: int
) -> None:
    visit.expects(str(status))
    async with server.client() as client:
        await fill_album(client, "holiday", (1,))
    page = await visit.context.new_page()
    await page.clock.install(time=0)
    await page.clock.pause_at(1)  # no page looks again by itself
    said = {"type": "/problems/busy", "title": "Busy", "status": status, "detail": f"Of {status}."}
    await page.route(ROUTES[route], lambda answer: answer.fulfill(status=status, json=said), times=1)
    await page.goto(f"{server.url}/#{route}")
    alert = page.get_by_role("alert")
    await expect(alert).to_contain_text(f"Of {status}.")
    await alert.get_by_role("button", name="Try again").click()
    await expect(alert).to_have_count(0)
    await expect(page.get_by_role("main")).not_to_contain_text("Loading")


async def test_a_decision_that_failed_changes_nothing_and_may_be_made_again(server: AppProcess, visit: Visit) -> None:
    visit.expects("500")
    async with server.client() as client:
        await fill_album(client, "holiday", (1,))
    page = await visit.open("/people")
    said = {"title": "Internal error", "detail": "Something went wrong here."}
    await page.route("**/api/v1/people/per_*", lambda route: route.fulfill(status=500, json=said), times=1)
    name = page.get_by_label("Name")
    await name.fill("Eva")
    await name.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("Something went wrong here.")
    await name.fill("Eva!")
    await name.press("Enter")
    await expect(page.get_by_role("status")).to_have_text("Saved.")
    await expect(page.get_by_role("alert")).to_have_count(0)
    await page.reload()
    await expect(name).to_have_value("Eva!")


async def test_back_leads_to_where_the_visitor_was(server: AppProcess, visit: Visit) -> None:
    async with server.client() as client:
        await fill_album(client, "holiday", (1,), (2,))
    page = await visit.open("/albums")
    await page.get_by_role("link", name="holiday").click()
    await expect(page.get_by_role("heading", name="holiday")).to_be_visible()
    await page.get_by_role("listitem").get_by_role("button").first.click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.wait_for_function("() => !history.state['sveltekit:states']?.large")  # its step is taken away after it
    await page.go_back()
    await expect(page.get_by_role("heading", name="Albums")).to_be_visible()
    await page.go_forward()
    await expect(page.get_by_role("heading", name="holiday")).to_be_visible()


async def test_what_another_tab_has_decided_is_shown_when_the_same_is_decided_again(
    server: AppProcess, visit: Visit
) -> None:
    visit.expects("4(04|09|22)")
    async with server.client() as client:
        await fill_album(client, "holiday", (1, 2), (1,), (3,))
    tabs = await visit.open("/people"), await visit.open("/people")
    for tab in tabs:
        boxes = tab.get_by_role("listitem").get_by_role("checkbox")
        await expect(boxes).to_have_count(3)
        await boxes.nth(0).check()
        await boxes.nth(1).check()
    for tab in tabs:
        await tab.get_by_role("button", name="same person").click()
        await expect(tab.get_by_role("listitem")).to_have_count(2)
    await expect(tabs[0].get_by_role("alert")).to_have_count(0)
    await expect(tabs[1].get_by_role("alert")).to_contain_text("merged")


async def test_a_group_that_another_tab_has_resolved_is_gone_and_the_next_is_shown(
    server: AppProcess, visit: Visit
) -> None:
    visit.expects("4(04|09|22)")
    await pairs(server, 3)
    tabs = await visit.open("/duplicates"), await visit.open("/duplicates")
    for tab in tabs:
        await expect(tab.get_by_role("heading", level=2)).to_have_text("Group 1 of 3")
    for tab in tabs:
        await tab.get_by_role("button", name="Keep 1, trash 1").click()
        await expect(tab.get_by_role("heading", level=2)).to_have_text("Group 1 of 2")
    await expect(tabs[1].get_by_role("alert")).not_to_be_empty()
    await tabs[1].get_by_role("button", name="Keep 1, trash 1").click()
    await expect(tabs[1].get_by_role("heading", level=2)).to_have_text("Group 1 of 1")
    await expect(tabs[1].get_by_role("alert")).to_have_count(0)


async def _a_picture(server: AppProcess) -> str:
    async with server.client() as client:
        stored = await client.post("/api/v1/images", files=[("file", ("1.png", encoded(an_image(seed=1), "PNG")))])
    [picture] = stored.json()["images"]
    return str(picture["id"])


async def test_previews_of_a_page_that_was_closed_in_the_middle_do_not_stay_in_the_library(
    server: AppProcess, visit: Visit
) -> None:
    picture = await _a_picture(server)
    page = await visit.open()

    async def never_answer(route: Route) -> None:
        """The page is closed before its previews are in the trash."""

    await page.route("**/api/v1/images/batch", never_answer)
    async with page.expect_request("**/api/v1/images/batch"):
        await page.goto(f"{visit.url}/#/styles?picture={picture}")
    await page.close()  # which may let go what was held back: then they are in the trash already
    await _let_jobs_end(server)  # one that ends later is put into the trash by a later page
    page = await visit.open("/history")
    await expect(page.get_by_role("main")).to_contain_text("Nothing kept yet")
    assert await _stored(server) == 1


class _Trash:
    """The way to the trash, on which the first preview is refused so many times."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self._first: list[str] = []

    async def __call__(self, route: Route) -> None:
        ids = (route.request.post_data_json or {})["ids"]
        self._first = self._first or ids
        if ids == self._first and self.refusals:
            self.refusals -= 1
            await route.fulfill(status=503, headers={"Retry-After": "1"}, json={"detail": "Full."})
        else:
            await route.continue_()


async def _ask_for_previews(server: AppProcess, visit: Visit, trash: _Trash) -> tuple[Page, Locator]:
    """Open the page of styles of a picture. -> the page and its previews"""
    visit.expects("503")
    picture = await _a_picture(server)
    page = await visit.open()
    await page.route("**/api/v1/images/batch", trash)
    await page.goto(f"{visit.url}/#/styles?picture={picture}")
    previews = page.get_by_role("region", name="Your picture in each style").get_by_role("button")
    await expect(previews).not_to_have_count(0)
    return page, previews


async def test_a_preview_that_the_trash_refuses_is_put_there_a_little_later(server: AppProcess, visit: Visit) -> None:
    _, previews = await _ask_for_previews(server, visit, _Trash(refusals=2))
    await expect(previews.locator("img")).to_have_count(await previews.count())
    assert await _stored(server) == 1


async def test_a_preview_that_the_trash_refused_for_good_is_put_there_after_a_reload(
    server: AppProcess, visit: Visit
) -> None:
    trash = _Trash(refusals=6)  # which is how often it is tried
    page, previews = await _ask_for_previews(server, visit, trash)
    failed = previews.filter(has_text="Try again")
    await expect(failed).to_have_count(1)
    await expect(previews.locator("img")).to_have_count(await previews.count() - 1)
    assert await _stored(server) == 2
    trash.refusals = 1
    name = await failed.locator(".title").inner_text()
    await page.reload()
    await previews.filter(has_text=name).click()
    await expect(page.get_by_role("button", name="Keep in library")).to_be_visible()
    assert await _stored(server) == 1
