"""Lists of models, samplers and scripts; extras, PNG info, interrogate."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest

from configs.settings import Limits, Settings
from deployments.contracts.diffusion import ModelFile
from tests.api.sdapi.conftest import V1, assert_webui_error, pixels
from tests.support.builders import a_flat_image, an_image, base64_png
from tests.support.fake_diffuser import CATALOGUE, FakeDiffuser
from tests.support.fakes import with_face


async def get(client: httpx.AsyncClient, path: str) -> Any:
    response = await client.get(f"{V1}/{path}")
    assert response.status_code == 200, response.text
    return response.json()


async def test_models_are_listed_without_folders_of_this_machine(idle_client: httpx.AsyncClient) -> None:
    first, *_ = await get(idle_client, "sd-models")
    sha = CATALOGUE.checkpoints[0].sha256
    assert first == {
        "title": f"tiny.safetensors [{sha[:10]}]",
        "model_name": "tiny",
        "hash": sha[:10],
        "sha256": sha,
        "filename": "tiny.safetensors",
        "config": None,
    }
    assert await get(idle_client, "sd-vae") == [{"model_name": "clear", "filename": "clear.safetensors"}]
    assert (await get(idle_client, "loras"))[1]["name"] == "ink"


async def test_samplers_and_schedulers_have_the_originals_form(idle_client: httpx.AsyncClient) -> None:
    samplers = {one["name"]: one for one in await get(idle_client, "samplers")}
    assert samplers["DPM++ 2M"]["options"]["scheduler"] == "karras"
    assert "k_euler_a" in samplers["Euler a"]["aliases"]
    assert all(isinstance(value, str) for one in samplers.values() for value in one["options"].values())
    schedulers = {one["name"]: one for one in await get(idle_client, "schedulers")}
    assert schedulers["karras"]["label"] == "Karras"
    assert set(schedulers["automatic"]) == {"name", "label", "aliases", "default_rho", "need_inner_model"}


async def test_all_other_lists_have_the_originals_form(idle_client: httpx.AsyncClient) -> None:
    assert [one["name"] for one in await get(idle_client, "upscalers")] == ["None", "Lanczos", "Nearest"]
    assert (await get(idle_client, "latent-upscale-modes"))[0] == {"name": "Latent"}
    for empty in ("face-restorers", "realesrgan-models", "hypernetworks"):
        assert await get(idle_client, empty) == []
    assert await get(idle_client, "embeddings") == {"loaded": {}, "skipped": {}}
    scripts = await get(idle_client, "scripts")
    assert {"controlnet", "controlnet m2m"} <= set(scripts["txt2img"]) & set(scripts["img2img"])
    assert {"name", "is_alwayson", "is_img2img", "args"} == set((await get(idle_client, "script-info"))[0])
    assert (await get(idle_client, "extensions"))[0]["enabled"] is True
    assert isinstance(await get(idle_client, "prompt-styles"), list)
    assert (await idle_client.get("/internal/ping")).json() == {}


async def test_command_line_flags_hold_no_secret(idle_client: httpx.AsyncClient) -> None:
    flags = await get(idle_client, "cmd-flags")
    assert flags["api_auth"] is None
    assert not any("/" in str(value) for key, value in flags.items() if key != "ckpt")


async def test_memory_is_that_of_the_machine_and_of_the_gpu(
    idle_client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    memory = await get(idle_client, "memory")
    assert memory["ram"]["free"] + memory["ram"]["used"] == memory["ram"]["total"] > 0
    assert memory["cuda"] == {"error": "unavailable"}
    capabilities.without(memory={"used": 3, "total": 10, "peak": 5})  # type: ignore[arg-type]
    cuda = (await get(idle_client, "memory"))["cuda"]
    assert cuda["system"] == {"free": 7, "used": 3, "total": 10}
    assert cuda["active"] == {"current": 3, "peak": 5}


async def test_refresh_and_unload_answer_as_the_original(idle_client: httpx.AsyncClient) -> None:
    for name in ("checkpoints", "vae", "embeddings", "loras"):
        assert (await idle_client.post(f"{V1}/refresh-{name}")).json() is None
    for name in ("unload", "reload"):
        assert (await idle_client.post(f"{V1}/{name}-checkpoint")).json() == {}


async def test_extras_enlarge_an_image(idle_client: httpx.AsyncClient) -> None:
    async def enlarge(**fields: object) -> tuple[Any, str]:
        body = {"image": base64_png(an_image((96, 64)))} | fields
        response = await idle_client.post(f"{V1}/extra-single-image", json=body)
        assert response.status_code == 200, response.text
        return pixels(response.json()["image"]), response.json()["html_info"]

    twice, said = await enlarge(upscaler_1="Lanczos", upscaling_resize=2)
    assert twice.shape == (128, 192, 3)
    assert said == "<p>Postprocess upscale by: 2, Postprocess upscaler: Lanczos</p>"
    exact, _ = await enlarge(upscaler_1="Nearest", resize_mode=1, upscaling_resize_w=100, upscaling_resize_h=100)
    assert exact.shape == (100, 100, 3)
    covering, _ = await enlarge(
        upscaler_1="Nearest", resize_mode=1, upscaling_resize_w=96, upscaling_resize_h=96, upscaling_crop=False
    )
    assert covering.shape == (96, 144, 3)
    same, _ = await enlarge()
    assert np.array_equal(same, an_image((96, 64)))
    nearest, _ = await enlarge(upscaler_1="Nearest")
    mixed, _ = await enlarge(upscaler_1="Lanczos", upscaler_2="Nearest", extras_upscaler_2_visibility=1)
    assert np.array_equal(mixed, nearest)
    _, warned = await enlarge(gfpgan_visibility=0.5)
    assert "gfpgan_visibility has no effect: there is no GFPGAN network" in warned


async def test_extras_enlarge_several_images_in_order(idle_client: httpx.AsyncClient) -> None:
    sent = [{"data": base64_png(a_flat_image((8, 8), (shade,) * 3)), "name": "x"} for shade in (10, 20)]
    response = await idle_client.post(
        f"{V1}/extra-batch-images", json={"imageList": sent, "upscaler_1": "Lanczos", "upscaling_resize": 4}
    )
    images = [pixels(one) for one in response.json()["images"]]
    assert [(image.shape, int(image[0, 0, 0])) for image in images] == [((32, 32, 3), 10), ((32, 32, 3), 20)]


class TestSmallTools:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"limits": Limits(max_sdapi_bytes=100_000)})

    async def test_extras_bound_the_bytes_of_all_their_files_together(self, idle_client: httpx.AsyncClient) -> None:
        async def post(count: int) -> httpx.Response:
            images = [{"data": base64_png(an_image((32, 32)))}] * count
            body = {"imageList": images, "upscaler_1": "Lanczos", "upscaling_resize": 8}
            return await idle_client.post(f"{V1}/extra-batch-images", json=body)

        assert (await post(1)).status_code == 200
        assert_webui_error(await post(5), 413, "PayloadTooLarge")


async def test_lists_of_millions_are_not_read_to_their_end(idle_client: httpx.AsyncClient) -> None:
    for address, name, one in (
        (f"{V1}/img2img", "init_images", ""),
        (f"{V1}/extra-batch-images", "imageList", {"data": ""}),
        ("/controlnet/detect", "controlnet_input_images", ""),
        ("/controlnet/detect", "controlnet_masks", ""),
    ):
        response = await idle_client.post(address, json={name: [one] * 1001})
        assert response.status_code == 422, response.text
        assert response.json()["detail"][0]["type"] == "too_long"


async def test_extras_refuse_requests_that_make_no_sense(idle_client: httpx.AsyncClient) -> None:
    async def post(**fields: object) -> httpx.Response:
        body = {"image": base64_png(an_image())} | fields
        return await idle_client.post(f"{V1}/extra-single-image", json=body)

    for absurd in (
        {"codeformer_visibility": 2},
        {"upscaling_resize": 0},
        {"resize_mode": 5},
        {"upscaler_1": "Lanczos", "resize_mode": 1, "upscaling_resize_w": 16000, "upscaling_resize_h": 16000},
    ):
        response = await post(**absurd)
        assert response.status_code == 422, response.text
        assert response.json()["detail"][0]["loc"][0] == "body"
    unknown = await post(upscaler_1="R-ESRGAN 4x+")
    assert_webui_error(unknown, 500, "AssertionError", errors="could not find upscaler named R-ESRGAN 4x+")
    assert_webui_error(await post(image="x"), 500, "HTTPException", detail="Invalid encoded image")


async def test_png_info_is_empty_for_an_image_without_parameters(idle_client: httpx.AsyncClient) -> None:
    read = (await idle_client.post(f"{V1}/png-info", json={"image": base64_png(an_image())})).json()
    assert (read["info"], read["items"], read["parameters"]["Prompt"]) == ("", {}, "")
    response = await idle_client.post(f"{V1}/png-info", json={})
    assert response.json()["detail"][0]["loc"] == ["body", "image"]


async def test_interrogate_describes_an_image_by_its_tags_and_faces(idle_client: httpx.AsyncClient) -> None:
    image = with_face(a_flat_image((64, 64), (255, 0, 0)), person=24, size=30)
    response = await idle_client.post(f"{V1}/interrogate", json={"image": base64_png(image), "model": "clip"})
    assert set(response.json()["caption"].split(", ")) == {"red", "person", "portrait"}


async def test_interrogate_refuses_in_the_words_of_the_original(idle_client: httpx.AsyncClient) -> None:
    response = await idle_client.post(f"{V1}/interrogate", json={"image": None})
    assert_webui_error(response, 404, "HTTPException", detail="Image not found")
    body = {"image": base64_png(an_image()), "model": "blip"}
    response = await idle_client.post(f"{V1}/interrogate", json=body)
    assert_webui_error(response, 404, "HTTPException", detail="Model not found")


async def test_textual_inversions_of_another_family_than_the_checkpoints_are_skipped(
    idle_client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    checkpoint = replace(CATALOGUE.checkpoints[0], family="sd1")
    one = ModelFile("easy", "easy", "", "easy.pt", family="sd1", vectors=8, width=768)
    other = ModelFile("xl", "xl", "", "xl.safetensors", family="sdxl", vectors=4, width=1280)
    capabilities.catalogue = replace(CATALOGUE, checkpoints=(checkpoint,), embeddings=(one, other))
    listed = await get(idle_client, "embeddings")
    unknown = {"step": None, "sd_checkpoint": None, "sd_checkpoint_name": None}
    assert listed["loaded"] == {"easy": unknown | {"shape": 768, "vectors": 8}}
    assert list(listed["skipped"]) == ["xl"]
