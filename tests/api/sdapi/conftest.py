"""The Stable Diffusion web API over a predictable engine."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image as PillowImage

from deployments.contracts.arrays import Image
from tests.support.builders import an_image, base64_png
from tests.support.fake_diffuser import FakeDiffuser

V1 = "/sdapi/v1"
SMALL = {"width": 64, "height": 64, "steps": 3}
CANNY = "control_v11p_sd15_canny"
WHOLE = an_image((128, 128), seed=2)
INSIDE = np.s_[32:96, 32:96]


@pytest.fixture
def capabilities() -> FakeDiffuser:
    return FakeDiffuser()


def pixels(text: str) -> Image:
    return np.asarray(PillowImage.open(io.BytesIO(base64.b64decode(text, validate=True))).convert("RGB"))


class SdapiAnswer:
    """An answer of txt2img or img2img, taken apart."""

    def __init__(self, response: httpx.Response) -> None:
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        assert list(body) == ["images", "parameters", "info"]
        self.raw: list[str] = body["images"]
        self.parameters: dict[str, Any] = body["parameters"]
        self.info: dict[str, Any] = json.loads(body["info"])

    @property
    def images(self) -> list[Image]:
        return [pixels(one) for one in self.raw]

    @property
    def warnings(self) -> str:
        return "\n".join(self.info["warnings"])


async def txt2img(client: httpx.AsyncClient, **fields: Any) -> SdapiAnswer:
    return SdapiAnswer(await client.post(f"{V1}/txt2img", json=SMALL | fields))


async def img2img(client: httpx.AsyncClient, image: np.ndarray, **fields: Any) -> SdapiAnswer:
    return SdapiAnswer(await client.post(f"{V1}/img2img", json=SMALL | {"init_images": [base64_png(image)]} | fields))


async def until(condition: Any) -> Any:
    """What `condition()` comes to, once it is true."""
    async with asyncio.timeout(20):
        while True:
            if found := await condition():
                return found
            await asyncio.sleep(0.01)


async def statuses(client: httpx.AsyncClient) -> list[str]:
    return [entry["status"] for entry in (await client.get("/api/v1/history")).json()["items"]]


async def until_waiting(client: httpx.AsyncClient, size: int) -> list[str]:
    """Until so many requests wait. -> their names"""
    async with asyncio.timeout(20):
        while True:
            pending = (await client.get("/internal/pending-tasks")).json()
            if pending["size"] == size:
                return list(pending["tasks"])
            await asyncio.sleep(0.01)


def a_unit(**fields: Any) -> dict[str, Any]:
    return {"module": "canny", "model": CANNY} | fields


def of_an_area() -> dict[str, Any]:
    """Fields of a request that makes the middle of `WHOLE` alone, in its own size."""
    mask = np.zeros_like(WHOLE)
    mask[INSIDE] = 255
    return {"mask": base64_png(mask), "mask_blur": 0, "inpaint_full_res": True, "inpaint_full_res_padding": 0}


async def stopped_after(
    client: httpx.AsyncClient, capabilities: FakeDiffuser, step: int, unit: dict[str, Any]
) -> SdapiAnswer:
    """Make a picture of 3 steps at 64 pixels and 3 at 128 by 256, and interrupt it after one of the 6."""
    second = {"enable_hr": True, "denoising_strength": 0.5, "hr_resize_x": 128, "hr_resize_y": 256}
    capabilities.go.clear()
    capabilities.held_after = step
    making = asyncio.create_task(txt2img(client, alwayson_scripts=controlnet(unit), **second))

    async def is_there() -> bool:
        return any(seen.step == step for seen in capabilities.in_progress.values())

    await until(is_there)
    await client.post(f"{V1}/interrupt")
    return await asyncio.wait_for(making, 20)


def controlnet(*units: Any) -> dict[str, Any]:
    return {"ControlNet": {"args": list(units)}}


def assert_webui_error(response: httpx.Response, status: int, error: str, **texts: str) -> None:
    """The shape in which the original reports errors."""
    assert response.status_code == status, response.text
    body = response.json()
    assert list(body) == ["error", "detail", "body", "errors"]
    assert body["error"] == error
    for name, text in texts.items():
        assert body[name] == text
