"""ZoeDepth and LeReS of controlnet_aux, opened from files.

Its own ways in load a file that fits in part and print so (ZoeDepth), and read the command line of the process for the
network that sharpens depths (LeReS).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from deployments.contracts.arrays import Image
from deployments.engines.diffusion.headers import load_tensors
from deployments.engines.diffusion.single_files import build_network

_MERGER_LEVELS, _FLAT = 10, 1e-6
"""Levels of the network that merges depths, which sees 1024 pixels; and the least range of a depth."""

_LEAST_SHARP_PX = 160


def open_zoe(files: Sequence[Path]) -> Any:
    """Open ZoeDepth's detector. Raises what a file that is none leads to."""
    import torch
    from controlnet_aux.zoe import ZoeDepth, ZoeDetector, get_config

    [path] = files
    tensors = {name.removeprefix("model."): tensor for name, tensor in load_tensors(path).items()}
    config = get_config("zoedepth", "infer")
    return ZoeDetector(build_network(lambda: ZoeDepth.build_from_config(config), tensors, torch.float32, path).eval())


def open_leres(files: Sequence[Path]) -> Any:
    """Open LeReS's detector, without what sharpens its depth. Raises what a file that is none leads to."""
    from controlnet_aux import LeresDetector

    [path] = files
    return LeresDetector(_load_leres(path), None)


class SharpLeres:
    """LeReS's detector, whose depth is sharpened by looking more than once (`leres++`)."""

    def __init__(self, network: Any, merger: Merger) -> None:
        """Take LeReS's network, and the one that merges what it saw."""
        from controlnet_aux import LeresDetector

        self.detector, self.merger = LeresDetector(network, merger), merger

    def to(self, device: str) -> SharpLeres:
        """Move to a device."""
        self.detector.to(device)
        self.merger.network.to(device)
        return self

    def __call__(self, image: Image, **options: Any) -> Any:
        """Draw the depth of `image`; a small one is enlarged for it, since none of the sizes that are tried fits it."""
        height, width = image.shape[:2]
        larger = math.ceil(_LEAST_SHARP_PX / max(height, width))
        seen = cv2.resize(image, (width * larger, height * larger), interpolation=cv2.INTER_CUBIC)
        options |= dict.fromkeys(("detect_resolution", "image_resolution"), min(seen.shape[:2]))
        drawn = self.detector(seen, boost=True, **options)
        return cv2.resize(drawn, (width, height), interpolation=cv2.INTER_AREA)


class Merger:
    """Merges two depths, a coarse and a fine one, as controlnet_aux asks for it."""

    def __init__(self, network: Any) -> None:
        self.network = network
        self._given: Any = None
        self._made: Any = None

    def set_input(self, coarse: Any, fine: Any) -> None:
        """Take the two depths, `[side, side]`."""
        import torch

        device = next(self.network.parameters()).device
        depths = [torch.from_numpy(np.asarray(depth, np.float32)) for depth in (coarse, fine)]
        spread = [(depth - depth.min()) / (depth.max() - depth.min()).clamp(min=_FLAT) for depth in depths]
        self._given = torch.stack(spread)[None].to(device) * 2 - 1

    def test(self) -> None:
        """Merge them."""
        self._made = self.network(self._given)

    def get_current_visuals(self) -> dict[str, Any]:
        """Return what was made, -1 to 1."""
        return {"fake_B": self._made}


def open_sharp_leres(files: Sequence[Path]) -> SharpLeres:
    """Open LeReS and what sharpens its depth. Raises what files that are others lead to."""
    import torch
    from controlnet_aux.leres.leres import depthmap
    from controlnet_aux.leres.pix2pix.models.networks import UnetGenerator, get_norm_layer

    depthmap.print = lambda *_: None  # it says every step
    path, merging = files
    make = partial(UnetGenerator, 2, 1, _MERGER_LEVELS, norm_layer=get_norm_layer("none"))
    network = build_network(make, load_tensors(merging), torch.float32, merging)
    return SharpLeres(_load_leres(path), Merger(network.eval()))


def _load_leres(path: Path) -> Any:
    import torch
    from controlnet_aux.leres.leres.multi_depth_model_woauxi import RelDepthModel

    tensors = {
        name.removeprefix("depth_model.").removeprefix("module."): tensor for name, tensor in load_tensors(path).items()
    }
    return build_network(partial(RelDepthModel, backbone="resnext101"), tensors, torch.float32, path).eval()
