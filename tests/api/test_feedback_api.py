"""Feedback over HTTP: verdicts on tags and on what was made; the last word holds, and evaluations read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from bench.quality.feedback import measure
from configs.settings import Settings
from serve_app.services import feedback
from serve_app.services.container import Services
from serve_app.services.runner import JobRunner
from serve_app.store.repositories import history, image_tags
from serve_app.store.repositories.users import LOCAL_USER_ID
from tests.api.conftest import assert_problem, upload
from tests.support.accounts import Account, with_keys
from tests.support.builders import an_image, encoded

PATH = "/api/v1/feedback"


async def an_image_id(client: httpx.AsyncClient, seed: int = 0) -> str:
    [url] = await upload(client, encoded(an_image(seed=seed), "PNG"))
    return url.rsplit("/", 1)[1].removesuffix(".png")


async def say(client: httpx.AsyncClient, verdict: str, note: str | None = None, **subject: str) -> httpx.Response:
    return await client.post(PATH, json={"subject": subject, "verdict": verdict, "note": note})


async def a_made_image(services: Services, status: str = "succeeded", style: str = "ink") -> str:
    async with services.database.transaction() as session:
        entry = await history.start(session, LOCAL_USER_ID, "style", {"style_name": style})
        if status == "succeeded":
            await history.succeed(session, entry.id, [], "local")
        else:
            await history.fail(session, entry.id, {"type": "about:blank"})
    return entry.id


async def model_tags(services: Services, image_id: str, **scores: float) -> None:
    async with services.database.transaction() as session:
        await image_tags.save_scores(session, {image_id: scores})


async def listed(client: httpx.AsyncClient, **query: Any) -> list[Mapping[str, Any]]:
    items: list[Mapping[str, Any]] = (await client.get(PATH, params=query)).json()["items"]
    return items


async def test_a_verdict_on_a_tag_remembers_how_sure_the_model_was(
    services: Services, idle_client: httpx.AsyncClient
) -> None:
    image = await an_image_id(idle_client)
    await model_tags(services, image, dog=0.75)
    said = await say(idle_client, "wrong", "a wolf", image_id=image, tag=" Dog ")
    assert said.status_code == 200
    assert said.json()["subject"] == {"image_id": image, "tag": "dog"}
    assert (said.json()["verdict"], said.json()["note"], said.json()["score"]) == ("wrong", "a wolf", 0.75)
    missed = await say(idle_client, "right", image_id=image, tag="wolf")
    assert missed.json()["score"] is None
    assert [item["id"] for item in await listed(idle_client)] == [missed.json()["id"], said.json()["id"]]


async def test_a_verdict_changes_no_tag_of_the_image(services: Services, idle_client: httpx.AsyncClient) -> None:
    image = await an_image_id(idle_client)
    await model_tags(services, image, dog=0.75)
    await say(idle_client, "wrong", image_id=image, tag="dog")
    await say(idle_client, "right", image_id=image, tag="wolf")
    assert (await idle_client.get(f"/api/v1/images/{image}")).json()["tags"] == ["dog"]


async def test_of_one_subject_the_last_verdict_holds(services: Services, idle_client: httpx.AsyncClient) -> None:
    image, made = await an_image_id(idle_client), await a_made_image(services)
    for subject in ({"image_id": image, "tag": "dog"}, {"history_id": made}):
        first = (await say(idle_client, "wrong", "hm", **subject)).json()
        last = (await say(idle_client, "right", **subject)).json()
        assert first["id"] == last["id"]
        assert (last["verdict"], last["note"]) == ("right", None)
    assert [item["verdict"] for item in await listed(idle_client)] == ["right", "right"]


async def test_a_forgotten_verdict_is_gone_and_may_be_forgotten_again(idle_client: httpx.AsyncClient) -> None:
    said = (await say(idle_client, "wrong", image_id=await an_image_id(idle_client), tag="dog")).json()
    for _ in range(2):
        assert (await idle_client.delete(f"{PATH}/{said['id']}")).status_code == 204
    assert await listed(idle_client) == []


async def test_verdicts_are_listed_in_pages(idle_client: httpx.AsyncClient) -> None:
    image = await an_image_id(idle_client)
    said = [(await say(idle_client, "right", image_id=image, tag=tag)).json()["id"] for tag in "abc"]
    page = (await idle_client.get(PATH, params={"limit": 2})).json()
    rest = (await idle_client.get(PATH, params={"limit": 2, "cursor": page["next_cursor"]})).json()
    assert [item["id"] for item in page["items"] + rest["items"]] == said[::-1]
    assert rest["next_cursor"] is None


async def test_what_is_said_of_an_image_goes_with_it(idle_client: httpx.AsyncClient) -> None:
    image = await an_image_id(idle_client)
    await say(idle_client, "wrong", image_id=image, tag="dog")
    assert (await idle_client.delete(f"/api/v1/images/{image}")).status_code == 204
    assert await listed(idle_client) == []


@pytest.mark.parametrize("subject", [{"image_id": "img_nobody", "tag": "dog"}, {"history_id": "gen_nobody"}])
async def test_a_verdict_on_what_is_not_there_is_refused(
    idle_client: httpx.AsyncClient, subject: dict[str, str]
) -> None:
    assert_problem(await say(idle_client, "right", **subject), 404, "not-found")


async def test_a_try_that_made_nothing_has_no_verdict(services: Services, idle_client: httpx.AsyncClient) -> None:
    assert_problem(await say(idle_client, "wrong", history_id=await a_made_image(services, "failed")), 404, "not-found")


@pytest.mark.parametrize(
    "body",
    [
        {"subject": {"image_id": "img_1"}, "verdict": "right"},
        {"subject": {"image_id": "img_1", "tag": "dog", "history_id": "gen_1"}, "verdict": "right"},
        {"subject": {}, "verdict": "right"},
        {"subject": {"history_id": "gen_1"}, "verdict": "maybe"},
        {"subject": {"history_id": "gen_1"}, "verdict": "right", "note": "x" * 2001},
        {"subject": {"image_id": "img_1", "tag": "x" * 101}, "verdict": "right"},
    ],
)
async def test_a_verdict_that_says_nothing_clear_is_refused(
    idle_client: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    assert_problem(await idle_client.post(PATH, json=body), 422, "invalid-request")


async def test_verdicts_on_one_image_are_bounded(
    idle_client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feedback, "MOST_OF_AN_IMAGE", 2)
    image = await an_image_id(idle_client)
    for tag in "ab":
        assert (await say(idle_client, "right", image_id=image, tag=tag)).status_code == 200
    assert_problem(await say(idle_client, "right", image_id=image, tag="c"), 422, "invalid-request")
    assert (await say(idle_client, "wrong", image_id=image, tag="b")).status_code == 200
    assert len(await listed(idle_client)) == 2


class TestWithKeys:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return with_keys(settings)

    async def test_nobody_speaks_of_anothers_image_or_sees_and_forgets_anothers_verdict(
        self, eva: Account, bob: Account, worker: JobRunner
    ) -> None:
        image = await an_image_id(eva.client)
        said = (await say(eva.client, "right", image_id=image, tag="dog")).json()
        assert_problem(await say(bob.client, "wrong", image_id=image, tag="dog"), 404, "not-found")
        assert (await bob.client.delete(f"{PATH}/{said['id']}")).status_code == 204
        assert await listed(bob.client) == []
        assert [item["verdict"] for item in await listed(eva.client)] == ["right"]


async def test_an_evaluation_reads_verdicts_and_changes_of_tags(
    services: Services, idle_client: httpx.AsyncClient, settings: Settings
) -> None:
    images = [await an_image_id(idle_client, seed) for seed in range(2)]
    for image in images:
        await model_tags(services, image, dog=0.75, beach=0.5)
    await say(idle_client, "wrong", image_id=images[0], tag="dog")
    await say(idle_client, "right", image_id=images[0], tag="beach")
    await say(idle_client, "right", image_id=images[0], tag="wolf")
    await idle_client.patch(f"/api/v1/images/{images[1]}", json={"tags": {"remove": ["dog"], "add": ["sea"]}})
    for style, verdict in (("ink", "right"), ("ink", "wrong"), ("oil", "right")):
        await say(idle_client, verdict, history_id=await a_made_image(services, style=style))
    figures = await measure(str(settings.database_url))
    assert {name: (round(figure.value, 3), figure.asked) for name, figure in figures.items()} == {
        "tags: right": (0.333, 3),
        "tag beach: right": (1.0, 1),
        "tag dog: right": (0.0, 2),
        "tags: missed": (2.0, 0),
        "style ink by local: right": (0.5, 2),
        "style oil by local: right": (1.0, 1),
    }
