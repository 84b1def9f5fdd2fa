"""Search for the highest rate that a server answers cleanly: doubling, then bisection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from bench.faults.journal import Answer
from bench.report import NotMeasured


@dataclass(frozen=True)
class Step:
    """Answers to calls at one rate."""

    rate: float
    p50_s: float
    p99_s: float
    statuses: Counter[str]
    refused: int
    """Answers 429 that say when to ask again."""

    @property
    def errors(self) -> int:
        """Answers that are neither a success nor such a refusal."""
        good = sum(count for status, count in self.statuses.items() if status.startswith(("2", "3")))
        return self.statuses.total() - good - self.refused

    def is_clean(self, target_s: float) -> bool:
        """Whether nothing failed or was refused and the 99th percentile is within the target."""
        return not self.errors and not self.refused and self.p99_s <= target_s


def step_of(rate: float, answers: Iterable[Answer]) -> Step:
    """Sum up the answers to calls at a rate. Raises `NotMeasured` without any."""
    answers = list(answers)
    if not answers:
        raise NotMeasured(f"no call at {rate:g} calls a second")
    p50, p99 = np.percentile([answer.seconds for answer in answers], (50, 99))
    refused = sum(answer.status == "429" and answer.says_when for answer in answers)
    return Step(rate, float(p50), float(p99), Counter(answer.status for answer in answers), refused)


def highest_clean(
    run: Callable[[float], Step], target_s: float, first: float, bisections: int
) -> tuple[Step, list[Step]]:
    """Double the rate from `first` until a step is not clean, then halve the interval so many times.

    -> the highest clean step, and all steps. Raises `NotMeasured` when the first is not clean.
    """
    steps = [run(first)]
    if not steps[0].is_clean(target_s):
        answers = dict(steps[0].statuses)
        raise NotMeasured(f"{first:g} calls a second are not clean: p99 {steps[0].p99_s:.2g} s, answers {answers}")
    clean = steps[0]
    while True:
        step = run(2 * clean.rate)
        steps.append(step)
        if not step.is_clean(target_s):
            break
        clean = step
    too_high = step.rate
    for _ in range(bisections):
        step = run((clean.rate + too_high) / 2)
        steps.append(step)
        if step.is_clean(target_s):
            clean = step
        else:
            too_high = step.rate
    return clean, steps
