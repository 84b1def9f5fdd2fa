"""IP-Adapters and image encoders in the sizes that are published, without their weights."""

from __future__ import annotations

import pytest

pytest.importorskip("diffusers")

import torch
from accelerate import init_empty_weights
from diffusers import UNet2DConditionModel
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from deployments.engines.diffusion.families import identify
from deployments.engines.diffusion.image_encoders import read_sizes
from deployments.engines.diffusion.ip_adapters import cross_attentions

LAYER = {"ip_adapter.1.to_k_ip.weight": (320, 768)}
XL_LAYER = {"ip_adapter.1.to_k_ip.weight": (640, 2048)}
RESAMPLER = {"image_proj.latents": (1, 16, 768)}


@pytest.mark.parametrize(
    ("shapes", "family", "encoder"),
    [
        pytest.param({"image_proj.proj.weight": (3072, 1024), **LAYER}, "sd1", "clip_h", id="ip-adapter_sd15"),
        pytest.param({"image_proj.proj.weight": (3072, 1280), **LAYER}, "sd1", "clip_g", id="ip-adapter_sd15_vit-G"),
        pytest.param({"image_proj.proj.weight": (8192, 1280), **XL_LAYER}, "sdxl", "clip_g", id="ip-adapter_sdxl"),
        pytest.param(
            {"image_proj.proj.weight": (8192, 1024), **XL_LAYER}, "sdxl", "clip_h", id="ip-adapter_sdxl_vit-h"
        ),
        pytest.param(
            {**RESAMPLER, "image_proj.proj_in.weight": (768, 1280), **LAYER}, "sd1", "clip_h", id="ip-adapter-plus_sd15"
        ),
        pytest.param(
            {"image_proj.proj.0.weight": (1280, 1280), "image_proj.proj.3.weight": (768,), **LAYER},
            *("sd1", "clip_h"),
            id="ip-adapter-full-face_sd15",
        ),
        pytest.param(
            {"image_proj.proj.0.weight": (1024, 512), "image_proj.norm.weight": (768,), **LAYER},
            *("sd1", ""),
            id="ip-adapter-faceid_sd15",
        ),
        pytest.param(
            {"image_proj.perceiver_resampler.proj_in.weight": (768, 1280), "image_proj.norm.weight": (768,), **LAYER},
            *("sd1", ""),
            id="ip-adapter-faceid-plusv2_sd15",
        ),
        pytest.param({**RESAMPLER, "image_proj.proj_in.weight": (1280, 512), **XL_LAYER}, "sdxl", "", id="instant-id"),
    ],
)
def test_a_file_says_which_encoder_it_needs(shapes: dict[str, tuple[int, ...]], family: str, encoder: str) -> None:
    kind = identify(shapes)
    assert (kind.role, kind.family, kind.encoder) == ("ip-adapter", family, encoder)


@pytest.mark.parametrize(
    "sizes",
    [(1280, 5120, 32, 1024), (1664, 8192, 48, 1280)],
    ids=["ViT-H", "ViT-bigG"],
)
def test_the_sizes_of_an_encoder_are_read_from_its_tensors(sizes: tuple[int, int, int, int]) -> None:
    width, inner, layers, projected = sizes
    config = {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": 16,
        "hidden_act": "gelu",
        "image_size": 224,
        "patch_size": 14,
        "projection_dim": projected,
    }
    with init_empty_weights():
        network = CLIPVisionModelWithProjection(CLIPVisionConfig(**config))
    assert read_sizes(dict(network.state_dict())) == config


def test_layers_are_counted_as_in_published_files() -> None:
    with init_empty_weights():
        sd1 = UNet2DConditionModel(cross_attention_dim=768)
        sdxl = UNet2DConditionModel(
            block_out_channels=(320, 640, 1280),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 2, 10),
            cross_attention_dim=2048,
        )
    assert list(cross_attentions(sd1)) == [*range(1, 32, 2)]
    assert list(cross_attentions(sdxl)) == [*range(1, 140, 2)]
    widths = [one.to_k.weight.shape for one in cross_attentions(sd1).values()]
    assert widths[0] == torch.Size((320, 768))
    assert widths[-1] == torch.Size((1280, 768))  # the middle comes last
