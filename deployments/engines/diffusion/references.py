"""Reference images: the UNet's self-attention looks at the features of another image, too (reference_only), or its
blocks take over the statistics of that image's features (reference_adain), or both.

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
from deployments.engines.diffusion.reference_statistics import adjust, blocks_of, measure

_LEAST_FIDELITY = 1e-5


class HiddenReference(NamedTuple):
    """A reference under the noise of a call."""

    hidden: Any
    """Latents of unit variance, `[N, C, h, w]`."""
    latents: Any
    """The same without noise."""
    reference: Reference
    fidelity: float

    @property
    def attention(self) -> float:
        """Share of the layers that attend to it."""
        return 0.0 if self.reference.how == "statistics" else self.reference.weight

    @property
    def statistics(self) -> float:
        """Weight by which blocks take over its statistics."""
        return 0.0 if self.reference.how == "attention" else self.reference.weight

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
        return HiddenReference(hidden, self.latents, self.reference, self.fidelity)

    def acts(self, call: int, calls: int) -> bool:
        """Say whether it acts in a call, in the window of ControlNets."""
        return acts(self.reference.start, self.reference.end, call, calls)


class _Kept(NamedTuple):
    """What a layer took in of a reference, or measured in it, and how faithful the style is to be."""

    seen: Any
    fidelity: float


@dataclass
class _Layers:
    """Layers of a UNet with what each has kept of the references."""

    kept: dict[Any, list[_Kept]] = field(default_factory=dict)
    seeing: HiddenReference | None = None
    """The reference that is seen now; None while the picture is."""
    unconditional: int = 0

    def mix(self, layer: Any, changed: Any, plain: Callable[[int], Any]) -> Any:
        """Mix the unconditional rows of a layer's result with `plain`, what these first rows are without references."""
        import torch

        kept, count = self.kept[layer], self.unconditional
        fidelity = sum(one.fidelity for one in kept) / len(kept)
        if not count or fidelity <= _LEAST_FIDELITY:
            return changed
        return torch.cat([fidelity * plain(count) + (1 - fidelity) * changed[:count], changed[count:]])


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
            layers.seeing = reference
            see(reference)
        layers.seeing, layers.unconditional = None, unconditional
        return predict()


@contextmanager
def _attending(unet: Any) -> Iterator[_Layers]:
    """Make layers keep what they see, or take it over, while the block runs."""
    layers = _Layers()
    blocks = [block for block in unet.modules() if type(block).__name__ == "BasicTransformerBlock"]
    blocks.sort(key=lambda block: -block.norm1.normalized_shape[0])  # the widest first: a weight of 0.5 is half of them
    changed = []
    for place, block in enumerate(blocks):
        attention = block.attn1
        attention.forward = _attend(attention, attention.forward, place / len(blocks), layers)
        changed.append(attention)
    for module, least in blocks_of(unet):
        module.forward = _settle(module, module.forward, least, layers)
        changed.append(module)
    try:
        yield layers
    finally:
        for module in changed:
            del module.forward  # that of its class comes back


def _attend(attention: Any, forward: Callable[..., Any], share: float, layers: _Layers) -> Callable[..., Any]:
    import torch

    def attend(hidden: Any, encoder_hidden_states: Any = None, **options: Any) -> Any:
        kept = layers.kept.setdefault(attention, [])
        if layers.seeing is not None:
            if layers.seeing.attention > share:
                kept.append(_Kept(hidden, layers.seeing.fidelity))
            return forward(hidden, encoder_hidden_states=encoder_hidden_states, **options)
        if not kept:
            return forward(hidden, encoder_hidden_states=encoder_hidden_states, **options)
        both = torch.cat([hidden, *(one.seen for one in kept)], dim=1)
        made = forward(hidden, encoder_hidden_states=both, **options)
        return layers.mix(attention, made, lambda count: forward(hidden[:count], encoder_hidden_states=None, **options))

    return attend


def _settle(module: Any, forward: Callable[..., Any], least: float, layers: _Layers) -> Callable[..., Any]:
    def settle(*given: Any, **options: Any) -> Any:
        made = forward(*given, **options)
        features = made[0] if isinstance(made, tuple) else made
        kept = layers.kept.setdefault(module, [])
        if layers.seeing is not None:
            if layers.seeing.statistics > least:
                kept.append(_Kept(measure(features), layers.seeing.fidelity))
            return made
        if not kept:
            return made
        changed = layers.mix(module, adjust(features, [one.seen for one in kept]), lambda count: features[:count])
        return (changed, *made[1:]) if isinstance(made, tuple) else changed

    return settle
