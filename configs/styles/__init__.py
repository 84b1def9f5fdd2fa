"""Styles, a TOML file each in this folder. A new style is a new file; nothing else knows their names."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SUBJECT = "{subject}"
"""Placeholder in a prompt for a prompter's words about the image."""


class _StyleModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StyleLora(_StyleModel):
    """A LoRA and its weight."""

    name: str
    weight: float = Field(1.0, ge=-2, le=2)


class StyleControl(_StyleModel):
    """A ControlNet that keeps the image's structure."""

    module: str
    """Preprocessor: canny, softedge_hed, depth_midas, mediapipe_face."""
    model: str
    weight: float = Field(1.0, ge=0, le=2)
    mode: Literal["balanced", "prompt", "control"] = "balanced"


class FamilyRecipe(_StyleModel):
    """What a style does otherwise with checkpoints of one family; what is not named is as with the others."""

    prompt: str | None = None
    """Prompt, which holds `{subject}` once."""
    negative_prompt: str | None = None
    pixels: int | None = Field(None, ge=64 * 64)
    """Width times height at which the model works; default: the setting's for the family."""
    loras: tuple[StyleLora, ...] | None = None
    controls: tuple[StyleControl, ...] | None = None
    sampler: str | None = None
    scheduler: str | None = None
    steps: int | None = Field(None, ge=1, le=150)
    guidance_scale: float | None = Field(None, ge=1, le=30)
    strength: float | None = Field(None, ge=0, le=1)
    clip_skip: int | None = Field(None, ge=1, le=12)


class DiffusionRecipe(_StyleModel):
    """Recipe of the style for image models."""

    prompt: str
    """Prompt, which holds `{subject}` once."""
    negative_prompt: str = ""
    checkpoint: str = ""
    """Checkpoint; empty: the configured one."""
    loras: tuple[StyleLora, ...] = ()
    sampler: str = "DPM++ 2M"
    scheduler: str = "Karras"
    steps: int = Field(25, ge=1, le=150)
    guidance_scale: float = Field(7.0, ge=1, le=30)
    strength: float = Field(0.55, ge=0, le=1)
    clip_skip: int = Field(1, ge=1, le=12)
    controls: tuple[StyleControl, ...] = ()
    pixels: int | None = Field(None, ge=64 * 64)
    """Width times height at which the model works; default: the setting's for the checkpoint's family."""
    families: dict[Literal["sd1", "sd2", "sdxl"], FamilyRecipe] = {}
    """What is done otherwise, by the checkpoint's family."""

    def for_family(self, family: str) -> DiffusionRecipe:
        """Return the recipe for checkpoints of `family`."""
        own = next((recipe for name, recipe in self.families.items() if name == family), FamilyRecipe())
        return self.model_copy(update=own.model_dump(exclude_none=True) | _models_of(own) | {"families": {}})


def _models_of(recipe: FamilyRecipe) -> dict[str, Any]:
    given = {"loras": recipe.loras, "controls": recipe.controls}
    return {name: models for name, models in given.items() if models is not None}


class LocalRecipe(_StyleModel):
    """Recipe of the style for the engine without weights."""

    look: str
    """Name of a filter of `deployments.algorithms.styles`."""
    strength: float = Field(0.7, ge=0, le=1)
    options: dict[str, Any] = {}
    """Keyword arguments of the filter."""


class Style(_StyleModel):
    """A style."""

    name: str
    title: str
    description: str
    diffusion: DiffusionRecipe
    local: LocalRecipe


@cache
def load_styles() -> dict[str, Style]:
    """Load the styles by name, in alphabetical order. Raises `ValueError` that names the file when one is invalid."""
    styles: dict[str, Style] = {}
    for file in sorted(resources.files(__package__).iterdir(), key=lambda file: file.name):
        if not file.name.endswith(".toml"):
            continue
        name = file.name.removesuffix(".toml")
        try:
            styles[name] = Style(name=name, **tomllib.loads(file.read_text("utf-8")))
        except (ValueError, TypeError) as error:
            raise ValueError(f"configs/styles/{file.name}: {error}") from error
    return styles
