"""Traces across processes, which cost nothing and import nothing where they are off (`DARKROOM_TRACING`).

A request or a job begins a trace, or goes on with the one whose `traceparent` came with it; calls of capabilities and
queries are spans below. Outside of a trace nothing is recorded: heartbeats and looks at the queue would be traces of
their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Literal

from configs.settings import Settings
from deployments.errors import Unavailable

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from serve_app.spans import Spans

TRACEPARENT = "traceparent"
Role = Literal["server", "client", "consumer", "internal"]
_spans: Spans | None = None


def configure_tracing(settings: Settings, process: str) -> None:
    """Send this process's spans to where OpenTelemetry's own variables say (`OTEL_EXPORTER_OTLP_ENDPOINT`).

    Raises `Unavailable` where the extra `tracing` is not installed.
    """
    global _spans
    if settings.tracing == "off":
        return
    try:
        from serve_app.spans import Spans, otlp_provider

        _spans = Spans(otlp_provider(process))
    except ImportError as error:
        raise Unavailable("DARKROOM_TRACING=otlp needs the extra `tracing`: pip install 'darkroom[tracing]'") from error


def close_tracing() -> None:
    """Send what has not been sent. Nothing is recorded afterwards."""
    global _spans
    ending, _spans = _spans, None
    if ending is not None:
        ending.close()


@contextmanager
def tracing_with(spans: Spans) -> Iterator[None]:
    """Record with `spans` within the block."""
    global _spans
    before, _spans = _spans, spans
    try:
        yield
    finally:
        _spans = before


def span(
    name: str,
    role: Role = "internal",
    *,
    parent: Mapping[str, str] | None = None,
    may_begin: bool = False,
    **attributes: Any,
) -> AbstractContextManager[Span | None]:
    """Record the block as a span: below the one whose headers `parent` holds, else below the running one.

    `may_begin`: without either it begins a trace; else nothing is recorded then. Attributes of None are left out.
    """
    return nullcontext() if _spans is None else _spans.span(name, role, parent, may_begin, attributes)


def begin(name: str, role: Role = "internal", **attributes: Any) -> Span | None:
    """Begin a span below the running one, which stays that; whoever calls ends it. None outside of a trace."""
    return None if _spans is None else _spans.begin(name, role, None, False, attributes)


def mark_failed(span: Span, reason: str) -> None:
    """Mark a span as failed, for `reason`: a word such as a status or a problem's type."""
    from opentelemetry.trace import StatusCode

    span.set_attribute("error.type", reason)
    span.set_status(StatusCode.ERROR)


def outside() -> AbstractContextManager[None]:
    """Let what the block starts be no part of the running trace."""
    return nullcontext() if _spans is None else _spans.outside()


def is_on() -> bool:
    """Whether this process records spans."""
    return _spans is not None


def headers() -> dict[str, str]:
    """Headers that let another process go on with the running trace; none outside of one."""
    return {} if _spans is None else _spans.headers()


def add_trace_id(_logger: object, _method: str, event: Any) -> Any:
    """Add the id of the running trace to a log line: a processor of structlog's."""
    if _spans is not None and (trace_id := _spans.trace_id()):
        event["trace_id"] = trace_id
    return event
