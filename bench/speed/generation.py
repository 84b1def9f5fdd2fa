"""The whole path of a picture over HTTP against the engine alone and against diffusers called directly.

`python -m bench.speed.generation` writes a small checkpoint of random weights as a single file, starts a server of its
own over it, and sends `POST /sdapi/v1/txt2img` one at a time and several at once. In turn with it, the same requests go
to the engine in this process, through batches and streams as a replica answers, and to diffusers' pipeline: the clock
and the processor of each, and what each process of the server took of it. What the server takes at rest is measured
first and told apart. `--against FOLDER` measures the server of another checkout in the same run, in turn with this
one's: on a machine with other work, figures of two runs cannot be compared.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from bench.report import Report
from bench.server import ROOT, Server
from bench.speed.processor import KINDS, processor_s
from configs.settings import Settings
from deployments.contracts.diffusion import GenerationRequest
from serve_app.local_ray import variables

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from deployments.engines.diffusion.batched import BatchedDiffuser

CHECKPOINT = "small"
STOCK, ENGINE, HTTP, BEFORE = "stock", "engine", "HTTP", "the other's HTTP"
"""Ways to a picture: diffusers' pipeline, the engine in this process, the server, and that of another checkout."""
_PROMPT, _NEGATIVE, _SAMPLER = "a photo of the cat", "blurry", "Euler a"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_REST_S = 20.0
_WARM_UP = 3
_ROUNDS = 5
_TIMEOUT_S = 600.0
Draw = Callable[[int], Awaitable[None]]
"""Draw the picture of a seed."""


@dataclass
class Taken:
    """What pictures took one way, round by round."""

    pictures: int = 0
    clock_s: list[float] = field(default_factory=list)
    """Seconds a picture."""
    processor_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Seconds of all pictures, by kind of process."""

    @property
    def clock_ms(self) -> float:
        return 1000 * statistics.median(self.clock_s)

    def processor_ms(self, kind: str | None = None) -> float:
        """Milliseconds a picture, of one kind of process or of all."""
        seconds = sum(self.processor_s.values()) if kind is None else self.processor_s[kind]
        return 1000 * seconds / max(1, self.pictures)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.speed.generation", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--pictures", type=int, default=40, help="pictures each way, one at a time; again several")
    parser.add_argument("--at-once", type=int, default=8, help="requests at once, after those one at a time")
    parser.add_argument("--size", type=int, default=64, help="side of the pictures, pixels")
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--against", type=Path, help="another checkout of the repository")
    options = parser.parse_args()
    # Before PyTorch is imported: the engine has as many threads here as in the server.
    for name in _THREADS:
        os.environ.setdefault(name, variables(Settings())[name])
    report = Report("generation")
    with tempfile.TemporaryDirectory(prefix="darkroom-") as folder:
        models = Path(folder) / "models"
        _write_model(models)
        engine_settings = {"MODELS_DIR": str(models), "CHECKPOINT": CHECKPOINT, "OFFLINE": "true"}
        environment = {f"DARKROOM_DIFFUSION__{name}": value for name, value in engine_settings.items()}
        servers = {HTTP: _server(ROOT, Path(folder) / "data", environment)}
        if options.against:
            servers[BEFORE] = _server(options.against.resolve(), Path(folder) / "before", environment)
        try:
            for server in servers.values():
                server.start()
            asyncio.run(_measure(servers, _settings(models), options, report))
        finally:
            for server in servers.values():
                if server.exit_status is None:
                    server.stop()
                server.kill()
    report.finish()


def _server(checkout: Path, data: Path, environment: Mapping[str, str]) -> Server:
    command = ("env", "-C", str(checkout), sys.executable, "-m", "serve_app", "--diffusion")
    return Server(data, command, **environment, PYTHONPATH=str(checkout))


async def _measure(
    servers: Mapping[str, Server], settings: Settings, options: argparse.Namespace, report: Report
) -> None:
    request = GenerationRequest(
        _PROMPT,
        _NEGATIVE,
        width=options.size,
        height=options.size,
        steps=options.steps,
        sampler=_SAMPLER,
        checkpoint=CHECKPOINT,
    )
    async with _engine(settings) as diffuser, AsyncExitStack() as stack:

        async def over_http(server: Server) -> Draw:
            client = await stack.enter_async_context(_client(server))
            return lambda seed: _post(client, replace(request, seed=seed))

        async def by_engine(seed: int) -> None:
            async for _ in diffuser.generate(replace(request, seed=seed)):
                pass

        stock = _stock(diffuser, request)
        over = {name: await over_http(server) for name, server in servers.items()}
        for draw in (by_engine, stock, *over.values()):
            for seed in range(_WARM_UP):
                await draw(seed)
            if draw is not stock:
                await asyncio.gather(*(draw(seed) for seed in range(options.at_once)))
        resting = await _at_rest(servers)
        alone = {name: Taken() for name in (STOCK, ENGINE, *over)}
        together = {name: Taken() for name in (ENGINE, *over)}
        rounds = min(_ROUNDS, options.pictures)
        for round_ in range(rounds):  # in turn, so that a busy machine is as busy for each
            seeds = range(round_, options.pictures, rounds)
            await _note(alone[STOCK], stock, seeds, 1)
            await _note(alone[ENGINE], by_engine, seeds, 1)
            for name, draw in over.items():
                await _note(alone[name], draw, seeds, 1, servers[name], resting[name])
            full = range(-(-len(seeds) // options.at_once) * options.at_once)
            await _note(together[ENGINE], by_engine, full, options.at_once)
            for name, draw in over.items():
                await _note(together[name], draw, full, options.at_once, servers[name], resting[name])
    for name in servers:
        report.add(f"{name} at rest, processor", 1000 * sum(resting[name].values()), "ms a second")
    _tell(report, "one at a time", alone)
    _tell(report, f"{options.at_once} at once", together)


async def _note(
    taken: Taken,
    draw: Draw,
    seeds: range,
    at_once: int,
    server: Server | None = None,
    resting: Mapping[str, float] | None = None,
) -> None:
    """Draw the pictures of seeds, `at_once` at a time, and add what they took.

    Of the server's processes where one is given, less what they would have taken at rest; else of this one.
    """
    before = _processor_s(server)
    started = time.perf_counter()
    for first in range(0, len(seeds), at_once):
        await asyncio.gather(*(draw(seed) for seed in seeds[first : first + at_once]))
    clock_s = time.perf_counter() - started
    after = _processor_s(server)
    taken.pictures += len(seeds)
    taken.clock_s.append(clock_s / len(seeds))
    for kind in after:
        at_rest_s = clock_s * resting.get(kind, 0.0) if resting else 0.0
        taken.processor_s[kind] += after[kind] - before.get(kind, 0.0) - at_rest_s


def _processor_s(server: Server | None) -> Mapping[str, float]:
    return processor_s(server) if server else {"engine": time.process_time()}


def _tell(report: Report, how: str, ways: dict[str, Taken]) -> None:
    engine_ms = ways[ENGINE].processor_ms()
    report.add(f"{how}:", ways[HTTP].pictures, "pictures each way")
    for name, taken in ways.items():
        report.add(f"{name}, clock", taken.clock_ms, "ms a picture")
    for name in (name for name in ways if name in (STOCK, ENGINE)):
        ratios = [one / other for one, other in zip(ways[HTTP].clock_s, ways[name].clock_s, strict=True)]
        report.add(f"{HTTP} / {name}, clock", statistics.median(ratios), "")
    for name, taken in ways.items():
        report.add(f"{name}, processor", taken.processor_ms(), "ms a picture")
        if name in (STOCK, ENGINE):
            continue
        for kind in KINDS:
            if kind in taken.processor_s:
                report.add(f"- {kind}", taken.processor_ms(kind), "ms a picture")
        report.add(f"{name} - {ENGINE}, processor", taken.processor_ms() - engine_ms, "ms a picture")
        report.add(f"{name} / {ENGINE}, processor", taken.processor_ms() / engine_ms, "")


async def _at_rest(servers: Mapping[str, Server]) -> dict[str, dict[str, float]]:
    """Measure what servers take when nobody asks for anything, processor seconds a second."""
    before, started = {name: processor_s(server) for name, server in servers.items()}, time.perf_counter()
    await asyncio.sleep(_REST_S)
    after, seconds = {name: processor_s(server) for name, server in servers.items()}, time.perf_counter() - started
    return {
        name: {kind: (after[name][kind] - before[name][kind]) / seconds for kind in after[name]} for name in servers
    }


@asynccontextmanager
async def _engine(settings: Settings) -> AsyncIterator[BatchedDiffuser]:
    from deployments.engines.diffusion.batched import BatchedDiffuser

    diffuser = BatchedDiffuser(settings)
    try:
        yield diffuser
    finally:
        await diffuser.close()


def _client(server: Server) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.url, timeout=_TIMEOUT_S, trust_env=False)


async def _post(client: httpx.AsyncClient, request: GenerationRequest) -> None:
    body = {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "seed": request.seed,
        "width": request.width,
        "height": request.height,
        "steps": request.steps,
        "sampler_name": request.sampler,
    }
    answer = (await client.post("/sdapi/v1/txt2img", json=body)).raise_for_status().json()
    if len(answer["images"]) != 1:
        raise RuntimeError(f"not one picture: {answer['info']}")


def _stock(diffuser: BatchedDiffuser, request: GenerationRequest) -> Draw:
    """Make a call of diffusers' own pipeline over the same weights."""
    from bench.stock_pipeline import stock_call

    call = stock_call(diffuser, request)

    async def draw(_seed: int) -> None:  # every seed takes as long
        call()

    return draw


def _settings(models: Path) -> Settings:
    settings = Settings()
    chosen = settings.diffusion.model_copy(update={"models_dir": models, "checkpoint": CHECKPOINT, "offline": True})
    return settings.model_copy(update={"diffusion": chosen})


def _write_model(models: Path) -> None:
    """Write a checkpoint of SD 1.5's structure and the original's file layout, of small width."""
    from tests.support.real_files import build_real, tensors_of, write

    write(models / "Stable-diffusion" / f"{CHECKPOINT}.safetensors", tensors_of(build_real("sd1")))


if __name__ == "__main__":
    main()
