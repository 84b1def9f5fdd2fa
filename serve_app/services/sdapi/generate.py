"""Concurrent generation of all images of a plan, so that the engine can batch them; clients can stop it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import cast

from deployments.algorithms.a1111.inpainting import lay_over
from deployments.contracts.albums import FaceFinder
from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import (
    Diffuser,
    GeneratedPicture,
    GenerationRequest,
    GenerationStep,
    SeenLatents,
)
from serve_app.services.jobs.progress import Progress
from serve_app.services.sdapi.face_restoration import FaceRestoration
from serve_app.services.sdapi.previews import LivePreviews
from serve_app.services.sdapi.tasks import FinishedImage, ImageTask

GENERATED_SHARE = 0.98
"""Share of the progress bar for generation, faces included; storing the images is the rest."""
_LAST_S = 15.0
"""Seconds for which a picture that is stopped is looked at again, where nothing was seen, and for which one that has
ended at the engine is waited for."""
_AGAIN_S = 1.0
"""Seconds between two looks."""


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
    if progress.interrupted.is_set():
        return None
    made = await _make(diffuser, request, (progress.interrupted, progress.skipped), watch)
    if made is None:
        return None
    if isinstance(made, GeneratedPicture):
        image, told = await _finish(task, made.image, faces)
        return FinishedImage(task, image, made.checkpoint, made.checkpoint_sha256, (*made.warnings, *told))
    image = await diffuser.decode_latents(made.latents, request.checkpoint, request.vae)
    note = f"The picture was stopped after {made.step} of {made.steps} steps"
    image, told = await _finish(task, image, faces)
    return FinishedImage(task, image, request.checkpoint, "", (note, *told))


async def _make(
    diffuser: Diffuser,
    request: GenerationRequest,
    stops: Sequence[asyncio.Event],
    watch: Callable[[GenerationStep], None],
) -> GeneratedPicture | SeenLatents | None:
    """Generate until one of the events is set. -> the picture, or as far as it has come by then"""
    ticket = ""

    async def read() -> GeneratedPicture | None:
        nonlocal ticket
        async for event in stream:
            if isinstance(event, GeneratedPicture):
                return event
            ticket = event.ticket
            watch(event)
        return None

    stream = cast("AsyncGenerator[GenerationStep | GeneratedPicture, None]", diffuser.generate(request))
    reading = asyncio.create_task(read())
    waits = [asyncio.create_task(stop.wait()) for stop in stops]
    try:
        await asyncio.wait({reading, *waits}, return_when=asyncio.FIRST_COMPLETED)
        give_up = time.monotonic() + _LAST_S
        while not reading.done() and ticket:
            seen = await diffuser.peek([ticket])  # before the stream is closed: then there is nothing to see
            if ticket in seen and not reading.done():
                return seen[ticket]
            # It may be finished, and on its way. Else its replica had no time: what has taken minutes is not given up.
            left = give_up - time.monotonic()
            await asyncio.wait({reading}, timeout=max(0.0, min(_AGAIN_S, left)))
            if left <= 0:
                break
        return reading.result() if reading.done() else None
    finally:
        for one in (reading, *waits):
            one.cancel()
        await asyncio.gather(reading, *waits, return_exceptions=True)
        await stream.aclose()


async def _finish(task: ImageTask, image: Image, faces: FaceRestoration | None) -> tuple[Image, tuple[str, ...]]:
    """Put back what units keep of their images, restore faces, and lay the result over the original under a mask.
    -> image, warnings"""
    told: tuple[str, ...] = ()
    for one in task.finish.kept:
        if kept := one.for_size(image):  # a picture that was stopped in its first pass is smaller
            image = await asyncio.to_thread(kept.put_into, image)
    if faces is not None:
        image, told = await faces.try_to_restore(image)
    if task.canvas is not None:
        image = await asyncio.to_thread(lay_over, image, task.canvas)
    return image, told
