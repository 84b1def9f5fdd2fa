"""The refiner: another checkpoint takes over from a level of noise on, as two pipelines of diffusers do it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")

import diffusers
import torch
from safetensors.torch import save_file

from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import ControlHint, Hires
from deployments.engines.diffusion.engine import DiffusionEngine
from deployments.errors import NotSupported
from tests.support.diffusing import INIT, NEGATIVE, PROMPT, SIZE, a_request, an_engine, difference, make, make_one
from tests.support.real_files import write
from tests.support.tiny_diffusion import CHECKPOINT as SD1
from tests.support.tiny_diffusion import OTHER_CHECKPOINT, VAE
from tests.support.tiny_sdxl import (
    CHECKPOINT,
    CLIP_WIDTH,
    CONTROLNETS,
    OPEN_CLIP_WIDTH,
    build_pipeline,
    build_refiner,
    refiner_tensors,
)
from tests.support.tiny_sdxl import write_models as write_xl_models

STEPS = 4
"""At the timesteps 999, 666, 333 and 0."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_xl_models(tmp_path_factory.mktemp("refining"))
    write(folder / "checkpoints" / "refiner.safetensors", refiner_tensors(*build_refiner()))
    return folder


@pytest.fixture(scope="module")
def engine(models: Path) -> DiffusionEngine:
    return an_engine(models, checkpoint=CHECKPOINT)


def by_diffusers(switch_at: float) -> Image:
    """The base's first steps, and the refiner's last ones, by two stock pipelines."""
    base = build_pipeline()
    unet, encoder = build_refiner()
    scheduler = diffusers.EulerDiscreteScheduler.from_config(
        base.scheduler.config, timestep_spacing="linspace", steps_offset=0
    )
    base.scheduler = scheduler
    refining = diffusers.StableDiffusionXLImg2ImgPipeline(
        vae=base.vae, text_encoder=None, tokenizer=None, text_encoder_2=encoder, tokenizer_2=base.tokenizer_2,
        unet=unet, scheduler=scheduler, requires_aesthetics_score=True, add_watermarker=False,
    )  # fmt: skip
    shared: dict[str, Any] = {
        "prompt": PROMPT, "negative_prompt": NEGATIVE, "num_inference_steps": STEPS, "guidance_scale": 7.0
    }  # fmt: skip
    noise = torch.randn((1, 4, SIZE // 8, SIZE // 8), generator=torch.Generator().manual_seed(7))
    for pipeline in (base, refining):
        pipeline.set_progress_bar_config(disable=True)
    latents = base(
        **shared, latents=noise, width=SIZE, height=SIZE, denoising_end=switch_at, output_type="latent"
    ).images
    made = refining(**shared, image=latents, denoising_start=switch_at, output_type="np").images[0]
    return np.asarray((made * 255).round().astype(np.uint8))


@pytest.mark.parametrize("switch_at", [0.2, 0.5])
def test_the_refiner_makes_the_last_steps_as_two_pipelines_do(engine: DiffusionEngine, switch_at: float) -> None:
    ours = make_one(engine, refiner="refiner", refiner_switch_at=switch_at)
    assert difference(ours, by_diffusers(switch_at)) <= 1
    assert difference(ours, make_one(engine)) > 3


@pytest.mark.parametrize(
    ("switch_at", "calls"), [(0.0, [False] * 4), (0.3, [True, False, False, False]), (1.0, [True] * 4)]
)
def test_the_switch_is_by_the_noise_that_is_left(engine: DiffusionEngine, switch_at: float, calls: list[bool]) -> None:
    with engine.models.cache.lease() as lease:
        base = engine.models.checkpoint(lease, "")
        networks = {True: base.unet, False: engine.models.refiner(lease, "refiner", base).unet}
    seen: list[bool] = []
    hooks = [
        unet.register_forward_pre_hook(lambda *_, is_base=is_base: seen.append(is_base))
        for is_base, unet in networks.items()
    ]
    try:
        make_one(engine, refiner="refiner", refiner_switch_at=switch_at)
    finally:
        for hook in hooks:
            hook.remove()
    assert seen == calls


@pytest.mark.parametrize(
    "shape",
    [
        {"sampler": "Euler a"},
        {"prompt": "[cat:dog:0.5] AND red:0.4"},
        {"init_image": INIT, "controls": (ControlHint(CONTROLNETS["canny"], INIT),)},
        {"hires": Hires(96, 96, 2, 0.6)},
        {"guidance_scale": 1.0},
    ],
    ids=lambda shape: "-".join(shape),
)
def test_a_refined_picture_is_the_same_alone_and_in_a_batch(engine: DiffusionEngine, shape: dict[str, Any]) -> None:
    own = a_request(refiner="refiner", refiner_switch_at=0.2, **shape)
    both = make(engine, replace(own, seed=1, prompt="dog"), own)
    assert difference(both[1].image, make(engine, own)[0].image) <= 1
    assert difference(both[1].image, make_one(engine, **shape)) > 3


def test_the_refiner_alone_is_refused_and_says_what_it_is_for(engine: DiffusionEngine) -> None:
    with pytest.raises(NotSupported, match="refiner_checkpoint"):
        make(engine, a_request(checkpoint="refiner"))


def test_any_checkpoint_of_the_family_may_refine_and_none_of_another(tiny_models: Path, models: Path) -> None:
    engine = an_engine(tiny_models)
    plain, other = make_one(engine, checkpoint=SD1), make_one(engine, checkpoint=OTHER_CHECKPOINT)
    ours = make_one(engine, refiner=OTHER_CHECKPOINT, refiner_switch_at=0.5)
    assert difference(ours, plain) > 3
    assert difference(ours, other) > 3
    assert difference(make_one(engine, refiner=OTHER_CHECKPOINT), make_one(engine, refiner=OTHER_CHECKPOINT)) == 0
    (tiny_models / "checkpoints" / "xl").symlink_to(models / "checkpoints" / CHECKPOINT)
    try:
        with pytest.raises(NotSupported, match="another family"):
            make(engine, a_request(refiner="xl", refiner_switch_at=0.5))
    finally:
        (tiny_models / "checkpoints" / "xl").unlink()


def test_the_refiner_tiles_as_the_base_does(engine: DiffusionEngine) -> None:
    with engine.models.cache.lease() as lease:
        unet = engine.models.refiner(lease, "refiner", engine.models.checkpoint(lease, "")).unet
    seen: set[str] = set()
    hook = unet.register_forward_pre_hook(lambda *_: seen.add(unet.conv_in.padding_mode))
    try:
        make_one(engine, refiner="refiner", tiling=True)
    finally:
        hook.remove()
    assert seen == {"circular"}
    assert unet.conv_in.padding_mode == "zeros"


def test_a_refiner_knows_the_textual_inversions_of_the_prompts(tiny_models: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_models, tmp_path / "models"))
    (folder / "embeddings").mkdir()
    save_file({"emb_params": torch.randn(2, 32)}, str(folder / "embeddings" / "cat-style-5.safetensors"))
    engine = an_engine(folder)
    texts = {"prompt": "a cat-style-5 photo", "vae": VAE}
    (ours,) = make(engine, a_request(refiner=OTHER_CHECKPOINT, **texts))  # makes all steps
    assert difference(ours.image, make_one(engine, checkpoint=OTHER_CHECKPOINT, **texts)) <= 1
    assert ours.warnings == ()


def test_sdxls_own_refiner_knows_no_textual_inversions_and_says_so(models: Path) -> None:
    (models / "embeddings").mkdir()
    pair = {"clip_l": torch.zeros(2, CLIP_WIDTH), "clip_g": torch.zeros(2, OPEN_CLIP_WIDTH)}
    save_file(pair, str(models / "embeddings" / "pony-quality.safetensors"))
    try:
        engine = an_engine(models, checkpoint=CHECKPOINT)
        (named,) = make(engine, a_request(prompt="a pony-quality photo", refiner="refiner"))
        (other,) = make(engine, a_request(refiner="refiner"))
    finally:
        shutil.rmtree(models / "embeddings")
    assert any("textual inversions" in warning for warning in named.warnings)
    assert other.warnings == ()


def test_the_scores_that_were_asked_for_are_told_to_the_refiner(engine: DiffusionEngine) -> None:
    with engine.models.cache.lease() as lease:
        unet = engine.models.refiner(lease, "refiner", engine.models.checkpoint(lease, "")).unet
    seen: list[Any] = []
    hook = unet.register_forward_pre_hook(
        lambda _, __, options: seen.append(options["added_cond_kwargs"]["time_ids"].tolist()), with_kwargs=True
    )
    try:
        make_one(engine, refiner="refiner", scores=(1.5, 8.0), crop=(8, 16))
    finally:
        hook.remove()
    assert seen[0] == [[SIZE, SIZE, 8, 16, 1.5], [SIZE, SIZE, 8, 16, 8.0]]


def test_the_refiner_stays_where_a_sampler_puts_noise_back(tiny_models: Path) -> None:
    engine = an_engine(tiny_models)
    with engine.models.cache.lease() as lease:
        base = engine.models.checkpoint(lease, "")
        refiner = engine.models.refiner(lease, OTHER_CHECKPOINT, base)
    seen: list[tuple[bool, float]] = []
    hooks = [
        one.unet.register_forward_pre_hook(lambda _, args, is_base=is_base: seen.append((is_base, float(args[1]))))
        for is_base, one in ((True, base), (False, refiner))
    ]
    try:
        make_one(
            engine, sampler="Restart", steps=20, guidance_scale=1.0, refiner=OTHER_CHECKPOINT, refiner_switch_at=0.8
        )
    finally:
        for hook in hooks:
            hook.remove()
    switch = [is_base for is_base, _ in seen].index(False)
    assert any(later > before for (_, before), (_, later) in pairwise(seen[switch:]))
    assert not any(is_base for is_base, _ in seen[switch:])
