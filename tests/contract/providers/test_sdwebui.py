"""The provider over another Stable Diffusion server, over real HTTP."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from pydantic import SecretStr

from configs.settings import Providers
from deployments.algorithms.images.decoding import decode
from deployments.errors import ProviderRejected, ProviderTimeout, ProviderUnavailable
from deployments.providers.sdwebui import WebUiStylist
from tests.contract.providers.test_gemini import MADE, REQUEST, STYLE
from tests.support.builders import base64_png
from tests.support.styles import a_style
from tests.support.vendor_server import Reply, VendorRequest, VendorServer

PICTURE = base64_png(MADE)


def serves(vendor: VendorServer, made: Reply, controlnets: Reply) -> None:
    vendor.answer = lambda request: controlnets if request.path == "/controlnet/model_list" else made


def opened(vendor: VendorServer, timeout_s: float = 10) -> WebUiStylist:
    return WebUiStylist(
        Providers(sdwebui_url=vendor.url + "/", sdwebui_auth=SecretStr("me:pass:word")), timeout_s, pixels=64 * 96
    )


@pytest_asyncio.fixture
async def stylist(vendor: VendorServer) -> AsyncIterator[WebUiStylist]:
    stylist = opened(vendor)
    yield stylist
    await stylist.aclose()


async def test_the_recipe_becomes_an_img2img_request_with_its_controlnets(
    vendor: VendorServer, stylist: WebUiStylist
) -> None:
    serves(vendor, Reply(json={"images": [PICTURE]}), Reply(json={"model_list": ["canny [d14c016b]", "depth [x]"]}))
    made = await stylist.stylize(REQUEST, STYLE)
    assert np.array_equal(made.image, MADE)
    assert made.warnings == ()
    request: VendorRequest = vendor.requests[-1]
    assert (request.method, request.path) == ("POST", "/sdapi/v1/img2img")
    assert b64decode(request.headers["authorization"].removeprefix("Basic ")) == b"me:pass:word"
    body = request.json
    assert body["prompt"] == "ink drawing of a cat. <lora:ink:0.8>"
    wanted = {"width": 96, "height": 64, "steps": 12, "seed": REQUEST.seed, "denoising_strength": 0.6}
    assert {key: body[key] for key in wanted} == wanted
    [unit] = body["alwayson_scripts"]["ControlNet"]["args"]
    assert (unit["model"], unit["module"], unit["weight"]) == ("canny [d14c016b]", "canny", 0.9)
    assert unit["control_mode"] == "My prompt is more important"
    assert np.abs(decode(b64decode(body["init_images"][0]), 1000).astype(int) - REQUEST.image).mean() < 6


@pytest.mark.parametrize("controlnets", [Reply(404), Reply(json={"model_list": ["depth [x]"]})])
async def test_a_controlnet_that_the_server_lacks_is_left_out_with_a_warning(
    vendor: VendorServer, stylist: WebUiStylist, controlnets: Reply
) -> None:
    serves(vendor, Reply(json={"images": [PICTURE]}), controlnets)
    made = await stylist.stylize(REQUEST, STYLE)
    assert made.warnings == ("Without ControlNet canny: the server has none of that name.",)
    assert vendor.requests[-1].json["alwayson_scripts"] == {}


async def test_a_recipe_without_controlnets_asks_for_no_list(vendor: VendorServer, stylist: WebUiStylist) -> None:
    vendor.always(json={"images": [f"data:image/png;base64,{PICTURE}"]})
    assert np.array_equal((await stylist.stylize(REQUEST, a_style(controls=()))).image, MADE)
    assert len(vendor.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 404])
async def test_failures_of_the_server_are_unavailability(
    vendor: VendorServer, stylist: WebUiStylist, status: int
) -> None:
    serves(vendor, Reply(status, {"detail": "/secret/path"}), Reply(json={"model_list": []}))
    with pytest.raises(ProviderUnavailable) as raised:
        await stylist.stylize(REQUEST, STYLE)
    assert "secret" not in raised.value.message


async def test_a_request_that_is_refused_is_a_rejection(vendor: VendorServer, stylist: WebUiStylist) -> None:
    serves(vendor, Reply(422, {"detail": "x"}), Reply(json={"model_list": []}))
    with pytest.raises(ProviderRejected):
        await stylist.stylize(REQUEST, STYLE)


async def test_a_password_that_is_not_accepted_names_the_setting(vendor: VendorServer, stylist: WebUiStylist) -> None:
    vendor.always(401, {"detail": "Incorrect username or password"})
    with pytest.raises(ProviderUnavailable, match="DARKROOM_PROVIDERS__SDWEBUI_AUTH"):
        await stylist.stylize(REQUEST, STYLE)


@pytest.mark.parametrize(
    "made",
    [
        Reply(body=b"<html>"),
        Reply(json=[]),
        Reply(json={"images": []}),
        Reply(json={"images": [None]}),
        Reply(json={"images": ["no base64!"]}),
        Reply(json={"images": [b64encode(b"no picture").decode()]}),
    ],
)
async def test_an_answer_that_makes_no_sense_is_unavailability(
    vendor: VendorServer, stylist: WebUiStylist, made: Any
) -> None:
    serves(vendor, made, Reply(json={"model_list": []}))
    with pytest.raises(ProviderUnavailable):
        await stylist.stylize(REQUEST, STYLE)


async def test_a_list_of_controlnets_that_makes_no_sense_is_unavailability(
    vendor: VendorServer, stylist: WebUiStylist
) -> None:
    vendor.always(json={"model_list": None})
    with pytest.raises(ProviderUnavailable):
        await stylist.stylize(REQUEST, STYLE)


async def test_the_deadline_holds_when_the_server_is_silent(vendor: VendorServer) -> None:
    vendor.hang()
    stylist = opened(vendor, timeout_s=0.2)
    with pytest.raises(ProviderTimeout):
        await stylist.stylize(REQUEST, STYLE)
    await stylist.aclose()


async def test_a_server_that_is_not_there_is_unavailability() -> None:
    stylist = WebUiStylist(Providers(sdwebui_url="http://127.0.0.1:9"), 10, 64 * 96)
    with pytest.raises(ProviderUnavailable, match="cannot be reached"):
        await stylist.stylize(REQUEST, STYLE)
    await stylist.aclose()
