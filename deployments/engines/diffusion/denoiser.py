"""One pass: a pipeline run over the rows of a batch, with news and a way out after each denoiser call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from deployments.engines.diffusion.and_prompts import composable_unet
from deployments.engines.diffusion.conditioning import Conditioning, StepConditioning
from deployments.engines.diffusion.controlnets import ControlUnit, make_controlnets, window
from deployments.engines.diffusion.loading import Checkpoint
from deployments.engines.diffusion.pipelines import make_pipeline


@dataclass(frozen=True)
class Control:
    """A ControlNet of the pass and what it sees, `[N, 3, H, W]` in 0 to 1."""

    unit: ControlUnit
    net: Any
    hints: Any


@dataclass(frozen=True)
class DenoisePass:
    """Everything that has rows has one a request."""

    kind: str
    """text, image or inpaint."""
    size: tuple[int, int]
    """Width and height, pixels."""
    scheduler: Any
    steps: int
    strength: float
    """diffusers' share of `steps` that is run; of kinds `image` and `inpaint`."""
    guidance_scale: float
    words: Sequence[Conditioning]
    generators: Sequence[Any]
    noise: Any
    """`[N, 4, H / 8, W / 8]`."""
    pixels: Any = None
    """`[N, 3, H, W]`, 0 to 1, of kind `inpaint`."""
    mask: Any = None
    """`[N, 1, H, W]`, 0 or 1."""
    controls: Sequence[Control] = ()


StepCallback = Callable[[int, Any], bool]
"""Is told after each call: how many are done, and what the pictures look like now, as scaled latents. Its answer says
whether to go on."""


@dataclass
class Denoiser:
    """A pass made ready; `calls` is known before it runs."""

    checkpoint: Checkpoint
    vae: Any
    job: DenoisePass
    calls: int = field(init=False)
    _pipeline: Any = field(init=False)
    _told: list[StepConditioning] = field(init=False, default_factory=list)
    """At the present call."""
    _windows: list[tuple[float, float]] = field(init=False, default_factory=list)
    _controls: list[Control] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        job, device = self.job, self.job.noise.device
        job.scheduler.set_timesteps(job.steps, device=device)
        plain = make_pipeline(job.kind, self.checkpoint, job.scheduler, self.vae, None)
        timesteps = job.scheduler.timesteps
        if job.kind != "text":
            timesteps, _ = plain.get_timesteps(job.steps, job.strength, device)
        self.calls = len(timesteps)
        for control in job.controls:
            if (bounds := window(control.unit.start, control.unit.end, self.calls)) and control.unit.weight:
                self._windows.append(bounds)
                self._controls.append(control)
        self._pipeline = plain
        if self._controls:
            nets = [control.net for control in self._controls]
            units = [control.unit for control in self._controls]
            together = make_controlnets(nets, units, guided=self.is_guided)
            self._pipeline = make_pipeline(job.kind, self.checkpoint, job.scheduler, self.vae, together)

    def run(self, listener: StepCallback, image_latents: Any | None) -> Any:
        """-> the latents at the end, or wherever the listener stopped it. `image_latents`: what to begin with, for all
        kinds but `text`."""
        job, pipeline = self.job, self._pipeline
        pipeline._callback_tensor_inputs = ["latents", "noise_pred"]  # to show the picture behind the noise
        self._told = [words.at(0) for words in job.words]
        negative, positive = self._embeddings()
        arguments = {
            "prompt_embeds": positive,
            "negative_prompt_embeds": negative,
            "num_inference_steps": job.steps,
            "guidance_scale": job.guidance_scale,
            "generator": list(job.generators),
            "output_type": "latent",
            "callback_on_step_end": self._after_call(listener),
            "callback_on_step_end_tensor_inputs": ["latents", "noise_pred"],
        }
        with self._composing():
            return pipeline(**arguments, **self._images(image_latents), **self._control_arguments()).images

    @property
    def is_guided(self) -> bool:
        return self.checkpoint.is_guided(self.job.guidance_scale)

    def _images(self, image_latents: Any | None) -> dict[str, Any]:
        job = self.job
        width, height = job.size
        if job.kind == "text":
            return {"latents": job.noise, "width": width, "height": height}
        self._pipeline.prepare(job.noise, image_latents)
        if job.kind == "image":
            return {"image": image_latents, "strength": job.strength}
        return {
            "image": job.pixels,
            "mask_image": job.mask,
            "strength": job.strength,
            "width": width,
            "height": height,
        }

    def _control_arguments(self) -> dict[str, Any]:
        if not self._controls:
            return {}
        name = "image" if self.job.kind == "text" else "control_image"
        return {
            name: [control.hints for control in self._controls],
            "controlnet_conditioning_scale": [1.0] * len(self._controls),
            "control_guidance_start": [first for first, _ in self._windows],
            "control_guidance_end": [last for _, last in self._windows],
        }

    def _composing(self) -> AbstractContextManager[None]:
        if self.is_guided and any(words.is_composed for words in self.job.words):
            return composable_unet(self.checkpoint.unet, lambda: self._told)
        return nullcontext()

    def _embeddings(self) -> tuple[Any, Any]:
        """Negative and positive ones of the present call."""
        import torch

        return torch.cat([row.negative for row in self._told]), torch.cat([row.positive for row in self._told])

    def _after_call(self, listener: StepCallback) -> Callable[..., dict[str, Any]]:
        import torch

        def after(pipeline: Any, call: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            latents = tensors["latents"]
            behind = predict_x0(pipeline.scheduler, latents, tensors["noise_pred"], call, self.calls)
            if not listener(call + 1, behind):
                pipeline._interrupt = True
                return {}
            told = [words.at(call + 1) for words in self.job.words]
            if all(now is before for now, before in zip(told, self._told, strict=True)):
                return {}
            self._told = told
            negative, positive = self._embeddings()
            return {"prompt_embeds": torch.cat([negative, positive]) if self.is_guided else positive}

        return after


def predict_x0(scheduler: Any, latents: Any, noise: Any, call: int, calls: int) -> Any:
    """What the latents would be without the noise that the model saw: a preview. Exact for samplers that add none."""
    if call == calls - 1 or scheduler.config.prediction_type != "epsilon" or noise.shape != latents.shape:
        return latents
    place = getattr(scheduler, "step_index", None)
    sigmas = getattr(scheduler, "sigmas", None)
    if place is not None and sigmas is not None:
        sigma = sigmas[min(place, len(sigmas) - 1)].to(latents)
    else:
        following = scheduler.timesteps[len(scheduler.timesteps) - calls + call + 1]
        kept = scheduler.alphas_cumprod[int(following)].to(latents)
        sigma = ((1 - kept) / kept) ** 0.5
    if float(scheduler.init_noise_sigma) > 2:  # latents are picture + sigma * noise
        return latents - sigma * noise
    return latents * (1 + sigma**2) ** 0.5 - sigma * noise
