"""Model files in other forms: single files, inpainting checkpoints, a VAE or a ControlNet in one file."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")

import diffusers
import torch
from safetensors.torch import save_file

from deployments.contracts.diffusion import FAMILY_NAMES, ROLE_NAMES, ControlHint, Lora
from deployments.errors import NotSupported, WeightsMissing
from tests.support import real_shapes
from tests.support.diffusing import (
    INIT,
    NEGATIVE,
    PROMPT,
    SIZE,
    a_mask,
    a_request,
    an_engine,
    difference,
    make,
    make_one,
)
from tests.support.hostile import Boom
from tests.support.real_shapes import CHECKPOINTS, LORAS
from tests.support.stock_samplers import LINSPACE, BlendingEuler
from tests.support.tiny_diffusion import CHECKPOINT, CONTROLNETS, LORA, VAE, build_unet
from tests.support.tiny_single_file import write_single_file


@pytest.fixture
def models(tiny_models: Path, tmp_path: Path) -> Path:
    """A models folder of its own."""
    return Path(shutil.copytree(tiny_models, tmp_path / "models"))


def test_a_single_file_is_the_checkpoint_that_it_holds(models: Path) -> None:
    write_single_file(models, CHECKPOINT, "single")
    engine = an_engine(models)
    (ours,) = make(engine, a_request(checkpoint="single.safetensors", loras=(Lora(LORA),)))
    assert ours.checkpoint == "single"
    assert difference(ours.image, make_one(engine, loras=(Lora(LORA),))) <= 1


def test_a_single_file_without_its_configuration_is_missing_weights_offline(models: Path) -> None:
    write_single_file(models, CHECKPOINT, "single")
    shutil.rmtree(models / "configs")
    with pytest.raises(WeightsMissing, match="single"):
        make(an_engine(models), a_request(checkpoint="single"))


def test_a_single_file_of_another_family_is_refused(models: Path) -> None:
    save_file({"joint_blocks.0.x": torch.zeros(1)}, str(models / "checkpoints" / "big.safetensors"))
    with pytest.raises(NotSupported, match="big"):
        make(an_engine(models), a_request(checkpoint="big"))


def test_a_vae_and_a_controlnet_may_be_single_files(models: Path) -> None:
    expected = make_one(an_engine(models), vae=VAE, controls=(ControlHint(CONTROLNETS["canny"], INIT),))
    for kind, name in (("vaes", VAE), ("controlnets", CONTROLNETS["canny"])):
        source = models / kind / name
        (source / "diffusion_pytorch_model.safetensors").rename(models / kind / f"{name}.safetensors")
        config = models / "configs" / ("checkpoints/vae" if kind == "vaes" else kind)
        config.mkdir(parents=True)
        (source / "config.json").rename(config / "config.json")
        source.rmdir()
    ours = make_one(an_engine(models), vae=VAE, controls=(ControlHint(CONTROLNETS["canny"], INIT),))
    assert difference(ours, expected) <= 1


def test_an_inpainting_checkpoint_takes_the_picture_without_its_masked_part(models: Path) -> None:
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(models / "checkpoints" / CHECKPOINT)
    unet = build_unet(3)
    torch.manual_seed(0)
    wide = torch.nn.Conv2d(9, unet.conv_in.out_channels, 3, padding=1)
    with torch.no_grad():
        wide.weight[:, :4] = unet.conv_in.weight
    unet.conv_in = wide
    unet.register_to_config(in_channels=9)
    inpainting = diffusers.StableDiffusionInpaintPipeline(
        **{**pipeline.components, "unet": unet, "image_encoder": None}, requires_safety_checker=False
    )
    inpainting.save_pretrained(models / "checkpoints" / "inpainting")
    inpainting.scheduler = BlendingEuler.from_config(pipeline.scheduler.config, **LINSPACE)
    inpainting.set_progress_bar_config(disable=True)

    def latents_of(image: Any) -> Any:
        with torch.no_grad():
            return pipeline.vae.encode(image * 2 - 1).latent_dist.mean * pipeline.vae.config.scaling_factor

    pixels = torch.from_numpy(INIT.transpose(2, 0, 1))[None].float() / 255
    mask = torch.from_numpy(a_mask())[None, None].float() / 255
    inpainting.scheduler.kept = latents_of(pixels)
    inpainting.scheduler.mask = mask[..., ::8, ::8]
    theirs = inpainting(
        PROMPT,
        negative_prompt=NEGATIVE,
        image=inpainting.scheduler.kept,
        mask_image=mask,
        masked_image_latents=latents_of((pixels * 2 - 1) * (mask < 0.5) / 2 + 0.5),
        strength=3 / 4,
        num_inference_steps=4,
        guidance_scale=7.0,
        generator=[torch.Generator().manual_seed(7)],
        width=SIZE,
        height=SIZE,
        output_type="np",
    ).images[0]
    ours = make_one(an_engine(models), checkpoint="inpainting", init_image=INIT, mask=a_mask(), denoising_strength=0.6)
    assert difference(ours, np.asarray((theirs * 255).round().astype(np.uint8))) <= 1


def test_an_inpainting_checkpoint_needs_a_mask_and_says_so(models: Path) -> None:
    unet = build_unet(3)
    unet.conv_in = torch.nn.Conv2d(9, unet.conv_in.out_channels, 3, padding=1)
    unet.register_to_config(in_channels=9)
    source = models / "checkpoints" / CHECKPOINT
    shutil.copytree(source, models / "checkpoints" / "inpainting")
    unet.save_pretrained(models / "checkpoints" / "inpainting" / "unet")
    engine = an_engine(models)
    with pytest.raises(NotSupported, match="mask"):
        make(engine, a_request(checkpoint="inpainting"))


REFUSED = [key for key in CHECKPOINTS if key[0] not in ("sd1", "sd2", "sdxl") or key[1] == "instruct"]


@pytest.mark.parametrize("ending", ["safetensors", "ckpt"])
@pytest.mark.parametrize(("family", "variant"), REFUSED)
def test_a_checkpoint_of_another_family_is_refused_by_its_name(
    tmp_path: Path, family: str, variant: str, ending: str
) -> None:
    shapes = CHECKPOINTS[family, variant]()
    path = tmp_path / "checkpoints" / f"big.{ending}"
    if ending == "ckpt":
        path.parent.mkdir()
        torch.save({name: torch.empty(1).expand(shape) for name, shape in shapes.items()}, path)
    else:
        real_shapes.write(path, shapes)
    with pytest.raises(NotSupported, match=f"'big' is a checkpoint for {FAMILY_NAMES[family]}"):
        make(an_engine(tmp_path), a_request(checkpoint="big"))


OTHER_NETS = [key for key in real_shapes.CONTROLNETS if key[0] != "controlnet" or key[1] not in ("sd1", "sd2")]


@pytest.mark.parametrize(("role", "family", "form"), OTHER_NETS)
def test_what_is_no_controlnet_of_the_family_is_refused_by_its_name(
    models: Path, role: str, family: str, form: str
) -> None:
    real_shapes.write(models / "controlnets" / "other.safetensors", real_shapes.CONTROLNETS[role, family, form]())
    with pytest.raises(NotSupported, match=f"{ROLE_NAMES[role]} for {FAMILY_NAMES[family]}"):
        make(an_engine(models), a_request(controls=(ControlHint("other", INIT),)))


def test_a_controlnet_of_sd_2_does_not_fit_a_checkpoint_of_sd_1_and_is_not_loaded(models: Path) -> None:
    real_shapes.write(
        models / "controlnets" / "two.safetensors", real_shapes.CONTROLNETS["controlnet", "sd2", "cldm"]()
    )
    with pytest.raises(NotSupported, match=r"Stable Diffusion 2\.x and does not fit the checkpoint 'tiny'"):
        make(an_engine(models), a_request(controls=(ControlHint("two", INIT),)))


@pytest.mark.parametrize("family", ["sdxl", "flux", "sd3", "sd2"])
def test_a_lora_of_another_family_is_left_out_with_its_family(models: Path, family: str) -> None:
    form = next(key for key in LORAS if key[0] == family)
    real_shapes.write(models / "loras" / "big.safetensors", LORAS[form]())
    (made,) = make(an_engine(models), a_request(loras=(Lora("big"),)))
    assert any("'big' was left out" in text and FAMILY_NAMES[family] in text for text in made.warnings)


def test_a_file_in_the_wrong_folder_is_named_for_what_it_is(models: Path) -> None:
    shutil.copy(models / "loras" / f"{LORA}.safetensors", models / "checkpoints" / "style.safetensors")
    with pytest.raises(NotSupported, match=r"'style\.safetensors' in checkpoints/ holds a LoRA"):
        make(an_engine(models), a_request(checkpoint="style"))


def test_a_hostile_checkpoint_is_refused_and_the_next_request_works(models: Path) -> None:
    torch.save({"state_dict": {}, "x": Boom(os.system, "true")}, models / "checkpoints" / "evil.safetensors")
    engine = an_engine(models)
    with pytest.raises(NotSupported, match="would run code"):
        make(engine, a_request(checkpoint="evil"))
    assert make_one(engine).shape == (SIZE, SIZE, 3)


def test_a_checkpoint_that_is_cut_short_is_missing_weights(models: Path) -> None:
    path = write_single_file(models, CHECKPOINT, "single")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsMissing, match="100 bytes are missing"):
        make(an_engine(models), a_request(checkpoint="single"))


def test_a_lora_of_tensors_without_sides_is_left_out(models: Path) -> None:
    layer = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    parts = {f"{layer}.{part}": torch.tensor(1.0) for part in ("lora_down.weight", "lora_up.weight", "alpha")}
    save_file(parts, str(models / "loras" / "odd.safetensors"))
    (made,) = make(an_engine(models), a_request(loras=(Lora("odd"),)))
    assert any("'odd' was left out" in text for text in made.warnings)


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_a_checkpoint_of_networks_without_width_is_missing_weights(models: Path) -> None:
    shapes = {"model.diffusion_model.input_blocks.0.0.weight": (0, 4, 3, 3), "cond_stage_model.transformer.x": (0,)}
    shapes |= {f"model.diffusion_model.input_blocks.{n}.0.out_layers.3.weight": (0, 0, 3, 3) for n in (1, 4, 7, 10)}
    shapes |= {"model.diffusion_model.out.2.weight": (4, 0, 3, 3)}
    shapes |= {f"model.diffusion_model.input_blocks.1.1.{n}": (0, 0, 1, 1) for n in ("proj_in.weight", "x")}
    shapes |= {"model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (0, 768)}
    save_file(
        {name: torch.zeros(shape) for name, shape in shapes.items()}, str(models / "checkpoints" / "odd.safetensors")
    )
    with pytest.raises(WeightsMissing, match="odd"):
        make(an_engine(models), a_request(checkpoint="odd"))
