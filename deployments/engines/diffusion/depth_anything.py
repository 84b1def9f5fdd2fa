"""Depth Anything, both versions: files as their authors published them, in the network of transformers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from deployments.contracts.arrays import Image
from deployments.engines.diffusion.headers import load_tensors
from deployments.engines.diffusion.single_files import build_network

_PATCH_PX, _HEAD_WIDTH = 14, 64
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_STAGES = 4
_LARGEST_PX = 2048
"""Short side up to which a network may have been trained: pictures are enlarged to it. The published ones have 518."""
_NAMES: Sequence[tuple[str, str | Callable[[re.Match[str]], str]]] = (
    (r"pretrained\.(cls_token|mask_token)", r"backbone.embeddings.\1"),
    (r"pretrained\.pos_embed", r"backbone.embeddings.position_embeddings"),
    (r"pretrained\.patch_embed\.proj", r"backbone.embeddings.patch_embeddings.projection"),
    (r"pretrained\.blocks\.(\d+)\.attn\.proj", r"backbone.encoder.layer.\1.attention.o_proj"),
    (r"pretrained\.blocks\.(\d+)\.ls(\d)\.gamma", r"backbone.encoder.layer.\1.layer_scale\2.lambda1"),
    (r"pretrained\.blocks\.(\d+)\.(norm1|norm2|mlp)", r"backbone.encoder.layer.\1.\2"),
    (r"pretrained\.norm", r"backbone.layernorm"),
    (r"depth_head\.projects\.(\d)", r"neck.reassemble_stage.layers.\1.projection"),
    (r"depth_head\.resize_layers\.(\d)", r"neck.reassemble_stage.layers.\1.resize"),
    (r"depth_head\.scratch\.layer(\d)_rn", lambda found: f"neck.convs.{int(found[1]) - 1}"),
    (r"depth_head\.scratch\.output_conv1", r"head.conv1"),
    (r"depth_head\.scratch\.output_conv2\.0", r"head.conv2"),
    (r"depth_head\.scratch\.output_conv2\.2", r"head.conv3"),
    (
        r"depth_head\.scratch\.refinenet(\d)\.resConfUnit(\d)\.conv(\d)",
        lambda found: f"{_fusion(found)}.residual_layer{found[2]}.convolution{found[3]}",
    ),
    (r"depth_head\.scratch\.refinenet(\d)\.out_conv", lambda found: f"{_fusion(found)}.projection"),
)
"""Names of the published files -> those of the network's class."""
_JOINED = re.compile(r"pretrained\.blocks\.(\d+)\.attn\.qkv\.(weight|bias)")


class DepthAnything:
    """Depth of an image, near is bright."""

    def __init__(self, network: Any) -> None:
        self.network = network
        self._side = network.config.backbone_config.image_size

    def to(self, device: str) -> DepthAnything:
        """Move to a device."""
        self.network.to(device)
        return self

    def __call__(self, image: Image, **_: object) -> Image:
        """Draw the depth of `image`, in its size; the network sees its short side as it was trained."""
        import torch

        height, width = image.shape[:2]
        scale = self._side / min(height, width)
        size = [max(self._side, round(side * scale / _PATCH_PX) * _PATCH_PX) for side in (width, height)]
        seen = cv2.resize(image.astype(np.float32) / 255, size, interpolation=cv2.INTER_CUBIC)
        seen = (seen - np.array(_MEAN, np.float32)) / np.array(_DEVIATION, np.float32)
        given = torch.from_numpy(np.ascontiguousarray(seen.transpose(2, 0, 1)))[None]
        with torch.no_grad():
            depth = self.network(given.to(self.network.device)).predicted_depth[:, None]
            depth = torch.nn.functional.interpolate(depth, (height, width), mode="bilinear", align_corners=False)
        values = depth[0, 0].cpu().numpy()
        drawn = (values - values.min()) / max(float(np.ptp(values)), 1e-6) * 255
        return np.ascontiguousarray(np.broadcast_to(drawn.astype(np.uint8)[..., None], (height, width, 3)))


def open_depth_anything(files: Sequence[Path], *, is_second: bool = False) -> DepthAnything:
    """Open a network from its file; `is_second`: of version 2, whose stages are spread over all layers.

    Raises what a file that is none leads to.
    """
    import torch
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

    tensors = load_tensors(files[0])
    sizes = _read_sizes(tensors)
    layers = sizes["num_hidden_layers"]
    stages = _spread(layers) if is_second else range(layers - _STAGES + 1, layers + 1)
    backbone = Dinov2Config(
        **sizes, patch_size=_PATCH_PX, out_indices=list(stages), reshape_hidden_states=False, apply_layernorm=True
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=sizes["hidden_size"],
        neck_hidden_sizes=[len(tensors[f"depth_head.projects.{stage}.weight"]) for stage in range(_STAGES)],
        fusion_hidden_size=len(tensors["depth_head.scratch.layer1_rn.weight"]),
        head_hidden_size=len(tensors["depth_head.scratch.output_conv2.0.weight"]),
        patch_size=_PATCH_PX,
    )
    network = build_network(lambda: DepthAnythingForDepthEstimation(config), _renamed(tensors), torch.float32, files[0])
    return DepthAnything(network.eval())


def _read_sizes(tensors: Mapping[str, Any]) -> dict[str, int]:
    """Read the sizes of the backbone out of the shapes of its tensors."""
    positions, width = tensors["pretrained.pos_embed"].shape[1:]
    seen_px = math.isqrt(positions - 1) * _PATCH_PX
    if not 0 < seen_px <= _LARGEST_PX:
        raise ValueError("no such picture is looked at")
    return {
        "image_size": seen_px,
        "hidden_size": width,
        "num_attention_heads": width // _HEAD_WIDTH,
        "num_hidden_layers": len({name.split(".")[2] for name in tensors if name.startswith("pretrained.blocks.")}),
        "mlp_ratio": len(tensors["pretrained.blocks.0.mlp.fc1.weight"]) // width,
    }


def _spread(layers: int) -> list[int]:
    """Layers, counted from 1, whose features version 2 looks at: a quarter apart, in the large one as published."""
    return [5, 12, 18, 24] if layers == 24 else [layers * stage // _STAGES for stage in range(1, _STAGES + 1)]


def _renamed(tensors: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, tensor in tensors.items():
        if joined := _JOINED.fullmatch(name):
            parts = zip("qkv", tensor.chunk(3), strict=True)
            made |= {
                f"backbone.encoder.layer.{joined[1]}.attention.{one}_proj.{joined[2]}": part for one, part in parts
            }
            continue
        for pattern, new in _NAMES:
            changed, count = re.subn(f"^{pattern}(?=\\.|$)", new, name)
            if count:
                made[changed] = tensor
                break
    return made


def _fusion(found: re.Match[str]) -> str:
    """Name of a fusion layer: the authors count from the finest."""
    return f"neck.fusion_stage.layers.{_STAGES - int(found[1])}"
