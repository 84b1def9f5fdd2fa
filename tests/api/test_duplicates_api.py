"""Groups of duplicates over HTTP: listed, resolved, dismissed, taken back."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import cv2
import httpx
import pytest
import pytest_asyncio
from sqlalchemy import text

from serve_app.services.albums import duplicate_groups
from serve_app.services.container import Services
from serve_app.services.jobs.progress import Progress
from serve_app.store.queue.jobs import QueuedJob
from serve_app.store.repositories import duplicates as decisions
from serve_app.store.repositories.users import LOCAL_USER_ID
from tests.api.conftest import assert_problem, embed, upload
from tests.api.test_trash_api import act, album_images, id_of, trashed
from tests.support.builders import an_image, encoded

ALBUMS = "/api/v1/albums"
Group = dict[str, Any]


def versions(seed: int, many: int) -> list[bytes]:
    """One picture in files that are copies of one another, the first one lossless."""
    picture = an_image(seed=seed)
    return [encoded(picture, "PNG"), *(encoded(picture, quality=95 - 10 * place) for place in range(many - 1))]


async def search(client: httpx.AsyncClient, album: str = "a", level: str = "copy") -> None:
    answer = await client.post(f"{ALBUMS}/duplicates", json={"album_id": album, "level": level})
    assert answer.status_code == 200, answer.text


async def groups(client: httpx.AsyncClient, album: str = "a", **query: Any) -> list[Group]:
    answer = await client.get(f"{ALBUMS}/{album}/duplicates", params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


async def resolve(client: httpx.AsyncClient, group: Group, keep: list[str], **more: Any) -> httpx.Response:
    ids = [member["id"] for member in group["members"]]
    body = {"keep": keep, "trash": [one for one in ids if one not in keep], **more}
    return await client.post(f"{ALBUMS}/a/duplicates/{group['id']}/resolve", json=body)


async def dismiss(client: httpx.AsyncClient, group: Group) -> httpx.Response:
    return await client.post(f"{ALBUMS}/a/duplicates/{group['id']}/dismiss")


@pytest_asyncio.fixture()
async def three(client: httpx.AsyncClient) -> list[str]:
    """An album `a` of three copies and two other pictures, searched. -> urls of the copies"""
    urls = await upload(client, *versions(1, 3), *versions(2, 1), *versions(3, 1))
    await embed(client, "a", urls)
    await search(client)
    return urls[:3]


async def test_a_group_tells_what_is_known_of_its_members(client: httpx.AsyncClient, three: list[str]) -> None:
    [group] = await groups(client, status="open")
    assert group["id"].startswith("dup_")
    assert (group["status"], group["burst"], group["correction_id"]) == ("open", False, None)
    assert {member["image"] for member in group["members"]} == set(three)
    for member in group["members"]:
        image = (await client.get(f"/api/v1/images/{member['id']}")).json()
        for name in ("width", "height", "bytes", "filename", "taken_at", "thumbnails"):
            assert member[name] == image[name]
        assert member["format"] == image["content_type"]
        assert 0 <= member["quality"] <= 1


async def test_a_group_has_one_id_in_every_answer_and_album(client: httpx.AsyncClient, three: list[str]) -> None:
    [group] = await groups(client)
    detailed = await client.post(f"{ALBUMS}/duplicates?detail=true", json={"album_id": "a"})
    assert [one["id"] for one in detailed.json()["groups"]] == [group["id"]]
    again = await upload(client, *versions(1, 3))
    await embed(client, "b", again)
    await search(client, "b")
    assert [one["id"] for one in await groups(client, "b")] == [group["id"]]


async def test_a_level_is_that_of_its_search(client: httpx.AsyncClient, three: list[str]) -> None:
    assert_problem(await client.get(f"{ALBUMS}/a/duplicates", params={"level": "exact"}), 404)
    await search(client, level="exact")
    assert await groups(client, level="exact") == []
    assert len(await groups(client, level="copy")) == 1


async def test_a_resolved_group_leaves_the_kept_and_its_others_in_the_trash(
    client: httpx.AsyncClient, three: list[str]
) -> None:
    [group] = await groups(client)
    kept, *gone = map(id_of, three)
    answer = await resolve(client, group, [kept])
    assert answer.status_code == 200, answer.text
    sizes = {member["id"]: member["bytes"] for member in group["members"]}
    assert answer.json() | {"correction_id": ""} == {
        "id": group["id"],
        "status": "resolved",
        "trashed": gone,
        "bytes": sum(sizes[one] for one in gone),
        "correction_id": "",
    } | {"trashed": answer.json()["trashed"]}
    assert sorted(answer.json()["trashed"]) == sorted(gone)
    assert {id_of(url) for url in await trashed(client)} == set(gone)
    assert three[0] in await album_images(client, "a")
    assert await groups(client, status="open") == []
    [resolved] = await groups(client, status="resolved")
    assert (resolved["id"], resolved["correction_id"]) == (group["id"], answer.json()["correction_id"])
    assert resolved["members"] == group["members"]


@pytest.mark.parametrize("way", ["undo", "correction"])
async def test_a_resolution_is_taken_back(client: httpx.AsyncClient, three: list[str], way: str) -> None:
    [group] = await groups(client)
    before = await album_images(client, "a")
    correction = (await resolve(client, group, [id_of(three[1])])).json()["correction_id"]
    if way == "undo":
        assert (await client.post("/api/v1/undo")).json()["correction_id"] == correction
    else:
        assert (await client.delete(f"/api/v1/corrections/{correction}")).status_code == 204
    assert await album_images(client, "a") == before
    assert await trashed(client) == []
    assert await groups(client, status="resolved") == []
    await search(client)
    assert [one["id"] for one in await groups(client, status="open")] == [group["id"]]


async def test_the_kept_takes_over_tags_albums_and_time_and_gives_them_back(
    client: httpx.AsyncClient, three: list[str]
) -> None:
    kept, first, second = map(id_of, three)
    await embed(client, "b", [three[1]])
    await client.patch(
        f"/api/v1/images/{first}", json={"tags": {"add": ["holiday"]}, "taken_at": "2026-03-02T10:00:00"}
    )
    await client.patch(f"/api/v1/images/{second}", json={"tags": {"add": ["sea"]}, "taken_at": "2026-03-01T09:00:00"})
    await search(client)
    [group] = await groups(client)
    before = (await client.get(f"/api/v1/images/{kept}")).json()
    answer = await resolve(client, group, [kept])
    assert answer.status_code == 200, answer.text
    after = (await client.get(f"/api/v1/images/{kept}")).json()
    assert {"holiday", "sea"} <= set(after["tags"])
    assert after["taken_at"] == "2026-03-01T09:00:00"
    assert list(await album_images(client, "b")) == [kept]
    await client.post("/api/v1/undo")
    assert (await client.get(f"/api/v1/images/{kept}")).json() == before
    assert list(await album_images(client, "b")) == [three[1]]


async def test_a_resolution_whose_images_were_deleted_is_not_taken_back(
    client: httpx.AsyncClient, three: list[str]
) -> None:
    kept, first, second = map(id_of, three)
    await client.patch(f"/api/v1/images/{first}", json={"tags": {"add": ["holiday"]}})
    await search(client)
    [group] = await groups(client)
    correction = (await resolve(client, group, [kept])).json()["correction_id"]
    await act(client, "delete", [first])
    assert_problem(await client.post("/api/v1/undo"), 409, "conflict")
    assert_problem(await client.delete(f"/api/v1/corrections/{correction}"), 409, "conflict")
    assert "holiday" in (await client.get(f"/api/v1/images/{kept}")).json()["tags"]
    assert [id_of(url) for url in await trashed(client)] == [second]
    [resolved] = await groups(client, status="resolved")
    assert resolved["correction_id"] == correction


async def test_other_albums_of_the_kept_show_what_it_took_over_until_that_is_taken_back(
    client: httpx.AsyncClient, three: list[str]
) -> None:
    async def tags() -> set[str]:
        answer = await client.post(f"{ALBUMS}/tags", json={"album_id": "b"})
        assert answer.status_code == 200, answer.text
        return set(answer.json()["tags"])

    kept, first, _ = map(id_of, three)
    await embed(client, "b", [three[0]])
    await client.patch(f"/api/v1/images/{first}", json={"tags": {"add": ["holiday"]}})
    await search(client)
    [group] = await groups(client)
    assert "holiday" not in await tags()
    await resolve(client, group, [kept])
    assert "holiday" in await tags()
    await client.post("/api/v1/undo")
    assert "holiday" not in await tags()


async def test_temporary_images_of_a_group_become_lasting_before_they_are_decided_of(
    client: httpx.AsyncClient, services: Services, three: list[str]
) -> None:
    async with services.database.transaction() as session:
        await session.execute(text("UPDATE images SET temporary = true"))
    [group] = await groups(client)
    answer = await resolve(client, group, [id_of(three[0])])
    assert {id_of(url) for url in await trashed(client)} == set(answer.json()["trashed"]) == set(map(id_of, three[1:]))
    async with services.database.transaction() as session:
        lasting = set(await session.scalars(text("SELECT id FROM images WHERE NOT temporary")))
    assert lasting == set(map(id_of, three))


async def test_at_most_a_hundred_images_of_a_group_are_kept(client: httpx.AsyncClient, three: list[str]) -> None:
    [group] = await groups(client)
    ids = [f"img_01m80cx3q0b8yh2k7m1f4nd{number:03d}" for number in range(101)]
    problem = assert_problem(await resolve(client, group, ids), 422)
    assert "At most 100" in problem["detail"]


async def test_nothing_is_taken_over_that_was_not_asked_for(client: httpx.AsyncClient, three: list[str]) -> None:
    kept, first, _ = map(id_of, three)
    await client.patch(f"/api/v1/images/{first}", json={"tags": {"add": ["holiday"]}})
    await search(client)
    [group] = await groups(client)
    assert (await resolve(client, group, [kept], merge=["taken_at"])).status_code == 200
    assert "holiday" not in (await client.get(f"/api/v1/images/{kept}")).json()["tags"]


async def test_what_the_user_says_of_a_tag_of_the_kept_stays(client: httpx.AsyncClient, three: list[str]) -> None:
    kept, first, _ = map(id_of, three)
    await client.patch(f"/api/v1/images/{kept}", json={"tags": {"remove": ["holiday"]}})
    await client.patch(f"/api/v1/images/{first}", json={"tags": {"add": ["holiday"]}})
    await search(client)
    [group] = await groups(client)
    await resolve(client, group, [kept])
    assert "holiday" not in (await client.get(f"/api/v1/images/{kept}")).json()["tags"]


async def test_of_a_group_that_has_changed_nothing_is_thrown_away(client: httpx.AsyncClient, three: list[str]) -> None:
    [group] = await groups(client)
    await act(client, "trash", [three[2]])
    assert (await groups(client))[0]["status"] == "changed"
    assert await groups(client, status="open") == []
    for answer in (await resolve(client, group, [id_of(three[0])]), await dismiss(client, group)):
        assert_problem(answer, 409, "conflict")
    await search(client)
    [smaller] = await groups(client)
    assert smaller["id"] != group["id"]
    assert_problem(await resolve(client, group, [id_of(three[0])]), 409, "conflict")
    assert await trashed(client) == [three[2]]


async def test_a_group_is_resolved_once(client: httpx.AsyncClient, three: list[str]) -> None:
    [group] = await groups(client)
    answers = await asyncio.gather(
        resolve(client, group, [id_of(three[0])]), resolve(client, group, [id_of(three[1])]), dismiss(client, group)
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]


@pytest.mark.parametrize("wrong", ["stranger", "missing", "both"])
async def test_keep_and_trash_name_each_member_once(client: httpx.AsyncClient, three: list[str], wrong: str) -> None:
    [group] = await groups(client)
    keep, thrown = [id_of(three[0])], [id_of(three[1]), id_of(three[2])]
    if wrong == "stranger":
        thrown = [*thrown, "img_01m80cx3q0b8yh2k7m1f4nd9ra"]
    elif wrong == "missing":
        thrown = thrown[:1]
    else:
        thrown = [*thrown, *keep]
    body = {"keep": keep, "trash": thrown}
    assert_problem(await client.post(f"{ALBUMS}/a/duplicates/{group['id']}/resolve", json=body), 422)
    assert await trashed(client) == []


async def test_dismissed_images_are_in_no_group_again_though_others_link_them(
    client: httpx.AsyncClient, three: list[str]
) -> None:
    [group] = await groups(client)
    answer = await dismiss(client, group)
    assert answer.status_code == 200, answer.text
    assert await groups(client, status="open") == []
    assert [one["id"] for one in await groups(client, status="dismissed")] == [group["id"]]
    await embed(client, "a", await upload(client, encoded(an_image(seed=1), quality=50)))
    await search(client)
    for one in await groups(client, status="open"):
        assert len({member["image"] for member in one["members"]} & set(three)) == 1
    assert (await dismiss(client, group)).json() == answer.json()


async def test_dismissed_images_are_no_group_in_another_album_or_sent_anew(
    client: httpx.AsyncClient, three: list[str]
) -> None:
    [group] = await groups(client)
    await dismiss(client, group)
    await act(client, "delete", three)
    await embed(client, "b", await upload(client, *versions(1, 3)))
    await search(client, "b")
    assert await groups(client, "b") == []


async def test_what_was_dismissed_in_one_album_is_not_open_in_what_was_found_in_another_before(
    client: httpx.AsyncClient, three: list[str]
) -> None:
    await embed(client, "b", await upload(client, *versions(1, 3), *versions(5, 2)))
    await search(client, "b")
    [group] = await groups(client)
    await dismiss(client, group)
    assert {one["id"]: one["status"] for one in await groups(client, "b")}[group["id"]] == "changed"
    answer = (await client.post(f"{ALBUMS}/b/duplicates/resolve", json={"level": "copy"})).json()
    assert (answer["groups"], answer["images"]) == (1, 1)
    await client.post("/api/v1/undo")
    await client.post("/api/v1/undo")
    assert {one["status"] for one in await groups(client, "b")} == {"open"}


@pytest.mark.parametrize(("decided", "older"), [("exact", "copy"), ("copy", "exact")])
async def test_what_are_no_duplicates_is_open_in_no_older_search_at_another_level(
    client: httpx.AsyncClient, decided: str, older: str
) -> None:
    picture = an_image(seed=1)
    await embed(client, "a", await upload(client, *versions(1, 2), encoded(picture, "PNG", compress_level=1)))
    await search(client, level="exact")
    await search(client, level="copy")
    [group] = await groups(client, level=decided)
    lossless = [member["id"] for member in group["members"] if member["format"] == "image/png"]
    answer = await (dismiss(client, group) if decided == "exact" else resolve(client, group, lossless))
    assert answer.status_code == 200, answer.text
    before = await trashed(client)
    assert [one["status"] for one in await groups(client, level=older)] == ["changed"]
    assert (await resolve_all(client, level=older)).json()["groups"] == 0
    assert await trashed(client) == before


@pytest.mark.parametrize("way", ["resolve", "dismiss"])
async def test_a_group_that_an_older_version_found_is_decided_like_any_other(
    client: httpx.AsyncClient, services: Services, three: list[str], way: str
) -> None:
    async with services.database.transaction() as session:
        without_ids = "regexp_replace(CAST(entries AS text), '\"id\" ?: ?\"dup_[0-9a-f]+\",', '', 'g')"
        await session.execute(text(f"UPDATE result_parts SET entries = CAST({without_ids} AS json)"))
    [group] = await groups(client, status="open")
    answer = await (dismiss(client, group) if way == "dismiss" else resolve(client, group, [id_of(three[0])]))
    assert answer.status_code == 200, answer.text
    assert await groups(client, status="open") == []


async def test_equal_files_that_are_dismissed_are_no_group_again(client: httpx.AsyncClient) -> None:
    urls = await upload(client, *(versions(1, 1) * 2))
    await embed(client, "a", urls)
    await search(client, level="exact")
    [group] = await groups(client, level="exact")
    await dismiss(client, group)
    await search(client, level="exact")
    assert await groups(client, level="exact") == []
    await client.post("/api/v1/undo")
    await search(client, level="exact")
    assert [one["id"] for one in await groups(client, level="exact", status="open")] == [group["id"]]


async def test_of_two_images_that_are_kept_it_is_remembered_that_they_are_no_duplicates(
    client: httpx.AsyncClient, three: list[str]
) -> None:
    [group] = await groups(client)
    assert (await resolve(client, group, [id_of(three[0]), id_of(three[1])])).status_code == 200
    await search(client)
    assert await groups(client, status="open") == []
    await client.post("/api/v1/undo")
    await search(client)
    assert [one["id"] for one in await groups(client, status="open")] == [group["id"]]


async def test_an_image_that_was_restored_by_hand_is_in_an_open_group_again(
    client: httpx.AsyncClient, three: list[str]
) -> None:
    [group] = await groups(client)
    await resolve(client, group, [id_of(three[0])])
    await act(client, "restore", three[1:])
    await search(client)
    assert [one["id"] for one in await groups(client, status="open")] == [group["id"]]
    assert (await resolve(client, group, [id_of(three[0])])).status_code == 200


@pytest_asyncio.fixture()
async def many(client: httpx.AsyncClient) -> list[str]:
    """An album `a` of four groups, searched at two levels."""
    urls = await upload(client, *(data for seed in range(4) for data in versions(seed, 2)), *versions(9, 1))
    urls += await upload(client, *(encoded(an_image(seed=seed), "PNG", compress_level=1) for seed in range(2)))
    await embed(client, "a", urls)
    await search(client)
    await search(client, level="exact")
    return urls


async def resolve_all(client: httpx.AsyncClient, **body: Any) -> httpx.Response:
    return await client.post(f"{ALBUMS}/a/duplicates/resolve", json=body)


async def test_a_dry_run_tells_what_the_run_does_and_does_nothing(client: httpx.AsyncClient, many: list[str]) -> None:
    for level, count in (("exact", 2), ("copy", 4)):
        planned = (await resolve_all(client, level=level, dry_run=True)).json()
        assert planned["groups"] == count
        assert await trashed(client) == []
        suggested = {member["image"] for group in await groups(client, level=level, status="open")
                     for member in group["members"] if member["image"] != group["keep"]}  # fmt: skip
        run = (await resolve_all(client, level=level, plan=planned["plan"])).json()
        assert planned.items() <= run.items()
        assert set(await trashed(client)) == suggested
        assert len(suggested) == planned["images"]
        await search(client, level=level)
        assert await groups(client, level=level, status="open") == []
        await client.post("/api/v1/undo")
        assert await trashed(client) == []
        await search(client, level=level)


@pytest.mark.parametrize("level", ["copy", None])
async def test_of_the_groups_of_a_search_those_of_one_level_are_resolved(
    client: httpx.AsyncClient, three: list[str], level: str | None
) -> None:
    picture = an_image(seed=3)
    await embed(client, "a", await upload(client, encoded(picture, "PNG"), encoded(picture, "PNG", compress_level=1)))
    await search(client)
    found = await groups(client, level="copy", status="open")
    exact = [group for group in found if group["level"] == "exact"]
    assert 0 < len(exact) < len(found)
    planned = (await resolve_all(client, level=level, only="exact", dry_run=True)).json()
    assert planned["groups"] == len(exact)
    run = (await resolve_all(client, level=level, only="exact", plan=planned["plan"])).json()
    assert planned.items() <= run.items()
    left = await groups(client, level="copy", status="open")
    assert {one["id"] for one in left} == {one["id"] for one in found} - {one["id"] for one in exact}
    await client.post("/api/v1/undo")
    assert len(await groups(client, level="copy", status="open")) == len(found)


async def test_a_worker_too_old_to_know_of_one_level_resolves_no_other(
    client: httpx.AsyncClient, services: Services, three: list[str]
) -> None:
    newer = services.handlers["resolve_duplicates"]

    async def older(job: QueuedJob, progress: Progress) -> Any:
        known = {name: value for name, value in job.payload.items() if name != "only"}
        return await newer(replace(job, payload=known), progress)

    services.handlers["resolve_duplicates"] = older
    assert_problem(await resolve_all(client, level="copy", only="exact"), 409, "conflict")
    assert await trashed(client) == []


async def test_a_run_whose_plan_no_longer_holds_does_nothing(client: httpx.AsyncClient, many: list[str]) -> None:
    plan = (await resolve_all(client, level="copy", dry_run=True)).json()["plan"]
    [first, *_] = await groups(client, level="copy", status="open")
    await dismiss(client, first)
    assert_problem(await resolve_all(client, level="copy", plan=plan), 409, "conflict")
    assert await trashed(client) == []


async def test_a_run_without_groups_has_nothing_to_take_back(client: httpx.AsyncClient, three: list[str]) -> None:
    await search(client, level="exact")
    answer = (await resolve_all(client, level="exact")).json()
    assert (answer["groups"], answer["images"], answer["bytes"], answer["correction_id"]) == (0, 0, 0, None)


async def test_a_run_that_is_made_again_by_another_worker_is_done_once(
    client: httpx.AsyncClient, services: Services, many: list[str]
) -> None:
    run = (await resolve_all(client, level="copy")).json()
    [job] = (await client.get("/api/v1/jobs", params={"kind": "resolve_duplicates"})).json()["items"]
    queued = await services.jobs.get(LOCAL_USER_ID, job["id"])
    from serve_app.services.jobs.progress import Progress

    again = await services.duplicate_decisions(queued, Progress())
    assert again.model_dump(mode="json") == run
    async with services.database.transaction() as session:
        assert len(await decisions.load_of_job(session, LOCAL_USER_ID, job["id"])) == run["groups"]


async def test_groups_come_in_pages_whatever_their_state(client: httpx.AsyncClient, many: list[str]) -> None:
    async def paged(**query: Any) -> list[str]:
        found, cursor = [], {}
        while True:
            page = (await client.get(f"{ALBUMS}/a/duplicates", params={"limit": 1, **query, **cursor})).json()
            found += [one["id"] for one in page["items"]]
            if page["next_cursor"] is None:
                return found
            cursor = {"cursor": page["next_cursor"]}

    everything = [one["id"] for one in await groups(client, level="copy")]
    listed = await groups(client, level="copy", status="open")
    await dismiss(client, listed[0])
    await dismiss(client, listed[2])
    assert await paged(level="copy", status="open") == [listed[1]["id"], listed[3]["id"]]
    assert await paged(status="dismissed") == [listed[2]["id"], listed[0]["id"]]
    assert await paged(level="copy") == everything
    bad = {"status": "dismissed", "cursor": "x"}
    assert_problem(await client.get(f"{ALBUMS}/a/duplicates", params=bad), 422)


async def test_a_page_of_open_groups_ends_after_so_many_that_are_not(
    client: httpx.AsyncClient, many: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = await groups(client, level="copy", status="open")
    for group in listed[:2]:
        await dismiss(client, group)
    monkeypatch.setattr(duplicate_groups, "_AT_ONCE", 1)
    monkeypatch.setattr(duplicate_groups, "_MOST_ROUNDS", 2)
    query = {"level": "copy", "status": "open"}
    page = (await client.get(f"{ALBUMS}/a/duplicates", params=query)).json()
    assert page["items"] == []
    page = (await client.get(f"{ALBUMS}/a/duplicates", params={**query, "cursor": page["next_cursor"]})).json()
    assert ([one["id"] for one in page["items"]], page["next_cursor"]) == ([one["id"] for one in listed[2:]], None)


async def test_a_decision_is_told_as_an_event(client: httpx.AsyncClient, services: Services, three: list[str]) -> None:
    [group] = await groups(client)
    await dismiss(client, group)
    await client.post("/api/v1/undo")
    async with services.database.transaction() as session:
        told = list(await session.scalars(text("SELECT subject_id FROM events WHERE kind = 'duplicate' ORDER BY id")))
    assert told == [group["id"]] * 2


async def test_shots_of_one_moment_are_a_burst_with_the_best_one_to_keep(client: httpx.AsyncClient) -> None:
    sharp = an_image((480, 320), seed=1)
    shots = [sharp, *(cv2.GaussianBlur(sharp, (0, 0), sigma) for sigma in (16, 40))]
    urls = await upload(client, *(encoded(shot, "PNG") for shot in shots))
    await embed(client, "a", urls)
    for second, url in enumerate(urls):
        await client.patch(f"/api/v1/images/{id_of(url)}", json={"taken_at": f"2026-03-01T10:00:0{second}"})
    await search(client, level="similar")
    [group] = await groups(client, level="similar")
    assert (group["level"], group["burst"]) == ("similar", True)
    assert group["keep"] == urls[0]
    assert group["keep_reason"] == "best quality"
    await client.patch(f"/api/v1/images/{id_of(urls[0])}", json={"taken_at": "2026-03-01T11:00:00"})
    await search(client, level="similar")
    [group] = await groups(client, level="similar")
    assert group["burst"] is False
