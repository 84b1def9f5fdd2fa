"""Darkroom's avatar engine `cloud_function` and the function that this project deploys, with nothing between them but
HTTP."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio
from PIL import Image as PillowImage

from configs.animals import load_animals
from configs.settings import Providers
from deployments.algorithms.segmentation.heads import head_mask
from deployments.errors import NoFace, ProviderRejected, ProviderUnavailable
from deployments.providers.cloud_function import CloudFunctionArtist
from tests.builders import a_flat_image, base64_png
from tests.cloud_function.conftest import Function, edited
from tests.contract.portraits import a_portrait

FOX = load_animals()["fox"]
REQUEST = a_portrait()
RED = (250, 10, 20)


@pytest_asyncio.fixture
async def artist(function: Function) -> AsyncIterator[CloudFunctionArtist]:
    """The model behind the function paints everything red."""
    painted = {"mimeType": "image/png", "data": base64_png(a_flat_image((320, 240), RED))}
    function.google.vertex.always(json=edited(inlineData=painted))
    opened = CloudFunctionArtist(Providers(cloud_function_url=function.url), timeout_s=20)
    yield opened
    await opened.aclose()


async def test_the_picture_that_the_function_stored_is_laid_over_the_heads(artist: CloudFunctionArtist) -> None:
    made = await artist.make_avatar(REQUEST, FOX)
    assert made.changed == (0,)
    mask = head_mask(REQUEST.segmentation, "character")
    assert np.array_equal(made.image[mask == 0], REQUEST.image[mask == 0])
    assert np.abs(made.image[mask == 255].astype(int) - RED).max() <= 3


async def test_the_function_gets_the_portrait_the_animal_and_the_mode(
    function: Function, artist: CloudFunctionArtist
) -> None:
    await artist.make_avatar(a_portrait(mode="overlay"), load_animals()["owl"])
    assert "features of an owl" in function.google.vertex.requests[0].body.decode()
    seen = PillowImage.open(io.BytesIO(function.google.vision.requests[0].requests[0].image.content))
    assert seen.size == (320, 240)


async def test_a_function_that_sees_no_face_says_so_to_darkroom(
    function: Function, artist: CloudFunctionArtist
) -> None:
    function.google.finds(0)
    with pytest.raises(NoFace):
        await artist.make_avatar(REQUEST, FOX)


async def test_a_refusal_of_the_safety_filter_is_no_failure_of_the_engine(
    function: Function, artist: CloudFunctionArtist
) -> None:
    function.google.vertex.always(json={"promptFeedback": {"blockReason": "SAFETY"}})
    with pytest.raises(ProviderRejected):
        await artist.make_avatar(REQUEST, FOX)


@pytest.mark.parametrize("status", [429, 500])
async def test_a_quota_or_a_failure_lets_the_next_engine_try(
    function: Function, artist: CloudFunctionArtist, status: int
) -> None:
    function.google.vertex.always(status, {"error": {"code": status, "message": "x", "status": "X"}})
    with pytest.raises(ProviderUnavailable):
        await artist.make_avatar(REQUEST, FOX)
