"""Images, hints and masks of a batch as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from deployments.algorithms.a1111.resizing import resize_map
from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import ControlHint, GenerationRequest
from deployments.engines.diffusion.device import Device

_LATENT_PX = 8
_MASKED = 128


def stack_images(device: Device, images: Sequence[Image | None]) -> Any:
    """Stack images `uint8[H, W, 3]` as `[N, 3, H, W]`, 0 to 1, on the device."""
    import torch

    stacked = np.stack([image for image in images if image is not None])
    return (torch.from_numpy(stacked).to(device.name).permute(0, 3, 1, 2) / 255).to(device.dtype)


def stack_hints(device: Device, hints: Sequence[ControlHint], size: tuple[int, int]) -> Any:
    """Stack hints in `size`; what an inpaint network is to make anew is -1, as it was in training."""
    import torch

    seen = stack_images(device, [resize_map(hint.image, size) for hint in hints])
    for row, hint in enumerate(hints):
        if hint.mask is not None:
            anew = cv2.resize(hint.mask, size, interpolation=cv2.INTER_LINEAR) >= _MASKED
            seen[row, :, torch.from_numpy(anew).to(seen.device)] = -1
    return seen


def latent_mask(request: GenerationRequest) -> NDArray[np.float32]:
    """Reduce a request's mask to its latents `float32[h, w]` as A1111 does, by Pillow's bicubic filter, to 0 and 1
    unless it is soft."""
    assert request.mask is not None  # noqa: S101 - asked of requests with masks alone
    size = (request.width // _LATENT_PX, request.height // _LATENT_PX)
    reduced = PIL.Image.fromarray(request.mask).resize(size, PIL.Image.Resampling.BICUBIC)
    small = np.asarray(reduced, np.float32) / np.float32(255)
    return np.asarray(small if request.soft_mask else np.around(small), np.float32)


def to_images(pixels: Any) -> list[Image]:
    """Convert pixels `[N, 3, H, W]`, 0 to 1, to images `uint8[H, W, 3]`."""
    rows = pixels.float().nan_to_num().permute(0, 2, 3, 1).cpu().numpy()
    return [(row * 255).round().astype(np.uint8) for row in rows]
