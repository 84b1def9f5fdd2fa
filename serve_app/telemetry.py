"""Structured logs and Prometheus metrics."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Literal

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from configs.settings import Settings
from serve_app.tracing import add_trace_id

SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
"""Upper bounds of the buckets of histograms of times ..."""
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
"""... and of those of numbers."""
Kind = Literal["counter", "gauge", "histogram", "sizes"]
Write = Callable[[float, dict[str, str]], None]
Export = Callable[[Kind, str, str, tuple[str, ...]], Write]
"""Opens a metric (kind, name, help, labels) that others read as well, and returns what is to be told each value with
its labels: Ray's own types on a replica (`serve_app.ray_metrics`)."""


def configure_logging(settings: Settings) -> None:
    """Write events to standard error, as JSON or for people; library logs pass through the same format."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        add_trace_id,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.log_level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


class Series:
    """The values of a metric under one combination of labels."""

    def __init__(self, own: Counter | Gauge | Histogram, write: Write | None, labels: dict[str, str]) -> None:
        self._own = own
        self._write = write
        self._labels = labels

    def inc(self, amount: float = 1) -> None:
        """Add to a counter."""
        self._own.inc(amount)  # type: ignore[union-attr]
        if self._write is not None and amount:  # Ray refuses to add nothing
            self._write(amount, self._labels)

    def observe(self, value: float) -> None:
        """Count a value in a histogram."""
        self._own.observe(value)  # type: ignore[union-attr]
        if self._write is not None:
            self._write(value, self._labels)

    def set(self, value: float) -> None:
        """Set a gauge."""
        self._own.set(value)  # type: ignore[union-attr]
        if self._write is not None:
            self._write(value, self._labels)


class Metric:
    """A metric: in the registry of its process, and where it is exported to besides."""

    def __init__(self, own: Counter | Gauge | Histogram, labels: tuple[str, ...], write: Write | None) -> None:
        self._own = own
        self._labels = labels
        self._write = write

    def labels(self, *values: str) -> Series:
        """Give the series of these label values, in the order of the metric's labels."""
        return Series(self._own.labels(*values), self._write, dict(zip(self._labels, values, strict=True)))


class Metrics:
    """All metrics of one process: in its own registry `darkroom_<process>_<name>`, exported as `darkroom_<name>`.

    Labels take few values: never an id, never a URL. A process uses those that are about it: requests the ingress, jobs
    the worker, served calls a capability.
    """

    def __init__(self, process: str, export: Export | None = None) -> None:
        self.registry = CollectorRegistry()
        self._prefix = f"darkroom_{process}_"
        self._export = export

        self.requests = self._counter("http_requests", "HTTP requests", "method", "route", "status")
        self.request_seconds = self._histogram("http_request_seconds", "Time to answer", "route")

        self.calls = self._counter("capability_calls", "Calls of a model capability", "verb", "outcome")
        self.call_seconds = self._histogram(
            "capability_seconds", "Time of such a call, waiting and repetitions included", "verb"
        )
        self.repeated_calls = self._counter(
            "capability_calls_repeated", "Calls made again because their replica died with them", "verb"
        )
        self.served_calls = self._counter("served_calls", "Calls that a replica served", "verb", "outcome")
        self.served_seconds = self._histogram("served_seconds", "Time of such a call within the replica", "verb")
        self.served_together = self._sizes("served_together", "Calls that a pass of a model served together", "verb")
        self.served_pictures = self._counter("served_pictures", "Pictures of calls that were answered", "verb")

        self.immich_tasks = self._counter("immich_tasks", "Tasks of Immich's requests", "task", "outcome")
        self.immich_task_seconds = self._histogram("immich_task_seconds", "Time of such a task", "task")

        self.jobs_ended = self._counter("jobs_ended", "Jobs run", "kind", "outcome")
        self.job_seconds = self._histogram("job_seconds", "Time of a job", "kind")
        self.job_attempts = self._counter("job_attempts", "Jobs claimed, for the first time or again", "kind")
        self.job_wait_seconds = self._histogram(
            "job_wait_seconds", "Time that a job was due and waited for a worker", "kind"
        )
        self.job_failures = self._counter("job_failures", "Attempts that failed, by the problem's type", "kind", "slug")
        self.jobs_postponed = self._counter(
            "jobs_postponed", "Times that a job was put off because what it needs was away or full", "kind", "slug"
        )
        self.jobs = self._gauge("jobs", "Jobs in the queue now", "status")
        self.queue_jobs = self._gauge("queue_jobs", "Jobs in a lane of the queue now", "lane", "status")
        self.queue_oldest_seconds = self._gauge(
            "queue_oldest_seconds", "Time that the longest waiting job of a lane has been due", "lane"
        )
        self.queue_postponed = self._gauge("queue_postponed", "Waiting jobs of a lane that were put off", "lane")

        self.providers = self._counter(
            "provider_calls", "Engines and prompters asked, and how each answered", "use", "provider", "outcome"
        )
        self.pictures = self._counter("pictures", "Pictures analysed", "outcome")

    def render(self) -> bytes:
        """Render the metrics of this process in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Metric:
        own = Counter(self._prefix + name, text, labels, registry=self.registry)
        return Metric(own, labels, self._opened("counter", name, text, labels))

    def _gauge(self, name: str, text: str, *labels: str) -> Metric:
        own = Gauge(self._prefix + name, text, labels, registry=self.registry)
        return Metric(own, labels, self._opened("gauge", name, text, labels))

    def _histogram(self, name: str, text: str, *labels: str) -> Metric:
        own = Histogram(self._prefix + name, text, labels, buckets=SECONDS, registry=self.registry)
        return Metric(own, labels, self._opened("histogram", name, text, labels))

    def _sizes(self, name: str, text: str, *labels: str) -> Metric:
        own = Histogram(self._prefix + name, text, labels, buckets=SIZES, registry=self.registry)
        return Metric(own, labels, self._opened("sizes", name, text, labels))

    def _opened(self, kind: Kind, name: str, text: str, labels: tuple[str, ...]) -> Write | None:
        return None if self._export is None else self._export(kind, f"darkroom_{name}", text, labels)
