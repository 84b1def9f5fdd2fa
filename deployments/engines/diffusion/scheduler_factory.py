"""Factory of schedulers: A1111's samplers on diffusers' classes, with A1111's noise levels and per-image noise.

A scheduler of `make_scheduler` needs no further care: pipelines call `set_timesteps(steps)` as ever, and hand their
list of generators to `step`. Brownian samplers are seeded with the generators' seeds, the others draw from them.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from deployments.algorithms.a1111.samplers import choose_sampler
from deployments.engines.diffusion.schedulers import scheduler_classes
from deployments.engines.diffusion.sigmas import zero_terminal_betas
from deployments.engines.diffusion.solver_schedulers import solver_scheduler_classes
from deployments.engines.diffusion.vp_schedulers import vp_scheduler_classes

_SPACING = {"timestep_spacing": "linspace", "steps_offset": 1}
"""Spacing of timesteps. The offset counts for nothing here; pipelines of SD 1.x take any other for a mistake."""
_VP = {"timestep_spacing": "leading", "steps_offset": 1, "set_alpha_to_one": False}
_MULTISTEP = _SPACING | {"solver_type": "midpoint", "final_sigmas_type": "zero", "use_karras_sigmas": True}
_SIGMAS = _SPACING | {"use_karras_sigmas": True}
_CLASSES: dict[str, tuple[str, dict[str, Any]]] = {
    "DPM++ 2M": ("Multistep", _MULTISTEP | {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "DPM++ SDE": ("BrownianSde", _SIGMAS),
    "DPM++ 2M SDE": ("Multistep", _MULTISTEP | {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}),
    "DPM++ 2M SDE Heun": (
        "Multistep",
        _MULTISTEP | {"algorithm_type": "sde-dpmsolver++", "solver_order": 2, "solver_type": "heun"},
    ),
    "DPM++ 2S a": ("Dpmpp2sAncestral", _SIGMAS),
    "DPM++ 3M SDE": ("Multistep", _MULTISTEP | {"algorithm_type": "sde-dpmsolver++", "solver_order": 3}),
    "Euler a": ("EulerAncestral", _SPACING),
    "Euler": ("Euler", _SIGMAS),
    "LMS": ("Lms", _SIGMAS),
    "Heun": ("Heun", _SIGMAS),
    "DPM2": ("Dpm2", _SIGMAS),
    "DPM2 a": ("Dpm2Ancestral", _SIGMAS),
    "DPM fast": ("DpmFast", _SIGMAS),
    "DPM adaptive": ("DpmAdaptive", _SIGMAS),
    "Restart": ("Restart", _SIGMAS),
    "DDIM": ("Ddim", _VP | {"clip_sample": False}),
    "DDIM CFG++": ("DdimCfgpp", _VP | {"clip_sample": False}),
    "PLMS": ("Plms", _VP | {"skip_prk_steps": True}),
    "UniPC": (
        "UniPc",
        _SPACING | {"solver_order": 3, "solver_type": "bh1", "final_sigmas_type": "sigma_min"},
    ),  # with the final sigma "zero" order 3 divides by nothing
    "LCM": ("Lcm", {"original_inference_steps": 50, "clip_sample": False}),
    "TCD": ("Tcd", {"original_inference_steps": 50, "clip_sample": False}),
}
"""Scheduler class and its configuration by sampler. Through `use_karras_sigmas` diffusers' classes accept noise levels,
whatever the schedule."""


def make_scheduler(
    sampler: str, scheduler: str, base_config: Mapping[str, Any], *, eta: float | None = None, is_xl: bool = False
) -> tuple[Any, tuple[str, ...]]:
    """Make diffusers' scheduler for A1111's names; -> it, and warnings for the client about what was asked for and is
    not done.

    `base_config` is that of the checkpoint's own scheduler: its betas and prediction type stay, and zero terminal SNR
    holds for all samplers. `eta`: share of fresh noise, default 1 of ancestral samplers, 0 of DDIM, .3 of TCD. `is_xl`:
    whether the checkpoint is an SDXL, which has a schedule of its own.
    """
    choice = choose_sampler(sampler, scheduler)
    warnings = list(choice.warnings)
    working = choice.sampler
    if not working.takes_scheduler and choice.scheduler.name not in ("automatic", "uniform"):
        warnings.append(f"The sampler {working.name} has its own schedule: {choice.scheduler.label} was not used.")
    if eta not in (None, 1.0) and "brownian_noise" in working.options:
        warnings.append(f"The sampler {working.name} always adds all of its noise: eta was not used.")
    kind, options = _CLASSES[working.name]
    made_of = {**scheduler_classes(), **vp_scheduler_classes(), **solver_scheduler_classes()}[kind]
    known = inspect.signature(made_of.__init__).parameters
    base = {key: value for key, value in base_config.items() if key in known} | options
    if base_config.get("rescale_betas_zero_snr"):
        base.pop("rescale_betas_zero_snr", None)
        base["trained_betas"] = zero_terminal_betas(made_of(**base).alphas_cumprod.numpy())
    made = made_of(**base)
    made.configure(
        choice.scheduler.name if choice.scheduler.name != "automatic" else choice.sampler.scheduler,
        discards="discard_next_to_last_sigma" in working.options,
        eta=eta,
        is_xl=is_xl,
    )
    return made, tuple(warnings)
