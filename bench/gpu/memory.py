"""Memory over many checkpoint switches, and what a copy of the weights in main memory would save."""

from __future__ import annotations

import time
from dataclasses import replace

import torch

from bench.gpu.card import MB, Card
from bench.gpu.engine import CHECKPOINTS, Models, request_of, seconds, serving
from bench.gpu.models import make_unet, sd15
from bench.gpu.tables import Page

_SWITCHES = 20


async def measure(card: Card, page: Page, found: Models) -> None:
    """Measure twenty switches under a budget for one checkpoint."""
    page.heading("Twenty checkpoint switches", "stage in main memory", "switch", "s", "allocated, MB", "reserved, MB")
    request = replace(request_of(card), steps=1)
    budget = int(found.checkpoint_bytes * 1.3 / MB) + 1
    for stage_mb in (0, 4 * budget):
        async with serving(card, found, memory_budget_mb=budget, ram_stage_mb=stage_mb) as diffuser:
            for turn in range(1, (4 if card.tiny else _SWITCHES) + 1):
                taken = await seconds(diffuser, replace(request, checkpoint=CHECKPOINTS[turn % 2]))
                held = card.memory_mb() or (None, None)
                if turn in (1, 2, 4, 5, 10, 15, 20):
                    page.row("yes" if stage_mb else "no", str(turn), taken, *held)
    if card.is_gpu:
        _measure_copies(card, page)


def _measure_copies(card: Card, page: Page) -> None:
    unet = make_unet(card, sd15(card))
    pinned = {name: value.cpu().pin_memory() for name, value in unet.state_dict().items()}
    card.wait()
    started = time.perf_counter()
    with torch.no_grad():
        for name, value in unet.state_dict().items():
            value.copy_(pinned[name], non_blocking=True)
    card.wait()
    size = sum(value.numel() * value.element_size() for value in pinned.values()) / MB
    page.note(f"{size:.0f} MB of a UNet come from pinned main memory in {time.perf_counter() - started:.3f} s.")
