"""Configurations of the networks in single files, which hold weights and no configuration.

What the family fixes is written here; widths, depths and channels are read from the shapes of the tensors. So no file
needs a configuration from elsewhere. Numbers of heads are those of the published models: SD 1 has eight a layer, the
others and the text encoders one for each 64 channels.
"""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Mapping
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from deployments.engines.diffusion.families import Family, Shapes
from deployments.errors import Unavailable

Config = dict[str, Any]

SCHEDULER: Mapping[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
}
"""Noise schedule of SD 1, SD 2 and SDXL, as all were trained."""
UNET, VAE = "model.diffusion_model.", "first_stage_model."
CLIP, OPEN_CLIP = "cond_stage_model.transformer.", "cond_stage_model.model."
XL_CLIP, XL_OPEN_CLIP = "conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."
REFINER_CLIP = "conditioner.embedders.0.model."
_HEAD_WIDTH = 64
_SD1_HEADS = 8
_SIZE_WIDTH = 256
"""Channels that each number of SDXL's size conditioning becomes."""
_SCALES = {"sdxl": 0.13025, "sdxl-refiner": 0.13025}
_SCALE = 0.18215
"""Scale of the latents as UNets of SD 1 and 2 see them; those of SDXL are in `_SCALES`."""
LATENT_SCALES = (_SCALE, *_SCALES.values())
"""Scales of all families."""
_SAMPLE_SIDES = {"sd1": 64, "sd2": 96}
_XL_SAMPLE_SIDE = 128
_CLIP_MERGES = 49152 - 256 - 2
"""Merges of CLIP's vocabulary; the file has more, of a larger one."""
_BEGIN, _END = "<|startoftext|>", "<|endoftext|>"


def describe_unet(shapes: Shapes, family: Family) -> Config:
    """Describe the UNet of a checkpoint."""
    inner = _inner(shapes, UNET)
    config = _describe_denoiser(inner, family)
    kinds = ["CrossAttnUpBlock2D" if "CrossAttn" in kind else "UpBlock2D" for kind in config["down_block_types"]]
    return {
        **config,
        "out_channels": inner["out.2.weight"][0],
        "up_block_types": kinds[::-1],
        "sample_size": _SAMPLE_SIDES.get(family, _XL_SAMPLE_SIDE),
    }


def describe_controlnet(shapes: Shapes, family: Family) -> Config:
    """Describe a ControlNet, with the original's names or with diffusers'."""
    if "conv_in.weight" in shapes:
        hints = [_side(shapes, "controlnet_cond_embedding.conv_in.weight")]
        hints += [_side(shapes, f"controlnet_cond_embedding.blocks.{place}.weight") for place in (1, 3, 5)]
        return {**_describe_converted(shapes, family), "conditioning_embedding_out_channels": hints}
    inner = _inner(shapes, "control_model.") if "control_model.time_embed.0.weight" in shapes else shapes
    hints = [inner[f"input_hint_block.{place}.weight"][0] for place in (0, 4, 8, 12)]
    return {**_describe_denoiser(inner, family), "conditioning_embedding_out_channels": hints}


def describe_union(shapes: Shapes, family: Family) -> Config:
    """Describe a ControlNet union model with diffusers' names, as it is published."""
    types, width = shapes["task_embedding"]
    return {
        **describe_controlnet(shapes, family),
        "num_control_type": types,
        "num_trans_channel": width,
        "num_trans_layer": len({name.split(".")[1] for name in shapes if name.startswith("transformer_layes.")}),
        "num_proj_channel": _side(shapes, "spatial_ch_projs.weight"),
        "addition_time_embed_dim": shapes["control_add_embedding.linear_1.weight"][1] // types,
    }


def describe_vae(shapes: Shapes, family: Family = "") -> Config:
    """Describe a VAE, of a checkpoint or in a file of its own, with the original's names or with diffusers'.

    `family`: that of the checkpoint whose latents it decodes, for the files of all families are alike.
    """
    prefix = next((one for one in (VAE, "vae.") if any(name.startswith(one) for name in shapes)), "")
    inner = _inner(shapes, prefix)
    is_converted = any(name.startswith("encoder.down_blocks.") for name in inner)
    levels = "encoder.down_blocks.{}.resnets.{}" if is_converted else "encoder.down.{}.block.{}"
    widths = [inner[f"{levels.format(level, 0)}.conv2.weight"][0] for level in _while(inner, levels, second=0)]
    layers = sum(f"{levels.format(0, place)}.conv2.weight" in inner for place in range(8))
    return {
        "in_channels": 3,
        "out_channels": 3,
        "down_block_types": ["DownEncoderBlock2D"] * len(widths),
        "up_block_types": ["UpDecoderBlock2D"] * len(widths),
        "block_out_channels": widths,
        "layers_per_block": layers,
        "latent_channels": inner["decoder.conv_in.weight"][1],
        "norm_num_groups": 32,
        "sample_size": 512,
        "scaling_factor": latent_scale(family),
    }


def latent_scale(family: Family) -> float:
    """Scale of the latents as UNets of a family see them."""
    return _SCALES.get(family, _SCALE)


def describe_text_encoder(shapes: Shapes, prefix: str) -> Config:
    """Describe a text encoder of a checkpoint, whose names begin with `prefix`: CLIP, or OpenCLIP.

    SD 2 uses OpenCLIP without its last layer.
    """
    is_open = prefix in (OPEN_CLIP, XL_OPEN_CLIP, REFINER_CLIP)
    if is_open:
        inner = _inner(shapes, prefix)
        layers = _count(inner, "transformer.resblocks.{}.ln_1.weight") - (prefix == OPEN_CLIP)
        vocabulary, width = inner["token_embedding.weight"]
        wide, positions = inner["transformer.resblocks.0.mlp.c_fc.weight"][0], inner["positional_embedding"][0]
    else:
        inner = _inner(shapes, f"{prefix}text_model.")
        layers = _count(inner, "encoder.layers.{}.layer_norm1.weight")
        vocabulary, width = inner["embeddings.token_embedding.weight"]
        wide = inner["encoder.layers.0.mlp.fc1.weight"][0]
        positions = inner["embeddings.position_embedding.weight"][0]
    return {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": wide,
        "num_hidden_layers": layers,
        "num_attention_heads": max(1, width // _HEAD_WIDTH),
        "max_position_embeddings": positions,
        "hidden_act": "gelu" if is_open else "quick_gelu",
        "projection_dim": inner.get("text_projection", (width, width))[1],
        "bos_token_id": vocabulary - 2,
        "eos_token_id": vocabulary - 1,
        "pad_token_id": 1,
    }


@cache
def make_tokenizer(family: Family, *, second: bool = False) -> Any:
    """Make CLIP's tokenizer from the vocabulary that open-clip ships. Raises `Unavailable`.

    That of OpenCLIP, in SD 2 and for the `second` text encoder of SDXL, pads with `!`.
    """
    from transformers import CLIPTokenizer

    merges = _clip_merges()
    letters = _letters()
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(merge) for merge in merges), _BEGIN, _END]
    return CLIPTokenizer(
        vocab={token: place for place, token in enumerate(tokens)},
        merges=merges,
        pad_token="!" if family == "sd2" or second else _END,
        model_max_length=77,
    )


def _clip_merges() -> list[tuple[str, str]]:
    spec = importlib.util.find_spec("open_clip")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        path = Path(folder) / "bpe_simple_vocab_16e6.txt.gz"
        if path.is_file():
            lines = gzip.decompress(path.read_bytes()).decode().split("\n")[1 : _CLIP_MERGES + 1]
            return [(first, second) for first, second in (line.split() for line in lines)]
    raise Unavailable("CLIP's vocabulary is in the package open-clip-torch: install darkroom[diffusion].")


def _letters() -> list[str]:
    """Letters that stand for the 256 bytes, in the order of the vocabulary: printable ones stand for themselves."""
    own = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [chr(byte) for byte in own] + [chr(256 + place) for place in range(256 - len(own))]


def _describe_denoiser(inner: Shapes, family: Family) -> Config:
    """Describe a UNet or ControlNet by the original's names: a level is three blocks, the last one halves the size."""
    layer = "input_blocks.{}.0.out_layers.3.weight"
    widths = []
    for place in count(1, 3):
        if layer.format(place) not in inner:
            break
        widths.append(inner[layer.format(place)][0])
    places = [f"input_blocks.{3 * level + 1}.1." for level in range(len(widths))]
    blocks = [*places, "middle_block.1."]
    condition = inner.get("label_emb.0.0.weight")
    return _denoiser(inner, family, inner["input_blocks.0.0.weight"][1], widths, blocks, condition)


def _describe_converted(shapes: Shapes, family: Family) -> Config:
    layer = "down_blocks.{}.resnets.{}"
    widths = [shapes[f"{layer.format(level, 0)}.conv2.weight"][0] for level in _while(shapes, layer, second=0)]
    blocks = [*(f"down_blocks.{level}.attentions.0." for level in range(len(widths))), "mid_block.attentions.0."]
    condition = shapes.get("add_embedding.linear_1.weight")
    return _denoiser(shapes, family, shapes["conv_in.weight"][1], widths, blocks, condition)


def _denoiser(
    shapes: Shapes,
    family: Family,
    channels: int,
    widths: list[int],
    blocks: list[str],
    condition: tuple[int, ...] | None,
) -> Config:
    """Describe a UNet or ControlNet; `blocks`: names of the attention of each level and of the middle, `condition`: the
    shape of what takes SDXL's size conditioning."""
    heads = _SD1_HEADS if family == "sd1" else [max(1, width // _HEAD_WIDTH) for width in widths]
    attends = [f"{block}proj_in.weight" in shapes for block in blocks[:-1]]
    context = next(shape[1] for name, shape in shapes.items() if name.endswith(".attn2.to_k.weight"))
    return {
        **(_describe_xl(shapes, blocks, attends, condition) if condition else {}),
        "in_channels": channels,
        "down_block_types": ["CrossAttnDownBlock2D" if one else "DownBlock2D" for one in attends],
        "block_out_channels": widths,
        "layers_per_block": 2,
        "cross_attention_dim": context,
        "attention_head_dim": heads,  # diffusers' name; it is the number of heads
        "use_linear_projection": family != "sd1",
        "norm_num_groups": 32,
    }


def _describe_xl(shapes: Shapes, blocks: list[str], attends: list[bool], condition: tuple[int, ...]) -> Config:
    """Describe what SDXL has more: depths of its attention, and the conditioning on sizes and the pooled prompt."""
    depths = [_count(shapes, f"{block}transformer_blocks.{{}}.norm1.weight") for block in blocks]
    whole = [depth if attention else 1 for depth, attention in zip(depths, attends, strict=False)]
    return {
        "transformer_layers_per_block": whole if attends[-1] else depths[-1],  # the middle is as deep as the last level
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": _SIZE_WIDTH,
        "projection_class_embeddings_input_dim": condition[-1],
    }


def _inner(shapes: Shapes, prefix: str) -> dict[str, tuple[int, ...]]:
    return {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}


def _count(shapes: Shapes, name: str) -> int:
    return next(place for place in count() if name.format(place) not in shapes)


def _while(shapes: Shapes, name: str, *, second: int) -> range:
    return range(next(place for place in count() if f"{name.format(place, second)}.conv2.weight" not in shapes))


def _side(shapes: Shapes, name: str) -> int:
    return shapes[name][0]
