"""What a request decides of its picture: seeds and noise, masks, second passes, tiles, prompts, precision."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")

import torch

from deployments.contracts.diffusion import (
    GenerationStep,
    Hires,
)
from deployments.engines.diffusion.engine import DiffusionEngine
from deployments.engines.diffusion.noise import draw_noise, make_generator
from tests.support.diffusing import (
    CONTROL,
    INIT,
    SIZE,
    Listening,
    Looking,
    a_mask,
    a_request,
    an_engine,
    difference,
    make_one,
)


def test_the_seed_decides_the_picture(engine: DiffusionEngine) -> None:
    np.testing.assert_array_equal(make_one(engine), make_one(engine))
    assert difference(make_one(engine), make_one(engine, seed=8)) > 3


def test_a_variation_goes_from_one_seed_to_the_other(engine: DiffusionEngine) -> None:
    start, half, end = (make_one(engine, variation_seed=8, variation_strength=strength) for strength in (0.0, 0.5, 1.0))
    np.testing.assert_array_equal(start, make_one(engine))
    assert difference(end, make_one(engine, seed=8)) <= 1
    assert min(difference(half, start), difference(half, end)) > 3


def test_noise_of_another_size_is_pasted_into_the_middle(engine: DiffusionEngine) -> None:
    resized = make_one(engine, seed_size=(128, 128))
    assert difference(resized, make_one(engine)) > 3
    np.testing.assert_array_equal(make_one(engine, seed_size=(SIZE, SIZE)), make_one(engine))


def test_the_noise_around_the_pasted_one_is_that_of_the_seed() -> None:
    request = a_request(width=128, height=128)
    plain_generator, generator = make_generator(request, "cpu"), make_generator(request, "cpu")
    plain = draw_noise(request, plain_generator, 4)
    resized = draw_noise(replace(request, seed_size=(SIZE, SIZE)), generator, 4)
    pasted = draw_noise(a_request(), make_generator(request, "cpu"), 4)
    np.testing.assert_array_equal(resized[..., 4:12, 4:12], pasted)
    np.testing.assert_array_equal(resized[..., :4, :], plain[..., :4, :])
    assert torch.equal(generator.get_state(), plain_generator.get_state())  # what samplers draw next is the same


def test_pixels_that_are_not_masked_stay(engine: DiffusionEngine) -> None:
    ends = []
    for mask in (np.zeros((SIZE, SIZE), np.uint8), a_mask()):
        looking = Looking(engine)
        engine.run([a_request(init_image=INIT, mask=mask)], looking)
        ends.append(looking.seen[-1].latents)
    kept, half = ends
    np.testing.assert_array_equal(half[..., 4:], kept[..., 4:])
    assert np.abs(half[..., :4] - kept[..., :4]).mean() > 0.1


def test_masked_content_decides_the_latents_under_the_mask(engine: DiffusionEngine) -> None:
    pictures = [
        make_one(engine, init_image=INIT, mask=a_mask(), masked_content=content, denoising_strength=0.4)
        for content in ("original", "noise", "nothing")
    ]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert difference(pictures[one][:, :24], pictures[other][:, :24]) > 3


def test_a_strength_of_zero_in_exact_steps_gives_the_picture_back(engine: DiffusionEngine) -> None:
    same = make_one(engine, init_image=INIT, denoising_strength=0.0, exact_steps=True)
    again = make_one(engine, init_image=INIT, denoising_strength=0.0, exact_steps=True, seed=99)
    np.testing.assert_array_equal(same, again)


@pytest.mark.parametrize("upscaler", ["Latent", "Latent (bicubic antialiased)", "Latent (nearest-exact)", "Lanczos"])
def test_a_second_pass_makes_the_picture_larger(engine: DiffusionEngine, upscaler: str) -> None:
    picture = make_one(engine, hires=Hires(128, 96, 2, 0.5, upscaler=upscaler))
    assert picture.shape == (96, 128, 3)
    assert difference(picture, make_one(engine, hires=Hires(128, 96, 2, 0.5, upscaler="Nearest"))) > 3


def test_a_second_pass_may_have_a_prompt_and_a_sampler_of_its_own(engine: DiffusionEngine) -> None:
    plain = make_one(engine, hires=Hires(96, 96, 3, 0.7))
    for own in (Hires(96, 96, 3, 0.7, prompt="red dog"), Hires(96, 96, 3, 0.7, sampler="Euler a")):
        assert difference(plain, make_one(engine, hires=own)) > 3


def test_tiles_fit_their_own_other_edge(engine: DiffusionEngine) -> None:
    def seam(picture: Any) -> float:
        return float(np.abs(picture[:, 0].astype(int) - picture[:, -1]).mean())

    tiled = make_one(engine, tiling=True)
    assert seam(tiled) < seam(make_one(engine))
    np.testing.assert_array_equal(make_one(engine), make_one(engine))  # and nothing of it stays behind


def test_latents_decoded_beside_a_batch_of_tiles_are_no_tile(engine: DiffusionEngine) -> None:
    latents = np.random.default_rng(0).normal(size=(4, 8, 8)).astype(np.float16)
    plain = engine.decode_latents(latents)

    class Decoding(Listening):
        def report(self, place: int, step: GenerationStep) -> None:
            super().report(place, step)
            if len(self.steps) == 1:
                decoded.append(beside.submit(engine.decode_latents, latents))
                wait(decoded, timeout=0.5)  # it may have to wait for the batch

    decoded: list[Future[Any]] = []
    with ThreadPoolExecutor(1) as beside:
        engine.run([a_request(tiling=True, steps=2)], Decoding())
        np.testing.assert_array_equal(decoded[0].result(60), plain)


def test_and_with_all_the_weight_on_one_is_that_one(engine: DiffusionEngine) -> None:
    alone = make_one(engine, prompt="cat")
    assert difference(make_one(engine, prompt="cat AND dog:0"), alone) <= 1
    assert difference(make_one(engine, prompt="cat AND dog:0.7"), alone) > 3
    assert difference(make_one(engine, prompt="cat AND cat:0.5"), make_one(engine, prompt="cat:1.5")) <= 1


def test_a_schedule_changes_the_prompt_on_the_way(engine: DiffusionEngine) -> None:
    cat, dog, scheduled = (make_one(engine, prompt=prompt, steps=8) for prompt in ("cat", "dog", "[cat:dog:0.3]"))
    assert min(difference(scheduled, cat), difference(scheduled, dog)) > 3
    assert difference(make_one(engine, prompt="[cat:dog:8]", steps=8), cat) <= 1


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(
    "shape", [{"sampler": "Euler a"}, {"init_image": INIT, "mask": a_mask(), "controls": (CONTROL,)}]
)
def test_half_precision_makes_nearly_the_same_picture(
    engine: DiffusionEngine, tiny_models: Path, dtype: str, shape: dict[str, Any]
) -> None:
    half = make_one(an_engine(tiny_models, dtype=dtype), **shape)
    assert np.abs(half.astype(int) - make_one(engine, **shape)).mean() < 2
