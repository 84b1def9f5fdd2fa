"""Per-image initial noise, independent of batch composition (contract 2.2).

A request has one generator. Its first draw is the noise here, in float32 whatever the model computes in; samplers that
add noise go on drawing from it.
"""

from __future__ import annotations

from typing import Any

from deployments.contracts.diffusion import GenerationRequest
from deployments.engines.diffusion.philox import Philox

_LATENT_PX = 8
_SEEDS = 2**64
_PARALLEL = 0.9995
"""Cosine above which two noises are interpolated linearly."""


def make_generator(request: GenerationRequest, device: str) -> Any:
    """Make the generator of the request's noise at its seed."""
    return _generator(request, request.seed, device)


def make_step_generator(request: GenerationRequest, first: Any, device: str, *, is_brownian: bool) -> Any:
    """Choose the generator of the noise that samplers add: that of the first noise, which goes on, or one with A1111's
    "eta noise seed delta", which Brownian noise does not know."""
    if not request.noise_seed_delta or is_brownian:
        return first
    return _generator(request, (request.seed + request.noise_seed_delta) % _SEEDS, device)


def _generator(request: GenerationRequest, seed: int, device: str) -> Any:
    import torch

    if request.noise_source == "NV":
        return Philox(seed)
    return torch.Generator("cpu" if request.noise_source == "CPU" else device).manual_seed(seed)


def draw_noise(request: GenerationRequest, generator: Any, channels: int, size: tuple[int, int] | None = None) -> Any:
    """Draw the initial noise `float32[1, channels, H / 8, W / 8]` for the request's size, or for `size` (width, height)
    of a second pass."""
    shape = _latent_shape(channels, size or (request.width, request.height))
    drawn = shape if request.seed_size is None else _latent_shape(channels, request.seed_size)
    around = _draw(shape, generator)
    noise = around
    if drawn != shape:  # the pasted noise has a generator of its own, so that the image's is as far as ever
        noise = _draw(drawn, _again(generator, request.seed))
    if request.variation_strength > 0:
        other = _draw(drawn, _again(generator, request.variation_seed))
        noise = slerp(request.variation_strength, noise, other)
    return (noise if drawn == shape else _paste(noise, around))[None]


def slerp(share: float, start: Any, end: Any) -> Any:
    """Interpolate between two noises `float32[C, H, W]` along the sphere; norms and angles are taken over H, as A1111
    does."""
    import torch

    directions = [noise / noise.norm(dim=1, keepdim=True) for noise in (start, end)]
    cosine = (directions[0] * directions[1]).sum(1)
    if cosine.mean() > _PARALLEL:
        return start * (1 - share) + end * share
    angle = torch.acos(cosine)[:, None]
    return (torch.sin((1 - share) * angle) * start + torch.sin(share * angle) * end) / torch.sin(angle)


def _again(generator: Any, seed: int) -> Any:
    """Make a generator of the same kind at another seed."""
    import torch

    return Philox(seed) if isinstance(generator, Philox) else torch.Generator(generator.device).manual_seed(seed)


def _draw(shape: tuple[int, int, int], generator: Any) -> Any:
    import torch

    if isinstance(generator, Philox):
        return generator.randn(shape)
    return torch.randn(shape, generator=generator, device=generator.device, dtype=torch.float32)


def _latent_shape(channels: int, size: tuple[int, int]) -> tuple[int, int, int]:
    return channels, size[1] // _LATENT_PX, size[0] // _LATENT_PX


def _paste(noise: Any, onto: Any) -> Any:
    """Paste the middle of one noise over the middle of the other; what does not fit is cut off, as much on each
    side."""
    (_, height, width), (_, out_height, out_width) = noise.shape, onto.shape
    dy, dx = (out_height - height) // 2, (out_width - width) // 2
    rows, columns = height + 2 * min(dy, 0), width + 2 * min(dx, 0)
    top, left = max(dy, 0), max(dx, 0)
    onto[:, top : top + rows, left : left + columns] = noise[
        :, max(-dy, 0) : max(-dy, 0) + rows, max(-dx, 0) : max(-dx, 0) + columns
    ]
    return onto
