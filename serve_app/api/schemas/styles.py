"""Styles over HTTP."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from deployments.contracts.diffusion import MAX_SEED
from serve_app.api.schemas.common import EXAMPLE_REF, Body, ImageRef, Prompt, StyleName


class StyleEntry(BaseModel):
    name: str
    title: str
    description: str
    engines: list[str] = Field(description="tried in this order")


class StyleList(BaseModel):
    styles: list[StyleEntry]


class StyleRequest(Body):
    model_config = ConfigDict(json_schema_extra={"example": {"image_url": EXAMPLE_REF, "style_name": "watercolor"}})

    image_url: ImageRef = Field(description="an image reference")
    style_name: StyleName
    prompt: Prompt | None = Field(None, description="instead of the one that is written from the picture")
    negative_prompt: Prompt | None = Field(None, description="instead of the style's own")
    strength: float | None = Field(None, ge=0, le=1, description="how far from the photograph")
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="the same one makes the same picture again")
    engine: StyleName | None = Field(None, description="this one only, of those that `GET /styles` lists")


class StyleResult(BaseModel):
    image_url: str
    style_name: str
    engine: str = Field(description="the one that made the picture")
    prompt: str
    seed: int
    history_id: str
    warnings: list[str] | None = Field(None, description="what was left out, or done otherwise than asked")
