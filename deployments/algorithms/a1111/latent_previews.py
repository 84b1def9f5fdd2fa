"""Previews of latents: a linear projection to RGB, a pixel for each latent, without a network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import Latents

_SD = (
    (0.298, 0.207, 0.208),
    (0.187, 0.286, 0.173),
    (-0.158, 0.189, 0.264),
    (-0.184, -0.271, -0.473),
)
"""RGB of each channel of a VAE of SD 1 and 2, for -1 to 1. Fitted by regression on decoded images and published by
Keturn ("Decoding latents to RGB without upscaling", Hugging Face forum, topic 23204); A1111 uses them as "Approx
cheap". `_SDXL` likewise, as A1111 has it."""
_SDXL = (
    (0.3448, 0.4168, 0.4395),
    (-0.1953, -0.0290, 0.0250),
    (0.1074, 0.0886, -0.0163),
    (-0.3730, -0.2499, -0.2088),
)


def project(latents: Latents, family: str) -> Image | None:
    """Project latents to an image `uint8[H / 8, W / 8, 3]`; None for latents that are not those of SD 1, 2 or XL.

    `family`: that of the checkpoint, see `contracts.diffusion.ModelFile`.
    """
    factors = np.asarray(_SDXL if family.startswith("sdxl") else _SD, np.float32)
    if latents.ndim != 3 or latents.shape[0] != len(factors):
        return None
    rgb: NDArray[np.float32] = np.einsum("chw,cr->hwr", np.nan_to_num(latents.astype(np.float32)), factors)
    return (np.clip(rgb / 2 + 0.5, 0, 1) * 255).round().astype(np.uint8)
