"""Pictures with the light of a recolor unit's map."""

from __future__ import annotations

import cv2
import httpx
import numpy as np
import pytest

from deployments.contracts.arrays import Image
from tests.api.sdapi.conftest import (
    INSIDE,
    WHOLE,
    a_unit,
    controlnet,
    img2img,
    of_an_area,
    stopped_after,
    txt2img,
)
from tests.support.builders import a_flat_image, an_image, base64_png
from tests.support.fake_diffuser import FakeDiffuser

PICTURE = an_image((64, 64))
RECOLOURS = ("recolor_luminance", "recolor_intensity")


def light_of(module: str, image: Image) -> Image:
    """What a recolor preprocessor is about, from 0 to 255."""
    if module == "recolor_intensity":
        return np.asarray(image.max(axis=2), np.uint8)
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return np.asarray(np.rint(lab[..., 0] * 2.55), np.uint8)


def assert_light(module: str, image: Image, drawn: Image) -> None:
    assert image.shape == drawn.shape
    assert np.abs(light_of(module, image).astype(int) - drawn[..., 0]).max() <= 1


@pytest.mark.parametrize("module", RECOLOURS)
async def test_pictures_get_the_light_of_a_recolor_unit_and_keep_their_colours(
    client: httpx.AsyncClient, module: str
) -> None:
    unit = a_unit(module=module, image=base64_png(np.repeat(PICTURE[..., :1] // 2 + 60, 3, axis=2)))
    pale = an_image((64, 64), seed=5) // 4 + 90
    made = await img2img(client, pale, batch_size=2, n_iter=2, alwayson_scripts=controlnet(unit))
    assert made.warnings == ""
    *pictures, drawn = made.images
    assert len(pictures) == 4
    for picture in pictures:
        assert_light(module, picture, drawn)
        for strong, weak in ((0, 1), (1, 2), (2, 0)):  # the fake engine's picture is the negative
            clear = pale[..., strong].astype(int) + 8 < pale[..., weak]
            assert clear.any()
            assert (picture[..., strong][clear] > picture[..., weak][clear]).all()


@pytest.mark.parametrize("module", RECOLOURS)
@pytest.mark.parametrize(("step", "height"), [(1, 64), (4, 256)])
async def test_a_picture_gets_the_light_of_a_recolor_unit_whichever_pass_it_ends_in(
    client: httpx.AsyncClient, capabilities: FakeDiffuser, module: str, step: int, height: int
) -> None:
    unit = a_unit(module=module, image=base64_png(PICTURE), resize_mode=0)
    stopped, large, small = (await stopped_after(client, capabilities, step, unit)).images
    assert stopped.shape[0] == height
    assert_light(module, stopped, small if height == 64 else large)


async def test_a_picture_of_two_passes_has_the_light_of_the_larger_hint(client: httpx.AsyncClient) -> None:
    unit = a_unit(module="recolor_intensity", image=base64_png(PICTURE), hr_option="Low res only")
    made = await txt2img(client, alwayson_scripts=controlnet(unit), enable_hr=True, denoising_strength=0.5)
    assert_light("recolor_intensity", made.images[0], made.images[1])


async def test_units_end_a_picture_one_after_the_other(client: httpx.AsyncClient) -> None:
    keeping = a_unit(module="inpaint_only", image=base64_png(PICTURE))
    lit = a_unit(module="recolor_intensity", image=base64_png(a_flat_image((64, 64), (155, 155, 155))))
    last_kept = await txt2img(client, alwayson_scripts=controlnet(lit, keeping))
    assert np.array_equal(last_kept.images[0], PICTURE)
    last_lit = await txt2img(client, alwayson_scripts=controlnet(keeping, lit))
    assert (last_lit.images[0].max(axis=2) == 100).all()
    assert not np.array_equal(last_lit.images[0].min(axis=2), last_lit.images[0].max(axis=2))


async def test_in_the_area_of_a_mask_alone_the_light_is_that_of_the_area(client: httpx.AsyncClient) -> None:
    grey = np.repeat(an_image((128, 128), seed=3)[..., :1], 3, axis=2)
    unit = a_unit(module="recolor_intensity", image=base64_png(255 - grey))
    made = (await img2img(client, WHOLE, **of_an_area(), alwayson_scripts=controlnet(unit))).images[0]
    assert np.array_equal(made[INSIDE].max(axis=2), grey[INSIDE][..., 0])
    assert np.array_equal(made[:32], WHOLE[:32])
