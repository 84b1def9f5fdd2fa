"""Multiple ControlNets, weighted as sd-webui-controlnet weights them.

diffusers adds each network's residuals by one factor. A1111's modes also fade them from block to block and leave out
the unconditional half, so the residuals are scaled here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from deployments.contracts.diffusion import UNION_KINDS, ColourFix, ControlHint, ControlMode

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
    shows: str = ""
    """What the hint shows, for union models."""
    colours: ColourFix | None = None
    is_begun: bool = False
    """Whether the first pass begins from the hint."""

    @classmethod
    def of(cls, hint: ControlHint, *, hires: bool = False) -> ControlUnit:
        """Take the settings out of a hint, for the first or the hires pass."""
        mode = hint.mode
        if hires and mode == "balanced" and any(word in hint.model.lower() for word in _ALWAYS_SOFT):
            mode = "prompt"
        colours = hint.colours
        if hires and colours:
            colours = replace(colours, radius=2 * colours.radius)
        return cls(hint.model, hint.weight, hint.start, hint.end, mode, hint.shows, colours, hint.is_begun)


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


def acts(start: float, end: float, call: int, calls: int) -> bool:
    """Say whether what has this window acts in a call, counted from 0."""
    bounds = window(start, end, calls)
    return bounds is not None and bounds[0] <= call / calls and (call + 1) / calls <= bounds[1]


def add_residuals(
    nets: Sequence[Any],
    units: Sequence[ControlUnit],
    asked: tuple[Any, Any, Any],
    hints: Sequence[Any],
    *,
    unconditional: int,
    added: dict[str, Any] | None = None,
) -> list[Any] | None:
    """Sum the weighted residuals of the networks, the middle block's last; None where there are none.

    `asked`: sample, timestep and embeddings. `unconditional`: how many of the first rows are those without the prompt.
    """
    import torch

    sample, timestep, embeddings = asked
    total: list[Any] | None = None
    for net, unit, hint in zip(nets, units, hints, strict=True):
        first = unconditional if unit.mode == "control" or pools(net) else 0
        if not unit.weight or first == len(sample):
            continue
        own = {name: tensor[first:] for name, tensor in added.items()} if added else None
        given, options = _told(net, unit, hint[first:])
        when = timestep[first:] if timestep.ndim else timestep  # one for all rows, or one for each
        down, middle = net(
            sample[first:], when, embeddings[first:], given, added_cond_kwargs=own, return_dict=False, **options
        )
        residuals = [*down, middle]
        factors = residual_weights(len(residuals), unit.weight, unit.mode)
        residuals = [residual * factor for residual, factor in zip(residuals, factors, strict=True)]
        if first:
            residuals = [torch.cat([torch.zeros_like(one[:1]).expand(first, -1, -1, -1), one]) for one in residuals]
        total = residuals if total is None else [a + b for a, b in zip(total, residuals, strict=True)]
    return total


def pools(net: Any) -> bool:
    """Say whether a network says the same of all places: of a style, as the one for shuffled images. It was trained
    beside pictures without a prompt that nothing controls."""
    return bool(net.config.get("global_pool_conditions"))


def is_union(net: Any) -> bool:
    """Say whether a network is a union model, which is told what its hint shows."""
    return hasattr(net, "task_embedding")


def attend_within_rows(net: Any) -> None:
    """Make a union model's own transformer attend from a picture to its hint, as sd-webui-controlnet's does. Its
    authors' code and diffusers' take the rows of a batch for the sequence, so each would depend on the others."""
    for layer in net.transformer_layes:
        layer.attn.batch_first = True


def _told(net: Any, unit: ControlUnit, hint: Any) -> tuple[Any, dict[str, Any]]:
    """Hint and options as the network takes them."""
    import torch

    if not is_union(net):
        return hint, {}
    place = UNION_KINDS.index(unit.shows)
    types = torch.zeros((len(hint), net.config.num_control_type), dtype=hint.dtype, device=hint.device)
    types[:, place] = 1
    return [hint], {"control_type": types, "control_type_idx": [place]}
