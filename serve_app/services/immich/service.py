"""One request of Immich's: its tasks side by side, over one decoded picture."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from configs.settings import Settings
from deployments.algorithms.images.decoding import ImageLimits, decode_as_stored, inspect
from deployments.contracts.albums import Capabilities
from deployments.contracts.texts import TextReader
from deployments.errors import BadRequest, DarkroomError, InvalidRequest, NotSupported, image_error
from deployments.kit.threads import Threads
from serve_app.services.immich.clip import LONGEST_TEXT, Clip
from serve_app.services.immich.entries import Entries, read_entries
from serve_app.services.immich.faces import Faces
from serve_app.services.immich.pixel_budget import PixelBudget
from serve_app.services.immich.tasks import Given, Task
from serve_app.services.immich.texts import Texts

if TYPE_CHECKING:
    from serve_app.telemetry import Metrics


class ImmichCapabilities(Capabilities, TextReader, Protocol):
    """What its tasks are done by."""


class ImmichService:
    """The machine learning of an Immich server."""

    def __init__(self, capabilities: ImmichCapabilities, settings: Settings, metrics: Metrics) -> None:
        self._limits = ImageLimits.of(settings.limits)
        self._metrics = metrics
        self._threads = Threads(settings.runtime.decode_threads)
        self._budget = PixelBudget(settings.immich.max_pixels_in_flight, settings.immich.wait_s)
        self._tasks: Mapping[str, Task] = {
            "clip": Clip(capabilities, settings, self._threads),
            "facial-recognition": Faces(capabilities, settings, self._threads),
            "ocr": Texts(capabilities, settings, self._threads),
        }

    async def predict(self, entries: str, picture: bytes | None, text: str | None) -> dict[str, Any]:
        """Do all that `entries` names, side by side. -> the answer of each task, and the picture's size where one came

        Raises `InvalidRequest`, `BadRequest`, `NotSupported`, `ImageError`, `Unavailable` where too many large pictures
        are in work, and what capabilities raise.
        """
        asked = read_entries(entries)
        if picture is None and text is None:
            raise BadRequest("Either a picture or a text is needed: send `image` or `text`.")
        if text is not None and len(text) > LONGEST_TEXT:
            raise InvalidRequest(f"text: at most {LONGEST_TEXT} characters are read.")
        for name, of_task in asked.items():
            self._task(name).check(of_task, has_picture=picture is not None, has_text=text is not None)
        if picture is None:
            return await self._do(asked, Given(None, text))
        async with self._budget.room(await self._count_pixels(picture)):
            given = Given(await self._threads.run(decode_as_stored, picture, self._limits), text)
            height, width = given.seen("the answer").shape[:2]
            return await self._do(asked, given) | {"imageHeight": height, "imageWidth": width}

    async def _do(self, asked: Mapping[str, Entries], given: Given) -> dict[str, Any]:
        return await _side_by_side({name: self._answer(name, of_task, given) for name, of_task in asked.items()})

    def _task(self, name: str) -> Task:
        if name not in self._tasks:
            raise NotSupported(f"There is no task '{name[:40]}' here. Tasks: {', '.join(self._tasks)}.")
        return self._tasks[name]

    async def _count_pixels(self, picture: bytes) -> int:
        if not picture:
            raise image_error("empty", "The picture has zero bytes")
        info = await self._threads.run(inspect, picture, self._limits)
        return info.width * info.height

    async def _answer(self, name: str, entries: Entries, given: Given) -> Any:
        started, outcome = time.monotonic(), "failed"
        try:
            answer = await self._tasks[name].answer(entries, given)
            outcome = "ok"
        except DarkroomError as error:
            outcome = "failed" if error.is_fault else "refused"
            raise
        finally:
            self._metrics.immich_tasks.labels(name, outcome).inc()
            self._metrics.immich_task_seconds.labels(name).observe(time.monotonic() - started)
        return answer


async def _side_by_side(calls: Mapping[str, Coroutine[Any, Any, Any]]) -> dict[str, Any]:
    """Await all; the first error ends the others, so that none goes on after the answer."""
    tasks = [asyncio.ensure_future(call) for call in calls.values()]
    try:
        return dict(zip(calls, await asyncio.gather(*tasks), strict=True))
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
