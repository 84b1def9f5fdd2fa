"""From what a model predicts to the picture that it means, and back."""

from __future__ import annotations

from typing import Any


def noiseless(scaled: Any, predicted: Any, sigma: float, kind: str) -> Any:
    """Predict x0 from latents of unit variance at noise level `sigma` and the model's prediction of the noise or v."""
    whole = (1 + sigma**2) ** 0.5
    if kind == "v_prediction":
        return (scaled - sigma * predicted) / whole
    if kind == "sample":
        return predicted
    return scaled * whole - sigma * predicted


def prediction_of(scaled: Any, predicted_x0: Any, sigma: float, kind: str) -> Any:
    """Compute the prediction from which `noiseless` would get this x0."""
    whole = (1 + sigma**2) ** 0.5
    if kind == "v_prediction":
        return (scaled - whole * predicted_x0) / sigma
    if kind == "sample":
        return predicted_x0
    return (scaled * whole - predicted_x0) / sigma
