"""Networks of the real shapes of SD 1.5 and SDXL with random weights, made on the device.

Shapes are those of the published configurations; `tiny` divides the widths by eight, for a processor.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

from bench.gpu.card import Card
from deployments.engines.diffusion.descriptions import SCHEDULER
from tests.support.tiny_diffusion import build_tokenizer

_VOCABULARY = 49_408
_SMALLER = 8
_RANK = 32
_HINTS = (16, 32, 96, 256)


@dataclass(frozen=True)
class Shape:
    """Sizes of a family's networks and of its pictures."""

    widths: tuple[int, ...]
    context: int
    """Width of the text that the UNet sees."""
    side: int
    """Side of a picture, pixels."""
    steps: int
    heads: Any = 8
    more: tuple[tuple[str, Any], ...] = ()


def sd15(card: Card) -> Shape:
    """Shape of SD 1.5."""
    return Shape((40, 80, 160, 160), 96, 64, 4, heads=2) if card.tiny else Shape((320, 640, 1280, 1280), 768, 512, 20)


def sdxl(card: Card) -> Shape:
    """Shape of SDXL."""
    blocks = (
        ("down_block_types", ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D")),
        ("up_block_types", ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")),
        ("transformer_layers_per_block", (1, 2, 10)),
        ("use_linear_projection", True),
        ("addition_embed_type", "text_time"),
    )
    if card.tiny:
        own = (("addition_time_embed_dim", 32), ("projection_class_embeddings_input_dim", 160 + 6 * 32))
        return Shape((40, 80, 160), 256, 128, 4, heads=(1, 2, 4), more=blocks + own)
    own = (("addition_time_embed_dim", 256), ("projection_class_embeddings_input_dim", 1280 + 6 * 256))
    return Shape((320, 640, 1280), 2048, 1024, 20, heads=(5, 10, 20), more=blocks + own)


def make_unet(card: Card, shape: Shape) -> Any:
    """Make a UNet."""
    config = dict(shape.more)
    return _made(
        card,
        lambda: UNet2DConditionModel(
            sample_size=shape.side // 8,
            block_out_channels=shape.widths,
            cross_attention_dim=shape.context,
            attention_head_dim=shape.heads,
            norm_num_groups=8 if card.tiny else 32,
            **config,
        ),
    )


def make_controlnet(card: Card, unet: Any) -> Any:
    """Make a ControlNet of a UNet; its last convolutions are not zero, so that it has effect."""
    hints = tuple(width // _SMALLER for width in _HINTS) if card.tiny else _HINTS
    net = _made(card, lambda: ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=hints))
    with torch.no_grad():
        for convolution in (*net.controlnet_down_blocks, net.controlnet_mid_block):
            convolution.weight.normal_(0, 0.02)
    return net


def make_vae(card: Card) -> Any:
    """Make a VAE; its activations stay within half precision."""
    widths = (16, 32, 64, 64) if card.tiny else (128, 256, 512, 512)
    return _made(
        card,
        lambda: AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=widths,
            layers_per_block=2,
            norm_num_groups=8 if card.tiny else 32,
            sample_size=512,
        ),
    )


def make_text_encoder(card: Card, tokenizer: Any, context: int) -> Any:
    """Make a text encoder as SD 1.x has it."""
    heads = max(1, context // 64)
    return _made(
        card,
        lambda: CLIPTextModel(
            CLIPTextConfig(
                vocab_size=max(len(tokenizer), 1024 if card.tiny else _VOCABULARY),
                hidden_size=context,
                intermediate_size=4 * context,
                num_hidden_layers=12,
                num_attention_heads=heads,
                projection_dim=context,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.eos_token_id,
            )
        ),
    )


def write_checkpoint(card: Card, folder: Path, name: str, seed: int) -> Any:
    """Write a checkpoint of SD 1.5's shape into a models folder. -> its pipeline"""
    torch.manual_seed(seed)
    shape, tokenizer = sd15(card), build_tokenizer()
    pipeline = StableDiffusionPipeline(
        vae=make_vae(card),
        text_encoder=make_text_encoder(card, tokenizer, shape.context),
        tokenizer=tokenizer,
        unet=make_unet(card, shape),
        scheduler=PNDMScheduler(**SCHEDULER),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder / "checkpoints" / name)
    return pipeline


def write_lora(folder: Path, name: str, unet: Any) -> None:
    """Write a LoRA on the attention layers of a UNet, with kohya's names."""
    tensors: dict[str, Any] = {}
    for path, layer in unet.named_modules():
        if path.endswith(("to_q", "to_k", "to_v", "to_out.0")):
            key, (rows, columns) = f"lora_unet_{path.replace('.', '_')}", layer.weight.shape
            tensors[f"{key}.lora_down.weight"] = torch.randn(_RANK, columns) / columns**0.5
            tensors[f"{key}.lora_up.weight"] = torch.randn(rows, _RANK) * 0.01
            tensors[f"{key}.alpha"] = torch.tensor(float(_RANK))
    (folder / "loras").mkdir(parents=True, exist_ok=True)
    save_file(
        {key: value.half().contiguous() for key, value in tensors.items()}, folder / "loras" / f"{name}.safetensors"
    )


def _made(card: Card, make: Any) -> Any:
    before = torch.get_default_dtype()
    torch.set_default_dtype(card.half)
    try:
        with torch.device(card.name):
            return make().eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(before)
