"""Latents of rows to what follows them: a larger size for a second pass, or finished images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from deployments.algorithms.a1111.bounds import LATENT_UPSCALERS
from deployments.contracts.diffusion import GeneratedPicture, Hires
from deployments.engines.diffusion.batch_models import BatchModels
from deployments.engines.diffusion.pixels import stack_images, to_images
from deployments.engines.diffusion.rows import Row
from deployments.engines.diffusion.upscaling import upscale_image, upscale_latents
from deployments.engines.diffusion.vaes import decode, encode


def enlarge(models: BatchModels, latents: Any, hires: Hires) -> Any:
    """Enlarge the latents of a first pass to the size of the second."""
    size = (hires.width, hires.height)
    if hires.upscaler in LATENT_UPSCALERS:
        return upscale_latents(latents, hires.upscaler, size)
    pictures = to_images(decode(models.vae, latents))
    network = lambda: models.upscaler(hires.upscaler)  # noqa: E731
    images = [upscale_image(picture, hires.upscaler, size, network) for picture in pictures]
    return encode(models.vae, stack_images(models.device, images) * 2 - 1)


def finish(
    models: BatchModels, rows: Sequence[Row], latents: Any, is_cancelled: Callable[[int], bool]
) -> dict[int, GeneratedPicture]:
    """Decode the images of rows that were not cancelled; -> them by place."""
    kept = [number for number, row in enumerate(rows) if not is_cancelled(row.place)]
    if not kept:
        return {}
    pixels = decode(models.vae, latents[kept])
    sha256, name = models.sha256, models.checkpoint.model.name
    return {
        rows[number].place: GeneratedPicture(
            image, name, sha256, models.warnings_of(rows[number].request, rows[number].conditionings, own)
        )
        for number, own, image in zip(kept, pixels, to_images(pixels), strict=True)
    }
