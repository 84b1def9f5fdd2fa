"""Dashboard, alert rules and scrape configuration ask for metrics that exist, in queries that are right."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import ray

from bench.tools import dashboard
from serve_app.ray_metrics import PREFIX
from serve_app.telemetry import Metric, Metrics
from tests.support.container_files import compose
from tests.support.watching import FOLDER, alerts, named_metrics, queries, selectors

PROMTOOL = shutil.which("promtool")


SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
ADDED = {"deployment", "replica", "application"}
"""Labels that Serve adds."""


def exported() -> dict[str, set[str]]:
    """Each name under which Ray shows a metric of ours -> its labels."""
    declared = [metric for metric in vars(Metrics("x")).values() if isinstance(metric, Metric)]
    return {
        family.name.replace("darkroom_x_", PREFIX) + suffix: {*metric._labels, *ADDED, "le"}
        for metric in declared
        for family in metric._own.collect()
        for suffix in SUFFIXES[family.type]
    }


def test_the_dashboard_is_what_its_writer_writes() -> None:
    assert (FOLDER / "dashboard.json").read_text() == dashboard.text(), "python -m bench.tools.dashboard"


@pytest.mark.parametrize("query", queries())
def test_a_query_is_promql_about_metrics_with_those_labels(query: str) -> None:
    ours = exported()
    for selector in selectors(query):
        if selector.name.startswith(PREFIX):
            grouped = {label.strip() for by in re.findall(r"by \(([^)]*)\)", query) for label in by.split(",")}
            asked = {matcher.name for matcher in selector.matchers.matchers}
            assert grouped | asked <= ours[selector.name], selector.name


def test_a_misspelt_query_would_be_seen() -> None:
    with pytest.raises(ValueError, match="unclosed"):
        selectors("sum by (lane (ray_darkroom_queue_jobs)")


def test_metrics_that_are_not_ours_are_rays() -> None:
    """Rays' own code names them: those of Serve's, those of nodes, and what makes them counters or histograms."""
    folder = Path(ray.__file__).parent
    code = "".join(
        path.read_text()
        for path in (*folder.glob("serve/_private/*.py"), folder / "dashboard/modules/reporter/reporter_agent.py")
    )
    theirs = {name for name in named_metrics() if name.startswith("ray_") and not name.startswith(PREFIX)}
    assert theirs
    inside = {"ray_object_store_memory"}  # of the raylet, in C++: tests/cluster/test_seeing.py sees it
    assert [name for name in theirs - inside if f'"{name.removeprefix("ray_")}"' not in code] == []


def test_every_alert_says_what_is_wrong_and_how_bad() -> None:
    for rule in alerts():
        assert rule["labels"]["severity"] in {"warning", "critical"}, rule["alert"]
        assert rule["annotations"].keys() == {"summary", "description"}, rule["alert"]
    assert len({rule["alert"] for rule in alerts()}) == len(alerts())


def test_the_scrape_configuration_reads_the_page_that_compose_opens() -> None:
    [port] = {compose()["services"]["server"]["environment"]["DARKROOM_METRICS_PORT"]}
    assert f'targets: ["127.0.0.1:{port}"]' in (FOLDER / "prometheus.yaml").read_text()
    assert compose()["services"]["prometheus"]["network_mode"] == "service:server"


@pytest.mark.skipif(PROMTOOL is None, reason="Debian's package `prometheus` brings promtool")
@pytest.mark.parametrize("command", ["check config prometheus.yaml", "test rules alerts_test.yaml"])
def test_prometheus_own_tool_takes_the_files_and_each_alert_rises_when_it_should(command: str) -> None:
    assert PROMTOOL
    ran = subprocess.run([PROMTOOL, *command.split()], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_alert_has_a_case_in_which_it_rises() -> None:
    text = (FOLDER / "alerts_test.yaml").read_text()
    assert [rule["alert"] for rule in alerts() if f'alertname="{rule["alert"]}"' not in text] == []
