"""Writer of docker/watching/dashboard.json, the Grafana dashboard: `python -m bench.tools.dashboard`.

The panels are the table below; Grafana's own JSON repeats each of them in forty lines.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.report import no_arguments

PAGE = Path("docker/watching/dashboard.json")
_WIDTH, _HEIGHT, _COLUMNS = 8, 8, 3
_SOURCE = {"type": "prometheus", "uid": "${source}"}


@dataclass(frozen=True, slots=True)
class Panel:
    """A graph: title, Grafana's unit, and queries with the legend of their series."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    description: str = ""


def _rate(metric: str, by: str, where: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{where}[$__rate_interval]))"


def _p95(metric: str, by: str) -> str:
    return f"histogram_quantile(0.95, sum by (le, {by}) (rate({metric}_bucket[$__rate_interval])))"


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Requests",
        (
            Panel("Requests", "reqps", ((_rate("ray_darkroom_http_requests_total", "status"), "{{status}}"),)),
            Panel(
                "Time to answer, 95 %",
                "s",
                ((_p95("ray_darkroom_http_request_seconds", "route"), "{{route}}"),),
                "Calls that wait for their job take as long as that.",
            ),
            Panel("Requests by route", "reqps", ((_rate("ray_darkroom_http_requests_total", "route"), "{{route}}"),)),
        ),
    ),
    (
        "Queue",
        (
            Panel(
                "Jobs waiting and running",
                "short",
                (("max by (lane, status) (ray_darkroom_queue_jobs)", "{{lane}}, {{status}}"),),
                "Every worker counts the whole queue: the highest figure is the newest or as good.",
            ),
            Panel(
                "Longest wait",
                "s",
                (("max by (lane) (ray_darkroom_queue_oldest_seconds)", "{{lane}}"),),
                "Time that the oldest job has been due. Workers are too few, or busy, where it grows.",
            ),
            Panel(
                "Put off: what they need is away or full",
                "short",
                (
                    ("max by (lane) (ray_darkroom_queue_postponed)", "{{lane}}"),
                    (_rate("ray_darkroom_jobs_postponed_total", "slug"), "{{slug}}, a second"),
                ),
            ),
            Panel(
                "Jobs ended",
                "ops",
                ((_rate("ray_darkroom_jobs_ended_total", "kind, outcome"), "{{kind}}: {{outcome}}"),),
            ),
            Panel(
                "Attempts and failures",
                "ops",
                (
                    (_rate("ray_darkroom_job_attempts_total", "kind"), "{{kind}}: attempts"),
                    (_rate("ray_darkroom_job_failures_total", "kind, slug"), "{{kind}}: {{slug}}"),
                ),
            ),
            Panel(
                "Time of a job, and wait before, 95 %",
                "s",
                (
                    (_p95("ray_darkroom_job_seconds", "kind"), "{{kind}}"),
                    (_p95("ray_darkroom_job_wait_seconds", "kind"), "{{kind}}: wait"),
                ),
            ),
        ),
    ),
    (
        "Capabilities",
        (
            Panel(
                "Calls served",
                "ops",
                (
                    (
                        _rate("ray_darkroom_served_calls_total", "deployment, verb", '{verb!="check"}'),
                        "{{deployment}}.{{verb}}",
                    ),
                ),
            ),
            Panel("Pictures", "ops", ((_rate("ray_darkroom_served_pictures_total", "verb"), "{{verb}}"),)),
            Panel(
                "Time in the replica, 95 %",
                "s",
                ((_p95("ray_darkroom_served_seconds", "deployment, verb"), "{{deployment}}.{{verb}}"),),
            ),
            Panel(
                "Calls that went wrong",
                "ops",
                (
                    (
                        _rate("ray_darkroom_served_calls_total", "deployment, verb", '{outcome="failed"}'),
                        "{{deployment}}.{{verb}} failed",
                    ),
                    (
                        _rate("ray_darkroom_capability_calls_total", "verb, outcome", '{outcome!="ok"}'),
                        "{{verb}}: {{outcome}}",
                    ),
                    (_rate("ray_darkroom_capability_calls_repeated_total", "verb"), "{{verb}} repeated"),
                ),
            ),
            Panel(
                "Time as callers see it, 95 %",
                "s",
                ((_p95("ray_darkroom_capability_seconds", "verb"), "{{verb}}"),),
                "Above the time in the replica: waiting for a turn, for a replica, and repetitions.",
            ),
            Panel(
                "Engines and vendors",
                "ops",
                (
                    (
                        _rate("ray_darkroom_provider_calls_total", "use, provider, outcome"),
                        "{{use}}, {{provider}}: {{outcome}}",
                    ),
                ),
            ),
            Panel("Pictures analysed", "ops", ((_rate("ray_darkroom_pictures_total", "outcome"), "{{outcome}}"),)),
        ),
    ),
    (
        "Scaling",
        (
            Panel(
                "Replicas",
                "short",
                (
                    ("sum by (deployment) (ray_serve_deployment_replica_healthy)", "{{deployment}}"),
                    ("max by (deployment) (ray_serve_autoscaling_target_replicas)", "{{deployment}}: wanted"),
                ),
                "Wanted above healthy for long: there is no room for another replica.",
            ),
            Panel(
                "Calls in hand",
                "short",
                (
                    ("sum by (deployment) (ray_serve_replica_processing_queries)", "{{deployment}}"),
                    ("sum by (deployment) (ray_serve_deployment_queued_queries)", "{{deployment}}: waiting"),
                ),
            ),
            Panel("Processor", "percent", (("avg by (instance) (ray_node_cpu_utilization)", "{{instance}}"),)),
            Panel(
                "Memory",
                "percentunit",
                (("sum by (instance) (ray_node_mem_used) / sum by (instance) (ray_node_mem_total)", "{{instance}}"),),
            ),
            Panel("Object store", "bytes", (("sum by (instance) (ray_object_store_memory)", "{{instance}}"),)),
            Panel(
                "GPU",
                "percent",
                (
                    ("sum by (instance, GpuIndex) (ray_node_gpus_utilization)", "{{instance}}, {{GpuIndex}}"),
                    (
                        "100 * ray_node_gram_used / (ray_node_gram_used + ray_node_gram_available)",
                        "{{instance}}, {{GpuIndex}}: memory",
                    ),
                ),
            ),
        ),
    ),
)


def dashboard() -> dict[str, Any]:
    """Build Grafana's model of the dashboard."""
    return {
        "uid": "darkroom",
        "title": "Darkroom",
        "tags": ["darkroom"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {
            "list": [{"name": "source", "label": "Source", "type": "datasource", "query": "prometheus", "current": {}}]
        },
        "panels": list(_placed()),
    }


def queries() -> list[str]:
    """List the queries of all panels."""
    return [query for _, panels in ROWS for panel in panels for query, _ in panel.queries]


def _placed() -> Iterator[dict[str, Any]]:
    """The rows and panels with their places on the grid of 24 columns."""
    number, top = 1, 0
    for title, panels in ROWS:
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "gridPos": {"x": 0, "y": top, "w": 24, "h": 1},
            "panels": [],
        }
        number, top = number + 1, top + 1
        for place, panel in enumerate(panels):
            x, y = place % _COLUMNS * _WIDTH, top + place // _COLUMNS * _HEIGHT
            yield _drawn(number, panel, {"x": x, "y": y, "w": _WIDTH, "h": _HEIGHT})
            number += 1
        top += -(-len(panels) // _COLUMNS) * _HEIGHT


def _drawn(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": {"fillOpacity": 10}}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": _SOURCE, "expr": query, "legendFormat": legend}
            for index, (query, legend) in enumerate(panel.queries)
        ],
    }


def text() -> str:
    """Render the file."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    no_arguments(__doc__)
    PAGE.write_text(text())
