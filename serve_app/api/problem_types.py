"""Problem types: what the `type` of a problem document means, for whoever follows it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A kind of error, which `/problems/<slug>` explains."""

    slug: str
    title: str
    status: int
    meaning: str
    """What went wrong and what to do about it."""
    example: str
    """`detail` that such a problem may have."""


@cache
def load_problem_types() -> dict[str, ProblemType]:
    """Load the problem types by slug, in the order of `problem_types.toml`."""
    told = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return {slug: ProblemType(slug, **fields) for slug, fields in told.items()}


def typical_of(status: int) -> ProblemType | None:
    """The type that stands for its status in the OpenAPI document."""
    return next((one for one in load_problem_types().values() if one.status == status), None)
