"""VAEs on latents and pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_PIXELS_AT_ONCE = 2**20
"""Pixels of the images that are encoded or decoded together: four of 512 x 512, since a VAE needs much memory for
each."""
_LATENT_PX = 8


def encode(vae: Any, pixels: Any) -> Any:
    """Encode pixels `[N, 3, H, W]` in -1 to 1 as scaled latents: the mean, so that no generator is drawn from."""
    return _by_parts(vae, _encode, pixels, pixels[0, 0].numel()) * vae.config.scaling_factor


def decode(vae: Any, latents: Any) -> Any:
    """Decode scaled latents to pixels `[N, 3, H, W]` in 0 to 1."""
    made = _by_parts(vae, _decode, latents / vae.config.scaling_factor, latents[0, 0].numel() * _LATENT_PX**2)
    return (made / 2 + 0.5).clamp(0, 1)


def _encode(vae: Any, pixels: Any) -> Any:
    return vae.encode(pixels).latent_dist.mode()


def _decode(vae: Any, latents: Any) -> Any:
    return vae.decode(latents).sample


def _by_parts(vae: Any, run: Callable[[Any, Any], Any], given: Any, pixels: int) -> Any:
    """Run a VAE over some images at a time, each of so many pixels. Those for which it overflows in half precision are
    run again in float32, and there it stays for whoever comes next.

    Overflows are known of every SDXL VAE and of some anime models' of SD 1: activations over 65,504 turn into black
    images.
    """
    import torch

    made = torch.cat(
        [run(vae, part.to(vae.dtype)).to(given.dtype) for part in given.split(max(1, _PIXELS_AT_ONCE // pixels))]
    )
    if vae.dtype != torch.float16:
        return made
    lost = [row for row in range(len(made)) if given[row].isfinite().all() and not made[row].isfinite().all()]
    if lost:
        vae.to(torch.float32)
        for row in lost:
            made[row] = run(vae, given[row, None].to(torch.float32))[0].to(made.dtype)
    return made
