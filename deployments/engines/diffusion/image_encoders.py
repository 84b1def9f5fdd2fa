"""Image encoders of IP-Adapters: CLIP's vision transformers with projection, from files that the user brings.

Everything about a network but its heads and its activation is told by the shapes in its file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deployments.contracts.arrays import Gray, Image
from deployments.contracts.diffusion import PROMPT_IMAGE_PX
from deployments.engines.diffusion.annotators import NETWORKS, find_weights
from deployments.engines.diffusion.device import Device
from deployments.engines.diffusion.headers import load_tensors
from deployments.engines.diffusion.single_files import build_network
from deployments.errors import WeightsMissing

_HEADS = 16
"""Heads of ViT-H and ViT-bigG alike."""
_MEAN, _DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of the channels of CLIP's training images."""


@dataclass(frozen=True)
class ImageEncoder:
    """A loaded encoder."""

    network: Any
    device: str
    dtype: Any

    def see(self, image: Image, mask: Gray | None, *, details: bool) -> tuple[Any, Any]:
        """Encode an image; `details`: the features of its parts, of the layer before the last. -> its features, and
        those that stand for no image, as IP-Adapters were trained"""
        import torch

        mean, deviation = (np.asarray(one, np.float32) for one in (_MEAN, _DEVIATION))
        pixels = (image.astype(np.float32) / 255 - mean) / deviation
        if mask is not None:
            pixels = pixels * (1 - mask.astype(np.float32)[..., None] / 255)
        given = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None].to(self.device, self.dtype)
        if not details:
            seen = self.network(given).image_embeds
            return seen, torch.zeros_like(seen)
        return self._details(given), self._details(torch.zeros_like(given))

    def _details(self, given: Any) -> Any:
        return self.network(given, output_hidden_states=True).hidden_states[-2]


def find_encoder(folders: Sequence[Path], name: str) -> Path:
    """Find the file of an encoder. Raises `WeightsMissing` with where it belongs."""
    network = NETWORKS[name]
    found = find_weights(folders, name)
    if not found:
        raise WeightsMissing(
            f"its image encoder {network.files[0]} is not in annotators/{network.subfolder}/ of the models folder",
            extra={"file": network.files[0], "source": network.source},
        )
    return found[0]


def load_encoder(path: Path, device: Device) -> ImageEncoder:
    """Load an encoder. Raises `NotSupported` for a file that would run code, `WeightsMissing` for one that is no such
    encoder or damaged."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    tensors = {
        name: tensor
        for name, tensor in load_tensors(path).items()
        if name.startswith(("vision_model.", "visual_projection.")) and not name.endswith("position_ids")
    }
    try:
        config = CLIPVisionConfig(**read_sizes(tensors))
    except (RuntimeError, LookupError, ValueError, TypeError, ArithmeticError) as error:
        raise WeightsMissing(
            f"the file {path.name} is no image encoder of CLIP, or damaged ({type(error).__name__})",
            extra={"file": path.name},
        ) from error
    network = build_network(lambda: CLIPVisionModelWithProjection(config), tensors, device.dtype, path)
    return ImageEncoder(device.place(network), device.name, device.dtype)


def read_sizes(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Read the sizes of a network out of the shapes of its tensors. Raises what odd ones lead to."""
    patch = tensors["vision_model.embeddings.patch_embedding.weight"].shape[-1]
    positions, width = tensors["vision_model.embeddings.position_embedding.weight"].shape
    side = math.isqrt(positions - 1) * patch
    if side != PROMPT_IMAGE_PX or width % _HEADS:
        raise ValueError("another size of images, or other heads")
    layers = {name.split(".")[3] for name in tensors if name.startswith("vision_model.encoder.layers.")}
    return {
        "hidden_size": width,
        "intermediate_size": tensors["vision_model.encoder.layers.0.mlp.fc1.weight"].shape[0],
        "num_hidden_layers": len(layers),
        "num_attention_heads": _HEADS,
        "hidden_act": "gelu",
        "image_size": side,
        "patch_size": patch,
        "projection_dim": tensors["visual_projection.weight"].shape[0],
    }
