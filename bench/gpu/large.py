"""Times of SDXL's UNet and VAE."""

from __future__ import annotations

from typing import Any

import torch

from bench.gpu import models
from bench.gpu.card import Card
from bench.gpu.parts import unet_call, vae_call
from bench.gpu.tables import Page


def measure(card: Card, page: Page) -> None:
    """Measure a step of SDXL and its VAE in each precision."""
    shape = models.sdxl(card)
    page.heading("SDXL", "what", "ms", "CUDA graph, ms")
    with torch.no_grad():
        unet = _placed(card, models.make_unet(card, shape))
        call = unet_call(card, unet, shape, 2)
        step, replay = card.milliseconds(call), card.graph(call)
        graphed = card.milliseconds(replay) if replay else None
        page.row(f"UNet, 2 rows, {shape.side} px", step, graphed)
        for steps in sorted({shape.steps, 4}):
            page.row(f"{steps} steps of it", step * steps, graphed and graphed * steps)
        del unet, call, replay
        card.free()
        vae = _placed(card, models.make_vae(card))
        for dtype in (torch.float16, torch.bfloat16, torch.float32) if card.is_gpu else (torch.float32,):
            vae.to(dtype)
            page.row(f"VAE decodes {shape.side} px, {dtype}", card.milliseconds(vae_call(card, vae, shape), 5), None)
    card.free()


def _placed(card: Card, net: Any) -> Any:
    return net.to(memory_format=torch.channels_last) if card.is_gpu else net
