"""The routes of the ControlNet extension."""

from __future__ import annotations

import asyncio
import base64
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AliasChoices, BaseModel, Field, FiniteFloat

from serve_app.api.deps import ServicesDep, SettingsDep
from serve_app.api.sdapi.errors import responses
from serve_app.api.sdapi.generation import TAG
from serve_app.services.sdapi.controlnet.detect import control_types, module_list
from serve_app.services.sdapi.controlnet.poses import BODY_NUMBERS, POINTS_OF_AN_ANIMAL, render_poses
from serve_app.services.sdapi.errors import bad_field
from serve_app.services.sdapi.lenient_types import LONGEST_LIST, Int, LenientModel, Real, Switch, Text
from serve_app.services.sdapi.model_names import control_title

router = APIRouter(prefix="/controlnet", tags=[TAG])

_MODELS = responses(422, 503, 504)
_VERSION = 3
_LONGEST_CANVAS = 4096
_BODY = [0.5, 0.2, 1.0, 0.5, 0.4, 1.0, *[0.0] * (BODY_NUMBERS - 6)]
"""A body of which nose and neck are known, in shares of the image."""
Points = Annotated[list[float], Field(max_length=3 * LONGEST_LIST)]


AnimalPoint = Annotated[list[FiniteFloat], Field(min_length=2, max_length=3)]
AnimalPoints = Annotated[list[AnimalPoint], Field(min_length=POINTS_OF_AN_ANIMAL, max_length=POINTS_OF_AN_ANIMAL)]
"""The points of AP-10K, each as x, y and confidence."""


class DetectBody(LenientModel):
    controlnet_module: Text = "none"
    controlnet_input_images: list[Text] = Field(
        default_factory=list,
        validation_alias=AliasChoices("controlnet_input_images", "controlnet_images"),
        max_length=LONGEST_LIST,
    )
    controlnet_processor_res: Int = -1
    controlnet_threshold_a: Real = -1
    controlnet_threshold_b: Real = -1
    controlnet_masks: list[Text] = Field(default_factory=list, max_length=LONGEST_LIST)
    low_vram: Switch = False


class DetectAnswer(BaseModel):
    info: str
    images: list[str]


class PersonBody(BaseModel):
    """A person's points as x, y and confidence in a row; a point counts where the confidence is at least 1."""

    pose_keypoints_2d: Points = Field(min_length=BODY_NUMBERS, examples=[_BODY])
    hand_right_keypoints_2d: Points | None = Field(None, examples=[None])
    hand_left_keypoints_2d: Points | None = Field(None, examples=[None])
    face_keypoints_2d: Points | None = Field(None, examples=[None])


class PoseBody(BaseModel):
    """Poses in an image, in pixels or, those of people where no number is over 1, in shares of its size."""

    people: list[PersonBody] = Field(default_factory=list, max_length=LONGEST_LIST)
    animals: list[AnimalPoints] = Field(default_factory=list, max_length=LONGEST_LIST, examples=[[]])
    canvas_width: int = Field(ge=1, le=_LONGEST_CANVAS, examples=[512])
    canvas_height: int = Field(ge=1, le=_LONGEST_CANVAS, examples=[512])


class RenderAnswer(BaseModel):
    info: str
    images: list[str] | None = None


@router.get("/version", response_model=dict[str, int])
async def get_version() -> dict[str, int]:
    """Read the version of the extension whose routes these are."""
    return {"version": _VERSION}


@router.get("/model_list", response_model=dict[str, list[str]], responses=_MODELS)
async def list_models(
    services: ServicesDep, update: Annotated[str, Query(description="they are always looked up")] = "true"
) -> dict[str, Any]:
    """List ControlNet models."""
    return {"model_list": [control_title(model) for model in (await services.options.catalogue()).controlnets]}


@router.get("/module_list", response_model=dict[str, Any], responses=_MODELS)
async def list_modules(services: ServicesDep, alias_names: bool = False) -> dict[str, Any]:
    """List preprocessors, and their sliders."""
    return module_list(await services.options.catalogue(), labels=alias_names)


@router.get("/control_types", response_model=dict[str, Any], responses=_MODELS)
async def list_control_types(services: ServicesDep) -> dict[str, Any]:
    """List kinds of control with the preprocessors and models that fit each."""
    return control_types(await services.options.catalogue())


@router.get("/settings", response_model=dict[str, int])
async def get_settings(settings: SettingsDep) -> dict[str, int]:
    """Read how many ControlNet units a request may have."""
    return {"control_net_unit_count": settings.diffusion.max_controls}


@router.post("/detect", response_model=DetectAnswer, responses=responses(413, 422, 429, 500, 503, 504))
async def detect(body: DetectBody, services: ServicesDep, settings: SettingsDep) -> dict[str, Any]:
    """Run a preprocessor over images."""
    if len(body.controlnet_input_images) > settings.limits.max_generated:
        raise bad_field(f"at most {settings.limits.max_generated} pictures", "controlnet_input_images")
    maps = await services.detector.detect(
        body.controlnet_module,
        body.controlnet_input_images,
        body.controlnet_processor_res,
        body.controlnet_threshold_a,
        body.controlnet_threshold_b,
        body.controlnet_masks,
    )
    return {"info": "Success", "images": [base64.b64encode(one).decode() for one in maps]}


@router.post(
    "/render_openpose_json",
    response_model=RenderAnswer,
    response_model_exclude_none=True,
    responses=responses(413, 422),
)
async def draw_poses(poses: list[PoseBody], settings: SettingsDep) -> dict[str, Any]:
    """Draw poses, an image for each."""
    if len(poses) > settings.limits.max_generated:
        raise bad_field(f"at most {settings.limits.max_generated} pictures", "poses")
    if not poses:
        return {"info": "No pose data detected."}
    files = [
        await asyncio.to_thread(
            render_poses,
            [one.model_dump() for one in pose.people],
            pose.animals,
            (pose.canvas_width, pose.canvas_height),
        )
        for pose in poses
    ]
    return {"info": "Success", "images": [base64.b64encode(file).decode() for file in files]}
