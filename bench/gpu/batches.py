"""Throughput of several requests at once, company for one that runs already, and rows against requests alone."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import numpy as np

from bench.gpu.card import Card
from bench.gpu.engine import Models, draw, request_of, seconds, serving
from bench.gpu.tables import Page, median


async def measure(card: Card, page: Page, found: Models) -> None:
    """Measure 1 to 16 at once, late arrivals, and whether a row of a batch is what the request is alone."""
    page.heading("Requests at once", "requests", "wait for company, s", "pictures a second", "median latency, s")
    request = request_of(card)
    for wait_s in (0.02, 0.0):
        async with serving(card, found, batch_wait_s=wait_s) as diffuser:
            await draw(diffuser, request)
            for count in (1, 2) if card.tiny else (1, 2, 4, 8, 16):
                requests = [replace(request, seed=seed) for seed in range(count)]
                await asyncio.gather(*(draw(diffuser, one) for one in requests))
                started = time.perf_counter()
                taken = await asyncio.gather(*(seconds(diffuser, one) for one in requests))
                page.row(str(count), wait_s, count / (time.perf_counter() - started), median(taken))
    async with serving(card, found) as diffuser:
        await draw(diffuser, request)
        alone = await seconds(diffuser, request)
        first = asyncio.create_task(seconds(diffuser, request))
        await asyncio.sleep(alone / 2)
        late = await seconds(diffuser, replace(request, seed=1))
        page.note(f"Alone {alone:.3f} s; one that comes in the middle of another waits {late / alone:.2f} times that.")
        await first
        await _compare(card, page, diffuser, request)


async def _compare(card: Card, page: Page, diffuser: object, request: object) -> None:
    count = 2 if card.tiny else 8
    requests = [replace(request, seed=seed) for seed in range(count)]  # type: ignore[type-var]
    together = await asyncio.gather(*(draw(diffuser, one) for one in requests))  # type: ignore[arg-type]
    alone = [await draw(diffuser, one) for one in requests]  # type: ignore[arg-type]
    apart = [
        np.abs(one.image.astype(int) - other.image.astype(int)) for one, other in zip(together, alone, strict=True)
    ]
    page.heading(f"A row of a batch of {count} against the request alone", "difference, grey levels of 255", "value")
    page.row("largest", float(max(one.max() for one in apart)))
    page.row("mean", float(np.mean([one.mean() for one in apart])))
