"""Denoising pass: a sampler's loop over the rows of a batch, with a callback after each denoiser call that may end it.

Latents are float32 between the calls, whatever the networks compute in, as the original keeps them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from deployments.engines.diffusion.graphs import Graphs
from deployments.engines.diffusion.guidance import GuidedModel, Prediction, Question
from deployments.engines.diffusion.loading import Checkpoint
from deployments.engines.diffusion.passes import DenoisePass
from deployments.engines.diffusion.predictions import noiseless, prediction_of
from deployments.engines.diffusion.sigmas import NoiseLevels

StepCallback = Callable[[int, Any], bool]
"""Step callback `(calls_done, predicted_x0)`, scaled latents; returning False stops the pass."""


@dataclass
class Denoiser:
    """A pass made ready; `calls` is known before it runs, but for DPM adaptive, where it is a guess."""

    checkpoint: Checkpoint
    job: DenoisePass
    graphs: Graphs
    calls: int = field(init=False)
    _timesteps: Any = field(init=False)
    _noised_at: Any = field(init=False)
    _levels: NoiseLevels = field(init=False)
    _model: GuidedModel = field(init=False)

    def __post_init__(self) -> None:
        job, scheduler = self.job, self.job.scheduler
        scheduler.set_timesteps(job.steps, device="cpu")  # where looking at them waits for no GPU
        if job.is_from_image:
            self._noised_at, self._timesteps = scheduler.begin(job.runs)
        else:
            self._timesteps = scheduler.timesteps
        self.calls = len(self._timesteps)
        self._levels = NoiseLevels.of(scheduler.alphas_cumprod.cpu().numpy())
        self._model = GuidedModel(self.checkpoint, job, self.calls, self._levels, self.graphs)

    def steps(self, on_step: StepCallback, image_latents: Any | None) -> Generator[Question, Prediction, Any]:
        """Run the pass, asking the model in each call; -> the latents at the end, or as predicted where the callback
        stopped it.

        `image_latents`: initial latents, of passes that begin with an image.
        """
        scheduler, job = self.job.scheduler, self.job
        kept = None if image_latents is None else image_latents.float()
        if job.is_from_image:
            latents = scheduler.add_noise(kept, job.noise, self._noised_at[None].repeat(len(job.noise)))
        else:
            latents = job.noise * scheduler.init_noise_sigma
        options = {"generator": list(job.generators)} if _takes_generator(type(scheduler)) else {}
        for call, timestep in enumerate(scheduler.pending(self._timesteps)):
            scaled = scheduler.scale_model_input(latents, timestep)
            predicted, predicted_x0 = yield from self._predict(scaled, timestep, call, kept)
            latents = scheduler.step(predicted, timestep, latents, **options, return_dict=False)[0]
            if not on_step(min(call + 1, self.calls), predicted_x0):
                return predicted_x0
        return self._blend(latents, kept)

    def _predict(
        self, scaled: Any, timestep: Any, call: int, kept: Any
    ) -> Generator[Question, Prediction, tuple[Any, Any]]:
        """Predict from latents of unit variance; -> the model's prediction and that of x0, in which what the mask keeps
        is the init image's.

        Samplers by timestep blend what the model sees: the noise that it predicts then is taken as that of their own
        latents, which stay as they are.
        """
        scheduler = self.job.scheduler
        seen = self._blend(scaled, kept) if scheduler.blends_before else scaled
        made = yield Question(self._model, seen, timestep, call)
        sigma = self._levels.sigma(float(timestep))
        kind = scheduler.config.prediction_type
        predicted_x0 = noiseless(seen, made.guided, sigma, kind)
        guided, unconditional = (
            own if seen is scaled else _of_equal_noise(seen, scaled, own, sigma, kind) for own in made
        )
        if scheduler.wants_unconditional:
            scheduler.unconditional = unconditional
        if self.job.inpainting is None or kept is None or scheduler.blends_before:
            return guided, predicted_x0
        predicted_x0 = self._blend(predicted_x0, kept)
        return prediction_of(scaled, predicted_x0, sigma, kind), predicted_x0

    def _blend(self, latents: Any, kept: Any) -> Any:
        """Put the init image's latents where the mask keeps them."""
        if self.job.inpainting is None or kept is None:
            return latents
        mask = self.job.inpainting.mask
        return latents * mask + kept * (1 - mask)


def _of_equal_noise(seen: Any, scaled: Any, predicted: Any, sigma: float, kind: str) -> Any:
    """Compute the prediction for `scaled` whose noise is that of `predicted` for `seen`."""
    if kind == "epsilon":
        return predicted
    noise = prediction_of(seen, noiseless(seen, predicted, sigma, kind), sigma, "epsilon")
    return prediction_of(scaled, noiseless(scaled, noise, sigma, "epsilon"), sigma, kind)


def _takes_generator(scheduler: type[Any]) -> bool:
    return "generator" in inspect.signature(scheduler.step).parameters
