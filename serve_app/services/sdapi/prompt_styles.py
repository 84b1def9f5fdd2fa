"""The styles of `configs/styles` as clients of the Stable Diffusion web API see saved prompts."""

from __future__ import annotations

from dataclasses import dataclass

from configs.styles import SUBJECT, load_styles
from deployments.algorithms.a1111.prompts.extra_networks import PLACEHOLDER


@dataclass(frozen=True, slots=True)
class PromptStyle:
    name: str
    prompt: str
    """Holds `{prompt}` where the client's own goes."""
    negative_prompt: str


def prompt_styles() -> list[PromptStyle]:
    return [
        PromptStyle(name, style.diffusion.prompt.replace(SUBJECT, PLACEHOLDER), style.diffusion.negative_prompt)
        for name, style in load_styles().items()
    ]


def find_style(name: str) -> PromptStyle | None:
    return next((style for style in prompt_styles() if style.name == name), None)
