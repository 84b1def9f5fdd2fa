"""Worker deployment, which runs durable jobs.

Any number of replicas may run: the queue in PostgreSQL distributes the work.
"""

from __future__ import annotations

import asyncio

import structlog

from configs.settings import Settings
from serve_app import ray_metrics
from serve_app.gateway import Gateway, Handle
from serve_app.private_files import hide_new_files
from serve_app.scaling import make_stats
from serve_app.services.container import Services
from serve_app.services.runner import JobRunner
from serve_app.telemetry import Metrics, configure_logging
from serve_app.tracing import close_tracing, configure_tracing

log = structlog.get_logger(__name__)


class Worker:
    """Claims jobs and runs them through the gateway until it is asked to stop."""

    async def __init__(self, **capabilities: Handle) -> None:  # type: ignore[misc]
        settings = Settings()
        hide_new_files()
        configure_logging(settings)
        configure_tracing(settings, "worker")
        self._metrics = Metrics("worker", ray_metrics.export)
        gateway = Gateway(capabilities, settings.deadlines, self._metrics)
        self._services = await Services.open(settings, gateway, self._metrics, name="worker")
        self._runner = JobRunner(self._services, settings.jobs)
        self._loop = asyncio.create_task(self._runner.run(), name="job-runner")

    async def render_metrics(self) -> bytes:
        """Render this process's metrics for Prometheus."""
        return self._metrics.render()

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Tell Serve's autoscaler, which asks twice a second, how the queue stood when it was last counted."""
        return make_stats(self._runner.lanes())

    async def check_health(self) -> None:
        """Check that the claiming loop runs. Raises `RuntimeError` when it has ended, which only a restart mends."""
        if self._loop.done():
            raise RuntimeError("the job runner has ended")

    async def __del__(self) -> None:
        await self._runner.stop()
        await self._services.close()
        close_tracing()
