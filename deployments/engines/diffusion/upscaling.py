"""Upscaling between the passes of a hires fix, of latents or pixels, by A1111's names."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from deployments.algorithms.a1111.bounds import GRID_PX, HIRES_UPSCALERS, LATENT_UPSCALERS
from deployments.contracts.arrays import Image
from deployments.errors import InvalidRequest

_INTERPOLATION = {"None": cv2.INTER_LANCZOS4, "Lanczos": cv2.INTER_LANCZOS4, "Nearest": cv2.INTER_NEAREST}
_MAX_SHOWN = 40


def check_upscaler(name: str) -> None:
    """Check an upscaler's name. Raises `InvalidRequest` for an unknown one."""
    if name not in HIRES_UPSCALERS:
        raise InvalidRequest(
            f"There is no upscaler '{name[:_MAX_SHOWN]}' here; there are {', '.join(HIRES_UPSCALERS)}."
        )


def upscale_latents(latents: Any, name: str, size: tuple[int, int]) -> Any:
    """Upscale latents `[N, C, h, w]` to `size` (width, height) in pixels."""
    import torch

    mode, antialias = LATENT_UPSCALERS[name]
    target = (size[1] // GRID_PX, size[0] // GRID_PX)
    return torch.nn.functional.interpolate(latents, size=target, mode=mode, antialias=antialias)


def upscale_image(image: Image, name: str, size: tuple[int, int]) -> Image:
    """Upscale an image to `size` (width, height)."""
    return np.asarray(cv2.resize(image, size, interpolation=_INTERPOLATION[name]), np.uint8)
