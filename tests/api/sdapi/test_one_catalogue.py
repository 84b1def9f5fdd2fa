"""A request and its job go by one catalogue: the engine is asked once for it, and anew when it has changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import httpx

from deployments.contracts.diffusion import ModelCatalogue, ModelFile
from serve_app.services.container import Services
from serve_app.services.jobs.progress import Progress
from serve_app.services.sdapi.last_catalogue import LastCatalogue, digest_of
from serve_app.store.queue import claims
from tests.api.sdapi.conftest import SMALL, V1, txt2img
from tests.support.fake_diffuser import FakeDiffuser

A_LORA = ModelFile("late", "late", "", "late.safetensors")


async def test_a_job_asks_for_no_catalogue_that_it_knows(client: httpx.AsyncClient, capabilities: FakeDiffuser) -> None:
    await txt2img(client)
    before = capabilities.listings
    await txt2img(client)
    assert capabilities.listings - before == 1


async def test_a_model_that_was_just_copied_in_is_used_at_once(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    await txt2img(client)
    assert "late" in (await txt2img(client, prompt="a cat <lora:late:1>")).warnings
    capabilities.without(loras=(*capabilities.catalogue.loras, A_LORA))
    assert not (await txt2img(client, prompt="a cat <lora:late:1>")).info["warnings"]


async def test_a_job_that_has_waited_is_planned_by_what_there_is_now(
    idle_client: httpx.AsyncClient, services: Services, capabilities: FakeDiffuser
) -> None:
    async def listings(*, waited: timedelta) -> int:
        """Make an order and its job. -> how often the job asked for the catalogue"""
        await idle_client.post(f"{V1}/txt2img", json=SMALL, headers={"Prefer": "respond-async"})
        async with services.database.transaction() as session:
            job = await claims.claim(session, worker="test", kinds=["txt2img"], lease_s=60)
        assert job is not None
        before = capabilities.listings
        await services.handlers["txt2img"](replace(job, created_at=job.created_at - waited), Progress())
        return capabilities.listings - before

    await listings(waited=timedelta())
    assert await listings(waited=timedelta()) == 0
    assert await listings(waited=timedelta(minutes=10)) == 1


async def test_an_order_of_an_older_version_is_planned_by_what_there_is_now() -> None:
    diffuser = FakeDiffuser()
    last = LastCatalogue(diffuser)
    for number in range(2):
        diffuser.without(loras=(replace(A_LORA, name=str(number)),))
        assert (await last.load("")).loras[0].name == str(number)


def test_the_memory_of_the_device_is_no_part_of_the_digest() -> None:
    assert digest_of(ModelCatalogue(memory={"used": 1})) == digest_of(ModelCatalogue(memory={"used": 2}))
    assert digest_of(ModelCatalogue(loras=(A_LORA,))) != digest_of(ModelCatalogue())
