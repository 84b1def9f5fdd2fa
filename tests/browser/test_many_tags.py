"""Tags of many pictures: added to and taken away from all that are chosen, and taken back."""

from __future__ import annotations

from playwright.async_api import Locator, Page, expect

from tests.browser.test_haste import hold_back
from tests.browser.test_tags import _change, _pictures, _stored
from tests.support.app_process import AppProcess
from tests.support.visits import Visit


async def _choose(page: Page, *names: str) -> Locator:
    """Choose pictures and open what is said of their tags."""
    for name in names:
        await page.get_by_role("checkbox", name=f"Select {name}").check()
    await page.get_by_role("button", name="Tags", exact=True).click()
    opened = page.get_by_role("group", name="Tags of the selected pictures")
    await expect(opened).to_be_visible()
    return opened


async def test_a_tag_is_added_to_all_chosen_pictures_and_taken_back_where_it_was_new(
    server: AppProcess, visit: Visit
) -> None:
    first, second, third = await _pictures(server, ["harbour"], ["dusk"], [])
    page = await visit.open()
    opened = await _choose(page, "0.png", "1.png")
    await opened.get_by_role("combobox").fill("Harbour")
    await page.keyboard.press("Enter")
    await expect(opened.get_by_role("status")).to_have_text("Added to 1 picture: harbour.")
    await expect(opened.get_by_role("listitem").first).to_contain_text("harbour 2/2")
    assert [await _stored(server, one) for one in (first, second, third)] == [{"harbour"}, {"dusk", "harbour"}, set()]
    await opened.get_by_role("button", name="Undo").click()
    await expect(opened.get_by_role("status")).to_have_text("Taken back.")
    assert [await _stored(server, one) for one in (first, second)] == [{"harbour"}, {"dusk"}]


async def test_a_tag_that_some_have_is_given_to_the_others_or_taken_from_all(server: AppProcess, visit: Visit) -> None:
    first, second = await _pictures(server, ["harbour", "dusk"], [])
    page = await visit.open()
    opened = await _choose(page, "0.png", "1.png")
    await opened.get_by_role("button", name="Add to the others too: harbour").click()
    await expect(opened.get_by_role("status")).to_have_text("Added to 1 picture: harbour.")
    await expect(opened.get_by_role("button", name="Add to the others too: harbour")).to_have_count(0)
    await opened.get_by_role("button", name="Remove from all: harbour").click()
    await expect(opened.get_by_role("status")).to_have_text("Removed from 2 pictures: harbour.")
    assert [await _stored(server, one) for one in (first, second)] == [{"dusk"}, set()]
    for _ in range(2):
        await opened.get_by_role("button", name="Undo").click()
    await expect(opened.get_by_role("button", name="Undo")).to_have_count(0)
    assert [await _stored(server, one) for one in (first, second)] == [{"dusk", "harbour"}, set()]


async def test_the_tags_of_chosen_pictures_are_known_also_of_those_that_are_listed_no_more(
    server: AppProcess, visit: Visit
) -> None:
    first, second = await _pictures(server, ["harbour"], ["dusk"])
    page = await visit.open()
    for name in ("0.png", "1.png"):
        await page.get_by_role("checkbox", name=f"Select {name}").check()
    await page.get_by_role("button", name="dusk 1").click()
    await expect(page.get_by_role("checkbox")).to_have_count(1)
    opened = await _choose(page)
    await expect(opened.get_by_role("listitem")).to_contain_text(["dusk 1/2", "harbour 1/2"])
    await opened.get_by_role("button", name="Remove from all: harbour").click()
    await expect(opened.get_by_role("listitem")).to_contain_text(["dusk 1/2"])
    await opened.get_by_role("button", name="Undo").click()
    await expect(opened.get_by_role("listitem")).to_contain_text(["dusk 1/2", "harbour 1/2"])
    assert [await _stored(server, one) for one in (first, second)] == [{"harbour"}, {"dusk"}]


async def test_a_picture_that_can_take_no_more_tags_is_counted_and_the_others_have_it(
    server: AppProcess, visit: Visit
) -> None:
    full, free = await _pictures(server, [], [])
    for part in range(2):
        await _change(server, full, add=[f"t{part}-{n}" for n in range(100)])
    page = await visit.open()
    opened = await _choose(page, "0.png", "1.png")
    await opened.get_by_role("combobox").fill("sea")
    await page.keyboard.press("Enter")
    told = "Added to 1 picture: sea. 1 could not be changed: gone meanwhile, or full of tags."
    await expect(opened.get_by_role("status")).to_have_text(told)
    assert await _stored(server, free) == {"sea"}


async def test_a_tag_that_is_typed_while_another_is_under_way_is_added_too(server: AppProcess, visit: Visit) -> None:
    first, second = await _pictures(server, [], [])
    page = await visit.open()
    opened = await _choose(page, "0.png", "1.png")
    may_go_on = await hold_back(page, "**/api/v1/images/batch", "POST")
    async with page.expect_request("**/api/v1/images/batch"):
        for tag in ("sea", "sun"):
            await opened.get_by_role("combobox").fill(tag)
            await page.keyboard.press("Enter")
    may_go_on.set()
    await expect(opened.get_by_role("status")).to_have_text("Added to 2 pictures: sun.")
    assert [await _stored(server, one) for one in (first, second)] == [{"sea", "sun"}] * 2


async def test_what_another_had_tagged_meanwhile_is_not_taken_back(server: AppProcess, visit: Visit) -> None:
    first, second = await _pictures(server, [], [])
    page = await visit.open()
    opened = await _choose(page, "0.png", "1.png")
    may_go_on = await hold_back(page, "**/api/v1/images/batch", "POST")
    async with page.expect_request("**/api/v1/images/batch"):
        await opened.get_by_role("combobox").fill("sea")
        await page.keyboard.press("Enter")
    await _change(server, first, add=["sea"])
    may_go_on.set()
    await expect(opened.get_by_role("status")).to_have_text("Added to 1 picture: sea.")
    await opened.get_by_role("button", name="Undo").click()
    await expect(opened.get_by_role("status")).to_have_text("Taken back.")
    assert [await _stored(server, one) for one in (first, second)] == [{"sea"}, set()]


async def test_nothing_is_to_be_taken_back_where_another_had_done_all_of_it(server: AppProcess, visit: Visit) -> None:
    [picture] = await _pictures(server, ["sea"])
    page = await visit.open()
    opened = await _choose(page, "0.png")
    may_go_on = await hold_back(page, "**/api/v1/images/batch", "POST")
    async with page.expect_request("**/api/v1/images/batch"):
        await opened.get_by_role("button", name="Remove from all: sea").click()
    await _change(server, picture, remove=["sea"])
    may_go_on.set()
    await expect(opened.get_by_role("status")).to_have_text("None of them has the tag sea any more.")
    await expect(opened.get_by_role("button", name="Undo")).to_have_count(0)


async def test_all_tags_may_be_seen_and_taken_away_however_many_there_are(server: AppProcess, visit: Visit) -> None:
    [picture] = await _pictures(server, [f"t{number:02}" for number in range(20)])
    page = await visit.open()
    opened = await _choose(page, "0.png")
    await expect(opened.get_by_role("listitem")).to_have_count(12)
    await opened.get_by_role("button", name="All 20 tags").click()
    await expect(opened.get_by_role("listitem")).to_have_count(20)
    await opened.get_by_role("button", name="Remove from all: t19").click()
    await expect(opened.get_by_role("status")).to_have_text("Removed from 1 picture: t19.")
    assert "t19" not in await _stored(server, picture)


async def test_the_keyboard_stays_where_it_was_when_a_tag_goes(server: AppProcess, visit: Visit) -> None:
    await _pictures(server, ["dusk", "harbour"])
    page = await visit.open()
    opened = await _choose(page, "0.png")
    await opened.get_by_role("button", name="Remove from all: dusk").focus()
    await page.keyboard.press("Enter")
    await expect(opened.get_by_role("button", name="Remove from all: harbour")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(opened.get_by_role("listitem")).to_have_count(0)
    await expect(opened).to_be_focused()


async def test_a_failure_is_not_said_to_be_the_pictures_fault(server: AppProcess, visit: Visit) -> None:
    visit.expects("503")
    await _pictures(server, [], [])
    page = await visit.open()
    opened = await _choose(page, "0.png", "1.png")
    full = {"status": 503, "json": {"detail": "Full."}}
    await page.route("**/api/v1/images/batch", lambda route: route.fulfill(**full), times=1)
    await opened.get_by_role("combobox").fill("sea")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("Full.")
    await expect(opened.get_by_role("status")).to_have_text("")
