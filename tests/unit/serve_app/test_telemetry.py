"""Metrics of a process: in its own registry, and in whatever else they are exported to."""

from __future__ import annotations

import pytest
import structlog

from serve_app.telemetry import Kind, Metrics, Write
from tests.support.log_lines import logged


class Exported:
    """Keeps what an exporter is told."""

    def __init__(self) -> None:
        self.opened: dict[str, tuple[Kind, tuple[str, ...]]] = {}
        self.written: list[tuple[str, float, dict[str, str]]] = []

    def open(self, kind: Kind, name: str, text: str, labels: tuple[str, ...]) -> Write:
        assert text
        self.opened[name] = (kind, labels)
        return lambda value, tags: self.written.append((name, value, tags))


def test_a_value_is_counted_by_the_process_and_exported_with_its_labels() -> None:
    exported = Exported()
    metrics = Metrics("worker", exported.open)
    metrics.pictures.labels("analysed").inc(3)
    metrics.job_seconds.labels("tags").observe(0.2)
    metrics.queue_jobs.labels("analyses", "queued").set(7)
    assert exported.written == [
        ("darkroom_pictures", 3, {"outcome": "analysed"}),
        ("darkroom_job_seconds", 0.2, {"kind": "tags"}),
        ("darkroom_queue_jobs", 7, {"lane": "analyses", "status": "queued"}),
    ]
    page = metrics.render().decode()
    assert 'darkroom_worker_pictures_total{outcome="analysed"} 3.0' in page
    assert 'darkroom_worker_job_seconds_bucket{kind="tags",le="0.25"} 1.0' in page
    assert 'darkroom_worker_queue_jobs{lane="analyses",status="queued"} 7.0' in page


def test_nothing_added_to_a_counter_is_not_exported() -> None:
    exported = Exported()
    Metrics("worker", exported.open).pictures.labels("analysed").inc(0)
    assert exported.written == []


def test_every_metric_of_the_registry_is_exported() -> None:
    exported = Exported()
    own = {family.name.removeprefix("darkroom_x_") for family in Metrics("x", exported.open).registry.collect()}
    assert {name.removeprefix("darkroom_") for name in exported.opened} == own


def test_a_wrong_number_of_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="Incorrect label count"):
        Metrics("x").requests.labels("GET")


def test_a_log_line_in_json_has_what_was_bound() -> None:
    with logged() as lines, structlog.contextvars.bound_contextvars(job="job_1"):
        structlog.get_logger("x").info("done", pictures=2)
    [line] = lines()
    assert (line["event"], line["job"], line["pictures"], line["level"]) == ("done", "job_1", 2, "info")
    assert "trace_id" not in line
