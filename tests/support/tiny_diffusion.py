"""Small seeded models of Stable Diffusion's real classes: their images are arbitrary, but repeatable and never grey.

`python -m tests.support.tiny_diffusion FOLDER` writes a models folder (`checkpoints`, `controlnets`, `loras`, `vaes`,
`annotators`) as `settings.diffusion.models_dir` wants it. Blocks, levels and key names are those of SD 1.5; only the
widths are small. Nothing is fetched.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

CHECKPOINT, OTHER_CHECKPOINT = "tiny", "tiny-other"
CONTROLNETS = {
    "canny": "control_v11p_sd15_canny",
    "depth": "control_v11f1p_sd15_depth",
    "softedge": "control_v11p_sd15_softedge",
    "mediapipe_face": "control_v2p_sd15_mediapipe_face",
}
"""ControlNets, kind -> name. The names are those of the well-known ones: clients ask for them."""
LORA, LORA_ALIAS = "tiny_lora", "tiny style"
VAE = "tiny-vae"

SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
}
"""Scheduler configuration as SD 1.5 ships it."""
_WIDTH = 32
_HEADS = 4
_WORDS = """
a photo of the cat dog tree house girl smiling close up soft lighting warm color tones masterpiece best quality worst
low bad anatomy blurry jpeg artifacts watermark text ghibli style watercolor oil painting pencil drawing cartoon anime
portrait landscape red green blue in on with and break empty very detailed sharp 1 2 3 , . ( ) : < > | [ ] !
"""


def write_models(folder: Path, seed: int = 0) -> Path:
    """Write all models. -> `folder`"""
    with torch.random.fork_rng(devices=[]):
        pipeline = build_pipeline(seed)
        pipeline.save_pretrained(folder / "checkpoints" / CHECKPOINT)
        build_pipeline(seed + 1).save_pretrained(folder / "checkpoints" / OTHER_CHECKPOINT)
        for place, name in enumerate(CONTROLNETS.values()):
            build_controlnet(pipeline.unet, seed + 100 + place).save_pretrained(folder / "controlnets" / name)
        build_vae(seed + 2).save_pretrained(folder / "vaes" / VAE)
        write_lora(folder / "loras" / f"{LORA}.safetensors", pipeline, seed + 3)
    (folder / "annotators").mkdir(parents=True, exist_ok=True)
    return folder


def build_pipeline(seed: int = 0) -> StableDiffusionPipeline:
    """Build a whole SD 1.x pipeline without safety checker."""
    tokenizer = build_tokenizer()
    return StableDiffusionPipeline(
        vae=build_vae(seed),
        text_encoder=build_text_encoder(tokenizer, seed),
        tokenizer=tokenizer,
        unet=build_unet(seed),
        scheduler=PNDMScheduler(**SCHEDULER),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def build_tokenizer() -> CLIPTokenizer:
    """Build a tokenizer with CLIP's kind of vocabulary (bytes, bytes that end a word, merges, two special tokens),
    trained on a few words."""
    trained = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    trained.normalizer = normalizers.Lowercase()
    trained.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    trained.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trained.train_from_iterator(
        [_WORDS],
        trainers.BpeTrainer(
            vocab_size=10_000, show_progress=False, initial_alphabet=alphabet, end_of_word_suffix="</w>"
        ),
    )
    merges = json.loads(trained.to_str())["model"]["merges"]
    tokens = [*alphabet, *(f"{byte}</w>" for byte in alphabet)]
    tokens += [token for token in ("".join(merge) for merge in merges) if token not in tokens]
    vocabulary = {token: place for place, token in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocabulary, merges=[tuple(merge) for merge in merges], model_max_length=77)


def build_text_encoder(tokenizer: CLIPTokenizer, seed: int = 0, **changes: Any) -> CLIPTextModel:
    """Build a text encoder of twelve layers, as SD 1.x has, so that every clip skip exists."""
    torch.manual_seed(seed)
    model = CLIPTextModel(
        CLIPTextConfig(
            **{
                "vocab_size": len(tokenizer),
                "hidden_size": _WIDTH,
                "intermediate_size": 2 * _WIDTH,
                "num_hidden_layers": 12,
                "num_attention_heads": _HEADS,
                "bos_token_id": tokenizer.bos_token_id,
                "eos_token_id": tokenizer.eos_token_id,
                "pad_token_id": tokenizer.eos_token_id,
                "projection_dim": _WIDTH,
                **changes,
            }
        )
    ).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "encoder" in name and name.endswith("proj.weight"):
                weight.mul_(3)  # the context of a token matters
            if "encoder" in name and "layer_norm" not in name and name.endswith("bias"):
                weight.normal_(0, 0.02)
        model.final_layer_norm.weight.normal_(1, 0.2)
        model.final_layer_norm.bias.fill_(-0.1)  # as CLIP's: prompt weights keep a mean, which must not be nothing
    return model


def build_unet(seed: int = 0, **changes: Any) -> UNet2DConditionModel:
    """Build a UNet of four levels with two resnets each, hence the thirteen residuals that ControlNets of SD 1.x give.

    It is nearly a denoiser: its noise is mostly its input, so latents stay of the size that the VAE expects; the rest
    comes out of the random network and depends on the prompt.
    """
    torch.manual_seed(seed)
    unet = UNet2DConditionModel(
        **{
            "sample_size": 8,
            "block_out_channels": (_WIDTH,) * 4,
            "layers_per_block": 2,
            "norm_num_groups": 8,
            "cross_attention_dim": _WIDTH,
            "attention_head_dim": _HEADS,
            **changes,
        }
    ).eval()
    with torch.no_grad():
        for name, weight in unet.named_parameters():
            if ".attn2." in name and name.endswith(("to_v.weight", "to_out.0.weight")):
                weight.mul_(4)  # the prompt matters
        _pass_through(unet)
    return unet


def _pass_through(unet: UNet2DConditionModel) -> None:
    """Pass x and -x in eight channels from the first to the last convolution; silu(x) - silu(-x) = x."""
    last, width = unet.up_blocks[-1].resnets[-1], unet.config.block_out_channels[0]
    for end in (unet.conv_in, unet.conv_out):
        (end.weight[:8] if end is unet.conv_in else end.weight[:, :8]).zero_()
        (end.bias[:8] if end is unet.conv_in else end.bias).zero_()
    last.conv_shortcut.weight[:8].zero_()
    last.conv_shortcut.bias[:8].zero_()
    last.conv2.weight[:8].zero_()
    last.conv2.bias[:8].zero_()
    unet.conv_out.weight.mul_(0.5)
    for channel in range(4):
        for place, sign in enumerate((1.0, -1.0)):
            carrier = 2 * channel + place
            unet.conv_in.weight[carrier, channel, 1, 1] = sign
            last.conv_shortcut.weight[carrier, width + carrier, 0, 0] = 1.0
            unet.conv_out.weight[channel, carrier, 1, 1] = 1.0 * sign


def build_controlnet(unet: UNet2DConditionModel, seed: int) -> ControlNetModel:
    """Build a ControlNet from the UNet, as they are trained; its zero convolutions are not zero, so it has effect."""
    torch.manual_seed(seed)
    controlnet = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 16, 16, 32)).eval()
    zero_convolutions = [*controlnet.controlnet_down_blocks, controlnet.controlnet_mid_block]
    with torch.no_grad():
        for convolution in zero_convolutions:
            convolution.weight.normal_(0, 1.5 / _WIDTH**0.5)
            convolution.weight[:8].zero_()  # these carry the latents, see `_pass_through`
        for name, weight in controlnet.controlnet_cond_embedding.named_parameters():
            if name.endswith("weight"):
                weight.normal_(0, 2.4 / weight[0].numel() ** 0.5)  # silu halves: the hint arrives a little larger
    return controlnet


def build_vae(seed: int = 0, **changes: Any) -> AutoencoderKL:
    """Build a VAE of four levels: latents are an eighth of the image. Latents and pixels have their usual ranges."""
    torch.manual_seed(seed)
    vae = AutoencoderKL(
        **{
            "down_block_types": ("DownEncoderBlock2D",) * 4,
            "up_block_types": ("UpDecoderBlock2D",) * 4,
            "block_out_channels": (8, 16, 16, 16),
            "layers_per_block": 1,
            "norm_num_groups": 4,
            "latent_channels": 4,
            "sample_size": 64,
            **changes,
        }
    ).eval()
    with torch.no_grad():
        means = vae.encode(torch.rand(4, 3, 64, 64) * 2 - 1).latent_dist.mean
        scale = 1 / (vae.config.scaling_factor * means.std())
        vae.quant_conv.weight[:4] *= scale
        vae.quant_conv.bias[:4] *= scale
        vae.quant_conv.weight[4:] = 0
        vae.quant_conv.bias[4:] = -6  # log variance: the encoder is nearly sure
        pixels = vae.decode(torch.randn(4, 4, 8, 8) / vae.config.scaling_factor).sample
        vae.decoder.conv_out.weight *= 0.4 / pixels.std()
        vae.decoder.conv_out.bias.zero_()
    return vae


def write_lora(path: Path, pipeline: StableDiffusionPipeline, seed: int, rank: int = 4) -> None:
    """Write a LoRA on attention layers of UNet and text encoder, with kohya's key names and metadata."""
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    parts = (
        ("lora_unet_", pipeline.unet, ("to_q", "to_k", "to_v", "to_out.0")),
        ("lora_te_text_model_", pipeline.text_encoder, ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")),
    )
    for prefix, network, layers in parts:
        for name, layer in network.named_modules():
            if not name.endswith(layers):
                continue
            key = prefix + name.removeprefix("text_model.").replace(".", "_")
            rows, columns = layer.weight.shape
            tensors[f"{key}.lora_down.weight"] = torch.randn(rank, columns, generator=generator) / columns**0.5
            tensors[f"{key}.lora_up.weight"] = torch.randn(rows, rank, generator=generator) * layer.weight.std() * 2
            tensors[f"{key}.alpha"] = torch.tensor(rank / 2)
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata: dict[str, Any] = {"ss_output_name": LORA_ALIAS, "ss_network_dim": str(rank)}
    save_file(tensors, str(path), metadata)


def write_hed(folder: Path, seed: int = 0) -> Path:
    """Write the soft edge network in its real shape, with random weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages of detectors that are not used
        from controlnet_aux.hed import ControlNetHED_Apache2
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(ControlNetHED_Apache2().state_dict(), folder / "ControlNetHED.pth")
    return folder


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp())
    print(write_models(target))
