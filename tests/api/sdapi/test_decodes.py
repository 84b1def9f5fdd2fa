"""Image decodes of the Stable Diffusion web API; docs/architecture.md has the table."""

from __future__ import annotations

import asyncio
import base64
import threading

import httpx
import pytest

from configs.settings import Settings
from deployments.kit.turns import acting_for
from serve_app.services.container import Services
from serve_app.store.repositories.users import LOCAL_USER_ID
from tests.api.sdapi.conftest import SMALL, V1, a_unit, controlnet
from tests.support.builders import an_image, base64_png, encoded
from tests.support.decodes import count_decodes

INIT, MASK, HINT = (80, 64), (88, 64), (96, 64)


async def test_txt2img_decodes_none_of_its_results(client: httpx.AsyncClient) -> None:
    with count_decodes() as decodes:
        await client.post(f"{V1}/txt2img", json=SMALL | {"batch_size": 2, "save_images": True})
    assert not decodes


async def test_img2img_decodes_each_input_when_accepted_and_once_in_the_job(client: httpx.AsyncClient) -> None:
    body = {
        "init_images": [base64_png(an_image(INIT))],
        "mask": base64_png(an_image(MASK)),
        "alwayson_scripts": controlnet(a_unit(image=base64_png(an_image(HINT)))),
    }
    with count_decodes() as decodes:
        answer = await client.post(f"{V1}/img2img", json=SMALL | body)
    assert answer.status_code == 200, answer.text
    assert decodes == {INIT: 2, MASK: 2, HINT: 2}


async def test_an_image_that_is_sent_under_three_names_is_decoded_once_in_the_job(client: httpx.AsyncClient) -> None:
    image = base64_png(an_image(INIT))
    body = {"init_images": [image], "alwayson_scripts": controlnet(a_unit(image=image), a_unit(image=image))}
    with count_decodes() as decodes:
        answer = await client.post(f"{V1}/img2img", json=SMALL | body)
    assert answer.status_code == 200, answer.text
    assert decodes == {INIT: 3 + 1}


async def test_detect_decodes_each_image_once(idle_client: httpx.AsyncClient) -> None:
    body = {"controlnet_module": "canny", "controlnet_input_images": [base64_png(an_image(HINT))]}
    with count_decodes() as decodes:
        assert (await idle_client.post("/controlnet/detect", json=body)).status_code == 200
    assert decodes == {HINT: 1}


async def test_interrogate_decodes_its_image_once(idle_client: httpx.AsyncClient) -> None:
    with count_decodes() as decodes:
        await idle_client.post(f"{V1}/interrogate", json={"image": base64_png(an_image(HINT)), "model": "clip"})
    assert decodes == {HINT: 1}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
async def test_png_info_decodes_nothing(idle_client: httpx.AsyncClient, format: str) -> None:
    image = base64.b64encode(encoded(an_image(HINT), format)).decode()
    with count_decodes() as decodes:
        answer = await idle_client.post(f"{V1}/png-info", json={"image": image})
    assert answer.status_code == 200, answer.text
    assert not decodes


async def test_png_info_waits_for_a_place_of_the_decoders(
    idle_client: httpx.AsyncClient, services: Services, settings: Settings
) -> None:
    go = threading.Event()
    with acting_for(LOCAL_USER_ID):
        places = range(settings.runtime.decode_threads)
        held = [asyncio.create_task(services.inputs._threads.run(go.wait, 20)) for _ in places]
    asking = asyncio.create_task(idle_client.post(f"{V1}/png-info", json={"image": base64_png(an_image(HINT))}))
    _, pending = await asyncio.wait([asking], timeout=0.3)
    assert pending
    go.set()
    assert (await asking).status_code == 200
    assert await asyncio.gather(*held) == [True for _ in places]


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
async def test_extras_decode_their_image_once(idle_client: httpx.AsyncClient, format: str) -> None:
    image = base64.b64encode(encoded(an_image(HINT), format)).decode()
    with count_decodes() as decodes:
        answer = await idle_client.post(f"{V1}/extra-single-image", json={"image": image, "upscaler_1": "Lanczos"})
    assert answer.status_code == 200, answer.text
    assert decodes == {HINT: 1}
