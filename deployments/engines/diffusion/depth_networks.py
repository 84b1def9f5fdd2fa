"""ZoeDepth and LeReS of controlnet_aux, opened from files.

Its own ways in load a file that fits in part and print so (ZoeDepth), and read the command line of the process for a
second network that nobody asked for (LeReS).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from deployments.engines.diffusion.headers import load_tensors
from deployments.engines.diffusion.single_files import build_network


def open_zoe(files: Sequence[Path]) -> Any:
    """Open ZoeDepth's detector. Raises what a file that is none leads to."""
    import torch
    from controlnet_aux.zoe import ZoeDepth, ZoeDetector, get_config

    [path] = files
    tensors = {name.removeprefix("model."): tensor for name, tensor in load_tensors(path).items()}
    config = get_config("zoedepth", "infer")
    return ZoeDetector(build_network(lambda: ZoeDepth.build_from_config(config), tensors, torch.float32, path).eval())


def open_leres(files: Sequence[Path]) -> Any:
    """Open LeReS's detector, without what sharpens its depth (`leres++`). Raises what a file that is none leads to."""
    import torch
    from controlnet_aux import LeresDetector
    from controlnet_aux.leres.leres.multi_depth_model_woauxi import RelDepthModel

    [path] = files
    tensors = {
        name.removeprefix("depth_model.").removeprefix("module."): tensor for name, tensor in load_tensors(path).items()
    }
    make = partial(RelDepthModel, backbone="resnext101")
    return LeresDetector(build_network(make, tensors, torch.float32, path).eval(), None)
