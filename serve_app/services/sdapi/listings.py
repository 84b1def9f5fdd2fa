"""Rows of the lists that need no engine: samplers and schedulers with A1111's fields."""

from __future__ import annotations

from typing import Any

from deployments.algorithms.a1111.bounds import IMAGE_UPSCALERS, LATENT_UPSCALERS
from deployments.algorithms.a1111.samplers import SAMPLERS, SCHEDULERS

__all__ = ["IMAGE_UPSCALERS", "LATENT_UPSCALERS", "sampler_rows", "scheduler_rows"]


def sampler_rows() -> list[dict[str, Any]]:
    """Rows of `/sdapi/v1/samplers`."""
    return [{"name": one.name, "aliases": list(one.aliases), "options": one.options} for one in SAMPLERS]


def scheduler_rows() -> list[dict[str, Any]]:
    """Rows of `/sdapi/v1/schedulers`."""
    return [
        {
            "name": one.name,
            "label": one.label,
            "aliases": list(one.aliases) or None,
            "default_rho": one.default_rho,
            "need_inner_model": one.need_inner_model,
        }
        for one in SCHEDULERS
    ]
