"""What the engine answers where half precision overflows, and where a picture does not fit."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from bench.gpu.card import Card
from bench.gpu.engine import CHECKPOINTS, Models, draw, request_of, serving
from bench.gpu.tables import Page
from deployments.errors import DarkroomError

_OVERFLOWING = "overflowing"
_TOO_LARGE = 2048
_SHARE = 0.06


async def measure(card: Card, page: Page, found: Models) -> None:
    """Ask for a picture of a VAE that overflows, and for one that does not fit into the memory."""
    page.heading("Overflow and out of memory", "case", "answer")
    _write_overflowing(found.folder)
    request = replace(request_of(card), steps=1, checkpoint=_OVERFLOWING)
    async with serving(card, found, dtype="float16") as diffuser:
        try:
            made = await draw(diffuser, request)
            page.row("VAE over the range of half precision", "; ".join(made.warnings) or "no warning")
            page.row("... grey levels in the picture", f"{int(made.image.min())} to {int(made.image.max())}")
        except (DarkroomError, RuntimeError) as error:  # a processor without half precision
            page.row("VAE over the range of half precision", f"{type(error).__name__}: {str(error)[:100]}")
    if not card.is_gpu:
        return
    async with serving(card, found, memory_fraction=_SHARE, max_batch=1) as diffuser:
        try:
            await draw(diffuser, replace(request_of(card), width=_TOO_LARGE, height=_TOO_LARGE, steps=1))
            page.row(f"{_TOO_LARGE}² px with {_SHARE:.0%} of the card", "a picture")
        except DarkroomError as error:
            page.row(f"{_TOO_LARGE}² px with {_SHARE:.0%} of the card", f"{type(error).__name__}: {error.message}")
        await draw(diffuser, replace(request_of(card), steps=1))
        page.row("the next request", "a picture")
    torch.cuda.set_per_process_memory_fraction(1.0)


def _write_overflowing(models_dir: Path) -> None:
    """Write a checkpoint whose VAE computes numbers over 65,504 on the way to ordinary pixels."""
    folder = models_dir / "checkpoints" / _OVERFLOWING
    shutil.copytree(models_dir / "checkpoints" / CHECKPOINTS[0], folder, dirs_exist_ok=True)
    file = next((folder / "vae").glob("*.safetensors"))
    tensors = load_file(file)
    for name in ("decoder.conv_in.weight", "decoder.conv_in.bias"):
        tensors[name] = (tensors[name].float() * 3e5).clamp(-6e4, 6e4).to(tensors[name].dtype)
    save_file(tensors, file, {"format": "pt"})
