"""The size at which a diffusion model redraws a picture."""

from __future__ import annotations

_STEP_PX = 8
"""A latent is so many pixels wide."""


def working_size(width: int, height: int, pixels: int) -> tuple[int, int]:
    """Width and height, multiples of 8, of about so many pixels in the shape of `width` by `height`."""
    scale = (pixels / (width * height)) ** 0.5
    return _rounded(width * scale), _rounded(height * scale)


def _rounded(side: float) -> int:
    return max(_STEP_PX, round(side / _STEP_PX) * _STEP_PX)
