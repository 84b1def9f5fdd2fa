"""Samplers that diffusers has not, each written as a generator: it yields latents and the noise level (sigma) at which
it asks for x0, is sent x0, and returns the latents at the end. Latents are x0 + sigma * noise.

Restart: Xu et al. 2023. DPM fast and adaptive: Lu et al. 2022, algorithm DPM-Solver-3 with steps of lower order at the
end, or with steps as long as an error of the second order allows. Constants are those of the web UI.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

Solving = Generator[tuple[Any, float], Any, Any]
Draw = Callable[[], Any]
"""Function that draws fresh noise of the latents' shape."""

_KARRAS_RHO = 7.0
_RESTART_TO, _RESTART_FROM = 2.0, 0.1
"""Noise level that Restart goes back to, and the one at which it does."""
_FEW, _MANY = 20, 36
"""Steps from which on Restart goes back once, and twice."""
_RESTART_STEPS = 9
_ABSOLUTE, _RELATIVE = 0.0078, 0.05
"""Tolerated error of DPM adaptive."""
_FIRST_STEP, _ACCEPTED = 0.05, 0.81
_ADAPTIVE_END = 1e-5
MAX_ATTEMPTS = 200
"""Steps that DPM adaptive tries at most, of three calls each; models need some 15 to 40."""


def ancestral(now: float, following: float, eta: float) -> tuple[float, float]:
    """Compute the level that a step goes down to, and how much fresh noise leads back up to `following`."""
    up = min(following, eta * math.sqrt(max(following**2 * (now**2 - following**2), 0.0)) / now)
    return math.sqrt(following**2 - up**2), up


def restart(x: Any, levels: Sequence[float], draw: Draw) -> Solving:
    """Solve by Heun's method, going back to more noise near the end where there are steps enough. `levels` end in 0."""
    before = levels[0]
    for now, following in restart_steps(levels):
        if before < now:
            x = x + draw() * (now**2 - before**2) ** 0.5
        slope = (x - (yield x, now)) / now
        ahead = x + slope * (following - now)
        if following > 0:
            slope = (slope + (ahead - (yield ahead, following)) / following) / 2
            ahead = x + slope * (following - now)
        x, before = ahead, following
    return x


def restart_steps(levels: Sequence[float]) -> list[tuple[float, float]]:
    """List the steps of Restart, from level to level; where one begins above the end of the last, noise is added."""
    steps = len(levels) - 1
    if steps < _FEW:
        return list(pairwise(levels))
    times, length = (2, steps // 4) if steps >= _MANY else (1, _RESTART_STEPS)
    path = [*_karras(steps - length * times, levels[-2], levels[0]), 0.0]
    low, high = (
        min(range(len(path)), key=lambda place: abs(path[place] - level)) for level in (_RESTART_FROM, _RESTART_TO)
    )
    again = list(pairwise(_karras(length + 1, path[low], path[high]))) if high < low else []
    return [*pairwise(path[: low + 1]), *again * times, *pairwise(path[low:])]


def _karras(steps: int, least: float, greatest: float) -> list[float]:
    first, last = (level ** (1 / _KARRAS_RHO) for level in (greatest, least))
    return [float(level) for level in np.linspace(first, last, steps) ** _KARRAS_RHO]


def dpm_fast(x: Any, calls: int, ends: tuple[float, float], eta: float, draw: Draw) -> Solving:
    """Solve with `calls` calls from the greater to the lesser noise level of `ends`, by steps of third order."""
    start, end = (-math.log(level) for level in ends)
    count = calls // 3 + 1
    orders = [*[3] * (count - 2), 2, 1] if calls % 3 == 0 else [*[3] * (count - 1), calls % 3]
    for (now, following), order in zip(pairwise(np.linspace(start, end, count + 1).tolist()), orders, strict=True):
        reached, up = _down(now, following, end, eta)
        slope = yield from _slope(x, now)
        if order == 1:
            x = _first_order(x, slope, now, reached)
        elif order == 2:
            x = (yield from _second_order(x, slope, now, reached, 1 / 2))[0]
        else:
            middle = (yield from _second_order(x, slope, now, reached, 1 / 3))[1]
            x = yield from _third_order(x, slope, middle, now, reached)
        fresh = draw()
        x = x + fresh * up if up else x
    return x


def dpm_adaptive(x: Any, ends: tuple[float, float], eta: float, draw: Draw) -> Solving:
    """Solve by steps of third order that are as long as the difference to the second order allows."""
    import torch

    now, end = (-math.log(level) for level in ends)
    length, before = _FIRST_STEP, x
    for _ in range(MAX_ATTEMPTS):
        if now >= end - _ADAPTIVE_END:
            break
        following = min(end, now + length)
        reached, up = _down(now, following, end, eta)
        slope = yield from _slope(x, now)
        low, middle = yield from _second_order(x, slope, now, reached, 1 / 3)
        high = yield from _third_order(x, slope, middle, now, reached)
        tolerated = torch.clamp(_RELATIVE * torch.maximum(low.abs(), before.abs()), min=_ABSOLUTE)
        error = float((((low - high) / tolerated) ** 2).mean().sqrt())
        if not math.isfinite(error):
            return high  # nothing that a shorter step would mend
        factor = 1 + math.atan((1 / (error + 1e-8)) ** (1 / (1.5 if eta else 3)) - 1)
        length *= factor
        if factor >= _ACCEPTED:
            x, before, now = high + draw() * up if up else high, low, following
    return x


def _down(now: float, following: float, end: float, eta: float) -> tuple[float, float]:
    """Time that a step goes to and the fresh noise at its end; a time is minus the logarithm of a noise level."""
    if not eta:
        return following, 0.0
    level, _ = ancestral(math.exp(-now), math.exp(-following), eta)
    reached = min(end, -math.log(level)) if level > 0 else end
    return reached, math.sqrt(max(math.exp(-2 * following) - math.exp(-2 * reached), 0.0))


def _slope(x: Any, time: float) -> Solving:
    sigma = math.exp(-time)
    return (x - (yield x, sigma)) / sigma


def _first_order(x: Any, slope: Any, now: float, following: float) -> Any:
    return x - math.exp(-following) * math.expm1(following - now) * slope


def _second_order(x: Any, slope: Any, now: float, following: float, share: float) -> Solving:
    """-> latents at `following`, and the slope at `share` of the way."""
    h = following - now
    middle = now + share * h
    ahead = yield from _slope(_first_order(x, slope, now, middle), middle)
    change = math.exp(-following) * math.expm1(h)
    return x - change * slope - change / (2 * share) * (ahead - slope), ahead


def _third_order(x: Any, slope: Any, third: Any, now: float, following: float) -> Solving:
    """`third`: the slope at a third of the way."""
    h = following - now
    share = 2 * h / 3
    place = now + share
    bend = math.exp(-place) * 2 * (math.expm1(share) / share - 1) * (third - slope)
    ahead = yield from _slope(_first_order(x, slope, now, place) - bend, place)
    change = math.exp(-following) * 1.5 * (math.expm1(h) / h - 1) * (ahead - slope)
    return _first_order(x, slope, now, following) - change
