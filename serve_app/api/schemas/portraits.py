"""What goes over the wire of segmentations and avatars."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from deployments.contracts.diffusion import MAX_SEED
from deployments.contracts.portraits import AvatarMode, SegmentTarget
from serve_app.api.schemas.common import EXAMPLE_REF, Body, ImageRef, Prompt, StyleName

Box = tuple[float, float, float, float]


class SegmentationFields(Body):
    target: SegmentTarget = Field("face", description="what mask and cut-out show: skin of faces, or people")
    engine: StyleName | None = Field(None, description="this one only, of those that are configured")


class SegmentationRequest(SegmentationFields):
    model_config = ConfigDict(json_schema_extra={"example": {"image_url": EXAMPLE_REF, "target": "person"}})

    image_url: ImageRef = Field(description="an image reference")


class FaceShape(BaseModel):
    bbox: Box = Field(description="x1, y1, x2, y2 in pixels of the upright original; may reach over its border")
    score: float
    landmarks: dict[str, tuple[float, float]] = Field(
        description="x, y in the same pixels; left and right are the viewer's",
        examples=[{"left_eye": [210.5, 118.0], "right_eye": [254.0, 116.5]}],
    )
    roll: float = Field(description="degrees clockwise")
    yaw: float = Field(description="degrees to the viewer's right")
    pitch: float = Field(description="degrees down")


class SegmentationResult(BaseModel):
    faces: list[FaceShape] = Field(description="the most confident first")
    target: SegmentTarget
    engine: str = Field(description="the one that found them")
    mask_url: str = Field(description="8-bit PNG of the upright original's size, 255: it; goes by itself after a while")
    cutout_url: str = Field(description="RGBA PNG of the same size and the same life")
    warnings: list[str] | None = None


class AnimalEntry(BaseModel):
    name: str
    title: str
    description: str
    engines: list[str] = Field(description="tried in this order")
    modes: list[AvatarMode]


class AnimalList(BaseModel):
    animals: list[AnimalEntry]


class AvatarOptions(Body):
    mode: AvatarMode | None = Field(
        None, description="overlay: the face gets the animal's features. character: the animal's head instead"
    )
    engine: StyleName | None = Field(None, description="this one only, of those that `GET /animals` lists")
    prompt: Prompt | None = Field(None, description="what an image model is told, instead of the animal's own")
    negative_prompt: Prompt | None = None
    strength: float | None = Field(None, ge=0, le=1, description="how far from the photograph; drawn: how opaque")
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="the same one makes the same picture again")


class AvatarFields(AvatarOptions):
    animal: StyleName = Field(description="one of those that `GET /animals` lists")


class AvatarRequest(AvatarFields):
    model_config = ConfigDict(json_schema_extra={"example": {"image_url": EXAMPLE_REF, "animal": "fox"}})

    image_url: ImageRef = Field(description="an image reference")


class TutorialAvatar(AvatarOptions):
    animal: StyleName | None = Field(None, description="default: the setting `avatars.animal`, a fox")


class ChangedFace(BaseModel):
    bbox: Box = Field(description="x1, y1, x2, y2 in pixels of the upright original")
    score: float


class AvatarResult(BaseModel):
    image_url: str
    animal: str
    mode: Literal["overlay", "character"]
    engine: str = Field(description="the one that made the picture")
    faces: list[ChangedFace] = Field(description="those that were changed")
    seed: int
    history_id: str
    warnings: list[str] | None = Field(None, description="what was left out, or done otherwise than asked")
