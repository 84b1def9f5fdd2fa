"""Images as prompts (IP-Adapter): each cross-attention of the UNet looks at the words of an image, too.

What it sees there is added, by a weight, to what it sees in the prompt. Forwards are replaced only while a call runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from deployments.contracts.arrays import Gray, Image
from deployments.contracts.diffusion import ImagePrompt
from deployments.engines.diffusion.controlnets import acts
from deployments.engines.diffusion.image_encoders import ImageEncoder
from deployments.engines.diffusion.ip_adapters import IpAdapter, cross_attentions


class ImageWords(NamedTuple):
    """Words of an image, `[1, words, width]`, and of no image, for the unconditional half."""

    seen: Any
    nothing: Any


@dataclass(frozen=True)
class ImagePromptPass:
    """An image prompt of one pass, with the words of each row."""

    prompt: ImagePrompt
    """What is the same for all rows: weight and window."""
    adapter: IpAdapter
    words: Sequence[ImageWords]

    def acts(self, call: int, calls: int) -> bool:
        """Say whether it acts in a call, in the window of ControlNets."""
        return self.prompt.weight > 0 and acts(self.prompt.start, self.prompt.end, call, calls)

    def told(self, asks: Sequence[tuple[int, bool]], dtype: Any) -> Any:
        """Collect the words for rows, each with whether it is one of the unconditional half."""
        import torch

        rows = [self.words[row].nothing if is_negative else self.words[row].seen for row, is_negative in asks]
        return torch.cat(rows).to(dtype)


def read_image(adapter: IpAdapter, encoder: ImageEncoder, image: Image, mask: Gray | None) -> ImageWords:
    """Make the words of an image for an adapter. Raises `NotSupported` where the encoder is not the adapter's."""
    seen, nothing = encoder.see(image, mask, details=adapter.sees_details)
    return ImageWords(adapter.project(seen), adapter.project(nothing))


@contextmanager
def looking_at(
    unet: Any, adapters: Sequence[IpAdapter], words: Sequence[Any], weights: Sequence[float]
) -> Iterator[None]:
    """Make cross-attentions look at the words of images, `[rows, words, width]` for each adapter, while the block
    runs."""
    changed = list(cross_attentions(unet).values()) if adapters else []
    for place, attention in enumerate(changed):
        layers = [adapter.layers()[place] for adapter in adapters]
        looks = [(*layer, told, weight) for layer, told, weight in zip(layers, words, weights, strict=True)]
        attention.forward = _replacement(attention, attention.forward, looks)
    try:
        yield
    finally:
        for attention in changed:
            del attention.forward  # that of its class comes back


def _replacement(
    attention: Any, forward: Callable[..., Any], looks: Sequence[tuple[Any, Any, Any, float]]
) -> Callable[..., Any]:
    import torch

    def attend(hidden: Any, *arguments: Any, **options: Any) -> Any:
        query = attention.to_q(hidden)
        total = sum(weight * _look(query, words, key, value, attention.heads) for key, value, words, weight in looks)
        # The last layer is linear: what is added before it may go through it by itself, without its bias.
        return forward(hidden, *arguments, **options) + torch.nn.functional.linear(total, attention.to_out[0].weight)

    return attend


def _look(query: Any, words: Any, key: Any, value: Any, heads: int) -> Any:
    """Attend to words. -> `[rows, places, width]`"""
    from torch.nn import functional

    query, keys, values = (
        one.unflatten(-1, (heads, -1)).transpose(1, 2)
        for one in (query, functional.linear(words, key), functional.linear(words, value))
    )
    return functional.scaled_dot_product_attention(query, keys, values).transpose(1, 2).flatten(2)
