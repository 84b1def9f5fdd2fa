"""Concurrent generation of all images of a plan, so that the engine can batch them; clients can stop it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import TypeVar, cast

from deployments.algorithms.a1111.inpainting import keep_outside, lay_over
from deployments.contracts.albums import FaceFinder
from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import Diffuser, GeneratedPicture, GenerationStep
from serve_app.services.jobs.progress import Progress
from serve_app.services.sdapi.face_restoration import FaceRestoration
from serve_app.services.sdapi.previews import LivePreviews
from serve_app.services.sdapi.tasks import FinishedImage, ImageTask

T = TypeVar("T")
GENERATED_SHARE = 0.98
"""Share of the progress bar for generation, faces included; storing the images is the rest."""


async def generate_all(
    diffuser: Diffuser,
    tasks: Sequence[ImageTask],
    at_once: int,
    progress: Progress,
    previews: LivePreviews,
    share_of_all: float = GENERATED_SHARE,
    finder: FaceFinder | None = None,
) -> list[FinishedImage | None]:
    """Generate the images of all tasks, in order, at most `at_once` at a time; `previews` sees their steps, and
    `share_of_all` is the share of the job's progress that they are. `finder` finds the faces that tasks want restored.

    When the client interrupts, images that were begun end with what they have and the others are None; when it skips,
    only the images in progress are concerned. Raises what the engine raises for any image, and then stops the others.
    """
    gate = asyncio.Semaphore(at_once)
    shares = [0.0] * len(tasks)

    def report(place: int, share: float) -> None:
        shares[place] = share
        progress.report(share_of_all * sum(shares) / len(tasks))

    def watch(place: int, step: GenerationStep) -> None:
        report(place, step.step / step.steps)
        previews.see(place, step)

    async def generate(place: int, task: ImageTask) -> FinishedImage | None:
        async with gate:
            finished = await generate_image(diffuser, task, progress, lambda step: watch(place, step), finder)
            report(place, 1.0)
            previews.forget(place)
            return finished

    running = [asyncio.create_task(generate(place, task)) for place, task in enumerate(tasks)]
    try:
        return await asyncio.gather(*running)
    finally:
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def generate_image(
    diffuser: Diffuser,
    task: ImageTask,
    progress: Progress,
    watch: Callable[[GenerationStep], None],
    finder: FaceFinder | None = None,
) -> FinishedImage | None:
    """Generate one image; `watch` is told each step. None: it was interrupted before it had anything."""
    request = task.request
    finish, faces = task.finish, None
    if finder and finish.restorer:
        faces = FaceRestoration(diffuser, finder, finish.restorer, finish.restorer_weight)
    last: GenerationStep | None = None
    if progress.interrupted.is_set():
        return None
    stops = (progress.interrupted, progress.skipped)
    stream = cast("AsyncGenerator[GenerationStep | GeneratedPicture, None]", diffuser.generate(request))
    async with aclosing(stream), aclosing(_until(stream, stops)) as steps:
        async for event in steps:
            if isinstance(event, GeneratedPicture):
                image, told = await _finish(task, event.image, faces)
                return FinishedImage(task, image, event.checkpoint, event.checkpoint_sha256, (*event.warnings, *told))
            last = event
            watch(last)
    if last is None:
        return None
    image = await diffuser.decode_latents(last.latents, request.checkpoint, request.vae)
    note = f"The picture was stopped after {last.step} of {last.steps} steps"
    image, told = await _finish(task, image, faces)
    return FinishedImage(task, image, request.checkpoint, "", (note, *told))


async def _finish(task: ImageTask, image: Image, faces: FaceRestoration | None) -> tuple[Image, tuple[str, ...]]:
    """Put back what units keep of their images, restore faces, and lay the result over the original under a mask.
    -> image, warnings"""
    told: tuple[str, ...] = ()
    for kept in task.finish.kept:
        if kept.image.shape == image.shape:  # a picture that was stopped in its first pass is smaller
            image = await asyncio.to_thread(keep_outside, image, kept.image, kept.mask)
    if faces is not None:
        image, told = await faces.try_to_restore(image)
    if task.canvas is not None:
        image = await asyncio.to_thread(lay_over, image, task.canvas)
    return image, told


async def _until(stream: AsyncIterator[T], stops: Sequence[asyncio.Event]) -> AsyncGenerator[T]:
    """Yield the items of the stream until it ends or one of the events is set; its pending step is cancelled."""
    waits = [asyncio.create_task(stop.wait()) for stop in stops]
    step: asyncio.Task[T | None] | None = None
    try:
        while True:
            step = asyncio.create_task(_next(stream))
            await asyncio.wait({step, *waits}, return_when=asyncio.FIRST_COMPLETED)
            if not step.done():
                return
            item = step.result()
            if item is None:
                return
            yield item
    finally:
        for task in (*waits, step):
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in (*waits, step) if task is not None), return_exceptions=True)


async def _next(stream: AsyncIterator[T]) -> T | None:
    return await anext(stream, None)
