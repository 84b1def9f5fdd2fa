"""Multiple ControlNets, weighted as sd-webui-controlnet weights them.

diffusers adds each network's residuals by one factor. A1111's modes also fade them from block to block and leave out
the unconditional half, so the residuals are scaled here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from deployments.contracts.diffusion import ControlHint, ControlMode

_FADE, _FADING = 0.825, 12
"""Factor per block from the middle block outwards (sd-webui-controlnet: "soft weights"), and its greatest power. SDXL
has ten residuals, not thirteen; they get the first ten factors, the middle block's included."""
_ALWAYS_SOFT = ("canny", "mlsd")
"""Models that fade in a second pass at a larger size whatever the mode: their thin lines would be traced."""
_EDGE = 1e-6


@dataclass(frozen=True, slots=True)
class ControlUnit:
    """ControlNet settings that are the same for all requests of a batch."""

    model: str
    weight: float
    start: float
    end: float
    mode: ControlMode

    @classmethod
    def of(cls, hint: ControlHint, *, hires: bool = False) -> ControlUnit:
        """Take the settings out of a hint, for the first or the hires pass."""
        mode = hint.mode
        if hires and mode == "balanced" and any(word in hint.model.lower() for word in _ALWAYS_SOFT):
            mode = "prompt"
        return cls(hint.model, hint.weight, hint.start, hint.end, mode)


def residual_weights(count: int, weight: float, mode: ControlMode) -> list[float]:
    """Compute the factors of `count` residuals, the outermost block's first, the middle block's last."""
    if mode == "balanced":
        return [weight] * count
    return [weight * _FADE ** (_FADING - i) for i in range(count)]


def window(start: float, end: float, calls: int) -> tuple[float, float] | None:
    """Convert A1111's inclusive window to diffusers' `control_guidance_start` and `_end`; None: it acts in none of
    `calls`.

    A1111 asks before call i whether i - 1 of the calls lie in the window; diffusers asks whether the whole of call i
    does. 20 calls until 0.5 are calls 0 to 11 there, 0 to 9 here, so the window moves.
    """
    first = start + 1 / calls - _EDGE if start > 0 else 0.0
    last = min(1.0, end + 2 / calls + _EDGE)
    return (first, last) if first < last and first <= 1 - 1 / calls + _EDGE else None


def make_controlnets(nets: Sequence[Any], units: Sequence[ControlUnit], *, guided: bool) -> Any:
    """Make a `MultiControlNetModel` over `nets` with the units' weights and modes.

    `guided`: the batch holds the unconditional halves first, as it does with classifier-free guidance.
    """
    return _weighted_class()(list(nets), [unit.weight for unit in units], [unit.mode for unit in units], guided)


@cache
def _weighted_class() -> type[Any]:
    import torch
    from diffusers.models.controlnets.multicontrolnet import MultiControlNetModel

    class WeightedControlNets(MultiControlNetModel):  # type: ignore[misc]
        """ControlNets with weights and modes; `conditioning_scale` only says which are in their window: 0 or 1."""

        def __init__(self, nets: list[Any], weights: list[float], modes: list[ControlMode], guided: bool) -> None:
            super().__init__(nets)
            self._units = list(zip(weights, modes, strict=True))
            self._guided = guided

        def forward(
            self,
            sample: Any,
            timestep: Any,
            encoder_hidden_states: Any,
            controlnet_cond: list[Any],
            conditioning_scale: list[float],
            **options: Any,
        ) -> tuple[list[Any] | None, Any]:
            total: list[Any] | None = None
            for net, hint, active, (weight, mode) in zip(
                self.nets, controlnet_cond, conditioning_scale, self._units, strict=True
            ):
                if not active or not weight:
                    continue
                half = mode == "control" and self._guided
                states = (sample, encoder_hidden_states, hint)
                if half:
                    states = tuple(state.chunk(2)[1] for state in states)
                own = options | {"added_cond_kwargs": _second_half(options.get("added_cond_kwargs"), half=half)}
                down, middle = net(states[0], timestep, states[1], states[2], conditioning_scale=1.0, **own)
                residuals = [*down, middle]
                factors = residual_weights(len(residuals), weight, mode)
                residuals = [residual * factor for residual, factor in zip(residuals, factors, strict=True)]
                if half:
                    residuals = [torch.cat([torch.zeros_like(residual), residual]) for residual in residuals]
                total = residuals if total is None else [a + b for a, b in zip(total, residuals, strict=True)]
            return (None, None) if total is None else (total[:-1], total[-1])

    return WeightedControlNets


def _second_half(added: dict[str, Any] | None, *, half: bool) -> dict[str, Any] | None:
    """Cut SDXL's further conditions as the others are cut."""
    return {name: tensor.chunk(2)[1] for name, tensor in added.items()} if added and half else added
