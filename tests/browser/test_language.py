"""The app in Korean, from the first page to the last."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.browser.states import a_full_server, walk
from tests.support.app_process import a_server
from tests.support.builders import a_photo, encoded
from tests.support.visits import Visit, a_visit, drop

KOREAN = {"locale": "ko-KR"}
ENGLISH = re.compile(r"[A-Za-z]{3,}")
NAMES = re.compile(
    r"Darkroom|English|API|\bRay\b|JPEG|PNG|image/\w+|\S+\.(png|jpg)|holiday|pairs|Press|Escape|Enter"
    r"|LoRA|VAE|ControlNet|Stable Diffusion|Prometheus"
)
"""Words that are the same in every language: names, formats, keys."""
SAID = """() => {
  const english = [];
  for (const one of document.querySelectorAll('body [lang=en], code')) {
    const words = document.createTreeWalker(one, NodeFilter.SHOW_TEXT);
    while (words.nextNode()) english.push([words.currentNode, words.currentNode.data]);
  }
  for (const [node] of english) node.data = '';
  const said = document.body.innerText;
  for (const [node, data] of english) node.data = data;
  return said;
}"""
"""All that is to be read, but what says of itself that it is English: names of engines, samplers and tags of users."""
SERVERS_WORDS = re.compile(r"No engine answers\.|거부됨: .*")
"""What the server says in English alone: the details of problems."""


async def test_the_language_that_is_chosen_stays(visit: Visit) -> None:
    page = await visit.open()
    await page.get_by_label("Language").select_option("ko")
    await expect(page.get_by_role("link", name="라이브러리")).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("link", name="라이브러리")).to_be_visible()
    await expect(page.locator("html")).to_have_attribute("lang", "ko")
    await page.get_by_label("언어").select_option("en")
    await expect(page.get_by_role("link", name="Library")).to_be_visible()


async def test_a_korean_browser_sees_no_english(browser: Browser, postgres: str) -> None:
    left: dict[str, set[str]] = {}
    async with a_full_server(postgres) as server, a_visit(browser, server.url, **KOREAN) as visit:
        visit.expects("by-sha256", "415", "422", "501")
        async for name, page in walk(visit):
            said = SERVERS_WORDS.sub("", await page.evaluate(SAID))
            left[name] = set(ENGLISH.findall(NAMES.sub("", said)))
    assert {name: words for name, words in left.items() if words} == {}


@pytest.mark.weights
async def test_pictures_are_found_by_korean_words(browser: Browser, postgres: str, tmp_path: Path) -> None:
    pictures = []
    for name in ("chelsea", "coffee", "rocket"):
        pictures.append(tmp_path / f"{name}.jpg")
        pictures[-1].write_bytes(encoded(a_photo(name, 500)))
    async with (
        a_server(postgres, tmp_path / "server", "real") as server,
        a_visit(browser, server.url, **KOREAN) as visit,
    ):
        await _find(visit, pictures)
        visit.judge()


async def _find(visit: Visit, pictures: list[Path]) -> None:
    visit.expects("404 .*/by-sha256/")
    page = await visit.open()
    await drop(page, pictures)
    await expect(page.get_by_label("업로드").first).to_contain_text("3개 중 3개 완료")
    boxes = page.get_by_role("list").get_by_role("checkbox")
    await expect(boxes).to_have_count(3)
    for box in await boxes.all():
        await box.check()
    await page.get_by_label("앨범 이름").fill("여름 휴가")
    await page.get_by_role("button", name="앨범에 추가").click()
    await expect(page.get_by_role("heading", name="여름 휴가")).to_be_visible()
    await expect(page.get_by_label("분석 중")).to_be_visible()
    await expect(page.get_by_label("분석 중")).to_have_count(0)
    await page.get_by_role("searchbox").fill("고양이")
    await page.get_by_role("button", name="검색").click()
    await expect(page.get_by_role("listitem").get_by_role("button")).to_have_count(1)
    await expect(page.get_by_role("button", name="chelsea.jpg 열기")).to_be_visible()
    await page.get_by_role("searchbox").fill("")
    await page.get_by_role("button", name="검색").click()
    await page.get_by_role("button", name="고양이", exact=False).click()
    await expect(page).to_have_url(re.compile("tag=cat"))
    await expect(page.get_by_role("listitem").get_by_role("button")).to_have_count(1)
    await page.get_by_role("listitem").get_by_role("button").click()
    await expect(page.get_by_role("dialog").get_by_role("definition").filter(has_text="고양이")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.get_by_role("searchbox").press_sequentially("커")
    await page.get_by_role("button", name="태그 커피").click()
    await expect(page).to_have_url(re.compile("tag=coffee"))
    await expect(page.get_by_role("button", name="coffee.jpg 열기")).to_be_visible()


async def test_tags_that_the_vocabulary_lacks_stay_as_they_are(browser: Browser, postgres: str, tmp_path: Path) -> None:
    async with a_server(postgres, tmp_path) as server, a_visit(browser, server.url, **KOREAN) as visit:
        async with server.client() as client:
            stored = await client.post(
                "/api/v1/images", files=[("file", ("a.png", encoded(a_photo("cell", 64), "PNG")))]
            )
            path = f"/api/v1/images/{stored.json()['images'][0]['id']}"
            await client.patch(path, json={"tags": {"add": ["dog", "Opa Kurt"]}})
        page = await visit.open()
        chips = page.get_by_role("search")
        await expect(chips.get_by_role("button", name="개", exact=False)).to_be_visible()
        own = chips.get_by_text("opa kurt")
        await expect(own).to_have_attribute("lang", "en")
        await page.get_by_label("언어").select_option("en")
        await expect(chips.get_by_role("button", name="dog")).to_be_visible()
        visit.judge()
