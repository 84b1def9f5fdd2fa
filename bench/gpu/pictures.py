"""Times of whole pictures: served against diffusers called directly, with ControlNets and a LoRA."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from bench.gpu.card import Card, counted_syncs
from bench.gpu.engine import LORA, NETS, Models, draw, request_of, seconds, serving
from bench.gpu.tables import Page, median
from bench.stock_pipeline import stock_call
from deployments.contracts.diffusion import ControlHint, GenerationRequest, Lora

_ROUNDS = 8
_RESAMPLES = 2000


async def measure(card: Card, page: Page, found: Models) -> None:
    """Measure pictures with 0, 1 and 4 ControlNets, and before, with and after a LoRA."""
    page.heading(
        "A picture of SD 1.5", "request", "served, s", "direct, s", "served / direct", "95 %", "served first, s"
    )
    plain = request_of(card)
    async with serving(card, found) as diffuser:
        for count in (0, 1, 4):
            request = replace(plain, controls=_hints(plain, count))
            first = await seconds(diffuser, request)
            call = stock_call(diffuser, request)
            call()
            served, direct = [], []
            for _ in range(2 if card.tiny else _ROUNDS):  # in turn, so that both see the same machine
                card.wait()
                started = time.perf_counter()
                call()
                card.wait()
                direct.append(time.perf_counter() - started)
                served.append(await seconds(diffuser, request))
            ratios = [one / other for one, other in zip(served, direct, strict=True)]
            name = f"{count} ControlNets"
            page.row(name, median(served), median(direct), median(ratios), _interval(ratios), first)
        for name, loras in (("before a LoRA", ()), ("with a LoRA", (Lora(LORA),)), ("after it", ())):
            request = replace(plain, loras=loras)
            first = await seconds(diffuser, request)
            taken = [await seconds(diffuser, request) for _ in range(2 if card.tiny else _ROUNDS)]
            page.row(name, median(taken), None, None, None, first)
        await _look_inside(card, page, diffuser, plain)
    page.heading("A picture of SD 1.5 by CUDA graphs", "request", "served, s", "served first, s")
    async with serving(card, found, cuda_graphs=True) as diffuser:
        for count in (0, 1, 4):
            request = replace(plain, controls=_hints(plain, count))
            first = await seconds(diffuser, request)
            taken = [await seconds(diffuser, request) for _ in range(2 if card.tiny else _ROUNDS)]
            page.row(f"{count} ControlNets", median(taken), first)


async def _look_inside(card: Card, page: Page, diffuser: Any, request: GenerationRequest) -> None:
    """Count what a picture asks of the driver: waits for the device, and kernels and their share of the time."""
    with counted_syncs() as waits:
        await draw(diffuser, request)
    page.heading("Inside a picture", "what", "value")
    page.row("waits for the device, all steps", float(len(waits)) if card.is_gpu else None)
    for place in sorted(set(waits))[:10]:
        page.row(f"... at {'/'.join(place.split('/')[-2:])}", float(waits.count(place)))
    if not card.is_gpu:
        return
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    started = time.perf_counter()
    with torch.profiler.profile(activities=activities) as profile:
        await draw(diffuser, request)
        card.wait()
    took = time.perf_counter() - started
    kernels = [one for one in profile.events() if one.device_type == torch.autograd.DeviceType.CUDA]
    page.row("kernels a step", len(kernels) / request.steps)
    page.row("GPU busy, of the profiled time", sum(one.device_time for one in kernels) / 1e6 / took)


def _hints(request: GenerationRequest, count: int) -> tuple[ControlHint, ...]:
    made = np.random.default_rng(0).integers(0, 255, (request.height, request.width, 3), np.uint8)
    return tuple(ControlHint(name, made, 0.5) for name in NETS[:count])


def _interval(ratios: list[float]) -> str:
    """Describe the interval of 95 % of a median, by bootstrap."""
    chance = random.Random(0)
    found = sorted(median(chance.choices(ratios, k=len(ratios))) for _ in range(_RESAMPLES))
    return f"{found[int(0.025 * _RESAMPLES)]:.3f} to {found[int(0.975 * _RESAMPLES)]:.3f}"
