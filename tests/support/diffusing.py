"""The diffusion engine over the small models, and somebody who watches it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from configs.settings import Diffusion
from deployments.contracts.albums import Face
from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import GeneratedPicture, GenerationRequest, GenerationStep
from deployments.engines.diffusion.device import open_device
from deployments.engines.diffusion.engine import DiffusionEngine
from deployments.engines.diffusion.preprocessors import Preprocessors
from tests.support.tiny_diffusion import CHECKPOINT

PROMPT, NEGATIVE = "a photo of the cat, best quality", "worst quality, blurry"
SIZE = 64


class Listening:
    """Remembers the steps; leaves from `places` after so many of its own steps."""

    def __init__(self, leaves: dict[int, int] | None = None) -> None:
        self._leaves = leaves or {}
        self.steps: list[tuple[int, GenerationStep]] = []

    def report(self, place: int, step: GenerationStep) -> None:
        self.steps.append((place, step))

    def is_cancelled(self, place: int) -> bool:
        return place in self._leaves and len(self.of(place)) >= self._leaves[place]

    def of(self, place: int) -> list[GenerationStep]:
        return [step for at, step in self.steps if at == place]


def no_faces(_image: Image) -> Sequence[Face]:
    return []


def an_engine(models: Path, **settings: Any) -> DiffusionEngine:
    chosen = Diffusion(**{"checkpoint": CHECKPOINT, "models_dir": models, "offline": True, **settings})
    hints = Preprocessors(models / "annotators", lambda: no_faces)
    return DiffusionEngine(chosen, models, hints, open_device(chosen, gpu_share=0))


def a_request(**changes: Any) -> GenerationRequest:
    return GenerationRequest(
        **{
            "prompt": PROMPT,
            "negative_prompt": NEGATIVE,
            "width": SIZE,
            "height": SIZE,
            "steps": 4,
            "seed": 7,
            **changes,
        }
    )


def make(engine: DiffusionEngine, *requests: GenerationRequest) -> list[GeneratedPicture]:
    """Pictures of one batch. Raises what any of them came to."""
    for request in requests:
        engine.check(request)
    outcomes = engine.run(requests, Listening())
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    return [outcome for outcome in outcomes if isinstance(outcome, GeneratedPicture)]


def make_one(engine: DiffusionEngine, **changes: Any) -> Image:
    return make(engine, a_request(**changes))[0].image


def difference(left: Image, right: Image) -> int:
    """The greatest of any pixel's channel."""
    return int(np.abs(left.astype(int) - right).max())


def a_mask(size: int = SIZE) -> np.ndarray:
    """The left half is made anew."""
    mask = np.zeros((size, size), np.uint8)
    mask[:, : size // 2] = 255
    return mask
