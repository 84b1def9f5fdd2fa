"""Upscaling between the passes of a hires fix, of latents or pixels, by A1111's names."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from deployments.contracts.arrays import Image
from deployments.errors import InvalidRequest

LATENT_UPSCALERS: dict[str, tuple[str, bool]] = {
    "Latent": ("bilinear", False),
    "Latent (antialiased)": ("bilinear", True),
    "Latent (bicubic)": ("bicubic", False),
    "Latent (bicubic antialiased)": ("bicubic", True),
    "Latent (nearest)": ("nearest", False),
    "Latent (nearest-exact)": ("nearest-exact", False),
}
"""Upscalers of latents: name -> torch's interpolation mode, and whether it is antialiased."""
IMAGE_UPSCALERS = {"None": cv2.INTER_LANCZOS4, "Lanczos": cv2.INTER_LANCZOS4, "Nearest": cv2.INTER_NEAREST}
_MAX_SHOWN = 40


def check_upscaler(name: str) -> None:
    """Check an upscaler's name. Raises `InvalidRequest` for an unknown one."""
    if name not in LATENT_UPSCALERS and name not in IMAGE_UPSCALERS:
        known = ", ".join((*LATENT_UPSCALERS, *IMAGE_UPSCALERS))
        raise InvalidRequest(f"There is no upscaler '{name[:_MAX_SHOWN]}' here; there are {known}.")


def upscale_latents(latents: Any, name: str, size: tuple[int, int]) -> Any:
    """Upscale latents `[N, C, h, w]` to `size` (width, height) in pixels."""
    import torch

    mode, antialias = LATENT_UPSCALERS[name]
    target = (size[1] // 8, size[0] // 8)
    return torch.nn.functional.interpolate(latents, size=target, mode=mode, antialias=antialias)


def upscale_image(image: Image, name: str, size: tuple[int, int]) -> Image:
    """Upscale an image to `size` (width, height)."""
    return np.asarray(cv2.resize(image, size, interpolation=IMAGE_UPSCALERS[name]), np.uint8)
