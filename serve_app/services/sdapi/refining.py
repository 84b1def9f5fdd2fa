"""Refiner of a request: the checkpoint that makes the last steps, and what the answer says about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deployments.contracts.diffusion import ModelCatalogue
from serve_app.services.sdapi.model_names import find_checkpoint, given_name, title
from serve_app.services.sdapi.requests import GenerationBody


@dataclass(frozen=True, slots=True)
class ChosenRefiner:
    """The refiner of a request, or none."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the engine's request."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the infotext."""
    warnings: tuple[str, ...] = ()


def choose_refiner(catalogue: ModelCatalogue, body: GenerationBody, checkpoint: str) -> ChosenRefiner:
    """Choose the refiner that a request names; that it is here was checked when it came in.

    As in the original one without `refiner_switch_at` makes all steps, and the checkpoint refines not itself.
    """
    name = given_name(body.refiner_checkpoint)
    found = find_checkpoint(catalogue, name) if name else None
    if found is None:
        return ChosenRefiner()
    base = find_checkpoint(catalogue, checkpoint or catalogue.default_checkpoint)
    if base is not None and base.name == found.name:
        return ChosenRefiner(warnings=("refiner_checkpoint is the checkpoint itself: it has no effect",))
    switch_at = min(max(body.refiner_switch_at or 0.0, 0.0), 1.0)
    return ChosenRefiner(
        {"refiner": found.name, "refiner_switch_at": switch_at},
        {"Refiner": title(found), "Refiner switch at": switch_at},
    )
