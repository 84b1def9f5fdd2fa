"""Courses of rows side by side: rows that began at different times share the calls of the networks.

A course is what some rows of a batch run through, all at one step; each has samplers and noise of its own. In each
round every course asks its networks for one call, and what can be asked together is.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from deployments.engines.diffusion.guidance import Prediction, Question, answer
from deployments.engines.diffusion.rows import Row

Steps = Generator[Question, Prediction, Any]
"""What rows run through: it asks, is sent the answer, and returns their latents at the end."""


@dataclass(eq=False)  # which of them, not whose tensors are alike
class Course:
    """Rows on their way."""

    rows: Sequence[Row]
    steps: Steps
    question: Question | None = None
    """What it asks now; None once it is at its end."""
    latents: Any = None
    """Latents at the end; None where all rows were cancelled before they had any."""

    def begin(self) -> None:
        """Go on to the first question."""
        self.go_on(None)

    def go_on(self, answered: Prediction | None) -> None:
        """Go on with an answer, None at the beginning, to the next question or to the end."""
        try:
            self.question = next(self.steps) if answered is None else self.steps.send(answered)
        except StopIteration as end:
            self.question, self.latents = None, end.value


def go_on(courses: Sequence[Course]) -> None:
    """Answer the question of each course, those that can be together, and let it go on to its next."""
    asking = [(course, course.question) for course in courses if course.question is not None]
    for (course, _), answered in zip(asking, answer([question for _, question in asking]), strict=True):
        course.go_on(answered)
