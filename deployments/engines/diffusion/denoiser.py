"""Denoising pass: a pipeline run over the rows of a batch, with a callback after each denoiser call that may end it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from deployments.engines.diffusion.and_prompts import composable_unet
from deployments.engines.diffusion.conditioning import Conditioning, StepConditioning
from deployments.engines.diffusion.controlnets import ControlUnit, make_controlnets, window
from deployments.engines.diffusion.loading import Checkpoint
from deployments.engines.diffusion.pipelines import make_pipeline
from deployments.engines.diffusion.refiner import Refiner, SwitchingUnet


@dataclass(frozen=True)
class Control:
    """A ControlNet of the pass and its hints, `[N, 3, H, W]` in 0 to 1."""

    unit: ControlUnit
    net: Any
    hints: Any


@dataclass(frozen=True)
class DenoisePass:
    """Parameters of one pass; whatever has rows has one per request."""

    kind: str
    """Kind of the pass: text, image or inpaint."""
    size: tuple[int, int]
    """Width and height, pixels."""
    scheduler: Any
    steps: int
    strength: float
    """Share of `steps` that is run, as diffusers counts; for kinds `image` and `inpaint`."""
    guidance_scale: float
    conditionings: Sequence[Conditioning]
    generators: Sequence[Any]
    noise: Any
    """Initial noise, `[N, 4, H / 8, W / 8]`."""
    pixels: Any = None
    """Init images `[N, 3, H, W]`, 0 to 1, for kind `inpaint`."""
    mask: Any = None
    """Masks `[N, 1, H, W]`, 0 or 1, for kind `inpaint`."""
    controls: Sequence[Control] = ()
    refiner: Refiner | None = None


StepCallback = Callable[[int, Any], bool]
"""Step callback `(calls_done, predicted_x0)`, scaled latents; returning False stops the pass."""


@dataclass
class Denoiser:
    """A pass made ready; `calls` is known before it runs."""

    checkpoint: Checkpoint
    vae: Any
    job: DenoisePass
    calls: int = field(init=False)
    _pipeline: Any = field(init=False)
    _current: list[StepConditioning] = field(init=False, default_factory=list)
    """Conditioning of each row at the present call."""
    _windows: list[tuple[float, float]] = field(init=False, default_factory=list)
    _controls: list[Control] = field(init=False, default_factory=list)
    _switching: SwitchingUnet | None = field(init=False, default=None)

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
        if job.refiner:
            self._switching = SwitchingUnet(self.checkpoint.unet, job.refiner, job.size, guided=self.is_guided)
            object.__setattr__(self._pipeline, "unet", self._switching)  # diffusers' own looks for a model's class

    def run(self, on_step: StepCallback, image_latents: Any | None) -> Any:
        """Run the pass; -> the latents at the end, or where the callback stopped it.

        `image_latents`: initial latents, for all kinds but `text`.
        """
        job, pipeline = self.job, self._pipeline
        seen = ["latents", "noise_pred"]  # to predict x0 for previews
        self._current = [conditioning.at(0) for conditioning in job.conditionings]
        negative, positive = self._embeddings()
        arguments = {
            "prompt_embeds": positive,
            "negative_prompt_embeds": negative,
            "num_inference_steps": job.steps,
            "guidance_scale": job.guidance_scale,
            "generator": list(job.generators),
            "output_type": "latent",
            "callback_on_step_end": self._after_call(on_step),
            "callback_on_step_end_tensor_inputs": seen,
        }
        if self.checkpoint.is_xl:
            arguments["negative_pooled_prompt_embeds"], arguments["pooled_prompt_embeds"] = self._pooled()
            seen.append("add_text_embeds")
        pipeline._callback_tensor_inputs = seen
        with self._composing():
            return pipeline(**arguments, **self._images(image_latents), **self._control_arguments()).images

    @property
    def is_guided(self) -> bool:
        """Whether the pass uses classifier-free guidance."""
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

    @contextmanager
    def _composing(self) -> Iterator[None]:
        """Compose the prompts that AND joins, in both UNets where there is a refiner."""
        with ExitStack() as stack:
            if self.is_guided and any(conditioning.is_composed for conditioning in self.job.conditionings):
                stack.enter_context(composable_unet(self.checkpoint.unet, lambda: self._current))
                if self.job.refiner and self._switching:
                    unet = self.job.refiner.checkpoint.unet
                    stack.enter_context(composable_unet(unet, self._switching.current))
            yield

    def _embeddings(self) -> tuple[Any, Any]:
        """Stack the negative and positive embeddings of the present call."""
        import torch

        return torch.cat([row.negative for row in self._current]), torch.cat([row.positive for row in self._current])

    def _pooled(self) -> tuple[Any, Any]:
        """Stack the pooled embeddings of the negative and the positive prompts at the present call, of SDXL."""
        import torch

        positive = [row.conditions[0].pooled for row in self._current]
        return torch.cat([row.negative_pooled for row in self._current]), torch.cat(positive)

    def _after_call(self, on_step: StepCallback) -> Callable[..., dict[str, Any]]:
        import torch

        def after(pipeline: Any, call: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            latents = tensors["latents"]
            predicted_x0 = predict_x0(pipeline.scheduler, latents, tensors["noise_pred"], call, self.calls)
            if not on_step(call + 1, predicted_x0):
                pipeline._interrupt = True
                return {}
            if self._switching:
                self._switching.call = call + 1
            following = [conditioning.at(call + 1) for conditioning in self.job.conditionings]
            if all(now is before for now, before in zip(following, self._current, strict=True)):
                return {}
            self._current = following
            if (pooled := tensors.get("add_text_embeds")) is not None:  # changed in place: not all pipelines take it
                pooled.copy_(torch.cat(self._pooled()) if self.is_guided else self._pooled()[1])
            negative, positive = self._embeddings()
            return {"prompt_embeds": torch.cat([negative, positive]) if self.is_guided else positive}

        return after


def predict_x0(scheduler: Any, latents: Any, predicted: Any, call: int, calls: int) -> Any:
    """Predict the original sample (x0) at this step from the model's prediction, noise or v, for previews. Exact for
    samplers that add no noise."""
    kind = scheduler.config.prediction_type
    if call == calls - 1 or kind not in ("epsilon", "v_prediction") or predicted.shape != latents.shape:
        return latents
    now, following = (level.to(latents) for level in _levels(scheduler, call, calls))
    if float(scheduler.init_noise_sigma) <= 2:  # otherwise latents are x0 + sigma * noise already
        latents = latents * (1 + following**2) ** 0.5
    if kind == "epsilon":
        return latents - following * predicted
    return (latents - following * (1 + now**2) ** 0.5 * predicted) / (1 + now * following)


def _levels(scheduler: Any, call: int, calls: int) -> tuple[Any, Any]:
    """Noise levels (sigma) of a call and of the one after it, once the call is done."""
    place, sigmas = getattr(scheduler, "step_index", None), getattr(scheduler, "sigmas", None)
    if place is not None and sigmas is not None:
        place = min(place, len(sigmas) - 1)
        return sigmas[max(place - 1, 0)], sigmas[place]
    first = len(scheduler.timesteps) - calls + call
    kept = [scheduler.alphas_cumprod[int(timestep)] for timestep in scheduler.timesteps[first : first + 2]]
    before, after = (((1 - one) / one) ** 0.5 for one in kept)
    return before, after
