"""Model files of the real sizes that hold no weights: a real header, and a sparse file of zeros behind it.

The shapes come from diffusers' own networks of the real configurations, built without memory; names are those that
people's files have. `python -m tests.support.real_shapes FOLDER` writes them all.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, T2IAdapter, UNet2DConditionModel

from tests.support.tiny_single_file import unet_name, vae_name

Shapes = dict[str, tuple[int, ...]]
_BYTES = {"F16": 2, "F32": 4}
_SD1 = {"cross_attention_dim": 768, "attention_head_dim": 8}
_SD2 = {"cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20], "use_linear_projection": True}
_XL: dict[str, Any] = {
    "block_out_channels": [320, 640, 1280],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "attention_head_dim": [5, 10, 20],
    "transformer_layers_per_block": [1, 2, 10],
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
_XL_UP = {"up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"]}
_REFINER: dict[str, Any] = {
    **_XL,
    "block_out_channels": [384, 768, 1536, 1536],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "attention_head_dim": [6, 12, 24, 24],
    "transformer_layers_per_block": 4,
    "cross_attention_dim": 1280,
    "projection_class_embeddings_input_dim": 2560,
}
_XL_SMALL = {**_XL, "down_block_types": ["DownBlock2D"] * 3, "transformer_layers_per_block": 1}
_XL_MID = {**_XL, "transformer_layers_per_block": [0, 0, 1]}


@cache
def _of(cls: Any, config: str) -> Shapes:
    with torch.device("meta"):
        network = cls(**json.loads(config))
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def shapes_of(cls: Any, **config: Any) -> Shapes:
    """Shapes of a network of diffusers, by its own names."""
    return dict(_of(cls, json.dumps(config, sort_keys=True)))


def ldm_checkpoint(config: Mapping[str, Any], encoders: Mapping[str, tuple[int, ...]], *, vae: bool = True) -> Shapes:
    """Shapes of a checkpoint with the original's names: UNet, VAE and what shows the text encoders."""
    unet = shapes_of(UNet2DConditionModel, **config)
    shapes = {f"model.diffusion_model.{unet_name(name)}": shape for name, shape in unet.items()}
    if vae:
        own = shapes_of(AutoencoderKL, **_VAE)
        shapes |= {f"first_stage_model.{vae_name(name)}": shape for name, shape in own.items()}
    return shapes | dict(encoders)


_VAE: dict[str, Any] = {
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
}
_CLIP = "cond_stage_model.transformer.text_model.embeddings."
CLIP_L = {f"{_CLIP}position_embedding.weight": (77, 768), f"{_CLIP}token_embedding.weight": (49408, 768)}
CLIP_H = {"cond_stage_model.model.positional_embedding": (77, 1024)}
XL_ENCODERS = {
    "conditioner.embedders.0.transformer.text_model.embeddings.position_embedding.weight": (77, 768),
    "conditioner.embedders.1.model.positional_embedding": (77, 1280),
}
REFINER_ENCODER = {"conditioner.embedders.0.model.positional_embedding": (77, 1280)}
_FLUX = {"double_blocks.0.img_attn.norm.key_norm.scale": (128,), "single_blocks.0.linear1.weight": (21504, 3072)}
_SD3 = {"joint_blocks.0.context_block.adaLN_modulation.1.weight": (9216, 1536), "pos_embed": (1, 36864, 1536)}


def under(prefix: str, shapes: Mapping[str, tuple[int, ...]]) -> Shapes:
    """Put a prefix before each name."""
    return {prefix + name: shape for name, shape in shapes.items()}


CHECKPOINTS: Mapping[tuple[str, str], Callable[[], Shapes]] = {
    ("sd1", ""): lambda: ldm_checkpoint(_SD1, CLIP_L),
    ("sd1", "inpaint"): lambda: ldm_checkpoint({**_SD1, "in_channels": 9}, CLIP_L),
    ("sd1", "instruct"): lambda: ldm_checkpoint({**_SD1, "in_channels": 8}, CLIP_L),
    ("sd2", ""): lambda: ldm_checkpoint(_SD2, CLIP_H),
    ("sd2", "inpaint"): lambda: ldm_checkpoint({**_SD2, "in_channels": 9}, CLIP_H),
    ("sdxl", ""): lambda: ldm_checkpoint({**_XL, **_XL_UP}, XL_ENCODERS),
    ("sdxl", "inpaint"): lambda: ldm_checkpoint({**_XL, **_XL_UP, "in_channels": 9}, XL_ENCODERS),
    ("sdxl-refiner", ""): lambda: ldm_checkpoint(_REFINER, REFINER_ENCODER),
    ("sd3", ""): lambda: under("model.diffusion_model.", _SD3),
    ("flux", ""): lambda: under("model.diffusion_model.", _FLUX),
}
"""(family, variant) -> shapes of a whole checkpoint."""


def _cldm(config: Mapping[str, Any], prefix: str = "control_model.") -> Shapes:
    found = shapes_of(ControlNetModel, **config)
    return {prefix + controlnet_name(name): shape for name, shape in found.items()}


def controlnet_name(name: str) -> str:
    """Name that the original gives to a parameter of a ControlNet."""
    if name.startswith("controlnet_down_blocks."):
        _, place, kind = name.split(".")
        return f"zero_convs.{place}.0.{kind}"
    if name.startswith("controlnet_mid_block."):
        return name.replace("controlnet_mid_block.", "middle_block_out.0.")
    if name.startswith("controlnet_cond_embedding."):
        part = name.removeprefix("controlnet_cond_embedding.")
        places = {"conv_in": 0, "conv_out": 14, **{f"blocks.{place}": 2 * place + 2 for place in range(6)}}
        module, _, kind = part.rpartition(".")
        return f"input_hint_block.{places[module]}.{kind}"
    return unet_name(name)


_CONTROL = {"conditioning_embedding_out_channels": [16, 32, 96, 256]}
CONTROLNETS: Mapping[tuple[str, str, str], Callable[[], Shapes]] = {
    ("controlnet", "sd1", "cldm"): lambda: _cldm({**_SD1, **_CONTROL}),
    ("controlnet", "sd1", "without a prefix"): lambda: _cldm({**_SD1, **_CONTROL}, ""),
    ("controlnet", "sd1", "diffusers"): lambda: shapes_of(ControlNetModel, **_SD1, **_CONTROL),
    ("controlnet", "sd2", "cldm"): lambda: _cldm({**_SD2, **_CONTROL}),
    ("controlnet", "sd2", "diffusers"): lambda: shapes_of(ControlNetModel, **_SD2, **_CONTROL),
    ("controlnet", "sdxl", "diffusers"): lambda: shapes_of(ControlNetModel, **_XL, **_CONTROL),
    ("controlnet", "sdxl", "mid"): lambda: shapes_of(ControlNetModel, **_XL_MID, **_CONTROL),
    ("controlnet", "sdxl", "small"): lambda: shapes_of(ControlNetModel, **_XL_SMALL, **_CONTROL),
    ("controlnet", "sdxl", "cldm"): lambda: _cldm({**_XL, **_CONTROL}),
    ("controlnet", "flux", "diffusers"): lambda: {
        "controlnet_x_embedder.weight": (3072, 64),
        "controlnet_blocks.0.weight": (3072, 3072),
        "single_transformer_blocks.0.attn.to_q.weight": (3072, 3072),
    },
    ("controlnet", "sd3", "diffusers"): lambda: {
        "controlnet_blocks.0.weight": (1536, 1536),
        "pos_embed_input.proj.weight": (1536, 16, 2, 2),
    },
    ("t2i-adapter", "sd1", "original"): lambda: {
        "conv_in.weight": (320, 192, 3, 3),
        "body.0.block1.weight": (320, 320, 3, 3),
        "body.2.in_conv.weight": (640, 320, 1, 1),
    },
    ("t2i-adapter", "sd1", "diffusers"): lambda: shapes_of(
        T2IAdapter, in_channels=3, channels=[320, 640, 1280, 1280], downscale_factor=8, adapter_type="full_adapter"
    ),
    ("t2i-adapter", "sdxl", "diffusers"): lambda: shapes_of(
        T2IAdapter, in_channels=3, channels=[320, 640, 1280, 1280], downscale_factor=16, adapter_type="full_adapter_xl"
    ),
    ("control-lora", "sdxl", "original"): lambda: {
        "lora_controlnet": (0,),
        "input_hint_block.0.weight": (16, 3, 3, 3),
        "label_emb.0.0.up": (1280, 128),
        "input_blocks.4.1.transformer_blocks.0.attn2.to_k.down": (128, 2048),
    },
    ("ip-adapter", "sd1", "original"): lambda: {
        "image_proj.proj.weight": (3072, 1024),
        "ip_adapter.1.to_k_ip.weight": (320, 768),
    },
    ("ip-adapter", "sdxl", "original"): lambda: {
        "image_proj.proj.weight": (8192, 1280),
        "ip_adapter.1.to_k_ip.weight": (640, 2048),
    },
    ("lllite", "sdxl", "original"): lambda: {
        "lllite_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.conditioning1.0.weight": (16, 3, 4, 4),
    },
}
"""(role, family, form) -> shapes of a file in controlnets/."""


def _kohya(prefix: str, width: int, rank: int = 16) -> Shapes:
    layer = f"lora_unet_{prefix}transformer_blocks_0_attn2_to_k"
    return {
        f"{layer}.lora_down.weight": (rank, width),
        f"{layer}.lora_up.weight": (320, rank),
        f"{layer}.alpha": (),
    }


LORAS: Mapping[tuple[str, str], Callable[[], Shapes]] = {
    ("sd1", "kohya"): lambda: _kohya("down_blocks_0_attentions_0_", 768),
    ("sd2", "kohya"): lambda: _kohya("down_blocks_0_attentions_0_", 1024),
    ("sdxl", "kohya"): lambda: _kohya("input_blocks_4_1_", 2048),
    ("sdxl", "te2"): lambda: {"lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": (8, 1280)},
    ("sd1", "te"): lambda: {"lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": (8, 768)},
    ("sd1", "diffusers"): lambda: {
        "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.lora.down.weight": (4, 768)
    },
    ("sdxl", "peft"): lambda: {
        "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight": (4, 2048)
    },
    ("sdxl", "deep"): lambda: {
        "unet.down_blocks.2.attentions.0.transformer_blocks.7.attn1.to_q.lora_A.weight": (4, 1280)
    },
    ("sd1", "LoHa"): lambda: {
        "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.hada_w1_a": (320, 8),
        "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.hada_w1_b": (8, 768),
    },
    ("sdxl", "LoKr"): lambda: {
        "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lokr_w1": (20, 32),
        "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lokr_w2": (32, 64),
    },
    ("sd1", "full"): lambda: {"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.diff": (320, 768)},
    ("flux", "kohya"): lambda: {"lora_unet_double_blocks_0_img_attn_proj.lora_down.weight": (16, 3072)},
    ("flux", "peft"): lambda: {"transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight": (16, 3072)},
    ("sd3", "peft"): lambda: {"transformer.transformer_blocks.0.attn.add_k_proj.lora_A.weight": (16, 1536)},
}
"""(family, form) -> shapes of a LoRA, some of its tensors."""


def write(path: Path, shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str] | None = None) -> Path:
    """Write a safetensors file with this header; its tensors are zeros that take no place on the disk."""
    entries: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + math.prod(shape) * _BYTES["F16"]
        entries[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [begin, end]}
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        stream.write(len(header).to_bytes(8, "little") + header)
        stream.truncate(8 + len(header) + end)
    return path


if __name__ == "__main__":
    for kind, table in (("checkpoints", CHECKPOINTS), ("controlnets", CONTROLNETS), ("loras", LORAS)):
        for key, build in table.items():
            sys.stdout.write(f"{write(Path(sys.argv[1]) / kind / ('-'.join(key) + '.safetensors'), build())}\n")
