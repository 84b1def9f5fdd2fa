"""Groups of duplicates, reviewed without a mouse."""

from __future__ import annotations

from typing import Any

import httpx
from playwright.async_api import Browser, Locator, Page, Route, expect

from tests.support.app_process import AppProcess
from tests.support.builders import an_image, encoded
from tests.support.visits import Visit, a_visit

ALBUM = "/api/v1/albums"
MANY = 30


async def pairs(server: AppProcess, many: int, exact: int = 0) -> None:
    """Fill an album with pictures in two files each, a lossless and a lossy one, and look for duplicates.

    `exact`: so many of them are in two lossless files instead, which show the same.
    """
    async with server.client() as client:
        await _make_pairs(client, many, exact)


async def _make_pairs(client: httpx.AsyncClient, many: int, exact: int) -> None:
    files = []
    for seed in range(many):
        picture = an_image(seed=seed)
        same = (f"{seed}-again.png", encoded(picture, "PNG", compress_level=1))
        copy = (f"{seed}.jpg", encoded(picture, quality=95))
        files += [(f"{seed}.png", encoded(picture, "PNG")), same if seed < exact else copy]
    stored = await client.post("/api/v1/images", files=[("file", file) for file in files])
    urls = [image["url"] for image in stored.json()["images"]]
    await client.post(f"{ALBUM}/embeddings", json={"images": urls, "album_id": "pairs"})
    answer = await client.post(f"{ALBUM}/duplicates", json={"album_id": "pairs", "level": "copy"})
    assert answer.status_code == 200, answer.text


async def _left(server: AppProcess, status: str) -> list[dict[str, Any]]:
    async with server.client() as client:
        answer = await client.get(f"{ALBUM}/pairs/duplicates", params={"status": status, "limit": 200})
    return list(answer.json()["items"])


async def _go_to_duplicates_by_keyboard(page: Page) -> None:
    link = page.get_by_role("link", name="Duplicates", exact=True)
    while not await link.evaluate("link => link === document.activeElement"):
        await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")


async def test_thirty_groups_are_reviewed_by_keyboard_alone(server: AppProcess, visit: Visit) -> None:
    await pairs(server, MANY)
    page = await visit.open()
    await _go_to_duplicates_by_keyboard(page)
    for left in range(MANY, 0, -1):
        await expect(page.get_by_role("heading", level=2)).to_have_text(f"Group 1 of {left}")
        await page.keyboard.press("n" if left % 10 == 0 else "Enter")
    await expect(page.get_by_role("main")).to_contain_text("No open groups of duplicates")
    resolved = await _left(server, "resolved")
    assert len(resolved) == MANY - MANY // 10
    assert await _left(server, "open") == []


async def test_keys_choose_what_is_kept_go_to_other_groups_and_take_back(server: AppProcess, visit: Visit) -> None:
    await pairs(server, 3)
    page = await visit.open()
    await _go_to_duplicates_by_keyboard(page)
    heading, members = page.get_by_role("heading", level=2), page.locator("[aria-pressed]")
    await expect(heading).to_have_text("Group 1 of 3")
    kept = [await one.get_attribute("aria-pressed") for one in await members.all()]
    assert sorted(map(str, kept)) == ["false", "true"]
    await page.keyboard.press("1")
    await page.keyboard.press("2")
    assert [await one.get_attribute("aria-pressed") for one in await members.all()] == kept[::-1]
    await page.keyboard.press("ArrowRight")
    await expect(heading).to_have_text("Group 2 of 3")
    await page.keyboard.press("ArrowLeft")
    await expect(heading).to_have_text("Group 1 of 3")
    await page.keyboard.press("Enter")
    await expect(heading).to_have_text("Group 1 of 2")
    await page.keyboard.press("u")
    await expect(heading).to_have_text("Group 1 of 3")
    assert len(await _left(server, "open")) == 3


async def test_neither_nothing_nor_everything_of_a_group_goes_to_the_trash(server: AppProcess, visit: Visit) -> None:
    await pairs(server, 1)
    page = await visit.open("/duplicates")
    await expect(page.get_by_role("heading", level=2)).to_have_text("Group 1 of 1")
    accept = page.get_by_role("button", name="Keep 1, trash 1")
    await expect(accept).to_be_enabled()
    best = 1 if await page.locator("[aria-pressed]").first.get_attribute("aria-pressed") == "true" else 2
    for key, name in ((best, "Keep 0, trash 2"), (best, "Keep 1, trash 1"), (3 - best, "Keep 2, trash 0")):
        await page.keyboard.press(str(key))
        button = page.get_by_role("button", name=name)
        await expect(button).to_be_enabled(enabled="1, trash 1" in name)
    await page.keyboard.press("Enter")
    await expect(button).to_be_disabled()
    assert len(await _left(server, "open")) == 1


async def _look_at_the_plan(page: Page, groups: int) -> Locator:
    await page.get_by_role("button", name=f"Resolve {groups} groups of the same picture at once").click()
    plan = page.get_by_role("dialog", name="Keep one of each same picture")
    await expect(plan).to_be_visible()
    return plan


async def test_all_groups_of_the_same_picture_are_resolved_at_once_and_taken_back(
    server: AppProcess, visit: Visit
) -> None:
    await pairs(server, 4, exact=3)
    page = await visit.open("/duplicates")
    heading = page.get_by_role("heading", level=2, name="Group 1")
    await expect(heading).to_have_text("Group 1 of 4")
    plan = await _look_at_the_plan(page, 3)
    await expect(plan).to_contain_text("3 groups: 3 pictures go to the trash")
    await expect(plan.get_by_role("listitem")).to_have_count(3)
    for word in ("Keep", "Trash"):
        await expect(plan.locator("figcaption strong", has_text=word)).to_have_count(3)
    await visit.settle(page)
    assert await plan.locator("img").evaluate_all("all => all.map((one) => one.naturalWidth > 0)") == [True] * 6
    await page.keyboard.press("n")
    await page.keyboard.press("Escape")
    await expect(plan).to_have_count(0)
    assert len(await _left(server, "open")) == 4
    await _look_at_the_plan(page, 3)
    await page.keyboard.press("Enter")
    await expect(heading).to_have_text("Group 1 of 1")
    await expect(plan).to_have_count(0)
    assert {group["level"] for group in await _left(server, "resolved")} == {"exact"}
    async with server.client() as client:
        assert len((await client.get("/api/v1/trash")).json()["items"]) == 3
    await page.keyboard.press("u")
    await expect(heading).to_have_text("Group 1 of 4")
    assert len(await _left(server, "open")) == 4


async def test_what_takes_long_is_followed_to_its_end(server: AppProcess, visit: Visit) -> None:
    """As the server does it of itself for very many groups: it answers with the job."""

    async def ask_for_the_job(route: Route) -> None:
        await route.continue_(headers=route.request.headers | {"prefer": "respond-async"})

    await pairs(server, 3, exact=2)
    page = await visit.open("/duplicates")
    await page.route("**/duplicates/resolve", ask_for_the_job)
    await _look_at_the_plan(page, 2)
    await page.keyboard.press("Shift+Tab")  # to the list of groups, where Enter accepts too
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=2, name="Group 1")).to_have_text("Group 1 of 1")
    assert any("/api/v1/jobs/job_" in url for url in visit.requests)
    await page.keyboard.press("u")
    await expect(page.get_by_role("heading", level=2, name="Group 1")).to_have_text("Group 1 of 3")


async def test_a_plan_that_holds_no_more_is_not_carried_out(server: AppProcess, visit: Visit) -> None:
    await pairs(server, 3, exact=3)
    visit.expects("409")
    page = await visit.open("/duplicates")
    await _look_at_the_plan(page, 3)
    async with server.client() as client:
        [first, *_] = await _left(server, "open")
        await client.post(f"{ALBUM}/pairs/duplicates/{first['id']}/dismiss")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("The groups have changed since the dry run")
    await expect(page.get_by_role("heading", level=2)).to_have_text("Group 1 of 2")
    assert await _left(server, "resolved") == []


LOOK_UNTIL = """visibility => new Promise((resolve) => {
  const look = () => {
    const one = document.querySelector('.instead');
    if (one && getComputedStyle(one).visibility === visibility) resolve();
    else requestAnimationFrame(look);
  };
  look();
})"""


async def _sources(images: Locator) -> list[str | None]:
    return [await one.get_attribute("src") for one in await images.all()]


async def test_a_picture_and_the_kept_one_alternate_in_one_place_while_space_is_held(
    server: AppProcess, visit: Visit
) -> None:
    await pairs(server, 1)
    page = await visit.open("/duplicates")
    kept, other = page.locator("[aria-pressed=true]"), page.locator("[data-id][aria-pressed=false]")
    instead = page.locator(".instead")
    await expect(kept).to_be_visible()
    [own], [shown] = await _sources(other.locator("img")), await _sources(kept.locator("img"))
    place = await other.locator("img").bounding_box()
    await page.keyboard.down("Space")
    await expect(other.locator(".instead img")).to_have_attribute("src", str(shown))
    for seen in ("visible", "hidden", "visible"):
        await page.evaluate(LOOK_UNTIL, seen)
    assert await other.locator("img").first.bounding_box() == place == await instead.locator("img").bounding_box()
    await page.keyboard.up("Space")
    await expect(instead).to_have_count(0)
    assert await _sources(other.locator("img")) == [own]
    await page.get_by_role("button", name="Hold to compare").hover()
    await page.mouse.down()
    await expect(other.locator(".instead")).to_have_count(1)
    await page.mouse.move(5, 5)
    await page.mouse.up()
    await expect(instead).to_have_count(0)


async def test_space_in_a_picture_chooses_it_unless_it_is_held(server: AppProcess, visit: Visit) -> None:
    await pairs(server, 1)
    page = await visit.open("/duplicates")
    other = page.locator("[data-id][aria-pressed=false]")
    name = await other.locator("img").get_attribute("alt")
    member = page.locator("[data-id]", has=page.get_by_alt_text(str(name), exact=True))
    await member.focus()
    await page.keyboard.down("Space")
    await expect(member.locator(".instead")).to_have_count(1)
    await page.keyboard.up("Space")
    await expect(page.locator(".instead")).to_have_count(0)
    await expect(member).to_have_attribute("aria-pressed", "false")
    await page.keyboard.press("Space")
    await expect(member).to_have_attribute("aria-pressed", "true")


async def test_nothing_blinks_for_those_who_asked_for_less_motion(server: AppProcess, browser: Browser) -> None:
    await pairs(server, 1)
    async with a_visit(browser, server.url, reduced_motion="reduce") as visit:
        page = await visit.open("/duplicates")
        await expect(page.locator("[aria-pressed=true]")).to_be_visible()
        await page.keyboard.down("Space")
        await expect(page.locator(".instead")).to_be_visible()
        assert await page.evaluate("document.getAnimations().length") == 0
        await page.keyboard.up("Space")
        await expect(page.locator(".instead")).to_have_count(0)
        visit.judge()
