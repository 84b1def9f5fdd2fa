"""Rules of the original that diffusers' pipelines do not have: each against a loop written out here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")

import diffusers
import PIL.Image
import torch

from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import ControlHint, Lora
from deployments.engines.diffusion.conditioning import Conditioner
from deployments.engines.diffusion.engine import DiffusionEngine
from deployments.engines.diffusion.graphs import Graphs
from deployments.engines.diffusion.philox import Philox
from tests.support.builders import an_image
from tests.support.diffusing import NEGATIVE, PROMPT, SIZE, a_request, an_engine, difference, make, make_one
from tests.support.recording import Recorder
from tests.support.stock_samplers import LINSPACE
from tests.support.tiny_diffusion import CHECKPOINT, CONTROLNETS, LORA

SEED, STEPS, GUIDANCE = 7, 4, 7.0
LONG = "cat, " * 60
NOISE = (1, 4, SIZE // 8, SIZE // 8)


@pytest.fixture(scope="module")
def engine(tiny_models: Path) -> DiffusionEngine:
    return an_engine(tiny_models)


@pytest.fixture(scope="module")
def parts(tiny_models: Path) -> dict[str, Any]:
    found: dict[str, Any] = diffusers.StableDiffusionPipeline.from_pretrained(
        tiny_models / "checkpoints" / CHECKPOINT
    ).components
    return found


Step = Callable[[Any, Any, Any, Any], Any]
"""Latents, timestep, guided and unconditional prediction -> the next latents."""


def seeded(seed: int = SEED) -> Any:
    return torch.Generator().manual_seed(seed)


def embeddings(parts: dict[str, Any], text: str, **options: Any) -> Any:
    return Conditioner(parts["tokenizer"], parts["text_encoder"], **options).encode(text, "", STEPS).at(0).positive


def paint(
    parts: dict[str, Any],
    noise: Any,
    generator: Any,
    words: tuple[Any, Any] | None = None,
    scheduler: Any = diffusers.EulerAncestralDiscreteScheduler,
    dtype: Any = torch.float32,
) -> Image:
    """Sample by hand: latents in float32, the prompt and the negative prompt in calls of their own."""
    unet, vae = (parts[name].to(dtype) for name in ("unet", "vae"))
    positive, negative = words or (embeddings(parts, PROMPT), embeddings(parts, NEGATIVE))
    steps = scheduler.from_config(parts["scheduler"].config, **LINSPACE)
    steps.set_timesteps(STEPS)
    latents = noise * steps.init_noise_sigma
    with torch.no_grad():
        for timestep in steps.timesteps:
            scaled = steps.scale_model_input(latents, timestep).to(dtype)
            told, untold = (
                unet(scaled, timestep, encoder_hidden_states=words.to(dtype)).sample.float()
                for words in (positive, negative)
            )
            latents = steps.step(untold + GUIDANCE * (told - untold), timestep, latents, generator=generator)[0]
        pixels = vae.decode((latents / vae.config.scaling_factor).to(dtype)).sample.float()
    for network in (unet, vae):
        network.to(torch.float32)
    return np.asarray(((pixels[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 0) * 255).round().numpy().astype(np.uint8))


def test_latents_and_noise_are_float32_between_steps_in_half_precision(
    tiny_models: Path, parts: dict[str, Any]
) -> None:
    generator = seeded()
    text = parts["text_encoder"].to(torch.float16)
    words = (embeddings(parts, PROMPT), embeddings(parts, NEGATIVE))
    text.to(torch.float32)
    expected = paint(parts, torch.randn(NOISE, generator=generator), generator, words, dtype=torch.float16)
    ours = make_one(an_engine(tiny_models, dtype="float16"), sampler="Euler a")
    assert difference(ours, expected) <= 1


def test_the_first_noise_lies_over_what_lama_filled(engine: DiffusionEngine, parts: dict[str, Any]) -> None:
    generator = seeded()
    filled = an_image((SIZE, SIZE), 5)
    with torch.no_grad():
        pixels = torch.from_numpy(filled).permute(2, 0, 1)[None].float() / 127.5 - 1
        latents = parts["vae"].encode(pixels).latent_dist.mode() * parts["vae"].config.scaling_factor
    kept = float(diffusers.DDPMScheduler.from_config(parts["scheduler"].config).alphas_cumprod[-1])
    noise = torch.randn(NOISE, generator=generator)
    expected = paint(parts, kept**0.5 * latents + (1 - kept) ** 0.5 * noise, generator)
    hint = ControlHint(next(iter(CONTROLNETS.values())), filled, weight=0.0, is_begun=True)
    ours = make_one(engine, sampler="Euler a", controls=(hint,))
    assert difference(ours, expected) <= 1
    assert difference(ours, make_one(engine, sampler="Euler a", controls=(replace(hint, is_begun=False),))) > 1


def test_prompts_of_unequal_length_are_asked_for_apart(engine: DiffusionEngine, parts: dict[str, Any]) -> None:
    generator = seeded()
    words = (embeddings(parts, LONG), embeddings(parts, NEGATIVE))
    assert words[0].shape[1] == 2 * words[1].shape[1]
    expected = paint(parts, torch.randn(NOISE, generator=generator), generator, words)
    assert difference(make_one(engine, prompt=LONG, sampler="Euler a"), expected) <= 1


def test_padding_lets_prompts_of_unequal_length_share_a_call(engine: DiffusionEngine, parts: dict[str, Any]) -> None:
    generator = seeded()
    negative = torch.cat([embeddings(parts, NEGATIVE), embeddings(parts, "")], dim=1)
    expected = paint(parts, torch.randn(NOISE, generator=generator), generator, (embeddings(parts, LONG), negative))
    rows: list[int] = []
    with engine.models.cache.lease() as lease:
        unet = engine.models.checkpoint(lease, "").unet
    hook = unet.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    try:
        padded = make_one(engine, prompt=LONG, sampler="Euler a", pad_prompts=True)
        make_one(engine, prompt=LONG, sampler="Euler a")
    finally:
        hook.remove()
    assert difference(padded, expected) <= 1
    assert rows == [2] * STEPS + [1] * (2 * STEPS)


def test_controlnets_see_prompts_of_unequal_length_apart(engine: DiffusionEngine) -> None:
    hint = an_image((SIZE, SIZE), 1)
    for mode in ("balanced", "control"):
        controls = (ControlHint(CONTROLNETS["canny"], hint, mode=mode),)  # type: ignore[arg-type]
        apart = make_one(engine, prompt=LONG, negative_prompt=LONG, controls=controls)
        assert difference(apart, make_one(engine, prompt=LONG, negative_prompt=NEGATIVE, controls=controls)) > 3
        assert difference(apart, make_one(engine, prompt=LONG, negative_prompt=LONG)) > 3


def test_the_delta_of_the_seed_is_for_the_noise_that_samplers_add(
    engine: DiffusionEngine, parts: dict[str, Any]
) -> None:
    expected = paint(parts, torch.randn(NOISE, generator=seeded()), seeded(SEED + 31337))
    assert difference(make_one(engine, sampler="Euler a", noise_seed_delta=31337), expected) <= 1


@pytest.mark.parametrize("sampler", ["Euler", "DPM++ 2M SDE"])
def test_samplers_that_add_none_or_brownian_noise_do_not_know_the_delta(engine: DiffusionEngine, sampler: str) -> None:
    changed = make_one(engine, sampler=sampler, noise_seed_delta=31337)
    np.testing.assert_array_equal(changed, make_one(engine, sampler=sampler))


class CardNoise:
    """Euler ancestral that adds the noise of a card."""

    def __init__(self, generator: Philox) -> None:
        self._generator = generator

    def from_config(self, *arguments: Any, **options: Any) -> Any:
        made = diffusers.EulerAncestralDiscreteScheduler.from_config(*arguments, **options)
        own = self._generator

        def step(predicted: Any, timestep: Any, latents: Any, **_: Any) -> Any:
            if made.step_index is None:
                made._init_step_index(timestep)
            now, following = made.sigmas[made.step_index], made.sigmas[made.step_index + 1]
            up = (following**2 * (now**2 - following**2) / now**2) ** 0.5
            down = (following**2 - up**2) ** 0.5
            made._step_index += 1
            return (latents + predicted * (down - now) + up * own.randn(NOISE[1:]),)

        made.step = step
        return made


def test_noise_can_be_that_of_a_card(engine: DiffusionEngine, parts: dict[str, Any]) -> None:
    generator = Philox(SEED)
    expected = paint(parts, generator.randn(NOISE), None, scheduler=CardNoise(generator))
    ours = make_one(engine, sampler="Euler a", noise_source="NV")
    assert difference(ours, expected) <= 1
    assert difference(ours, make_one(engine, sampler="Euler a")) > 3


@pytest.mark.parametrize("change", [{"variation_strength": 0.5, "variation_seed": 9}, {"seed_size": (128, 128)}])
def test_noise_of_a_card_can_be_varied_and_resized(engine: DiffusionEngine, change: dict[str, Any]) -> None:
    plain, changed = (make_one(engine, noise_source="NV", **options) for options in ({}, change))
    assert difference(plain, changed) > 3
    assert difference(changed, make_one(engine, **change)) > 3


@pytest.mark.parametrize(("sampler", "is_warned"), [("Euler a", False), ("LCM", True), ("DPM++ 2M SDE", True)])
def test_samplers_whose_noise_is_never_that_of_a_card_are_warned_of(
    engine: DiffusionEngine, sampler: str, is_warned: bool
) -> None:
    (made,) = make(engine, a_request(sampler=sampler, noise_source="NV"))
    assert any("randn_source" in text for text in made.warnings) == is_warned


def test_noise_of_the_processor_is_what_a_processor_draws_anyway(engine: DiffusionEngine) -> None:
    np.testing.assert_array_equal(
        make_one(engine, sampler="Euler a", noise_source="CPU"), make_one(engine, sampler="Euler a")
    )


def test_ddim_cfgpp_takes_a_twelfth_of_the_guidance_and_the_noise_without_the_prompt(
    engine: DiffusionEngine, parts: dict[str, Any]
) -> None:
    kept = parts["scheduler"].alphas_cumprod
    words = (embeddings(parts, PROMPT), embeddings(parts, NEGATIVE))
    x = torch.randn(NOISE, generator=seeded())
    with torch.no_grad():
        for now, following in ((751, 501), (501, 251), (251, 1)):
            told, untold = (parts["unet"](x, now, encoder_hidden_states=own).sample for own in words)
            noise = untold + GUIDANCE / 12.5 * (told - untold)
            x0 = (x - (1 - kept[now]) ** 0.5 * noise) / kept[now] ** 0.5
            x = kept[following] ** 0.5 * x0 + (1 - kept[following]) ** 0.5 * untold
        pixels = parts["vae"].decode(x / parts["vae"].config.scaling_factor).sample
    expected = ((pixels[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 0) * 255).round().numpy().astype(np.uint8)
    assert difference(make_one(engine, sampler="DDIM CFG++"), expected) <= 1


@pytest.mark.parametrize("sampler", ["Restart", "DPM fast", "DPM adaptive", "DDIM CFG++", "DDIM", "PLMS"])
def test_a_picture_is_the_same_alone_and_beside_others(engine: DiffusionEngine, sampler: str) -> None:
    own = a_request(sampler=sampler, steps=6)
    requests = [replace(own, seed=1, prompt="dog"), own]
    shared = len({engine.key(request) for request in requests}) == 1
    assert shared == (sampler != "DPM adaptive")  # whose calls depend on the image
    if shared:
        both = make(engine, *requests)
        assert difference(both[1].image, make(engine, own)[0].image) <= 1


@pytest.mark.parametrize("sampler", ["Restart", "DPM fast", "DPM adaptive", "DDIM CFG++", "PLMS"])
def test_samplers_without_a_class_in_diffusers_begin_with_images_too(engine: DiffusionEngine, sampler: str) -> None:
    image = an_image((SIZE, SIZE), 5)
    (made,) = make(engine, a_request(sampler=sampler, init_image=image, denoising_strength=0.5, steps=20))
    plain = make_one(engine, sampler="Euler", init_image=image, denoising_strength=0.5, steps=20)
    assert made.warnings == ()
    apart = np.abs(made.image.astype(int) - plain).mean()
    assert apart < np.abs(image.astype(int) - plain).mean()


def test_each_part_of_and_has_its_own_controlnet(engine: DiffusionEngine, parts: dict[str, Any]) -> None:
    hint = an_image((SIZE, SIZE), 1)
    rows: list[int] = []
    with engine.models.cache.lease() as lease:
        checkpoint = engine.models.checkpoint(lease, "")
        net = engine.models.controlnet(lease, CONTROLNETS["canny"], checkpoint)
    hook = net.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    try:
        controls = (ControlHint(CONTROLNETS["canny"], hint),)
        halves = make_one(engine, prompt=f"{PROMPT}:0.5 AND {PROMPT}:0.5", controls=controls)
    finally:
        hook.remove()
    assert rows == [3] * STEPS
    assert difference(halves, make_one(engine, controls=controls)) <= 1


@pytest.mark.parametrize(
    "shape",
    [
        {"sampler": "Euler a"},
        {"prompt": "[cat:dog:0.5] AND red BREAK house:0.4"},
        {"controls": (ControlHint(CONTROLNETS["canny"], an_image((SIZE, SIZE), 1), end=0.25, mode="control"),)},
        {"init_image": an_image((SIZE, SIZE), 5), "tiling": True},
        {"loras": (Lora(LORA),), "sampler": "DPM fast"},
    ],
    ids=lambda shape: "-".join(shape),
)
def test_recorded_calls_make_the_same_picture(
    engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch, shape: dict[str, Any]
) -> None:
    plain = make_one(engine, **shape)
    recorder = Recorder()
    monkeypatch.setattr(engine.models, "graphs", Graphs(recorder))
    for _ in range(2):
        np.testing.assert_array_equal(make_one(engine, **shape), plain)
    assert 0 < recorder.count <= 3


@pytest.mark.parametrize("sampler", ["DDIM", "DDIM CFG++"])
def test_samplers_by_timestep_blend_what_the_model_sees_and_step_their_own_latents(
    engine: DiffusionEngine, parts: dict[str, Any], sampler: str
) -> None:
    image, drawn = an_image((SIZE, SIZE), 5), np.full((SIZE, SIZE), 96, np.uint8)
    drawn[:, : SIZE // 2] = 255
    mask = torch.from_numpy(np.asarray(PIL.Image.fromarray(drawn).resize((SIZE // 8,) * 2), np.float32) / 255)
    alphas, vae = parts["scheduler"].alphas_cumprod, parts["vae"]
    words = (embeddings(parts, PROMPT), embeddings(parts, NEGATIVE))
    scale = GUIDANCE if sampler == "DDIM" else GUIDANCE / 12.5
    with torch.no_grad():
        pixels = torch.from_numpy(image.transpose(2, 0, 1))[None].float() / 255 * 2 - 1
        kept = vae.encode(pixels).latent_dist.mean * vae.config.scaling_factor
        x = alphas[751] ** 0.5 * kept + (1 - alphas[751]) ** 0.5 * torch.randn(NOISE, generator=seeded())
        for now, following in ((501, 251), (251, 1)):
            seen = x * mask + kept * (1 - mask)
            told, untold = (parts["unet"](seen, now, encoder_hidden_states=own).sample for own in words)
            noise = untold + scale * (told - untold)
            x0 = (x - (1 - alphas[now]) ** 0.5 * noise) / alphas[now] ** 0.5
            towards = noise if sampler == "DDIM" else untold
            x = alphas[following] ** 0.5 * x0 + (1 - alphas[following]) ** 0.5 * towards
        pixels = vae.decode((x * mask + kept * (1 - mask)) / vae.config.scaling_factor).sample
    expected = ((pixels[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 0) * 255).round().numpy().astype(np.uint8)
    ours = make_one(engine, sampler=sampler, init_image=image, mask=drawn, soft_mask=True, denoising_strength=1.0)
    assert difference(ours, expected) <= 1
