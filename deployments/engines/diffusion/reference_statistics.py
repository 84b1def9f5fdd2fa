"""Statistics of a reference image (reference_adain): the channels of some blocks get its mean and deviation.

Which blocks, and from which weight on each does so, is as in sd-webui-controlnet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

_LEAST_VARIANCE = 1e-6


class Statistics(NamedTuple):
    """Variance and mean of each channel, `[N, C, 1, 1]`."""

    variance: Any
    mean: Any


def measure(features: Any) -> Statistics:
    """Measure features `[N, C, h, w]`."""
    import torch

    return Statistics(*torch.var_mean(features.float(), dim=(2, 3), keepdim=True, correction=0))


def adjust(features: Any, wanted: Sequence[Statistics]) -> Any:
    """Give features the mean of some statistics."""
    own = measure(features)
    variance = sum(one.variance for one in wanted) / len(wanted)
    mean = sum(one.mean for one in wanted) / len(wanted)
    deviation, theirs = (one.clamp(min=_LEAST_VARIANCE) ** 0.5 for one in (own.variance, variance))
    return ((features.float() - own.mean) / deviation * theirs + mean).to(features.dtype)


def blocks_of(unet: Any) -> list[tuple[Any, float]]:
    """List the modules whose result is adjusted, each with the weight over which it is.

    The middle always; below the first level the deeper ones first; on the way up the first ones first, of each level
    two on average.
    """
    down = [layer for block in unet.down_blocks[1:] for layer in _layers_of(block)]
    up = [layer for block in unet.up_blocks for layer in _layers_of(block)][: 2 * len(unet.up_blocks)]
    return [
        (unet.mid_block, 0.0),
        *((layer, 2 * (1 - place / len(down))) for place, layer in enumerate(down)),
        *((layer, 2 * place / len(up)) for place, layer in enumerate(up)),
    ]


def _layers_of(block: Any) -> list[Any]:
    """List the last module of each of a block's layers: the original has what enlarges in its last layer."""
    layers = list(getattr(block, "attentions", None) or block.resnets)
    if upsamplers := getattr(block, "upsamplers", None):
        layers[-1] = upsamplers[0]
    return layers
