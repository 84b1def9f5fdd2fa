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
