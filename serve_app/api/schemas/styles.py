"""Body of a request for a style."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from deployments.contracts.diffusion import MAX_SEED
from serve_app.api.schemas.common import Body, ImageRef, Prompt, StyleName
from serve_app.services.images.references import EXAMPLE_REF


class StyleRequest(Body):
    model_config = ConfigDict(json_schema_extra={"example": {"image_url": EXAMPLE_REF, "style_name": "watercolor"}})

    image_url: ImageRef = Field(description="an image reference")
    style_name: StyleName
    prompt: Prompt | None = Field(None, description="instead of the one that is written from the picture")
    negative_prompt: Prompt | None = Field(None, description="instead of the style's own")
    strength: float | None = Field(None, ge=0, le=1, description="how far from the photograph")
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="the same one makes the same picture again")
    engine: StyleName | None = Field(None, description="this one only, of those that `GET /styles` lists")
