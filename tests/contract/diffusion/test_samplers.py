"""Samplers against formulas of their own, and through diffusers' pipelines with small models."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")

import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline, TCDScheduler, UNet2DConditionModel
from diffusers.schedulers.scheduling_dpmsolver_sde import BrownianTreeNoiseSampler

from deployments.algorithms.a1111.samplers import SAMPLERS, SCHEDULERS, strength_for
from deployments.engines.diffusion.philox import Philox
from deployments.engines.diffusion.predictions import noiseless
from deployments.engines.diffusion.scheduler_factory import make_scheduler
from deployments.engines.diffusion.sigmas import SCHEDULES, NoiseLevels
from deployments.engines.diffusion.solvers import MAX_ATTEMPTS, restart_steps
from tests.support.tiny_diffusion import CHECKPOINT, SCHEDULER

SAMPLER_NAMES = [sampler.name for sampler in SAMPLERS]
NOISY = [sampler.name for sampler in SAMPLERS if sampler.adds_noise and not sampler.is_adaptive]
SCHEDULE_NAMES = list(SCHEDULES)
DenoiseFunction = Callable[[Any, float], Any]
"""x = picture + sigma * noise, and sigma -> the picture."""
BETAS = np.linspace(SCHEDULER["beta_start"] ** 0.5, SCHEDULER["beta_end"] ** 0.5, 1000) ** 2
LEVELS = NoiseLevels.of(np.cumprod(1 - BETAS))


@pytest.fixture(scope="module")
def unet(tiny_models: Path) -> UNet2DConditionModel:
    return UNet2DConditionModel.from_pretrained(tiny_models / "checkpoints" / CHECKPOINT, subfolder="unet").eval()


@pytest.fixture(scope="module")
def pipeline(tiny_models: Path) -> StableDiffusionPipeline:
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_models / "checkpoints" / CHECKPOINT)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def make(sampler: str, scheduler: str = "automatic", **options: Any) -> Any:
    return make_scheduler(sampler, scheduler, SCHEDULER, **options)[0]


def run(scheduler: Any, steps: int, predict: Callable[[Any, Any], Any], seeds: tuple[int, ...] = (0,)) -> Any:
    """Run the loop of diffusers' pipelines. `predict`: input and timestep -> noise."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    noise = [torch.randn((1, 4, 8, 8), generator=generator) for generator in generators]
    scheduler.set_timesteps(steps)
    latents = torch.cat(noise) * scheduler.init_noise_sigma
    options = {"generator": generators} if "generator" in inspect.signature(scheduler.step).parameters else {}
    with torch.no_grad():
        for timestep in scheduler.pending(scheduler.timesteps):
            predicted = predict(scheduler.scale_model_input(latents, timestep), timestep)
            latents = scheduler.step(predicted, timestep, latents, **options, return_dict=False)[0]
    return latents


def by_unet(unet: UNet2DConditionModel) -> Callable[[Any, Any], Any]:
    words = torch.linspace(-1, 1, 77 * 32).view(1, 77, 32)
    return lambda x, timestep: unet(x, timestep, words.expand(len(x), -1, -1)).sample


def denoise(x: Any, sigma: float) -> Any:
    """Ideal for pictures whose values are normal around 0.3 with deviation 0.8."""
    return (0.64 * x + sigma**2 * 0.3) / (0.64 + sigma**2)


def by_formula(x: Any, timestep: Any) -> Any:
    """The noise that `denoise` sees in a scaled input."""
    sigma = float(LEVELS.at(np.array([float(timestep)]))[0])
    x = x.double() * (1 + sigma**2) ** 0.5
    return ((x - denoise(x, sigma)) / sigma).float()


def first_noise(seed: int = 0) -> Any:
    return torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize("steps", [3, 20])
@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_every_sampler_ends_in_finite_latents_of_usual_size(
    unet: UNet2DConditionModel, sampler: str, steps: int
) -> None:
    latents = run(make(sampler), steps, by_unet(unet))
    assert torch.isfinite(latents).all()
    assert 0.01 < latents.std() < 30


@pytest.mark.parametrize("schedule", [scheduler.name for scheduler in SCHEDULERS])
@pytest.mark.parametrize("sampler", [s.name for s in SAMPLERS if s.takes_scheduler])
def test_every_schedule_goes_with_every_sampler(sampler: str, schedule: str) -> None:
    made = make(sampler, schedule)
    for steps, limit in ((1, 3), (2, 15), (8, 3)):  # two steps are too few for second order
        latents = run(made, steps, by_formula)
        assert torch.isfinite(latents).all()
        assert latents.std() < limit


@pytest.mark.parametrize("schedule", SCHEDULE_NAMES)
@pytest.mark.parametrize("sampler", ["Euler", "Euler a", "DPM++ 2M", "LMS"])
def test_noise_levels_are_those_of_the_schedule(sampler: str, schedule: str) -> None:
    made = make(sampler, schedule)
    made.set_timesteps(20)
    np.testing.assert_allclose(made.sigmas.numpy(), [*SCHEDULES[schedule](20, LEVELS), 0], rtol=1e-4)


def test_noise_levels_begin_and_end_where_upstream_has_them() -> None:
    ends = {name: (schedule(20, LEVELS)[[0, -1]]) for name, schedule in SCHEDULES.items()}
    for name in ("uniform", "karras", "exponential", "beta"):
        np.testing.assert_allclose(ends[name], [14.6146, 0.0292], atol=1e-4)
    assert all(len(schedule(steps, LEVELS)) == steps for schedule in SCHEDULES.values() for steps in (1, 7, 30, 150))
    assert all((np.diff(schedule(30, LEVELS)) < 0).all() for schedule in SCHEDULES.values())


def test_discarding_samplers_leave_out_the_last_level_but_one() -> None:
    made = make("DPM2")
    made.set_timesteps(10)
    levels = SCHEDULES["karras"](11, LEVELS)
    assert made.sigmas[made.sigmas > 0].min().item() == pytest.approx(levels[-2], rel=1e-4)


def test_euler_equals_its_formula() -> None:
    sigmas = [*SCHEDULES["uniform"](20, LEVELS), 0.0]
    x = first_noise() * sigmas[0]
    for now, following in pairwise(sigmas):
        x = x + (x - denoise(x, now)) / now * (following - now)
    torch.testing.assert_close(run(make("Euler"), 20, by_formula).double(), x, rtol=1e-4, atol=1e-4)


def test_heun_equals_its_formula() -> None:
    sigmas = [*SCHEDULES["karras"](20, LEVELS), 0.0]
    x = first_noise() * sigmas[0]
    for now, following in pairwise(sigmas):
        slope = (x - denoise(x, now)) / now
        ahead = x + slope * (following - now)
        if following:
            slope = (slope + (ahead - denoise(ahead, following)) / following) / 2
        x = x + slope * (following - now)
    torch.testing.assert_close(run(make("Heun", "karras"), 20, by_formula).double(), x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("schedule", ["karras", "uniform", "simple", "align_your_steps"])
def test_dpmpp_2m_equals_its_formula(schedule: str) -> None:
    """Lu et al. 2022, algorithm 2, in sigma; exact levels and no rounded timesteps make the two agree."""
    sigmas = [*SCHEDULES[schedule](20, LEVELS), 0.0]
    x, before, last_h = first_noise() * sigmas[0], None, 0.0
    for now, following in pairwise(sigmas):
        picture = denoise(x, now)
        if following == 0:
            x = picture
            break
        h = np.log(now / following)
        ahead = picture if before is None else picture + (picture - before) * h / (2 * last_h)
        x = x * (following / now) + (1 - np.exp(-h)) * ahead
        before, last_h = picture, h
    made = run(make("DPM++ 2M", schedule), 20, by_formula).double()
    torch.testing.assert_close(made, x, rtol=2e-4, atol=2e-4)


def test_dpmpp_2m_sde_takes_its_noise_from_the_brownian_tree_of_the_seed() -> None:
    sigmas = [*SCHEDULES["exponential"](20, LEVELS), 0.0]
    x, before, last_h = first_noise(5) * sigmas[0], None, 0.0
    tree = BrownianTreeNoiseSampler(x.float(), sigmas[-2] - 2e-6, sigmas[0] + 2e-6, [5])
    for now, following in pairwise(sigmas):
        picture = denoise(x, now)
        if following == 0:
            x = picture
            break
        h = np.log(now / following)
        x = x * (following / now) * np.exp(-h) + (1 - np.exp(-2 * h)) * picture
        if before is not None:
            x = x + 0.5 * (1 - np.exp(-2 * h)) * (picture - before) * h / last_h
        x = x + tree(now, following).double() * following * (1 - np.exp(-2 * h)) ** 0.5
        before, last_h = picture, h
    made = run(make("DPM++ 2M SDE"), 20, by_formula, seeds=(5,)).double()
    torch.testing.assert_close(made, x, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("eta", [None, 1.0, 0.5])
def test_euler_a_equals_its_formula_with_noise_of_the_generator(eta: float | None) -> None:
    generator = torch.Generator().manual_seed(3)
    sigmas = [*SCHEDULES["uniform"](20, LEVELS), 0.0]
    x = torch.randn((1, 4, 8, 8), generator=generator).double() * sigmas[0]
    for now, following in pairwise(sigmas):
        up = (1 if eta is None else eta) * (following**2 * (now**2 - following**2) / now**2) ** 0.5
        down = (following**2 - up**2) ** 0.5
        x = x + (x - denoise(x, now)) / now * (down - now)
        if following:
            x = x + torch.randn((1, 4, 8, 8), generator=generator).double() * up
    made = run(make("Euler a", eta=eta), 20, by_formula, seeds=(3,)).double()
    torch.testing.assert_close(made, x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("eta", [None, 0.5])
@pytest.mark.parametrize("sampler", ["DPM2 a", "DPM++ 2S a"])
def test_ancestral_samplers_of_second_order_equal_their_formulas(sampler: str, eta: float | None) -> None:
    generator = torch.Generator().manual_seed(3)
    sigmas = [*SCHEDULES["karras"](20, LEVELS), 0.0]
    x = torch.randn((1, 4, 8, 8), generator=generator).double() * sigmas[0]
    for now, following in pairwise(sigmas):
        picture = denoise(x, now)
        if following == 0:
            x = picture
            break
        up = (1 if eta is None else eta) * (following**2 * (now**2 - following**2) / now**2) ** 0.5
        down = (following**2 - up**2) ** 0.5
        middle = (now * down) ** 0.5
        if sampler == "DPM2 a":
            ahead = x + (x - picture) / now * (middle - now)
            x = x + (ahead - denoise(ahead, middle)) / middle * (down - now)
        else:
            h = np.log(now / down)
            ahead = (middle / now) * x - np.expm1(-h / 2) * picture
            x = (down / now) * x - np.expm1(-h) * denoise(ahead, middle)
        x = x + torch.randn((1, 4, 8, 8), generator=generator).double() * up
    made = make(sampler, "karras", eta=eta)
    made.discards = False
    torch.testing.assert_close(run(made, 20, by_formula, seeds=(3,)).double(), x, rtol=2e-4, atol=2e-4)


def test_dpm2_equals_its_formula() -> None:
    sigmas = [*SCHEDULES["karras"](21, LEVELS)[:20], 0.0]
    x = first_noise() * sigmas[0]
    for now, following in pairwise(sigmas):
        picture = denoise(x, now)
        if following == 0:
            x = picture
            break
        middle = (now * following) ** 0.5
        ahead = x + (x - picture) / now * (middle - now)
        x = x + (ahead - denoise(ahead, middle)) / middle * (following - now)
    torch.testing.assert_close(run(make("DPM2"), 20, by_formula).double(), x, rtol=2e-4, atol=2e-4)


def test_euler_a_without_fresh_noise_is_euler(unet: UNet2DConditionModel) -> None:
    plain, ancestral = run(make("Euler"), 8, by_unet(unet)), run(make("Euler a", eta=0.0), 8, by_unet(unet))
    torch.testing.assert_close(plain, ancestral, rtol=1e-4, atol=1e-4)


def test_ddim_adds_noise_only_with_eta() -> None:
    silent, told = make("DDIM"), make("DDIM", eta=1.0)
    assert torch.equal(run(silent, 10, by_formula), run(make("DDIM", eta=0.0), 10, by_formula))
    assert not torch.allclose(run(silent, 10, by_formula), run(told, 10, by_formula))


def test_lcm_steps_through_the_timesteps_of_its_training() -> None:
    made = make("LCM")
    made.set_timesteps(4)
    assert made.timesteps.tolist() == [999, 679, 339, 19]


@pytest.mark.parametrize("sampler", ["Restart", "DPM fast", "DPM adaptive"])
def test_the_last_step_alone_can_be_made_of_an_image(sampler: str) -> None:
    made = make(sampler)
    made.set_timesteps(4)
    noised_at, timesteps = made.begin(1)
    latents = made.add_noise(torch.full((1, 4, 8, 8), 0.3), torch.zeros(1, 4, 8, 8), noised_at[None])
    calls = 0
    for timestep in made.pending(timesteps):
        predicted = by_formula(made.scale_model_input(latents, timestep), timestep)
        latents = made.step(predicted, timestep, latents, return_dict=False)[0]
        calls += 1
    assert calls > 0
    assert (latents - 0.3).std() < 0.02  # of 0.029, the noise of the last level


@pytest.mark.parametrize("sampler", ["LCM", "TCD"])
def test_each_step_adds_other_noise_where_that_is_to_be_a_cards(sampler: str) -> None:
    made = make(sampler)
    ends = []
    for generators in ([Philox(3)], [torch.Generator().manual_seed(3)]):
        made.set_timesteps(4)
        latents = torch.zeros(1, 4, 8, 8)
        for timestep in made.timesteps:
            latents = made.step(torch.zeros_like(latents), timestep, latents, generator=generators, return_dict=False)[
                0
            ]
        ends.append(latents)
    torch.testing.assert_close(*ends)  # the generator of the processor goes on from step to step


@pytest.mark.parametrize("sampler", NOISY)
def test_samplers_that_add_noise_depend_on_the_seed_alone(sampler: str) -> None:
    options = {"eta": 1.0} if sampler.startswith("DDIM") else {}
    together = run(make(sampler, **options), 6, by_formula, seeds=(11, 12, 13))
    alone = run(make(sampler, **options), 6, by_formula, seeds=(12,))
    torch.testing.assert_close(together[1:2], alone, rtol=0, atol=1e-6)
    assert not torch.allclose(together[0], together[1])


@pytest.mark.parametrize(
    "sampler", ["DPM++ SDE", "DPM++ 2M SDE", "Euler a", "LCM", "UniPC", "DPM++ 2M Karras", "DDIM", "TCD"]
)
def test_a_picture_of_a_batch_is_the_one_it_would_be_alone(pipeline: StableDiffusionPipeline, sampler: str) -> None:
    def paint(*seeds: int) -> Any:
        pipeline.scheduler = make(sampler)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        prompts = [f"a photo of {seed}" for seed in seeds]
        options = {"height": 64, "width": 64, "num_inference_steps": 5, "output_type": "np"}
        return pipeline(prompts, generator=generators, **options).images

    assert np.abs(paint(1, 2, 3)[1] - paint(2)[0]).max() < 0.5 / 255


@pytest.mark.parametrize(
    "sampler", ["Euler", "Euler a", "DPM++ 2M", "DPM++ 2M SDE", "DPM++ SDE", "DPM++ 2S a", "Heun", "LCM", "TCD"]
)
@pytest.mark.parametrize(("strength", "exact"), [(0.3, False), (1.0, False), (0.5, True)])
def test_img2img_makes_the_calls_that_were_reckoned(
    pipeline: StableDiffusionPipeline, sampler: str, strength: float, exact: bool
) -> None:
    parts = {**pipeline.components, "scheduler": make(sampler), "safety_checker": None}
    from_image = StableDiffusionImg2ImgPipeline(**parts, requires_safety_checker=False)
    from_image.set_progress_bar_config(disable=True)
    partial = strength_for(strength, 6, exact)
    calls = []

    def count(_pipeline: Any, call: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        calls.append(call)
        return tensors

    picture = from_image(
        "a cat",
        image=torch.full((1, 3, 64, 64), 0.5),
        strength=partial.strength,
        num_inference_steps=partial.steps,
        generator=[torch.Generator().manual_seed(0)],
        callback_on_step_end=count,
        output_type="np",
    ).images
    assert np.isfinite(picture).all()
    assert len(calls) == (2 * partial.runs - 1 if from_image.scheduler.order == 2 else partial.runs)


@pytest.mark.parametrize(
    ("sampler", "scheduler", "words"),
    [
        ("nonsense", "", ["nonsense", "DPM++ 2M"]),
        ("UniPC", "Karras", ["UniPC", "Karras"]),
    ],
)
def test_a_sampler_or_schedule_that_is_not_used_is_warned_of(sampler: str, scheduler: str, words: list[str]) -> None:
    _, warnings = make_scheduler(sampler, scheduler, SCHEDULER)
    assert len(warnings) == 1
    assert all(word in warnings[0] for word in words)


def test_eta_that_is_not_used_is_warned_of() -> None:
    assert make_scheduler("DPM++ SDE", "", SCHEDULER, eta=0.5)[1]
    assert not make_scheduler("DPM++ SDE", "", SCHEDULER, eta=1.0)[1]
    assert not make_scheduler("DPM2 a", "", SCHEDULER, eta=0.5)[1]


def test_the_checkpoints_own_betas_and_prediction_stay() -> None:
    config = {**SCHEDULER, "prediction_type": "v_prediction", "beta_end": 0.02, "_class_name": "PNDMScheduler"}
    for sampler in SAMPLER_NAMES:
        made, _ = make_scheduler(sampler, "", config)
        assert (made.config.prediction_type, made.config.beta_end) == ("v_prediction", 0.02)


@pytest.mark.parametrize("sampler", ["DPM++ 2M", "LMS", "Heun", "DPM2", "Restart"])
@pytest.mark.parametrize("strength", [0.1, 0.3, 0.5])
def test_a_pass_that_begins_midway_arrives_where_the_whole_way_would(sampler: str, strength: float) -> None:
    partial, made = strength_for(strength, 20), make(sampler)
    made.set_timesteps(partial.steps)
    noised, timesteps = made.begin(partial.runs)
    sigma = float(LEVELS.at(np.array([float(noised)]))[0])
    picture, noise = 0.3 + 0.8 * first_noise(1), first_noise(2)
    latents = made.add_noise(picture.float(), noise.float(), noised[None])
    for timestep in timesteps:
        predicted = by_formula(made.scale_model_input(latents, timestep), timestep)
        latents = made.step(predicted, timestep, latents, return_dict=False)[0]
    exact = 0.3 + (picture + sigma * noise - 0.3) * 0.8 / (0.64 + sigma**2) ** 0.5  # of the flow without steps
    assert float((latents - exact).std()) < 0.012


def test_align_your_steps_has_levels_of_its_own_for_sdxl() -> None:
    levels = {is_xl: make("Euler", "align_your_steps", is_xl=is_xl) for is_xl in (False, True)}
    for made in levels.values():
        made.set_timesteps(11)
    np.testing.assert_allclose(
        levels[True].sigmas.numpy(),
        [14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029, 0],
        rtol=1e-5,
    )
    assert levels[False].sigmas[1].item() == pytest.approx(6.475)
    other = make("Euler", "karras", is_xl=True)
    other.set_timesteps(20)
    np.testing.assert_allclose(other.sigmas.numpy(), [*SCHEDULES["karras"](20, LEVELS), 0], rtol=1e-4)


ZERO_TERMINAL = {**SCHEDULER, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_every_sampler_begins_at_almost_nothing_where_the_checkpoint_was_trained_so(sampler: str) -> None:
    made, _ = make_scheduler(sampler, "automatic", ZERO_TERMINAL)
    kept = np.cumprod(1 - BETAS) ** 0.5
    expected = ((kept - kept[-1]) * kept[0] / (kept[0] - kept[-1])) ** 2
    np.testing.assert_allclose(made.alphas_cumprod.numpy()[:-1], expected[:-1], rtol=1e-3)
    assert made.alphas_cumprod[-1].item() == pytest.approx(4.8973e-8, rel=1e-2)
    by_v = by_formula_of_v(made.alphas_cumprod.double())
    assert torch.isfinite(run(made, 6, by_v)).all()


def by_formula_of_v(kept: Any) -> Callable[[Any, Any], Any]:
    """What a model that predicts v answers where `denoise` is the picture."""

    def predict(x: Any, timestep: Any) -> Any:
        alpha = kept[round(float(timestep))]
        sigma = float(((1 - alpha) / alpha) ** 0.5)
        picture = denoise(x.double() / alpha**0.5, sigma)
        noise = (x.double() - alpha**0.5 * picture) / (1 - alpha) ** 0.5
        return (alpha**0.5 * noise - (1 - alpha) ** 0.5 * picture).float()

    return predict


def test_euler_with_zero_terminal_snr_equals_its_formula() -> None:
    made, _ = make_scheduler("Euler", "uniform", ZERO_TERMINAL)
    levels = NoiseLevels.of(made.alphas_cumprod.double().numpy())
    sigmas = [*SCHEDULES["uniform"](9, levels), 0.0]  # whole timesteps, but for rounding: 999 / 8
    assert sigmas[0] == pytest.approx(4518.8, rel=1e-2)
    x = first_noise() * sigmas[0]
    for now, following in pairwise(sigmas):
        x = x + (x - denoise(x, now)) / now * (following - now)
    exact = x
    found = run(made, 9, by_formula_of_v_at(levels)).double()
    torch.testing.assert_close(found, exact, rtol=2e-2, atol=2e-2)


def by_formula_of_v_at(levels: NoiseLevels) -> Callable[[Any, Any], Any]:
    """The same for timesteps between the trained ones."""

    def predict(x: Any, timestep: Any) -> Any:
        sigma = float(levels.at(np.array([float(timestep)]))[0])
        alpha = 1 / (1 + sigma**2)
        picture = denoise(x.double() / alpha**0.5, sigma)
        noise = (x.double() - alpha**0.5 * picture) / (1 - alpha) ** 0.5
        return (alpha**0.5 * noise - (1 - alpha) ** 0.5 * picture).float()

    return predict


@pytest.mark.parametrize(("eta", "gamma"), [(None, 0.3), (0.0, 0.0), (1.0, 1.0)])
def test_tcd_is_that_of_diffusers_with_the_noise_that_was_asked_for(eta: float | None, gamma: float) -> None:
    theirs = TCDScheduler(**{name: value for name, value in SCHEDULER.items() if name in TCD_FIELDS})
    theirs.set_timesteps(4)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((1, 4, 8, 8), generator=generator)
    for timestep in theirs.timesteps:
        x = theirs.step(by_formula(x, timestep), timestep, x, eta=gamma, generator=generator, return_dict=False)[0]
    torch.testing.assert_close(run(make("TCD", eta=eta), 4, by_formula), x)


TCD_FIELDS = ("beta_start", "beta_end", "beta_schedule", "num_train_timesteps")


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("sampler", ["Euler", "DDIM"])
def test_a_preview_shows_what_the_model_expects_whatever_it_predicts(sampler: str, kind: str) -> None:
    made, _ = make_scheduler(sampler, "uniform", {**SCHEDULER, "prediction_type": kind})
    made.set_timesteps(10)
    predict = by_formula if kind == "epsilon" else by_formula_of_v_at(LEVELS)
    latents = first_noise().float() * made.init_noise_sigma
    for timestep in made.timesteps[:-1]:
        sigma = float(LEVELS.at(np.array([float(timestep)]))[0])
        seen = latents.double() * (1.0 if sampler == "Euler" else (1 + sigma**2) ** 0.5)
        scaled = made.scale_model_input(latents, timestep)
        predicted = predict(scaled, timestep)
        latents = made.step(predicted, timestep, latents, return_dict=False)[0]
        shown = noiseless(scaled, predicted, sigma, kind).double()
        torch.testing.assert_close(shown, denoise(seen, sigma), rtol=1e-2, atol=1e-2)


DDIM_ROUTES = {20: (list(range(951, 0, -50)), 19), 30: (list(range(991, 0, -33)), 30), 3: ([999, 667, 334, 1], 3)}
"""Timesteps of DDIM from noise, and the number of its calls; the last one is where it ends."""


@pytest.mark.parametrize("steps", DDIM_ROUTES)
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_ddim_equals_its_formula_and_makes_the_calls_of_the_original(steps: int, eta: float) -> None:
    route, calls = DDIM_ROUTES[steps]
    made = make("DDIM", eta=eta)
    made.set_timesteps(steps)
    assert made.timesteps.tolist() == route[:-1]
    assert len(made.timesteps) == calls
    generator = torch.Generator().manual_seed(0)
    kept = np.cumprod(1 - BETAS)
    x = torch.randn((1, 4, 8, 8), generator=generator)
    for now, following in pairwise(route):
        noise = by_formula(x, now).double()
        picture = (x.double() - (1 - kept[now]) ** 0.5 * noise) / kept[now] ** 0.5
        share = eta * ((1 - kept[following]) / (1 - kept[now]) * (1 - kept[now] / kept[following])) ** 0.5
        x = kept[following] ** 0.5 * picture + (1 - kept[following] - share**2) ** 0.5 * noise
        if eta:
            x = x + share * torch.randn((1, 4, 8, 8), generator=generator)
    torch.testing.assert_close(run(make("DDIM", eta=eta), steps, by_formula).double(), x.double(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("strength", "noised", "calls"), [(0.75, 751, 14), (0.3, 301, 5), (0.05, 51, 1), (0.0, 51, 1)])
def test_ddim_begins_with_an_image_one_call_later_than_others(strength: float, noised: int, calls: int) -> None:
    """The image gets the noise of the timestep before; the original makes no call at all at the least strengths."""
    partial = strength_for(strength, 20)
    for sampler, more in (("DDIM", 0), ("PLMS", 1)):
        made = make(sampler)
        made.set_timesteps(partial.steps)
        start, timesteps = made.begin(partial.runs)
        assert start == noised
        assert len(timesteps) == calls + (more if calls > 1 else 0)
        assert timesteps[0] == noised - (50 if calls > 1 else 0)


def test_plms_makes_as_many_calls_as_it_is_asked_for_steps() -> None:
    made = make("PLMS")
    made.set_timesteps(20)
    assert made.timesteps.tolist() == [951, 901, *range(901, 1, -50)]


def test_ddim_cfgpp_goes_on_with_the_noise_that_is_predicted_without_the_prompt() -> None:
    made = make("DDIM CFG++")
    assert made.guidance_factor == pytest.approx(1 / 12.5)
    made.set_timesteps(4)
    kept = np.cumprod(1 - BETAS)
    x, towards = torch.randn((1, 4, 8, 8)), torch.randn((1, 4, 8, 8))
    made.unconditional = towards
    predicted = torch.randn((1, 4, 8, 8))
    found = made.step(predicted, made.timesteps[0], x, return_dict=False)[0]
    picture = (x - (1 - kept[751]) ** 0.5 * predicted) / kept[751] ** 0.5
    torch.testing.assert_close(found, kept[501] ** 0.5 * picture + (1 - kept[501]) ** 0.5 * towards)


def test_restart_goes_back_to_noise_once_from_twenty_steps_on_and_twice_from_thirty_six() -> None:
    """Steps stay as many; before each way back noise is added up to the level where it begins."""
    for steps, times in ((19, 0), (20, 1), (35, 1), (36, 2), (50, 2)):
        levels = [*SCHEDULES["karras"](steps, LEVELS), 0.0]
        path = restart_steps(levels)
        again = [(before, now) for (_, before), (now, _) in pairwise(path) if now > before]
        assert len(path) == steps
        assert len(again) == times
        assert all(before == pytest.approx(0.1, abs=0.06) and now == pytest.approx(2, abs=0.8) for before, now in again)
        made = make("Restart")
        made.set_timesteps(steps)
        assert len(made.timesteps) == 2 * steps - 1


def test_restart_equals_its_formula_with_noise_of_the_generator() -> None:
    generator = torch.Generator().manual_seed(3)
    levels = [*SCHEDULES["karras"](20, LEVELS), 0.0]
    path = restart_steps(levels)
    x, before = torch.randn((1, 4, 8, 8), generator=generator).double() * levels[0], levels[0]
    for now, following in path:
        if now > before:
            x = x + torch.randn((1, 4, 8, 8), generator=generator) * (now**2 - before**2) ** 0.5
        slope = (x - denoise(x, now)) / now
        ahead = x + slope * (following - now)
        if following:
            slope = (slope + (ahead - denoise(ahead, following)) / following) / 2
        x, before = x + slope * (following - now), following
    made = run(make("Restart"), 20, by_formula, seeds=(3,)).double()
    torch.testing.assert_close(made, x, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("sampler", "limit"), [("DPM fast", 0.02), ("DPM adaptive", 0.15)])
def test_dpm_solvers_arrive_where_the_exact_way_does(sampler: str, limit: float) -> None:
    """Without fresh noise; at the least noise level, where they end. The adaptive one tolerates 5 % a step."""
    greatest, least = LEVELS.greatest, LEVELS.least
    start = first_noise() * greatest
    exact = 0.3 + (start - 0.3) * ((0.64 + least**2) / (0.64 + greatest**2)) ** 0.5
    made = run(make(sampler, eta=0.0), 20, by_formula).double()
    assert (made - exact).abs().max() < limit


def test_dpm_fast_makes_the_calls_that_were_asked_for() -> None:
    for steps in range(1, 25):
        made = make("DPM fast")
        made.set_timesteps(steps)
        assert len(made.timesteps) == steps


def test_dpm_adaptive_takes_shorter_steps_where_more_happens() -> None:
    def count(predict: Callable[[Any, Any], Any]) -> int:
        calls = []
        run(make("DPM adaptive", eta=0.0), 20, lambda x, timestep: calls.append(timestep) or predict(x, timestep))
        return len(calls)

    def hard(x: Any, timestep: Any) -> Any:
        return by_formula(x, timestep) + 0.2 * torch.sin(4 * x)

    assert 9 <= count(by_formula) < count(hard) <= 3 * MAX_ATTEMPTS


def test_dpm_adaptive_ends_where_the_model_answers_no_numbers() -> None:
    assert run(make("DPM adaptive"), 20, lambda x, _: torch.full_like(x, float("nan"))).isnan().all()
