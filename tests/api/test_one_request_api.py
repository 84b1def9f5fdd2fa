"""One request from its client's headers to the lines and spans of its job and of the replicas that the job called."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from configs.settings import Deadlines, Settings
from deployments.capabilities import CAPABILITIES
from deployments.errors import Unavailable
from serve_app import tracing
from serve_app.api.app import build_app
from serve_app.gateway import Gateway
from serve_app.services.container import Services
from serve_app.services.runner import JobRunner
from serve_app.spans import Spans
from serve_app.telemetry import Metrics
from tests.api.conftest import upload
from tests.support.accounts import Account, an_account, with_keys
from tests.support.builders import an_image, encoded
from tests.support.fakes import FakeCapabilities
from tests.support.local_replicas import LocalHandle
from tests.support.log_lines import Read, logged

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SENT = {"X-Request-ID": "holidays-7", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with tracing.tracing_with(Spans(provider)):
        yield exporter


@pytest.fixture
def capabilities(spans: InMemorySpanExporter) -> Gateway:
    """The real gateway, over a replica of the fake capabilities."""
    handles = dict.fromkeys(CAPABILITIES, LocalHandle(FakeCapabilities))
    return Gateway(handles, Deadlines(), Metrics("test"))  # type: ignore[arg-type]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return with_keys(settings)


@pytest.fixture
async def ann(services: Services, settings: Settings, worker: JobRunner) -> AsyncIterator[Account]:
    async with an_account(services, build_app(services, settings, Metrics("ingress")), "ann") as account:
        yield account


@pytest.fixture
def lines(services: Services) -> Iterator[Read]:
    with logged() as read:
        yield read


async def embed(client: httpx.AsyncClient) -> None:
    refs = await upload(client, encoded(an_image(), "PNG"))
    body = {"images": refs, "album_id": "holidays"}
    response = await client.post("/api/v1/albums/embeddings", json=body, headers=SENT)
    assert response.status_code == 201, response.text
    assert response.headers["x-request-id"] == "holidays-7"


def in_trace(spans: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    """Spans of the client's trace by name, one of each."""
    return {
        span.name: span
        for span in spans.get_finished_spans()
        if span.context is not None and f"{span.context.trace_id:032x}" == TRACE
    }


def above(span: ReadableSpan, spans: InMemorySpanExporter) -> list[str]:
    """Names of the spans above, nearest first."""
    by_id = {one.context.span_id: one for one in spans.get_finished_spans() if one.context is not None}
    names = []
    while span.parent is not None and span.parent.span_id in by_id:
        span = by_id[span.parent.span_id]
        names.append(span.name)
    return names


async def test_the_lines_of_a_request_its_job_and_the_replica_carry_its_id_and_its_user(
    ann: Account, lines: Read
) -> None:
    await embed(ann.client)
    said = [line for line in lines() if line.get("request_id") == "holidays-7"]
    [request] = [line for line in said if line["event"] == "request"]
    [job] = [line for line in said if line["event"] == "job ended" and line["kind"] == "embeddings"]
    served = [line for line in said if line["event"] == "call served" and line.get("job") == job["job"]]
    assert (request["route"], request["status"]) == ("/api/v1/albums/embeddings", 201)
    assert {line["verb"] for line in served} == {"embed_images", "find_faces"}
    assert {line["pictures"] for line in served} == {1}
    assert {line["user"] for line in (request, job, *served)} == {ann.id}
    assert {line["trace_id"] for line in (request, job, *served)} == {TRACE}


async def test_follow_up_jobs_carry_the_id_of_the_request_that_led_to_them(ann: Account, services: Services) -> None:
    await embed(ann.client)
    album = (await ann.client.get("/api/v1/albums/holidays")).json()
    assert {job["kind"] for job in album["jobs"]} >= {"embeddings", "tags", "people"}
    stored = [await services.jobs.get(ann.id, job["id"]) for job in album["jobs"]]
    assert {job.request_id for job in stored} == {"holidays-7"}


async def test_one_trace_leads_from_the_clients_to_the_replica(ann: Account, spans: InMemorySpanExporter) -> None:
    await embed(ann.client)
    found = in_trace(spans)
    request = found["POST /api/v1/albums/embeddings"]
    assert request.parent is not None
    assert f"{request.parent.span_id:016x}" == "00f067aa0ba902b7"
    served = found["Bundle.embed_images"]
    assert above(served, spans) == ["call embed_images", "job embeddings", request.name]
    assert (served.attributes or {})["darkroom.pictures"] == 1
    assert (found["job embeddings"].attributes or {})["darkroom.outcome"] == "succeeded"
    assert (request.attributes or {}).items() >= {
        "http.response.status_code": 201,
        "user.id": ann.id,
        "darkroom.request_id": "holidays-7",
    }.items()


async def test_queries_are_spans_of_the_request_and_of_the_job(ann: Account, spans: InMemorySpanExporter) -> None:
    await embed(ann.client)
    queries = [span for span in spans.get_finished_spans() if (span.attributes or {}).get("db.system.name")]
    assert {above(span, spans)[0] for span in queries} >= {"POST /api/v1/albums/embeddings", "job embeddings"}
    assert {"SELECT", "INSERT"} <= {span.name for span in queries}
    assert "holidays" not in str([span.attributes for span in queries]), "values belong to people"


async def test_what_nobody_asked_for_leaves_no_trace(client: httpx.AsyncClient, spans: InMemorySpanExporter) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        assert (await client.get(path)).status_code == 200
    assert spans.get_finished_spans() == (), "probes, looks at the queue and counts of it"


async def test_a_request_that_the_server_fails_is_marked_as_failed(
    ann: Account, services: Services, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise Unavailable("The database cannot be reached.")

    monkeypatch.setattr(type(services.history), "load_page", broken)
    assert (await ann.client.get("/api/v1/history", headers=SENT)).status_code == 503
    request = in_trace(spans)["GET /api/v1/history"]
    assert request.status.status_code is StatusCode.ERROR
    assert (request.attributes or {})["error.type"] == "503"


async def test_a_request_without_a_trace_begins_one(ann: Account, spans: InMemorySpanExporter) -> None:
    await ann.client.get("/api/v1/history")
    [request] = [span for span in spans.get_finished_spans() if span.name == "GET /api/v1/history"]
    assert request.parent is None
