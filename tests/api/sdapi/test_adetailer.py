"""ADetailer in the Stable Diffusion web API: faces of finished images found, redrawn and laid over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import httpx
import numpy as np
import pytest

from deployments.contracts.albums import Face
from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import GeneratedPicture, GenerationRequest, GenerationStep
from deployments.errors import DarkroomError, InvalidRequest, OutOfMemory, Unavailable, WeightsMissing
from tests.api.sdapi.conftest import SMALL, V1, assert_webui_error, txt2img, until
from tests.support.fake_diffuser import FakeDiffuser

SIZE = {"width": 128, "height": 128}


class WithFaces(FakeDiffuser):
    """Finds two faces in each image."""

    boxes: Sequence[tuple[float, float, float, float]] = ((16, 16, 48, 48), (80, 64, 112, 96))
    missing = False

    def __init__(self) -> None:
        super().__init__()
        self.refusals: dict[int, DarkroomError] = {}
        """Errors of passes, by number from 0."""
        self.passes = 0

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationStep | GeneratedPicture]:
        if request.mask is not None:
            self.passes += 1
            if refusal := self.refusals.get(self.passes - 1):
                raise refusal
        async for event in super().generate(request):
            yield event

    async def find_faces(self, images: Sequence[Image]) -> list[list[Face]]:
        if self.missing:
            raise WeightsMissing("The face engine's weights are missing.")
        nothing = np.zeros((0, 2), np.float32)
        return [[Face(box, 0.9, 1.0, nothing, nothing[0:0, 0]) for box in self.boxes] for _ in images]


@pytest.fixture
def capabilities() -> WithFaces:
    return WithFaces()


def adetailer(*arguments: Any) -> dict[str, Any]:
    return {"ADetailer": {"args": list(arguments)}}


UNIT = {"ad_model": "face_yolov8n.pt", "ad_dilate_erode": 0, "ad_mask_blur": 0}


async def test_each_face_is_redrawn_in_a_crop_and_laid_over(client: httpx.AsyncClient, capabilities: WithFaces) -> None:
    plain = (await txt2img(client, **SIZE, seed=5)).images[0]
    made = await txt2img(client, **SIZE, seed=5, alwayson_scripts=adetailer(UNIT))
    first, left, right = capabilities.requests[1:]
    assert (first.init_image, first.seed) == (None, 5)
    assert [request.seed for request in (left, right)] == [5, 6]
    for request in (left, right):
        assert request.init_image is not None
        assert request.mask is not None
        assert (request.width, request.height, request.denoising_strength) == (128, 128, 0.4)
    changed = (made.images[0] != plain).any(axis=2)
    assert changed[20:44, 20:44].mean() > 0.9
    assert changed[68:92, 84:108].mean() > 0.9
    changed[16:48, 16:48] = changed[64:96, 80:112] = False
    assert not changed.any()  # the rest of the image is as it was
    assert len(made.images) == 1
    assert "ADetailer model: face_yolov8n.pt" in made.info["infotexts"][0]


async def test_a_face_has_prompts_of_its_own(client: httpx.AsyncClient, capabilities: WithFaces) -> None:
    unit = UNIT | {"ad_prompt": "eyes of [PROMPT] [SEP] a smile", "ad_negative_prompt": "blurry"}
    await txt2img(client, **SIZE, prompt="a cat", negative_prompt="bad", alwayson_scripts=adetailer(unit))
    prompts = [(request.prompt.strip(), request.negative_prompt) for request in capabilities.requests]
    assert prompts == [("a cat", "bad"), ("eyes of a cat", "blurry"), ("a smile", "blurry")]


async def test_an_empty_prompt_is_the_requests(client: httpx.AsyncClient, capabilities: WithFaces) -> None:
    await txt2img(client, **SIZE, prompt="a cat", negative_prompt="bad", alwayson_scripts=adetailer(UNIT))
    assert [(one.prompt, one.negative_prompt) for one in capabilities.requests] == [("a cat", "bad")] * 3


async def test_a_unit_has_steps_guidance_sampler_and_size_of_its_own(
    client: httpx.AsyncClient, capabilities: WithFaces
) -> None:
    unit = UNIT | {
        "ad_use_steps": True,
        "ad_steps": 7,
        "ad_use_cfg_scale": True,
        "ad_cfg_scale": 3,
        "ad_use_sampler": True,
        "ad_sampler": "DPM++ 2M Karras",
        "ad_use_clip_skip": True,
        "ad_clip_skip": 2,
        "ad_use_inpaint_width_height": True,
        "ad_inpaint_width": 192,
        "ad_inpaint_height": 64,
        "ad_mask_k_largest": 1,
        "ad_denoising_strength": 0.7,
    }
    await txt2img(client, **SIZE, alwayson_scripts=adetailer(True, False, unit))
    _, face = capabilities.requests
    assert (face.steps, face.guidance_scale, face.sampler, face.scheduler) == (7, 3, "DPM++ 2M", "Karras")
    assert (face.width, face.height, face.clip_skip, face.denoising_strength) == (192, 64, 2, 0.7)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        (False, False, UNIT),
        (UNIT | {"ad_tab_enable": False},),
        (UNIT | {"ad_model": "None"},),
        ({},),
    ],
)
async def test_what_is_off_does_nothing(
    client: httpx.AsyncClient, capabilities: WithFaces, arguments: tuple[Any, ...]
) -> None:
    made = await txt2img(client, **SIZE, alwayson_scripts=adetailer(*arguments))
    assert len(capabilities.requests) == 1
    assert made.warnings == ""


async def test_what_cannot_be_done_is_said(client: httpx.AsyncClient, capabilities: WithFaces) -> None:
    hands = UNIT | {"ad_model": "hand_yolov8n.pt"}
    assert "hand_yolov8n.pt" in (await txt2img(client, alwayson_scripts=adetailer(hands))).warnings
    other = UNIT | {"ad_use_checkpoint": True, "ad_checkpoint": "x", "ad_controlnet_model": "y"}
    warnings = (await txt2img(client, alwayson_scripts=adetailer(other))).warnings
    assert "ad_checkpoint has no effect" in warnings
    assert "ad_controlnet_model has no effect" in warnings
    capabilities.boxes = ()
    assert "found no face" in (await txt2img(client, alwayson_scripts=adetailer(UNIT))).warnings
    capabilities.missing = True
    assert "weights are missing" in (await txt2img(client, alwayson_scripts=adetailer(UNIT))).warnings


async def test_arguments_that_make_no_sense_are_errors(idle_client: httpx.AsyncClient) -> None:
    async def order(scripts: Any) -> httpx.Response:
        return await idle_client.post(f"{V1}/txt2img", json=SMALL | {"alwayson_scripts": scripts})

    assert_webui_error(await order(adetailer(UNIT | {"ad_confidence": 2})), 500, "ValidationError")
    assert_webui_error(await order(adetailer("face")), 422, "HTTPException")
    assert_webui_error(await order(adetailer(*[UNIT] * 11)), 422, "HTTPException")
    assert_webui_error(await order({"adetailer": {"args": "x"}}), 422, "HTTPException")
    large = UNIT | {"ad_use_inpaint_width_height": True, "ad_inpaint_width": 100_000}
    assert_webui_error(await order(adetailer(large)), 422, "HTTPException")
    assert_webui_error(await order(adetailer(UNIT | {"ad_use_steps": True, "ad_steps": 0})), 422, "HTTPException")


async def test_an_interrupt_leaves_the_faces_that_are_not_begun(
    client: httpx.AsyncClient, capabilities: WithFaces
) -> None:
    capabilities.go.clear()
    making = asyncio.create_task(txt2img(client, **SIZE, alwayson_scripts=adetailer(UNIT)))
    await asyncio.wait_for(capabilities.begun.acquire(), 20)
    capabilities.go.set()
    capabilities.go.clear()
    await asyncio.wait_for(capabilities.begun.acquire(), 20)
    await client.post(f"{V1}/interrupt")
    made = await asyncio.wait_for(making, 20)
    assert len(made.images) == 1
    assert len(capabilities.requests) == 2
    assert "stopped after" in made.warnings


async def test_adetailer_is_listed_among_the_scripts(idle_client: httpx.AsyncClient) -> None:
    scripts = (await idle_client.get(f"{V1}/scripts")).json()
    assert "adetailer" in scripts["txt2img"]
    assert "adetailer" in scripts["img2img"]
    names = [one["name"] for one in (await idle_client.get(f"{V1}/script-info")).json() if one["is_alwayson"]]
    assert "adetailer" in names


@pytest.mark.parametrize(("field", "own"), [("prompt", "ad_prompt"), ("negative_prompt", "ad_negative_prompt")])
async def test_a_prompt_that_is_too_long_once_the_requests_is_in_it_is_refused(
    idle_client: httpx.AsyncClient, field: str, own: str
) -> None:
    async def order(text: str) -> httpx.Response:
        scripts = adetailer(UNIT | {own: text})
        return await idle_client.post(f"{V1}/txt2img", json=SMALL | {field: "a" * 1000, "alwayson_scripts": scripts})

    assert_webui_error(await order("short [SEP] " + "[PROMPT]" * 21), 422, "HTTPException")
    assert_webui_error(await order("[PROMPT]" * 2500), 422, "HTTPException")


async def test_an_image_keeps_its_size_where_more_than_the_masked_part_is_redrawn(
    client: httpx.AsyncClient, capabilities: WithFaces
) -> None:
    second = {"enable_hr": True, "hr_resize_x": 128, "hr_resize_y": 192}
    plain = (await txt2img(client, width=64, height=64, seed=5, **second)).images[0]
    unit = UNIT | {"ad_inpaint_only_masked": False}
    made = (await txt2img(client, width=64, height=64, seed=5, alwayson_scripts=adetailer(unit), **second)).images[0]
    left = capabilities.requests[-2]
    assert (left.width, left.height) == (64, 64)
    assert left.mask is not None
    assert left.mask.shape == (64, 64)
    assert made.shape == (192, 128, 3)
    changed = (made != plain).any(axis=2)
    assert changed[20:44, 20:44].mean() > 0.9
    changed[16:48, 16:48] = changed[64:96, 80:112] = False
    assert not changed.any()


@pytest.mark.parametrize("error", [OutOfMemory("No memory."), Unavailable("Gone."), InvalidRequest("No.")])
async def test_a_face_that_fails_leaves_the_image_as_it_was_until_then(
    client: httpx.AsyncClient, capabilities: WithFaces, error: DarkroomError
) -> None:
    plain = (await txt2img(client, **SIZE, seed=5)).images[0]
    capabilities.refusals = {1: error}
    made = await txt2img(client, **SIZE, seed=5, alwayson_scripts=adetailer(UNIT))
    changed = (made.images[0] != plain).any(axis=2)
    assert changed[20:44, 20:44].mean() > 0.9
    assert not changed[64:96, 80:112].any()
    assert error.message in made.warnings
    assert sum(request.mask is None for request in capabilities.requests) == 2  # nothing was generated again


async def test_a_request_redraws_so_many_faces_and_says_that_there_are_more(
    client: httpx.AsyncClient, capabilities: WithFaces
) -> None:
    capabilities.boxes = [(8 * place, 8, 8 * place + 6, 14) for place in range(12)]
    made = await txt2img(client, **SIZE, batch_size=2, alwayson_scripts=adetailer(*[UNIT] * 4))
    assert capabilities.passes == 64  # of 96
    assert "at most 64 faces" in made.warnings
    fewer = await txt2img(client, **SIZE, alwayson_scripts=adetailer(*[UNIT] * 4))
    assert capabilities.passes == 64 + 48
    assert "at most 64 faces" not in fewer.warnings


async def test_progress_counts_the_passes_of_faces(client: httpx.AsyncClient, capabilities: WithFaces) -> None:
    async def seen_beyond(least: float) -> float:
        async def seen() -> float | None:
            share: float = (await client.get(f"{V1}/progress")).json()["progress"]
            return share if share > least else None

        await asyncio.wait_for(capabilities.begun.acquire(), 20)
        return float(await until(seen))

    capabilities.go.clear()
    making = asyncio.create_task(txt2img(client, **SIZE, alwayson_scripts=adetailer(UNIT)))
    shown = []
    for least in (0.15, 0.5, 0.65):  # the image, and two faces: a step of three each
        shown.append(await seen_beyond(least))
        capabilities.go.set()
        capabilities.go.clear()
    capabilities.go.set()
    await asyncio.wait_for(making, 20)
    assert shown[0] < 0.2
    assert shown[1] < 0.6
    assert shown[2] < 0.85
