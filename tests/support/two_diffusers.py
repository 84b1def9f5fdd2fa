"""Two diffusion replicas on half of one logical GPU each: `MODELS_DIR OUT_DIR`.

A program of its own for the reason that `two_nodes` gives. It prints one JSON line with its observations.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
import time
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

os.environ |= {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_LOG_TO_DRIVER": "0",
    "RAY_worker_niceness": "0",
    "OMP_NUM_THREADS": "1",
}

import ray
from ray import serve

from configs.settings import Deadlines, Settings
from deployments.contracts.diffusion import GeneratedPicture, GenerationRequest, GenerationStep, HintOptions
from deployments.diffusion import DiffusionDeployment
from deployments.errors import InvalidRequest
from serve_app.gateway import Gateway
from serve_app.remote_calls import remotely_callable
from serve_app.telemetry import Metrics
from tests.support.builders import an_image

REPLICAS = 2
CHECKPOINTS = ("tiny", "tiny-other")
PATIENCE_S = 60
"""Seconds that the program waits; images that have no client any more would keep the replicas busy for longer."""


def record_cap(folder: Path, share: float, device: str) -> None:
    """Record the cap of a GPU's memory in place of setting it, on a machine without a GPU."""
    seen = {"share": share, "device": device, "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"), "pid": os.getpid()}
    (folder / f"{os.getpid()}.json").write_text(json.dumps(seen))


def main(models: Path, out: Path) -> None:
    ray.init(address="local", num_cpus=2, num_gpus=1, include_dashboard=False, object_store_memory=200 * 2**20)
    try:
        serve.start(proxy_location="Disabled")
        settings = Settings(diffusion={"models_dir": models, "checkpoint": CHECKPOINTS[0], "offline": True})
        deployment: Any = serve.deployment(
            remotely_callable(DiffusionDeployment),
            num_replicas=REPLICAS,
            max_ongoing_requests=8,
            ray_actor_options={"num_cpus": 0.5, "num_gpus": 0.5},
        )
        handle: Any = serve.run(
            deployment.bind(settings, partial(record_cap, out)), name="diffusion", route_prefix=None
        )
        gateway = Gateway({"diffusion": handle}, Deadlines(generate_s=PATIENCE_S), Metrics("test"))
        seen = asyncio.run(watch(gateway))
        seen["free_gpus"] = ray.available_resources().get("GPU", 0.0)
        seen["caps"] = [json.loads(path.read_text()) for path in sorted(out.glob("*.json"))]
        seen |= asyncio.run(look(gateway, [cap["pid"] for cap in seen["caps"]]))
        sys.stdout.write(json.dumps(seen) + "\n")
    finally:
        serve.shutdown()
        ray.shutdown()


def a_request(**changes: Any) -> GenerationRequest:
    return GenerationRequest(**{"prompt": "cat", "width": 64, "height": 64, "steps": 3, **changes})


async def watch(gateway: Gateway) -> dict[str, Any]:
    async def steps_and_picture(request: GenerationRequest) -> tuple[int, GeneratedPicture]:
        *steps, picture = [event async for event in gateway.generate(request)]
        assert isinstance(picture, GeneratedPicture)
        return len(steps), picture

    made = await asyncio.gather(
        *(steps_and_picture(a_request(seed=seed, checkpoint=CHECKPOINTS[seed % 2])) for seed in range(6))
    )

    async def leave_at_the_first_step(checkpoint: str) -> None:
        long = a_request(steps=150, width=512, height=512, checkpoint=checkpoint)
        async with aclosing(gateway.generate(long)) as events:
            await anext(events)

    await asyncio.gather(*map(leave_at_the_first_step, CHECKPOINTS))
    after_leaving = await asyncio.gather(*(steps_and_picture(a_request(checkpoint=name)) for name in CHECKPOINTS * 2))
    try:
        await steps_and_picture(a_request(width=10**6))
    except InvalidRequest as refusal:
        refused = refusal.message
    hint = await gateway.make_hint("canny", an_image((64, 48)), HintOptions())
    return {
        "steps": [steps for steps, _ in made],
        "checkpoints": [picture.checkpoint for _, picture in made],
        "after_leaving": [steps for steps, _ in after_leaving],
        "refused": refused,
        "hint": list(hint.shape),
        "models": [model.name for model in (await gateway.list_models()).checkpoints],
    }


async def look(gateway: Gateway, pids: list[int]) -> dict[str, Any]:
    """Look at a picture in progress while all replicas answer, while one of them hangs, and when the other one died."""
    async with aclosing(gateway.generate(a_request(steps=150, width=512, height=512))) as events:
        first = await anext(events)
        assert isinstance(first, GenerationStep)

        async def peek() -> tuple[bool, float]:
            started = time.monotonic()
            found = await gateway.peek([first.ticket])
            return first.ticket in found, time.monotonic() - started

        found = await gateway.peek([first.ticket, "nobody's"])
        seen = found[first.ticket]
        hanging = {}
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
            try:
                hanging[pid] = await peek()
            finally:
                os.kill(pid, signal.SIGCONT)
        [idle] = [pid for pid, (was_found, _) in hanging.items() if was_found]  # the picture is another's
        os.kill(idle, signal.SIGKILL)
        after_death, _ = await peek()
    return {
        "looked": [list(found) == [first.ticket], seen.step >= first.step, seen.steps, list(seen.latents.shape)],
        "hanging": sorted(hanging.values()),
        "after_death": after_death,
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
