"""Speed of the diffusion engine against diffusers called directly, and its memory over many checkpoints.

`python -m bench.speed.diffusion` makes random models of a size that a processor bears; `--checkpoint NAME` measures one
of DARKROOM_DIFFUSION__MODELS_DIR instead, on DARKROOM_DIFFUSION__DEVICE. Served means: through batches and streams, as
a replica answers, without Ray's own hop.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from bench.report import Report
from bench.stock_pipeline import stock_call
from configs.settings import Settings
from deployments.contracts.diffusion import GenerationRequest
from deployments.engines.diffusion.batched import BatchedDiffuser

_ROUNDS = 5
_FEW, _MANY = 5, 50
_WIDTHS = (96, 192, 384, 384)
"""Channels of the random UNet's levels; SD 1.5 has 320 to 1280."""
_MB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.speed.diffusion", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--checkpoint", help="of the models folder; default: random models, made for the run")
    parser.add_argument("--size", type=int, default=256, help="side of the pictures, pixels")
    parser.add_argument("--steps", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings, names = Settings(), [options.checkpoint]
        if options.checkpoint is None:
            names = _write_models(Path(folder))
            settings = _over(settings, Path(folder), names[0])
        report = Report("diffusion")
        asyncio.run(_measure(settings, names, options.size, options.steps, report))
        report.finish()


async def _measure(settings: Settings, names: list[str], size: int, steps: int, report: Report) -> None:
    request = GenerationRequest(
        "a photo of the cat", "blurry", width=size, height=size, steps=steps, checkpoint=names[0], sampler="Euler a"
    )
    diffuser = BatchedDiffuser(settings)
    try:
        await _picture(diffuser, request)
        direct = stock_call(diffuser, request)
        direct()
        served_s, direct_s = [], []
        for _ in range(_ROUNDS):  # in turn, so that a busy machine is as busy for both
            direct_s.append(_timed(direct))
            started = time.perf_counter()
            await _picture(diffuser, request)
            served_s.append(time.perf_counter() - started)
        report.add("a picture, diffusers called directly", statistics.median(direct_s), "s")
        report.add("a picture, served", statistics.median(served_s), "s")
        ratios = [served / alone for served, alone in zip(served_s, direct_s, strict=True)]
        report.add("served / direct", statistics.median(ratios), "", target=1.05, at_most=True)

        requests = [replace(request, seed=seed) for seed in range(4)]
        gains = []
        for _ in range(3):
            started = time.perf_counter()
            for one in requests:
                await _picture(diffuser, one)
            in_turn = time.perf_counter() - started
            started = time.perf_counter()
            await asyncio.gather(*(_picture(diffuser, one) for one in requests))
            gains.append(in_turn / (time.perf_counter() - started))
        report.add("throughput of four at once / one at a time", statistics.median(gains), "")
    finally:
        await diffuser.close()
    if len(names) > 1:
        await _switch(settings, names, replace(request, width=64, height=64, steps=1), report)


async def _switch(settings: Settings, names: list[str], request: GenerationRequest, report: Report) -> None:
    """Measure memory under a budget for one checkpoint when another is requested each time."""
    largest = max(_folder_bytes(settings, name) for name in names)
    tight = settings.diffusion.model_copy(update={"memory_budget_mb": int(largest * 1.3 / _MB) + 1})
    diffuser = BatchedDiffuser(settings.model_copy(update={"diffusion": tight}))
    used: dict[int, float] = {}
    try:
        for turn in range(1, _MANY + 1):
            await _picture(diffuser, replace(request, checkpoint=names[turn % len(names)]))
            if turn in (_FEW, _MANY):
                used[turn] = _memory_bytes(diffuser) / _MB
    finally:
        await diffuser.close()
    report.add(f"memory after {_FEW} checkpoint switches", used[_FEW], "MB")
    report.add(f"memory after {_MANY} checkpoint switches", used[_MANY], "MB")
    report.add("growth", used[_MANY] / used[_FEW], "", target=1.05, at_most=True)


async def _picture(diffuser: BatchedDiffuser, request: GenerationRequest) -> None:
    async for _ in diffuser.generate(request):
        pass


def _timed(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _memory_bytes(diffuser: BatchedDiffuser) -> float:
    """Memory of the device in bytes, or of the process where the device is the processor."""
    gc.collect()
    memory = diffuser.device.memory()
    return float(memory["used"] if memory else psutil.Process(os.getpid()).memory_info().rss)


def _over(settings: Settings, folder: Path, checkpoint: str) -> Settings:
    chosen = settings.diffusion.model_copy(update={"models_dir": folder, "checkpoint": checkpoint, "offline": True})
    return settings.model_copy(update={"diffusion": chosen})


def _folder_bytes(settings: Settings, name: str) -> int:
    folder = (settings.diffusion.models_dir or settings.weights_dir / "diffusion") / "checkpoints" / name
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors"))


def _write_models(folder: Path) -> list[str]:
    """Write two checkpoints of random weights, as wide as a processor bears, with the small models' tokenizer and
    VAE."""
    import torch
    from diffusers import UNet2DConditionModel

    from tests.support.tiny_diffusion import build_pipeline

    names = ["random-a", "random-b"]
    for seed, name in enumerate(names):
        pipeline: Any = build_pipeline(seed)
        torch.manual_seed(seed)
        words = pipeline.text_encoder.config.hidden_size
        unet = UNet2DConditionModel(
            sample_size=32, block_out_channels=_WIDTHS, cross_attention_dim=words, attention_head_dim=8
        )
        pipeline.register_modules(unet=unet)
        pipeline.save_pretrained(folder / "checkpoints" / name)
    return names


if __name__ == "__main__":
    main()
