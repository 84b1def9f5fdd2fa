"""Model files in other forms: single files, inpainting checkpoints, a VAE or a ControlNet in one file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")

import diffusers
import torch

from deployments.contracts.diffusion import ControlHint, Lora
from deployments.errors import NotSupported, WeightsMissing
from tests.support.builders import an_image
from tests.support.diffusing import NEGATIVE, PROMPT, SIZE, a_mask, a_request, an_engine, difference, make, make_one
from tests.support.tiny_diffusion import CHECKPOINT, CONTROLNETS, LORA, VAE, build_unet
from tests.support.tiny_single_file import write_single_file

INIT = an_image((SIZE, SIZE), 5)


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
    from safetensors.torch import save_file

    save_file({"conditioner.embedders.1.x": torch.zeros(1)}, str(models / "checkpoints" / "big.safetensors"))
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
    inpainting.scheduler = diffusers.EulerDiscreteScheduler.from_config(
        pipeline.scheduler.config, timestep_spacing="linspace", steps_offset=0
    )
    inpainting.set_progress_bar_config(disable=True)

    def latents_of(image: Any) -> Any:
        with torch.no_grad():
            return pipeline.vae.encode(image * 2 - 1).latent_dist.mean * pipeline.vae.config.scaling_factor

    pixels = torch.from_numpy(INIT.transpose(2, 0, 1))[None].float() / 255
    mask = torch.from_numpy(a_mask())[None, None].float() / 255
    theirs = inpainting(
        PROMPT,
        negative_prompt=NEGATIVE,
        image=latents_of(pixels),
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
