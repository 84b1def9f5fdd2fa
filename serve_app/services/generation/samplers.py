"""Samplers and schedulers by the names that clients give them."""

from __future__ import annotations

SAMPLERS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "DPM++ 2M": (("k_dpmpp_2m",), {"scheduler": "karras"}),
    "Euler a": (("k_euler_a", "k_euler_ancestral"), {"uses_ensd": "True"}),
    "Euler": (("k_euler",), {}),
}
SCHEDULERS: dict[str, str] = {"automatic": "Automatic", "karras": "Karras", "uniform": "Uniform"}
_FALLBACK = "DPM++ 2M"


def choose_sampler(sampler: str, scheduler: str | None) -> tuple[str, str, list[str]]:
    labels = {**{name: label for name, label in SCHEDULERS.items()}, **{v.lower(): v for v in SCHEDULERS.values()}}
    warnings: list[str] = []
    chosen = sampler if sampler in SAMPLERS else _FALLBACK
    if sampler not in SAMPLERS:
        warnings.append(f"There is no sampler {sampler[:80]!r}; {_FALLBACK} was used")
    return chosen, labels.get((scheduler or "automatic").lower(), "Automatic"), warnings
