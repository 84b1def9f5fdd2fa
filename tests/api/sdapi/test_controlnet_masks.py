"""What masks of ControlNet units and requests hide, keep and cut out."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest

from deployments.algorithms.a1111.resizing import resize
from deployments.contracts.arrays import Image
from tests.api.sdapi.conftest import (
    INSIDE,
    WHOLE,
    SdapiAnswer,
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
TOP = np.zeros_like(PICTURE)
TOP[:20] = 255


def painting(module: str, mask: Image) -> dict[str, Any]:
    """A unit that shows `PICTURE` but for what its mask hides."""
    return a_unit(module=module, image={"image": base64_png(PICTURE), "mask": base64_png(mask)})


async def test_the_mask_of_an_inpaint_unit_says_what_is_made_anew(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    unit = painting("inpaint", TOP)
    made = await txt2img(client, alwayson_scripts=controlnet(unit | {"resize_mode": 0}))
    [control] = capabilities.requests[0].controls
    assert control.mask is not None
    assert control.mask.shape == (64, 64)
    rows = control.mask.mean(axis=1) > 127
    share = 20 / PICTURE.shape[0]
    assert abs(rows.mean() - share) < 0.05
    assert rows[0]
    assert not rows[-1]
    assert not made.images[1][0].any()  # the map shows it in black
    assert (control.image[0] != 0).any()


@pytest.mark.parametrize("module", ["inpaint_only", "inpaint_only+lama"])
async def test_a_picture_keeps_what_the_mask_of_inpaint_only_does_not_hide(
    client: httpx.AsyncClient, module: str
) -> None:
    unit = painting(module, TOP)
    made = await txt2img(client, alwayson_scripts=controlnet(unit), seed=3)
    plain = await txt2img(client, seed=3)
    assert np.array_equal(made.images[0][30:], PICTURE[30:])
    assert np.array_equal(made.images[0][:16], plain.images[0][:16])


@pytest.mark.parametrize("module", ["inpaint_only", "inpaint_only+lama"])
@pytest.mark.parametrize(("step", "height"), [(1, 64), (4, 256)])
async def test_what_no_mask_hides_is_kept_in_a_picture_that_ends_in_either_pass(
    client: httpx.AsyncClient, capabilities: FakeDiffuser, module: str, step: int, height: int
) -> None:
    shown = np.full_like(PICTURE, 40)
    drawn = np.zeros_like(PICTURE)
    drawn[:, :32] = 255
    unit = a_unit(module=module, image={"image": base64_png(shown), "mask": base64_png(drawn)}, resize_mode=0)
    made = await stopped_after(client, capabilities, step, unit)
    assert f"stopped after {step} of 6 steps" in made.warnings
    image = made.images[0]
    width = image.shape[1]
    assert image.shape[0] == height
    assert (image[:, width // 2 + 8 :] == 40).all()
    assert (image[:, : width // 2 - 8] == 127).all()  # decoded from what there was


@pytest.mark.parametrize("module", ["inpaint_only", "inpaint_only+lama"])
@pytest.mark.parametrize("mask", [None, base64_png(np.zeros_like(PICTURE))])
async def test_where_no_mask_hides_anything_inpaint_only_keeps_the_whole_image_and_says_so(
    client: httpx.AsyncClient, module: str, mask: str | None
) -> None:
    unit = a_unit(module=module, image={"image": base64_png(PICTURE), "mask": mask})
    made = await txt2img(client, alwayson_scripts=controlnet(unit))
    assert np.array_equal(made.images[0], PICTURE)
    assert "ControlNet 0: no mask hides anything" in made.warnings
    plain = await txt2img(client, alwayson_scripts=controlnet(unit | {"module": "inpaint"}))
    assert not np.array_equal(plain.images[0], PICTURE)
    assert plain.warnings == ""


@pytest.mark.parametrize("module", ["inpaint_only", "inpaint_only+lama"])
async def test_inpaint_only_without_any_mask_keeps_the_init_image(client: httpx.AsyncClient, module: str) -> None:
    made = await img2img(client, PICTURE, alwayson_scripts=controlnet(a_unit(module=module)))
    assert np.array_equal(made.images[0], PICTURE)
    assert "no mask hides anything" in made.warnings


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize(
    ("module", "crops", "shown"),
    [("none", True, "area"), ("none", False, "whole"), ("reference_only", True, "whole")],
)
async def test_units_see_the_area_that_is_made_but_references_and_where_nothing_is_to_be_cut(
    client: httpx.AsyncClient, capabilities: FakeDiffuser, module: str, crops: bool, shown: str, own: bool
) -> None:
    image = {"image": base64_png(WHOLE)} if own else {}
    unit = a_unit(module=module, inpaint_crop_input_image=crops, **image)
    await img2img(client, WHOLE, **of_an_area(), alwayson_scripts=controlnet(unit))
    [request] = capabilities.requests
    if module == "reference_only":  # which the fake engine shows as a negative
        seen = 255 - request.references[0].image.astype(int)
    else:
        seen = request.controls[0].image.astype(int)
    distances = {
        "area": np.abs(seen - WHOLE[INSIDE]).mean(),
        "whole": np.abs(seen - resize(WHOLE, (64, 64))).mean(),
    }
    assert min(distances, key=lambda name: distances[name]) == shown
    assert distances[shown] < 6


@pytest.mark.parametrize(("crops", "rows"), [(True, slice(0, 32)), (False, slice(16, 32))])
async def test_a_units_own_mask_lies_on_what_its_image_shows_of_the_area(
    client: httpx.AsyncClient, capabilities: FakeDiffuser, crops: bool, rows: slice
) -> None:
    drawn = np.zeros_like(WHOLE)
    drawn[32:64] = 255
    image = {"image": base64_png(WHOLE), "mask": base64_png(drawn)}
    unit = a_unit(module="inpaint", image=image, inpaint_crop_input_image=crops)
    await img2img(client, WHOLE, **of_an_area(), alwayson_scripts=controlnet(unit))
    [control] = capabilities.requests[0].controls
    assert control.mask is not None
    marked = control.mask.mean(axis=1) > 127
    assert marked[rows].all()
    assert marked.sum() == rows.stop - rows.start


async def test_the_requests_mask_lies_on_the_whole_image_where_nothing_is_cut(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    unit = a_unit(module="inpaint", inpaint_crop_input_image=False)
    await img2img(client, WHOLE, **of_an_area(), alwayson_scripts=controlnet(unit))
    [control] = capabilities.requests[0].controls
    assert control.mask is not None
    assert (control.mask[18:46, 18:46] > 127).all()
    assert not (control.mask[:14] > 127).any()


async def test_an_area_that_cannot_have_the_shape_of_the_picture_is_fitted_as_the_picture_is(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    narrow = np.ascontiguousarray(WHOLE[:, :64])
    mask = np.full_like(narrow, 255)
    await img2img(
        client,
        narrow,
        mask=base64_png(mask),
        mask_blur=0,
        inpaint_full_res=True,
        width=128,
        height=128,
        inpainting_fill=1,
        alwayson_scripts=controlnet(a_unit(module="none")),
    )
    [request] = capabilities.requests
    assert request.init_image is not None
    assert np.array_equal(request.controls[0].image, request.init_image)


@pytest.mark.parametrize("only_masked", [True, False])
async def test_where_the_request_has_a_mask_inpaint_only_keeps_nothing_more(
    client: httpx.AsyncClient, only_masked: bool
) -> None:
    unit = a_unit(module="inpaint_only", image=base64_png(a_flat_image((128, 128))), mask=base64_png(WHOLE * 0))
    fields = of_an_area() | {"inpaint_full_res": only_masked, "width": 128, "height": 128}
    made = await img2img(client, WHOLE, **fields, alwayson_scripts=controlnet(unit))
    other = await img2img(client, WHOLE, **fields, alwayson_scripts=controlnet(unit | {"module": "inpaint"}))
    assert np.array_equal(made.images[0], other.images[0])
    assert made.warnings == ""


async def test_lama_fills_what_the_mask_hides_and_the_picture_begins_from_that(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    unit = painting("inpaint_only+lama", TOP)
    made = await txt2img(client, alwayson_scripts=controlnet(unit))
    [control] = capabilities.requests[0].controls
    assert control.is_begun
    assert control.mask is not None
    assert (control.image[:20] == 200).all()
    assert np.array_equal(control.image[20:], PICTURE[20:])
    assert np.array_equal(made.images[1], control.image)  # the map shows what was filled


async def test_in_a_second_pass_lama_fills_the_larger_size(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    unit = painting("inpaint_only+lama", np.full_like(PICTURE, 255))
    await txt2img(client, alwayson_scripts=controlnet(unit), enable_hr=True, denoising_strength=0.5, hr_scale=2)
    [(_, size, options)] = capabilities.hints
    assert size == (128, 128)
    assert options.mask is not None
    assert options.mask.shape == (128, 128)


def assert_painted_beyond(capabilities: FakeDiffuser, made: SdapiAnswer, module: str) -> None:
    """Assert that all but the middle is painted, and the middle kept by those that keep."""
    [control] = capabilities.requests[0].controls
    assert control.mask is not None
    assert (control.mask[:16] == 255).all()
    assert (control.mask[48:] == 255).all()
    assert not control.mask[16:48].any()
    if module != "inpaint":
        assert np.array_equal(made.images[0][24:40], PICTURE[8:24])


@pytest.mark.parametrize("module", ["inpaint", "inpaint_only", "inpaint_only+lama"])
async def test_what_the_frame_has_beyond_an_image_is_painted_with_resize_and_fill(
    client: httpx.AsyncClient, capabilities: FakeDiffuser, module: str
) -> None:
    wide = np.ascontiguousarray(PICTURE[:32])
    unit = a_unit(module=module, image=base64_png(wide), resize_mode="Resize and Fill")
    made = await txt2img(client, alwayson_scripts=controlnet(unit))
    assert_painted_beyond(capabilities, made, module)


@pytest.mark.parametrize("module", ["inpaint", "inpaint_only", "inpaint_only+lama"])
async def test_what_the_frame_has_beyond_the_init_image_is_painted_too(
    client: httpx.AsyncClient, capabilities: FakeDiffuser, module: str
) -> None:
    wide = np.ascontiguousarray(PICTURE[:32])
    unit = a_unit(module=module)
    made = await img2img(client, wide, width=64, height=64, resize_mode=2, alwayson_scripts=controlnet(unit))
    assert_painted_beyond(capabilities, made, module)


@pytest.mark.parametrize("module", ["inpaint_only", "inpaint_only+lama"])
async def test_where_the_second_pass_has_another_shape_masks_lie_on_what_they_hide(
    client: httpx.AsyncClient, capabilities: FakeDiffuser, module: str
) -> None:
    drawn = np.zeros_like(PICTURE)
    drawn[:, 40:] = 255
    shown = np.where(drawn > 0, 220, 30).astype(np.uint8)
    unit = a_unit(module=module, image={"image": base64_png(shown), "mask": base64_png(drawn)}, resize_mode=1)
    sizes = {"hr_resize_x": 64, "hr_resize_y": 128}
    made = await txt2img(client, alwayson_scripts=controlnet(unit), enable_hr=True, denoising_strength=0.5, **sizes)
    first, second = capabilities.requests[0].controls
    for control in (first, second):
        assert control.mask is not None
        hidden = np.asarray(control.image[..., 0] > 127)
        assert control.mask.shape == hidden.shape
        assert ((control.mask > 127) == hidden).mean() > 0.95
    assert (made.images[0][:, :40] == 30).all()  # half of the image's width is cut off, the rest twice as wide


async def test_an_inpaint_unit_of_img2img_takes_the_requests_mask(
    client: httpx.AsyncClient, capabilities: FakeDiffuser
) -> None:
    mask = np.zeros((64, 64, 3), np.uint8)
    mask[16:48, 16:48] = 255
    await img2img(
        client,
        an_image((64, 64)),
        mask=base64_png(mask),
        mask_blur=0,
        inpaint_full_res=False,
        alwayson_scripts=controlnet(a_unit(module="inpaint")),
    )
    [control] = capabilities.requests[0].controls
    assert control.mask is not None
    assert (control.mask[20:44, 20:44] == 255).all()
    assert not control.mask[:12].any()
