"""The client `webuiapi` from the package index, over the network, as its users call it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import webuiapi
from PIL import Image as PillowImage

from tests.support.builders import an_image
from tests.support.fake_diffuser import FakeDiffuser


@pytest.fixture
def server(live_url: str) -> tuple[str, int]:
    parts = urlsplit(live_url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


def an_api(server: tuple[str, int]) -> webuiapi.WebUIApi:
    return webuiapi.WebUIApi(host=server[0], port=server[1], steps=3)


async def in_thread(server: tuple[str, int], use: Callable[[webuiapi.WebUIApi], Any]) -> Any:
    """What `use` makes of a client, which blocks, while the server answers in this one."""

    def work() -> Any:
        api = an_api(server)
        try:
            return use(api)
        finally:
            api.session.close()

    return await asyncio.to_thread(work)


async def test_webuiapi_makes_txt2img_images(server: tuple[str, int], capabilities: FakeDiffuser) -> None:
    made = await in_thread(
        server, lambda api: api.txt2img(prompt="a cat", seed=1003, width=64, height=64, cfg_scale=7, batch_size=2)
    )
    assert [image.size for image in made.images] == [(64, 64)] * 2
    assert made.info["all_seeds"] == [1003, 1004]
    [first, _] = capabilities.requests
    assert (first.sampler, first.eta, first.seed_size) == ("Euler a", 1.0, None)


async def test_webuiapi_makes_img2img_and_inpainting_images(
    server: tuple[str, int], capabilities: FakeDiffuser
) -> None:
    picture = PillowImage.fromarray(an_image((96, 96)))
    mask = PillowImage.new("L", (96, 96))
    mask.paste(255, (20, 20, 60, 60))
    shared = {"images": [picture], "prompt": "a cat", "width": 64, "height": 64}

    def use(api: webuiapi.WebUIApi) -> Any:
        plain = api.img2img(**shared, denoising_strength=0.5)
        masked = api.img2img(**shared, mask_image=mask, inpainting_fill=1, mask_blur=0)
        return plain, masked

    plain, masked = await in_thread(server, use)
    assert plain.image.size == (64, 64)
    assert masked.image.size == (96, 96)
    assert np.array_equal(np.asarray(masked.image)[70:], an_image((96, 96))[70:])
    assert capabilities.requests[1].mask is not None


async def test_webuiapi_uses_controlnet_and_then_none(server: tuple[str, int], capabilities: FakeDiffuser) -> None:
    picture = PillowImage.fromarray(an_image((64, 64)))

    def use(api: webuiapi.WebUIApi) -> Any:
        assert api.has_controlnet
        unit = webuiapi.ControlNetUnit(image=picture, module="canny", model=api.controlnet_model_list()[0])
        shared = {"prompt": "a cat", "width": 64, "height": 64}
        first = api.txt2img(**shared, controlnet_units=[unit])
        second = api.txt2img(**shared)
        third = api.img2img(images=[picture], **shared, controlnet_units=[unit, unit])
        return first, second, third, api.controlnet_detect(images=[picture], module="canny")

    first, second, third, detected = await in_thread(server, use)
    assert [len(made.images) for made in (first, second, third, detected)] == [2, 1, 3, 1]
    assert [len(request.controls) for request in capabilities.requests] == [1, 0, 2]


async def test_webuiapi_reads_options_lists_and_tools(server: tuple[str, int]) -> None:
    picture = PillowImage.fromarray(an_image((64, 64)))

    def use(api: webuiapi.WebUIApi) -> None:
        options = api.get_options()
        api.set_options(options | {"sd_model_checkpoint": "ghiblistyle"})
        assert api.util_get_current_model().startswith("ghiblistyle.safetensors")
        assert api.util_get_model_names() == sorted(one["title"] for one in api.get_sd_models())
        api.refresh_checkpoints()
        assert api.get_cmd_flags()["api"] is True
        assert api.get_samplers()[0]["name"] == "DPM++ 2M"
        for listed in (
            *(api.get_schedulers, api.get_sd_vae, api.get_loras, api.get_upscalers, api.get_latent_upscale_modes),
            *(api.get_hypernetworks, api.get_face_restorers, api.get_realesrgan_models, api.get_prompt_styles),
            *(api.get_embeddings, api.get_memory, api.controlnet_module_list),
        ):
            listed()
        assert api.controlnet_version() == 3
        enlarged = api.extra_single_image(image=picture, upscaler_1=webuiapi.Upscaler.Lanczos, upscaling_resize=1.5)
        assert enlarged.image.size == (96, 96)
        both = api.extra_batch_images(images=[picture, picture], upscaler_1=webuiapi.Upscaler.Nearest)
        assert len(both.images) == 2
        assert isinstance(api.interrogate(picture).info, str)
        made = api.txt2img(prompt="a cat", width=64, height=64)
        assert "a cat" in api.png_info(made.image).info

    await in_thread(server, use)


async def test_webuiapi_follows_progress_and_interrupts(server: tuple[str, int], capabilities: FakeDiffuser) -> None:
    capabilities.go.clear()
    making = asyncio.create_task(
        in_thread(server, lambda api: api.txt2img(prompt="a cat", width=64, height=64, steps=4))
    )
    await asyncio.wait_for(capabilities.begun.acquire(), 20)
    seen = await in_thread(server, lambda api: api.get_progress())
    assert seen["state"]["job_count"] == 1
    await in_thread(server, lambda api: (api.interrupt(), api.skip()))
    made = await asyncio.wait_for(making, 20)
    assert np.all(np.asarray(made.image) == 127)


async def test_webuiapi_raises_the_errors_of_the_server(server: tuple[str, int]) -> None:
    with pytest.raises(RuntimeError, match=r"Script .* not found"):
        await in_thread(server, lambda api: api.txt2img(script_name="x"))
