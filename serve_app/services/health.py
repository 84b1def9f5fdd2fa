"""Readiness checks that do a little of the real work, and metrics."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import structlog

from configs.settings import Settings
from deployments.contracts.checks import Checkable
from deployments.contracts.portraits import LOCAL_AVATARS, LOCAL_SEGMENTATION
from deployments.contracts.styles import LOCAL_ENGINE
from deployments.errors import DarkroomError, DeadlineExceeded, NotDeployed, Overloaded, Unavailable
from serve_app.storage import Storage
from serve_app.store.queue import jobs
from serve_app.store.session import Database
from serve_app.telemetry import Metrics

log = structlog.get_logger(__name__)

_CHECK_S = 20.0
_FRESH_S = 5.0
"""Seconds for which a verdict or a page of metrics is given again: however many poll, it costs what one does."""
_PATIENCE_S = 2.0
"""Seconds to wait for a new verdict while there is one that is not old, which is then given again."""
_OLD_S = 60.0
_BUSY_S = 120.0
"""Seconds since a part last answered for which silence means that it is busy. What is broken says so, or Serve's own
health checks, which no call holds up, start it anew."""

RemoteMetrics = Callable[[], Awaitable[bytes]]


class HealthService:
    """Readiness and metrics of the server."""

    def __init__(
        self,
        database: Database,
        storage: Storage,
        capabilities: Checkable,
        settings: Settings,
        metrics: Metrics,
        worker_metrics: RemoteMetrics | None,
        all_metrics: RemoteMetrics | None = None,
    ) -> None:
        self._database = database
        self._metrics = metrics
        self._remote_metrics = [read for read in (worker_metrics, all_metrics) if read is not None]
        self._parts = _parts(database, storage, capabilities, settings, worker_metrics)
        self._refreshing: asyncio.Task[None] | None = None
        self._verdict: dict[str, Any] = {}
        self._verdict_at = -math.inf
        self._passed_at: dict[str, float] = {}
        self._page = (-math.inf, b"")
        self._rendering = asyncio.Lock()

    async def check(self) -> dict[str, Any]:
        """Check all parts at once, each with a deadline, or give the last verdict while it is fresh.

        -> part -> `{"ok", "seconds"}`, and `detail` where it fails, is busy or, `"deployed": false`, is not there.
        """
        age_s = time.monotonic() - self._verdict_at
        if age_s >= _FRESH_S and self._refreshing is None:
            self._refreshing = asyncio.create_task(self._refresh(), name="readiness")
        if (refreshing := self._refreshing) is not None:
            await asyncio.wait({refreshing}, timeout=_PATIENCE_S if age_s < _OLD_S else None)
        return self._verdict

    async def close(self) -> None:
        """End a check that is under way."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait({self._refreshing})

    async def metrics(self) -> bytes:
        """Render the metrics of this process, of a worker and of all replicas as Prometheus text, or give the page of
        just now again."""
        async with self._rendering:
            when, page = self._page
            if time.monotonic() - when >= _FRESH_S:
                page = await self._render()
                self._page = (time.monotonic(), page)
            return page

    async def _refresh(self) -> None:
        try:
            results = await asyncio.gather(*(self._timed(name, check) for name, check in self._parts.items()))
            self._verdict = dict(zip(self._parts, results, strict=True))
            self._verdict_at = time.monotonic()
        finally:
            self._refreshing = None

    async def _render(self) -> bytes:
        await self._count_jobs()
        return b"".join([self._metrics.render(), *await asyncio.gather(*map(_read, self._remote_metrics))])

    async def _count_jobs(self) -> None:
        """Set the gauge of jobs: to NaN while the database is away, which must not hide everything else."""
        try:
            async with self._database.transaction() as session:
                counts = await jobs.count_by_status(session)
        except Unavailable:
            counts = None
        for status in ("queued", "running"):
            total = sum(count for (_, its_status), count in (counts or {}).items() if its_status == status)
            self._metrics.jobs.labels(status).set(math.nan if counts is None else total)

    async def _timed(self, name: str, check: Callable[[], Awaitable[Any]]) -> dict[str, Any]:
        started = time.monotonic()
        result: dict[str, Any] = {"ok": False}
        try:
            async with asyncio.timeout(_CHECK_S):
                await check()
            result["ok"] = True
            self._passed_at[name] = time.monotonic()
        except (TimeoutError, DeadlineExceeded, Overloaded):
            silent_s = time.monotonic() - self._passed_at.get(name, -math.inf)
            is_busy = silent_s < _BUSY_S
            detail = f"busy; it answered {silent_s:.0f} s ago" if is_busy else "no answer in time"
            result |= {"ok": is_busy, "detail": detail}
        except NotDeployed as error:  # what is left out on purpose is no fault
            result |= {"ok": True, "deployed": False, "detail": error.message}
        except DarkroomError as error:
            result["detail"] = error.message
        except Exception as error:  # readiness is a report: whatever is wrong belongs into it
            log.warning("readiness check failed", part=name, exc_info=error)
            result["detail"] = type(error).__name__
        return {**result, "seconds": round(time.monotonic() - started, 3)}


async def _read(source: RemoteMetrics) -> bytes:
    try:
        async with asyncio.timeout(_CHECK_S):
            return await source()
    except Exception as error:  # a scrape must not fail because a replica restarts
        log.warning("metrics are missing", error=type(error).__name__)
        return b""


def _parts(
    database: Database,
    storage: Storage,
    capabilities: Checkable,
    settings: Settings,
    worker_metrics: RemoteMetrics | None,
) -> dict[str, Callable[[], Awaitable[Any]]]:
    """What is checked, by the name that the answer gives it. Vendors are not: that would cost."""

    async def embed_and_tag() -> None:
        await asyncio.gather(capabilities.check("embedding"), capabilities.check("tagging"))

    parts: dict[str, Callable[[], Awaitable[Any]]] = {
        "database": database.ping,
        "storage": storage.check,
        "embedding_and_tags": embed_and_tag,
        "faces": partial(capabilities.check, "faces"),
        "clustering": partial(capabilities.check, "clustering"),
        "duplicates": partial(capabilities.check, "dedup"),
        "texts": partial(capabilities.check, "texts"),
    }
    if LOCAL_ENGINE in settings.styles.engines:
        parts["styles"] = partial(capabilities.check, "stylizing")
    if LOCAL_SEGMENTATION in settings.segmentation.engines:
        parts["segmentation"] = partial(capabilities.check, "segmentation")
    if LOCAL_AVATARS in settings.avatars.engines:
        parts["avatars"] = partial(capabilities.check, "avatars")
    if worker_metrics:
        parts["worker"] = worker_metrics
    return parts
