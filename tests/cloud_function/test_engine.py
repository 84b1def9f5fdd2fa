"""The avatar engine `cloud_function` together with the function of this project."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from configs.settings import Providers
from deployments.algorithms.segmentation.head_masks import head_mask
from deployments.assets.animals import load_animals
from deployments.contracts.portraits import AvatarMode, AvatarPicture
from deployments.errors import NoFace, ProviderRejected, ProviderUnavailable
from deployments.providers.cloud_function import CloudFunctionArtist
from tests.cloud_function.conftest import Function, edited
from tests.support.builders import a_flat_image, base64_png
from tests.support.portraits import a_portrait

RED = (250, 10, 20)


def red_picture() -> dict[str, Any]:
    return edited(inlineData={"mimeType": "image/png", "data": base64_png(a_flat_image((640, 480), RED))})


async def made_by(function: Function, mode: AvatarMode = "character") -> AvatarPicture:
    artist = CloudFunctionArtist(Providers(cloud_function_url=function.url), timeout_s=20)
    try:
        return await artist.make_avatar(a_portrait(mode=mode), load_animals()["fox"])
    finally:
        await artist.aclose()


@pytest.mark.parametrize("mode", ["character", "overlay"])
async def test_the_functions_picture_comes_back_under_the_mask(function: Function, mode: AvatarMode) -> None:
    function.google.vertex.always(json=red_picture())
    made = await made_by(function, mode)
    portrait = a_portrait(mode=mode)
    mask = head_mask(portrait.segmentation, mode)
    assert np.array_equal(made.image[mask == 0], portrait.image[mask == 0])
    assert (np.abs(made.image[mask == 255].astype(int) - RED) <= 3).all()


async def test_a_portrait_without_a_face_is_no_face(function: Function) -> None:
    function.google.vision.faces()
    with pytest.raises(NoFace):
        await made_by(function)


async def test_a_portrait_that_the_model_refuses_is_a_rejection(function: Function) -> None:
    function.google.vertex.always(json={"candidates": [{"finishReason": "IMAGE_SAFETY", "index": 0}]})
    with pytest.raises(ProviderRejected):
        await made_by(function)


@pytest.mark.parametrize("status", [429, 500])
async def test_a_model_that_is_over_quota_or_broken_is_unavailability(function: Function, status: int) -> None:
    function.google.vertex.always(status, {"error": {"code": status, "message": "x", "status": "UNKNOWN"}})
    with pytest.raises(ProviderUnavailable):
        await made_by(function)
