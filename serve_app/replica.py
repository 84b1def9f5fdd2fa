"""What a capability replica opens before its models: logs, metrics and traces."""

from __future__ import annotations

from ray import serve

from configs.settings import Settings
from serve_app import ray_metrics
from serve_app.served_calls import ServedCalls
from serve_app.telemetry import Metrics, configure_logging
from serve_app.tracing import configure_tracing


def watch_calls() -> ServedCalls:
    """Open what watches the calls of the running replica. Raises `Unavailable` as `configure_tracing` does."""
    settings = Settings()
    name = serve.get_replica_context().deployment
    configure_logging(settings)
    configure_tracing(settings, name)
    return ServedCalls(Metrics("replica", ray_metrics.export), name)
