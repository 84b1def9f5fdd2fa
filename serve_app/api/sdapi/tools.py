"""Routes that enlarge images, read their generation parameters, and describe them."""

from __future__ import annotations

import base64
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from serve_app.api.deps import ServicesDep, SettingsDep
from serve_app.api.sdapi.errors import responses
from serve_app.api.sdapi.generation import TAG
from serve_app.services.sdapi.errors import bad_field, refused
from serve_app.services.sdapi.extras import Enlargement, describe
from serve_app.services.sdapi.lenient_types import LONGEST_LIST, Int, LenientModel, Real, Switch, Text
from serve_app.services.sdapi.png_info import read_generation_info

router = APIRouter(prefix="/sdapi/v1", tags=[TAG])

_ERRORS = responses(413, 422, 429, 500, 503, 504)
_TO_SIZE = 1
_LONGEST_SIDE = 16_384
_CAPTION_MODELS = frozenset({"clip", "deepdanbooru", "deepbooru"})


class ExtrasBody(LenientModel):
    resize_mode: Int = Field(0, ge=0, le=1)
    show_extras_results: Switch = True
    gfpgan_visibility: Real = Field(0, ge=0, le=1)
    codeformer_visibility: Real = Field(0, ge=0, le=1)
    codeformer_weight: Real = Field(0, ge=0, le=1)
    upscaling_resize: Real = Field(2, gt=0, le=16)
    upscaling_resize_w: Int = Field(512, ge=1, le=_LONGEST_SIDE)
    upscaling_resize_h: Int = Field(512, ge=1, le=_LONGEST_SIDE)
    upscaling_crop: Switch = True
    upscaler_1: Text = "None"
    upscaler_2: Text = "None"
    extras_upscaler_2_visibility: Real = Field(0, ge=0, le=1)
    upscale_first: Switch = False

    def wanted(self) -> Enlargement:
        """The enlargement that the fields ask for."""
        return Enlargement(
            self.upscaler_1,
            self.upscaler_2,
            self.extras_upscaler_2_visibility,
            None if self.resize_mode == _TO_SIZE else self.upscaling_resize,
            (self.upscaling_resize_w, self.upscaling_resize_h),
            self.upscaling_crop,
            self.gfpgan_visibility,
            self.codeformer_visibility,
            self.codeformer_weight,
            self.upscale_first,
        )


class SingleImageBody(ExtrasBody):
    image: Text = ""


class NamedImage(LenientModel):
    data: Text
    name: Text = ""


class BatchImagesBody(ExtrasBody):
    image_list: list[NamedImage] = Field(alias="imageList", max_length=LONGEST_LIST)


class ImageBody(LenientModel):
    image: Text


class InterrogateBody(LenientModel):
    image: Text = ""
    model: Text = "clip"


class SingleImageAnswer(BaseModel):
    html_info: str
    image: str


class BatchImagesAnswer(BaseModel):
    html_info: str
    images: list[str]


class PngInfoAnswer(BaseModel):
    info: str
    items: dict[str, Any]
    parameters: dict[str, Any]


class Caption(BaseModel):
    caption: str


@router.post("/extra-single-image", response_model=SingleImageAnswer, responses=_ERRORS)
async def enlarge_image(body: SingleImageBody, services: ServicesDep) -> dict[str, str]:
    """Enlarge an image by Lanczos, nearest neighbours, or an upscaler of the models folder; restore its faces."""
    wanted = body.wanted()
    await services.extras.check(wanted)
    made = await services.extras.enlarge(body.image, wanted)
    return {"html_info": describe(wanted, [made]), "image": base64.b64encode(made.file).decode()}


@router.post("/extra-batch-images", response_model=BatchImagesAnswer, responses=_ERRORS)
async def enlarge_images(body: BatchImagesBody, services: ServicesDep, settings: SettingsDep) -> dict[str, Any]:
    """Enlarge several images, in order."""
    if len(body.image_list) > settings.limits.max_images:
        raise bad_field(f"at most {settings.limits.max_images} pictures", "imageList")
    wanted = body.wanted()
    await services.extras.check(wanted)
    made = await services.extras.enlarge_all((one.data for one in body.image_list), wanted)
    images = [base64.b64encode(one.file).decode() for one in made]
    return {"html_info": describe(wanted, made), "images": images}


@router.post("/png-info", response_model=PngInfoAnswer, responses=_ERRORS)
async def read_png_info(body: ImageBody, services: ServicesDep) -> dict[str, Any]:
    """Read the generation parameters in an image file: PNG, JPEG or WebP."""
    return await read_generation_info(services.inputs, body.image)


@router.post("/interrogate", response_model=Caption, responses=responses(404, 413, 422, 429, 500, 503, 504))
async def interrogate(body: InterrogateBody, services: ServicesDep) -> dict[str, str]:
    """Describe an image by its tags. Both models of the original are answered by this server's own tagger."""
    if not body.image:
        raise refused(404, "Image not found")
    if body.model not in _CAPTION_MODELS:
        raise refused(404, "Model not found")
    image = await services.inputs.open(body.image)
    return {"caption": await services.captioner.caption(image.pixels)}
