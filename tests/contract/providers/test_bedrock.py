"""The Bedrock style provider through boto3, against a server on this machine that speaks its wire shape."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

import numpy as np
import pytest

from configs.settings import Providers
from deployments.algorithms.images.decoding import decode
from deployments.errors import ProviderRejected, ProviderTimeout, ProviderUnavailable
from deployments.providers.bedrock import BedrockStylist
from tests.contract.providers.test_gemini import MADE, REQUEST, STYLE
from tests.support.builders import base64_png
from tests.support.vendor_server import VendorServer


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch, no_credentials: None) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


def opened(vendor: VendorServer, timeout_s: float = 10, **settings: Any) -> BedrockStylist:
    return BedrockStylist(Providers(bedrock_region="us-west-2", bedrock_endpoint_url=vendor.url, **settings), timeout_s)


@pytest.fixture
def stylist(vendor: VendorServer) -> BedrockStylist:
    return opened(vendor)


def made() -> dict[str, Any]:
    return {"seeds": [6], "finish_reasons": [None], "images": [base64_png(MADE)]}


async def test_structure_control_follows_the_picture(vendor: VendorServer, stylist: BedrockStylist) -> None:
    vendor.always(json=made())
    assert np.array_equal((await stylist.stylize(REQUEST, STYLE)).image, MADE)
    [request] = vendor.requests
    assert request.path == "/model/us.stability.stable-image-control-structure-v1%3A0/invoke"
    assert request.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=test/")
    body = request.json
    assert np.abs(decode(b64decode(body.pop("image")), 1000).astype(int) - REQUEST.image).mean() < 6
    assert body == {
        "prompt": "ink drawing of a cat.",
        "negative_prompt": "photograph",
        "seed": 2**31 + 6,
        "control_strength": 0.4,
        "output_format": "png",
    }


async def test_models_without_structure_control_go_from_image_to_image(vendor: VendorServer) -> None:
    vendor.always(json=made())
    await opened(vendor, bedrock_image_model="stability.sd3-5-large-v1:0").stylize(REQUEST, STYLE)
    body = vendor.requests[0].json
    assert (body["mode"], body["strength"]) == ("image-to-image", 0.6)
    assert "control_strength" not in body


@pytest.mark.parametrize("reason", ["prompt", "output image", "input image"])
async def test_a_filtered_picture_is_a_rejection(vendor: VendorServer, stylist: BedrockStylist, reason: str) -> None:
    vendor.always(json={"finish_reasons": [f"Filter reason: {reason}"]})
    with pytest.raises(ProviderRejected):
        await stylist.stylize(REQUEST, STYLE)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (429, "ThrottlingException"),
        (429, "ModelNotReadyException"),
        (408, "ModelTimeoutException"),
        (500, "InternalServerException"),
        (503, "ServiceUnavailableException"),
    ],
)
async def test_quota_and_failures_are_unavailability_without_a_second_call(
    vendor: VendorServer, stylist: BedrockStylist, status: int, code: str
) -> None:
    vendor.always(status, {"message": "busy at /secret/path"}, **{"x-amzn-ErrorType": code})
    with pytest.raises(ProviderUnavailable) as raised:
        await stylist.stylize(REQUEST, STYLE)
    assert "secret" not in raised.value.message
    assert len(vendor.requests) == 1


async def test_a_request_that_is_refused_is_a_rejection(vendor: VendorServer, stylist: BedrockStylist) -> None:
    vendor.always(400, {"message": "Malformed input"}, **{"x-amzn-ErrorType": "ValidationException"})
    with pytest.raises(ProviderRejected):
        await stylist.stylize(REQUEST, STYLE)


async def test_credentials_that_are_not_accepted_name_what_to_set(
    vendor: VendorServer, stylist: BedrockStylist
) -> None:
    vendor.always(403, {"message": "No access"}, **{"x-amzn-ErrorType": "AccessDeniedException"})
    with pytest.raises(ProviderUnavailable, match="AWS_ACCESS_KEY_ID"):
        await stylist.stylize(REQUEST, STYLE)


@pytest.mark.parametrize(
    "answer",
    [
        {"body": b"busy"},
        {"json": []},
        {"json": {}},
        {"json": {"finish_reasons": ["Inference error"], "images": []}},
        {"json": {"finish_reasons": [None], "images": ["no base64"]}},
        {"json": {"finish_reasons": [None], "images": [b64encode(b"no picture").decode()]}},
    ],
)
async def test_an_answer_that_makes_no_sense_is_unavailability(
    vendor: VendorServer, stylist: BedrockStylist, answer: dict[str, Any]
) -> None:
    vendor.always(**answer)
    with pytest.raises(ProviderUnavailable):
        await stylist.stylize(REQUEST, STYLE)


async def test_the_deadline_holds_when_the_vendor_is_silent(vendor: VendorServer) -> None:
    vendor.hang()
    with pytest.raises(ProviderTimeout):
        await opened(vendor, timeout_s=0.2).stylize(REQUEST, STYLE)


async def test_a_vendor_that_is_not_there_is_unavailability() -> None:
    stylist = BedrockStylist(Providers(bedrock_region="us-west-2", bedrock_endpoint_url="http://127.0.0.1:9"), 10)
    with pytest.raises(ProviderUnavailable, match="cannot be reached"):
        await stylist.stylize(REQUEST, STYLE)
