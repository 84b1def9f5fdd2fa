"""Residual-in-residual dense network that ends in a shuffle of pixels, which spandrel does not know: the one that
`python -m deployments.weights.upscaler` fetches."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import nn

_SHARE = 0.2
"""Share of a block's result that is added to what went in."""
_LARGEST_SCALE = 8
_FIRST, _LAST, _SHUFFLED, _RESULT = "Pre_blocks_conv", "post_blocks_conv", "PreShuffle", "SR"
"""Names of the layers outside the blocks, as their authors gave them."""
_TRIED_PX = 8


class ResidualDense(nn.Module):  # type: ignore[misc]
    """The network, built of the layers that a file has: never more than it holds."""

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Build the network. Raises `ValueError` and `RuntimeError` where the tensors do not fit together."""
        super().__init__()
        names = [name.removesuffix(".weight") for name in tensors if name.endswith(".weight")]
        self.layers = nn.ModuleDict({name: _layer(tensors, name) for name in names})
        self.scale = math.isqrt(tensors[f"{_SHUFFLED}.weight"].shape[0] // 3)
        self._blocks = [(block, self._parts(block)) for block in self._count("F_{}_1_1")]
        if not self._blocks or not 1 <= self.scale <= _LARGEST_SCALE:
            raise ValueError("there are no blocks, or the scale is none")
        with torch.no_grad():
            tried = self(torch.zeros(1, 3, _TRIED_PX, _TRIED_PX))
        if tried.shape != (1, 3, self.scale * _TRIED_PX, self.scale * _TRIED_PX):
            raise ValueError("the result is no image of the scale")

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Enlarge `[N, 3, H, W]` in 0 to 1."""
        layers = self.layers
        first = value = layers[_FIRST](pixels)
        for block, parts in self._blocks:
            inner = value
            for part, convolutions in parts:
                seen = inner
                for number in convolutions:
                    seen = torch.cat([seen, layers[f"F_{block}_{part}_{number}"](seen).relu()], 1)
                inner = inner + _SHARE * layers[f"LFF_{block}_{part}"](seen)
            value = value + _SHARE * inner
        value = layers[_SHUFFLED](first + layers[_LAST](value))
        enlarged: torch.Tensor = layers[_RESULT](nn.functional.pixel_shuffle(value, self.scale))
        return enlarged

    def _parts(self, block: int) -> list[tuple[int, range]]:
        return [(part, self._count(f"F_{block}_{part}_{{}}")) for part in self._count(f"F_{block}_{{}}_1")]

    def _count(self, name: str) -> range:
        """Count the layers that are there by their number, from 1."""
        number = 1
        while name.format(number) in self.layers:
            number += 1
        return range(1, number)


def _layer(tensors: Mapping[str, torch.Tensor], name: str) -> nn.Conv2d:
    weight, bias = tensors[f"{name}.weight"].float(), tensors[f"{name}.bias"].float()
    if weight.ndim != 4 or weight.shape[2] != weight.shape[3] or weight.shape[2] % 2 == 0 or min(weight.shape) < 1:
        raise ValueError(f"{name} is no convolution that keeps the size")
    after, before, side, _ = weight.shape
    with torch.device("meta"):
        layer = nn.Conv2d(before, after, side, padding=side // 2)
    layer.load_state_dict({"weight": weight, "bias": bias}, assign=True)
    return layer
