"""Rows of a batch: requests with their prompts encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from deployments.algorithms.a1111.samplers import count_calls
from deployments.contracts.diffusion import GenerationRequest
from deployments.engines.diffusion.batch_models import BatchModels
from deployments.engines.diffusion.conditioning import Conditioning
from deployments.engines.diffusion.refiner import encode_for


@dataclass(frozen=True)
class Row:
    """A request of the batch with its prompts encoded."""

    place: int
    request: GenerationRequest
    conditionings: tuple[Conditioning, ...]
    """Conditioning of each pass."""
    refined: Conditioning | None = None
    """Conditioning as the refiner sees it."""
    ticket: str = field(default_factory=lambda: uuid4().hex)
    """Name by which others ask for what it has now: among the rows of all replicas there is no other."""


def encode_row(models: BatchModels, request: GenerationRequest, place: int) -> Row:
    """Encode the prompts of a request. Raises `InvalidRequest` for too long a prompt."""
    hires, calls = request.hires, count_calls(request.sampler, request.steps)
    clip_skip = request.clip_skip if models.checkpoint.skips_layers else 1
    encode = models.conditioner.encode
    conditionings = [encode(request.prompt, request.negative_prompt, calls, clip_skip=clip_skip)]
    if hires:
        conditionings.append(
            encode(
                hires.prompt or request.prompt,
                hires.negative_prompt or request.negative_prompt,
                count_calls(hires.sampler or request.sampler, hires.steps),
                clip_skip=clip_skip,
                first_pass_steps=calls,
            )
        )
    refined = encode_for(models.refiner, request, models.refiner_inversions) if models.refiner else None
    return Row(place, request, tuple(conditionings), refined)


def of_equal_length(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Part rows into those whose prompts have the lengths of the first one's, and the others: padding a short prompt to
    a long one's would change its image."""
    first = _lengths(rows[0])
    return [row for row in rows if _lengths(row) == first], [row for row in rows if _lengths(row) != first]


def _lengths(row: Row) -> tuple[tuple[int, int], ...]:
    seen = [*row.conditionings, *([row.refined] if row.refined else [])]
    return tuple(conditioning.lengths for conditioning in seen)
