"""Samplers that diffusers has as they are, with the configuration that makes them A1111's."""

from __future__ import annotations

from typing import Any

import diffusers

LINSPACE = {"timestep_spacing": "linspace", "steps_offset": 0}
LEADING = {"timestep_spacing": "leading", "steps_offset": 1, "clip_sample": False, "set_alpha_to_one": False}
STOCK: dict[str, tuple[Any, dict[str, Any]]] = {
    "Euler": (diffusers.EulerDiscreteScheduler, LINSPACE),
    "Euler a": (diffusers.EulerAncestralDiscreteScheduler, LINSPACE),
    "Heun": (diffusers.HeunDiscreteScheduler, LINSPACE),
    "LMS": (diffusers.LMSDiscreteScheduler, LINSPACE),
    "DDIM": (diffusers.DDIMScheduler, LEADING),
    "PLMS": (diffusers.PNDMScheduler, {"skip_prk_steps": True, **LEADING}),
    "UniPC": (
        diffusers.UniPCMultistepScheduler,
        {"solver_order": 3, "solver_type": "bh1", "final_sigmas_type": "sigma_min", **LINSPACE},
    ),
}
"""Samplers that diffusers has as they are."""
