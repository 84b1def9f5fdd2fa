"""Where the server asks for keys: sessions of people who share it, and their end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect
from pydantic import SecretStr
from sqlalchemy import text

from configs.settings import Auth
from serve_app.store.session import Database
from tests.support.accounts import ADMIN_KEY, bearer
from tests.support.app_process import AppProcess, a_server
from tests.support.builders import an_image, encoded
from tests.support.visits import AWAY, Visit, a_visit, drop

UNSIGNED = "401 \\(Unauthorized\\)"


@pytest_asyncio.fixture()
async def server(browser: Browser, postgres: str, tmp_path: Path) -> AsyncIterator[AppProcess]:
    async with server_with_keys(postgres, tmp_path) as process:
        yield process


def server_with_keys(postgres: str, folder: Path) -> AbstractAsyncContextManager[AppProcess]:
    return a_server(postgres, folder, auth=Auth(mode="api_key", admin_key=SecretStr(ADMIN_KEY)))


async def an_account(server: AppProcess, name: str, album: str | None = None) -> str:
    """Make a user, with an album of one picture. -> the key"""
    async with server.client() as client:
        body = {"username": name, "email": f"{name}@example.org"}
        made = await client.post("/api/v1/users", json=body, headers=bearer(ADMIN_KEY))
        assert made.status_code == 201, made.text
        key = str(made.json()["api_key"])
        if album:
            await _make_album(client, key, album)
    return key


async def _make_album(client: httpx.AsyncClient, key: str, album: str) -> None:
    files = [("file", (f"{album}.png", encoded(an_image(seed=len(album)), "PNG")))]
    stored = await client.post("/api/v1/images", files=files, headers=bearer(key))
    body = {"images": [stored.json()["images"][0]["url"]], "album_id": album}
    answer = await client.post("/api/v1/albums/embeddings", json=body, headers=bearer(key))
    assert answer.status_code == 201, answer.text


async def sign_in(page: Page, key: str) -> None:
    await page.get_by_label("Your key").fill(key)
    await page.get_by_role("button", name="Sign in").click()


async def _end_sessions(server: AppProcess) -> None:
    database = Database(server.settings.database_url or "", application_name="tests", pool_size=1)
    async with database.transaction() as session:
        await session.execute(text("UPDATE sessions SET expires_at = now() - interval '1 second'"))
    await database.close()


async def test_whoever_signs_in_sees_the_own_pictures_until_signing_out(server: AppProcess, visit: Visit) -> None:
    visit.expects(UNSIGNED)
    key = await an_account(server, "eva", "mountains")
    page = await visit.open("/albums")
    await sign_in(page, "dk_" + "A" * 43)
    await expect(page.get_by_role("alert")).not_to_be_empty()
    await sign_in(page, key)
    await expect(page.get_by_role("link", name="mountains")).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("link", name="mountains")).to_be_visible()
    assert await page.evaluate("document.cookie") == "", "no script can read the session"
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("Your key")).to_be_visible()
    await page.reload()
    await expect(page.get_by_label("Your key")).to_be_visible()
    await expect(page.get_by_text("mountains")).to_have_count(0)


async def test_an_album_of_somebody_else_is_not_there(server: AppProcess, visit: Visit, browser: Browser) -> None:
    visit.expects(UNSIGNED, "404 \\(Not Found\\)")
    hers, his = await an_account(server, "eva", "secrets"), await an_account(server, "bob", "holiday")
    async with server.client(headers=bearer(hers)) as client:
        [album] = (await client.get("/api/v1/albums")).json()["items"]
        [picture] = (await client.get("/api/v1/images")).json()["items"]
    page = await visit.open(f"/albums/{album['id']}")
    await sign_in(page, his)
    await expect(page.get_by_role("alert")).to_contain_text("album")
    await expect(page.get_by_role("img")).to_have_count(0)
    await expect(page.get_by_text("secrets")).to_have_count(0)
    for thumbnail in picture["thumbnails"].values():
        answer = await visit.context.request.get(thumbnail)
        assert answer.status == 404
    async with a_visit(browser, server.url) as other:
        her_page = await other.open(f"/albums/{album['id']}")
        await sign_in(her_page, hers)
        await expect(her_page.get_by_role("img")).to_have_count(1)


@pytest.mark.parametrize("before", ["an action", "a reload"])
async def test_who_comes_back_after_the_session_has_ended_signs_in_and_goes_on(
    server: AppProcess, visit: Visit, before: str
) -> None:
    visit.expects(UNSIGNED)
    key = await an_account(server, "eva", "mountains")
    page = await visit.open("/people")
    await sign_in(page, key)
    await expect(page.get_by_role("heading", name="People")).to_be_visible()
    await _end_sessions(server)
    if before == "an action":
        await page.get_by_role("link", name="Albums").click()
    else:
        await page.reload()
    await expect(page.get_by_label("Your key")).to_be_visible()
    await sign_in(page, key)
    heading = "Albums" if before == "an action" else "People"
    await expect(page.get_by_role("heading", name=heading)).to_be_visible()


async def test_what_is_refused_late_to_who_had_not_signed_in_yet_ends_no_session(
    server: AppProcess, visit: Visit
) -> None:
    visit.expects(UNSIGNED)
    key = await an_account(server, "eva", "mountains")
    page = await visit.context.new_page()
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def answer_late(route: Route) -> None:
        refusal = await route.fetch()
        asked.set()
        await go_on.wait()
        await route.fulfill(response=refusal)

    await page.route("**/api/v1/people?*", answer_late, times=1)
    await page.goto(f"{server.url}/#/people")
    await asked.wait()
    await page.get_by_role("link", name="Albums").click()
    await sign_in(page, key)
    await expect(page.get_by_role("link", name="mountains")).to_be_visible()
    async with page.expect_response("**/api/v1/people?*") as late:
        go_on.set()
    assert (await late.value).status == 401
    await page.get_by_role("link", name="History").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("History")
    await visit.settle(page)
    await expect(page.get_by_label("Your key")).to_have_count(0)


async def test_who_signs_in_again_in_one_tab_goes_on_in_the_others(server: AppProcess, visit: Visit) -> None:
    visit.expects(UNSIGNED)
    key = await an_account(server, "eva", "mountains")
    page, other = await visit.open("/people"), await visit.open("/albums")
    await sign_in(page, key)
    await expect(other.get_by_role("link", name="mountains")).to_be_visible()
    await _end_sessions(server)
    for tab in (page, other):
        await tab.reload()
        await expect(tab.get_by_label("Your key")).to_be_visible()
    await sign_in(page, key)
    await expect(page.get_by_role("heading", name="People")).to_be_visible()
    await expect(other.get_by_role("link", name="mountains")).to_be_visible()


@pytest.mark.parametrize("name", ["eva", "bob"])
async def test_an_upload_whose_session_ended_in_the_middle_waits_for_its_user(
    server: AppProcess, visit: Visit, tmp_path: Path, name: str
) -> None:
    visit.expects(UNSIGNED, "404 .*/by-sha256/", AWAY)
    keys = {one: await an_account(server, one) for one in ("eva", "bob")}
    pictures = [tmp_path / f"{seed}.png" for seed in range(6)]
    for seed, path in enumerate(pictures):
        path.write_bytes(encoded(an_image(seed=seed), "PNG"))
    page = await visit.open()
    await sign_in(page, keys["eva"])
    await expect(page.get_by_text("nothing leaves this machine")).to_be_visible()
    sent = 0

    async def end_in_the_middle(route: Route) -> None:
        nonlocal sent
        sent += 1
        if sent == 3:
            await _end_sessions(server)
        await route.continue_()

    await page.route("**/api/v1/images", end_in_the_middle)
    await drop(page, pictures)
    await expect(page.get_by_label("Your key")).to_be_visible()
    await sign_in(page, keys[name])
    uploads = page.get_by_label("Uploads")
    if name == "bob":
        await expect(page.get_by_text("nothing leaves this machine")).to_be_visible()
        await expect(uploads).to_have_count(0)
        return
    await expect(uploads.first).to_contain_text("2 of 6 done, 4 not taken")
    await uploads.first.get_by_role("button", name="Try again").click()
    await expect(uploads.first).to_contain_text("6 of 6 done, 0 not taken")


async def test_nothing_that_somebody_wrote_is_left_to_the_next_user_of_the_browser(
    server: AppProcess, visit: Visit
) -> None:
    visit.expects(UNSIGNED)
    key = await an_account(server, "eva", "mountains")
    page = await visit.open("/albums")
    await sign_in(page, key)
    await expect(page.get_by_role("link", name="mountains")).to_be_visible()
    await page.evaluate("sessionStorage.setItem('generate', 'a surprise for Bob')")  # as the page Generate does
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("Your key")).to_be_visible()
    assert await page.evaluate("sessionStorage.getItem('generate')") is None


async def test_signing_out_in_one_tab_ends_what_another_shows(server: AppProcess, visit: Visit) -> None:
    visit.expects(UNSIGNED)
    key = await an_account(server, "eva", "mountains")
    page = await visit.open("/albums")
    await sign_in(page, key)
    await expect(page.get_by_role("link", name="mountains")).to_be_visible()
    other = await visit.open("/albums")
    await expect(other.get_by_role("link", name="mountains")).to_be_visible()
    await page.get_by_role("button", name="Sign out").click()
    await expect(other.get_by_label("Your key")).to_be_visible()
    await expect(other.get_by_text("mountains")).to_have_count(0)
