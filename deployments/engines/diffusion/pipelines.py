"""diffusers' pipelines with given noise and latents instead of drawn ones.

Left alone they take the noise from the request's generator in the model's precision, sample the init image's latents
from it too, and know neither variation seeds nor masked content. The loops themselves are diffusers' own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import MappingProxyType
from typing import Any

from deployments.engines.diffusion.loading import Checkpoint


def make_pipeline(kind: str, checkpoint: Checkpoint, scheduler: Any, vae: Any, controlnets: Any | None) -> Any:
    """Make a pipeline of `kind` (text, image, inpaint) over the checkpoint's parts; it costs no memory."""
    parts = {**checkpoint.components, "scheduler": checkpoint.scheduler, "vae": vae}
    if controlnets is not None:
        parts["controlnet"] = controlnets
    pipeline = _classes()[checkpoint.is_xl, kind, controlnets is not None](**parts)
    pipeline.scheduler = scheduler  # afterwards: the constructor would change the scheduler's configuration
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@cache
def _classes() -> MappingProxyType[tuple[bool, str, bool], type[Any]]:
    """Classes by whether they are SDXL's, kind, and whether they take ControlNets."""
    import diffusers
    import torch

    class PreparedLatents:
        """Noise and init latents that `prepare` takes before the call, one row per request."""

        noise: Any
        image_latents: Any

        def prepare(self, noise: Any, image_latents: Any) -> None:
            self.noise, self.image_latents = noise, image_latents

    class FromNoise:
        pass

    class FromImage(PreparedLatents):
        def prepare_latents(self, image: Any, timestep: Any, *_: Any, **__: Any) -> Any:
            return self.scheduler.add_noise(self.image_latents, self.noise, timestep)  # type: ignore[attr-defined]

    class Inpainting(PreparedLatents):
        def prepare_latents(self, *_: Any, timestep: Any, return_image_latents: bool = False, **__: Any) -> Any:
            start = self.scheduler.add_noise(self.image_latents, self.noise, timestep)  # type: ignore[attr-defined]
            return (start, self.noise, self.image_latents) if return_image_latents else (start, self.noise)

        def _encode_vae_image(self, image: Any, generator: Any) -> Any:
            """Encode the image without its masked part, which only inpainting checkpoints (nine channels) look at."""
            if self.unet.config.in_channels == self.vae.config.latent_channels:  # type: ignore[attr-defined]
                return torch.zeros_like(self.image_latents)
            return encode(self.vae, image)  # type: ignore[attr-defined]

    def derive(prepared: type, *names: str) -> tuple[type, ...]:
        return tuple(type(f"Prepared{name}", (prepared, getattr(diffusers, name)), {}) for name in names)

    plain = [
        ("StableDiffusionPipeline", "StableDiffusionControlNetPipeline"),
        ("StableDiffusionImg2ImgPipeline", "StableDiffusionControlNetImg2ImgPipeline"),
        ("StableDiffusionInpaintPipeline", "StableDiffusionControlNetInpaintPipeline"),
    ]
    xl = [
        ("StableDiffusionXLPipeline", "StableDiffusionXLControlNetPipeline"),
        ("StableDiffusionXLImg2ImgPipeline", "StableDiffusionXLControlNetImg2ImgPipeline"),
        ("StableDiffusionXLInpaintPipeline", "StableDiffusionXLControlNetInpaintPipeline"),
    ]
    return MappingProxyType(
        {
            (is_xl, kind, controlled): made
            for is_xl, names in ((False, plain), (True, xl))
            for kind, prepared, pair in zip(
                ("text", "image", "inpaint"), (FromNoise, FromImage, Inpainting), names, strict=True
            )
            for controlled, made in zip((False, True), derive(prepared, *pair), strict=True)
        }
    )


def encode(vae: Any, pixels: Any) -> Any:
    """Encode pixels `[N, 3, H, W]` in -1 to 1 as scaled latents: the mean, so that no generator is drawn from."""
    parts = [_rescued(vae, _encode_one, picture[None]) for picture in pixels]
    return _concatenate(parts) * vae.config.scaling_factor


def decode(vae: Any, latents: Any) -> Any:
    """Decode scaled latents to pixels `[N, 3, H, W]` in 0 to 1, one image at a time: a batch's pixels need much memory
    at once."""
    parts = [_rescued(vae, _decode_one, row[None] / vae.config.scaling_factor) for row in latents]
    return (_concatenate(parts) / 2 + 0.5).clamp(0, 1)


def _encode_one(vae: Any, pixels: Any) -> Any:
    return vae.encode(pixels).latent_dist.mode()


def _decode_one(vae: Any, latents: Any) -> Any:
    return vae.decode(latents).sample


def _rescued(vae: Any, run: Callable[[Any, Any], Any], given: Any) -> Any:
    """Run a VAE; one that overflows in half precision is run again in float32, and stays there.

    Known of every SDXL VAE and of some anime models' of SD 1: activations over 65,504 turn into black images.
    """
    import torch

    made = run(vae, given.to(vae.dtype))
    if vae.dtype == torch.float16 and given.isfinite().all() and not made.isfinite().all():
        vae.to(torch.float32)
        made = run(vae, given.to(torch.float32))
    return made.to(given.dtype)


def _concatenate(parts: list[Any]) -> Any:
    import torch

    return torch.cat(parts)
