"""Small seeded SDXL models of the real classes: a folder as diffusers saves it, and the original's single file.

Blocks, key names, tokenizers and numbers of heads and groups are SDXL's, so that a single file needs nothing but
itself; only widths and depths are small. `python -m tests.support.tiny_sdxl FOLDER` writes a models folder.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    EulerDiscreteScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextModelWithProjection

from deployments.engines.diffusion.descriptions import make_tokenizer
from tests.support.real_files import Tensors, open_clip_names, vae_tensors, write
from tests.support.tiny_diffusion import SCHEDULER, build_controlnet, build_text_encoder, build_unet, build_vae
from tests.support.tiny_single_file import unet_name

CHECKPOINT = "tiny-xl"
CONTROLNETS = {"canny": "diffusers_xl_canny_mid", "depth": "diffusers_xl_depth_mid"}
"""ControlNets, kind -> name, of those that people have."""
LEVELS = 3
WIDTH, CLIP_WIDTH, OPEN_CLIP_WIDTH = 64, 64, 128
SCALE = 0.13025
UNET: dict[str, Any] = {
    "block_out_channels": (WIDTH,) * LEVELS,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 1, 2),
    "attention_head_dim": (1,) * LEVELS,
    "cross_attention_dim": CLIP_WIDTH + OPEN_CLIP_WIDTH,
    "use_linear_projection": True,
    "norm_num_groups": 32,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": OPEN_CLIP_WIDTH + 6 * 256,
}


def write_models(folder: Path, seed: int = 0) -> Path:
    """Write a checkpoint as a folder, and two ControlNets. -> `folder`"""
    with torch.random.fork_rng(devices=[]):
        pipeline = build_pipeline(seed)
        pipeline.save_pretrained(folder / "checkpoints" / CHECKPOINT)
        for place, name in enumerate(CONTROLNETS.values()):
            build_controlnet(pipeline.unet, seed + 100 + place).save_pretrained(folder / "controlnets" / name)
    return folder


def build_pipeline(seed: int = 0, *, channels: int = 4, **changes: Any) -> StableDiffusionXLPipeline:
    """Build a whole SDXL pipeline; 9 channels make it one for inpainting. `changes`: of the UNet's configuration."""
    unet = build_unet(seed, **UNET | changes)
    if channels != 4:
        widen(unet, channels)
    return StableDiffusionXLPipeline(
        vae=xl_vae(seed),
        text_encoder=_clip(seed),
        text_encoder_2=build_open_clip(seed + 1),
        tokenizer=make_tokenizer("sdxl"),
        tokenizer_2=make_tokenizer("sdxl", second=True),
        unet=unet.eval(),
        scheduler=EulerDiscreteScheduler(
            **{name: SCHEDULER[name] for name in ("beta_start", "beta_end", "beta_schedule", "num_train_timesteps")},
            timestep_spacing="leading",
            steps_offset=1,
        ),
        add_watermarker=False,
    )


def build_refiner(seed: int = 9) -> tuple[UNet2DConditionModel, CLIPTextModelWithProjection]:
    """Build the networks of SDXL's refiner: four levels, the second text encoder alone, a score in place of a size."""
    changes = {
        "block_out_channels": (WIDTH,) * 4,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": 1,
        "attention_head_dim": (1,) * 4,
        "cross_attention_dim": OPEN_CLIP_WIDTH,
        "projection_class_embeddings_input_dim": OPEN_CLIP_WIDTH + 5 * 256,
    }
    return build_unet(seed, **UNET | changes), build_open_clip(seed)


def refiner_tensors(unet: UNet2DConditionModel, encoder: CLIPTextModelWithProjection) -> Tensors:
    """Tensors of a refiner by the original's names; its first level up has no attention, as SD 1's."""
    found = {f"model.diffusion_model.{refiner_unet_name(name)}": tensor for name, tensor in unet.state_dict().items()}
    found |= {f"conditioner.embedders.0.model.{name}": tensor for name, tensor in open_clip_tensors(encoder).items()}
    return {name: tensor.contiguous().clone() for name, tensor in found.items()}


def refiner_unet_name(name: str) -> str:
    """Name that the original gives to a parameter of the refiner's UNet."""
    return unet_name(name) if name.startswith("up_blocks.0.upsamplers.") else xl_unet_name(name)


def widen(unet: UNet2DConditionModel, channels: int) -> None:
    """Make the UNet take more channels: the mask, and the image without its masked part."""
    wide = torch.nn.Conv2d(channels, unet.conv_in.out_channels, 3, padding=1)
    with torch.no_grad():
        wide.weight[:, :4] = unet.conv_in.weight
        wide.weight[:8, 4:] = 0  # these carry the latents
        wide.bias[:] = unet.conv_in.bias
    unet.conv_in = wide
    unet.register_to_config(in_channels=channels)


def _clip(seed: int) -> Any:
    return build_text_encoder(
        make_tokenizer("sdxl"),
        seed,
        hidden_size=CLIP_WIDTH,
        intermediate_size=2 * CLIP_WIDTH,
        num_attention_heads=1,
        hidden_act="quick_gelu",
        projection_dim=CLIP_WIDTH,
    )


def build_open_clip(seed: int, layers: int = 4) -> CLIPTextModelWithProjection:
    """Build the second text encoder, with its projection."""
    inner = build_text_encoder(
        make_tokenizer("sdxl", second=True),
        seed,
        hidden_size=OPEN_CLIP_WIDTH,
        intermediate_size=2 * OPEN_CLIP_WIDTH,
        num_attention_heads=2,
        num_hidden_layers=layers,
        hidden_act="gelu",
        projection_dim=OPEN_CLIP_WIDTH,
    )
    model = CLIPTextModelWithProjection(inner.config).eval()
    model.text_model.load_state_dict(inner.state_dict())
    with torch.no_grad():
        model.text_projection.weight.normal_(0, OPEN_CLIP_WIDTH**-0.5)
    return model


def xl_vae(seed: int = 0) -> AutoencoderKL:
    """Build a small VAE with SDXL's scale and the real number of groups."""
    widths = (32, 32, 32, 32)
    return build_vae(seed, block_out_channels=widths, norm_num_groups=32, layers_per_block=2, scaling_factor=SCALE)


def tensors_of(pipeline: StableDiffusionXLPipeline, *, vae: bool = True) -> Tensors:
    """Tensors of a checkpoint by the original's names."""
    found: Tensors = {
        f"model.diffusion_model.{xl_unet_name(name)}": tensor for name, tensor in pipeline.unet.state_dict().items()
    }
    if vae:
        found |= {f"first_stage_model.{name}": tensor for name, tensor in vae_tensors(pipeline.vae).items()}
    for name, tensor in pipeline.text_encoder.state_dict().items():
        found[f"conditioner.embedders.0.transformer.text_model.{name.removeprefix('text_model.')}"] = tensor
    found |= {
        f"conditioner.embedders.1.model.{name}": tensor
        for name, tensor in open_clip_tensors(pipeline.text_encoder_2).items()
    }
    return {name: tensor.contiguous().clone() for name, tensor in found.items()}


def open_clip_tensors(encoder: CLIPTextModelWithProjection) -> Tensors:
    """Tensors of the second text encoder by OpenCLIP's names."""
    inner = encoder.text_model.state_dict()
    projection = encoder.text_projection.weight.T
    return open_clip_names(inner, encoder.config.num_hidden_layers, projection)


def controlnet_tensors(net: ControlNetModel) -> Tensors:
    """Tensors of a ControlNet by the original's names."""
    found: Tensors = {}
    for name, tensor in net.state_dict().items():
        own = re.sub(r"^controlnet_down_blocks\.(\d+)\.", r"zero_convs.\1.0.", xl_unet_name(name))
        own = own.replace("controlnet_mid_block.", "middle_block_out.0.")
        own = own.replace("controlnet_cond_embedding.conv_in.", "input_hint_block.0.")
        own = own.replace("controlnet_cond_embedding.conv_out.", "input_hint_block.14.")
        own = re.sub(
            r"^controlnet_cond_embedding\.blocks\.(\d)\.",
            lambda found: f"input_hint_block.{2 * int(found[1]) + 2}.",
            own,
        )
        found[f"control_model.{own}"] = tensor.contiguous().clone()
    return found


def xl_unet_name(name: str) -> str:
    """Name that the original gives to a parameter of SDXL's UNet: its first level up has attention."""
    place = re.match(r"^up_blocks\.(\d)\.upsamplers\.0\.", name)
    return unet_name(name if place is None else f"output_blocks.{3 * int(place[1]) + 2}.2.{name[place.end() :]}")


if __name__ == "__main__":
    models = write_models(Path(sys.argv[1]))
    single = tensors_of(build_pipeline())
    sys.stdout.write(f"{models}\n{write(models / 'checkpoints' / 'single-xl.safetensors', single)}\n")
