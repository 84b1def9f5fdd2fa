"""Parity of the diffusion engine's images with those of diffusers called directly, to one grey level.

The direct calls below are written on their own: stock pipelines from the same files, a prompt as text, a generator.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

pytest.importorskip("diffusers")

import diffusers
import torch

from deployments.algorithms.a1111.samplers import SAMPLERS
from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import ControlHint, Lora
from deployments.engines.diffusion.conditioning import Conditioner
from deployments.engines.diffusion.engine import DiffusionEngine
from deployments.engines.diffusion.scheduler_factory import make_scheduler
from tests.support.builders import an_image
from tests.support.diffusing import NEGATIVE, PROMPT, SIZE, a_mask, an_engine, difference, make_one
from tests.support.stock_samplers import LINSPACE, OWN_LOOP, STOCK, BlendingEuler
from tests.support.tiny_diffusion import CHECKPOINT, CONTROLNETS, LORA, OTHER_CHECKPOINT, VAE

SEED, STEPS = 7, 4
HINTS = [an_image((SIZE, SIZE), seed) for seed in (1, 2)]
NAMES = [CONTROLNETS["canny"], CONTROLNETS["depth"]]
CONTROLS = tuple(ControlHint(name, hint, weight) for name, hint, weight in zip(NAMES, HINTS, (0.8, 1.3), strict=True))


@pytest.fixture(scope="module")
def engine(tiny_models: Path) -> DiffusionEngine:
    return an_engine(tiny_models)


class Direct:
    """Calls diffusers as its documentation does."""

    def __init__(self, parts: dict[str, Any], nets: list[Any]) -> None:
        self.parts = dict(parts)
        self.scheduler = self.parts["scheduler"]
        self.nets = nets

    def use(self, sampler: str) -> None:
        cls, options = STOCK[sampler]
        self.parts["scheduler"] = cls.from_config(self.scheduler.config, **options)

    def pipeline(self, cls: Any, **parts: Any) -> Any:
        pipeline = cls(**{**self.parts, **parts}, requires_safety_checker=False)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def paint(self, pipeline: Any, **arguments: Any) -> Image:
        words = {} if "prompt_embeds" in arguments else {"prompt": PROMPT, "negative_prompt": NEGATIVE}
        options = {"num_inference_steps": STEPS, "guidance_scale": 7.0, "output_type": "np", **words, **arguments}
        (picture,) = pipeline(**options).images
        return np.asarray((picture * 255).round().astype(np.uint8))

    def paint_text(self, controls: bool = False, **arguments: Any) -> Image:
        generator = torch.Generator().manual_seed(SEED)
        noise = torch.randn((1, 4, SIZE // 8, SIZE // 8), generator=generator)
        options: dict[str, Any] = {"latents": noise, "generator": generator, "width": SIZE, "height": SIZE, **arguments}
        if not controls:
            return self.paint(self.pipeline(diffusers.StableDiffusionPipeline), **options)
        pipeline = self.pipeline(diffusers.StableDiffusionControlNetPipeline, controlnet=self.nets)
        return self.paint(pipeline, image=self.hints(), controlnet_conditioning_scale=[0.8, 1.3], **options)

    def hints(self) -> list[Any]:
        return [torch.from_numpy(hint.transpose(2, 0, 1))[None].float() / 255 for hint in HINTS]

    def encoded(self, image: Image) -> Any:
        pixels = torch.from_numpy(image.transpose(2, 0, 1))[None].float() / 255
        vae = self.parts["vae"]
        with torch.no_grad():
            return vae.encode(pixels * 2 - 1).latent_dist.mean * vae.config.scaling_factor


def load_parts(models: Path) -> dict[str, Any]:
    return dict(diffusers.StableDiffusionPipeline.from_pretrained(models / "checkpoints" / CHECKPOINT).components)


@pytest.fixture(scope="module")
def parts(tiny_models: Path) -> dict[str, Any]:
    """The checkpoint's parts, which no test changes: who would, loads its own."""
    return load_parts(tiny_models)


@pytest.fixture(scope="module")
def nets(tiny_models: Path) -> list[Any]:
    return [diffusers.ControlNetModel.from_pretrained(tiny_models / "controlnets" / name) for name in NAMES]


@pytest.fixture
def direct(parts: dict[str, Any], nets: list[Any]) -> Direct:
    return Direct(parts, nets)


@pytest.mark.parametrize("controls", [(), CONTROLS], ids=["alone", "controlled"])
@pytest.mark.parametrize("sampler", STOCK)
def test_a_sampler_that_diffusers_has_makes_the_same_picture(
    engine: DiffusionEngine, direct: Direct, sampler: str, controls: Any
) -> None:
    direct.use(sampler)
    theirs = direct.paint_text(bool(controls))
    ours = make_one(engine, sampler=sampler, scheduler="Uniform", controls=controls)
    assert difference(ours, theirs) <= 1
    assert theirs.std() > 10


@pytest.mark.parametrize("controls", [(), CONTROLS], ids=["alone", "controlled"])
@pytest.mark.parametrize("sampler", [s.name for s in SAMPLERS if s.name not in (*STOCK, *OWN_LOOP)])
def test_a_sampler_of_the_table_makes_the_same_picture(
    engine: DiffusionEngine, direct: Direct, sampler: str, controls: Any
) -> None:
    direct.parts["scheduler"], _ = make_scheduler(sampler, "Automatic", direct.scheduler.config)
    ours = make_one(engine, sampler=sampler, controls=controls)
    # a list of one: samplers with noise of their own seed it from there
    assert difference(ours, direct.paint_text(bool(controls))) <= 1


@pytest.mark.parametrize("controls", [(), CONTROLS], ids=["alone", "controlled"])
@pytest.mark.parametrize("sampler", ["Euler", "Euler a", "DDIM"])
def test_img2img_makes_the_same_picture(engine: DiffusionEngine, direct: Direct, sampler: str, controls: Any) -> None:
    direct.use(sampler)
    image = an_image((SIZE, SIZE), 5)
    options: dict[str, Any] = {
        "image": direct.encoded(image),
        "strength": 2 / 4 if sampler == "DDIM" else 3 / 4,
        "generator": [torch.Generator().manual_seed(SEED)],
    }
    if controls:
        pipeline = direct.pipeline(diffusers.StableDiffusionControlNetImg2ImgPipeline, controlnet=direct.nets)
        options |= {"control_image": direct.hints(), "controlnet_conditioning_scale": [0.8, 1.3]}
    else:
        pipeline = direct.pipeline(diffusers.StableDiffusionImg2ImgPipeline)
    ours = make_one(engine, sampler=sampler, controls=controls, init_image=image, denoising_strength=0.6)
    assert difference(ours, direct.paint(pipeline, **options)) <= 1


@pytest.mark.parametrize("soft", [False, True])
def test_inpainting_makes_the_same_picture(engine: DiffusionEngine, direct: Direct, soft: bool) -> None:
    image, mask = an_image((SIZE, SIZE), 5), a_mask()
    mask[:, 28:36] = 96  # not quite half
    scheduler = BlendingEuler.from_config(direct.scheduler.config, **LINSPACE)
    scheduler.kept = direct.encoded(image)
    small = np.asarray(PIL.Image.fromarray(mask).resize((SIZE // 8, SIZE // 8)), np.float32) / 255
    scheduler.mask = torch.from_numpy(small if soft else np.around(small))
    direct.parts["scheduler"] = scheduler
    latents = direct.pipeline(diffusers.StableDiffusionImg2ImgPipeline)(
        PROMPT,
        negative_prompt=NEGATIVE,
        image=scheduler.kept,
        strength=3 / 4,
        num_inference_steps=STEPS,
        guidance_scale=7.0,
        generator=[torch.Generator().manual_seed(SEED)],
        output_type="latent",
    ).images
    vae = direct.parts["vae"]
    with torch.no_grad():  # what a soft mask mixed already is mixed once more at the end
        latents = latents * scheduler.mask + scheduler.kept * (1 - scheduler.mask)
        pixels = vae.decode(latents / vae.config.scaling_factor).sample
    theirs = ((pixels[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 0) * 255).round().numpy().astype(np.uint8)
    ours = make_one(engine, init_image=image, mask=mask, denoising_strength=0.6, soft_mask=soft)
    assert difference(ours, theirs) <= 1


@pytest.mark.parametrize("controls", [(), CONTROLS], ids=["alone", "controlled"])
def test_a_lora_with_a_weight_for_each_network_makes_the_same_picture(
    engine: DiffusionEngine, tiny_models: Path, nets: list[Any], controls: Any
) -> None:
    direct = Direct(load_parts(tiny_models), nets)
    direct.use("Euler")
    pipeline = direct.pipeline(diffusers.StableDiffusionPipeline)
    pipeline.load_lora_weights(tiny_models / "loras", weight_name=f"{LORA}.safetensors", adapter_name="x")
    pipeline.set_adapters(["x"], adapter_weights=[{"unet": 1.1, "text_encoder": 0.5}])
    theirs = direct.paint_text(bool(controls))
    ours = make_one(engine, loras=(Lora(LORA, 0.5, 1.1),), controls=controls)
    assert difference(ours, theirs) <= 1
    assert difference(ours, make_one(engine, controls=controls)) > 3


def test_prompt_weights_and_clip_skip_make_the_same_picture(engine: DiffusionEngine, direct: Direct) -> None:
    direct.use("Euler a")
    words = Conditioner(direct.parts["tokenizer"], direct.parts["text_encoder"])
    told = words.encode("a (cat:1.4), [dog]", NEGATIVE, STEPS, clip_skip=2).at(0)
    theirs = direct.paint_text(prompt_embeds=told.positive, negative_prompt_embeds=told.negative)
    ours = make_one(engine, prompt="a (cat:1.4), [dog]", clip_skip=2, sampler="Euler a")
    assert difference(ours, theirs) <= 1


def test_another_checkpoint_and_another_vae_make_the_same_picture(
    engine: DiffusionEngine, tiny_models: Path, direct: Direct
) -> None:
    other = diffusers.StableDiffusionPipeline.from_pretrained(tiny_models / "checkpoints" / OTHER_CHECKPOINT)
    direct.parts = other.components
    direct.parts["vae"] = diffusers.AutoencoderKL.from_pretrained(tiny_models / "vaes" / VAE)
    direct.use("Euler")
    assert difference(make_one(engine, checkpoint=OTHER_CHECKPOINT, vae=VAE), direct.paint_text()) <= 1
