"""Live previews of the images that a job is making, drawn while somebody asks for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from deployments.algorithms.a1111.image_metadata import FileFormat, encode_picture
from deployments.algorithms.a1111.latent_previews import project
from deployments.contracts.diffusion import Diffuser, GenerationStep, SeenLatents
from deployments.errors import Unavailable
from serve_app.services.sdapi.grid import grid
from serve_app.store.queue import previews
from serve_app.store.queue.events import JobEvents
from serve_app.store.session import Database

log = structlog.get_logger(__name__)

_PAUSE_S = 0.5
"""Seconds between two previews of a job: no client asks more often."""
_MOST_IMAGES = 16
"""Images on a preview; a request may make a hundred."""


@dataclass(frozen=True, slots=True)
class PreviewOptions:
    """Settings of live previews, by A1111's names. Stored in the job's payload."""

    enabled: bool = True
    """`live_previews_enable`."""
    every: int = 10
    """`show_progress_every_n_steps`: steps between two previews; -1: none."""
    format: FileFormat = "png"
    """`live_previews_image_format`."""
    grid: bool = True
    """`show_progress_grid`: all images in progress, not the first only."""

    @property
    def are_made(self) -> bool:
        """Whether there are any."""
        return self.enabled and self.every >= 0


class LivePreviews:
    """Draws previews of one job and stores the newest one. Nobody asks, nothing is fetched, drawn or sent."""

    def __init__(
        self,
        diffuser: Diffuser,
        database: Database,
        events: JobEvents,
        job_id: str,
        options: PreviewOptions,
        families: Sequence[str] = (),
    ) -> None:
        """`families`: that of each image's checkpoint, which says how latents become colours."""
        self._diffuser = diffuser
        self._database = database
        self._events = events
        self._job_id = job_id
        self._options = options
        self._families = families
        self._latest: dict[int, GenerationStep] = {}
        self._shown: dict[int, int] = {}
        """Place -> step, of the latest preview."""
        self._is_due = asyncio.Event()

    @asynccontextmanager
    async def drawing(self) -> AsyncIterator[None]:
        """Draw previews while the block runs."""
        drawing = asyncio.create_task(self._draw()) if self._options.are_made else None
        try:
            yield
        finally:
            if drawing is not None:
                drawing.cancel()
                await asyncio.gather(drawing, return_exceptions=True)

    def see(self, place: int, step: GenerationStep) -> None:
        """Note the newest step of the image at `place`."""
        self._latest[place] = step
        if step.step - self._shown.get(place, 0) >= max(1, self._options.every):
            self._is_due.set()

    def forget(self, place: int) -> None:
        """Note that the image at `place` is finished."""
        self._latest.pop(place, None)

    async def _draw(self) -> None:
        is_asked = False
        with self._events.calls(self._job_id) as called:
            while True:
                try:
                    is_asked = is_asked or await self._is_asked()
                    if not is_asked:
                        await called.wait()
                    elif await self._is_due_within(previews.ASKED_S):
                        is_asked = await self._show()
                        await asyncio.sleep(_PAUSE_S)
                    else:
                        is_asked = False
                except Unavailable:  # the job rides this out, and so do its previews
                    is_asked = False
                    await called.wait()
                except Exception as error:  # no preview is worth a job
                    log.error("no more previews", exc_info=error)
                    return

    async def _is_asked(self) -> bool:
        async with self._database.transaction() as session:
            return await previews.is_asked(session, self._job_id)

    async def _is_due_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._is_due.wait()
        except TimeoutError:
            return False
        return True

    async def _show(self) -> bool:
        """Draw what there is. -> whether somebody is known to ask for more"""
        self._is_due.clear()
        places = sorted(self._latest)[: _MOST_IMAGES if self._options.grid else 1]
        tickets = {place: self._latest[place].ticket for place in places}
        self._shown = {place: step.step for place, step in self._latest.items()}
        found = await self._diffuser.peek(list(tickets.values()))
        seen = {place: found[ticket] for place, ticket in tickets.items() if ticket in found}
        self._shown |= {place: one.step for place, one in seen.items()}
        file = await asyncio.to_thread(self._encode, seen)
        if file is None:  # and nothing is written, by which we would hear who still asks
            return False
        async with self._database.transaction() as session:
            return await previews.store(session, self._job_id, file)

    def _encode(self, seen: Mapping[int, SeenLatents]) -> bytes | None:
        """Encode the preview of the images at their places; None where there is none to show."""
        drawn = [project(one.latents, self._families[place]) for place, one in seen.items()]
        images = [image for image in drawn if image is not None]
        return encode_picture(grid(images), format=self._options.format) if images else None
