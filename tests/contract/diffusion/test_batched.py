"""`BatchedDiffuser` over the small models, without Ray."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")

from configs.settings import Settings
from deployments.contracts.diffusion import GeneratedPicture, GenerationRequest, GenerationStep, HintOptions
from deployments.engines.diffusion.batched import BatchedDiffuser
from deployments.errors import InvalidRequest, WeightsMissing
from tests.support.builders import an_image
from tests.support.diffusing import a_request, difference
from tests.support.tiny_diffusion import CHECKPOINT, CONTROLNETS, LORA, OTHER_CHECKPOINT, VAE


def settings_for(models: Path, **diffusion: Any) -> Settings:
    return Settings(
        diffusion={"models_dir": models, "checkpoint": CHECKPOINT, "offline": True, "batch_wait_s": 0.05, **diffusion}
    )


@pytest.fixture
async def diffuser(tiny_models: Path) -> AsyncIterator[BatchedDiffuser]:
    made = BatchedDiffuser(settings_for(tiny_models))
    yield made
    await made.close()


async def picture_of(diffuser: BatchedDiffuser, request: GenerationRequest) -> GeneratedPicture:
    *steps, picture = [event async for event in diffuser.generate(request)]
    assert [step.step for step in steps if isinstance(step, GenerationStep)] == list(range(1, len(steps) + 1))
    assert isinstance(picture, GeneratedPicture)
    return picture


async def test_concurrent_requests_of_one_shape_are_as_good_as_alone(diffuser: BatchedDiffuser) -> None:
    requests = [a_request(seed=seed, sampler="Euler a") for seed in range(4)]
    together = await asyncio.gather(*(picture_of(diffuser, request) for request in requests))
    for request, picture in zip(requests, together, strict=True):
        assert difference(picture.image, (await picture_of(diffuser, request)).image) <= 1


async def test_requests_of_other_shapes_are_answered_too(diffuser: BatchedDiffuser) -> None:
    requests = [a_request(), a_request(width=128), a_request(checkpoint=OTHER_CHECKPOINT), a_request(steps=2)]
    pictures = await asyncio.gather(*(picture_of(diffuser, request) for request in requests))
    assert [picture.image.shape[1] for picture in pictures] == [64, 128, 64, 64]
    assert [picture.checkpoint for picture in pictures] == [CHECKPOINT, CHECKPOINT, OTHER_CHECKPOINT, CHECKPOINT]


async def test_a_bad_request_beside_a_good_one_is_refused_alone(diffuser: BatchedDiffuser) -> None:
    good, absurd, missing = await asyncio.gather(
        picture_of(diffuser, a_request()),
        picture_of(diffuser, a_request(width=10**6)),
        picture_of(diffuser, a_request(checkpoint="gone")),
        return_exceptions=True,
    )
    assert isinstance(good, GeneratedPicture)
    assert isinstance(absurd, InvalidRequest)
    assert isinstance(missing, WeightsMissing)


async def test_closing_the_iterator_stops_the_work(diffuser: BatchedDiffuser) -> None:
    async with aclosing(diffuser.generate(a_request(steps=150))) as events:
        first = await anext(events)
    assert isinstance(first, GenerationStep)
    picture = await picture_of(diffuser, a_request(steps=1))  # comes up only when the long one has gone
    assert picture.image.shape == (64, 64, 3)


async def test_previews_and_hints_do_not_wait_for_the_batch(diffuser: BatchedDiffuser) -> None:
    async with aclosing(diffuser.generate(a_request(steps=150))) as events:
        first = await anext(events)
        assert isinstance(first, GenerationStep)
        found = await diffuser.peek([first.ticket])
        preview = await diffuser.decode_latents(found[first.ticket].latents)
        hint = await diffuser.make_hint("canny", an_image((64, 64)), HintOptions())
        seen = await anext(events)
    assert preview.shape == hint.shape == (64, 64, 3)
    assert isinstance(seen, GenerationStep)
    assert seen.step < 150


async def test_the_list_has_what_the_folder_has(diffuser: BatchedDiffuser) -> None:
    models = await diffuser.list_models()
    assert {model.name for model in models.checkpoints} == {CHECKPOINT, OTHER_CHECKPOINT}
    assert {model.name for model in models.controlnets} == set(CONTROLNETS.values())
    assert [model.name for model in models.loras] == [LORA]
    assert [model.name for model in models.vaes] == [VAE]
    assert models.default_checkpoint == CHECKPOINT
    assert models.memory == {}
    assert {"canny", "mediapipe_face"} <= {module.name for module in models.modules}


async def test_a_replica_is_healthy_without_any_model(tmp_path: Path) -> None:
    diffuser = BatchedDiffuser(settings_for(tmp_path / "nothing"))
    await diffuser.check_health()
    assert (await diffuser.list_models()).checkpoints == ()
    with pytest.raises(WeightsMissing, match="DARKROOM_DIFFUSION__CHECKPOINT"):
        await picture_of(diffuser, a_request())
    await diffuser.close()


async def test_an_unloaded_checkpoint_comes_back_when_it_is_asked_for(diffuser: BatchedDiffuser) -> None:
    before = await picture_of(diffuser, a_request())
    diffuser.unload(CHECKPOINT)
    np.testing.assert_array_equal((await picture_of(diffuser, a_request())).image, before.image)


async def test_a_name_that_is_not_listed_is_no_checkpoint(diffuser: BatchedDiffuser) -> None:
    names = (CHECKPOINT, f"{CHECKPOINT} [0123456789]", "gone", "")
    assert [await diffuser.has_checkpoint(name) for name in names] == [True, True, False, False]


def test_the_share_of_the_gpu_is_capped_before_anything_is_loaded(tiny_models: Path) -> None:
    calls: list[tuple[float, str]] = []
    BatchedDiffuser(settings_for(tiny_models), 0.5, lambda share, device: calls.append((share, device)))
    assert calls == [(0.5, "cpu")]


async def test_requests_that_come_while_the_first_makes_ready_share_its_steps(tiny_models: Path) -> None:
    made = BatchedDiffuser(settings_for(tiny_models, batch_wait_s=0.0))
    rows: list[int] = []
    with made.engine.models.cache.lease() as lease:
        unet = made.engine.models.checkpoint(lease, "").unet
    hook = unet.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    try:
        requests = [a_request(seed=seed, sampler="Euler a") for seed in range(3)]
        together = await asyncio.gather(*(picture_of(made, request) for request in requests))
        shared = list(rows)
        alone = [await picture_of(made, request) for request in requests]
    finally:
        hook.remove()
        await made.close()
    assert shared == [6] * 4
    for one, other in zip(together, alone, strict=True):
        assert difference(one.image, other.image) <= 1
