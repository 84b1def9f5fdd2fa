"""Readiness checks that do a little of the real work, and metrics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol

import numpy as np
import structlog

from configs.settings import Settings
from deployments.algorithms.faces.sample import sample_portrait
from deployments.contracts.albums import Capabilities
from deployments.contracts.arrays import VIEWS
from deployments.contracts.portraits import LOCAL_AVATARS, LOCAL_SEGMENTATION, AvatarTask, Portraits
from deployments.contracts.styles import LOCAL_ENGINE, StyleTask, Stylist
from deployments.errors import DarkroomError
from serve_app.storage import Storage
from serve_app.store.queue import jobs
from serve_app.store.session import Database
from serve_app.telemetry import Metrics

log = structlog.get_logger(__name__)

_CHECK_S = 20.0
_FRESH_S = 2.0
"""Seconds for which a verdict is given again: polling runs no inference within them."""
_SIDE = 64

RemoteMetrics = Callable[[], Awaitable[bytes]]


class Checked(Capabilities, Stylist, Portraits, Protocol):
    """The capabilities that are tried."""


class HealthService:
    """Readiness and metrics of the server."""

    def __init__(
        self,
        database: Database,
        storage: Storage,
        capabilities: Checked,
        style: str | None,
        animal: str | None,
        settings: Settings,
        metrics: Metrics,
        worker_metrics: RemoteMetrics | None,
    ) -> None:
        """`style`, `animal`: any one; None when none can be drawn here."""
        self._database = database
        self._storage = storage
        self._capabilities = capabilities
        self._style = style
        self._animal = animal
        self._settings = settings
        self._metrics = metrics
        self._worker_metrics = worker_metrics
        self._lock = asyncio.Lock()
        self._latest: tuple[float, dict[str, Any]] = (float("-inf"), {})

    async def check(self) -> dict[str, Any]:
        """Check all parts at once, each with a deadline.

        -> part -> `{"ok", "seconds"}`, and `detail` where it fails.
        """
        async with self._lock:
            when, checks = self._latest
            if time.monotonic() - when < _FRESH_S:
                return checks
            parts: dict[str, Callable[[], Awaitable[Any]]] = {
                "database": self._database.ping,
                "storage": self._storage.check,
                "embedding_and_tags": self._embed_and_tag,
                "faces": self._faces,
                "clustering": self._cluster,
                "duplicates": self._duplicates,
            }
            if self._style is not None and LOCAL_ENGINE in self._settings.styles.engines:  # a vendor would cost
                parts["styles"] = partial(self._draw, self._style)
            if LOCAL_SEGMENTATION in self._settings.segmentation.engines:
                parts["segmentation"] = self._segment
            if self._animal is not None and LOCAL_AVATARS in self._settings.avatars.engines:
                parts["avatars"] = partial(self._make_avatar, self._animal)
            if self._worker_metrics:
                parts["worker"] = self._worker_metrics
            results = await asyncio.gather(*(_timed(name, check) for name, check in parts.items()))
            checks = dict(zip(parts, results, strict=True))
            self._latest = (time.monotonic(), checks)
            return checks

    async def metrics(self) -> bytes:
        """Render the metrics of this process and of a worker as Prometheus text."""
        async with self._database.transaction() as session:
            counts = await jobs.count_by_status(session)
        for status in ("queued", "running"):
            total = sum(count for (_, its_status), count in counts.items() if its_status == status)
            self._metrics.jobs.labels(status).set(total)
        own = self._metrics.render()
        if self._worker_metrics is None:
            return own
        try:
            async with asyncio.timeout(_CHECK_S):
                return own + await self._worker_metrics()
        except Exception as error:  # a scrape must not fail because a worker restarts
            log.warning("worker gives no metrics", error=type(error).__name__)
            return own

    async def _embed_and_tag(self) -> None:
        side = self._settings.embedding.input_px
        vectors = await self._capabilities.embed_images(np.full((1, side, side, 3), 128, np.uint8))
        await self._capabilities.tag_images(np.repeat(vectors[:, None], len(VIEWS), axis=1))

    async def _faces(self) -> None:
        await self._capabilities.find_faces([_picture()])

    async def _cluster(self) -> None:
        vectors = np.eye(2, 128, dtype=np.float32)
        await self._capabilities.cluster_faces(vectors, np.arange(2), np.ones(2, np.float32))

    async def _duplicates(self) -> None:
        features = await self._capabilities.describe_images([_picture(), _picture()])
        await self._capabilities.compare_images(features, [0], [1])

    async def _draw(self, style: str) -> None:
        await self._capabilities.stylize(LOCAL_ENGINE, StyleTask(_picture(), style, prompt=""))

    async def _segment(self) -> None:
        await self._capabilities.segment_portrait(LOCAL_SEGMENTATION, _picture())

    async def _make_avatar(self, animal: str) -> None:
        image, segmentation = sample_portrait(_SIDE)
        await self._capabilities.make_avatar(LOCAL_AVATARS, AvatarTask(image, animal, "overlay", segmentation))


def _picture() -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 255, (_SIDE, _SIDE, 3), np.uint8)


async def _timed(name: str, check: Callable[[], Awaitable[Any]]) -> dict[str, Any]:
    started = time.monotonic()
    try:
        async with asyncio.timeout(_CHECK_S):
            await check()
    except DarkroomError as error:
        return {"ok": False, "seconds": round(time.monotonic() - started, 3), "detail": error.message}
    except TimeoutError:
        return {"ok": False, "seconds": _CHECK_S, "detail": "no answer in time"}
    except Exception as error:  # readiness is a report: whatever is wrong belongs into it
        log.warning("readiness check failed", part=name, exc_info=error)
        return {"ok": False, "seconds": round(time.monotonic() - started, 3), "detail": type(error).__name__}
    return {"ok": True, "seconds": round(time.monotonic() - started, 3)}
