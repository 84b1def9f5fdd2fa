"""A1111's schedules: noise levels (sigma, from the greatest) for a number of steps, without the zero at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Sigmas = NDArray[np.float64]

_ALIGN_YOUR_STEPS = (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029)
"""Noise levels of Align Your Steps for SD 1.x (Sabour et al. 2024)."""
_ALIGN_YOUR_STEPS_XL = (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029)
"""The same for SDXL."""
_NEARLY_NOTHING = 4.8973451890853435e-08
"""What A1111 leaves of the image at the last timestep of a model that was trained down to nothing."""
_KARRAS_RHO = 7.0
_BETA = 0.6


@dataclass(frozen=True)
class NoiseLevels:
    """Noise levels that a model was trained on, one for each of its timesteps."""

    sigmas: Sigmas
    """Sigma of each timestep, `[T]`, rising."""

    @classmethod
    def of(cls, alphas_cumprod: NDArray[np.floating]) -> NoiseLevels:
        """Compute the noise levels from a scheduler's `alphas_cumprod`."""
        kept = np.asarray(alphas_cumprod, np.float64)
        return cls(np.sqrt((1 - kept) / kept))

    @cached_property
    def _logs(self) -> Sigmas:
        return np.log(self.sigmas)

    @property
    def least(self) -> float:
        """The smallest sigma."""
        return float(self.sigmas[0])

    @property
    def greatest(self) -> float:
        """The greatest sigma."""
        return float(self.sigmas[-1])

    @property
    def last(self) -> int:
        """The noisiest timestep."""
        return len(self.sigmas) - 1

    def at(self, timesteps: Sigmas) -> Sigmas:
        """Interpolate the sigmas of timesteps, also of fractional ones."""
        return np.exp(np.interp(timesteps, np.arange(len(self.sigmas)), self._logs))

    def sigma(self, timestep: float) -> float:
        """Interpolate the sigma of one timestep."""
        return float(self.at(np.array(timestep)))

    def timesteps(self, sigmas: Sigmas | Sequence[float] | float) -> Sigmas:
        """Interpolate the timesteps of sigmas, the inverse of `at`; sigmas outside the range get the nearest end."""
        return np.interp(np.log(np.maximum(sigmas, 1e-10)), self._logs, np.arange(len(self.sigmas)))


def uniform(steps: int, levels: NoiseLevels) -> Sigmas:
    """Space the steps evenly over the timesteps, both ends included."""
    return levels.at(np.linspace(levels.last, 0, steps))


def sgm_uniform(steps: int, levels: NoiseLevels) -> Sigmas:
    """Space the steps evenly over the timesteps, without the last."""
    return levels.at(np.linspace(levels.last, 0, steps + 1)[:-1])


def karras(steps: int, levels: NoiseLevels) -> Sigmas:
    """Space the levels by Karras et al. 2022, equation 5."""
    first, last = (level ** (1 / _KARRAS_RHO) for level in (levels.greatest, levels.least))
    return np.linspace(first, last, steps) ** _KARRAS_RHO


def exponential(steps: int, levels: NoiseLevels) -> Sigmas:
    """Space the logarithms of the levels evenly."""
    return np.exp(np.linspace(np.log(levels.greatest), np.log(levels.least), steps))


def kl_optimal(steps: int, levels: NoiseLevels) -> Sigmas:
    """Space the arctangents of the levels evenly."""
    share = np.arange(steps) / steps
    return np.asarray(np.tan(share * np.arctan(levels.least) + (1 - share) * np.arctan(levels.greatest)), np.float64)


def align_your_steps(steps: int, levels: NoiseLevels) -> Sigmas:
    """Interpolate the levels of Align Your Steps."""
    return _interpolate(_ALIGN_YOUR_STEPS, steps)


def align_your_steps_xl(steps: int, levels: NoiseLevels) -> Sigmas:
    """Interpolate the levels of Align Your Steps for SDXL."""
    return _interpolate(_ALIGN_YOUR_STEPS_XL, steps)


def _interpolate(table: Sequence[float], steps: int) -> Sigmas:
    known = np.log(table)
    return np.exp(np.interp(np.linspace(0, 1, steps), np.linspace(0, 1, len(known)), known))


def simple(steps: int, levels: NoiseLevels) -> Sigmas:
    """Take trained levels at an even stride, from the greatest."""
    stride = len(levels.sigmas) / steps
    return levels.sigmas[[-(1 + int(place * stride)) for place in range(steps)]]


def ddim(steps: int, levels: NoiseLevels) -> Sigmas:
    """Take DDIM's levels. Where the stride does not divide the timesteps A1111 runs some steps more; here the last of
    them are left out."""
    stride = max(len(levels.sigmas) // steps, 1)
    return levels.sigmas[1::stride][::-1][:steps]


def beta(steps: int, levels: NoiseLevels) -> Sigmas:
    """Space the levels by a beta distribution (Lee et al. 2024)."""
    from scipy.stats import beta as distribution

    share = distribution.ppf(np.linspace(1, 0, steps), _BETA, _BETA)
    return np.asarray(levels.least + share * (levels.greatest - levels.least), np.float64)


SCHEDULES: dict[str, Callable[[int, NoiseLevels], Sigmas]] = {
    "uniform": uniform,
    "karras": karras,
    "exponential": exponential,
    "polyexponential": exponential,
    "sgm_uniform": sgm_uniform,
    "kl_optimal": kl_optimal,
    "align_your_steps": align_your_steps,
    "simple": simple,
    "normal": uniform,
    "ddim": ddim,
    "beta": beta,
}
"""Schedules by the names of `samplers.SCHEDULERS`. Polyexponential has rho 1, which is exponential."""
XL_SCHEDULES: Mapping[str, Callable[[int, NoiseLevels], Sigmas]] = SCHEDULES | {"align_your_steps": align_your_steps_xl}
"""Schedules for SDXL."""


def zero_terminal_betas(alphas_cumprod: NDArray[np.floating]) -> list[float]:
    """Compute the betas of a model that was trained down to (nearly) zero terminal SNR (Lin et al. 2024, algorithm 1)
    from the usual ones' `alphas_cumprod`, with A1111's last value."""
    kept = np.sqrt(np.asarray(alphas_cumprod, np.float64))
    kept = (kept - kept[-1]) * kept[0] / (kept[0] - kept[-1])
    alphas = kept**2
    alphas[-1] = _NEARLY_NOTHING
    return [float(beta) for beta in 1 - alphas / np.array([1.0, *alphas[:-1]])]
