"""diffusers' schedulers with A1111's noise levels and per-image noise.

They are made by `scheduler_factory.make_scheduler`. Pipelines call `set_timesteps(steps)` as ever and hand their
generators, one per image, to `step`; `eta` is not a pipeline's to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np

from deployments.engines.diffusion.philox import Philox
from deployments.engines.diffusion.sigmas import SCHEDULES, XL_SCHEDULES, NoiseLevels, Sigmas

_ROUNDING = 2e-6
"""Margin around the noise levels: torchsde rounds the ends of its interval to six digits and then warns of levels
beyond them."""
_FAR = 100.0
"""Noise level from which on the margin is relative: that of zero terminal SNR is 4,518, with three digits after it."""


class Configured:
    """Options of A1111 beyond diffusers' configurations. The defaults hold while a parent's constructor runs."""

    schedule = "uniform"
    discards = False
    """Whether the last level but one is left out."""
    eta: float | None = None
    schedules: Mapping[str, Callable[[int, NoiseLevels], Sigmas]] = SCHEDULES
    blends_before = False
    """Whether inpainting puts the init image back into the latents before a call; else into the predicted x0."""
    guidance_factor = 1.0
    """Factor of the guidance scale."""
    wants_unconditional = False
    """Whether `unconditional` is to be set to the prediction without the prompt before each step."""
    unconditional: Any = None
    num_inference_steps: Any
    order: int
    timesteps: Any

    def begin(self, runs: int) -> tuple[Any, Any]:
        """Begin with an image, before the last `runs` steps. -> the timestep whose noise it gets, and those of the
        calls."""
        first = (self.num_inference_steps - runs) * self.order
        if set_begin_index := getattr(self, "set_begin_index", None):
            set_begin_index(first)
        return self.timesteps[first], self.timesteps[first:]

    def pending(self, timesteps: Any) -> Iterator[Any]:
        """Iterate over the timesteps of the calls that `begin` or `set_timesteps` announced."""
        yield from timesteps

    def configure(
        self, schedule: str, *, discards: bool = False, eta: float | None = None, is_xl: bool = False
    ) -> None:
        """Set the schedule, whether its last level but one is left out, the share of fresh noise, and whether the model
        is an SDXL."""
        self.schedule, self.discards, self.eta = schedule, discards, eta
        self.schedules = XL_SCHEDULES if is_xl else SCHEDULES


class Scheduled(Configured):
    """Scheduler with the noise levels of a schedule; steps are counted, not looked up by timestep: two may round to
    one."""

    alphas_cumprod: Any
    set_begin_index: Any

    def set_timesteps(self, num_inference_steps: int, *arguments: Any, **options: Any) -> None:
        super().set_timesteps(num_inference_steps, *arguments, **options)  # type: ignore[misc]
        self.set_begin_index(0)

    def _convert_to_karras(self, in_sigmas: Any, num_inference_steps: int | None = None) -> Sigmas:
        """Return the schedule's noise levels: the method through which diffusers' classes accept them."""
        return self.levels(num_inference_steps or self.num_inference_steps)

    def levels(self, steps: int) -> Sigmas:
        """Compute the noise levels of `steps` steps."""
        return self.schedules[self.schedule](steps + self.discards, self.trained)[:steps]

    @property
    def trained(self) -> NoiseLevels:
        """Noise levels that the model was trained on."""
        return NoiseLevels.of(self.alphas_cumprod.cpu().numpy())


@cache
def scheduler_classes() -> MappingProxyType[str, Any]:
    """Define the scheduler classes, by name; they cannot be defined before diffusers is imported."""
    import diffusers
    import torch

    theirs: Any = diffusers

    class Euler(Scheduled, theirs.EulerDiscreteScheduler):  # type: ignore[misc]
        pass

    class Lms(Scheduled, theirs.LMSDiscreteScheduler):  # type: ignore[misc]
        """LMS of no higher order than there were steps: diffusers' forgets that a pass may begin in the midst of its
        levels."""

        def step(self, model_output: Any, timestep: Any, sample: Any, *, return_dict: bool = True) -> Any:
            order = min(len(self.derivatives) + 1, 4)
            return super().step(model_output, timestep, sample, order=order, return_dict=return_dict)

    class Heun(Scheduled, theirs.HeunDiscreteScheduler):  # type: ignore[misc]
        pass

    class Dpm2(Scheduled, theirs.KDPM2DiscreteScheduler):  # type: ignore[misc]
        """DPM2 with timesteps that are not rounded."""

        def set_timesteps(self, num_inference_steps: int, *arguments: Any, **options: Any) -> None:
            super().set_timesteps(num_inference_steps, *arguments, **options)
            self.timesteps[::2] = torch.tensor(self.trained.timesteps(self.levels(num_inference_steps)))

    class Dpm2Ancestral(Scheduled, theirs.KDPM2AncestralDiscreteScheduler):  # type: ignore[misc]
        """Ancestral DPM2 with `eta` and timesteps that are not rounded."""

        def set_timesteps(self, num_inference_steps: int, device: Any = None, num_train_timesteps: Any = None) -> None:
            super().set_timesteps(num_inference_steps, device, num_train_timesteps)
            levels = np.array([*self.levels(num_inference_steps), 0.0])
            now, following = levels[:-1], levels[1:]
            up, down = ancestral(now, following, self.eta)
            middle = np.where(following > 0, np.sqrt(now * down), 0.0)
            self.sigmas_up, self.sigmas_down, self.sigmas_interpol = (
                torch.tensor(values, dtype=torch.float32).repeat_interleave(2)[1:] for values in (up, down, middle)
            )
            timesteps = self.trained.timesteps(np.stack([now, middle], axis=1).ravel()[:-1])
            self.timesteps = torch.tensor(timesteps, dtype=torch.float32, device=device)

        def step(
            self, model_output: Any, timestep: Any, sample: Any, generator: Any = None, return_dict: bool = True
        ) -> Any:
            is_first = self.state_in_first_order
            place = self.step_index if is_first else self.step_index - 1
            now, middle = self.sigmas[place].item(), self.sigmas_interpol[place].item()
            latents = sample.float()
            x0 = noiseless(self, latents, model_output.float(), now if is_first else middle)
            if is_first:
                self.sample = latents
                latents = latents + (latents - x0) / now * (middle - now)
            else:
                latents = self.solve(self.sample, x0, latents, now, middle, self.sigmas_down[place].item())
                self.sample = None
                if up := self.sigmas_up[place].item():
                    latents = latents + up * draw(latents, generator)
            self._step_index += 1
            return answer((latents, x0), sample.dtype, return_dict)

        def solve(self, start: Any, x0: Any, ahead: Any, now: float, middle: float, down: float) -> Any:
            """Go from level `now` to `down` by what is known at the middle."""
            return start + (ahead - x0) / middle * (down - now)

    class Dpmpp2sAncestral(Dpm2Ancestral):
        """DPM++ 2S ancestral; calls the denoiser at the same levels as its parent."""

        def solve(self, start: Any, x0: Any, ahead: Any, now: float, middle: float, down: float) -> Any:
            return x0 + (start - x0) * (down / now)

    class Multistep(Scheduled, theirs.DPMSolverMultistepScheduler):  # type: ignore[misc]
        """DPM-Solver multistep with timesteps that are not rounded and a first noise as strong as the first level
        says."""

        _brownian: Any = None

        def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None:
            super().set_timesteps(num_inference_steps, device)
            timesteps = self.trained.timesteps(self.levels(num_inference_steps))
            self.timesteps = torch.tensor(timesteps, dtype=torch.float32, device=device)
            greatest = self.sigmas[0].item()
            self.init_noise_sigma = greatest / (1 + greatest**2) ** 0.5
            self._brownian = None

        def step(
            self, model_output: Any, timestep: Any, sample: Any, generator: Any = None, return_dict: bool = True
        ) -> Any:
            noise = self._noise(sample, generator) if self.config.algorithm_type.startswith("sde") else None
            return super().step(model_output, timestep, sample, variance_noise=noise, return_dict=return_dict)

        def _noise(self, sample: Any, generator: Any) -> Any:
            if self._brownian is None:
                self._brownian = _brownian(sample, self.sigmas, generator)
            place = self.begin_index if self.step_index is None else self.step_index
            now, following = self.sigmas[place], self.sigmas[place + 1]
            return self._brownian(now, following) if following > 0 else torch.zeros_like(sample)

    class BrownianSde(Scheduled, theirs.DPMSolverSDEScheduler):  # type: ignore[misc]
        noise_sampler: Any

        def step(
            self, model_output: Any, timestep: Any, sample: Any, generator: Any = None, return_dict: bool = True
        ) -> Any:
            if getattr(self, "noise_sampler", None) is None:
                self.noise_sampler = _brownian(sample, self.sigmas, generator)
            made = super().step(model_output.float(), timestep, sample.float(), return_dict=False)
            return answer(made, sample.dtype, return_dict)

    class EulerAncestral(Scheduled, theirs.EulerAncestralDiscreteScheduler):  # type: ignore[misc]
        """Euler ancestral with any schedule, `eta`, and noise in float32 whatever the model computes in."""

        def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None:
            super().set_timesteps(num_inference_steps, device)
            levels = self.levels(num_inference_steps)
            self.sigmas = torch.tensor([*levels, 0.0], dtype=torch.float32)
            self.timesteps = torch.tensor(self.trained.timesteps(levels), dtype=torch.float32, device=device)

        def step(
            self, model_output: Any, timestep: Any, sample: Any, generator: Any = None, return_dict: bool = True
        ) -> Any:
            if self.step_index is None:
                self._init_step_index(timestep)
            now, following = self.sigmas[self.step_index].item(), self.sigmas[self.step_index + 1].item()
            latents = sample.float()
            x0 = noiseless(self, latents, model_output.float(), now)
            up, down = (float(level) for level in ancestral(now, following, self.eta))
            latents = latents + (latents - x0) / now * (down - now)
            if up:
                latents = latents + up * draw(latents, generator)
            self._step_index += 1
            return answer((latents, x0), sample.dtype, return_dict)

    classes: tuple[Any, ...] = (Euler, EulerAncestral, Lms, Heun, Dpm2, Dpm2Ancestral, Dpmpp2sAncestral)
    classes += (Multistep, BrownianSde)
    return MappingProxyType({made.__name__: made for made in classes})


def ancestral(now: Any, following: Any, eta: float | None) -> tuple[Any, Any]:
    """Compute how much fresh noise a step from level `now` to `following` ends with, and the level that it goes to
    before."""
    share = 1.0 if eta is None else eta
    up = np.minimum(following, share * np.sqrt(following**2 * (now**2 - following**2)) / now)
    return up, np.sqrt(following**2 - up**2)


def noiseless(scheduler: Any, latents: Any, predicted: Any, sigma: float) -> Any:
    """Predict x0 from the model's output at noise level `sigma`."""
    if scheduler.config.prediction_type == "v_prediction":
        return latents / (sigma**2 + 1) - predicted * sigma / (sigma**2 + 1) ** 0.5
    return latents - sigma * predicted


def answer(made: tuple[Any, Any], dtype: Any, return_dict: bool) -> Any:
    from diffusers.schedulers.scheduling_euler_ancestral_discrete import EulerAncestralDiscreteSchedulerOutput

    latents, noiseless = (part.to(dtype) for part in made)
    return EulerAncestralDiscreteSchedulerOutput(latents, noiseless) if return_dict else (latents, noiseless)


def _brownian(sample: Any, sigmas: Any, generator: Any) -> Any:
    """Make a sampler of noise between two levels, with a Brownian tree for each image, seeded with its seed."""
    from diffusers.schedulers.scheduling_dpmsolver_sde import BrownianTreeNoiseSampler

    least, greatest = sigmas[sigmas > 0].min().item(), sigmas.max().item()
    wide = least - _ROUNDING, greatest + (_ROUNDING if greatest < _FAR else greatest * _ROUNDING)
    first = generator[0] if isinstance(generator, Sequence) else generator
    device = sample.device if first is None else getattr(first, "device", "cpu")
    tree = BrownianTreeNoiseSampler(sample.float().to(device), *wide, _seeds(generator, len(sample)))
    return lambda now, following: tree(now, following).to(sample.device)


def _seeds(generator: Any, rows: int) -> list[int]:
    """List a seed per image. A single generator is for all of them; each then has a seed of its own by its place."""
    import torch

    if isinstance(generator, Sequence):
        return [one.initial_seed() for one in generator]
    first = torch.initial_seed() if generator is None else generator.initial_seed()
    return [first + row for row in range(rows)]


def draw(like: Any, generator: Any) -> Any:
    """Draw noise in float32, each row from its own generator."""
    import torch
    from diffusers.utils.torch_utils import randn_tensor

    if isinstance(generator, list) and isinstance(generator[0], Philox):
        return torch.stack([one.randn(tuple(like.shape[1:])) for one in generator]).to(like.device)
    return randn_tensor(like.shape, generator=generator, device=like.device, dtype=torch.float32)
