"""diffusers' schedulers whose latents have unit variance, with A1111's timesteps and per-image noise."""

from __future__ import annotations

from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np

from deployments.engines.diffusion.philox import Philox
from deployments.engines.diffusion.schedulers import Configured, draw

_TCD_ETA = 0.3
"""Share of noise of TCD's own examples."""
_CFGPP_FACTOR = 1 / 12.5
"""Factor of the guidance scale with DDIM CFG++, which brings usual scales into 0 to 1."""


_ADAMS_BASHFORTH = {
    1: (1.0,),
    2: (3 / 2, -1 / 2),
    3: (23 / 12, -16 / 12, 5 / 12),
    4: (55 / 24, -59 / 24, 37 / 24, -9 / 24),
}
"""Weights of the last predictions, the newest first."""


class ByTimestep(Configured):
    """Sampler of the kind that A1111 counts in timesteps: 1, 1 + stride ... of which the least is no call, but where
    the last step ends.

    Begun with an image it leaves out one call more, and the image gets the noise of the timestep before the first.
    """

    blends_before = True
    config: Any
    following: dict[int, int]
    """Timestep -> the one after it."""

    def set_timesteps(self, num_inference_steps: int, device: Any = None, **options: Any) -> None:
        super().set_timesteps(num_inference_steps, device=device, **options)  # type: ignore[misc]
        import torch

        trained = self.config.num_train_timesteps
        rising = np.clip(np.arange(0, trained, trained // num_inference_steps) + 1, 0, trained - 1)
        self._falling = torch.tensor(rising[::-1].copy(), dtype=torch.long, device=device)
        self.following = dict(zip(rising[1:].tolist(), rising[:-1].tolist(), strict=True))
        self.timesteps = self.calls(self._falling[:-1] if len(rising) > 1 else self._falling)

    def begin(self, runs: int) -> tuple[Any, Any]:
        if len(self._falling) == 1:
            return self._falling[0], self.timesteps
        noised = max(len(self._falling) - runs, 0)
        calls = self._falling[noised + 1 : -1]
        if not len(calls):  # there the original makes none, and leaves the noise in the image
            noised, calls = len(self._falling) - 2, self._falling[-2:-1]
        return self._falling[noised], self.calls(calls)

    def calls(self, steps: Any) -> Any:
        """List the timesteps of the calls for those of the steps."""
        return steps


class DrawsItself(Configured):
    """Sampler that draws by PyTorch's generators alone."""

    _given: Any = None
    _own: Any = None

    def generators(self, given: Any) -> Any:
        """Return generators of PyTorch's for the given ones: the same ones for each step of a pass, so that each step
        draws other noise."""
        if given is not self._given:
            self._given, self._own = given, _torch_generators(given)
        return self._own


@cache
def vp_scheduler_classes() -> MappingProxyType[str, Any]:
    """Define the scheduler classes, by name; they cannot be defined before diffusers is imported."""
    import diffusers
    import torch

    theirs: Any = diffusers

    class UniPc(Configured, theirs.UniPCMultistepScheduler):  # type: ignore[misc]
        blends_before = True

    class Ddim(ByTimestep, theirs.DDIMScheduler):  # type: ignore[misc]
        """DDIM from timestep to timestep, the last of which is 1."""

        def step(
            self, model_output: Any, timestep: Any, sample: Any, generator: Any = None, return_dict: bool = True
        ) -> Any:
            now = int(timestep)
            kept, kept_then = (self.alphas_cumprod[one].item() for one in (now, self.following.get(now, now)))
            share = (self.eta or 0.0) * ((1 - kept_then) / (1 - kept) * (1 - kept / kept_then)) ** 0.5
            noise = model_output
            if self.config.prediction_type == "v_prediction":
                noise = kept**0.5 * model_output + (1 - kept) ** 0.5 * sample
            x0 = (sample - (1 - kept) ** 0.5 * noise) / kept**0.5
            latents = kept_then**0.5 * x0 + (1 - kept_then - share**2) ** 0.5 * self.towards(noise, sample, kept)
            if share:
                latents = latents + share * draw(sample, generator)
            return theirs.schedulers.scheduling_ddim.DDIMSchedulerOutput(latents, x0) if return_dict else (latents, x0)

        def towards(self, noise: Any, sample: Any, kept: float) -> Any:
            """Choose the noise that the next latents have."""
            return noise

    class DdimCfgpp(Ddim):
        """DDIM whose next noise is what the model predicts without the prompt (Chung et al. 2024)."""

        guidance_factor = _CFGPP_FACTOR
        wants_unconditional = True

        def towards(self, noise: Any, sample: Any, kept: float) -> Any:
            if self.unconditional is None:
                return noise
            if self.config.prediction_type == "v_prediction":
                return kept**0.5 * self.unconditional + (1 - kept) ** 0.5 * sample
            return self.unconditional

    class Plms(ByTimestep, theirs.PNDMScheduler):  # type: ignore[misc]
        """PLMS, whose first step is made twice."""

        ets: list[Any]
        cur_sample: Any
        counter: int
        _begun = 0
        """Timestep of the first step."""

        def step(self, model_output: Any, timestep: Any, sample: Any, return_dict: bool = True) -> Any:
            now, is_again = int(timestep), self.counter == 1
            if is_again:
                now, sample, predicted = self._begun, self.cur_sample, (model_output + self.ets[-1]) / 2
            else:
                self.ets = [*self.ets[-3:], model_output]
                weights = _ADAMS_BASHFORTH[len(self.ets)]
                predicted = sum(weight * own for weight, own in zip(weights, reversed(self.ets), strict=True))
            if self.counter == 0:
                self._begun, self.cur_sample = now, sample
            self.counter += 1
            latents = self._get_prev_sample(sample, now, self.following.get(now, now), predicted)
            return theirs.schedulers.scheduling_utils.SchedulerOutput(latents) if return_dict else (latents,)

        def calls(self, steps: Any) -> Any:
            return torch.cat([steps[:2], steps[1:]]) if len(steps) > 1 else steps

    class Lcm(DrawsItself, theirs.LCMScheduler):  # type: ignore[misc]
        """LCM spread over the fifty timesteps of its training as A1111 does; more than fifty steps fall between
        them."""

        def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None:
            stride = self.config.num_train_timesteps // self.config.original_inference_steps
            trained = np.arange(self.config.num_train_timesteps - 1, 0, -stride)
            wanted = np.linspace(trained[0], trained[-1], num_inference_steps)
            if num_inference_steps <= len(trained):
                wanted = trained[np.abs(wanted[:, None] - trained).argmin(1)]
            self.num_inference_steps = num_inference_steps
            self.custom_timesteps = True
            self.timesteps = torch.tensor(wanted.round(), dtype=torch.long, device=device)
            self._step_index = None
            self.set_begin_index(0)

        def step(
            self, model_output: Any, timestep: Any, sample: Any, generator: Any = None, return_dict: bool = True
        ) -> Any:
            return super().step(model_output, timestep, sample, self.generators(generator), return_dict)

    class Tcd(DrawsItself, theirs.TCDScheduler):  # type: ignore[misc]
        """TCD, whose `eta` is the share of noise that each step puts back (its authors call it gamma)."""

        def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None:
            trained, last = self.config.original_inference_steps, self.config.num_train_timesteps - 1
            if num_inference_steps <= trained:
                super().set_timesteps(num_inference_steps, device)
            else:  # they fall between those of its training
                wanted = np.linspace(last, last // trained, num_inference_steps).round()
                super().set_timesteps(device=device, timesteps=[int(timestep) for timestep in wanted])
            self.set_begin_index(0)

        def step(
            self, model_output: Any, timestep: Any, sample: Any, generator: Any = None, return_dict: bool = True
        ) -> Any:
            eta = _TCD_ETA if self.eta is None else min(self.eta, 1.0)
            own = self.generators(generator)
            return super().step(model_output, timestep, sample, eta=eta, generator=own, return_dict=return_dict)

    classes: tuple[Any, ...] = (UniPc, Ddim, DdimCfgpp, Plms, Lcm, Tcd)
    return MappingProxyType({made.__name__: made for made in classes})


def _torch_generators(generator: Any) -> Any:
    """Put generators of PyTorch's, at the same seeds, for those that only draw as a card does."""
    import torch

    if isinstance(generator, list) and isinstance(generator[0], Philox):
        return [torch.Generator().manual_seed(one.initial_seed()) for one in generator]
    return generator
