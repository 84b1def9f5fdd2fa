"""Styles made in code."""

from __future__ import annotations

from typing import Any

from configs.styles import DiffusionRecipe, LocalRecipe, Style, StyleControl, StyleLora


def a_style(name: str = "ink", **recipe: Any) -> Style:
    known: dict[str, Any] = {
        "prompt": "ink drawing of {subject}, fine lines",
        "negative_prompt": "photograph",
        "loras": (StyleLora(name="ink", weight=0.8),),
        "controls": (StyleControl(module="canny", model="canny", weight=0.9, mode="prompt"),),
        "steps": 12,
        "strength": 0.6,
    }
    return Style(
        name=name,
        title=name.title(),
        description=f"As if drawn with {name}.",
        diffusion=DiffusionRecipe(**(known | recipe)),
        local=LocalRecipe(look="pencil", strength=0.7),
    )
