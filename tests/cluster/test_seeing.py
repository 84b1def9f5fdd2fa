"""A running server seen from outside: metrics of every process, one trace over all, and the lines of one request."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bench.server import Server, free_port
from tests.support.album_client import album_when_analysed, many_pictures, open_client, until, upload
from tests.support.watching import Traces, named_metrics, receiving

pytestmark = [pytest.mark.cluster, pytest.mark.weights]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SENT = {"X-Request-ID": "holidays-7", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
PICTURES = 5
NOT_HERE = {"ray_node_gpus_utilization", "ray_node_gram_used", "ray_node_gram_available"}
"""Metrics of machines with a GPU."""


@dataclass
class Seen:
    server: Server
    metrics_url: str
    traces: Traces


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """A server that has embedded an album for one request."""
    port = free_port()
    with receiving() as traces:
        server = Server(
            tmp_path_factory.mktemp("seen"),
            DARKROOM_LOG_FORMAT="json",
            DARKROOM_METRICS_PORT=str(port),
            DARKROOM_TRACING="otlp",
            OTEL_EXPORTER_OTLP_ENDPOINT=traces.url,
            OTEL_BSP_SCHEDULE_DELAY="200",
        )
        try:
            server.start()
            with open_client(server) as client:
                urls = list(upload(client, many_pictures(PICTURES, salt=41)).values())
                body = {"images": urls, "album_id": "holidays"}
                assert client.post("/albums/embeddings", json=body, headers=SENT).status_code == 201
                album_when_analysed(client, "holidays")
            yield Seen(server, f"http://127.0.0.1:{port}/metrics", traces)
            server.stop()
        finally:
            server.kill()


def page(url: str) -> str:
    response = httpx.get(url, timeout=30, trust_env=False)
    response.raise_for_status()
    return response.text


def value(text: str, name: str, **labels: str) -> float:
    """Sum of a metric over the series with these labels; 0 where there is none."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


COUNTED = {
    "ray_darkroom_http_requests_total": "Ingress",
    "ray_darkroom_jobs_ended_total": "Worker",
    "ray_darkroom_job_attempts_total": "Worker",
    "ray_darkroom_queue_jobs": "Worker",
    "ray_darkroom_served_calls_total": "Bundle",
}
"""Metrics, and who counts them. Each process tells Ray by itself, so that one may be there before another."""


@pytest.fixture(scope="module")
def metrics(seen: Seen) -> str:
    """The whole, once Ray has heard of the last call: it is told every ten seconds."""

    def told() -> str | None:
        text = page(f"{seen.server.url}/metrics")
        served = value(text, "ray_darkroom_served_pictures_total", verb="embed_images")
        ended = value(text, "ray_darkroom_jobs_ended_total", kind="tags", outcome="succeeded")
        return text if served >= PICTURES and ended and all(name in text for name in COUNTED) else None

    return until(told, "Ray has been told what was done")


def test_metrics_show_what_the_processes_of_all_deployments_counted(metrics: str) -> None:
    found = {
        sample.name: sample.labels for family in text_string_to_metric_families(metrics) for sample in family.samples
    }
    assert {name: found[name]["deployment"] for name in COUNTED} == COUNTED
    assert all(found[name]["replica"] and found[name]["application"] == "darkroom" for name in COUNTED)
    assert value(metrics, "ray_darkroom_served_pictures_total", verb="find_faces") == PICTURES
    served = value(metrics, "ray_darkroom_served_calls_total", verb="embed_images", outcome="ok")
    assert value(metrics, "ray_darkroom_served_seconds_count", verb="embed_images") == served


def test_metrics_name_neither_users_nor_pictures_nor_machines(metrics: str) -> None:
    names = {label for family in text_string_to_metric_families(metrics) for s in family.samples for label in s.labels}
    assert names <= {
        *("application", "deployment", "replica", "le", "method", "route", "status", "lane", "kind"),
        *("outcome", "slug", "verb", "use", "provider"),
    }


def test_rays_own_page_has_the_same_and_all_that_dashboard_and_alerts_ask_of_ray(metrics: str, seen: Seen) -> None:
    asked = {name for name in named_metrics() if not name.startswith("ray_darkroom_")} - {"up"} - NOT_HERE

    def told() -> str | None:
        """The page once it has all: Ray's processes report one after the other."""
        text = page(seen.metrics_url)
        return text if asked <= set(re.findall(r"^(\w+)[{ ]", text, re.MULTILINE)) else None

    text = until(told, f"Ray's page has all of {', '.join(sorted(asked))}")
    assert value(text, "ray_darkroom_served_pictures_total", verb="find_faces") == PICTURES


def test_one_trace_goes_through_the_processes_from_the_clients_to_the_models(seen: Seen) -> None:
    expected = {
        "POST /api/v1/albums/embeddings": "ingress",
        "job embeddings": "worker",
        "call embed_images": "worker",
        "Bundle.embed_images": "Bundle",
        "Bundle.find_faces": "Bundle",
    }
    until(lambda: expected.items() <= seen.traces.of(TRACE).items(), "all spans have been sent")


def test_the_lines_of_all_processes_name_the_request(seen: Seen) -> None:
    lines = [line for line in _lines(seen.server) if line.get("request_id") == SENT["X-Request-ID"]]
    [request] = [line for line in lines if line["event"] == "request"]
    [job] = [line for line in lines if line["event"] == "job ended" and line["kind"] == "embeddings"]
    served = [line for line in lines if line["event"] == "call served" and line["job"] == job["job"]]
    assert {line["verb"] for line in served} >= {"embed_images", "find_faces"}
    assert sum(line["pictures"] for line in served if line["verb"] == "find_faces") == PICTURES
    assert all(line["milliseconds"] > 0 and line["deployment"] == "Bundle" for line in served)
    assert {line["user"] for line in (request, job, *served)} == {request["user"]}
    assert {line["trace_id"] for line in (request, job, *served)} == {TRACE}


def _lines(server: Server) -> Iterator[dict[str, Any]]:
    for file in (server.data_dir / "logs").rglob("*"):
        if file.is_file():
            for line in file.read_text(errors="replace").splitlines():
                if line.startswith("{"):
                    try:
                        yield json.loads(line)
                    except json.JSONDecodeError:  # runtime lines of others
                        continue
