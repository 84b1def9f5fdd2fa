"""Numbers and the words that go with them: one picture, two pictures."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Browser, Page, expect

from bench.tools.web_bundle import SOURCES
from tests.support.app_process import AppProcess
from tests.support.people import fill_album
from tests.support.visits import Visit, a_visit, routes_of

MESSAGES = sorted((SOURCES / "src" / "lib").glob("*/*.ts"))
BY_NUMBER = re.compile(
    r"\{(?!name|title|time|date|reason|tags|bytes)\w+\}(?: more)? (?:[A-Za-z]{2,}s|people|children)\b"
)
"""A number of which the word behind it is said as of many."""
BY_ONE = re.compile(r"\b1 (?:more )?(?!is\b|was\b|has\b|this\b)[a-z]{2,}s\b")
"""What is said of one as of many."""
READ = """() => [document.body.innerText, ...[...document.querySelectorAll('*')].flatMap((one) =>
  ['aria-label', 'alt', 'title', 'placeholder'].map((name) => one.getAttribute(name) ?? ''))].join('\\n')"""


@pytest.mark.parametrize("language", ["en", "ko"])
def test_no_message_says_a_number_as_if_it_were_always_many(language: str) -> None:
    said = [path.read_text(encoding="utf-8") for path in MESSAGES if path.stem == language]
    assert len(said) >= 2
    assert sum(text.count("{n}") for text in said) > 10
    for text in said:
        assert [found[0] for found in BY_NUMBER.finditer(text)] == []
        assert language == "en" or not re.search(r"\{\w+\|", text), "Korean has one form"


async def _walk(visit: Visit) -> dict[str, str]:
    """Read each page, and those of one album and one person. -> by name what is said there"""
    page = await visit.open()
    said = {}
    for route in await routes_of(page):
        await visit.show(page, route)
        said[route] = await page.evaluate(READ)
    for route, title in (("/albums", "holiday"), ("/people", "Eva")):
        await visit.show(page, route)
        await page.get_by_role("main").get_by_role("link", name=title).first.click()
        await visit.settle(page)
        said[title] = await page.evaluate(READ)
    return said


async def test_one_of_something_is_said_as_one(browser: Browser, server: AppProcess) -> None:
    async with server.client() as client:
        await fill_album(client, "holiday", (1,))
        [person] = (await client.get("/api/v1/people")).json()["items"]
        await client.patch(f"/api/v1/people/{person['id']}", json={"name": "Eva"})
    async with a_visit(browser, server.url) as visit:
        visit.expects("501")
        said = await _walk(visit)
        visit.judge()
    assert {name: BY_ONE.findall(text) for name, text in said.items() if BY_ONE.search(text)} == {}
    assert "1 picture" in said["/albums"]
    assert "1 face" in said["/people"]
    assert {"1 face", "1 picture"} <= set(said["Eva"].splitlines())


async def test_many_of_something_are_said_as_many_and_in_korean_alike(browser: Browser, server: AppProcess) -> None:
    async with server.client() as client:
        await fill_album(client, "holiday", (1,), (1,))
    for locale, words in (("en-US", ("2 faces", "2 pictures")), ("ko-KR", ("얼굴 2개", "사진 2장"))):
        async with a_visit(browser, server.url, locale=locale) as visit:
            page: Page = await visit.open("/people")
            await page.get_by_role("main").get_by_role("listitem").get_by_role("link").click()
            for word in words:
                await expect(page.get_by_role("heading", name=word)).to_be_visible()
            visit.judge()
