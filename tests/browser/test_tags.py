"""Tags: taken away and added where a picture is looked at, and taken back."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Browser, Locator, Page, expect

from tests.browser.test_haste import hold_back
from tests.support.app_process import AppProcess
from tests.support.builders import an_image, encoded
from tests.support.people import fill_album
from tests.support.visits import Visit, a_visit

CHANGED = r"412 .*/api/v1/images/"


async def _pictures(server: AppProcess, *tags: list[str]) -> list[str]:
    """Upload a picture for each list of tags, one after the other. -> ids"""
    ids = []
    for seed, given in enumerate(tags):
        async with server.client() as client:
            file = (f"{seed}.png", encoded(an_image(seed=seed), "PNG"))
            answer = await client.post("/api/v1/images", files=[("file", file)])
        ids.append(str(answer.json()["images"][0]["id"]))
        await _change(server, ids[-1], add=given)
    return ids


async def _change(server: AppProcess, image: str, **tags: list[str]) -> None:
    async with server.client() as client:
        answer = await client.patch(f"/api/v1/images/{image}", json={"tags": tags})
    assert answer.status_code == 200, answer.text


async def _stored(server: AppProcess, image: str) -> set[str]:
    async with server.client() as client:
        found: dict[str, Any] = (await client.get(f"/api/v1/images/{image}")).json()
    return set(found["tags"])


async def _open(page: Page, name: str = "0.png") -> Locator:
    await page.get_by_role("button", name=name).click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("group", name="Tags").or_(dialog.get_by_role("group", name="태그"))).to_be_visible()
    return dialog


def _tags(dialog: Locator) -> Locator:
    return dialog.get_by_role("group", name="Tags").get_by_role("listitem").locator("span")


async def test_a_tag_is_added_and_taken_away_and_both_are_kept(server: AppProcess, visit: Visit) -> None:
    [image] = await _pictures(server, ["harbour", "dusk"])
    page = await visit.open()
    dialog = await _open(page)
    await dialog.get_by_role("combobox", name="Add a tag").fill("Summer of 2026")
    await page.keyboard.press("Enter")
    await expect(dialog.get_by_role("status")).to_contain_text("Added: summer of 2026.")
    await expect(dialog.get_by_role("combobox")).to_be_focused()
    await expect(dialog.get_by_role("combobox")).to_have_value("")
    await dialog.get_by_role("button", name="Remove the tag dusk").click()
    await expect(dialog.get_by_role("status")).to_contain_text("Removed: dusk.")
    await expect(_tags(dialog)).to_have_text(["harbour", "summer of 2026"])
    assert await _stored(server, image) == {"harbour", "summer of 2026"}
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="summer of 2026")).to_be_visible()  # among those to filter by


async def test_decisions_about_tags_are_taken_back_the_last_one_first(server: AppProcess, visit: Visit) -> None:
    [image] = await _pictures(server, ["dusk", "harbour"])
    page = await visit.open()
    dialog = await _open(page)
    await dialog.get_by_role("button", name="Remove the tag dusk").click()
    await expect(_tags(dialog)).to_have_text(["harbour"])
    await dialog.get_by_role("combobox").fill("dawn")
    await page.keyboard.press("Enter")
    await expect(_tags(dialog)).to_have_text(["dawn", "harbour"])
    await page.keyboard.press("Escape")
    await page.keyboard.press("u")
    await expect(_tags(dialog)).to_have_text(["harbour"])
    await dialog.get_by_role("button", name="Undo").click()
    await expect(_tags(dialog)).to_have_text(["dusk", "harbour"])
    await expect(dialog.get_by_role("button", name="Undo")).to_be_disabled()
    assert await _stored(server, image) == {"dusk", "harbour"}


async def test_escape_leaves_the_field_and_the_next_one_the_picture(server: AppProcess, visit: Visit) -> None:
    await _pictures(server, ["dusk"])
    page = await visit.open()
    dialog = await _open(page)
    field = dialog.get_by_role("combobox")
    await field.press_sequentially("u")  # a letter here, and no decision
    await expect(field).to_have_value("u")
    await page.keyboard.press("Escape")
    await expect(dialog.get_by_role("group", name="Tags")).to_be_focused()
    await expect(field).to_have_value("")
    await expect(dialog).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)


async def test_the_focus_goes_on_to_the_next_tag_and_after_the_last_one_stays_with_the_tags(
    server: AppProcess, visit: Visit
) -> None:
    await _pictures(server, ["a", "b", "c"])
    page = await visit.open()
    dialog = await _open(page)
    await dialog.get_by_role("button", name="Remove the tag b").press("Enter")
    await expect(dialog.get_by_role("button", name="Remove the tag c")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(dialog.get_by_role("button", name="Remove the tag a")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(dialog.get_by_role("group", name="Tags")).to_be_focused()
    await page.keyboard.press("u")
    await expect(_tags(dialog)).to_have_text(["a"])


async def test_tags_of_other_pictures_are_proposed_and_chosen_by_keys_or_by_hand(
    server: AppProcess, visit: Visit
) -> None:
    await _pictures(server, ["harbour"], ["hamlet", "harvest", "harbour"])
    page = await visit.open()
    dialog = await _open(page)
    field = dialog.get_by_role("combobox")
    await field.press_sequentially("ha")
    proposed = dialog.get_by_role("option")
    await expect(proposed).to_have_text(["hamlet", "harvest"])  # it has the third one
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowDown")
    await expect(dialog.get_by_role("option", selected=True)).to_have_text("harvest")
    chosen = await dialog.get_by_role("option", selected=True).get_attribute("id")
    await expect(field).to_have_attribute("aria-activedescendant", str(chosen))
    await page.keyboard.press("Enter")
    await expect(_tags(dialog)).to_have_text(["harbour", "harvest"])
    await expect(proposed).to_have_count(0)
    await field.press_sequentially("ha")
    await proposed.click()
    await expect(_tags(dialog)).to_have_text(["hamlet", "harbour", "harvest"])
    await expect(field).to_be_focused()


async def test_what_is_there_already_is_said_and_not_sent(server: AppProcess, visit: Visit) -> None:
    await _pictures(server, ["dusk"])
    page = await visit.open()
    dialog = await _open(page)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    await dialog.get_by_role("combobox").fill(" Dusk ")
    await page.keyboard.press("Enter")
    await expect(dialog.get_by_role("status")).to_have_text("It has the tag dusk already.")
    assert "PATCH" not in sent


async def test_a_picture_that_was_changed_meanwhile_is_shown_as_it_is_and_not_changed(
    server: AppProcess, visit: Visit
) -> None:
    [image] = await _pictures(server, ["dusk"])
    page = await visit.open()
    dialog = await _open(page)
    visit.expects(CHANGED)
    go_on = await hold_back(page, "**/api/v1/images/img_*", "PATCH")
    await dialog.get_by_role("combobox").fill("mine")
    await page.keyboard.press("Enter")
    await _change(server, image, add=["theirs"])
    go_on.set()
    await expect(dialog.get_by_role("alert")).to_contain_text("changed elsewhere meanwhile")
    await expect(_tags(dialog)).to_have_text(["dusk", "theirs"])
    assert await _stored(server, image) == {"dusk", "theirs"}
    await dialog.get_by_role("combobox").fill("mine")
    await page.keyboard.press("Enter")
    await expect(_tags(dialog)).to_have_text(["dusk", "mine", "theirs"])
    await expect(dialog.get_by_role("alert")).to_have_count(0)


async def test_what_is_decided_goes_to_the_picture_that_was_shown_then(server: AppProcess, visit: Visit) -> None:
    first, second = await _pictures(server, ["one"], ["two"])
    page = await visit.open()
    dialog = await _open(page, "1.png")  # the latest
    go_on = await hold_back(page, "**/api/v1/images/img_*", "PATCH")
    for tag in ("mine", "ours"):
        await dialog.get_by_role("combobox").fill(tag)
        await page.keyboard.press("Enter")
    await page.keyboard.press("Escape")
    await page.keyboard.press("ArrowRight")
    await expect(_tags(dialog)).to_have_text(["one"])
    go_on.set()
    await page.keyboard.press("ArrowLeft")
    await expect(_tags(dialog)).to_have_text(["mine", "ours", "two"])
    assert (await _stored(server, first), await _stored(server, second)) == ({"one"}, {"mine", "ours", "two"})


async def test_a_picture_stays_open_that_its_tag_has_led_to_until_it_is_closed(
    server: AppProcess, visit: Visit
) -> None:
    await _pictures(server, ["dusk"])
    page = await visit.open("/?tag=dusk")
    dialog = await _open(page)
    await dialog.get_by_role("button", name="Remove the tag dusk").click()
    await expect(_tags(dialog)).to_have_count(0)
    await visit.settle(page)
    await page.keyboard.press("u")
    await expect(_tags(dialog)).to_have_text(["dusk"])
    await dialog.get_by_role("button", name="Remove the tag dusk").click()
    await expect(_tags(dialog)).to_have_count(0)
    await page.keyboard.press("Escape")
    await expect(page.get_by_text("Nothing found.")).to_be_visible()


async def test_tags_of_the_model_are_taken_away_in_an_album_and_stay_away(server: AppProcess, visit: Visit) -> None:
    async with server.client() as client:
        [image] = await fill_album(client, "holiday", (1,))
        await client.post("/api/v1/albums/tags", json={"album_id": "holiday"})
    page = await visit.open("/albums/holiday")
    dialog = await _open(page)
    before = await _tags(dialog).all_text_contents()
    await dialog.get_by_role("button", name=f"Remove the tag {before[0]}").click()
    await expect(_tags(dialog)).to_have_text(before[1:])
    async with server.client() as client:
        await client.post("/api/v1/albums/tags", json={"album_id": "holiday"})
    assert await _stored(server, image) == set(before[1:])


async def test_words_of_korean_that_come_late_are_proposed_and_waited_for(browser: Browser, server: AppProcess) -> None:
    [image] = await _pictures(server, ["dusk"])
    async with a_visit(browser, server.url, locale="ko-KR") as visit:
        for typed in ("고양", "고양이"):
            page = await visit.context.new_page()
            go_on = await hold_back(page, "**/api/v1/vocabulary?*", "GET")
            async with page.expect_request("**/api/v1/vocabulary?*"):
                await page.goto(f"{server.url}/#/")
            dialog = await _open(page)
            field = dialog.get_by_role("combobox", name="태그 추가")
            async with page.expect_response("**/api/v1/suggest?*"):
                await field.press_sequentially(typed)
            if typed == "고양이":
                await field.press("Enter")
                await expect(field).to_have_value(typed)  # which is no tag as long as its own is not known
            go_on.set()
            if typed == "고양이":
                await expect(dialog.get_by_role("button", name="태그 지우기: 고양이")).to_be_visible()
                await expect(field).to_have_value("")
            else:
                await expect(dialog.get_by_role("option").first).to_contain_text(typed)
        assert await _stored(server, image) == {"dusk", "cat"}
        visit.judge()


async def test_words_of_korean_are_the_tags_that_they_are_shown_for(browser: Browser, server: AppProcess) -> None:
    [image] = await _pictures(server, ["dusk"])
    async with a_visit(browser, server.url, locale="ko-KR") as visit:
        page = await visit.open()
        dialog = await _open(page)
        field = dialog.get_by_role("combobox", name="태그 추가")
        await field.press_sequentially("고양")
        await expect(dialog.get_by_role("option").first).to_contain_text("고양")
        await field.fill("고양이")
        await page.keyboard.press("Enter")
        await expect(dialog.get_by_role("button", name="태그 지우기: 고양이")).to_be_visible()
        assert await _stored(server, image) == {"dusk", "cat"}
        visit.judge()
