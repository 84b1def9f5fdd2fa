"""Webhooks over HTTP: events reach a real server, signed, in order, and again where it failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import text

from configs.settings import Events, Settings
from serve_app.services.container import Services
from serve_app.services.runner import JobRunner
from serve_app.services.webhooks import sender
from serve_app.services.webhooks.service import MOST
from serve_app.services.webhooks.signatures import sign
from tests.api.conftest import assert_problem, upload
from tests.support.accounts import Account, with_keys
from tests.support.builders import an_image, encoded
from tests.support.hook_receiver import Received, Receiver, receiving

HOOKS = "/api/v1/webhooks"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "_PAUSE_S", 0.05)
    monkeypatch.setattr(sender, "backoff_s", lambda _failures, cap_s: 0.05)


@pytest_asyncio.fixture()
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as one:
        yield one


async def _hook(client: httpx.AsyncClient, receiver: Receiver, **more: Any) -> dict[str, Any]:
    response = await client.post(HOOKS, json={"url": receiver.url, **more})
    assert response.status_code == 201, response.text
    assert response.headers["cache-control"] == "no-store"
    return dict(response.json())


async def _image(client: httpx.AsyncClient, seed: int = 0) -> str:
    [ref] = await upload(client, encoded(an_image(seed=seed), "PNG"))
    return ref.rpartition("/")[2].partition(".")[0]


def _told(messages: list[Received], kind: str = "image") -> list[str]:
    return [event["id"] for one in messages for event in one.json["events"] if event["kind"] == kind]


async def test_events_are_posted_with_a_signature_that_the_secret_verifies(
    client: httpx.AsyncClient, receiver: Receiver
) -> None:
    hook = await _hook(client, receiver)
    image = await _image(client)
    [message] = await receiver.until(lambda messages: _told(messages) == [image])
    signed = sign(
        hook["secret"], message.headers["webhook-id"], int(message.headers["webhook-timestamp"]), message.body
    )
    assert message.headers["webhook-signature"] == signed["webhook-signature"]
    assert message.headers["content-type"] == "application/json"
    [event] = message.json["events"]
    assert (message.json["webhook_id"], message.json["reset"]) == (hook["id"], False)
    assert (event["href"], event["gone"]) == (f"/api/v1/images/{image}", False)


async def test_only_the_kinds_that_were_asked_for_are_told(client: httpx.AsyncClient, receiver: Receiver) -> None:
    await _hook(client, receiver, events=["job"])
    await _image(client)
    ref = f"http://localhost/api/v1/files/{await _image(client, seed=1)}"
    await client.post("/api/v1/albums/embeddings", json={"images": [ref], "album_id": "summer"})
    messages = await receiver.until(lambda messages: _told(messages, "job"))
    assert {event["kind"] for one in messages for event in one.json["events"]} == {"job"}


async def test_what_failed_is_sent_again_with_what_came_since(client: httpx.AsyncClient, receiver: Receiver) -> None:
    receiver.answers = [500, 302, 204]
    hook = await _hook(client, receiver, events=["image"])
    first = await _image(client)
    await receiver.until(lambda messages: len(messages) >= 3)
    second = await _image(client, seed=1)
    messages = await receiver.until(lambda messages: second in _told(messages))
    assert [_told([one])[0] for one in messages[:3]] == [first] * 3
    view = (await client.get(f"{HOOKS}/{hook['id']}")).json()
    assert view["enabled"] is True


async def test_a_receiver_that_answers_410_is_told_no_more_until_it_is_enabled(
    client: httpx.AsyncClient, receiver: Receiver, services: Services
) -> None:
    receiver.answers = [410, 204]
    hook = await _hook(client, receiver, events=["image"])
    first = await _image(client)
    await receiver.until(lambda messages: messages)
    view: dict[str, Any] = {"enabled": True}
    while view["enabled"]:
        view = (await client.get(f"{HOOKS}/{hook['id']}")).json()
    assert (view["failures"], view["last_failure"]) == (1, "It answered with status 410")
    second = await _image(client, seed=1)
    assert (await client.post(f"{HOOKS}/{hook['id']}/enable")).json()["enabled"] is True
    await receiver.until(lambda messages: _told(messages[1:]) == [first, second])


async def test_a_receiver_that_never_answers_is_given_up_after_a_while(
    client: httpx.AsyncClient, receiver: Receiver, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.webhook_sender, "_timeout_s", 0.1)
    receiver.answers = [0]
    hook = await _hook(client, receiver, events=["image"])
    await _image(client)
    await receiver.until(lambda messages: len(messages) >= 2)
    async with services.database.transaction() as session:
        await session.execute(text("UPDATE webhooks SET failing_since = now() - interval '2 days'"))
    view: dict[str, Any] = {"enabled": True}
    while view["enabled"]:
        view = (await client.get(f"{HOOKS}/{hook['id']}")).json()
    assert view["last_failure"] == "It did not answer within 0.1 s"


async def test_a_webhook_whose_events_were_removed_is_told_to_read_everything_anew(
    idle_client: httpx.AsyncClient, receiver: Receiver, services: Services, settings: Settings
) -> None:
    await _hook(idle_client, receiver)
    await _image(idle_client)
    async with services.database.transaction() as session:
        await session.execute(text("UPDATE events SET created_at = now() - interval '1 year'"))
    await services.run_housekeeping()
    await _image(idle_client, seed=1)
    runner = JobRunner(services, settings.jobs)
    running = asyncio.create_task(runner.run())
    try:
        messages = await receiver.until(lambda messages: messages)
    finally:
        await runner.stop()
        await running
    assert (messages[0].json["reset"], messages[0].json["events"]) == (True, [])


async def test_events_of_other_kinds_that_were_removed_are_no_loss(
    client: httpx.AsyncClient, receiver: Receiver, services: Services
) -> None:
    await _hook(client, receiver, events=["album"])
    image = await _image(client)
    async with services.database.transaction() as session:
        await session.execute(text("UPDATE events SET created_at = now() - interval '1 year'"))
    await services.run_housekeeping()
    body = {"images": [f"http://localhost/api/v1/files/{image}"], "album_id": "summer"}
    await client.post("/api/v1/albums/embeddings", json=body)
    messages = await receiver.until(lambda messages: messages)
    assert messages[0].json["reset"] is False
    assert _told(messages, "album")[0] == "summer"


async def test_a_deleted_webhook_is_told_nothing(client: httpx.AsyncClient, receiver: Receiver) -> None:
    gone, kept = await _hook(client, receiver), await _hook(client, receiver, events=["image"])
    assert (await client.delete(f"{HOOKS}/{gone['id']}")).status_code == 204
    assert_problem(await client.delete(f"{HOOKS}/{gone['id']}"), 404)
    await _image(client)
    messages = await receiver.until(lambda messages: messages)
    assert {one.json["webhook_id"] for one in messages} == {kept["id"]}
    assert [one["id"] for one in (await client.get(HOOKS)).json()["items"]] == [kept["id"]]


async def test_a_secret_is_shown_once(idle_client: httpx.AsyncClient, receiver: Receiver) -> None:
    hook = await _hook(idle_client, receiver)
    assert "secret" not in (await idle_client.get(f"{HOOKS}/{hook['id']}")).json()
    assert "secret" not in (await idle_client.get(HOOKS)).json()["items"][0]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"url": "ftp://example.org/"},
        {"url": "http://user:password@example.org/"},
        {"url": "not a url"},
        {"url": "http://127.0.0.1/", "events": []},
        {"url": "http://127.0.0.1/", "events": ["weather"]},
        {"url": "http://127.0.0.1/", "secret": "short"},
        {"url": "http://127.0.0.1/", "surprise": 1},
    ],
)
async def test_webhooks_of_another_form_are_refused(idle_client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert_problem(await idle_client.post(HOOKS, json=body), 422)


async def test_a_user_may_have_so_many_webhooks(idle_client: httpx.AsyncClient, receiver: Receiver) -> None:
    for _ in range(MOST):
        await _hook(idle_client, receiver)
    assert_problem(await idle_client.post(HOOKS, json={"url": receiver.url}), 409)


class TestPrivate:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"events": Events()})  # what may be fetched from may not be posted to

    @pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://169.254.169.254/latest", "http://[::1]/"])
    async def test_an_address_inside_the_network_is_refused(self, idle_client: httpx.AsyncClient, url: str) -> None:
        refused = assert_problem(await idle_client.post(HOOKS, json={"url": url}), 422)
        assert refused["code"] == "forbidden_address"

    async def test_an_address_that_became_private_is_not_opened(
        self, client: httpx.AsyncClient, receiver: Receiver, services: Services
    ) -> None:
        async with services.database.transaction() as session:
            await session.execute(
                text(
                    "INSERT INTO webhooks (id, user_id, url, kinds, secret, transaction, event_id) "
                    "VALUES ('whk_x', 'usr_local', :url, '{image}', 'whsec_', 0, 0)"
                ),
                {"url": receiver.url},
            )
        await _image(client)
        view: dict[str, Any] = {"last_failure": None}
        while view["last_failure"] is None:
            view = (await client.get(f"{HOOKS}/whk_x")).json()
        assert "private" in view["last_failure"]
        assert receiver.messages == []


class TestWithKeys:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return with_keys(settings)

    async def test_webhooks_end_with_the_key_of_their_user(
        self, eva: Account, receiver: Receiver, services: Services, worker: JobRunner
    ) -> None:
        hook = await _hook(eva.client, receiver)
        await services.users.revoke_key(eva.id)
        found = await services.webhooks.get(eva.id, hook["id"])
        assert found.disabled_at is not None

    async def test_webhooks_hear_of_their_owner_alone(
        self, eva: Account, bob: Account, receiver: Receiver, worker: JobRunner
    ) -> None:
        hook = await _hook(eva.client, receiver)
        assert_problem(await bob.client.get(f"{HOOKS}/{hook['id']}"), 404)
        assert_problem(await bob.client.delete(f"{HOOKS}/{hook['id']}"), 404)
        assert_problem(await bob.client.post(f"{HOOKS}/{hook['id']}/enable"), 404)
        await _image(bob.client)
        own = await _image(eva.client, seed=1)
        messages = await receiver.until(lambda messages: messages)
        assert _told(messages) == [own]
