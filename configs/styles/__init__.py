"""Styles: a TOML file each in this folder. A new style is a new file; nothing else knows their names."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SUBJECT = "{subject}"
"""Stands in a prompt where a prompter's words about the picture go."""


class _StyleModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StyleLora(_StyleModel):
    name: str
    weight: float = Field(1.0, ge=-2, le=2)


class StyleControl(_StyleModel):
    """A ControlNet that holds the picture's structure."""

    module: str
    """Preprocessor: canny, softedge_hed, depth_midas, mediapipe_face."""
    model: str
    weight: float = Field(1.0, ge=0, le=2)
    mode: Literal["balanced", "prompt", "control"] = "balanced"


class DiffusionRecipe(_StyleModel):
    """How an image model is asked for the style."""

    prompt: str
    """Holds `{subject}` once."""
    negative_prompt: str = ""
    checkpoint: str = ""
    """Empty: the configured one."""
    loras: tuple[StyleLora, ...] = ()
    sampler: str = "DPM++ 2M"
    scheduler: str = "Karras"
    steps: int = Field(25, ge=1, le=150)
    guidance_scale: float = Field(7.0, ge=1, le=30)
    strength: float = Field(0.55, ge=0, le=1)
    clip_skip: int = Field(1, ge=1, le=12)
    controls: tuple[StyleControl, ...] = ()


class LocalRecipe(_StyleModel):
    """How the engine without weights draws it."""

    look: str
    """A function of `deployments.algorithms.styles`."""
    strength: float = Field(0.7, ge=0, le=1)
    options: dict[str, Any] = {}
    """Keyword arguments of the look."""


class Style(_StyleModel):
    name: str
    title: str
    description: str
    diffusion: DiffusionRecipe
    local: LocalRecipe


@cache
def load_styles() -> dict[str, Style]:
    """Name -> style, in alphabetical order. Raises `ValueError` that names the file when one makes no sense."""
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
