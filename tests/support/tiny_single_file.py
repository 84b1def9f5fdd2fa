"""Small checkpoint as one `.safetensors` file with the names of the original Stable Diffusion, as most are shared.

diffusers only reads that layout; the names here are written from what its reader understands.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import save_file

_UNET = (
    (r"^time_embedding\.linear_1", "time_embed.0"),
    (r"^time_embedding\.linear_2", "time_embed.2"),
    (r"^add_embedding\.linear_1", "label_emb.0.0"),
    (r"^add_embedding\.linear_2", "label_emb.0.2"),
    (r"^conv_in", "input_blocks.0.0"),
    (r"^conv_norm_out", "out.0"),
    (r"^conv_out", "out.2"),
    (r"^mid_block\.resnets\.(\d)", lambda found: f"middle_block.{2 * int(found[1])}"),
    (r"^mid_block\.attentions\.0", "middle_block.1"),
    (r"^down_blocks\.(\d)\.resnets\.(\d)", lambda found: f"input_blocks.{3 * int(found[1]) + int(found[2]) + 1}.0"),
    (r"^down_blocks\.(\d)\.attentions\.(\d)", lambda found: f"input_blocks.{3 * int(found[1]) + int(found[2]) + 1}.1"),
    (r"^down_blocks\.(\d)\.downsamplers\.0\.conv", lambda found: f"input_blocks.{3 * int(found[1]) + 3}.0.op"),
    (r"^up_blocks\.(\d)\.resnets\.(\d)", lambda found: f"output_blocks.{3 * int(found[1]) + int(found[2])}.0"),
    (r"^up_blocks\.(\d)\.attentions\.(\d)", lambda found: f"output_blocks.{3 * int(found[1]) + int(found[2])}.1"),
    (r"^up_blocks\.0\.upsamplers\.0", "output_blocks.2.1"),
    (r"^up_blocks\.(\d)\.upsamplers\.0", lambda found: f"output_blocks.{3 * int(found[1]) + 2}.2"),
    (r"\.conv1\.", ".in_layers.2."),
    (r"\.time_emb_proj\.", ".emb_layers.1."),
    (r"\.conv2\.", ".out_layers.3."),
    (r"\.conv_shortcut\.", ".skip_connection."),
)
_VAE = (
    (r"\.down_blocks\.(\d)\.resnets\.", r".down.\1.block."),
    (r"\.down_blocks\.(\d)\.downsamplers\.0\.", r".down.\1.downsample."),
    (r"\.up_blocks\.(\d)\.resnets\.", lambda found: f".up.{3 - int(found[1])}.block."),
    (r"\.up_blocks\.(\d)\.upsamplers\.0\.", lambda found: f".up.{3 - int(found[1])}.upsample."),
    (r"\.mid_block\.resnets\.(\d)\.", lambda found: f".mid.block_{int(found[1]) + 1}."),
    (r"\.mid_block\.attentions\.0\.", ".mid.attn_1."),
    (r"\.group_norm\.", ".norm."),
    (r"\.to_(q|k|v)\.", r".\1."),
    (r"\.to_out\.0\.", ".proj_out."),
    (r"\.conv_norm_out\.", ".norm_out."),
    (r"\.conv_shortcut\.", ".nin_shortcut."),
)


def write_single_file(models: Path, checkpoint: str, name: str) -> Path:
    """Write `checkpoints/NAME.safetensors` with the weights of a present checkpoint, and `configs/checkpoints`."""
    source = models / "checkpoints" / checkpoint
    pipeline = StableDiffusionPipeline.from_pretrained(source)
    tensors: dict[str, torch.Tensor] = {}
    for key, value in pipeline.unet.state_dict().items():
        tensors[f"model.diffusion_model.{unet_name(key)}"] = value
    for key, value in pipeline.vae.state_dict().items():
        own = vae_name(key)
        is_projection = ".attn_1." in own and value.ndim == 2  # a convolution of one pixel, originally
        tensors[f"first_stage_model.{own}"] = value[:, :, None, None] if is_projection else value
    for key, value in pipeline.text_encoder.state_dict().items():
        tensors[f"cond_stage_model.transformer.text_model.{key.removeprefix('text_model.')}"] = value
    target = models / "checkpoints" / f"{name}.safetensors"
    save_file({key: value.contiguous() for key, value in tensors.items()}, str(target))
    ignored = shutil.ignore_patterns("*.safetensors", "*.bin")
    shutil.copytree(source, models / "configs" / "checkpoints", ignore=ignored, dirs_exist_ok=True)
    return target


def unet_name(name: str) -> str:
    """Name that the original gives to a parameter of the UNet, without its prefix."""
    return _resnet_norms(_rename(name, _UNET))


def vae_name(name: str) -> str:
    """Name that the original gives to a parameter of the VAE, without its prefix."""
    return _rename(name, _VAE)


def _rename(key: str, rules: tuple[tuple[str, object], ...]) -> str:
    for pattern, name in rules:
        key = re.sub(pattern, name, key)  # type: ignore[call-overload]
    return key


def _resnet_norms(key: str) -> str:
    """Rename the norms of resnets; transformer blocks have norms of the same names, which stay."""
    if "transformer_blocks" in key:
        return key
    return key.replace(".norm1.", ".in_layers.0.").replace(".norm2.", ".out_layers.0.")
