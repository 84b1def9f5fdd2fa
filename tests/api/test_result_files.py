"""Files that jobs made, stored without being decoded."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from configs.settings import Settings
from deployments.algorithms.images.decoding import decode, encode_jpeg
from deployments.errors import ImageError
from serve_app.services.container import Services
from serve_app.services.images.store import EncodedImage
from tests.support.accounts import Account
from tests.support.builders import an_image, encoded

LARGE = (1600, 800)


async def test_a_stored_result_has_the_type_size_and_hash_of_its_file(services: Services, eva: Account) -> None:
    data = encoded(an_image(LARGE), "WEBP")
    stored = await services.pictures.store_file(eva.id, EncodedImage(data, an_image(LARGE)), "a.webp")
    content = stored.content
    assert (content.content_type, content.width, content.height) == ("image/webp", *LARGE)
    assert (content.sha256, content.size_bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    assert await services.pictures.read(content) == data


async def test_a_png_result_has_the_preview_that_it_would_have_as_an_upload(services: Services, eva: Account) -> None:
    data = encoded(an_image(LARGE), "PNG")
    stored = await services.pictures.store_file(eva.id, EncodedImage(data, an_image(LARGE)))
    as_upload = decode(encode_jpeg(decode(data, 1280)), 1280)
    np.testing.assert_array_equal(await services.pictures.preview(stored.content), as_upload)


async def test_a_jpeg_results_preview_shows_the_pixels_that_were_encoded(services: Services, eva: Account) -> None:
    stored = await services.pictures.store_result(eva.id, an_image(LARGE), "a.jpg")
    assert stored.content.content_type == "image/jpeg"
    preview = await services.pictures.preview(stored.content)
    again = await services.pictures.load(stored.content, 1280)
    assert preview.shape == (640, 1280, 3)
    assert np.abs(preview.astype(int) - again).mean() < 2


async def test_a_result_larger_than_a_preview_is_refused_without_its_pixels(services: Services, eva: Account) -> None:
    with pytest.raises(ValueError, match="without the pixels"):
        await services.pictures.store_file(eva.id, EncodedImage(encoded(an_image(LARGE), "PNG"), None))


async def test_a_result_file_may_have_more_bytes_than_an_upload_unless_it_is_bounded(
    services: Services, eva: Account, settings: Settings
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (700, 700, 3), np.uint8)
    file = EncodedImage(encoded(noise, "PNG"), noise)
    assert len(file.data) > settings.limits.max_file_bytes
    assert (await services.pictures.store_file(eva.id, file)).content.width == 700
    with pytest.raises(ImageError) as caught:
        await services.pictures.store_file(eva.id, file, max_bytes=settings.limits.max_file_bytes)
    assert caught.value.code == "too_large"


async def test_a_result_may_not_have_more_pixels_than_an_upload(services: Services, eva: Account) -> None:
    image = np.zeros((2001, 2000, 3), np.uint8)
    with pytest.raises(ImageError) as caught:
        await services.pictures.store_result(eva.id, image, "a.jpg")
    assert caught.value.code == "too_many_pixels"
