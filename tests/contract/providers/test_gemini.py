"""The Gemini prompt and style providers through Google's own SDK, against a server on this machine that speaks its REST
shape."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64decode
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from pydantic import SecretStr

from configs.settings import Providers
from deployments.algorithms.images.decoding import decode
from deployments.contracts.styles import StyleTask
from deployments.errors import ProviderRejected, ProviderTimeout, ProviderUnavailable
from deployments.providers.gemini import GeminiPrompter, GeminiStylist
from tests.support.builders import an_image, base64_png
from tests.support.styles import a_style
from tests.support.vendor_server import VendorServer

STYLE = a_style()
REQUEST = StyleTask(an_image((96, 64)), "ink", "ink drawing of a cat.", "photograph", 0.6, 2**31 + 5)
MADE = an_image((120, 80), seed=4)
REFUSALS = ["SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "IMAGE_SAFETY", "RECITATION"]


def says(*parts: dict[str, Any], finish: str = "STOP") -> dict[str, Any]:
    """An answer of `generateContent`."""
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, "finishReason": finish, "index": 0}]}


def a_picture() -> dict[str, Any]:
    return {"inlineData": {"mimeType": "image/png", "data": base64_png(MADE)}}


@pytest.fixture
def settings(vendor: VendorServer) -> Providers:
    return Providers(gemini_api_key=SecretStr("key-1"), gemini_base_url=vendor.url)


@pytest_asyncio.fixture
async def prompter(settings: Providers) -> AsyncIterator[GeminiPrompter]:
    opened = GeminiPrompter(settings, timeout_s=10)
    yield opened
    await opened.aclose()


@pytest_asyncio.fixture
async def stylist(settings: Providers) -> AsyncIterator[GeminiStylist]:
    opened = GeminiStylist(settings, timeout_s=10)
    yield opened
    await opened.aclose()


async def test_a_prompt_is_the_styles_own_around_what_the_model_sees(
    vendor: VendorServer, prompter: GeminiPrompter
) -> None:
    vendor.always(json=says({"text": "A ginger cat"}, {"text": "on a (sunny) wall.\n"}))
    assert (
        await prompter.write_prompt(REQUEST.image, STYLE) == "ink drawing of A ginger cat on a sunny wall, fine lines"
    )


async def test_the_model_is_sent_the_picture_the_style_and_the_key(
    vendor: VendorServer, prompter: GeminiPrompter
) -> None:
    vendor.always(json=says({"text": "A cat"}))
    await prompter.write_prompt(REQUEST.image, STYLE)
    [request] = vendor.requests
    assert request.path.split("?")[0].endswith("/models/gemini-2.5-flash:generateContent")
    assert request.headers["x-goog-api-key"] == "key-1"
    picture, question = request.json["contents"][0]["parts"]
    assert "As if drawn with ink." in question["text"]
    sent = decode(urlsafe_b64decode(picture["inlineData"]["data"]), 1000)
    assert np.abs(sent.astype(int) - REQUEST.image).mean() < 6


async def test_thoughts_are_no_part_of_a_prompt(vendor: VendorServer, prompter: GeminiPrompter) -> None:
    vendor.always(json=says({"text": "Let me look.", "thought": True}, {"text": "A cat"}))
    assert await prompter.write_prompt(REQUEST.image, STYLE) == "ink drawing of A cat, fine lines"


async def test_the_image_models_picture_comes_back(vendor: VendorServer, stylist: GeminiStylist) -> None:
    vendor.always(json=says({"text": "Here it is."}, a_picture()))
    made = await stylist.stylize(REQUEST, STYLE)
    assert np.array_equal(made.image, MADE)
    assert made.warnings
    [request] = vendor.requests
    assert request.path.split("?")[0].endswith("/models/gemini-2.5-flash-image:generateContent")
    assert "ink drawing of a cat" in request.json["contents"][0]["parts"][1]["text"]
    assert "Avoid: photograph." in request.json["contents"][0]["parts"][1]["text"]
    assert request.json["generationConfig"]["seed"] == 5


@pytest.mark.parametrize("finish", REFUSALS)
async def test_a_safety_refusal_is_a_rejection(
    vendor: VendorServer, prompter: GeminiPrompter, stylist: GeminiStylist, finish: str
) -> None:
    vendor.always(json={"candidates": [{"finishReason": finish, "index": 0}]})
    with pytest.raises(ProviderRejected):
        await prompter.write_prompt(REQUEST.image, STYLE)
    with pytest.raises(ProviderRejected):
        await stylist.stylize(REQUEST, STYLE)


async def test_a_prompt_that_is_blocked_before_the_model_sees_it_is_a_rejection(
    vendor: VendorServer, prompter: GeminiPrompter
) -> None:
    vendor.always(json={"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}})
    with pytest.raises(ProviderRejected):
        await prompter.write_prompt(REQUEST.image, STYLE)


@pytest.mark.parametrize("status", [429, 500, 503, 504, 408])
async def test_quota_and_failures_of_the_vendor_are_unavailability_without_a_second_call(
    vendor: VendorServer, stylist: GeminiStylist, status: int
) -> None:
    vendor.always(
        status, {"error": {"code": status, "message": "busy at /secret/path", "status": "RESOURCE_EXHAUSTED"}}
    )
    with pytest.raises(ProviderUnavailable) as raised:
        await stylist.stylize(REQUEST, STYLE)
    assert "secret" not in raised.value.message
    assert len(vendor.requests) == 1


@pytest.mark.parametrize(
    ("status", "message"), [(400, "API key not valid. Please pass a valid API key."), (401, "x"), (403, "x")]
)
async def test_a_key_that_is_not_accepted_names_the_setting(
    vendor: VendorServer, stylist: GeminiStylist, status: int, message: str
) -> None:
    vendor.always(status, {"error": {"code": status, "message": message, "status": "INVALID_ARGUMENT"}})
    with pytest.raises(ProviderUnavailable, match="DARKROOM_PROVIDERS__GEMINI_API_KEY"):
        await stylist.stylize(REQUEST, STYLE)


async def test_an_account_or_a_place_that_is_not_served_is_unavailability(
    vendor: VendorServer, stylist: GeminiStylist
) -> None:
    error = {"code": 400, "message": "User location is not supported.", "status": "FAILED_PRECONDITION"}
    vendor.always(400, {"error": error})
    with pytest.raises(ProviderUnavailable, match="place"):
        await stylist.stylize(REQUEST, STYLE)


async def test_a_request_that_is_refused_is_a_rejection(vendor: VendorServer, stylist: GeminiStylist) -> None:
    error = {"code": 400, "message": "Unable to process input image.", "status": "INVALID_ARGUMENT"}
    vendor.always(400, {"error": error})
    with pytest.raises(ProviderRejected):
        await stylist.stylize(REQUEST, STYLE)


@pytest.mark.parametrize(
    "answer",
    [
        {"body": b"<html>busy</html>"},
        {"json": []},
        {"json": {}},
        {"json": {"candidates": "none"}},
        {"json": says({"text": "I cannot draw."})},
        {"json": says({"inlineData": {"mimeType": "image/png", "data": b64encode(b"no picture").decode()}})},
    ],
)
async def test_an_answer_that_makes_no_sense_is_unavailability(
    vendor: VendorServer, stylist: GeminiStylist, answer: dict[str, Any]
) -> None:
    vendor.always(**answer)
    with pytest.raises(ProviderUnavailable):
        await stylist.stylize(REQUEST, STYLE)


async def test_a_model_that_says_nothing_is_unavailability(vendor: VendorServer, prompter: GeminiPrompter) -> None:
    vendor.always(json=says({"text": " ... "}))
    with pytest.raises(ProviderUnavailable):
        await prompter.write_prompt(REQUEST.image, STYLE)


async def test_the_deadline_holds_when_the_vendor_is_silent(vendor: VendorServer, settings: Providers) -> None:
    vendor.hang()
    stylist = GeminiStylist(settings, timeout_s=0.2)
    with pytest.raises(ProviderTimeout):
        await stylist.stylize(REQUEST, STYLE)
    await stylist.aclose()


async def test_a_vendor_that_is_not_there_is_unavailability() -> None:
    stylist = GeminiStylist(Providers(gemini_api_key=SecretStr("k"), gemini_base_url="http://127.0.0.1:9"), 10)
    with pytest.raises(ProviderUnavailable, match="cannot be reached"):
        await stylist.stylize(REQUEST, STYLE)
    await stylist.aclose()
