"""All pictures of one plan at once, so that the engine can batch them; each stops when the client says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import TypeVar, cast

from deployments.algorithms.a1111.inpainting import lay_over
from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import Diffuser, GeneratedPicture, GenerationStep
from serve_app.services.jobs.progress import Progress
from serve_app.services.sdapi.tasks import FinishedImage, ImageTask

T = TypeVar("T")
_DRAWN = 0.98
"""Of the progress bar; storing the pictures is the rest."""


async def generate_all(
    diffuser: Diffuser, shots: Sequence[ImageTask], at_once: int, progress: Progress
) -> list[FinishedImage | None]:
    """The pictures in order, at most `at_once` at a time.

    When the client interrupts, those that were begun end with what they have and the others are None; when it
    skips, only those that are being drawn are concerned. Raises what the engine raises for any of them, and then
    stops the others.
    """
    gate = asyncio.Semaphore(at_once)
    shares = [0.0] * len(shots)

    def report(place: int, share: float) -> None:
        shares[place] = share
        progress.report(_DRAWN * sum(shares) / len(shots))

    async def draw(place: int, shot: ImageTask) -> FinishedImage | None:
        async with gate:
            made = await _draw(diffuser, shot, progress, lambda share: report(place, share))
            report(place, 1.0)
            return made

    tasks = [asyncio.create_task(draw(place, shot)) for place, shot in enumerate(shots)]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _draw(
    diffuser: Diffuser, shot: ImageTask, progress: Progress, report: Callable[[float], None]
) -> FinishedImage | None:
    request = shot.request
    last: GenerationStep | None = None
    if progress.interrupted.is_set():
        return None
    stops = (progress.interrupted, progress.skipped)
    stream = cast("AsyncGenerator[GenerationStep | GeneratedPicture, None]", diffuser.generate(request))
    async with aclosing(stream), aclosing(_until(stream, stops)) as steps:
        async for news in steps:
            if isinstance(news, GeneratedPicture):
                image = await _finish(shot, news.image)
                return FinishedImage(shot, image, news.checkpoint, news.checkpoint_sha256, news.warnings)
            last = news
            report(last.step / last.steps)
    if last is None:
        return None
    image = await diffuser.decode_latents(last.latents, request.checkpoint, request.vae)
    note = f"The picture was stopped after {last.step} of {last.steps} steps"
    return FinishedImage(shot, await _finish(shot, image), request.checkpoint, "", (note,))


async def _finish(shot: ImageTask, image: Image) -> Image:
    return image if shot.canvas is None else await asyncio.to_thread(lay_over, image, shot.canvas)


async def _until(stream: AsyncIterator[T], stops: Sequence[asyncio.Event]) -> AsyncGenerator[T]:
    """What the stream gives, until it ends or one of the events is set. Nothing of it runs any more afterwards."""
    waits = [asyncio.create_task(stop.wait()) for stop in stops]
    step: asyncio.Task[T | None] | None = None
    try:
        while True:
            step = asyncio.create_task(_next(stream))
            await asyncio.wait({step, *waits}, return_when=asyncio.FIRST_COMPLETED)
            if not step.done():
                return
            news = step.result()
            if news is None:
                return
            yield news
    finally:
        for task in (*waits, step):
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in (*waits, step) if task is not None), return_exceptions=True)


async def _next(stream: AsyncIterator[T]) -> T | None:
    return await anext(stream, None)
