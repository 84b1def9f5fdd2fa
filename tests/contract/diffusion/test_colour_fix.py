"""Colours of a hint in the picture (tile_colorfix): against a loop of diffusers written out here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")

import diffusers
import torch

from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import ColourFix, ControlHint, Hires
from deployments.engines.diffusion.conditioning import Conditioner
from deployments.engines.diffusion.controlnets import ControlUnit
from deployments.engines.diffusion.engine import DiffusionEngine
from tests.support.builders import an_image
from tests.support.diffusing import NEGATIVE, PROMPT, SIZE, Looking, a_request, an_engine, difference, make, make_one
from tests.support.stock_samplers import LINSPACE
from tests.support.tiny_diffusion import CHECKPOINT, CONTROLNETS

SEED, STEPS, GUIDANCE, RADIUS = 7, 4, 7.0, 3
HINT = an_image((SIZE, SIZE), 11)


@pytest.fixture(scope="module")
def engine(tiny_models: Path) -> DiffusionEngine:
    return an_engine(tiny_models)


def a_hint(image: Image = HINT, weight: float = 1.0, sharpness: float = 0.0, **changes: Any) -> ControlHint:
    return ControlHint(CONTROLNETS["softedge"], image, weight, colours=ColourFix(RADIUS, sharpness), **changes)


def averaged(latents: Any) -> Any:
    """Mean of each latent's square, edges repeated, point by point."""
    made = torch.empty_like(latents)
    rows, columns = latents.shape[2:]
    for y in range(rows):
        for x in range(columns):
            ys = [min(max(y + step, 0), rows - 1) for step in range(-RADIUS, RADIUS + 1)]
            xs = [min(max(x + step, 0), columns - 1) for step in range(-RADIUS, RADIUS + 1)]
            made[..., y, x] = latents[:, :, ys][..., xs].mean(dim=(2, 3))
    return made


def paint(models: Path, weight: float, sharpness: float) -> Image:
    """Sample by Euler with the ControlNet; after each prediction the colours of the hint are put into what it means."""
    folder = models / "checkpoints" / CHECKPOINT
    parts = diffusers.StableDiffusionPipeline.from_pretrained(folder).components
    net = diffusers.ControlNetModel.from_pretrained(models / "controlnets" / CONTROLNETS["softedge"])
    unet, vae = parts["unet"], parts["vae"]
    words = Conditioner(parts["tokenizer"], parts["text_encoder"]).encode(PROMPT, NEGATIVE, STEPS).at(0)
    steps = diffusers.EulerDiscreteScheduler.from_config(parts["scheduler"].config, **LINSPACE)
    steps.set_timesteps(STEPS)
    latents = torch.randn((1, 4, SIZE // 8, SIZE // 8), generator=torch.Generator().manual_seed(SEED))
    latents = latents * steps.init_noise_sigma
    seen = torch.from_numpy(HINT.copy()).permute(2, 0, 1)[None] / 255

    def colours(predicted: Any, scaled: Any, sigma: Any, *, is_negative: bool) -> Any:
        alpha = 1 / (1 + sigma**2)
        x0 = (scaled - (1 - alpha).sqrt() * predicted) / alpha.sqrt()
        x0 = x0 - averaged(x0) + averaged(kept)
        if is_negative:
            x0 = x0 + sharpness / 100 * (averaged(x0) - x0)
        return predicted + min(weight, 1.0) * ((scaled - alpha.sqrt() * x0) / (1 - alpha).sqrt() - predicted)

    with torch.no_grad():
        kept = vae.encode(seen * 2 - 1).latent_dist.mode() * vae.config.scaling_factor
        for timestep, sigma in zip(steps.timesteps, steps.sigmas, strict=False):
            scaled = steps.scale_model_input(latents, timestep)
            halves = []
            for is_negative, text in ((True, words.negative), (False, words.positive)):
                down, middle = net(scaled, timestep, text, seen, conditioning_scale=weight, return_dict=False)
                predicted = unet(
                    scaled,
                    timestep,
                    text,
                    down_block_additional_residuals=down,
                    mid_block_additional_residual=middle,
                ).sample
                halves.append(colours(predicted, scaled, sigma, is_negative=is_negative))
            latents = steps.step(halves[0] + GUIDANCE * (halves[1] - halves[0]), timestep, latents)[0]
        pixels = vae.decode(latents / vae.config.scaling_factor).sample
    return np.asarray(((pixels[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 0) * 255).round().numpy().astype(np.uint8))


@pytest.mark.parametrize(("weight", "sharpness"), [(1.0, 0.0), (0.6, 0.0), (1.5, 2.0)])
def test_the_low_frequencies_of_the_hint_are_put_into_what_each_call_means(
    tiny_models: Path, engine: DiffusionEngine, weight: float, sharpness: float
) -> None:
    ours = make_one(engine, controls=(a_hint(weight=weight, sharpness=sharpness),))
    assert difference(ours, paint(tiny_models, weight, sharpness)) <= 1


def last_latents(engine: DiffusionEngine, *hints: ControlHint) -> Any:
    looking = Looking(engine)
    engine.run([a_request(controls=hints)], looking)
    return torch.from_numpy(looking.seen[-1].latents.astype(np.float32))[None]


def test_the_picture_has_the_coarse_latents_of_its_hint_and_detail_of_its_own(
    tiny_models: Path, engine: DiffusionEngine
) -> None:
    vae = diffusers.AutoencoderKL.from_pretrained(tiny_models / "checkpoints" / CHECKPOINT / "vae")
    seen = torch.from_numpy(HINT.copy()).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        wanted = vae.encode(seen * 2 - 1).latent_dist.mode() * vae.config.scaling_factor
    fixed, free = (last_latents(engine, hint) for hint in (a_hint(), ControlHint(CONTROLNETS["softedge"], HINT)))
    apart = [float((averaged(one) - averaged(wanted)).abs().mean()) for one in (fixed, free)]
    assert apart[0] < apart[1] / 5
    detail = fixed - averaged(fixed)
    assert float((detail - (wanted - averaged(wanted))).abs().mean()) > apart[0]


def test_colours_are_put_back_in_the_units_window_alone(engine: DiffusionEngine) -> None:
    never: dict[str, Any] = {"start": 1.0, "end": 1.0}
    with_fix, without = (
        make_one(engine, controls=(hint,))
        for hint in (a_hint(**never), ControlHint(CONTROLNETS["softedge"], HINT, **never))
    )
    half = make_one(engine, controls=(a_hint(end=0.3),))
    whole = make_one(engine, controls=(a_hint(),))
    assert difference(with_fix, without) == 0
    assert difference(half, whole) > 1


def test_the_blur_is_twice_as_wide_in_a_second_pass() -> None:
    first, second = (ControlUnit.of(a_hint(), hires=hires).colours for hires in (False, True))
    assert (first, second) == (ColourFix(RADIUS), ColourFix(2 * RADIUS))


def test_a_picture_with_its_hints_colours_is_the_same_alone_and_in_a_batch(engine: DiffusionEngine) -> None:
    requests = [
        a_request(seed=seed, controls=(a_hint(an_image((SIZE, SIZE), seed)),), hires=Hires(2 * SIZE, 2 * SIZE, 2, 0.5))
        for seed in (1, 2)
    ]
    together = [one.image for one in make(engine, *requests)]
    for request, image in zip(requests, together, strict=True):
        assert difference(make(engine, request)[0].image, image) <= 1
