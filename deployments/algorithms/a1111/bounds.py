"""What a request may ask for, and the upscalers that it may name, once for the web API and the engine behind it."""

from __future__ import annotations

from collections.abc import Mapping

GRID_PX = 8
"""Width and height are multiples of it: the side of a latent in pixels."""
LEAST_PX = 64
"""Least width and height."""
LONGEST_PROMPT = 20_000
"""Characters of a prompt, and of a negative one."""
MOST_GUIDANCE = 100.0
"""Highest classifier-free guidance scale."""

LATENT_UPSCALERS: Mapping[str, tuple[str, bool]] = {
    "Latent": ("bilinear", False),
    "Latent (antialiased)": ("bilinear", True),
    "Latent (bicubic)": ("bicubic", False),
    "Latent (bicubic antialiased)": ("bicubic", True),
    "Latent (nearest)": ("nearest", False),
    "Latent (nearest-exact)": ("nearest-exact", False),
}
"""A1111's name -> interpolation mode in PyTorch's words, and whether it is antialiased."""
IMAGE_UPSCALERS = ("None", "Lanczos", "Nearest")
"""Names of those that enlarge pixels without a model."""
HIRES_UPSCALERS = (*LATENT_UPSCALERS, *IMAGE_UPSCALERS)
"""Names that the second pass of hires fix understands."""
