"""LoRAs, LyCORIS networks, textual inversions, ControlNets and VAEs for SDXL, against diffusers and the weights."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")

import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline
from safetensors.torch import save_file

from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import ControlHint, Lora
from deployments.engines.diffusion.controlnets import ControlUnit, add_residuals, residual_weights
from deployments.engines.diffusion.original_names import original_name
from tests.support.builders import an_image
from tests.support.diffusing import NEGATIVE, PROMPT, SIZE, a_request, an_engine, difference, make, make_one
from tests.support.real_files import vae_tensors, write
from tests.support.tiny_diffusion import build_controlnet
from tests.support.tiny_sdxl import (
    CHECKPOINT,
    CLIP_WIDTH,
    OPEN_CLIP_WIDTH,
    build_pipeline,
    controlnet_tensors,
    xl_unet_name,
    xl_vae,
)

FADED = [0.0994, 0.1205, 0.1461, 0.1770, 0.2146, 0.2601, 0.3153, 0.3822, 0.4633, 0.5615]
"""As sd-webui-controlnet has them for the ten residuals of SDXL."""


@pytest.fixture(scope="module")
def base(xl_models: Path) -> StableDiffusionXLPipeline:
    return StableDiffusionXLPipeline.from_pretrained(xl_models / "checkpoints" / CHECKPOINT)


@pytest.fixture
def models(xl_models: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(xl_models, tmp_path / "models"))


def an_xl_engine(models: Path, **settings: Any) -> Any:
    return an_engine(models, checkpoint=CHECKPOINT, **settings)


@dataclass(frozen=True)
class Installed:
    """A models folder that takes networks of any name, an engine over it, and its picture without any of them."""

    folder: Path
    engine: Any
    plain: Image

    def add(self, name: str, tensors: dict[str, torch.Tensor]) -> None:
        (self.folder / "loras").mkdir(exist_ok=True)
        save_file(tensors, str(self.folder / "loras" / f"{name}.safetensors"))


@pytest.fixture(scope="module")
def installed(xl_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = Path(shutil.copytree(xl_models, tmp_path_factory.mktemp("installed") / "models"))
    engine = an_xl_engine(folder)
    return Installed(folder, engine, make_one(engine))


def to_change(base: StableDiffusionXLPipeline) -> StableDiffusionXLPipeline:
    """Copy the networks of a pipeline, which takes a fraction of loading it."""
    networks = {name: deepcopy(getattr(base, name)) for name in ("unet", "text_encoder", "text_encoder_2")}
    return StableDiffusionXLPipeline(**base.components | networks, add_watermarker=False)


def of_diffusers(pipeline: Any, prompt: str = PROMPT, negative: str = NEGATIVE) -> Image:
    pipeline.scheduler = EulerDiscreteScheduler.from_config(
        pipeline.scheduler.config, timestep_spacing="linspace", steps_offset=0
    )
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.randn((1, 4, SIZE // 8, SIZE // 8), generator=torch.Generator().manual_seed(7))
    made = pipeline(
        prompt, negative_prompt=negative, num_inference_steps=4, guidance_scale=7.0, latents=noise, width=SIZE,
        height=SIZE, output_type="np",
    )  # fmt: skip
    return np.asarray((made.images[0] * 255).round().astype(np.uint8))


def kohya_lora(pipeline: Any, seed: int = 0, rank: int = 4) -> dict[str, torch.Tensor]:
    """A LoRA on attention and resnets of the UNet, by the original's names, and on both text encoders."""
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    parts = (
        ("lora_unet_", pipeline.unet, ("to_q", "to_v", "to_out.0", "conv2")),
        ("lora_te1_text_model_", pipeline.text_encoder, ("q_proj", "v_proj", "fc1")),
        ("lora_te2_text_model_", pipeline.text_encoder_2, ("q_proj", "v_proj", "fc1")),
    )
    for prefix, network, layers in parts:
        for name, layer in network.named_modules():
            if not name.endswith(layers):
                continue
            own = xl_unet_name(f"{name}.weight").removesuffix(".weight") if prefix == "lora_unet_" else name
            key = prefix + own.removeprefix("text_model.").replace(".", "_")
            rows, columns, *kernel = layer.weight.shape
            down = torch.randn(rank, columns, *kernel, generator=generator) / layer.weight[0].numel() ** 0.5
            up = torch.randn(rows, rank, *(1 for _ in kernel), generator=generator) * layer.weight.std() * 2
            tensors |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up.detach()}
            tensors[f"{key}.alpha"] = torch.tensor(rank / 2)
    return tensors


def change_text_encoders(pipeline: Any, tensors: dict[str, torch.Tensor], strength: float) -> None:
    """Change the weights of both text encoders as kohya's trainer does while it trains: W + alpha / rank · up · down.

    diffusers' own loader is no witness for them: it leaves out the attention layers, whose names it does not read."""
    texts = (("lora_te1_text_model_", pipeline.text_encoder), ("lora_te2_text_model_", pipeline.text_encoder_2))
    with torch.no_grad():
        for prefix, network in texts:
            for name, layer in network.named_modules():
                key = prefix + name.removeprefix("text_model.").replace(".", "_")
                if f"{key}.alpha" in tensors:
                    up, down = tensors[f"{key}.lora_up.weight"], tensors[f"{key}.lora_down.weight"]
                    layer.weight += strength * tensors[f"{key}.alpha"] / len(down) * up @ down


@pytest.mark.parametrize(("text", "unet"), [(0.0, 1.0), (0.5, 1.1), (1.0, 0.0)])
def test_a_lora_of_kohyas_makes_the_same_picture_as_with_diffusers(
    installed: Installed, base: StableDiffusionXLPipeline, text: float, unet: float
) -> None:
    tensors = kohya_lora(base)
    installed.add("style", tensors)
    direct = to_change(base)
    change_text_encoders(direct, tensors, text)
    in_unet = {key: tensor for key, tensor in tensors.items() if key.startswith("lora_unet_")}
    direct.load_lora_weights(in_unet, adapter_name="x")
    direct.set_adapters(["x"], unet)
    engine, plain = installed.engine, installed.plain
    (ours,) = make(engine, a_request(loras=(Lora("style", text, unet),)))
    assert ours.warnings == ()
    assert difference(ours.image, plain) > 3
    assert difference(make_one(engine), plain) == 0
    assert difference(ours.image, of_diffusers(direct)) <= 1


LAYERS = {
    "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_v": (
        "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_v"
    ),
    "lora_unet_output_blocks_8_0_out_layers_3": "up_blocks.2.resnets.2.conv2",
    "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_v": (
        "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_v"
    ),
    "lora_te1_text_model_encoder_layers_0_mlp_fc1": "encoder.layers.0.mlp.fc1",
    "lora_te2_text_model_encoder_layers_0_mlp_fc1": "text_model.encoder.layers.0.mlp.fc1",
}
"""Layers as trainers name them, and as the networks do."""
MARK = "lora_te2_text_model_final_layer_norm"
"""A layer that only SDXL has: widths do not tell here."""


@pytest.mark.parametrize("layer", LAYERS)
def test_a_lycoris_network_changes_the_layer_that_it_names(
    installed: Installed, base: StableDiffusionXLPipeline, layer: str
) -> None:
    changed = to_change(base)
    networks = {"lora_unet": changed.unet, "lora_te1": changed.text_encoder, "lora_te2": changed.text_encoder_2}
    weight = networks["_".join(layer.split("_")[:2])].get_submodule(LAYERS[layer]).weight
    change = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)) * weight.std()
    with torch.no_grad():
        weight += 2 * change
    installed.add(layer, {f"{MARK}.diff": torch.zeros(OPEN_CLIP_WIDTH), f"{layer}.diff": change.detach()})
    engine, plain = installed.engine, installed.plain
    (ours,) = make(engine, a_request(loras=(Lora(layer, 2.0, 2.0),)))
    assert ours.warnings == ()
    assert difference(ours.image, of_diffusers(changed)) <= 1
    assert difference(ours.image, plain) > 1
    assert difference(make_one(engine), plain) == 0


def test_the_original_has_a_name_for_every_layer_of_the_unet(base: StableDiffusionXLPipeline) -> None:
    names = [name for name, module in base.unet.named_modules() if getattr(module, "weight", None) is not None]
    assert {name: original_name(name) for name in names} == {
        name: xl_unet_name(f"{name}.weight").removesuffix(".weight") for name in names
    }


def test_a_lora_of_sd_1_is_left_out_with_its_family(models: Path) -> None:
    (models / "loras").mkdir()
    layer = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
    tensors = {f"{layer}.lora_down.weight": torch.zeros(4, 768), f"{layer}.lora_up.weight": torch.zeros(320, 4)}
    save_file(tensors, str(models / "loras" / "old.safetensors"))
    (made,) = make(an_xl_engine(models), a_request(loras=(Lora("old"),)))
    assert any("'old' was left out: it is for Stable Diffusion 1.x" in text for text in made.warnings)


def vectors(width: int, seed: int, count: int = 2) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("place", ["prompt", "negative_prompt"])
def test_a_textual_inversion_has_vectors_for_both_text_encoders(models: Path, place: str) -> None:
    (models / "embeddings").mkdir()
    pair = {"clip_l": vectors(CLIP_WIDTH, 1), "clip_g": vectors(OPEN_CLIP_WIDTH, 2)}
    save_file(pair, str(models / "embeddings" / "pony-quality.safetensors"))
    direct = StableDiffusionXLPipeline.from_pretrained(models / "checkpoints" / CHECKPOINT)
    for name, tokenizer, encoder in (
        ("clip_l", direct.tokenizer, direct.text_encoder),
        ("clip_g", direct.tokenizer_2, direct.text_encoder_2),
    ):
        direct.load_textual_inversion({"xyz": pair[name]}, token="xyz", tokenizer=tokenizer, text_encoder=encoder)
    words = {"prompt": "a cat, {}", "negative_prompt": "bad"} if place == "prompt" else {
        "prompt": "a cat", "negative_prompt": "bad, {}"
    }  # fmt: skip
    theirs = of_diffusers(direct, *(text.format("xyz") for text in words.values()))
    engine = an_xl_engine(models)
    (ours,) = make(engine, a_request(**{name: text.format("pony-quality") for name, text in words.items()}))
    assert ours.warnings == ()
    assert difference(ours.image, theirs) <= 1
    without = make_one(engine, **{name: text.format("") for name, text in words.items()})
    assert difference(ours.image, without) > 1


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({"emb_params": torch.zeros(2, CLIP_WIDTH)}, f"{CLIP_WIDTH} numbers, the checkpoint's have 64 and 128"),
        ({"clip_l": torch.zeros(2, CLIP_WIDTH), "clip_g": torch.zeros(3, OPEN_CLIP_WIDTH)}, "as many vectors"),
        ({"clip_l": torch.zeros(2, 9), "clip_g": torch.zeros(2, 9)}, "9 and 9 numbers"),
    ],
)
def test_a_textual_inversion_that_does_not_fit_is_named_and_read_as_text(
    models: Path, tensors: Any, reason: str
) -> None:
    (models / "embeddings").mkdir()
    save_file(tensors, str(models / "embeddings" / "odd.safetensors"))
    (made,) = make(an_xl_engine(models), a_request(prompt="a cat, odd"))
    assert any("'odd'" in text and reason in text for text in made.warnings)


def test_the_weights_of_controlnets_are_those_of_the_extension() -> None:
    np.testing.assert_allclose(residual_weights(10, 1.0, "prompt"), FADED, atol=5e-5)
    assert residual_weights(10, 0.7, "balanced") == [0.7] * 10


@pytest.mark.parametrize("mode", ["balanced", "prompt", "control"])
def test_a_controlnet_is_weighted_by_its_mode(base: StableDiffusionXLPipeline, mode: Any) -> None:
    net = build_controlnet(base.unet, 3)
    generator = torch.Generator().manual_seed(0)
    sample, words = torch.randn((2, 4, 8, 8), generator=generator), torch.randn((2, 77, 192), generator=generator)
    hint = torch.rand((2, 3, SIZE, SIZE), generator=generator)
    added = {"text_embeds": torch.randn((2, 128), generator=generator), "time_ids": torch.full((2, 6), 64.0)}
    asked = {"added_cond_kwargs": added, "return_dict": False}
    with torch.no_grad():
        down, middle = net(sample, 500, words, hint, **asked)
        unit = ControlUnit("any", 0.8, 0.0, 1.0, mode)
        now = torch.tensor(500)
        found = add_residuals([net], [unit], (sample, now, words), [hint], unconditional=1, added=added)
    factors = [1.0] * 10 if mode == "balanced" else FADED
    for ours, theirs, factor in zip(found or (), (*down, middle), factors, strict=True):
        torch.testing.assert_close(ours[1], theirs[1] * 0.8 * factor, rtol=1e-3, atol=1e-5)
        if mode == "control":
            assert not ours[0].any()


@pytest.mark.parametrize("form", ["cldm", "diffusers"])
def test_a_controlnet_in_one_file_is_the_one_in_its_folder(
    models: Path, base: StableDiffusionXLPipeline, form: str
) -> None:
    net = build_controlnet(base.unet, 3)
    net.save_pretrained(models / "controlnets" / "folder")
    tensors = controlnet_tensors(net) if form == "cldm" else dict(net.state_dict())
    write(models / "controlnets" / "single.safetensors", tensors)
    engine = an_xl_engine(models)
    hint = an_image((SIZE, SIZE), 1)
    folder = make_one(engine, controls=(ControlHint("folder", hint),))
    assert difference(folder, make_one(engine, controls=(ControlHint("single", hint),))) <= 1


def test_a_vae_of_its_own_gets_the_scale_of_the_checkpoint(models: Path) -> None:
    other = xl_vae(7)
    write(models / "vaes" / "sdxl_vae.safetensors", vae_tensors(other))
    other.save_pretrained(models / "vaes" / "folder")
    engine = an_xl_engine(models)
    ours = make_one(engine, vae="sdxl_vae")
    assert difference(ours, make_one(engine, vae="folder")) <= 1
    assert difference(ours, make_one(engine)) > 3


@pytest.mark.parametrize("with_unet", [False, True])
@pytest.mark.parametrize(
    ("scale", "unet", "used"), [(0.18215, {}, False), (0.13025, {"addition_embed_type": "text_time"}, True)]
)
def test_a_vae_of_its_own_takes_the_users_configuration_of_its_family_only(
    models: Path, scale: float, unet: dict[str, Any], with_unet: bool, used: bool
) -> None:
    vae = xl_vae(7)
    write(models / "vaes" / "sdxl_vae.safetensors", vae_tensors(vae))
    folder = models / "configs" / "checkpoints"
    vae.register_to_config(scaling_factor=scale, force_upcast=False)
    vae.save_config(folder / "vae")
    if with_unet:
        (folder / "unet").mkdir()
        (folder / "unet" / "config.json").write_text(json.dumps(unet))
    engine = an_xl_engine(models)
    with engine.models.cache.lease() as lease:
        config = engine.models.vae(lease, "sdxl_vae", engine.models.checkpoint(lease, "")).config
    assert config.scaling_factor == 0.13025
    assert config.force_upcast is not used


@pytest.mark.parametrize("mended", [False, True])
def test_a_vae_is_in_float32_from_the_start_unless_it_says_that_it_was_mended(tmp_path: Path, mended: bool) -> None:
    pipeline = build_pipeline()
    pipeline.vae.register_to_config(force_upcast=not mended)
    pipeline.save_pretrained(tmp_path / "checkpoints" / CHECKPOINT)
    engine = an_xl_engine(tmp_path, dtype="float16")
    (made,) = make(engine, a_request())
    assert made.warnings == ()
    assert difference(made.image, make_one(an_xl_engine(tmp_path))) <= 24
    with engine.models.cache.lease() as lease:
        vae = engine.models.vae(lease, "", engine.models.checkpoint(lease, ""))
    assert vae.dtype == (torch.float16 if mended else torch.float32)
