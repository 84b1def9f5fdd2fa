"""Units whose image is a prompt (IP-Adapter), over the real engine with small models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import pytest_asyncio

from deployments.engines.diffusion.batched import BatchedDiffuser
from tests.api.sdapi.conftest import V1, a_unit, controlnet, img2img, txt2img
from tests.support import tiny_diffusion
from tests.support.builders import a_photo, base64_png
from tests.support.over_the_engine import OverTheEngine, an_engine

pytest.importorskip("diffusers")

import torch
from diffusers import UNet2DConditionModel

from tests.support.tiny_ip_adapter import build_adapter, build_encoder, write_adapter, write_encoder

NAMES = ("ip-adapter_sd15", "ip-adapter-plus_sd15", "ip-adapter-plus-face_sd15")
CLIP_H = "ip-adapter_clip_sd15"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_diffusion.write_models(tmp_path_factory.mktemp("models"))
    unet = UNet2DConditionModel.from_pretrained(folder / "checkpoints" / tiny_diffusion.CHECKPOINT / "unet")
    with torch.random.fork_rng(devices=[]):
        for name in NAMES:
            adapter = build_adapter(unet, "plus" if "plus" in name else "base")
            write_adapter(folder / "controlnets" / f"{name}.safetensors", adapter)
        write_encoder(folder / "annotators" / "clip_vision" / "clip_h.pth", build_encoder())
    return folder


@pytest_asyncio.fixture(scope="module")
async def diffuser(models: Path) -> AsyncIterator[BatchedDiffuser]:
    async with an_engine(models, tiny_diffusion.CHECKPOINT) as opened:
        yield opened


@pytest.fixture
def capabilities(diffuser: BatchedDiffuser) -> OverTheEngine:
    return OverTheEngine(diffuser)


def a_prompt(model: str = NAMES[0], module: str = CLIP_H, name: str = "astronaut", **more: Any) -> dict[str, Any]:
    return a_unit(module=module, model=model, image=base64_png(a_photo(name, 96)), **more)


async def make(client: httpx.AsyncClient, *units: dict[str, Any], **fields: Any) -> Any:
    return await txt2img(client, prompt="a cat", seed=5, alwayson_scripts=controlnet(*units), **fields)


@contextmanager
def without(path: Path) -> Iterator[None]:
    aside = path.with_name(f"{path.name}.aside")
    path.rename(aside)
    try:
        yield
    finally:
        aside.rename(path)


@contextmanager
def cut_short(path: Path) -> Iterator[None]:
    content = path.read_bytes()
    path.write_bytes(content[:-500])
    try:
        yield
    finally:
        path.write_bytes(content)


@contextmanager
def an_adapter(models: Path, name: str, tensors: dict[str, dict[str, torch.Tensor]]) -> Iterator[None]:
    path = write_adapter(models / "controlnets" / f"{name}.safetensors", tensors)
    try:
        yield
    finally:
        path.unlink()


@pytest.mark.parametrize("module", [CLIP_H, "ip-adapter_clip_h", "ip-adapter-auto", "ip-adapter_clip_sdxl_plus_vith"])
@pytest.mark.parametrize("model", NAMES[:2])
async def test_an_image_prompt_changes_the_picture_and_has_no_map(
    client: httpx.AsyncClient, module: str, model: str
) -> None:
    plain = await make(client)
    made = await make(client, a_prompt(model, module))
    assert made.warnings == ""
    assert len(made.images) == 1
    assert not np.array_equal(made.images[0], plain.images[0])
    assert f'ControlNet 0: "Module: {module}, Model: {model} [' in made.info["infotexts"][0]
    other = await make(client, a_prompt(model, module, "coffee"))
    assert not np.array_equal(made.images[0], other.images[0])


async def test_an_image_prompt_goes_beside_a_controlnet_and_in_either_pass(client: httpx.AsyncClient) -> None:
    canny = a_unit(model=tiny_diffusion.CONTROLNETS["canny"], image=base64_png(a_photo("astronaut", 96)))
    made = await make(client, canny, a_prompt())
    assert made.warnings == ""
    assert len(made.images) == 2  # the picture and canny's map
    large = [
        (await make(client, a_prompt(hr_option=option), enable_hr=True, denoising_strength=0.6)).images[0]
        for option in ("Both", "Low res only", "High res only")
    ]
    assert not any(np.array_equal(one, other) for place, one in enumerate(large) for other in large[:place])


async def test_the_init_image_is_the_prompt_of_a_unit_without_an_image(client: httpx.AsyncClient) -> None:
    picture = a_photo("astronaut", 64)
    shared = {"prompt": "a cat", "seed": 5, "denoising_strength": 0.75}
    plain = await img2img(client, picture, **shared)
    unit = {"module": CLIP_H, "model": NAMES[0]}
    made = await img2img(client, picture, **shared, alwayson_scripts=controlnet(unit))
    assert made.warnings == ""
    assert not np.array_equal(made.images[0], plain.images[0])


async def test_the_units_mask_covers_its_image_and_replaces_it_not(client: httpx.AsyncClient) -> None:
    mask = np.zeros((96, 96, 3), np.uint8)
    mask[:, :48] = 255
    picture, changed = a_photo("astronaut", 96), a_photo("astronaut", 96)
    changed[:, :40] = 99
    made = [
        (await make(client, a_unit(module=CLIP_H, model=NAMES[0], image=base64_png(own), mask=base64_png(mask)))).images
        for own in (picture, changed)
    ]
    assert np.abs(made[0][0].astype(int) - made[1][0]).max() <= 1
    assert not np.array_equal(made[0][0], (await make(client, a_prompt())).images[0])


async def test_a_missing_encoder_leaves_out_its_unit_alone_and_is_named(
    client: httpx.AsyncClient, models: Path
) -> None:
    canny = a_unit(model=tiny_diffusion.CONTROLNETS["canny"], image=base64_png(a_photo("astronaut", 96)))
    expected = await make(client, canny)
    with without(models / "annotators" / "clip_vision" / "clip_h.pth"):
        made = await make(client, canny, a_prompt())
        listed = (await client.get("/controlnet/module_list")).json()["module_detail"][CLIP_H]
    assert "ControlNet 1: the image encoder clip_h.pth is not in annotators/clip_vision/" in made.warnings
    assert "left out" in made.warnings
    assert 'ControlNet 1: "' not in made.info["infotexts"][0]
    np.testing.assert_array_equal(made.images[0], expected.images[0])
    assert listed["available"] is False


async def test_an_adapter_of_another_family_is_replaced_by_one_of_its_kind(
    client: httpx.AsyncClient, models: Path
) -> None:
    tensors = {
        "image_proj": {"proj.weight": torch.zeros(8, 1280), "norm.weight": torch.zeros(2)},
        "ip_adapter": {"1.to_k_ip.weight": torch.zeros(640, 2048)},
    }
    with an_adapter(models, "ip-adapter-plus-face_sdxl_vit-h", tensors):
        made = await make(client, a_prompt("ip-adapter-plus-face_sdxl_vit-h"))
    assert (
        "is for SDXL and the checkpoint is Stable Diffusion 1.x: 'ip-adapter-plus-face_sd15' was used" in made.warnings
    )
    np.testing.assert_array_equal(made.images[0], (await make(client, a_prompt(NAMES[2]))).images[0])
    with an_adapter(models, "ip-adapter-full-face_sdxl", tensors):
        made = await make(client, a_prompt("ip-adapter-full-face_sdxl"))
    assert "no other one of its kind is here: the unit was left out" in made.warnings


async def test_an_adapter_that_sees_a_faces_identity_is_left_out_by_name(
    client: httpx.AsyncClient, models: Path
) -> None:
    tensors = {
        "image_proj": {"proj.0.weight": torch.zeros(8, 8), "norm.weight": torch.zeros(32)},
        "ip_adapter": {"1.to_k_ip.weight": torch.zeros(320, 768)},
    }
    with an_adapter(models, "ip-adapter-faceid_sd15", tensors):
        made = await make(client, a_prompt("ip-adapter-faceid_sd15"))
        other = await make(client, a_prompt("ip-adapter-faceid_sd15", "ip-adapter_face_id"))
    assert "'ip-adapter-faceid_sd15'" in made.warnings
    assert "FaceID" in made.warnings
    assert "'ip-adapter_face_id' does not run here: the unit was left out" in other.warnings


async def test_a_controlnet_is_no_adapter(client: httpx.AsyncClient) -> None:
    made = await make(client, a_prompt(tiny_diffusion.CONTROLNETS["canny"]))
    assert "is a ControlNet, not an IP-Adapter: 'ip-adapter_sd15' was used instead" in made.warnings


async def test_another_encoders_preprocessor_is_replaced_by_the_adapters_own(client: httpx.AsyncClient) -> None:
    made = await make(client, a_prompt(module="ip-adapter_clip_sdxl"))
    assert "'ip-adapter_clip_sdxl' is not that of 'ip-adapter_sd15'" in made.warnings
    np.testing.assert_array_equal(made.images[0], (await make(client, a_prompt())).images[0])


async def test_a_damaged_adapter_leaves_out_its_unit_and_the_next_request_works(
    client: httpx.AsyncClient, models: Path
) -> None:
    with cut_short(models / "controlnets" / f"{NAMES[1]}.safetensors"):
        made = await make(client, a_prompt(NAMES[1]))
    assert "left out" in made.warnings
    np.testing.assert_array_equal(made.images[0], (await make(client)).images[0])
    assert (await make(client, a_prompt(NAMES[1]))).warnings == ""


async def test_lists_name_adapters_and_what_their_preprocessors_need(client: httpx.AsyncClient) -> None:
    kind = (await client.get("/controlnet/control_types")).json()["control_types"]["IP-Adapter"]
    assert {title.partition(" [")[0] for title in kind["model_list"]} == {"None", *NAMES}
    assert "ip-adapter_clip_h" in kind["module_list"]
    detail = (await client.get("/controlnet/module_list")).json()["module_detail"]
    assert detail[CLIP_H] == {
        "model_free": False,
        "sliders": [],
        "weights": ["clip_h.pth"],
        "source": "h94/IP-Adapter (models/image_encoder)",
    }
    assert detail["ip-adapter_clip_sdxl"]["available"] is False  # clip_g.pth is not here


async def test_an_image_prompt_is_nothing_to_look_at(client: httpx.AsyncClient) -> None:
    body = {"controlnet_module": CLIP_H, "controlnet_input_images": [base64_png(a_photo("astronaut", 96))]}
    answer = await client.post("/controlnet/detect", json=body)
    assert (answer.status_code, answer.json()["detail"]) == (422, "Module not supported")
    assert (await client.get(f"{V1}/progress")).status_code == 200
