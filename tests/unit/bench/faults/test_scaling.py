"""The report of a run of `bench.faults.scaling`, and the configuration that it runs."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import pytest
from ray.serve.schema import ServeDeploySchema

from bench.faults.scaling import LOCAL, Look, Run, configuration
from bench.faults.scaling_page import refused, report_on, write
from bench.report import Report

OPTIONS = argparse.Namespace(albums=16, pictures=8)


def a_run(**changes: Counter[str]) -> Run:
    looks = [Look(0.0, {"Worker": 2, "Faces": 1}, 0, 0.0), Look(10.0, {"Worker": 4, "Faces": 3}, 30, 21.0)]
    looks.append(Look(60.0, {"Worker": 2, "Faces": 1}, 0, 0.0))
    run = Run(looks, (15.0, 20.0), 55.0, 19, Counter({"201": 40, "202": 19, "200": 100}), Counter(succeeded=60))
    for name, value in changes.items():
        setattr(run, name, value)
    return run


def test_a_run_without_refusals_and_failures_is_good() -> None:
    assert report_on(Report("scaling"), a_run())


@pytest.mark.parametrize("status", ["429", "503", "500 plain", "broken", "silent"])
def test_a_call_that_was_refused_or_lost_is_counted(status: str) -> None:
    run = a_run(answers=Counter({"202": 5, status: 2}))
    assert refused(run) == 2
    assert not report_on(Report("scaling"), run)


@pytest.mark.parametrize("status", ["failed", "cancelled", "queued", "running"])
def test_a_job_that_did_not_succeed_is_a_fault(status: str) -> None:
    assert not report_on(Report("scaling"), a_run(outcomes=Counter({"succeeded": 5, status: 1})))


def test_the_page_says_which_replicas_came_and_shows_them(tmp_path: Path) -> None:
    page = tmp_path / "operations.md"
    page.write_text("before\n<!-- scaling: written by a command -->\n<!-- scaling: end -->\nafter\n")
    write(tmp_path, a_run(), OPTIONS)
    text = " ".join(page.read_text().split())
    assert "Worker 2, 4, 2, Faces 1, 3, 1." in text
    assert "Of 159 calls 0 were refused or failed" in text
    for plot in ("scaling-replicas.svg", "scaling-queue.svg"):
        assert plot in text
        assert "<polyline" in (tmp_path / plot).read_text()


def test_what_runs_is_productions_configuration_without_what_this_machine_lacks() -> None:
    config = configuration()
    ServeDeploySchema.model_validate(config)
    [application] = config["applications"]
    assert not set(LOCAL) & set(application["runtime_env"]["env_vars"])
    assert "Diffusion" not in {one["name"] for one in application["deployments"]}
    [worker] = [one for one in application["deployments"] if one["name"] == "Worker"]
    assert worker["autoscaling_config"]["policy"]["policy_function"] == "serve_app.scaling:QueueAge"
