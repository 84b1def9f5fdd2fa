"""OpenTelemetry behind `serve_app.tracing`; imported where tracing is on, and needs the extra `tracing`."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry.context import Context, attach, detach
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, format_trace_id, get_current_span, use_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from deployments.errors import DarkroomError

_KINDS = {
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "consumer": SpanKind.CONSUMER,
    "internal": SpanKind.INTERNAL,
}


def otlp_provider(process: str) -> TracerProvider:
    """Make a provider that sends spans in the background by OTLP over HTTP.

    The SDK reads `OTEL_EXPORTER_OTLP_*`, `OTEL_TRACES_SAMPLER`, `OTEL_BSP_*` and `OTEL_RESOURCE_ATTRIBUTES`.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    attributes = {"darkroom.process": process, "service.instance.id": f"{socket.gethostname()}/{os.getpid()}"}
    if not (os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")):
        attributes["service.name"] = "darkroom"
    provider = TracerProvider(resource=Resource.create(attributes))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class Spans:
    """Spans of one process."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("darkroom")
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def span(
        self, name: str, role: str, parent: Mapping[str, str] | None, may_begin: bool, attributes: Mapping[str, Any]
    ) -> Iterator[Span | None]:
        """See `serve_app.tracing.span`."""
        span = self.begin(name, role, parent, may_begin, attributes)
        if span is None:
            yield None
            return
        with use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                yield span
            except BaseException as error:
                _record(span, error)
                raise

    def begin(
        self, name: str, role: str, parent: Mapping[str, str] | None, may_begin: bool, attributes: Mapping[str, Any]
    ) -> Span | None:
        """Begin a span that is not the running one; whoever calls ends it. None: there is no trace for it."""
        above = None if parent is None else self._propagator.extract(parent, context=Context())
        if above is None or not _is_within(above):
            above = None
            if not (may_begin or _is_within(None)):
                return None
        known = {key.replace("__", "."): value for key, value in attributes.items() if value is not None}
        return self._tracer.start_span(name, above, _KINDS[role], known)

    @contextmanager
    def outside(self) -> Iterator[None]:
        """See `serve_app.tracing.outside`."""
        token = attach(Context())
        try:
            yield
        finally:
            detach(token)

    def headers(self) -> dict[str, str]:
        """Headers of the running trace; none outside of one."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier

    def trace_id(self) -> str | None:
        """Id of the running trace, in hexadecimal digits."""
        context = get_current_span().get_span_context()
        return format_trace_id(context.trace_id) if context.is_valid else None

    def close(self) -> None:
        """Send what has not been sent."""
        self._provider.shutdown()


def _is_within(context: Context | None) -> bool:
    """Whether there is a span that another could be below."""
    return get_current_span(context).get_span_context().is_valid


def _record(span: Span, error: BaseException) -> None:
    """Record how a block ended: the error's type and no more, since messages may name what is in a picture."""
    if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
        span.set_attribute("darkroom.cancelled", True)
        return
    span.set_attribute("error.type", error.slug if isinstance(error, DarkroomError) else type(error).__name__)
    if not isinstance(error, DarkroomError) or error.is_fault:
        span.set_status(Status(StatusCode.ERROR))
