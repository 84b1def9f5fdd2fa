"""Bodies of requests for segmentations and avatars. Field names are fixed by the HTTP contract."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from deployments.contracts.diffusion import MAX_SEED
from deployments.contracts.portraits import AvatarMode, SegmentTarget
from serve_app.api.schemas.common import Body, ImageRef, Prompt, StyleName
from serve_app.services.images.references import EXAMPLE_REF


class SegmentationFields(Body):
    target: SegmentTarget = Field("face", description="what mask and cut-out show: skin of faces, or people")
    engine: StyleName | None = Field(None, description="this one only, of those that are configured")


class SegmentationRequest(SegmentationFields):
    model_config = ConfigDict(json_schema_extra={"example": {"image_url": EXAMPLE_REF, "target": "person"}})

    image_url: ImageRef = Field(description="an image reference")


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
