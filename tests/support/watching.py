"""What docker/watching asks of metrics, and a receiver of traces."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from gzip import decompress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import promql_parser
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docker/watching"


def alerts() -> list[dict[str, Any]]:
    """The alert rules."""
    groups = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def queries() -> list[str]:
    """All queries of the dashboard and of the alert rules, Grafana's variables filled in."""
    panels = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    return [query.replace("$__rate_interval", "5m") for query in asked] + [rule["expr"] for rule in alerts()]


def selectors(query: str) -> list[Any]:
    """The metrics that a query reads, with their labels. Raises `ValueError` where it is no PromQL."""
    found: list[Any] = []

    def visit(part: Any) -> None:
        if isinstance(part, promql_parser.VectorSelector):
            found.append(part)

    promql_parser.walk(promql_parser.parse(query), visit)
    return found


def named_metrics() -> set[str]:
    """The names of all metrics that are asked for."""
    return {selector.name for query in queries() for selector in selectors(query)}


class Traces:
    """Spans that came by OTLP: (trace, name, process)."""

    def __init__(self) -> None:
        self.url = ""
        self._spans: list[tuple[str, str, str]] = []

    def take(self, body: bytes) -> None:
        for of_process in ExportTraceServiceRequest.FromString(body).resource_spans:
            attributes = {one.key: one.value.string_value for one in of_process.resource.attributes}
            assert attributes["service.name"] == "darkroom"
            self._spans += [
                (span.trace_id.hex(), span.name, attributes["darkroom.process"])
                for of_scope in of_process.scope_spans
                for span in of_scope.spans
            ]

    def of(self, trace: str) -> dict[str, str]:
        """Name -> process of the trace's spans."""
        return {name: process for its_trace, name, process in self._spans if its_trace == trace}


@contextmanager
def receiving() -> Iterator[Traces]:
    """Receive traces by OTLP over HTTP on this machine."""
    traces = Traces()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            traces.take(decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        traces.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield traces
        finally:
            server.shutdown()
