"""Progress, interrupting, skipping, cancelling and options of the Stable Diffusion web API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import httpx
import numpy as np
import pytest

from configs.settings import Deadlines, Settings
from deployments.contracts.diffusion import GeneratedPicture, GenerationRequest, GenerationStep, SeenLatents
from serve_app.services.container import Services
from serve_app.services.sdapi import generate
from serve_app.store.repositories.users import LOCAL_USER_ID
from tests.api.conftest import upload
from tests.api.sdapi.conftest import (
    SMALL,
    V1,
    SdapiAnswer,
    assert_webui_error,
    img2img,
    statuses,
    txt2img,
    until,
    until_waiting,
)
from tests.support.builders import a_flat_image, base64_png, encoded
from tests.support.fake_diffuser import CATALOGUE, FakeDiffuser, a_picture


async def begin(capabilities: FakeDiffuser, pictures: int = 1) -> None:
    for _ in range(pictures):
        await asyncio.wait_for(capabilities.begun.acquire(), 20)


class EndingBefore(FakeDiffuser):
    """Images end at the engine before anybody sees them."""

    async def peek(self, tickets: Sequence[str]) -> dict[str, SeenLatents]:
        self.go.set()
        return {}


class EndingMeanwhile(FakeDiffuser):
    """Images end while what they had is on its way."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = asyncio.Event()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationStep | GeneratedPicture]:
        async for event in super().generate(request):
            if isinstance(event, GeneratedPicture):
                self.ended.set()
            yield event

    async def peek(self, tickets: Sequence[str]) -> dict[str, SeenLatents]:
        found = await super().peek(tickets)
        self.go.set()
        await self.ended.wait()
        return found


class SeenLater(FakeDiffuser):
    """The replica has no time for the first look."""

    async def peek(self, tickets: Sequence[str]) -> dict[str, SeenLatents]:
        found = await super().peek(tickets)
        return {} if len(self.peeked) == 1 else found


class TestSlow:
    @pytest.fixture
    def capabilities(self) -> FakeDiffuser:
        slow = SeenLater()
        slow.go.clear()
        return slow

    async def test_an_interrupted_image_whose_replica_does_not_answer_at_once_is_not_lost(
        self, client: httpx.AsyncClient, capabilities: FakeDiffuser, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(generate, "_AGAIN_S", 0.01)
        making = asyncio.create_task(txt2img(client))
        await begin(capabilities)
        await client.post(f"{V1}/interrupt")
        made = await asyncio.wait_for(making, 20)
        assert [int(image[0, 0, 0]) for image in made.images] == [127]
        assert "stopped after 1 of 3 steps" in made.warnings


class TestEnding:
    @pytest.fixture(params=[EndingBefore, EndingMeanwhile])
    def capabilities(self, request: pytest.FixtureRequest) -> FakeDiffuser:
        ending: FakeDiffuser = request.param()
        ending.go.clear()
        return ending

    async def test_an_image_that_has_ended_when_the_interrupt_comes_is_whole(
        self, client: httpx.AsyncClient, capabilities: FakeDiffuser
    ) -> None:
        making = asyncio.create_task(txt2img(client))
        await begin(capabilities)
        await client.post(f"{V1}/interrupt")
        made = await asyncio.wait_for(making, 20)
        assert np.array_equal(made.images[0], a_picture(capabilities.requests[0], (64, 64)))
        assert made.warnings == ""


class TestHeldUp:
    """The engine stops after its first step until it may go on."""

    @pytest.fixture
    def capabilities(self) -> FakeDiffuser:
        held = FakeDiffuser()
        held.go.clear()
        return held

    async def test_an_interrupted_request_answers_with_what_there_is(
        self, client: httpx.AsyncClient, capabilities: FakeDiffuser
    ) -> None:
        making = asyncio.create_task(txt2img(client, batch_size=2, n_iter=4))
        await begin(capabilities, 4)
        response = await client.post(f"{V1}/interrupt")
        assert (response.status_code, response.json()) == (200, {})
        made = await asyncio.wait_for(making, 20)
        assert [int(image[0, 0, 0]) for image in made.images] == [127] * 4  # decoded from the last step
        assert len(capabilities.requests) == 4  # the others were not begun
        assert capabilities.running == 0
        assert "stopped after 1 of 3 steps" in made.warnings
        assert await statuses(client) == ["succeeded"]

    async def test_an_interrupted_image_is_that_of_the_step_at_which_the_interrupt_came(
        self, client: httpx.AsyncClient, capabilities: FakeDiffuser
    ) -> None:
        making = asyncio.create_task(txt2img(client))
        await begin(capabilities)
        newer = SeenLatents(2, 3, np.full((4, 8, 8), 0.25, np.float16))
        capabilities.in_progress["run 1"] = newer  # its event is on its way
        await client.post(f"{V1}/interrupt")
        made = await asyncio.wait_for(making, 20)
        assert int(made.images[0][0, 0, 0]) == 63
        assert "stopped after 2 of 3 steps" in made.warnings
        assert capabilities.peeked == ["run 1"]

    async def test_an_image_that_cannot_be_seen_is_left_out_when_it_is_interrupted(
        self, client: httpx.AsyncClient, capabilities: FakeDiffuser, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(generate, "_LAST_S", 0.01)
        capabilities.is_blind = True
        making = asyncio.create_task(txt2img(client))
        await begin(capabilities)
        await client.post(f"{V1}/interrupt")
        made = await asyncio.wait_for(making, 20)
        assert (made.images, capabilities.running) == ([], 0)

    async def test_one_request_may_be_interrupted_and_the_others_go_on(
        self, client: httpx.AsyncClient, capabilities: FakeDiffuser
    ) -> None:
        mine, other = (asyncio.create_task(txt2img(client, force_task_id=name)) for name in ("mine", "other"))
        await begin(capabilities, 2)
        await client.post(f"{V1}/interrupt?force_task_id=nobodys")
        await client.post(f"{V1}/interrupt?force_task_id=mine")
        assert "stopped after" in (await asyncio.wait_for(mine, 20)).warnings
        assert not other.done()
        capabilities.go.set()
        assert (await asyncio.wait_for(other, 20)).warnings == ""

    async def test_an_interrupted_image_is_laid_over_its_original(
        self, client: httpx.AsyncClient, capabilities: FakeDiffuser
    ) -> None:
        picture = a_flat_image((64, 64), (9, 9, 9))
        mask = np.zeros((64, 64, 3), np.uint8)
        mask[:, :32] = 255
        fields = {"mask": base64_png(mask), "mask_blur": 0, "inpaint_full_res": False}
        making = asyncio.create_task(img2img(client, picture, **fields))
        await begin(capabilities)
        await client.post(f"{V1}/interrupt")
        [image] = (await asyncio.wait_for(making, 20)).images
        assert np.all(image[:, :30] == 127)
        assert np.all(image[:, 34:] == 9)

    async def test_skipping_ends_the_images_in_progress_and_goes_on(
        self, client: httpx.AsyncClient, capabilities: FakeDiffuser
    ) -> None:
        making = asyncio.create_task(txt2img(client, n_iter=6))
        await begin(capabilities, 4)
        response = await client.post(f"{V1}/skip")
        assert (response.status_code, response.json()) == (200, None)
        await begin(capabilities, 2)
        await client.post(f"{V1}/skip")  # a second one counts too
        made = await asyncio.wait_for(making, 20)
        assert len(made.images) == 6
        assert len(capabilities.requests) == 6

    async def test_no_step_is_looked_at_where_nobody_stops_or_watches(
        self, client: httpx.AsyncClient, capabilities: FakeDiffuser
    ) -> None:
        capabilities.go.set()
        await txt2img(client, n_iter=2)
        assert capabilities.peeked == []

    async def test_stopping_when_nothing_runs_changes_nothing(
        self, client: httpx.AsyncClient, capabilities: FakeDiffuser
    ) -> None:
        await client.post(f"{V1}/interrupt")
        await client.post(f"{V1}/skip")
        capabilities.go.set()
        assert (await txt2img(client)).warnings == ""

    async def test_progress_is_that_of_the_newest_request_or_of_one_by_its_task_id(
        self, client: httpx.AsyncClient, capabilities: FakeDiffuser
    ) -> None:
        idle = (await client.get(f"{V1}/progress")).json()
        assert (idle["progress"], idle["state"]["job_count"], idle["state"]["job"]) == (0.0, 0, "")
        making = asyncio.create_task(txt2img(client, n_iter=2, force_task_id="mine"))
        await begin(capabilities, 2)

        async def busy() -> Any:
            seen = (await client.get(f"{V1}/progress?skip_current_image=true")).json()
            return seen if seen["progress"] > 0.3 else None

        seen = await until(busy)
        assert 0.3 < seen["progress"] < 0.4  # a step of three
        assert seen["current_image"] is None
        assert (seen["state"]["job_count"], seen["state"]["sampling_steps"]) == (2, 3)
        assert (await client.get(f"{V1}/progress?force_task_id=mine")).json()["progress"] == seen["progress"]
        assert (await client.get(f"{V1}/progress?force_task_id=other")).json()["progress"] == 0
        task = (await client.post("/internal/progress", json={"id_task": "mine"})).json()
        assert (task["active"], task["queued"], task["completed"]) == (True, False, False)
        capabilities.go.set()
        await making
        assert (await client.get(f"{V1}/progress")).json()["progress"] == 0
        task = (await client.post("/internal/progress", json={"id_task": "mine", "id_live_preview": 3})).json()
        assert (task["active"], task["completed"], task["id_live_preview"]) == (False, True, 3)

    async def test_hanging_up_stops_the_generation(self, live_url: str, capabilities: FakeDiffuser) -> None:
        async with httpx.AsyncClient(base_url=live_url, timeout=60) as client:
            making = asyncio.create_task(client.post(f"{V1}/txt2img", json=SMALL | {"batch_size": 2}))
            await begin(capabilities, 2)
            making.cancel()
            for _ in range(2):
                await asyncio.wait_for(capabilities.given_up.acquire(), 20)

            async def ended() -> bool:
                return await statuses(client) == ["cancelled"]

            await until(ended)

    async def test_a_call_that_is_cancelled_while_it_is_accepted_leaves_no_job(
        self, client: httpx.AsyncClient, capabilities: FakeDiffuser, services: Services
    ) -> None:
        order, accepted, go_on = services.generation.order, asyncio.Event(), asyncio.Event()

        async def slow_order(*arguments: Any) -> str:
            job_id = await order(*arguments)
            accepted.set()
            await go_on.wait()
            return job_id

        object.__setattr__(services.generation, "order", slow_order)
        making = asyncio.create_task(client.post(f"{V1}/txt2img", json=SMALL))
        await asyncio.wait_for(accepted.wait(), 20)
        making.cancel()
        go_on.set()
        await asyncio.gather(making, return_exceptions=True)

        async def ended() -> bool:
            return await statuses(client) == ["cancelled"]

        await until(ended)

    async def test_a_job_that_is_cancelled_elsewhere_is_a_409(
        self, client: httpx.AsyncClient, capabilities: FakeDiffuser
    ) -> None:
        making = asyncio.create_task(client.post(f"{V1}/txt2img", json=SMALL))
        await begin(capabilities)
        [entry] = (await client.get("/api/v1/history")).json()["items"]
        assert entry["status"] == "started"
        jobs = await client.get("/internal/pending-tasks")
        assert jobs.json()["size"] == 0
        services: Services = client._transport.app.state.services  # type: ignore[attr-defined]
        running = (await services.generation.load_queue(LOCAL_USER_ID)).running
        assert running is not None
        await client.delete(f"/api/v1/jobs/{running.id}")
        assert_webui_error(await asyncio.wait_for(making, 20), 409, "JobCancelled")
        assert capabilities.running == 0

    async def test_albums_do_not_wait_for_generations(
        self, client: httpx.AsyncClient, capabilities: FakeDiffuser
    ) -> None:
        making = [asyncio.create_task(client.post(f"{V1}/txt2img", json=SMALL)) for _ in range(8)]
        await begin(capabilities, 4)
        response = await client.post("/api/v1/albums/tags", json={"images": ["http://10.0.0.1/x.png"]})
        assert response.status_code == 422
        capabilities.go.set()
        assert {response.status_code for response in await asyncio.gather(*making)} == {200}

    async def test_a_client_that_does_not_wait_gets_the_job(
        self, client: httpx.AsyncClient, capabilities: FakeDiffuser
    ) -> None:
        response = await client.post(f"{V1}/txt2img", json=SMALL, headers={"Prefer": "respond-async"})
        assert response.status_code == 202
        address = response.headers["location"]
        assert response.json()["href"] == address
        await begin(capabilities)
        capabilities.go.set()

        async def ended() -> Any:
            job = (await client.get(address)).json()
            return job if job["status"] == "succeeded" else None

        result = (await until(ended))["result"]
        [image_id] = result["images"]
        file = await client.get(f"/api/v1/files/{image_id}")
        assert file.headers["content-type"] == "image/png"
        assert result["info"]["all_seeds"]

    async def test_a_client_that_waits_for_a_while_gets_the_job_then_and_the_job_goes_on(
        self, client: httpx.AsyncClient, capabilities: FakeDiffuser
    ) -> None:
        response = await client.post(f"{V1}/txt2img", json=SMALL, headers={"Prefer": "respond-async, wait=1"})
        assert response.status_code == 202
        capabilities.go.set()
        await client.get(f"{response.json()['href']}/events")  # until it has ended
        assert await statuses(client) == ["succeeded"]

    class TestImpatient:
        @pytest.fixture
        def settings(self, settings: Settings) -> Settings:
            return settings.model_copy(update={"deadlines": Deadlines(generate_s=0.3)})

        async def test_a_generation_past_its_deadline_is_a_504_and_given_up(
            self, client: httpx.AsyncClient, capabilities: FakeDiffuser
        ) -> None:
            response = await client.post(f"{V1}/txt2img", json=SMALL)
            assert_webui_error(response, 504, "DeadlineExceeded")
            await asyncio.wait_for(capabilities.given_up.acquire(), 20)


async def test_waiting_tasks_are_listed_with_their_place(idle_client: httpx.AsyncClient) -> None:
    calls = []
    for name in ("a", "b"):
        body = SMALL | {"force_task_id": name}
        calls.append(asyncio.create_task(idle_client.post(f"{V1}/txt2img", json=body)))
        tasks = await until_waiting(idle_client, len(calls))
    assert tasks == ["a", "b"]
    second = (await idle_client.post("/internal/progress", json={"id_task": "b"})).json()
    assert (second["queued"], second["textinfo"]) == (True, "In queue: 2/2")
    unknown = (await idle_client.post("/internal/progress", json={"id_task": "c"})).json()
    assert (unknown["active"], unknown["queued"], unknown["textinfo"]) == (False, False, "Waiting...")
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


async def test_waiting_generations_leave_room_for_albums(idle_client: httpx.AsyncClient) -> None:
    later = {"Prefer": "respond-async"}
    for _ in range(20):  # jobs.max_queued
        assert (await idle_client.post(f"{V1}/txt2img", json=SMALL, headers=later)).status_code == 202
    assert (await idle_client.post(f"{V1}/txt2img", json=SMALL, headers=later)).status_code == 429
    [url] = await upload(idle_client, encoded(a_flat_image(), "PNG"))
    response = await idle_client.post("/api/v1/albums/tags", json={"images": [url]}, headers=later)
    assert response.status_code == 202


class TestFewAtOnce:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        limits = settings.limits.model_copy(update={"max_in_flight": 2, "max_sdapi_held_bytes": 10_000})
        return settings.model_copy(update={"limits": limits})

    async def test_calls_that_wait_leave_room_for_others(self, idle_client: httpx.AsyncClient) -> None:
        calls = [asyncio.create_task(idle_client.post(f"{V1}/txt2img", json=SMALL)) for _ in range(2)]
        await until_waiting(idle_client, 2)
        assert_webui_error(await idle_client.post(f"{V1}/txt2img", json=SMALL), 429, "Overloaded")
        assert (await idle_client.get("/api/v1/albums")).status_code == 200
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    async def test_large_requests_that_wait_are_bounded_together(self, idle_client: httpx.AsyncClient) -> None:
        large = SMALL | {"prompt": "a" * 6000}
        waiting = asyncio.create_task(idle_client.post(f"{V1}/txt2img", json=large))
        await until_waiting(idle_client, 1)
        assert_webui_error(await idle_client.post(f"{V1}/txt2img", json=large), 429, "Overloaded")
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        response = await idle_client.post(f"{V1}/txt2img", json=large, headers={"Prefer": "respond-async"})
        assert response.status_code == 202


async def test_settings_can_be_sent_back_as_they_were_got(idle_client: httpx.AsyncClient) -> None:
    got = (await idle_client.get(f"{V1}/options")).json()
    assert got["sd_model_checkpoint"] == f"tiny.safetensors [{CATALOGUE.checkpoints[0].sha256[:10]}]"
    assert got["sd_checkpoint_hash"] == CATALOGUE.checkpoints[0].sha256
    assert "forge_preset" not in got
    response = await idle_client.post(f"{V1}/options", json=got | {"send_seed": False})
    assert (response.status_code, response.json()) == (200, None)
    assert (await idle_client.get(f"{V1}/options")).json() == got | {"send_seed": False}


async def test_a_checkpoint_is_chosen_by_any_of_its_names(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    model = CATALOGUE.checkpoints[1]
    for name in (
        f"ghiblistyle.safetensors [{model.sha256[:10]}]",
        "ghiblistyle.safetensors",
        "ghiblistyle",
        f"ghiblistyle [{model.sha256[:10]}]",
        model.sha256,
        model.sha256[:10],
        "GhibliStyle",
        "ghibli",
    ):
        await client.post(f"{V1}/options", json={"sd_model_checkpoint": "tiny"})
        assert (await client.post(f"{V1}/options", json={"sd_model_checkpoint": name})).status_code == 200
        got = (await client.get(f"{V1}/options")).json()
        assert got["sd_model_checkpoint"].startswith("ghiblistyle.safetensors"), name
    await txt2img(client)
    assert capabilities.requests[0].checkpoint == "ghiblistyle"


async def test_unknown_settings_are_errors_of_the_original(idle_client: httpx.AsyncClient) -> None:
    async def post(body: object) -> httpx.Response:
        return await idle_client.post(f"{V1}/options", json=body)

    assert_webui_error(await post({"nonsense": 1}), 500, "KeyError", errors="'nonsense'")
    assert_webui_error(
        await post({"sd_model_checkpoint": "nowhere"}), 500, "RuntimeError", errors="model 'nowhere' not found"
    )
    assert (await post({"nonsense": None})).status_code == 200
    assert (await post({"upcast_attn": "CPU"})).status_code == 200
    assert_webui_error(await post({"CLIP_stop_at_last_layers": "many"}), 500, "ValueError")
    assert (await post([1])).status_code == 422


async def test_settings_are_bounded_in_length_and_together(idle_client: httpx.AsyncClient) -> None:
    before = (await idle_client.get(f"{V1}/options")).json()
    for body in (
        {"sd_vae": "x" * 501},
        {"samples_format": "x" * 501},
        {"sd_model_checkpoint": "x" * 501},
        {f"n{number}": None for number in range(10_000)},
        {"x" * 70_000: 1},
        {"randn_source": ["x" * 70_000]},
    ):
        response = await idle_client.post(f"{V1}/options", json=body)
        assert response.status_code == 422, response.text
        response = await idle_client.post(f"{V1}/txt2img", json=SMALL | {"override_settings": body})
        assert response.status_code == 422, response.text
        assert len(response.content) < 1000
    unknown = await idle_client.post(f"{V1}/options", json={"y" * 5000: 1})
    assert_webui_error(unknown, 500, "KeyError")
    assert len(unknown.content) < 1000
    assert (await idle_client.get(f"{V1}/options")).json() == before


@pytest.mark.parametrize("value", [["a"], {"a": 1}, "x" * 100])
@pytest.mark.parametrize("name", ["jpeg_quality", "tiling", "CLIP_stop_at_last_layers"])
async def test_a_setting_of_another_type_is_refused(idle_client: httpx.AsyncClient, name: str, value: object) -> None:
    before = (await idle_client.get(f"{V1}/options")).json()
    assert_webui_error(await idle_client.post(f"{V1}/options", json={name: value}), 500, "ValueError")
    assert (await idle_client.get(f"{V1}/options")).json() == before


async def test_settings_are_kept_within_what_makes_sense(client: httpx.AsyncClient, capabilities: FakeDiffuser) -> None:
    await client.post(f"{V1}/options", json={"CLIP_stop_at_last_layers": 99, "img2img_fix_steps": 1, "tiling": "on"})
    SdapiAnswer(await client.post(f"{V1}/txt2img", json=SMALL))
    [request] = capabilities.requests
    assert (request.clip_skip, request.exact_steps, request.tiling) == (12, True, True)
