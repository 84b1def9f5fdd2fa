"""Number of workers by how long jobs wait: a policy of Serve's autoscaler, named in configs/production.yaml.

Serve's own policy counts the requests that a replica has under way, and a worker has none: it fetches its jobs. Serve
asks the policy ten times a second, keeps to the file's smallest and largest number, and waits out its delays. It hands
this module to its controller by value, so that nothing but the standard library is imported here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_MOST_AT_ONCE = 2.0
"""Factor by which one step may grow: the age says that there are too few, hardly how many."""


@dataclass(frozen=True)
class Lane:
    """The part of the queue that one of a worker's two pools of slots takes its jobs from."""

    waiting: float
    """Jobs that are due. Those that were put off, since what they need is away, need no more workers."""
    running: float
    oldest_s: float
    """Seconds for which the oldest of those that are due has been so."""
    slots: float
    """Jobs of the lane that one worker runs at once."""

    @property
    def workers(self) -> int:
        """Workers that have a slot for every job."""
        return math.ceil((self.waiting + self.running) / self.slots)


def wanted_workers(now: int, lanes: Mapping[str, Lane], target_age_s: float) -> int:
    """Decide how many workers there should be, where `now` run.

    More, at most twice as many, while the oldest waiting job is older than the target and there are jobs for them;
    as many as the jobs need where that is fewer.
    """
    useful = max((lane.workers for lane in lanes.values()), default=0)
    oldest_s = max((lane.oldest_s for lane in lanes.values() if lane.waiting), default=0.0)
    if oldest_s > target_age_s:
        grown = math.ceil(now * min(oldest_s / target_age_s, _MOST_AT_ONCE))
        return max(now, min(max(grown, now + 1), useful))
    return min(now, useful)


class QueueAge:
    """Policy with the number of seconds that a job may wait (`policy_kwargs` in the Serve file)."""

    def __init__(self, target_age_s: float) -> None:
        if target_age_s <= 0:
            raise ValueError(f"target_age_s must be positive, not {target_age_s}")
        self._target_age_s = target_age_s

    def __call__(self, context: Any) -> tuple[int, dict[str, Any]]:
        """Decide from the workers' latest word of the queue; without one, everything stays as it is."""
        lanes = parse_stats(_latest(context.raw_metrics or {}))
        if not lanes:
            return context.target_num_replicas, {}
        return wanted_workers(context.current_num_replicas, lanes, self._target_age_s), {}


def make_stats(lanes: Mapping[str, Lane]) -> dict[str, float]:
    """Flatten the lanes into the numbers that a replica may report to Serve."""
    return {f"{name}.{field}": float(value) for name, lane in lanes.items() for field, value in vars(lane).items()}


def parse_stats(stats: Mapping[str, float]) -> dict[str, Lane]:
    """Read what `make_stats` wrote; names that it does not write are others' metrics."""
    found: dict[str, dict[str, float]] = {}
    for name, value in stats.items():
        lane, dot, field = name.partition(".")
        if dot and field in Lane.__dataclass_fields__:
            found.setdefault(lane, {})[field] = value
    return {name: Lane(**fields) for name, fields in found.items() if len(fields) == len(Lane.__dataclass_fields__)}


def _latest(metrics: Mapping[str, Mapping[Any, Any]]) -> dict[str, float]:
    """Take the newest value of each metric: every worker tells the same of the whole queue."""
    found: dict[str, float] = {}
    for name, by_replica in metrics.items():
        points = [point for series in by_replica.values() for point in series]
        if points:
            found[name] = max(points, key=lambda point: point.timestamp).value
    return found
