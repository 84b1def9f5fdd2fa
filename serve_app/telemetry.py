"""Structured logs and Prometheus metrics."""

from __future__ import annotations

import logging
import sys

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from configs.settings import Settings

_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


def configure_logging(settings: Settings) -> None:
    """Write events to standard error, as JSON or for people; library logs pass through the same format."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
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


class Metrics:
    """Metrics of one process, named `darkroom_<process>_...`. Labels take few values: never an id, never a URL."""

    def __init__(self, process: str) -> None:
        self.registry = CollectorRegistry()
        name = f"darkroom_{process}_"
        self.requests = Counter(
            name + "http_requests", "HTTP requests", ["method", "route", "status"], registry=self.registry
        )
        self.request_seconds = Histogram(
            name + "http_request_seconds", "Time to answer", ["route"], buckets=_SECONDS, registry=self.registry
        )
        self.calls = Counter(
            name + "capability_calls", "Calls of a model capability", ["verb", "outcome"], registry=self.registry
        )
        self.call_seconds = Histogram(
            name + "capability_seconds", "Time of such a call", ["verb"], buckets=_SECONDS, registry=self.registry
        )
        self.jobs_ended = Counter(name + "jobs_ended", "Jobs run", ["kind", "outcome"], registry=self.registry)
        self.job_seconds = Histogram(
            name + "job_seconds", "Time of a job", ["kind"], buckets=_SECONDS, registry=self.registry
        )
        self.jobs = Gauge(name + "jobs", "Jobs in the queue now", ["status"], registry=self.registry)
        self.providers = Counter(
            name + "provider_calls",
            "Engines and prompters asked, and how each answered",
            ["use", "provider", "outcome"],
            registry=self.registry,
        )
        self.pictures = Counter(name + "pictures", "Pictures analysed", ["outcome"], registry=self.registry)

    def render(self) -> bytes:
        """Render the metrics in Prometheus' text format."""
        return generate_latest(self.registry)
