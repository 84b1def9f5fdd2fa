"""Samplers that diffusers has, with the configuration that makes them A1111's."""

from __future__ import annotations

from typing import Any

import diffusers


class ShortDdim(diffusers.DDIMScheduler):  # type: ignore[misc]
    """DDIM as the web UI runs it: without the call at the least timestep, where it ends; an image that it begins with
    gets the noise of the timestep before."""

    def set_timesteps(self, *arguments: Any, **options: Any) -> None:
        super().set_timesteps(*arguments, **options)
        self.timesteps = self.timesteps[:-1]

    def add_noise(self, original_samples: Any, noise: Any, timesteps: Any) -> Any:
        stride = self.config.num_train_timesteps // self.num_inference_steps
        return super().add_noise(original_samples, noise, timesteps + stride)


class ShortPlms(diffusers.PNDMScheduler):  # type: ignore[misc]
    """PLMS without the call at the least timestep."""

    def set_timesteps(self, *arguments: Any, **options: Any) -> None:
        super().set_timesteps(*arguments, **options)
        self.timesteps = self.timesteps[:-1]


class BlendingEuler(diffusers.EulerDiscreteScheduler):  # type: ignore[misc]
    """Euler that puts the init image into the predicted x0 where the mask keeps it, as the web UI inpaints."""

    mask: Any
    kept: Any

    def step(self, model_output: Any, timestep: Any, sample: Any, **_: Any) -> Any:
        if self.step_index is None:
            self._init_step_index(timestep)
        now, following = self.sigmas[self.step_index], self.sigmas[self.step_index + 1]
        x0 = (sample - now * model_output) * self.mask + self.kept * (1 - self.mask)
        self._step_index += 1
        return (x0 + (sample - x0) * following / now,)


LINSPACE = {"timestep_spacing": "linspace", "steps_offset": 0}
LEADING = {"timestep_spacing": "leading", "steps_offset": 1, "clip_sample": False, "set_alpha_to_one": False}
STOCK: dict[str, tuple[Any, dict[str, Any]]] = {
    "Euler": (diffusers.EulerDiscreteScheduler, LINSPACE),
    "Euler a": (diffusers.EulerAncestralDiscreteScheduler, LINSPACE),
    "Heun": (diffusers.HeunDiscreteScheduler, LINSPACE),
    "LMS": (diffusers.LMSDiscreteScheduler, LINSPACE),
    "DDIM": (ShortDdim, LEADING),
    "PLMS": (ShortPlms, {"skip_prk_steps": True, **LEADING}),
    "UniPC": (
        diffusers.UniPCMultistepScheduler,
        {"solver_order": 3, "solver_type": "bh1", "final_sigmas_type": "sigma_min", **LINSPACE},
    ),
}
"""Samplers that diffusers has, nearly as they are."""
OWN_LOOP = ("DPM adaptive", "DDIM CFG++")
"""Samplers that diffusers' pipelines cannot run."""
