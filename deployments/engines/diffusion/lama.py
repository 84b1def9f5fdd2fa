"""LaMa, which fills what a mask hides as its surroundings are: its generator's file, in the network of spandrel."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from deployments.contracts.arrays import Gray, Image
from deployments.engines.diffusion.headers import load_tensors
from deployments.engines.diffusion.single_files import build_network
from deployments.errors import Unavailable

_SHORT_PX, _LONGEST_PX, _GRID_PX = 256, 4096, 64
"""Short side at which it looks at an image, the size of its training; the longest that a strip may have then; and what
both sides are multiples of."""
_MASKED = 128
_PLACE = re.compile(r"^(?:(?:generator|model)\.)?model\.(?=\d)")
"""Beginning of a tensor's name, by whether the file is of the whole training, of a package or of the generator."""


class Lama:
    """Fills images."""

    def __init__(self, network: Any) -> None:
        self.network = network

    def to(self, device: str) -> Lama:
        """Move to a device."""
        self.network.to(device)
        return self

    def __call__(self, image: Image, *, mask: Gray, **_: object) -> Image:
        """Fill `image` where `mask`, of its size, is 255."""
        import torch

        height, width = image.shape[:2]
        scale = min(_SHORT_PX / min(height, width), _LONGEST_PX / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        how = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
        seen = _padded(cv2.resize(image, size, interpolation=how)) / np.float32(255)
        hidden = (_padded(cv2.resize(mask, size, interpolation=how)) >= _MASKED).astype(np.float32)
        device = next(self.network.parameters()).device
        pixels = torch.from_numpy(seen.transpose(2, 0, 1))[None].to(device)
        with torch.no_grad():
            made = self.network(pixels, torch.from_numpy(hidden)[None, None].to(device))[0]
        small = (made.float().nan_to_num().clamp(0, 1) * 255).permute(1, 2, 0).cpu().numpy()[: size[1], : size[0]]
        filled = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
        share = mask[..., None].astype(np.float32) / 255
        return np.asarray(np.rint(filled * share + image * (1 - share)), np.uint8)


def open_lama(files: Sequence[Path]) -> Lama:
    """Open the network. Raises what a file that is none leads to, and `Unavailable` without spandrel."""
    import torch

    try:
        from spandrel.architectures.LaMa import LaMa
    except ImportError as error:
        raise Unavailable("LaMa needs spandrel: install darkroom[diffusion].") from error
    [path] = files
    tensors = {_PLACE.sub("model.model.", name, count=1): tensor for name, tensor in load_tensors(path).items()}
    return Lama(build_network(lambda: LaMa(in_nc=4, out_nc=3), tensors, torch.float32, path).eval())


def _padded(pixels: Any) -> Any:
    """Repeat the edges on the right and below until both sides are on the grid."""
    down, across = (-pixels.shape[0] % _GRID_PX, -pixels.shape[1] % _GRID_PX)
    return np.pad(pixels, ((0, down), (0, across), *((0, 0),) * (pixels.ndim - 2)), mode="edge")
