"""Who goes on before the server has answered: what is done and shown is of what was pressed then."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Request, expect

from tests.browser.test_duplicates import pairs
from tests.browser.test_haste import hold_back
from tests.support.app_process import AppProcess
from tests.support.builders import an_image, encoded
from tests.support.people import fill_album
from tests.support.people import people as list_people
from tests.support.visits import Visit

PREVIEW_SEED = 1


async def test_pictures_that_are_in_line_are_made_of_the_picture_that_they_were_asked_for(
    server: AppProcess, visit: Visit
) -> None:
    files = [("file", (f"{seed}.png", encoded(an_image(seed=seed), "PNG"))) for seed in (1, 2)]
    async with server.client() as client:
        stored = await client.post("/api/v1/images", files=files)
    first = stored.json()["images"][0]["id"]
    page = await visit.open(f"/styles?picture={first}&name=oil&seed=7")
    asked: list[dict[str, Any]] = []

    def note(request: Request) -> None:
        body = request.post_data_json if request.url.endswith("/api/v1/style") else None
        if body and body["seed"] != PREVIEW_SEED:
            asked.append(body)

    page.on("request", note)
    go_on = await hold_back(page, "**/api/v1/style", "POST")
    await page.get_by_label("How many").select_option("4")
    await page.get_by_role("button", name="Make 4").click()
    await page.get_by_role("button", name="Another picture").click()
    await page.get_by_role("button", name="Use 2.png").click()
    await expect(page.get_by_label("Your picture").locator("strong")).to_have_text("2.png")
    go_on.set()
    async with page.expect_request(lambda request: (request.post_data_json or {}).get("seed") == 10):
        pass
    assert {one["seed"] for one in asked} == {7, 8, 9, 10}
    assert {one["image_url"] for one in asked} == {first}


async def test_faces_are_taken_from_a_person_while_the_page_of_another_is_open(
    server: AppProcess, visit: Visit
) -> None:
    async with server.client() as client:
        await fill_album(client, "holiday", *[(1,)] * 5)
        [person] = await list_people(client)
    page = await visit.open(f"/people/{person['id']}")
    boxes = page.get_by_role("list").first.get_by_role("checkbox")
    await boxes.first.check()
    await page.get_by_role("button", name="Split off").click()
    await expect(boxes).to_have_count(4)
    for place in range(3):
        await boxes.nth(place).check()
    go_on = await hold_back(page, "**/api/v1/faces/*/reject", "POST")
    await page.get_by_role("button", name="Not this person").click()
    await page.get_by_role("link", name="Show").click()
    await expect(page.get_by_role("heading", name="1 face", exact=True)).to_be_visible()
    go_on.set()
    await page.get_by_role("link", name="People").first.click()
    await visit.settle(page)
    async with server.client() as client:
        left = (await client.get(f"/api/v1/people/{person['id']}")).json()
    assert left["face_count"] == 1


async def test_a_press_that_ends_the_writing_of_a_name_does_what_it_says(server: AppProcess, visit: Visit) -> None:
    async with server.client() as client:
        await fill_album(client, "holiday", (1,), (2,))
    page = await visit.open("/people")
    card = page.get_by_role("main").get_by_role("listitem").first
    await card.get_by_label("Name").fill("Eva")
    await card.get_by_role("button", name="Hide").click()
    await expect(page.get_by_role("main").get_by_role("listitem")).to_have_count(1)
    await page.get_by_label("Hidden people").check()
    await expect(card.get_by_label("Name")).to_have_value("Eva")


async def test_what_is_decided_in_a_large_picture_is_told_to_the_page_of_the_person(
    server: AppProcess, visit: Visit
) -> None:
    async with server.client() as client:
        await fill_album(client, "holiday", (1,), (1,))
        [person] = await list_people(client)
    page = await visit.open(f"/people/{person['id']}")
    await page.get_by_role("button", name="Open ").first.click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Not this person").click()
    await expect(dialog.get_by_role("status")).to_have_text("Saved.")
    await dialog.get_by_role("button", name="Close").click()
    await expect(page.get_by_role("heading", name="1 face", exact=True)).to_be_visible()
    await expect(page.get_by_role("heading", name="1 picture", exact=True)).to_be_visible()


async def test_the_way_back_closes_a_plan_of_another_album(server: AppProcess, visit: Visit) -> None:
    await pairs(server, 2, exact=2)
    async with server.client() as client:
        await fill_album(client, "the latest", (1,), (2,))
        albums = {one["album_id"]: one["id"] for one in (await client.get("/api/v1/albums")).json()["items"]}
    page = await visit.open(f"/duplicates?album={albums['the latest']}")
    await page.get_by_role("combobox", name="Album", exact=True).select_option("pairs")
    await page.get_by_role("button", name="groups of the same picture at once").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.go_back()
    await expect(page.get_by_role("main")).to_contain_text("No open groups")
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_who_types_and_opens_another_page_that_comes_late_is_not_brought_back(
    server: AppProcess, visit: Visit
) -> None:
    async with server.client() as client:
        await client.post("/api/v1/images", files=[("file", ("1.png", encoded(an_image(seed=1), "PNG")))])
    page = await visit.open()
    await page.clock.install()
    go_on = await hold_back(page, "**/app/immutable/**", "GET")
    await page.get_by_role("searchbox").fill("dog")
    async with page.expect_request("**/app/immutable/**"):
        await page.get_by_role("link", name="Jobs").click()
    await page.clock.run_for(2000)
    go_on.set()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
