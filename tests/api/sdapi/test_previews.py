"""Live previews of the Stable Diffusion web API: drawn for those who ask, every so many steps, gone with the job."""

from __future__ import annotations

import asyncio
import base64
import io
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image as PillowImage
from sqlalchemy import text

from deployments.contracts.diffusion import GenerationStep, SeenLatents
from serve_app.services.container import Services
from serve_app.services.sdapi.previews import LivePreviews, PreviewOptions
from tests.api.sdapi.conftest import V1, pixels, txt2img, until
from tests.support.fake_diffuser import FakeDiffuser

EACH_STEP = {"show_progress_every_n_steps": 1}


@pytest.fixture
def capabilities() -> FakeDiffuser:
    """An engine that stops after its first step until it may go on."""
    held = FakeDiffuser()
    held.go.clear()
    return held


async def begin(client: httpx.AsyncClient, capabilities: FakeDiffuser, **fields: Any) -> asyncio.Task[Any]:
    making = asyncio.create_task(txt2img(client, force_task_id="mine", **fields))
    for _ in range(fields.get("batch_size", 1)):
        await asyncio.wait_for(capabilities.begun.acquire(), 20)
    return making


async def rows(services: Services) -> int:
    async with services.database.transaction() as session:
        return int(await session.scalar(text("SELECT count(*) FROM job_previews")) or 0)


async def preview(client: httpx.AsyncClient) -> str:
    """The preview of the running request, once it is there."""

    async def shown() -> Any:
        return (await client.get(f"{V1}/progress")).json()["current_image"]

    return str(await until(shown))


async def end(capabilities: FakeDiffuser, making: asyncio.Task[Any]) -> None:
    capabilities.go.set()
    await asyncio.wait_for(making, 20)


async def test_a_preview_shows_the_latents_of_the_step_in_colours(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    making = await begin(client, capabilities, override_settings=EACH_STEP)
    image = pixels(await preview(client))
    assert image.shape == (8, 8, 3)  # a pixel for a latent
    assert image[0, 0].tolist() == [137, 154, 138]  # .5 in each of four channels
    await end(capabilities, making)


async def test_a_preview_shows_what_there_is_when_it_is_drawn(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    making = await begin(client, capabilities, override_settings=EACH_STEP)
    [ticket] = capabilities.in_progress
    newer = SeenLatents(2, 3, np.zeros((4, 8, 8), np.float16))
    capabilities.in_progress[ticket] = newer  # its event is on its way
    assert pixels(await preview(client))[0, 0].tolist() == [128] * 3
    await end(capabilities, making)


async def test_nothing_is_fetched_from_the_engine_where_nobody_asks(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    making = await begin(client, capabilities, batch_size=2, override_settings=EACH_STEP)
    await end(capabilities, making)
    assert capabilities.peeked == []
    capabilities.go.clear()
    making = await begin(client, capabilities, override_settings=EACH_STEP)
    await preview(client)
    assert capabilities.peeked == ["run 3"]
    await end(capabilities, making)


async def test_a_picture_that_cannot_be_seen_has_no_preview_and_is_made(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    capabilities.is_blind = True
    making = await begin(client, capabilities, override_settings=EACH_STEP)

    async def was_looked_for() -> bool:
        assert (await client.get(f"{V1}/progress")).json()["current_image"] is None
        return bool(capabilities.peeked)

    await until(was_looked_for)
    capabilities.go.set()
    assert len((await asyncio.wait_for(making, 20)).images) == 1


async def test_who_could_be_shown_nothing_is_not_thought_to_ask_for_ever() -> None:
    blind = FakeDiffuser()
    blind.is_blind = True
    drawer = LivePreviews(blind, None, None, "job_1", PreviewOptions(), ["sd1"])  # type: ignore[arg-type]
    drawer.see(0, GenerationStep(1, 2, "run 1"))
    assert await drawer._show() is False  # then the database is asked
    assert blind.peeked == ["run 1"]


async def test_a_preview_shows_all_images_in_progress_or_the_first(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    making = await begin(client, capabilities, batch_size=2, override_settings=EACH_STEP)
    assert pixels(await preview(client)).shape == (8, 16, 3)
    await end(capabilities, making)
    capabilities.go.clear()
    one = EACH_STEP | {"show_progress_grid": False}
    making = await begin(client, capabilities, batch_size=2, override_settings=one)
    assert pixels(await preview(client)).shape == (8, 8, 3)
    await end(capabilities, making)


async def test_previews_are_files_of_the_format_that_is_set(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    await client.post(f"{V1}/options", json=EACH_STEP | {"live_previews_image_format": "jpeg"})
    making = await begin(client, capabilities)
    file = io.BytesIO(base64.b64decode(await preview(client)))
    assert PillowImage.open(file).format == "JPEG"
    body = {"id_task": "mine"}
    task = (await client.post("/internal/progress", json=body)).json()
    assert task["live_preview"].startswith("data:image/jpeg;base64,")
    await end(capabilities, making)


async def test_a_preview_that_the_client_has_is_not_sent_again(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    making = await begin(client, capabilities, override_settings=EACH_STEP)
    sent = await preview(client)
    body = {"id_task": "mine", "id_live_preview": -1}
    task = (await client.post("/internal/progress", json=body)).json()
    assert task["live_preview"] == f"data:image/png;base64,{sent}"
    assert task["id_live_preview"] == 1
    again = (await client.post("/internal/progress", json=body | {"id_live_preview": 1})).json()
    assert (again["live_preview"], again["id_live_preview"]) == (None, 1)
    without = (await client.post("/internal/progress", json=body | {"live_preview": False})).json()
    assert without["live_preview"] is None
    await end(capabilities, making)


@pytest.mark.parametrize(
    "settings_of_request",
    [{"live_previews_enable": False}, {"show_progress_every_n_steps": -1}],
    ids=["disabled", "never"],
)
async def test_no_preview_is_asked_for_where_there_are_none(
    client: httpx.AsyncClient, capabilities: FakeDiffuser, services: Services, settings_of_request: dict[str, Any]
) -> None:
    making = await begin(client, capabilities, override_settings=settings_of_request)
    assert (await client.get(f"{V1}/progress")).json()["current_image"] is None
    assert await rows(services) == 0
    await end(capabilities, making)


async def test_no_preview_is_drawn_for_clients_that_skip_it(
    client: httpx.AsyncClient, capabilities: FakeDiffuser, services: Services
) -> None:
    making = await begin(client, capabilities, override_settings=EACH_STEP)
    seen = (await client.get(f"{V1}/progress?skip_current_image=true")).json()
    assert (seen["current_image"], await rows(services)) == (None, 0)
    await preview(client)
    seen = (await client.get(f"{V1}/progress?skip_current_image=true")).json()
    assert seen["current_image"] is None
    await end(capabilities, making)


async def test_a_preview_is_gone_with_its_job(
    client: httpx.AsyncClient, capabilities: FakeDiffuser, services: Services
) -> None:
    making = await begin(client, capabilities, override_settings=EACH_STEP)
    await preview(client)
    assert await rows(services) == 1
    await end(capabilities, making)
    assert await rows(services) == 0
    assert (await client.get(f"{V1}/progress")).json()["current_image"] is None


async def test_previews_come_every_so_many_steps(client: httpx.AsyncClient, capabilities: FakeDiffuser) -> None:
    capabilities.held_after = 4
    making = await begin(client, capabilities, steps=8, override_settings={"show_progress_every_n_steps": 5})

    async def is_held() -> bool:
        seen = (await client.get(f"{V1}/progress")).json()
        assert seen["current_image"] is None
        return bool(seen["progress"] > 0.45)

    await until(is_held)
    capabilities.held_after = 5
    capabilities.go.set()
    capabilities.go.clear()
    await preview(client)
    task = (await client.post("/internal/progress", json={"id_task": "mine"})).json()
    assert task["id_live_preview"] == 1
    await end(capabilities, making)
