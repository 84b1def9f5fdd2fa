"""Upscalers of the models folder in the Stable Diffusion web API: listed, in extras, in hires fix."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.api.sdapi.conftest import V1, assert_webui_error, pixels, txt2img
from tests.support.builders import a_flat_image, base64_png
from tests.support.fake_diffuser import UPSCALERS, FakeDiffuser

PICTURE = base64_png(a_flat_image((64, 48), (0, 0, 0)))


@pytest.fixture
def capabilities() -> FakeDiffuser:
    engine = FakeDiffuser()
    engine.without(upscalers=UPSCALERS)
    return engine


async def enlarge(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    return await client.post(f"{V1}/extra-single-image", json={"image": PICTURE} | fields)


async def test_upscalers_are_listed_by_the_names_of_the_original(idle_client: httpx.AsyncClient) -> None:
    rows = (await idle_client.get(f"{V1}/upscalers")).json()
    assert [row["name"] for row in rows] == ["None", "Lanczos", "Nearest", "R-ESRGAN 4x+", "4x-Ultra"]
    assert rows[3]["model_path"] == "RealESRGAN_x4plus.pth"
    assert {frozenset(row) for row in rows} == {frozenset(("name", "model_name", "model_path", "model_url", "scale"))}
    real = (await idle_client.get(f"{V1}/realesrgan-models")).json()
    assert [row["name"] for row in real] == ["R-ESRGAN 4x+"]


@pytest.mark.parametrize("name", ["R-ESRGAN 4x+", "RealESRGAN_x4plus", "RealESRGAN_x4plus.pth"])
async def test_extras_enlarge_by_a_network_of_any_of_its_names(
    idle_client: httpx.AsyncClient, capabilities: FakeDiffuser, name: str
) -> None:
    answer = (await enlarge(idle_client, upscaler_1=name, upscaling_resize=3)).json()
    assert pixels(answer["image"]).shape == (144, 192, 3)
    assert capabilities.upscaled == [(name, (192, 144))]
    assert answer["html_info"] == f"<p>Postprocess upscale by: 3, Postprocess upscaler: {name}</p>"


async def test_the_second_upscaler_is_laid_over_the_first_by_its_share(
    idle_client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    fields = {"upscaler_1": "Lanczos", "upscaler_2": "4x-Ultra", "extras_upscaler_2_visibility": 0.25}
    image = pixels((await enlarge(idle_client, **fields)).json()["image"])
    assert image[0, 0].tolist() == [50, 50, 50]  # a quarter of the network's 200 over black


async def test_an_unknown_upscaler_is_the_error_of_the_original(idle_client: httpx.AsyncClient) -> None:
    unknown = await enlarge(idle_client, upscaler_1="4x-Nothing")
    assert_webui_error(unknown, 500, "AssertionError", errors="could not find upscaler named 4x-Nothing")


async def test_hires_fix_takes_an_upscaler_of_the_models_folder(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    made = await txt2img(client, enable_hr=True, hr_upscaler="4x-Ultra", denoising_strength=0.5)
    hires = capabilities.requests[0].hires
    assert hires is not None
    assert hires.upscaler == "4x-Ultra"
    assert "Hires upscaler: 4x-Ultra" in made.info["infotexts"][0]
