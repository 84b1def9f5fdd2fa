"""How many workers there should be, by how long jobs have waited."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.serve.config import AutoscalingPolicy

from serve_app.scaling import Lane, QueueAge, make_stats, parse_stats, wanted_workers

TARGET_S = 10.0
IDLE = Lane(waiting=0, running=0, oldest_s=0, slots=4)
LANES = st.builds(
    Lane,
    waiting=st.integers(0, 2000),
    running=st.integers(0, 400),
    oldest_s=st.floats(0, 1e6),
    slots=st.integers(1, 16),
)


def late(waiting: int = 100, oldest_s: float = 30.0) -> Lane:
    return Lane(waiting=waiting, running=4, oldest_s=oldest_s, slots=4)


def wanted(now: int, *lanes: Lane) -> int:
    return wanted_workers(now, {str(place): lane for place, lane in enumerate(lanes)}, TARGET_S)


def test_a_job_that_waits_too_long_brings_more_workers() -> None:
    assert wanted(2, late()) > 2


def test_a_long_queue_that_moves_fast_brings_none() -> None:
    assert wanted(2, late(waiting=1000, oldest_s=9.0)) == 2


def test_the_older_the_job_the_more_workers_but_at_most_twice_as_many_at_once() -> None:
    assert [wanted(4, late(oldest_s=age)) for age in (11.0, 15.0, 20.0, 600.0)] == [5, 6, 8, 8]


def test_a_job_that_waits_in_either_lane_brings_workers() -> None:
    assert wanted(2, IDLE, late()) > 2


def test_no_more_workers_come_than_there_are_jobs_for() -> None:
    assert wanted(2, Lane(waiting=1, running=8, oldest_s=600, slots=4)) == 3


def test_workers_go_as_far_as_their_jobs_end() -> None:
    assert wanted(8, Lane(waiting=0, running=9, oldest_s=0, slots=4)) == 3
    assert wanted(8, IDLE) == 0


@given(now=st.integers(1, 100), lanes=st.lists(LANES, max_size=3))
def test_while_a_job_is_late_no_worker_goes(now: int, lanes: list[Lane]) -> None:
    if any(lane.waiting and lane.oldest_s > TARGET_S for lane in lanes):
        assert now <= wanted(now, *lanes) <= 2 * now
    else:
        assert wanted(now, *lanes) <= now


@given(now=st.integers(1, 100), lanes=st.lists(LANES, max_size=3))
def test_every_running_job_keeps_a_worker(now: int, lanes: list[Lane]) -> None:
    needed = max((lane.workers for lane in lanes), default=0)
    assert wanted(now, *lanes) >= min(now, needed)


@given(lanes=st.dictionaries(st.sampled_from(["analyses", "generations"]), LANES))
def test_what_workers_report_is_what_the_policy_reads(lanes: dict[str, Lane]) -> None:
    assert parse_stats(make_stats(lanes) | {"serve_ongoing_requests": 3.0}) == lanes


def policy() -> Any:
    """The policy as Serve's controller has it: pickled with its module, since that may not be there."""
    described = AutoscalingPolicy(policy_function="serve_app.scaling:QueueAge", policy_kwargs={"target_age_s": 10})
    again = AutoscalingPolicy.from_serialized_policy_def(described.model_dump(), described.get_serialized_policy_def())
    return again.get_policy()(**again.policy_kwargs)


def context(*reports: dict[str, float], current: int = 2) -> Any:
    """A context of Serve's in which each report is a later one, of another replica."""
    raw: dict[str, dict[int, list[Any]]] = {}
    for place, report in enumerate(reports):
        for name, value in report.items():
            raw.setdefault(name, {})[place] = [SimpleNamespace(timestamp=float(place), value=value)]
    return SimpleNamespace(raw_metrics=raw, current_num_replicas=current, target_num_replicas=3)


def test_serves_autoscaler_is_told_by_the_latest_report() -> None:
    before, after = make_stats({"analyses": late()}), make_stats({"analyses": IDLE})
    assert policy()(context(before, after))[0] == 0
    assert policy()(context(after, before))[0] == 4


def test_without_a_word_of_the_queue_everything_stays() -> None:
    assert policy()(context())[0] == 3


def test_a_target_of_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="target_age_s"):
        QueueAge(0)
