"""Reference images (reference_only): the UNet's self-attention looks at the features of another image, too.

In each call the UNet first sees the reference under as much noise as the picture, and what its self-attention layers
take in is kept; then it sees the picture, whose layers attend to both. The unconditional half does so by less the more
faithful the style is to be. As sd-webui-controlnet does it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from deployments.contracts.diffusion import Reference
from deployments.engines.diffusion.controlnets import acts

_LEAST_FIDELITY = 1e-5


class HiddenReference(NamedTuple):
    """A reference under the noise of a call."""

    hidden: Any
    """Latents of unit variance, `[N, C, h, w]`."""
    latents: Any
    """The same without noise."""
    weight: float
    fidelity: float

    def of(self, rows: Sequence[int], dtype: Any) -> HiddenReference:
        """Select rows, in a precision."""
        return self._replace(hidden=self.hidden[rows].to(dtype), latents=self.latents[rows].to(dtype))


@dataclass(frozen=True)
class ReferencePass:
    """A reference of one pass, with what has rows for each request."""

    latents: Any
    """Scaled latents of the reference images, `float32[N, C, h, w]`."""
    draw: Callable[[], Any]
    """Function that draws the noise which hides them, of their shape, anew for each call."""
    reference: Reference
    is_hires: bool = False
    """Whether the pass is the second one."""

    @property
    def fidelity(self) -> float:
        """Share of the unconditional half that does not look at the reference: none in a second pass, unless the
        reference leads."""
        balanced = 0.0 if self.is_hires else self.reference.fidelity
        return {"balanced": balanced, "prompt": 0.0, "control": 1.0}[self.reference.mode]

    def hide(self, sigma: float) -> HiddenReference:
        """Hide it under as much noise as the picture has at level `sigma`."""
        hidden = (self.latents + sigma * self.draw()) / (1 + sigma**2) ** 0.5
        return HiddenReference(hidden, self.latents, self.reference.weight, self.fidelity)

    def acts(self, call: int, calls: int) -> bool:
        """Say whether it acts in a call, in the window of ControlNets."""
        return acts(self.reference.start, self.reference.end, call, calls)


@dataclass
class _Layers:
    """Self-attention layers of a UNet with what each has kept, one entry for each reference."""

    kept: dict[Any, list[Any]] = field(default_factory=dict)
    keeping: float | None = None
    """Weight of the reference that is seen now; None while the picture is."""
    unconditional: int = 0
    fidelity: float = 0.0


def predict_with_references(
    unet: Any,
    see: Callable[[HiddenReference], Any],
    predict: Callable[[], Any],
    references: Sequence[HiddenReference],
    *,
    unconditional: int,
) -> Any:
    """Predict by `predict`, which asks the UNet, while it attends to references, which `see` shows it.

    `unconditional`: rows at the start that have no prompt.
    """
    with _attending(unet) as layers:
        for reference in references:
            layers.keeping = reference.weight
            see(reference)
        layers.keeping, layers.unconditional = None, unconditional
        layers.fidelity = sum(reference.fidelity for reference in references) / len(references)
        return predict()


@contextmanager
def _attending(unet: Any) -> Iterator[_Layers]:
    """Make self-attention layers keep what they see, or attend to it, while the block runs."""
    layers = _Layers()
    blocks = [block for block in unet.modules() if type(block).__name__ == "BasicTransformerBlock"]
    blocks.sort(key=lambda block: -block.norm1.normalized_shape[0])  # the widest first: a weight of 0.5 is half of them
    changed = []
    for place, block in enumerate(blocks):
        attention = block.attn1
        attention.forward = _replacement(attention, attention.forward, place / len(blocks), layers)
        changed.append(attention)
    try:
        yield layers
    finally:
        for attention in changed:
            del attention.forward  # that of its class comes back


def _replacement(attention: Any, forward: Callable[..., Any], share: float, layers: _Layers) -> Callable[..., Any]:
    import torch

    def attend(hidden: Any, encoder_hidden_states: Any = None, **options: Any) -> Any:
        kept = layers.kept.setdefault(attention, [])
        if layers.keeping is not None:
            if layers.keeping > share:
                kept.append(hidden)
            return forward(hidden, encoder_hidden_states=encoder_hidden_states, **options)
        if not kept:
            return forward(hidden, encoder_hidden_states=encoder_hidden_states, **options)
        made = forward(hidden, encoder_hidden_states=torch.cat([hidden, *kept], dim=1), **options)
        count = layers.unconditional
        if count and layers.fidelity > _LEAST_FIDELITY:
            plain = forward(hidden[:count], encoder_hidden_states=None, **options)
            mixed = layers.fidelity * plain + (1 - layers.fidelity) * made[:count]
            made = torch.cat([mixed, made[count:]])
        return made

    return attend
