"""The Vertex AI style provider through Google's own SDK, against a server on this machine that speaks its REST
shape."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import google.oauth2.credentials
import numpy as np
import pytest
import pytest_asyncio

from configs.settings import Providers
from deployments.errors import ProviderRejected, ProviderTimeout, ProviderUnavailable
from deployments.providers.vertex import VertexStylist
from tests.contract.providers.test_gemini import MADE, REQUEST, STYLE, a_picture, says
from tests.support.builders import base64_png
from tests.support.vendor_server import VendorServer

IMAGEN = "imagen-3.0-capability-001"
pytestmark = pytest.mark.filterwarnings("ignore:The edit_image method is deprecated")


def opened(vendor: VendorServer, timeout_s: float = 10, credentials: Any = ..., **settings: Any) -> VertexStylist:
    if credentials is ...:
        credentials = google.oauth2.credentials.Credentials("token-1")
    known = {"vertex_project": "album", "vertex_base_url": vendor.url, "vertex_image_model": IMAGEN}
    providers = Providers(**(known | settings))
    return VertexStylist(providers, timeout_s, credentials)


@pytest_asyncio.fixture
async def stylist(vendor: VendorServer) -> AsyncIterator[VertexStylist]:
    stylist = opened(vendor)
    yield stylist
    await stylist.aclose()


def predictions(**prediction: Any) -> dict[str, Any]:
    return {"predictions": [prediction] if prediction else []}


async def test_imagen_edits_the_picture(vendor: VendorServer, stylist: VertexStylist) -> None:
    made = predictions(mimeType="image/png", bytesBase64Encoded=base64_png(MADE))
    vendor.always(json=made)
    assert np.array_equal((await stylist.stylize(REQUEST, STYLE)).image, MADE)
    [request] = vendor.requests
    path = "/projects/album/locations/us-central1/publishers/google/models/imagen-3.0-capability-001:predict"
    assert request.path.endswith(path)
    assert request.headers["authorization"] == "Bearer token-1"
    [instance] = request.json["instances"]
    assert "ink drawing of a cat" in instance["prompt"]
    assert instance["referenceImages"][0]["referenceType"] == "REFERENCE_TYPE_RAW"
    assert request.json["parameters"]["seed"] == 5


async def test_a_gemini_image_model_redraws_the_picture_as_well(vendor: VendorServer) -> None:
    stylist = opened(vendor, vertex_image_model="gemini-2.5-flash-image")
    vendor.always(json=says(a_picture()))
    assert np.array_equal((await stylist.stylize(REQUEST, STYLE)).image, MADE)
    assert vendor.requests[0].path.endswith("/models/gemini-2.5-flash-image:generateContent")
    await stylist.aclose()


@pytest.mark.parametrize("answer", [predictions(raiFilteredReason="Filtered for violence."), predictions()])
async def test_a_picture_that_imagens_filter_took_out_is_a_rejection(
    vendor: VendorServer, stylist: VertexStylist, answer: dict[str, Any]
) -> None:
    vendor.always(json=answer)
    with pytest.raises(ProviderRejected):
        await stylist.stylize(REQUEST, STYLE)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_quota_and_failures_are_unavailability(vendor: VendorServer, stylist: VertexStylist, status: int) -> None:
    vendor.always(status, {"error": {"code": status, "message": "x", "status": "RESOURCE_EXHAUSTED"}})
    with pytest.raises(ProviderUnavailable):
        await stylist.stylize(REQUEST, STYLE)
    assert len(vendor.requests) == 1


@pytest.mark.parametrize(
    "answer", [{"body": b"busy"}, {"json": predictions(bytesBase64Encoded=b64encode(b"no picture").decode())}]
)
async def test_an_answer_that_makes_no_sense_is_unavailability(
    vendor: VendorServer, stylist: VertexStylist, answer: dict[str, Any]
) -> None:
    vendor.always(**answer)
    with pytest.raises(ProviderUnavailable):
        await stylist.stylize(REQUEST, STYLE)


async def test_the_deadline_holds_when_the_vendor_is_silent(vendor: VendorServer) -> None:
    vendor.hang()
    stylist = opened(vendor, timeout_s=0.2)
    with pytest.raises(ProviderTimeout):
        await stylist.stylize(REQUEST, STYLE)
    await stylist.aclose()


async def test_missing_credentials_name_what_to_set(vendor: VendorServer) -> None:
    stylist = opened(vendor, credentials=None)
    with pytest.raises(ProviderUnavailable, match=r"GOOGLE_APPLICATION_CREDENTIALS.*`opencv` works without"):
        await stylist.stylize(REQUEST, STYLE)
    assert vendor.requests == []
    await stylist.aclose()
