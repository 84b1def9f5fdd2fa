"""What it costs to tell a worker of the steps of a picture: numbers alone, against numbers with the latents.

`python -m bench.speed.steps` starts a Ray Serve with one replica, which streams steps through the gateway as the
diffusion engine does, without an engine behind them, and counts bytes and processor time, also of looks at the latents.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import pickle
import statistics
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any
from uuid import uuid4

import psutil

from bench.report import Report

_STEPS, _ROUNDS = 200, 9
_PAUSE_S = 0.01
"""Seconds of a step: a fast card's, so that each event travels alone."""
_TICKET = uuid4().hex
_SIDE = 64
"""Side of the latents of a picture of 512 x 512."""


class Stepping:
    """Streams steps: with latents where the prompt says so."""

    def __init__(self, ticket: str) -> None:
        import torch

        from deployments.engines.diffusion.running import RunningPictures

        self._latents = torch.randn(1, 4, _SIDE, _SIDE)
        self._running, self._ticket = RunningPictures(), ticket

    async def generate(self, request: Any) -> AsyncGenerator[Any, None]:
        from deployments.contracts.diffusion import GenerationStep

        for number in range(1, request.steps + 1):
            step = GenerationStep(number, request.steps, self._ticket)
            self._running.note([(0, step)], self._latents, None)
            yield step if request.prompt == "numbers" else self._running.peek([self._ticket])[self._ticket]
            await asyncio.sleep(_PAUSE_S)

    async def peek(self, tickets: Sequence[str]) -> dict[str, Any]:
        return self._running.peek(tickets)


def main() -> None:
    argparse.ArgumentParser(prog="python -m bench.speed.steps", description=(__doc__ or "").split("\n")[0]).parse_args()
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_LOG_TO_DRIVER": "0"}
    import ray
    from ray import serve

    from serve_app.remote_calls import remotely_callable

    ray.init(address="local", num_cpus=1, include_dashboard=False, object_store_memory=200 * 2**20)
    try:
        serve.start(proxy_location="Disabled")
        deployment: Any = serve.deployment(remotely_callable(Stepping), ray_actor_options={"num_cpus": 0.1})
        handle: Any = serve.run(deployment.bind(_TICKET), name="steps", route_prefix=None)
        report = Report("steps")
        asyncio.run(_measure(handle, report))
        report.finish()
    finally:
        serve.shutdown()  # type: ignore[no-untyped-call]
        ray.shutdown()


async def _measure(handle: Any, report: Report) -> None:
    from configs.settings import Deadlines
    from deployments.contracts.diffusion import GenerationRequest
    from serve_app.gateway import Gateway
    from serve_app.telemetry import Metrics

    gateway = Gateway({"diffusion": handle}, Deadlines(), Metrics("bench"))
    sizes: dict[str, int] = {}

    async def stream(kind: str) -> float:
        """Processor seconds a step, of all processes."""
        before = _processor_s()
        async for event in gateway.generate(GenerationRequest(kind, steps=_STEPS)):
            sizes[kind] = len(pickle.dumps(event))
        return (_processor_s() - before) / _STEPS

    kinds = ("latents", "numbers")
    for kind in kinds:
        await stream(kind)
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(_ROUNDS):  # in turn, so that a busy machine is as busy for both
        for kind in kinds:
            taken[kind].append(await stream(kind))
    looks = []
    for _ in range(_ROUNDS):
        before, started = _processor_s(), time.perf_counter()
        for _ in range(_STEPS):
            await gateway.peek([_TICKET])
        looks.append(((_processor_s() - before) / _STEPS, (time.perf_counter() - started) / _STEPS))
    for kind in kinds:
        report.add(f"bytes of a step, {kind}", sizes[kind], "B")
    for kind in kinds:
        report.add(f"processor a step, {kind}", 1000 * statistics.median(taken[kind]), "ms")
    ratios = [numbers / latents for latents, numbers in zip(taken["latents"], taken["numbers"], strict=True)]
    report.add("numbers / latents", statistics.median(ratios), "", target=1.0, at_most=True)
    report.add("processor a look", 1000 * statistics.median(processor for processor, _ in looks), "ms")
    report.add("a look", 1000 * statistics.median(clock for _, clock in looks), "ms")


def _processor_s() -> float:
    """Processor seconds of this process and Ray's up to now."""
    own = psutil.Process()
    total = 0.0
    for process in (own, *own.children(recursive=True)):
        try:
            spent = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += spent.user + spent.system
    return total


if __name__ == "__main__":
    main()
