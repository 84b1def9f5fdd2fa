"""Diffusion engine over the small models, and a listener to its batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from configs.settings import Diffusion
from deployments.contracts.albums import Face
from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import (
    ControlHint,
    GeneratedPicture,
    GenerationRequest,
    GenerationStep,
    SeenLatents,
)
from deployments.engines.diffusion.device import open_device
from deployments.engines.diffusion.engine import DiffusionEngine
from deployments.engines.diffusion.preprocessors import Preprocessors
from tests.support.builders import an_image
from tests.support.tiny_diffusion import CHECKPOINT, CONTROLNETS

PROMPT, NEGATIVE = "a photo of the cat, best quality", "worst quality, blurry"
SIZE = 64
HINT = an_image((SIZE, SIZE), 1)
CONTROL = ControlHint(CONTROLNETS["canny"], HINT)
INIT = an_image((SIZE, SIZE), 5)


class Listening:
    """Listener that records the steps and cancels the images `places` after so many of their own steps."""

    def __init__(self, leaves: dict[int, int] | None = None) -> None:
        self._leaves = leaves or {}
        self.steps: list[tuple[int, GenerationStep]] = []
        self.finished: list[tuple[int, object]] = []

    def join(self, *, wait: bool = False) -> Sequence[GenerationRequest]:
        return ()

    def follow(self) -> Sequence[GenerationRequest]:
        return ()

    def finish(self, place: int, outcome: object) -> None:
        self.finished.append((place, outcome))

    def report(self, place: int, step: GenerationStep) -> None:
        self.steps.append((place, step))

    def is_cancelled(self, place: int) -> bool:
        return place in self._leaves and len(self.of(place)) >= self._leaves[place]

    def of(self, place: int) -> list[GenerationStep]:
        return [step for at, step in self.steps if at == place]


class Looking(Listening):
    """Listener that looks at what each step has made."""

    def __init__(self, engine: DiffusionEngine, leaves: dict[int, int] | None = None) -> None:
        super().__init__(leaves)
        self._engine = engine
        self.seen: list[SeenLatents] = []

    def report(self, place: int, step: GenerationStep) -> None:
        super().report(place, step)
        self.seen += self._engine.running.peek([step.ticket]).values()


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
    """Make the images of one batch. Raises the error of any of them."""
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
    """Greatest difference of any pixel's channel."""
    return int(np.abs(left.astype(int) - right).max())


def a_mask(size: int = SIZE) -> np.ndarray:
    """Make a mask whose left half is repainted."""
    mask = np.zeros((size, size), np.uint8)
    mask[:, : size // 2] = 255
    return mask
