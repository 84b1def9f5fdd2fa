"""Traces: where they begin, what they go on from, and that nothing is recorded outside of one."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from configs.settings import Settings
from deployments.errors import NotFound, Unavailable
from serve_app import tracing
from serve_app.spans import Spans

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}


@pytest.fixture
def recorded() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with tracing.tracing_with(Spans(provider)):
        yield exporter


def trace_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def test_a_span_goes_on_with_the_trace_of_its_headers(recorded: InMemorySpanExporter) -> None:
    with tracing.span("request", "server", parent=PARENT, darkroom__pictures=3, user__id=None):
        assert tracing.headers()["traceparent"].startswith(f"00-{TRACE}-")
    [span] = recorded.get_finished_spans()
    assert (span.name, span.kind, trace_of(span)) == ("request", SpanKind.SERVER, TRACE)
    assert dict(span.attributes or {}) == {"darkroom.pictures": 3}
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == "00f067aa0ba902b7"


def test_a_span_lies_below_the_running_one_where_no_headers_came(recorded: InMemorySpanExporter) -> None:
    with tracing.span("request", parent=PARENT), tracing.span("call", parent={}):
        pass
    call, request = recorded.get_finished_spans()
    assert call.parent == request.context


def test_outside_of_a_trace_nothing_is_recorded_unless_it_may_begin_one(recorded: InMemorySpanExporter) -> None:
    with tracing.span("query") as span:
        assert span is None
        assert tracing.headers() == {}
    assert tracing.begin("query") is None
    with tracing.span("request", parent={"traceparent": "nonsense"}, may_begin=True):
        pass
    assert [span.name for span in recorded.get_finished_spans()] == ["request"]


def test_a_begun_span_is_not_the_running_one(recorded: InMemorySpanExporter) -> None:
    with tracing.span("request", parent=PARENT):
        query = tracing.begin("SELECT", "client")
        assert query is not None
        with tracing.span("call"):
            pass
        query.end()
    call, select, request = recorded.get_finished_spans()
    assert call.parent == select.parent == request.context


async def test_what_is_started_outside_is_no_part_of_the_trace(recorded: InMemorySpanExporter) -> None:
    async def beat() -> None:
        with tracing.span("heartbeat"):
            pass

    with tracing.span("job", parent=PARENT):
        with tracing.outside():
            beating = asyncio.create_task(beat())
        await beating
        assert tracing.headers()
    assert [span.name for span in recorded.get_finished_spans()] == ["job"]


def test_a_fault_marks_its_span_and_a_refusal_only_names_itself(recorded: InMemorySpanExporter) -> None:
    for error in (Unavailable("The database is away"), NotFound("There is no such album: holidays.")):
        with pytest.raises(type(error)), tracing.span("call", parent=PARENT):
            raise error
    fault, refusal = recorded.get_finished_spans()
    assert [span.status.is_ok for span in (fault, refusal)] == [False, True]
    assert [dict(span.attributes or {}) for span in (fault, refusal)] == [
        {"error.type": "unavailable"},
        {"error.type": "not-found"},
    ]
    assert [span.events for span in (fault, refusal)] == [(), ()], "messages may name what belongs to people"


async def test_a_cancelled_span_is_no_fault(recorded: InMemorySpanExporter) -> None:
    async def wait() -> None:
        with tracing.span("call", parent=PARENT):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    [span] = recorded.get_finished_spans()
    assert span.status.is_ok
    assert dict(span.attributes or {}) == {"darkroom.cancelled": True}


def test_log_lines_name_the_trace(recorded: InMemorySpanExporter) -> None:
    with tracing.span("request", parent=PARENT):
        assert tracing.add_trace_id(None, "info", {"event": "x"}) == {"event": "x", "trace_id": TRACE}
    assert tracing.add_trace_id(None, "info", {"event": "x"}) == {"event": "x"}


def test_tracing_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(Unavailable, match=r"pip install 'darkroom\[tracing\]'"):
        tracing.configure_tracing(Settings(tracing="otlp"), "test")
    assert not tracing.is_on()


def test_tracing_that_is_off_records_nothing_and_yields_nothing() -> None:
    tracing.configure_tracing(Settings(), "test")
    assert not tracing.is_on()
    with tracing.span("request", may_begin=True) as span:
        assert span is None
        assert tracing.headers() == {}
