"""Small checkpoints in the files that people have: the original's layout, with whole vocabularies and real structure.

Numbers of heads and groups, blocks and names are those of SD 1 and SD 2, so that nothing but the file is needed to load
them; only the widths are small. `python -m tests.support.real_files FOLDER` writes one of each.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline
from safetensors.torch import save_file

from deployments.engines.diffusion.descriptions import make_tokenizer
from tests.support.tiny_diffusion import SCHEDULER, build_text_encoder, build_unet, build_vae
from tests.support.tiny_single_file import unet_name, vae_name

WIDTH = 64
_LAYERS = 12
Tensors = dict[str, torch.Tensor]


def build_real(family: Literal["sd1", "sd2"] = "sd1", *, channels: int = 4, seed: int = 0) -> StableDiffusionPipeline:
    """Build a small pipeline of a family's structure; 9 channels make it one for inpainting."""
    tokenizer = make_tokenizer(family)
    shared = {"block_out_channels": (WIDTH,) * 4, "cross_attention_dim": WIDTH, "norm_num_groups": 32}
    heads = {"attention_head_dim": 8} if family == "sd1" else {"attention_head_dim": [1] * 4}
    unet = build_unet(seed, **shared, **heads, use_linear_projection=family == "sd2")
    if channels != 4:
        wide = torch.nn.Conv2d(channels, WIDTH, 3, padding=1)
        with torch.no_grad():
            wide.weight[:, :4] = unet.conv_in.weight
            wide.bias[:] = unet.conv_in.bias
        unet.conv_in = wide
        unet.register_to_config(in_channels=channels)
    encoder = build_text_encoder(
        tokenizer,
        seed,
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_attention_heads=1,
        num_hidden_layers=_LAYERS,
        hidden_act="quick_gelu" if family == "sd1" else "gelu",
    )
    return StableDiffusionPipeline(
        vae=real_vae(seed),
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=unet.eval(),
        scheduler=PNDMScheduler(**SCHEDULER),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def real_vae(seed: int = 0) -> AutoencoderKL:
    """Build a small VAE with the real number of groups."""
    return build_vae(seed, block_out_channels=(32, 32, 32, 32), norm_num_groups=32, layers_per_block=2)


def tensors_of(pipeline: StableDiffusionPipeline, *, vae: bool = True, ema: bool = False) -> Tensors:
    """Tensors of a checkpoint by the original's names."""
    found: Tensors = {}
    for name, tensor in pipeline.unet.state_dict().items():
        found[f"model.diffusion_model.{unet_name(name)}"] = tensor
        if ema:
            found[f"model_ema.diffusion_model{unet_name(name).replace('.', '')}"] = torch.zeros_like(tensor)
    if vae:
        found |= {f"first_stage_model.{name}": tensor for name, tensor in vae_tensors(pipeline.vae).items()}
    encoder = {name.removeprefix("text_model."): t for name, t in pipeline.text_encoder.state_dict().items()}
    if pipeline.unet.config.use_linear_projection:
        found |= {
            f"cond_stage_model.model.{name}": tensor
            for name, tensor in open_clip_names(encoder, _LAYERS + 1, torch.eye(WIDTH)).items()
        }
    else:
        found |= {f"cond_stage_model.transformer.text_model.{name}": tensor for name, tensor in encoder.items()}
        positions = torch.arange(77)[None]
        found["cond_stage_model.transformer.text_model.embeddings.position_ids"] = positions
    return {name: tensor.contiguous().clone() for name, tensor in found.items()}


def vae_tensors(vae: AutoencoderKL) -> Tensors:
    """Tensors of a VAE by the original's names."""
    found: Tensors = {}
    for name, tensor in vae.state_dict().items():
        own = vae_name("." + name).removeprefix(".")
        is_projection = ".attn_1." in own and tensor.ndim == 2  # a convolution of one pixel, originally
        found[own] = tensor[:, :, None, None] if is_projection else tensor
    return {name: tensor.contiguous().clone() for name, tensor in found.items()}


def open_clip_names(encoder: Mapping[str, torch.Tensor], layers: int, projection: torch.Tensor) -> Tensors:
    """Tensors of a text encoder by OpenCLIP's names, with so many layers: SD 2 does not use the last, which is made of
    the one before."""
    found = {
        "token_embedding.weight": encoder["embeddings.token_embedding.weight"],
        "positional_embedding": encoder["embeddings.position_embedding.weight"],
        "ln_final.weight": encoder["final_layer_norm.weight"],
        "ln_final.bias": encoder["final_layer_norm.bias"],
        "text_projection": projection,
        "logit_scale": torch.tensor(4.6),
    }
    parts = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
    parts["self_attn.out_proj"] = "attn.out_proj"
    for layer in range(layers):
        source = f"encoder.layers.{layer}."
        if f"{source}layer_norm1.weight" not in encoder:
            source = f"encoder.layers.{layer - 1}."
        for kind in ("weight", "bias"):
            for own, theirs in parts.items():
                found[f"transformer.resblocks.{layer}.{theirs}.{kind}"] = encoder[f"{source}{own}.{kind}"]
            joined = [encoder[f"{source}self_attn.{one}_proj.{kind}"] for one in "qkv"]
            found[f"transformer.resblocks.{layer}.attn.in_proj_{kind}"] = torch.cat(joined)
    return found


def write(path: Path, tensors: Tensors, *, half: bool = False, metadata: dict[str, str] | None = None) -> Path:
    """Write tensors as the ending says: safetensors, or pickled as training left them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if half:
        tensors = {name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}
    if path.suffix == ".safetensors":
        save_file(tensors, str(path), metadata)
    else:
        torch.save({"state_dict": tensors, "epoch": 1, "callbacks": {_Callback: _Callback()}}, path)
    return path


class _Callback:
    """Stands for the callbacks that pytorch-lightning pickled into its checkpoints."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {"best": torch.tensor(0.5)}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for family, channels in (("sd1", 4), ("sd1", 9), ("sd2", 4)):
        made = tensors_of(build_real(family, channels=channels))  # type: ignore[arg-type]
        sys.stdout.write(f"{write(folder / 'Stable-diffusion' / f'{family}-{channels}.safetensors', made)}\n")
