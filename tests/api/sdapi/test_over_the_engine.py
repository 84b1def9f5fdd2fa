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

from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import (
    FAMILY_NAMES,
    ROLE_NAMES,
    HintOptions,
)
from deployments.engines.diffusion.batched import BatchedDiffuser
from tests.api.sdapi.conftest import V1, SdapiAnswer, a_unit, controlnet, img2img, pixels, statuses, txt2img, until
from tests.support import real_shapes, tiny_diffusion, tiny_sdxl
from tests.support.builders import a_photo, base64_png
from tests.support.over_the_engine import OverTheEngine, an_engine
from tests.support.tiny_single_file import write_single_file


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_diffusion.write_models(tmp_path_factory.mktemp("models"))


@pytest_asyncio.fixture(scope="module")
async def diffuser(models: Path) -> AsyncIterator[BatchedDiffuser]:
    async with an_engine(models, tiny_diffusion.CHECKPOINT) as opened:
        yield opened


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


async def test_interrupting_returns_the_image_as_far_as_it_has_come(
    client: httpx.AsyncClient, capabilities: OverTheEngine
) -> None:
    making = asyncio.create_task(txt2img(client, prompt="a cat", steps=150, width=128, height=128))
    await until_running(client)
    assert capabilities.looked == []  # nothing is copied while nobody looks
    await client.post(f"{V1}/interrupt")
    made = await asyncio.wait_for(making, 60)
    [seen] = capabilities.looked
    assert 1 < seen.step < 150
    assert f"stopped after {seen.step} of 150 steps" in made.warnings
    assert np.array_equal(made.images[0], await capabilities.decode_latents(seen.latents))
    assert made.images[0].shape == (128, 128, 3)


async def test_what_no_mask_hides_is_kept_where_the_first_of_two_passes_is_interrupted(
    client: httpx.AsyncClient,
) -> None:
    picture = a_photo("astronaut", 96)
    mask = np.zeros_like(picture)
    mask[:48] = 255
    unit = canny() | {"module": "inpaint_only", "image": {"image": base64_png(picture), "mask": base64_png(mask)}}
    fields = {"prompt": "a cat", "steps": 150, "width": 96, "height": 96, "enable_hr": True}
    making = asyncio.create_task(txt2img(client, **fields, alwayson_scripts=controlnet(unit)))
    await until_running(client)
    await client.post(f"{V1}/interrupt")
    made = await asyncio.wait_for(making, 60)
    assert "of 300 steps" in made.warnings
    assert made.images[0].shape == picture.shape
    assert np.array_equal(made.images[0][64:], picture[64:])
    assert not np.array_equal(made.images[0][:32], picture[:32])


@pytest.mark.parametrize("second", [{}, {"enable_hr": True, "denoising_strength": 0.5}])
async def test_a_black_and_white_photograph_gets_colours_and_keeps_its_light(
    client: httpx.AsyncClient, second: dict[str, Any]
) -> None:
    grey = np.repeat(a_photo("astronaut", 64).max(axis=2, keepdims=True), 3, axis=2)
    unit = canny() | {"module": "recolor_intensity", "image": base64_png(grey)}
    made = await txt2img(client, prompt="a cat", **second, alwayson_scripts=controlnet(unit))
    assert made.warnings == ""
    picture, drawn = made.images[:2]
    assert picture.shape == drawn.shape
    assert np.array_equal(picture.max(axis=2), drawn[..., 0])
    assert np.ptp(picture.astype(int), axis=2).max() > 8  # in colours
    if not second:
        assert np.abs(picture.max(axis=2).astype(int) - grey[..., 0]).max() <= 1


async def test_a_preview_comes_while_the_engine_is_at_work(
    client: httpx.AsyncClient, capabilities: OverTheEngine
) -> None:
    making = asyncio.create_task(txt2img(client, prompt="a cat", steps=150, width=128, height=128))

    async def preview() -> Any:
        return (await client.get(f"{V1}/progress")).json()["current_image"]

    assert pixels(await until(preview)).shape == (16, 16, 3)
    assert capabilities.looked[0].step >= 10  # of every tenth step, as the setting says
    await client.post(f"{V1}/interrupt")
    assert len((await asyncio.wait_for(making, 60)).images) == 1


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


CHECKPOINT_OF_PEOPLE = "anyloraCheckpoint_bakedvaeBlessedFp16"
UNITS_OF_PEOPLE = (
    ("mediapipe_face", "control_v2p_sd15_mediapipe_face [0653d983]"),
    ("depth_midas", "diffusers_xl_depth_mid [39c49e13]"),
    ("softedge_hed", "control_v11p_sd15_softedge [a8575a2a]"),
    ("canny", "diffusers_xl_canny_mid [112a778d]"),
)
"""Preprocessor and ControlNet of each unit of a request that people send: two are for SDXL, the checkpoint is not."""


class WithSmallHints(OverTheEngine):
    """Depth and faces are predictable: their networks are too large to make here."""

    async def make_hint(self, module: str, image: Image, options: HintOptions) -> Image:
        if module in {"depth", "mediapipe_face"}:
            return np.broadcast_to(np.linspace(0, 255, image.shape[1]).astype(np.uint8)[:, None], image.shape)
        return await super().make_hint(module, image, options)


@pytest_asyncio.fixture(scope="module")
async def diffuser_of_people(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BatchedDiffuser]:
    folder = tiny_diffusion.write_models(tmp_path_factory.mktemp("people"))
    write_single_file(folder, tiny_diffusion.CHECKPOINT, CHECKPOINT_OF_PEOPLE)
    for name in ("diffusers_xl_depth_mid", "diffusers_xl_canny_mid"):
        shapes = real_shapes.CONTROLNETS["controlnet", "sdxl", "mid"]()
        real_shapes.write(folder / "controlnets" / f"{name}.safetensors", shapes)
    tiny_diffusion.write_hed(folder / "annotators")
    async with an_engine(folder, tiny_diffusion.CHECKPOINT) as opened:
        yield opened


class TestRequestOfPeople:
    """An img2img with four units under the names that people have installed."""

    @pytest.fixture
    def capabilities(self, diffuser_of_people: BatchedDiffuser) -> OverTheEngine:
        return WithSmallHints(diffuser_of_people)

    @staticmethod
    async def send(client: httpx.AsyncClient, units: Any = UNITS_OF_PEOPLE) -> SdapiAnswer:
        picture = {"image": base64_png(a_photo("astronaut", 96)), "mask": None}
        return await img2img(
            client,
            a_photo("astronaut", 96),
            prompt="ghibli style, 1girl, ((masterpiece))",
            seed=1178811602,
            height=96,
            denoising_strength=0.5,
            override_settings={"sd_model_checkpoint": CHECKPOINT_OF_PEOPLE},
            alwayson_scripts=controlnet(
                *({"module": module, "model": model, "image": picture} for module, model in units)
            ),
        )

    async def test_units_for_sdxl_are_replaced_by_those_of_the_checkpoints_family(
        self, client: httpx.AsyncClient
    ) -> None:
        made = await self.send(client)
        assert [image.shape for image in made.images] == [(96, 64, 3)] * 5
        assert made.info["sd_model_name"] == CHECKPOINT_OF_PEOPLE
        assert made.info["warnings"] == [
            f"ControlNet {place}: the model {old!r} is for SDXL and the checkpoint is Stable Diffusion 1.x: "
            f"{new!r} was used instead"
            for place, old, new in (
                (1, "diffusers_xl_depth_mid", "control_v11f1p_sd15_depth"),
                (3, "diffusers_xl_canny_mid", "control_v11p_sd15_canny"),
            )
        ]
        fitting = [(module, _FITTING.get(model, model)) for module, model in UNITS_OF_PEOPLE]
        assert np.array_equal((await self.send(client, fitting)).images[0], made.images[0])

    async def test_a_unit_for_which_nothing_fits_is_left_out_alone(
        self, client: httpx.AsyncClient, diffuser_of_people: BatchedDiffuser
    ) -> None:
        folder = diffuser_of_people.engine.models.catalogue.folder / "controlnets"
        (folder / "control_v11f1p_sd15_depth").rename(folder / ".away")
        try:
            made = await self.send(client)
        finally:
            (folder / ".away").rename(folder / "control_v11f1p_sd15_depth")
        assert len(made.images) == 4
        assert "'diffusers_xl_depth_mid' is for SDXL" in made.warnings
        assert "left out" in made.warnings
        assert "ControlNet 2" in made.info["infotexts"][0]
        assert "ControlNet 1" not in made.info["infotexts"][0]


_FITTING = {
    "diffusers_xl_depth_mid [39c49e13]": "control_v11f1p_sd15_depth",
    "diffusers_xl_canny_mid [112a778d]": "control_v11p_sd15_canny",
}


SD1_UNITS = (
    ("canny", "control_v11p_sd15_canny [d14c016b]"),
    ("depth_midas", "control_v11f1p_sd15_depth [cfd03158]"),
    ("softedge_hed", "control_v11p_sd15_softedge [a8575a2a]"),
)


@pytest_asyncio.fixture(scope="module")
async def diffuser_of_xl(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BatchedDiffuser]:
    folder = tiny_sdxl.write_models(tmp_path_factory.mktemp("xl"))
    for _, name in SD1_UNITS:
        shapes = real_shapes.CONTROLNETS["controlnet", "sd1", "cldm"]()
        real_shapes.write(folder / "controlnets" / f"{name.partition(' ')[0]}.safetensors", shapes)
    async with an_engine(folder, tiny_sdxl.CHECKPOINT) as opened:
        yield opened


class TestRequestOfPeopleInSdxl:
    """Units for SD 1.5 beside a checkpoint of SDXL."""

    @pytest.fixture
    def capabilities(self, diffuser_of_xl: BatchedDiffuser) -> OverTheEngine:
        return WithSmallHints(diffuser_of_xl)

    async def test_units_are_replaced_by_those_of_sdxl_and_one_without_any_is_left_out(
        self, client: httpx.AsyncClient
    ) -> None:
        picture = {"image": base64_png(a_photo("astronaut", 96)), "mask": None}
        units = ({"module": module, "model": model, "image": picture} for module, model in SD1_UNITS)
        made = await txt2img(client, prompt="a cat", steps=2, alwayson_scripts=controlnet(*units))
        assert len(made.images) == 3  # the picture and two maps
        replaced = [text for text in made.info["warnings"] if "was used instead" in text]
        assert [name in text for name, text in zip(tiny_sdxl.CONTROLNETS.values(), replaced, strict=True)] == [True] * 2
        assert all("is for Stable Diffusion 1.x and the checkpoint is SDXL" in text for text in replaced)
        assert any("'control_v11p_sd15_softedge'" in text and "left out" in text for text in made.info["warnings"])


@pytest.mark.parametrize("role", ["t2i-adapter", "control-lora", "ip-adapter", "lllite"])
async def test_what_is_no_controlnet_leaves_out_its_unit_by_name(
    client: httpx.AsyncClient, models: Path, role: str
) -> None:
    key = next(key for key in real_shapes.CONTROLNETS if key[0] == role)
    path = real_shapes.write(models / "controlnets" / "odd_thing.safetensors", real_shapes.CONTROLNETS[key]())
    try:
        made = await txt2img(client, alwayson_scripts=controlnet(canny(), canny() | {"model": "odd_thing"}))
    finally:
        path.unlink()
    assert len(made.images) == 3  # canny is what the second unit's preprocessor makes: its own network replaces it
    assert f"'odd_thing' is {ROLE_NAMES[role]}" in made.warnings


@pytest.mark.parametrize("family", ["sd3", "flux", "sdxl-refiner"])
async def test_a_checkpoint_of_another_family_is_refused_at_the_first_attempt(
    client: httpx.AsyncClient, models: Path, family: str
) -> None:
    path = real_shapes.write(models / "checkpoints" / "big.safetensors", real_shapes.CHECKPOINTS[family, ""]())
    try:
        answer = await client.post(f"{V1}/txt2img", json={"override_settings": {"sd_model_checkpoint": "big"}})
    finally:
        path.unlink()
    assert answer.status_code == 422
    assert FAMILY_NAMES[family] in answer.json()["errors"]
    assert "'big'" in answer.json()["errors"]
