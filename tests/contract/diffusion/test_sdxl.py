"""SDXL through the engine: the image is that of diffusers called directly, to one grey level, alone or in a batch.

The direct calls are written on their own: stock pipelines from the same files, a prompt as text, a generator.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")

import diffusers
import torch

from deployments.algorithms.a1111.samplers import SAMPLERS
from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import ControlHint, Hires
from deployments.engines.diffusion.engine import DiffusionEngine
from deployments.engines.diffusion.scheduler_factory import make_scheduler
from deployments.errors import NotSupported
from tests.support.builders import an_image
from tests.support.diffusing import (
    INIT,
    NEGATIVE,
    PROMPT,
    SIZE,
    Looking,
    a_mask,
    a_request,
    an_engine,
    difference,
    make,
)
from tests.support.diffusing import make_one as make_image
from tests.support.stock_samplers import LINSPACE, OWN_LOOP, STOCK, BlendingEuler
from tests.support.tiny_sdxl import CHECKPOINT, CONTROLNETS, build_pipeline

SEED, STEPS = 7, 4
HINTS = [an_image((SIZE, SIZE), seed) for seed in (1, 2)]
NAMES = list(CONTROLNETS.values())
CONTROLS = tuple(ControlHint(name, hint, weight) for name, hint, weight in zip(NAMES, HINTS, (0.8, 1.3), strict=True))


@pytest.fixture(scope="module")
def engine(xl_models: Path) -> DiffusionEngine:
    return an_engine(xl_models, checkpoint=CHECKPOINT)


class Direct:
    """Calls diffusers as its documentation does."""

    def __init__(self, parts: dict[str, Any], nets: list[Any]) -> None:
        self.parts = dict(parts)
        self.scheduler = self.parts["scheduler"]
        self.nets = nets

    def use(self, sampler: str) -> None:
        cls, options = STOCK[sampler]
        self.parts["scheduler"] = cls.from_config(self.scheduler.config, **options)

    def paint(self, name: str, **arguments: Any) -> Image:
        controlled = {"controlnet": self.nets} if "ControlNet" in name else {}
        pipeline = getattr(diffusers, f"StableDiffusionXL{name}Pipeline")(
            **self.parts, **controlled, add_watermarker=False
        )
        pipeline.set_progress_bar_config(disable=True)
        words = {"prompt": PROMPT, "negative_prompt": NEGATIVE}
        options = {"num_inference_steps": STEPS, "guidance_scale": 7.0, "output_type": "np", **words, **arguments}
        (picture,) = pipeline(**options).images
        return np.asarray((picture * 255).round().astype(np.uint8))

    def paint_text(self, controls: bool = False, **arguments: Any) -> Image:
        generator = torch.Generator().manual_seed(SEED)
        noise = torch.randn((1, 4, SIZE // 8, SIZE // 8), generator=generator)
        options: dict[str, Any] = {"latents": noise, "generator": generator, "width": SIZE, "height": SIZE, **arguments}
        if not controls:
            return self.paint("", **options)
        return self.paint("ControlNet", image=self.hints(), controlnet_conditioning_scale=[0.8, 1.3], **options)

    def hints(self) -> list[Any]:
        return [torch.from_numpy(hint.transpose(2, 0, 1))[None].float() / 255 for hint in HINTS]

    def encoded(self, pixels: Any) -> Any:
        vae = self.parts["vae"]
        with torch.no_grad():
            return vae.encode(pixels).latent_dist.mean * vae.config.scaling_factor


def pixels_of(image: Image) -> Any:
    return torch.from_numpy(image.transpose(2, 0, 1))[None].float() / 255 * 2 - 1


@pytest.fixture(scope="module")
def parts(xl_models: Path) -> dict[str, Any]:
    """The checkpoint's parts, which no test changes: loading them takes longer than most tests."""
    whole = diffusers.StableDiffusionXLPipeline.from_pretrained(xl_models / "checkpoints" / CHECKPOINT)
    return dict(whole.components)


@pytest.fixture(scope="module")
def nets(xl_models: Path) -> list[Any]:
    return [diffusers.ControlNetModel.from_pretrained(xl_models / "controlnets" / name) for name in NAMES]


@pytest.fixture
def direct(parts: dict[str, Any], nets: list[Any]) -> Direct:
    return Direct(parts, nets)


@pytest.mark.parametrize("sampler", STOCK)
def test_a_sampler_that_diffusers_has_makes_the_same_picture(
    engine: DiffusionEngine, direct: Direct, sampler: str
) -> None:
    direct.use(sampler)
    theirs = direct.paint_text()
    assert difference(make_image(engine, sampler=sampler, scheduler="Uniform"), theirs) <= 1
    assert theirs.std() > 10


@pytest.mark.parametrize("sampler", [s.name for s in SAMPLERS if s.name not in (*STOCK, *OWN_LOOP)])
def test_a_sampler_of_the_table_makes_the_same_picture(engine: DiffusionEngine, direct: Direct, sampler: str) -> None:
    direct.parts["scheduler"], _ = make_scheduler(sampler, "Automatic", direct.scheduler.config)
    assert difference(make_image(engine, sampler=sampler), direct.paint_text()) <= 1


def test_an_empty_negative_prompt_is_nothing_at_all(engine: DiffusionEngine, direct: Direct) -> None:
    direct.use("Euler")
    theirs = direct.paint_text(negative_prompt=None)  # zeros, as the original has it
    assert difference(make_image(engine, negative_prompt=""), theirs) <= 1
    assert difference(theirs, direct.paint_text(negative_prompt="")) > 3


def test_the_second_text_encoder_counts(engine: DiffusionEngine, direct: Direct) -> None:
    direct.use("Euler")
    theirs = direct.paint_text(prompt_2="red house", negative_prompt_2="")
    assert difference(make_image(engine), theirs) > 3


def test_the_size_of_the_picture_is_told_to_the_model(engine: DiffusionEngine, direct: Direct) -> None:
    direct.use("Euler")
    noise = torch.randn((1, 4, 8, 12), generator=torch.Generator().manual_seed(SEED))
    asked: dict[str, Any] = {"latents": noise, "width": 96}
    theirs = direct.paint_text(**asked)
    assert difference(make_image(engine, width=96), theirs) <= 1
    assert difference(theirs, direct.paint_text(**asked, original_size=(1024, 1024), target_size=(1024, 1024))) > 3


@pytest.mark.parametrize("sampler", ["Euler", "Euler a", "DDIM"])
def test_img2img_makes_the_same_picture(engine: DiffusionEngine, direct: Direct, sampler: str) -> None:
    direct.use(sampler)
    theirs = direct.paint(
        "Img2Img",
        image=direct.encoded(pixels_of(INIT)),
        strength=2 / 4 if sampler == "DDIM" else 3 / 4,
        generator=[torch.Generator().manual_seed(SEED)],
    )
    ours = make_image(engine, sampler=sampler, init_image=INIT, denoising_strength=0.6)
    assert difference(ours, theirs) <= 1


def keep_outside_the_mask(direct: Direct) -> Any:
    """Make the direct calls inpaint as the web UI does. -> the latents that are kept"""
    scheduler = BlendingEuler.from_config(direct.scheduler.config, **LINSPACE)
    scheduler.kept = direct.encoded(pixels_of(INIT))
    scheduler.mask = torch.from_numpy(a_mask(SIZE // 8)).float() / 255
    direct.parts["scheduler"] = scheduler
    return scheduler.kept


def test_inpainting_makes_the_same_picture(engine: DiffusionEngine, direct: Direct) -> None:
    kept = keep_outside_the_mask(direct)
    theirs = direct.paint("Img2Img", image=kept, strength=3 / 4, generator=[torch.Generator().manual_seed(SEED)])
    ours = make_image(engine, init_image=INIT, mask=a_mask(), denoising_strength=0.6)
    assert difference(ours, theirs) <= 1


def test_an_inpainting_checkpoint_takes_the_picture_without_its_masked_part(direct: Direct, tmp_path: Path) -> None:
    pipeline = build_pipeline(3, channels=9)
    pipeline.save_pretrained(tmp_path / "checkpoints" / "inpainting")
    direct.parts = pipeline.components
    mask = torch.from_numpy(a_mask())[None, None].float() / 255
    theirs = direct.paint(
        "Inpaint",
        image=keep_outside_the_mask(direct),
        mask_image=mask,
        masked_image_latents=direct.encoded(pixels_of(INIT) * (mask < 0.5)),
        strength=3 / 4,
        generator=[torch.Generator().manual_seed(SEED)],
        width=SIZE,
        height=SIZE,
    )
    engine = an_engine(tmp_path, checkpoint="inpainting")
    asked: dict[str, Any] = {"init_image": INIT, "mask": a_mask(), "denoising_strength": 0.6}
    assert difference(make_image(engine, **asked), theirs) <= 1
    with pytest.raises(NotSupported, match="a picture and a mask"):
        make(engine, a_request())


@pytest.mark.parametrize("sampler", ["Euler", "DPM++ 2M", "Euler a"])
def test_controlnets_make_the_same_picture(engine: DiffusionEngine, direct: Direct, sampler: str) -> None:
    direct.parts["scheduler"], _ = make_scheduler(sampler, "Automatic", direct.scheduler.config)
    theirs = direct.paint_text(controls=True)
    ours = make_image(engine, sampler=sampler, controls=CONTROLS)
    assert difference(ours, theirs) <= 1
    assert difference(ours, make_image(engine, sampler=sampler)) > 3


def test_controlnets_make_the_same_picture_from_a_picture(engine: DiffusionEngine, direct: Direct) -> None:
    direct.use("Euler")
    theirs = direct.paint(
        "ControlNetImg2Img",
        image=direct.encoded(pixels_of(INIT)),
        control_image=direct.hints(),
        controlnet_conditioning_scale=[0.8, 1.3],
        strength=3 / 4,
        generator=[torch.Generator().manual_seed(SEED)],
    )
    ours = make_image(engine, controls=CONTROLS, init_image=INIT, denoising_strength=0.6)
    assert difference(ours, theirs) <= 1


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"sampler": "Euler a"},
        {"sampler": "DPM++ 2M SDE"},
        {"controls": CONTROLS},
        {"controls": (replace(CONTROLS[0], mode="control"),), "init_image": INIT, "mask": a_mask()},
        {"init_image": INIT, "mask": a_mask(), "masked_content": "noise"},
        {"hires": Hires(96, 96, 2, 0.6), "sampler": "Euler a"},
        {"prompt": "[cat:dog:0.5] AND red BREAK house:0.4", "controls": CONTROLS[:1]},
        {"prompt": "[cat:dog:0.5]", "controls": CONTROLS[:1], "init_image": INIT, "mask": a_mask()},
    ],
    ids=lambda shape: "-".join(shape) or "text",
)
def test_a_request_in_a_batch_is_the_same_request_alone(engine: DiffusionEngine, shape: dict[str, Any]) -> None:
    own = a_request(**shape)
    others = [replace(own, seed=1, prompt="dog"), replace(own, seed=2, negative_prompt="", prompt="red (house:1.4)")]
    batch = make(engine, others[0], own, others[1])
    assert difference(batch[1].image, make(engine, own)[0].image) <= 1
    assert difference(batch[0].image, batch[1].image) > 3


def test_and_of_the_same_prompt_is_the_prompt(engine: DiffusionEngine) -> None:
    halves = make_image(engine, prompt=f"{PROMPT}:0.5 AND {PROMPT}:0.5")
    assert difference(halves, make_image(engine, prompt=PROMPT)) <= 1


def test_a_schedule_changes_the_pooled_prompt_too(engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    for controls in ((), CONTROLS[:1]):  # that pipeline takes no new ones from a callback
        with engine.models.cache.lease() as lease:
            unet = engine.models.checkpoint(lease, "").unet
        seen: list[Any] = []
        forward = type(unet).forward

        def watch(self: Any, *args: Any, _seen: list[Any] = seen, _forward: Any = forward, **options: Any) -> Any:
            _seen.append(options["added_cond_kwargs"]["text_embeds"].clone())
            return _forward(self, *args, **options)

        with monkeypatch.context() as patched:
            patched.setattr(type(unet), "forward", watch)
            make_image(
                engine, prompt="[cat:dog:2]", controls=controls, init_image=INIT, mask=a_mask(), exact_steps=True
            )
        assert len(seen) == STEPS
        assert torch.equal(seen[0], seen[2])
        assert torch.equal(seen[0][0], seen[3][0])  # the negative one stays
        assert not torch.equal(seen[2][1], seen[3][1])


def test_without_guidance_the_model_is_asked_for_one_half(
    engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.models.cache.lease() as lease:
        unet = engine.models.checkpoint(lease, "").unet
    rows = []
    hook = unet.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    try:
        make(engine, a_request(guidance_scale=1.0), a_request(guidance_scale=1.0, seed=8))
        make(engine, a_request())
    finally:
        hook.remove()
    assert rows == [2] * STEPS + [2] * STEPS  # two rows without guidance; two halves of one with it


def test_previews_and_stops_work_as_with_the_others(engine: DiffusionEngine) -> None:
    looking = Looking(engine, {0: 2})
    engine.run([a_request(steps=50)], looking)
    last = looking.seen[-1]
    assert (last.step, last.steps) == (2, 50)
    assert engine.decode_latents(last.latents).shape == (SIZE, SIZE, 3)


def test_clip_skip_has_no_meaning_and_is_warned_of(engine: DiffusionEngine) -> None:
    (made,) = make(engine, a_request(clip_skip=2))
    assert any("SDXL" in text and "Clip skip" in text for text in made.warnings)
    assert difference(made.image, make_image(engine)) == 0


def test_the_crop_that_was_asked_for_is_told_to_the_model(engine: DiffusionEngine, direct: Direct) -> None:
    direct.use("Euler")
    theirs = direct.paint_text(crops_coords_top_left=(16, 512), negative_crops_coords_top_left=(16, 512))
    ours = make_image(engine, crop=(16, 512))
    assert difference(ours, theirs) <= 1
    assert difference(ours, make_image(engine)) > 0
