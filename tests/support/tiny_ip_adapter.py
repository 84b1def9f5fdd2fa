"""Small seeded IP-Adapters in their authors' format, and an image encoder of CLIP's real class."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

Kind = Literal["base", "plus", "full"]
ENCODER_WIDTH, PROJECTION_WIDTH = 64, 48
_HIDDEN = 64
Tensors = dict[str, dict[str, torch.Tensor]]


def build_encoder(seed: int = 0, **changes: Any) -> CLIPVisionModelWithProjection:
    """Build an image encoder whose features depend on the image."""
    torch.manual_seed(seed)
    config = {
        "hidden_size": ENCODER_WIDTH,
        "intermediate_size": 2 * ENCODER_WIDTH,
        "num_hidden_layers": 3,
        "num_attention_heads": 16,
        "hidden_act": "gelu",
        "image_size": 224,
        "patch_size": 56,
        "projection_dim": PROJECTION_WIDTH,
        **changes,
    }
    network = CLIPVisionModelWithProjection(CLIPVisionConfig(**config)).eval()
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name.endswith(("proj.weight", "fc1.weight", "fc2.weight", "projection.weight")):
                weight.normal_(0, 1.5 / weight.shape[-1] ** 0.5)
    return network


def write_encoder(path: Path, network: CLIPVisionModelWithProjection) -> Path:
    """Write an encoder as it is published: pickled."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(network.state_dict()), path)
    return path


def build_adapter(unet: UNet2DConditionModel, kind: Kind = "base", seed: int = 1, width: int = 0) -> Tensors:
    """Build an IP-Adapter for a UNet; `width`: that of the features, by default those of `build_encoder`."""
    torch.manual_seed(seed)
    words = unet.config.cross_attention_dim
    whole = kind == "base"
    seen = width or (PROJECTION_WIDTH if whole else ENCODER_WIDTH)
    make = {"base": _base, "plus": _plus, "full": _full}[kind]
    layers: dict[str, torch.Tensor] = {}
    for place, name in enumerate(unet.attn_processors):
        if "attn2" in name:
            to_k = unet.get_submodule(name.removesuffix(".processor")).to_k.weight
            layers[f"{place}.to_k_ip.weight"] = torch.randn(to_k.shape) * 2 / words**0.5
            layers[f"{place}.to_v_ip.weight"] = torch.randn(to_k.shape) * 4 / words**0.5
    return {"image_proj": dict(make(seen, words)), "ip_adapter": layers}


def write_adapter(path: Path, tensors: Tensors) -> Path:
    """Write an IP-Adapter as the ending says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        flat = {f"{part}.{name}": tensor for part, own in tensors.items() for name, tensor in own.items()}
        save_file(flat, str(path))
    else:
        torch.save(tensors, path)
    return path


def _linear(name: str, out: int, width: int, *, bias: bool = True) -> Iterator[tuple[str, torch.Tensor]]:
    yield f"{name}.weight", torch.randn(out, width) / width**0.5
    if bias:
        yield f"{name}.bias", torch.randn(out) * 0.1


def _norm(name: str, width: int) -> Iterator[tuple[str, torch.Tensor]]:
    yield f"{name}.weight", 1 + torch.randn(width) * 0.1
    yield f"{name}.bias", torch.randn(width) * 0.1


def _base(seen: int, words: int) -> Iterator[tuple[str, torch.Tensor]]:
    yield from _linear("proj", 4 * words, seen)
    yield from _norm("norm", words)


def _full(seen: int, words: int) -> Iterator[tuple[str, torch.Tensor]]:
    yield from _linear("proj.0", seen, seen)
    yield from _linear("proj.2", words, seen)
    yield from _norm("proj.3", words)


def _plus(seen: int, words: int) -> Iterator[tuple[str, torch.Tensor]]:
    yield "latents", torch.randn(1, 16, _HIDDEN) / _HIDDEN**0.5
    yield from _linear("proj_in", _HIDDEN, seen)
    yield from _linear("proj_out", words, _HIDDEN)
    yield from _norm("norm_out", words)
    for layer in range(4):
        for norm in ("norm1", "norm2"):
            yield from _norm(f"layers.{layer}.0.{norm}", _HIDDEN)
        yield from _linear(f"layers.{layer}.0.to_q", 64, _HIDDEN, bias=False)
        yield from _linear(f"layers.{layer}.0.to_kv", 128, _HIDDEN, bias=False)
        yield from _linear(f"layers.{layer}.0.to_out", _HIDDEN, 64, bias=False)
        yield from _norm(f"layers.{layer}.1.0", _HIDDEN)
        yield from _linear(f"layers.{layer}.1.1", 4 * _HIDDEN, _HIDDEN, bias=False)
        yield from _linear(f"layers.{layer}.1.3", _HIDDEN, 4 * _HIDDEN, bias=False)
