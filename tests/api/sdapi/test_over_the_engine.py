"""Requests of the original's own test suite, and one with four units, over the real engine with small models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import pytest_asyncio

from configs.settings import Diffusion, Settings
from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import GenerationRequest, HintOptions, Latents, ModelCatalogue
from deployments.engines.diffusion.batched import BatchedDiffuser
from tests.api.sdapi.conftest import V1, a_unit, controlnet, img2img, statuses, txt2img, until
from tests.support import tiny_diffusion
from tests.support.builders import a_photo, base64_png
from tests.support.fakes import FakeCapabilities


class OverTheEngine(FakeCapabilities):
    """The engine makes the pictures; everything else is predictable."""

    def __init__(self, diffuser: BatchedDiffuser) -> None:
        super().__init__()
        self._diffuser = diffuser

    def generate(self, request: GenerationRequest) -> Any:
        return self._diffuser.generate(request)

    async def decode_latents(self, latents: Latents, checkpoint: str = "", vae: str = "") -> Image:
        return await self._diffuser.decode_latents(latents, checkpoint, vae)

    async def make_hint(self, module: str, image: Image, options: HintOptions) -> Image:
        return await self._diffuser.make_hint(module, image, options)

    async def list_models(self) -> ModelCatalogue:
        return await self._diffuser.list_models()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_diffusion.write_models(tmp_path_factory.mktemp("models"))


@pytest_asyncio.fixture(scope="module")
async def diffuser(models: Path) -> AsyncIterator[BatchedDiffuser]:
    chosen = Diffusion(models_dir=models, checkpoint=tiny_diffusion.CHECKPOINT, offline=True)
    opened = BatchedDiffuser(Settings(diffusion=chosen))
    yield opened
    await opened.close()


@pytest.fixture
def capabilities(diffuser: BatchedDiffuser) -> OverTheEngine:
    return OverTheEngine(diffuser)


def canny() -> dict[str, Any]:
    return a_unit(model=tiny_diffusion.CONTROLNETS["canny"], image=base64_png(a_photo("astronaut", 96)))


async def test_txt2img_serves_the_requests_of_the_originals_own_tests(client: httpx.AsyncClient) -> None:
    for fields in (
        {},
        {"negative_prompt": "example negative prompt"},
        {"prompt": "((emphasis)), (emphasis1:1.1), [to:1], [from::2], [from:to:0.3], [alt|alt1]"},
        {"height": 128},
        {"enable_hr": True, "denoising_strength": 0},
        {"tiling": True},
        {"restore_faces": True},
        *({"sampler_index": name} for name in ("PLMS", "DDIM", "UniPC")),
    ):
        made = await txt2img(client, **({"prompt": "example prompt"} | fields))
        assert len(made.images) == 1
    assert len((await txt2img(client, n_iter=2)).images) == 2
    assert len((await txt2img(client, batch_size=2)).images) == 2


async def test_img2img_serves_the_requests_of_the_originals_own_tests(client: httpx.AsyncClient) -> None:
    picture = a_photo("astronaut", 64)
    mask = np.zeros_like(picture)
    mask[16:48, 16:48] = 255
    shared = {"prompt": "example prompt", "denoising_strength": 0.75}
    assert len((await img2img(client, picture, **shared)).images) == 1
    masked = await img2img(client, picture, **shared, mask=base64_png(mask), mask_blur=0)
    assert np.array_equal(masked.images[0][:10], picture[:10])
    inverted = await img2img(
        client, picture, **shared, mask=base64_png(mask), inpainting_mask_invert=1, inpaint_full_res=False, mask_blur=0
    )
    assert np.abs(inverted.images[0][20:44, 20:44].astype(int) - picture[20:44, 20:44]).max() <= 1
    script = {"script_name": "sd upscale", "script_args": ["", 8, "Lanczos", 2.0]}
    assert (await img2img(client, picture, **shared, **script)).images[0].shape == (128, 128, 3)


async def test_the_place_in_a_batch_does_not_change_an_image(client: httpx.AsyncClient) -> None:
    batch = await txt2img(client, prompt="a cat", seed=5, batch_size=3, sampler_name="Euler a")
    alone = await txt2img(client, prompt="a cat", seed=7, sampler_name="Euler a")
    assert np.abs(batch.images[2].astype(int) - alone.images[0]).max() <= 1
    assert not np.array_equal(batch.images[1], batch.images[2])


async def test_a_controlnet_changes_the_image_and_its_hint_is_returned(client: httpx.AsyncClient) -> None:
    plain = await txt2img(client, prompt="a cat", seed=5)
    controlled = await txt2img(client, prompt="a cat", seed=5, alwayson_scripts=controlnet(canny()))
    assert controlled.warnings == ""
    assert len(controlled.images) == 2
    assert not np.array_equal(plain.images[0], controlled.images[0])
    assert set(np.unique(controlled.images[1])) <= {0, 255}
    large = await txt2img(client, prompt="a cat", enable_hr=True, alwayson_scripts=controlnet(canny()))
    assert [image.shape[0] for image in large.images] == [128, 128, 64]


async def test_one_request_may_have_four_units_a_lora_and_an_override(client: httpx.AsyncClient) -> None:
    modes = ("ControlNet is more important", *("My prompt is more important",) * 3)
    picture = {"image": base64_png(a_photo("astronaut", 96)), "mask": None}
    units = [
        {"module": "canny", "model": model, "image": picture, "control_mode": mode, "resize_mode": "Crop and Resize"}
        for model, mode in zip(tiny_diffusion.CONTROLNETS.values(), modes, strict=True)
    ]
    made = await img2img(
        client,
        a_photo("astronaut", 96),
        prompt=f"ghibli style, 1girl, ((masterpiece)), ((best quality)), <lora:{tiny_diffusion.LORA}:1.1>",
        negative_prompt="(worst quality, low quality:1.4), bad anatomy, blurry",
        seed=1178811602,
        height=96,
        cfg_scale=8,
        sampler_name="Euler a",
        denoising_strength=0.5,
        override_settings={
            "sd_model_checkpoint": tiny_diffusion.OTHER_CHECKPOINT,
            "CLIP_stop_at_last_layers": 2,
        },
        alwayson_scripts=controlnet(*units),
    )
    assert [image.shape for image in made.images] == [(96, 64, 3)] * 5
    assert made.info["sd_model_name"] == tiny_diffusion.OTHER_CHECKPOINT
    assert made.warnings == ""


async def test_missing_weights_of_a_preprocessor_are_named_and_no_control_is_applied(
    client: httpx.AsyncClient,
) -> None:
    made = await txt2img(client, alwayson_scripts=controlnet(canny() | {"module": "depth_midas"}))
    assert len(made.images) == 1
    assert "dpt_hybrid-midas-501f0c75.pt" in made.warnings


async def test_lists_come_from_the_models_folder(client: httpx.AsyncClient) -> None:
    titles = [one["title"] for one in (await client.get(f"{V1}/sd-models")).json()]
    assert any(title.startswith(tiny_diffusion.CHECKPOINT) for title in titles)
    named = (await client.get("/controlnet/model_list")).json()["model_list"]
    assert len(named) == len(tiny_diffusion.CONTROLNETS)


async def until_running(client: httpx.AsyncClient) -> None:
    async def is_running() -> bool:
        return bool((await client.get(f"{V1}/progress?skip_current_image=true")).json()["progress"] > 0.02)

    await until(is_running)


async def test_interrupting_returns_the_image_as_far_as_it_has_come(client: httpx.AsyncClient) -> None:
    making = asyncio.create_task(txt2img(client, prompt="a cat", steps=150, width=128, height=128))
    await until_running(client)
    await client.post(f"{V1}/interrupt")
    made = await asyncio.wait_for(making, 60)
    assert made.images[0].shape == (128, 128, 3)
    assert "of 150 steps" in made.warnings


async def test_hanging_up_leaves_the_engine_to_others(live_url: str) -> None:
    async with httpx.AsyncClient(base_url=live_url, timeout=120) as client:
        body = {"prompt": "a cat", "steps": 150, "width": 128, "height": 128, "batch_size": 4, "n_iter": 4}
        making = asyncio.create_task(client.post(f"{V1}/txt2img", json=body))
        await until_running(client)
        making.cancel()
        assert len((await txt2img(client, prompt="a dog")).images) == 1

        async def ended() -> bool:
            return await statuses(client) == ["succeeded", "cancelled"]

        await until(ended)
