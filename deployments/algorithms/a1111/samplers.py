"""Samplers and schedulers of A1111 as data, by its names, and the arithmetic of its steps. Needs no PyTorch.

The engine's `scheduler_factory` chooses diffusers' classes. The order of both tables is that of A1111's lists; TCD,
which an extension adds there, comes last.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

FALLBACK_SAMPLER = "DPM++ 2M"
"""Sampler that replaces unknown ones."""
MAX_SCHEDULE_STEPS = 1000
"""Longest schedule: no finer than the noise levels that models were trained on."""


@dataclass(frozen=True, slots=True)
class Sampler:
    """A sampler, one row of `/sdapi/v1/samplers`."""

    name: str
    aliases: tuple[str, ...]
    options: dict[str, str] = field(default_factory=dict)
    """Options as A1111 lists them: all values are text."""
    is_adaptive: bool = False
    """Whether the number of calls depends on the image: such images are made one at a time."""
    takes_scheduler: bool = True
    adds_noise: bool = False
    """Whether it draws from the request's generator while it runs."""

    @property
    def scheduler(self) -> str:
        """Name of the default scheduler."""
        return self.options.get("scheduler", "uniform")

    @property
    def is_second_order(self) -> bool:
        """True for two calls of the denoiser a step."""
        return "second_order" in self.options


@dataclass(frozen=True, slots=True)
class Scheduler:
    """A scheduler, one row of `/sdapi/v1/schedulers`: how noise levels are spread over the steps."""

    name: str
    label: str
    aliases: tuple[str, ...] = ()
    default_rho: float = -1.0
    need_inner_model: bool = False


_TWICE, _BROWNIAN = {"second_order": "True"}, {"brownian_noise": "True"}
_ENSD, _DISCARD = {"uses_ensd": "True"}, {"discard_next_to_last_sigma": "True"}
_KARRAS, _EXPONENTIAL = {"scheduler": "karras"}, {"scheduler": "exponential"}

SAMPLERS = (
    Sampler("DPM++ 2M", ("k_dpmpp_2m",), _KARRAS),
    Sampler("DPM++ SDE", ("k_dpmpp_sde",), _KARRAS | _TWICE | _BROWNIAN, adds_noise=True),
    Sampler("DPM++ 2M SDE", ("k_dpmpp_2m_sde",), _EXPONENTIAL | _BROWNIAN, adds_noise=True),
    Sampler(
        "DPM++ 2M SDE Heun",
        ("k_dpmpp_2m_sde_heun",),
        _EXPONENTIAL | _BROWNIAN | {"solver_type": "heun"},
        adds_noise=True,
    ),
    Sampler("DPM++ 2S a", ("k_dpmpp_2s_a",), _KARRAS | _ENSD | _TWICE, adds_noise=True),
    Sampler("DPM++ 3M SDE", ("k_dpmpp_3m_sde",), _EXPONENTIAL | _DISCARD | _BROWNIAN, adds_noise=True),
    Sampler("Euler a", ("k_euler_a", "k_euler_ancestral"), _ENSD, adds_noise=True),
    Sampler("Euler", ("k_euler",)),
    Sampler("LMS", ("k_lms",)),
    Sampler("Heun", ("k_heun",), _TWICE),
    Sampler("DPM2", ("k_dpm_2",), _KARRAS | _DISCARD | _TWICE),
    Sampler("DPM2 a", ("k_dpm_2_a",), _KARRAS | _DISCARD | _ENSD | _TWICE, adds_noise=True),
    Sampler("DPM fast", ("k_dpm_fast",), _ENSD, adds_noise=True),
    Sampler("DPM adaptive", ("k_dpm_ad",), _ENSD, is_adaptive=True, adds_noise=True),
    Sampler("Restart", ("restart",), _KARRAS | _TWICE, adds_noise=True),
    Sampler("DDIM", ("ddim",), takes_scheduler=False, adds_noise=True),
    Sampler("DDIM CFG++", ("ddim_cfgpp",), takes_scheduler=False, adds_noise=True),
    Sampler("PLMS", ("plms",), takes_scheduler=False),
    Sampler("UniPC", ("unipc",), takes_scheduler=False),
    Sampler("LCM", ("k_lcm",), takes_scheduler=False, adds_noise=True),
    Sampler("TCD", ("tcd",), takes_scheduler=False, adds_noise=True),
)
AUTOMATIC = Scheduler("automatic", "Automatic")
SCHEDULERS = (
    AUTOMATIC,
    Scheduler("uniform", "Uniform", need_inner_model=True),
    Scheduler("karras", "Karras", default_rho=7.0),
    Scheduler("exponential", "Exponential"),
    Scheduler("polyexponential", "Polyexponential", default_rho=1.0),
    Scheduler("sgm_uniform", "SGM Uniform", ("SGMUniform",), need_inner_model=True),
    Scheduler("kl_optimal", "KL Optimal"),
    Scheduler("align_your_steps", "Align Your Steps"),
    Scheduler("simple", "Simple", need_inner_model=True),
    Scheduler("normal", "Normal", need_inner_model=True),
    Scheduler("ddim", "DDIM", need_inner_model=True),
    Scheduler("beta", "Beta", need_inner_model=True),
)
_SAMPLERS = {name.casefold(): sampler for sampler in SAMPLERS for name in (sampler.name, *sampler.aliases)}
_SCHEDULERS = {
    name.casefold(): scheduler
    for scheduler in SCHEDULERS
    for name in (scheduler.name, scheduler.label, *scheduler.aliases)
}


_TORCH_NOISE = ("LCM", "TCD")


class Choice(NamedTuple):
    """Sampler and scheduler that a request's names stand for."""

    sampler: Sampler
    scheduler: Scheduler
    """`AUTOMATIC` where it is left to the sampler."""
    warnings: tuple[str, ...] = ()
    """Warnings for the client: what was asked for and is not done."""


def choose_sampler(sampler: str, scheduler: str = "") -> Choice:
    """Find a sampler by name or alias, in any case. A name may end in a scheduler's, which then counts: "DPM++ 2M
    Karras".

    Unknown names are replaced, as A1111 does, but not silently.
    """
    warnings = []
    found_scheduler = _SCHEDULERS.get(scheduler.strip().casefold() or AUTOMATIC.name)
    name = sampler.strip().casefold()
    found = _SAMPLERS.get(name)
    if found is None:
        for ending, candidate in _SCHEDULERS.items():
            if name.endswith(f" {ending}") and (found := _SAMPLERS.get(name.removesuffix(ending).rstrip())):
                found_scheduler = candidate
                break
    if found is None:
        found = _SAMPLERS[FALLBACK_SAMPLER.casefold()]
        warnings.append(f'There is no sampler "{sampler[:100]}": {found.name} was used.')
    if found_scheduler is None:
        found_scheduler = AUTOMATIC
        warnings.append(f'There is no scheduler "{scheduler[:100]}": Automatic was used.')
    return Choice(found, found_scheduler, tuple(warnings))


def count_calls(sampler: str, steps: int) -> int:
    """Count the calls of the denoiser that prompt schedules reckon with."""
    return steps * 2 if choose_sampler(sampler).sampler.is_second_order else steps


def is_brownian(sampler: str) -> bool:
    """Say whether a sampler's noise is Brownian, which depends on the seed alone."""
    return "brownian_noise" in choose_sampler(sampler).sampler.options


def draws_as_it_likes(sampler: str) -> bool:
    """Say whether a sampler's own noise is always PyTorch's, whatever a request wants it drawn by."""
    return is_brownian(sampler) or choose_sampler(sampler).sampler.name in _TORCH_NOISE


class PartialSteps(NamedTuple):
    """Share of a schedule that is run when an image is begun with."""

    steps: int
    """Steps of the whole schedule: diffusers' `num_inference_steps`."""
    strength: float
    """diffusers' `strength`, so that it runs exactly `runs`."""
    runs: int
    """Steps that are run; 0: the image is left as it is."""


def strength_for(denoising_strength: float, steps: int, exact_steps: bool = False) -> PartialSteps:
    """Compute A1111's steps of img2img: `int(min(strength, .999) * steps) + 1` of `steps`.

    With `exact_steps` (hires passes, and a client's option) `steps` are run, of a schedule so long that they are the
    strength's share of it.
    """
    if not exact_steps:
        runs = min(int(min(denoising_strength, 0.999) * steps) + 1, steps)
        return PartialSteps(steps, _share(runs, steps), runs)
    if denoising_strength <= 0:
        return PartialSteps(steps, 0.0, 0)
    wanted = steps / min(denoising_strength, 0.999)
    if wanted > max(MAX_SCHEDULE_STEPS, steps):
        whole = max(MAX_SCHEDULE_STEPS, steps)
        steps = min(steps, max(1, int(whole * denoising_strength)))
    else:
        whole = int(wanted)
    return PartialSteps(whole, _share(steps, whole), steps)


def _share(runs: int, steps: int) -> float:
    """Divide, a little rounded up: diffusers rounds `strength * steps` down."""
    return min(1.0, runs / steps + 1e-6)
