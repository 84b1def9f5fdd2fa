"""Upscaling of latents or pixels, by A1111's names: between the passes of a hires fix, and of images by themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from deployments.algorithms.a1111.bounds import GRID_PX, HIRES_UPSCALERS, IMAGE_UPSCALERS, LATENT_UPSCALERS
from deployments.contracts.arrays import Image
from deployments.engines.diffusion.catalogue import Catalogue
from deployments.engines.diffusion.upscalers import Upscaler, passes_for
from deployments.errors import InvalidRequest

_INTERPOLATION = {"None": cv2.INTER_LANCZOS4, "Lanczos": cv2.INTER_LANCZOS4, "Nearest": cv2.INTER_NEAREST}
_MAX_SHOWN = 40


def check_upscaler(name: str, catalogue: Catalogue) -> None:
    """Check an upscaler's name. Raises `InvalidRequest` for an unknown one."""
    if name not in HIRES_UPSCALERS and catalogue.look_up("upscalers", name) is None:
        raise InvalidRequest(
            f"There is no upscaler '{name[:_MAX_SHOWN]}' here; there are {', '.join(HIRES_UPSCALERS)}, and those of "
            "the model folders."
        )


def upscale_latents(latents: Any, name: str, size: tuple[int, int]) -> Any:
    """Upscale latents `[N, C, h, w]` to `size` (width, height) in pixels."""
    import torch

    mode, antialias = LATENT_UPSCALERS[name]
    target = (size[1] // GRID_PX, size[0] // GRID_PX)
    return torch.nn.functional.interpolate(latents, size=target, mode=mode, antialias=antialias)


def upscale_image(image: Image, name: str, size: tuple[int, int], load: Callable[[], Upscaler]) -> Image:
    """Upscale an image to `size` (width, height), by the network that `load` gives unless the name needs none."""
    interpolation = cv2.INTER_AREA
    if name in IMAGE_UPSCALERS:
        interpolation = _INTERPOLATION[name]
    else:
        network = load()
        for _ in range(passes_for((image.shape[1], image.shape[0]), size, network.scale)):
            image = network.enlarge(image)
        if image.shape[1] < size[0] or image.shape[0] < size[1]:
            interpolation = cv2.INTER_LANCZOS4
    if (image.shape[1], image.shape[0]) == size:
        return image
    return np.asarray(cv2.resize(image, size, interpolation=interpolation), np.uint8)
